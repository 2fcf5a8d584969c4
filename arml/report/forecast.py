"""What a study will take, before it starts: measured rates times sizes, and which fits are of subsets only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from arml.learners import make_learner
from arml.learners.guards import Limits

__all__ = ["Expected", "Rate", "Task", "expected_cost", "fitted_points"]


@dataclass(frozen=True)
class Rate:
    """What a stage cost on a data set, for one method and K: CPU seconds, over how many test points (0: none), and MiB.

    The memory is the peak of its process.
    """

    dataset: str
    stage: str
    method: str
    n_neighbors: int
    cpu_seconds: float
    n_points: int
    peak_memory_mib: float


@dataclass(frozen=True)
class Task:
    """A stage on a data set, for one method ("" where a stage has none), and its test points for each K ({}: none)."""

    dataset: str
    stage: str
    method: str
    sizes: Mapping[int, int]


@dataclass(frozen=True)
class Expected:
    """CPU seconds by stage, the tasks for which nothing was ever measured, and what used the most memory (or None)."""

    cpu_seconds: dict[str, float]
    unknown: tuple[Task, ...]
    largest: Rate | None

    @property
    def total(self) -> float:
        """CPU seconds of all stages that there is a rate for."""
        return sum(self.cpu_seconds.values())


def expected_cost(sources: Sequence[Iterable[Rate]], tasks: Iterable[Task]) -> Expected:
    """Multiply rates by sizes.

    Parameters
    ----------
    sources : sequence of iterables of Rate
        The best first: the first that knows a task is taken for all its K.
    tasks : iterable of Task

    Returns
    -------
    Expected
    """
    known: list[dict[tuple[str, str, str], list[Rate]]] = []
    for rates in sources:
        known.append({})
        for rate in rates:
            known[-1].setdefault((rate.dataset, rate.stage, rate.method), []).append(rate)
    spent: dict[str, float] = {}
    unknown = []
    largest: Rate | None = None
    for task in tasks:
        key = task.dataset, task.stage, task.method
        own = next((rates[key] for rates in known if key in rates), [])
        if not own:
            unknown.append(task)
        for rate in own:
            # a stage with test points is counted for the K that are planned, by their number
            pointwise = task.sizes and rate.n_points
            size = task.sizes.get(rate.n_neighbors, 0) / rate.n_points if pointwise else 1.0
            if size and (largest is None or rate.peak_memory_mib > largest.peak_memory_mib):
                largest = rate
            spent[task.stage] = spent.get(task.stage, 0.0) + rate.cpu_seconds * size
    return Expected(spent, tuple(unknown), largest)


def fitted_points(method: str, params: Mapping[str, Any], class_counts: Sequence[int], n_features: int) -> int:
    """Return how many of the training points a method would be fitted on, by the estimate of its guard.

    Parameters
    ----------
    method : str
    params : mapping
        Of the learner.
    class_counts : sequence of int
        Training points of each class.
    n_features : int
    """
    n = int(sum(class_counts))
    learner = make_learner(method, **{name: value for name, value in params.items() if name != "random_state"})
    estimate = getattr(learner, "_estimate", None)
    if estimate is None:  # Euclidean and ARML take what they are given
        return n
    limits = Limits(learner.max_train, learner.max_memory, learner.max_minutes)
    codes = np.repeat(np.arange(len(class_counts)), class_counts)
    rows, _, _ = limits.choose(method, codes, lambda some: estimate(some.size, n_features, np.bincount(some)), 0)
    return n if rows is None else len(rows)
