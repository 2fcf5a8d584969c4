"""``arml verify``: exact radii, or as exact as the time given allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from arml.cli import options
from arml.cli.inputs import read_metric_file, read_problem
from arml.cli.outputs import check_targets
from arml.cli.points import Beside, asked, deliver, in_blocks

if TYPE_CHECKING:
    import pyarrow as pa

    from arml.knn.radii import Radii
    from arml.results.found import Asked

__all__ = ["verify"]


def verify(
    train: options.Train,
    test: options.Test,
    label: options.Label = "label",
    metric: options.Metric = None,
    k: options.K = 1,
    box: options.Box = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            metavar="SECONDS",
            show_default=False,
            help="At most so long a point; what is open then is an interval (status *bounded*).",
        ),
    ] = None,
    scaling: options.Scaling = None,
    name: options.Name = None,
    limit: options.Limit = None,
    out: options.Out = None,
    certificates: options.Certificates = None,
    as_json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Find the exact radius of each test point, from both sides.

    With K = 1, the length of the shortest change that breaks the answer, proved: no shorter one does, and one of that
    length is shown. With K > 1, by branch and bound, an interval that is closed where the allowance suffices;
    --certificates and --box are for K = 1.

    In the rows, **lower** ≤ radius ≤ **upper**. **status** is *exact*, *bounded* (an interval), *unsolved* (nothing
    proved) or *misclassified*. **witness** is the training point that wins at **upper** (K = 1).

    `arml verify train.csv test.csv --label kind --metric metric.npz --out exact.parquet --certificates proofs.parquet`
    """
    check_targets((out, certificates), (train, test, metric), force)
    if k > 1 and (certificates is not None or box is not None):
        raise ValueError("--certificates and --box are for K = 1; `arml certify` proves radii for K > 1")
    from arml.knn.reference import reference_set
    from arml.results.found import radii_rows

    problem = read_problem(train, test, label, read_metric_file(metric), scaling=scaling, name=name, limit=limit)
    reference = reference_set(problem.X_train, problem.y_train, problem.metric.metric)

    def compute(rows: slice) -> pa.Table:
        points = asked(problem, reference, k, rows)
        return radii_rows(points, _radii(points, bounds=box, time_limit=time_limit))

    found = in_blocks("verify", problem, compute)
    beside = Beside("certificates", "evidence", found, certificates)
    options_given = {"n_neighbors": k, "bounds": box, "time_limit": time_limit, "limit": limit}
    deliver("verify", problem, found, options_given, out=out, beside=beside, as_json=as_json)


def _radii(points: Asked, *, bounds: tuple[float, float] | None, time_limit: float | None) -> Radii:
    """Exact ones of K = 1, intervals of K > 1 (without a box)."""
    reference, X, y = points.reference, points.X, points.y
    if points.n_neighbors == 1:
        from arml.verify.radii import verify_points

        return verify_points(reference, X, y, bounds=bounds, time_limit=time_limit)
    from arml.intervals.radii import interval_points

    return interval_points(reference, X, y, points.n_neighbors, time_limit=time_limit, indices=points.index)
