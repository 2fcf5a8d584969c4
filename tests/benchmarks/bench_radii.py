"""Benchmarks, run by ``make bench``. They check values and never times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.benchmarks import memory
from tests.benchmarks.cases import (
    BASE,
    DATA_SETS,
    EXACT,
    GROWTH,
    GROWTH_SIZES,
    N_NEIGHBORS,
    OURS,
    OURS_SAME,
    ROUNDS,
    STRAIGHTFORWARD,
    TASKS,
    THEOREM1,
    WHO,
    Arrays,
    Sizes,
    real,
    solve,
    synthetic,
)

Values = dict[tuple[Any, ...], NDArray[np.float64]]

RELATIVE, ABSOLUTE = 1e-7, 1e-9


@pytest.fixture(scope="module")
def values() -> Values:
    """What each implementation found, to compare."""
    return {}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: tmp_path_factory.mktemp(name) for name in DATA_SETS}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", DATA_SETS)
def bench_data_set(benchmark: Any, values: Values, folders: dict[str, Path], name: str, task: str, who: str) -> None:
    arrays, sizes = real(name), DATA_SETS[name]
    _time(benchmark, values, (name, task), arrays, sizes, task, who, N_NEIGHBORS)
    benchmark.extra_info.update(kind="data", name=name)
    if who != OURS_SAME:
        folder = folders[name]
        # one batch of ours as it is; one point of the straightforward one, which takes point after point
        memory.save(arrays.first(sizes.ours if who == OURS else 1), folder)
        benchmark.extra_info["peak_mib"] = memory.peak_mib(folder, task, who)
        benchmark.extra_info["loaded_mib"] = memory.peak_mib(folder, task, memory.NOTHING)


@pytest.mark.parametrize("who", (OURS, STRAIGHTFORWARD))
@pytest.mark.parametrize(
    ("axis", "size", "task"),
    [
        (axis, size, task)
        for axis, sizes in GROWTH.items()
        for size in sizes
        for task in TASKS
        if axis != "K" or task == THEOREM1
    ],
)
def bench_growth(benchmark: Any, values: Values, axis: str, size: int, task: str, who: str) -> None:
    point = {**BASE, axis: size}
    arrays = synthetic(point["N"], point["D"])
    _time(benchmark, values, (axis, size, task), arrays, GROWTH_SIZES[task], task, who, point["K"])
    benchmark.extra_info.update(kind="growth", axis=axis, size=size)


def _time(
    benchmark: Any,
    values: Values,
    key: tuple[Any, ...],
    arrays: Arrays,
    sizes: Sizes,
    task: str,
    who: str,
    n_neighbors: int,
) -> None:
    """Time one implementation; after the straightforward one, compare the values on the points shared."""
    points = arrays.first(sizes.ours if who == OURS else sizes.few)
    if who != STRAIGHTFORWARD:
        solve(task, who, arrays.first(1), n_neighbors)  # what is loaded and compiled at first use
    found = benchmark.pedantic(solve, args=(task, who, points, n_neighbors), rounds=ROUNDS, iterations=1)
    values[*key, who] = found
    benchmark.extra_info.update(
        task=task,
        who=who,
        n_points=len(points.X),
        n_train=len(points.X_train),
        n_features=points.X.shape[1],
        n_neighbors=1 if task == EXACT else n_neighbors,
    )
    if who == STRAIGHTFORWARD:
        others = [values[*key, other][..., : sizes.few] for other in (OURS, OURS_SAME) if (*key, other) in values]
        others = others or [solve(task, OURS, points, n_neighbors)]
        for other in others:
            np.testing.assert_allclose(other, np.broadcast_to(found, other.shape), rtol=RELATIVE, atol=ABSOLUTE)
        benchmark.extra_info["difference"] = max(_difference(other, found) for other in others)


def _difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """The largest relative difference; equal values, 0 and inf among them, differ by 0."""
    theirs = np.broadcast_to(theirs, ours.shape)
    unequal = ours != theirs
    return float((np.abs(ours - theirs)[unequal] / np.maximum(theirs[unequal], ABSOLUTE)).max(initial=0.0))
