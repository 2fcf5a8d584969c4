"""A large training set is prepared once a process, and one metric at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from arml.results import write_metric, write_split
from flows import _layout, _shared

built: list[str] = []


def build(X, y, metric) -> object:
    built.append(f"{X.shape} {metric.components[0, 0]:g}")
    return object()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_layout, "DATA", tmp_path)
    monkeypatch.setattr(_shared, "_held", {"key": None, "value": None, "users": 0})
    built.clear()
    facts = {"n_train": 4, "n_features": 2}
    write_split(_layout.train_split("toy"), np.arange(8.0).reshape(4, 2), [0, 1, 0, 1], facts)
    for scale, method in ((1.0, "euclidean"), (2.0, "arml")):
        write_metric(_layout.metric("toy", method), scale * np.eye(2), {})


def test_a_small_set_is_made_anew(files: None) -> None:
    assert not _shared.is_large("toy")
    for _ in range(2):
        with _shared.prepared("toy", "arml", build):
            pass
    assert built == ["(4, 2) 2"] * 2


def test_threads_share_a_large_set_and_take_turns_between_metrics(files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared, "_LARGE", 64)
    assert _shared.is_large("toy")
    both = threading.Barrier(2, timeout=10)
    at_work: list[str] = []

    def work(method: str, *, meet: bool) -> object:
        with _shared.prepared("toy", method, build) as value:
            if meet:
                both.wait()  # ends only if two threads hold the value at the same time
            at_work.append(method)
            assert set(at_work) == {method}
            at_work.remove(method)
            return value

    with ThreadPoolExecutor(3) as pool:
        first = [pool.submit(work, "euclidean", meet=True) for _ in range(2)]
        other = [pool.submit(work, "arml", meet=False) for _ in range(4)]
        values = [future.result(timeout=20) for future in first]
        others = {id(future.result(timeout=20)) for future in other}
    assert values[0] is values[1] and len(others) == 1
    assert sorted(set(built)) == ["(4, 2) 1", "(4, 2) 2"] and len(built) <= 3


def test_a_failed_preparation_leaves_the_next_one_free(files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared, "_LARGE", 64)

    def broken(X, y, metric) -> object:
        raise MemoryError

    with pytest.raises(MemoryError), _shared.prepared("toy", "arml", broken):
        pass
    with _shared.prepared("toy", "arml", build) as value:
        assert value is not None
