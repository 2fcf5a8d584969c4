"""``arml attack``: short changes that break the answer."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from arml.cli import options
from arml.cli.inputs import read_metric_file, read_problem
from arml.cli.outputs import check_targets
from arml.cli.points import Beside, asked, deliver, in_blocks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from arml.knn.reference import ReferenceSet

__all__ = ["attack"]

ALGORITHMS = {"geometric": "programs", "boundary": "steps", "hopskipjump": "steps", "pointwise": None}
"""Attacks, and which option says how much work they do."""


def attack(
    train: options.Train,
    test: options.Test,
    label: options.Label = "label",
    metric: options.Metric = None,
    k: options.K = 11,
    algorithm: Annotated[
        str,
        typer.Option(
            "--algorithm",
            metavar="geometric|boundary|hopskipjump|pointwise",
            help="*geometric* knows the classifier and finds the shortest ways; the others, foolbox's, only ask it.",
        ),
    ] = "geometric",
    programs: Annotated[
        int | None,
        typer.Option(
            "--programs", metavar="N", show_default=False, help="geometric: quadratic programs a point (200)."
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", metavar="N", show_default=False, help="boundary (25000), hopskipjump (64): steps a point."
        ),
    ] = None,
    box: options.Box = None,
    seed: options.Seed = 0,
    scaling: options.Scaling = None,
    name: options.Name = None,
    limit: options.Limit = None,
    out: options.Out = None,
    points: Annotated[
        Path | None,
        options.output_file(
            "--points",
            "Write the changed points (scaled features) and what the classifier says there to this Parquet file.",
        ),
    ] = None,
    as_json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Find short changes that break a K-nearest-neighbour classifier's right answers.

    Every change found was put to the classifier, which answered wrong: an upper bound on the radius. That nothing was
    found proves nothing.

    In the rows, **upper** is the length of the change, 0 where the answer is wrong anyway, infinite where none was
    found. **status** is *bounded* (broken), *unsolved* (not broken) or *misclassified*.

    `arml attack train.csv test.csv --label kind -k 11 --out attacked.parquet --points broken.parquet`
    """
    check_targets((out, points), (train, test, metric), force)
    given = _allowance(algorithm, {"programs": programs, "steps": steps})
    from arml.attacks import POINT_ATTACKS
    from arml.knn.reference import reference_set
    from arml.results.found import attacked_rows

    problem = read_problem(train, test, label, read_metric_file(metric), scaling=scaling, name=name, limit=limit)
    by_queries = algorithm != "geometric"
    reference = reference_set(problem.X_train, problem.y_train, problem.metric.metric, queries=by_queries)
    run = partial(POINT_ATTACKS[algorithm], reference, bounds=box, seeds=seed, **given)
    broken: list[NDArray[np.float64]] = []

    def compute(rows: slice) -> pa.Table:
        some = asked(problem, reference, k, rows)
        found = run(some.X, some.y, k, indices=some.index)
        broken.append(found.adversarial)
        return attacked_rows(some, found, algorithm)

    table = in_blocks("attack", problem, compute)
    beside = Beside("points", "adversarial", points and _points_table(table, broken, reference, k), points)
    options_given = {"n_neighbors": k, "algorithm": algorithm, "bounds": box, "seed": seed, "limit": limit, **given}
    deliver("attack", problem, table, options_given, out=out, beside=beside, as_json=as_json)


def _allowance(algorithm: str, asked: dict[str, int | None]) -> dict[str, int]:
    """The work that was asked for, where it is the algorithm's own."""
    if algorithm not in ALGORITHMS:
        raise ValueError(f"--algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r}")
    given = {name: value for name, value in asked.items() if value is not None}
    for name in given:
        if name != ALGORITHMS[algorithm]:
            raise ValueError(f"--{name} is no option of --algorithm {algorithm}")
    return given


def _points_table(rows: pa.Table, broken: list[NDArray[np.float64]], reference: ReferenceSet, k: int) -> pa.Table:
    """The adversarial points, with the classifier's own answers."""
    import numpy as np

    from arml.knn.neighbors import predict_labels
    from arml.results.parquet import adversarial_table, column

    points = np.concatenate(broken)
    answers = column(rows, "label").copy()
    found = np.isfinite(column(rows, "upper"))
    if found.any():
        answers[found] = predict_labels(reference, points[found], k)
    return adversarial_table(rows, points, answers)
