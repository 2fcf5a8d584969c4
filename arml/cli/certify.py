"""``arml certify``: certified K-NN radii."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from arml.cli import options
from arml.cli.inputs import read_metric_file, read_problem
from arml.cli.outputs import check_targets
from arml.cli.points import Beside, asked, deliver, in_blocks

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["certify"]


def certify(
    train: options.Train,
    test: options.Test,
    label: options.Label = "label",
    metric: options.Metric = None,
    k: options.K = 11,
    bound: Annotated[
        str,
        typer.Option(
            "--bound",
            metavar="theorem1|plurality|packing",
            help=(
                "How radii are proved. *theorem1*: odd K. *plurality*: any K, never below theorem1. *packing*: any K, "
                "never below plurality, slower."
            ),
        ),
    ] = "theorem1",
    scaling: options.Scaling = None,
    name: options.Name = None,
    limit: options.Limit = None,
    out: options.Out = None,
    certificates: options.Certificates = None,
    as_json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Prove radii of a K-nearest-neighbour classifier.

    For each test point: a length within which no change of its features changes the right answer. The bound is safe
    but may be smaller than the truth; `arml verify` finds the truth, at more cost. Points that are classified wrong
    have radius 0.

    In the rows, **lower** is the proved radius. **status** is *bounded* (a radius was proved), *unsolved* (none) or
    *misclassified*.

    `arml certify train.csv test.csv --label kind -k 11 --out rows.parquet --certificates proofs.parquet`
    """
    check_targets((out, certificates), (train, test, metric), force)
    from arml.certify.radii import certify_points, check_bound
    from arml.knn.reference import reference_set
    from arml.results.found import certified_rows

    check_bound(bound, k)
    problem = read_problem(train, test, label, read_metric_file(metric), scaling=scaling, name=name, limit=limit)
    reference = reference_set(problem.X_train, problem.y_train, problem.metric.metric)

    def compute(rows: slice) -> pa.Table:
        points = asked(problem, reference, k, rows)
        return certified_rows(points, certify_points(reference, points.X, points.y, k, bound), bound)

    found = in_blocks("certify", problem, compute)
    beside = Beside("certificates", "evidence", found, certificates)
    options_given = {"n_neighbors": k, "bound": bound, "limit": limit}
    deliver("certify", problem, found, options_given, out=out, beside=beside, as_json=as_json)
