"""``arml check``: stored certificates, proved again without the code that made them."""

from __future__ import annotations

import math
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
_RANGES = 3


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
    it. Every other column of a row is held against the certificate and the classifier, and the rows against those that
    the files claim to cover, once each. Give TRAIN, TEST, --metric and --scaling as they were when certificates were
    made; the certificates say how features were scaled, so that --scaling can be left out.

    Exit code 0: every certificate is accepted, and none is missing. 1: some are rejected or missing. 2: they cannot be
    checked.

    `arml check train.csv test.csv proofs.parquet --label kind --metric metric.npz`

    `arml check data/processed/toy/train.parquet data/processed/toy/test.parquet data/certificates/toy/exact/*.parquet
    --metric data/metrics/toy/arml.parquet --metric data/metrics/toy/nca.parquet`
    """
    check_parquet(files)
    check_targets((out,), (train, test, *files, *(metric or ())), force)
    import pyarrow as pa

    from arml.results.audit import accounted, claimed_rows, groups_of
    from arml.results.evidence import rejections
    from arml.results.parquet import write_table

    metrics = _by_method([read_metric_file(path) for path in metric or ()])
    claims = [_claims(file) for file in files]
    evidence = pa.concat_tables([table for table, _ in claims])
    _check_dataset(evidence)
    problem = read_problem(train, test, label, Metric(), scaling=scaling or _scaling([said for _, said in claims]))
    n_test = len(problem.y)
    methods = _methods(evidence, metrics, problem)
    evidence = _by_methods(evidence, methods)
    claimed = claimed_rows(claims, n_test)
    verdicts = accounted(evidence, _verdicts(evidence, problem, methods), claimed)
    there = groups_of(evidence)
    missing = {group: sorted(set(rows).difference(there[group])) for group, rows in claimed.items()}
    rejected = rejections(verdicts)
    if out is not None:
        write_table(out, verdicts, "checks", facts(problem, "check", {"files": [file.name for file in files]}))
    _report(evidence, verdicts, claimed, missing, n_test, as_json)
    if rejected:
        note(f"error: {len(rejected)} of {verdicts.num_rows} certificates are rejected; the first: {rejected[0]}")
    lacking = {group: rows for group, rows in missing.items() if rows}
    if lacking:
        group, rows = next(iter(lacking.items()))
        note(
            f"error: {sum(map(len, lacking.values()))} rows that the files claim to cover have no certificate; "
            f"the first: row {rows[0]} of {_name(group)}"
        )
    if rejected or lacking:
        raise typer.Exit(DOES_NOT_HOLD)


def _name(group: tuple[Any, ...]) -> str:
    dataset, method, kind, algorithm, k, norm, low, high = group
    name = f"{dataset} {method} {kind} {algorithm} K={k}"
    return name + ("" if norm == 2.0 else f" ℓ{norm:g}") + ("" if high == math.inf else f" in [{low:g}, {high:g}]")


def _by_method(metrics: Sequence[Metric]) -> dict[str, Metric]:
    found = {EUCLIDEAN: Metric()}
    for metric in metrics:
        if metric.method in found and metric.method != EUCLIDEAN:
            raise ValueError(
                f"--metric was given two metrics of the method {metric.method!r}; check them one at a time"
            )
        found[metric.method] = metric
    return found


def _claims(file: Path) -> tuple[pa.Table, dict[str, Any]]:
    """The rows of a file, and what it says of itself."""
    from arml.results.parquet import read_table, table_provenance

    table = read_table(file, "evidence")
    said = table_provenance(table)
    names = set(table["dataset"].unique().to_pylist())
    if "dataset" in said and names - {said["dataset"]}:
        raise DataError(f"{file}: says that it is about {said['dataset']!r}, its rows are about {sorted(names)}")
    return table.replace_schema_metadata(None), said


def _check_dataset(evidence: pa.Table) -> None:
    """Refuse what is not about one data set."""
    if evidence.num_rows == 0:
        raise DataError("the files hold no certificate: there is nothing to check")
    names = sorted(evidence["dataset"].unique().to_pylist())
    if len(names) > 1:
        raise DataError(f"certificates are about the data sets {', '.join(names)}: check one at a time")


def _scaling(facts_of_files: Sequence[Mapping[str, Any]]) -> str | None:
    """The scaling that the certificates were made with, where they say it."""
    said = {facts_of_one.get("scaling") for facts_of_one in facts_of_files}
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


def _by_methods(evidence: pa.Table, methods: Mapping[str, Metric]) -> pa.Table:
    """The same rows, method by method."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pa.concat_tables([evidence.filter(pc.equal(evidence["method"], method)) for method in methods])


def _verdicts(evidence: pa.Table, problem: Problem, methods: Mapping[str, Metric]) -> pa.Table:
    """Rows of the schema "checks", one for each of evidence that is ordered by method."""
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


def _report(
    evidence: pa.Table,
    verdicts: pa.Table,
    claimed: Mapping[tuple[Any, ...], Sequence[int]],
    missing: Mapping[tuple[Any, ...], Sequence[int]],
    n_test: int,
    as_json: bool,
) -> None:
    from arml.results.audit import GROUP
    from arml.results.evidence import rejections

    groups: dict[tuple[Any, ...], list[bool]] = {}
    columns = [evidence[name].to_pylist() for name in GROUP]
    for *group, accepted in zip(*columns, verdicts["accepted"].to_pylist(), strict=True):
        groups.setdefault(tuple(group), []).append(accepted)
    rejected = rejections(verdicts)
    if as_json:
        counted = [
            {
                **dict(zip(GROUP[:5], key, strict=False)),
                "norm": f"{key[5]:g}",
                "box": None if key[7] == math.inf else list(key[6:]),
                "covers": [list(pair) for pair in _runs(claimed[key])],
                "checked": len(accepted),
                "accepted": sum(accepted),
                "missing": list(missing[key]),
            }
            for key, accepted in groups.items()
        ]
        answer = {
            "checked": verdicts.num_rows,
            "rejected": len(rejected),
            "missing": sum(map(len, missing.values())),
            "test_rows": n_test,
            "groups": counted,
            "rejections": rejected,
        }
        print_json({"command": "check", **answer})
        return
    lines = [
        (
            _name(key),
            f"{_ranges(claimed[key])} of {n_test}",
            str(len(accepted)),
            str(len(accepted) - sum(accepted)),
            str(len(missing[key])),
        )
        for key, accepted in groups.items()
    ]
    print_table("Certificates proved again", ("certificates", "rows claimed", "checked", "rejected", "missing"), lines)
    for line in rejected[:_NAMED]:
        note(f"rejected: {line}")


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive rows, which are ascending."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and row == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], row
        else:
            runs.append((row, row))
    return runs


def _ranges(rows: Sequence[int]) -> str:
    """Rows in words, such as "0–99"; many runs as their number of rows."""
    runs = _runs(rows)
    if not 1 <= len(runs) <= _RANGES:
        return str(len(rows))
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)
