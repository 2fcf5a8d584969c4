"""What certify, verify and attack share: test points go through some at a time, and their rows come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arml.cli.console import print_json, print_table, progress
from arml.cli.outputs import facts

if TYPE_CHECKING:
    import pyarrow as pa

    from arml.cli.inputs import Problem
    from arml.knn.reference import ReferenceSet
    from arml.results.found import Asked

__all__ = ["Beside", "asked", "deliver", "in_blocks"]

_BLOCK = 64


def in_blocks(title: str, problem: Problem, compute: Callable[[slice], pa.Table]) -> pa.Table:
    """Call ``compute`` for some rows of the test points at a time, with a progress bar; returns its tables as one.

    A point's result does not depend on its block.
    """
    import pyarrow as pa

    n = len(problem.y)
    tables = []
    with progress(title, n) as advance:
        for start in range(0, n, _BLOCK):
            rows = slice(start, min(start + _BLOCK, n))
            tables.append(compute(rows))
            advance(rows.stop - rows.start)
    return pa.concat_tables(tables)


def asked(problem: Problem, reference: ReferenceSet, n_neighbors: int, rows: slice) -> Asked:
    """Some test points, as the rows about them say."""
    from arml.results.found import Asked

    return Asked(
        dataset=problem.name,
        method=problem.metric.method,
        reference=reference,
        n_neighbors=n_neighbors,
        X=problem.X[rows],
        y=problem.y[rows],
        index=range(rows.start, rows.stop),
    )


@dataclass(frozen=True)
class Beside:
    """A second output: what it is, its schema, its rows where it is asked for, and where it goes (None: nowhere)."""

    what: str
    schema: str
    rows: pa.Table | None
    target: Path | None


def deliver(
    command: str,
    problem: Problem,
    found: pa.Table,
    options: Mapping[str, Any],
    *,
    out: Path | None,
    beside: Beside,
    as_json: bool,
) -> None:
    """Write what was asked for, and say what came out.

    Parameters
    ----------
    command : str
    problem : Problem
    found : pyarrow.Table
        Rows, or rows of evidence, of one method, K and kind.
    options : mapping
        What was asked, for the provenance.
    out : Path or None
        Where the rows go.
    beside : Beside
    as_json : bool
    """
    from arml.results.evidence import results_of
    from arml.results.parquet import write_table

    stamp = facts(problem, command, options)
    if beside.target is not None:
        write_table(beside.target, beside.rows, beside.schema, stamp)
    rows = results_of(found)
    if out is not None:
        write_table(out, rows, "results", stamp)
    written = (("rows", out), (beside.what, beside.target))
    _report(command, rows, written, as_json=as_json, units=problem.facts["scaling"])


def _report(
    command: str, rows: pa.Table, written: Sequence[tuple[str, Path | None]], *, as_json: bool, units: str
) -> None:
    """Say what came out: counts and quartiles as a table, or everything as JSON.

    Parameters
    ----------
    command : str
    rows : pyarrow.Table
        Schema "results", of one method, K and kind.
    written : sequence of (str, Path or None)
        Output files by what they are; None where none was asked for.
    as_json : bool
    units : str
        The scaling of the features, in which radii are lengths.
    """
    summary = _summary(rows)
    files = {what: str(path) for what, path in written if path is not None}
    if as_json:
        points = rows.select(["index", "label", "prediction", "status", "lower", "upper", "witness"]).to_pylist()
        print_json({"command": command, **summary, "scaling": units, "files": files, "points": points})
        return
    first = f"{summary['dataset']}: {summary['method']}, K = {summary['n_neighbors']}, {summary['algorithm']}"
    lines = [("points", str(summary["n_points"])), ("clean error", f"{summary['clean_error']:.3f}")]
    lines += [(f"  {status}", str(count)) for status, count in summary["statuses"].items()]
    for side in ("lower", "upper"):
        quartiles = summary[side]
        if quartiles is not None:
            lines.append((f"{_SIDES[side]}: quartiles", " / ".join(f"{value:.4g}" for value in quartiles)))
    where = "; ".join(f"{what}: {path}" for what, path in files.items())
    unit = "as given" if units == "none" else f"scaled ({units})"
    print_table(first, ("", command), lines, caption=f"Lengths are in the features {unit}. {where}".rstrip())


_SIDES = {"lower": "proved radius", "upper": "length that breaks"}


def _summary(rows: pa.Table) -> dict[str, Any]:
    import numpy as np

    from arml.results.schemas import STATUSES, column

    first = rows.slice(0, 1).to_pylist()[0]
    statuses = column(rows, "status").tolist()
    wrong = column(rows, "label") != column(rows, "prediction")
    sides = {}
    for side, kinds in (("lower", ("exact", "certified")), ("upper", ("exact", "attacked"))):
        values = column(rows, side)
        known = first["kind"] in kinds
        sides[side] = np.quantile(values, (0.25, 0.5, 0.75), method="lower").tolist() if known else None
    return {
        **{name: first[name] for name in ("dataset", "method", "kind", "algorithm", "n_neighbors")},
        "n_points": rows.num_rows,
        "clean_error": float(wrong.mean()),
        "statuses": {status: statuses.count(status) for status in STATUSES if status in statuses},
        **sides,
    }
