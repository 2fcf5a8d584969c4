"""``arml check``: stored certificates, proved again without the code that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arml.cli import options
from arml.cli.console import DOES_NOT_HOLD, note, print_json, print_table, progress
from arml.cli.inputs import EUCLIDEAN, Metric, Problem, check_parquet, read_metric_file, read_problem
from arml.cli.outputs import check_targets, facts
from arml.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check"]

_BLOCK = 64
_NAMED = 10


def check(
    train: options.Train,
    test: options.Test,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="CERTIFICATES...",
            show_default=False,
            help="What `arml certify` or `arml verify` wrote by --certificates, or the pipeline.",
        ),
    ],
    label: options.Label = "label",
    metric: Annotated[
        list[Path] | None,
        options.about_data(
            "--metric",
            "FILE",
            "The metric that the certificates are about; once for each method in the files. Euclidean needs none.",
        ),
    ] = None,
    scaling: options.Scaling = None,
    out: Annotated[
        Path | None, options.output_file("--out", "Write the verdicts, one a certificate, to this Parquet file.")
    ] = None,
    as_json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Prove stored certificates again.

    The checker shares no code with the solvers: from the data, the metric and what a certificate names (training
    points, multipliers, the breaking change) it proves the claimed radius by a few lines of linear algebra, or rejects
    it. Give TRAIN, TEST, --metric and --scaling as they were when the certificates were made; the certificates say how
    features were scaled, so that --scaling can be left out.

    Exit code 0: every certificate is accepted. 1: at least one is rejected. 2: they cannot be checked.

    `arml check train.csv test.csv proofs.parquet --label kind --metric metric.npz`

    `arml check data/processed/toy/train.parquet data/processed/toy/test.parquet data/certificates/toy/exact/*.parquet
    --metric data/metrics/toy/arml.parquet --metric data/metrics/toy/nca.parquet`
    """
    check_parquet(files)
    check_targets((out,), (train, test, *files, *(metric or ())), force)
    from arml.results.evidence import rejections
    from arml.results.parquet import write_table

    metrics = _by_method([read_metric_file(path) for path in metric or ()])
    evidence = _evidence(files)
    problem = read_problem(train, test, label, Metric(), scaling=scaling or _scaling(files))
    methods = _methods(evidence, metrics, problem)
    verdicts = _verdicts(evidence, problem, methods)
    rejected = rejections(verdicts)
    if out is not None:
        write_table(out, verdicts, "checks", facts(problem, "check", {"files": [file.name for file in files]}))
    _report(verdicts, rejected, as_json)
    if rejected:
        note(f"error: {len(rejected)} of {verdicts.num_rows} certificates are rejected; the first: {rejected[0]}")
        raise typer.Exit(DOES_NOT_HOLD)


def _by_method(metrics: Sequence[Metric]) -> dict[str, Metric]:
    found = {EUCLIDEAN: Metric()}
    for metric in metrics:
        if metric.method in found and metric.method != EUCLIDEAN:
            raise ValueError(
                f"--metric was given two metrics of the method {metric.method!r}; check them one at a time"
            )
        found[metric.method] = metric
    return found


def _evidence(files: Sequence[Path]) -> pa.Table:
    import pyarrow as pa

    from arml.results.parquet import read_table

    table = pa.concat_tables([read_table(file, "evidence").replace_schema_metadata(None) for file in files])
    if table.num_rows == 0:
        raise DataError("the files hold no certificate: there is nothing to check")
    return table


def _scaling(files: Sequence[Path]) -> str | None:
    """The scaling that the certificates were made with, where they say it."""
    from arml.results.parquet import read_provenance

    said = {read_provenance(file).get("scaling") for file in files}
    if len(said) > 1:
        raise DataError(f"the certificates were made with different scalings ({said}): check them one at a time")
    return said.pop()


def _methods(evidence: pa.Table, metrics: Mapping[str, Metric], problem: Problem) -> dict[str, Metric]:
    """The metric of each method that the certificates are about."""
    import pyarrow.compute as pc

    n, last = len(problem.y), pc.max(evidence["index"]).as_py()
    if last >= n:
        raise DataError(f"a certificate is about row {last} of the test file, which has {n}: is it another one?")
    wanted = sorted(pc.unique(evidence["method"]).to_pylist())
    lacking = [method for method in wanted if method not in metrics]
    if lacking:
        raise DataError(
            f"certificates are about {', '.join(wanted)}: give by --metric the metric of {', '.join(lacking)}"
        )
    for method in wanted:
        learned = metrics[method].scaling
        if learned not in (None, problem.facts["scaling"]):
            raise DataError(
                f"the metric of {method} was learned with --scaling {learned}, the certificates were made with "
                f"--scaling {problem.facts['scaling']}: they are about another metric"
            )
    return {method: metrics[method] for method in wanted}


def _verdicts(evidence: pa.Table, problem: Problem, methods: Mapping[str, Metric]) -> pa.Table:
    """Rows of the schema "checks", method by method."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from arml.check import CertificateChecker
    from arml.results.audit import audit_rows

    tables = []
    with progress("check", evidence.num_rows) as advance:
        for method, metric in methods.items():
            checker = CertificateChecker(problem.X_train, problem.y_train, metric.metric)
            own = evidence.filter(pc.equal(evidence["method"], method))
            for start in range(0, own.num_rows, _BLOCK):
                rows = own.slice(start, _BLOCK)
                tables.append(audit_rows(checker, rows, problem.X, problem.y))
                advance(rows.num_rows)
    return pa.concat_tables(tables)


def _report(verdicts: pa.Table, rejected: Sequence[str], as_json: bool) -> None:
    groups: dict[tuple[Any, ...], list[bool]] = {}
    for row in verdicts.select(["dataset", "method", "kind", "algorithm", "n_neighbors", "accepted"]).to_pylist():
        groups.setdefault(tuple(row.values())[:-1], []).append(row["accepted"])
    if as_json:
        names = ("dataset", "method", "kind", "algorithm", "n_neighbors")
        counted = [
            {**dict(zip(names, key, strict=True)), "checked": len(accepted), "accepted": sum(accepted)}
            for key, accepted in groups.items()
        ]
        answer = {
            "checked": verdicts.num_rows,
            "rejected": len(rejected),
            "groups": counted,
            "rejections": list(rejected),
        }
        print_json({"command": "check", **answer})
        return
    lines = [
        (" ".join((dataset, method, kind, algorithm, f"K={k}")), str(len(accepted)), str(len(accepted) - sum(accepted)))
        for (dataset, method, kind, algorithm, k), accepted in groups.items()
    ]
    print_table("Certificates proved again", ("certificates", "checked", "rejected"), lines)
    for line in rejected[:_NAMED]:
        note(f"rejected: {line}")
