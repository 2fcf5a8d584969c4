"""What many tasks read and none changes: the training set under a metric, prepared for a stage.

Large sets are prepared once a process and shared by its threads, one at a time: a second one would double the
memory, and tasks come method by method. Small ones are made anew for every task; that costs milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows import layout
from flows.runners.size import is_large
from flows.tasks.cache import content_hash

Build = Callable[[Any, Any, Any], Any]
_turn = threading.Condition()
_held: dict[str, Any] = {"key": None, "value": None, "users": 0}


@contextmanager
def prepared(dataset: str, method: str, build: Build) -> Iterator[Any]:
    """``build(X_train, y_train, metric)``, or what another task of this process built from the same files.

    Whoever uses it should return right after: a variable that outlives the block keeps the memory.
    """
    if not is_large(dataset):
        yield _built(dataset, method, build)
        return
    key = (build, content_hash(layout.train_split(dataset)), content_hash(layout.metric(dataset, method)))
    with _turn:
        while _held["users"] and _held["key"] != key:
            _turn.wait()
        if _held["key"] != key:
            _held.update(key=None, value=None)
            _held.update(key=key, value=_built(dataset, method, build))
        _held["users"] += 1
    try:
        yield _held["value"]
    finally:
        with _turn:
            _held["users"] -= 1
            _turn.notify_all()


def _built(dataset: str, method: str, build: Build) -> Any:
    from arml.results.metrics import read_mahalanobis
    from arml.results.parquet import read_split

    X, y = read_split(layout.train_split(dataset))
    metric, _ = read_mahalanobis(layout.metric(dataset, method))
    return build(X, y, metric)
