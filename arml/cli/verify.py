"""``arml verify``: exact radii, or as exact as the time given allows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arml.cli import options
from arml.cli.inputs import Problem, read_metric_file, read_problem
from arml.cli.outputs import check_targets, facts
from arml.cli.points import in_blocks, report

if TYPE_CHECKING:
    import pyarrow as pa

    from arml.knn.reference import ReferenceSet

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
    from arml.results.evidence import results_of
    from arml.results.parquet import write_table

    problem = read_problem(train, test, label, read_metric_file(metric), scaling=scaling, name=name, limit=limit)
    reference = reference_set(problem.X_train, problem.y_train, problem.metric.metric)

    def compute(rows: slice) -> pa.Table:
        if k == 1:
            return _exact(problem, reference, rows, bounds=box, time_limit=time_limit)
        return _intervals(problem, reference, rows, k, time_limit)

    found = in_blocks("verify", problem, compute)
    stamp = facts(problem, "verify", {"n_neighbors": k, "bounds": box, "time_limit": time_limit, "limit": limit})
    if certificates is not None:
        write_table(certificates, found, "evidence", stamp)
    table = results_of(found)
    if out is not None:
        write_table(out, table, "results", stamp)
    written: tuple[tuple[str, Path | None], ...] = (("rows", out), ("certificates", certificates))
    report("verify", table, written, as_json=as_json, units=problem.facts["scaling"])


def _exact(problem: Problem, reference: ReferenceSet, rows: slice, **how: Any) -> pa.Table:
    """Rows of evidence of K = 1."""
    from arml.knn.neighbors import predict_labels
    from arml.results.evidence import evidence_table
    from arml.results.parquet import exact_table
    from arml.verify.radii import verify_points

    X, y = problem.X[rows], problem.y[rows]
    found = verify_points(reference, X, y, **how)
    table = exact_table(
        dataset=problem.name,
        method=problem.metric.method,
        index=range(rows.start, rows.stop),
        label=y,
        prediction=predict_labels(reference, X, 1),
        lower=found.lower,
        upper=found.upper,
        status=found.status,
        witness=found.negative,
    )
    return evidence_table(table, found.certificates)


def _intervals(problem: Problem, reference: ReferenceSet, rows: slice, k: int, time_limit: float | None) -> pa.Table:
    """Rows of results of K > 1."""
    from arml.intervals.radii import interval_points
    from arml.knn.neighbors import predict_labels
    from arml.results.parquet import exact_table

    X, y, index = problem.X[rows], problem.y[rows], range(rows.start, rows.stop)
    found = interval_points(reference, X, y, k, time_limit=time_limit, indices=index)
    return exact_table(
        dataset=problem.name,
        method=problem.metric.method,
        n_neighbors=k,
        index=index,
        label=y,
        prediction=predict_labels(reference, X, k),
        lower=found.lower,
        upper=found.upper,
        status=found.status,
        algorithm="branching",
    )
