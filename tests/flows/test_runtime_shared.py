"""A large training set is prepared once a process, and one metric at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest

from arml.results import write_metric, write_split
from flows import layout
from flows.runners import size
from flows.tasks import prepared

built: list[str] = []


def build(X, y, metric) -> object:
    built.append(f"{X.shape} {metric.components[0, 0]:g}")
    return object()


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "DATA", tmp_path)
    monkeypatch.setattr(prepared, "_held", {"key": None, "value": None, "users": 0})
    built.clear()
    facts = {"n_train": 4, "n_features": 2}
    write_split(layout.train_split("toy"), np.arange(8.0).reshape(4, 2), [0, 1, 0, 1], facts)
    for scale, method in ((1.0, "euclidean"), (2.0, "arml")):
        write_metric(layout.metric("toy", method), scale * np.eye(2), {})


def test_a_small_set_is_made_anew(files: None) -> None:
    assert not size.is_large("toy")
    for _ in range(2):
        with prepared.prepared("toy", "arml", build):
            pass
    assert built == ["(4, 2) 2"] * 2


def test_threads_share_a_large_set_and_take_turns_between_metrics(files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "LARGE", 64)
    assert size.is_large("toy")
    both = threading.Barrier(3, timeout=60)  # two threads that hold the value at the same time, and this one
    release = threading.Event()
    inside: list[str] = []

    def hold() -> object:
        with prepared.prepared("toy", "euclidean", build) as value:
            both.wait()
            assert release.wait(timeout=60)
            inside.append("euclidean")
            return value

    def use() -> object:
        with prepared.prepared("toy", "arml", build) as value:
            inside.append("arml")
            return value

    with ThreadPoolExecutor(6) as pool:
        try:
            first = [pool.submit(hold) for _ in range(2)]
            both.wait()
            others = [pool.submit(use) for _ in range(4)]
            _, waiting = wait(others, timeout=0.3)  # the other metric has to wait while the first is in use
            assert len(waiting) == 4 and built == ["(4, 2) 1"]
        finally:
            release.set()
        values = [future.result(timeout=60) for future in (*first, *others)]
    assert values[0] is values[1] and all(value is values[2] for value in values[3:])
    assert built == ["(4, 2) 1", "(4, 2) 2"]
    assert inside == ["euclidean"] * 2 + ["arml"] * 4


def test_a_failed_preparation_leaves_the_next_one_free(files: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size, "LARGE", 64)

    def broken(X, y, metric) -> object:
        raise MemoryError

    with pytest.raises(MemoryError), prepared.prepared("toy", "arml", broken):
        pass
    with prepared.prepared("toy", "arml", build) as value:
        assert value is not None
