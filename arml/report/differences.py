"""Where a study and the paper differ: every cell that is more than 0.02 off, with what explains it, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arml.report import published
from arml.report.markup import csv_text, markdown_table
from arml.report.study import Study, method_label
from arml.report.tables import Cell, cells, table1_curves, table2_curves

__all__ = ["TOLERANCE", "UNEXPLAINED", "Difference", "beyond", "deterministic", "differences", "differences_csv",
           "differences_markdown"]  # fmt: skip

TOLERANCE = 0.02
UNEXPLAINED = "unexplained"
_ROUNDING = 1e-9
_LAST_DIGIT = 5e-4 + _ROUNDING  # the paper prints three decimals


@dataclass(frozen=True)
class Difference:
    """A cell that differs from the paper's by more than `TOLERANCE`, and why ("unexplained" where nothing says)."""

    cell: Cell
    reason: str


def deterministic(study: Study) -> tuple[int, int, list[Cell]]:
    """Compare the cells that leave no choice: the Euclidean metric, proofs, the paper's split and its 1000 points.

    Data sets whose rows come in another order than the authors' (`paper.OTHER_ORDER`, and all from a package) have
    another sample.

    Returns
    -------
    equal, compared : int
        Cells equal to the paper's printed digits, of so many.
    others : list of Cell
        Those that are not.
    """
    fixed = [
        cell
        for cell in _compared(study)
        if cell.method == "euclidean" and cell.kind != "attacked" and _same_points(study, cell)
    ]
    others = [cell for cell in fixed if abs(cell.difference or 0.0) > _LAST_DIGIT]
    return len(fixed) - len(others), len(fixed), others


def differences(study: Study) -> tuple[list[Difference], int]:
    """Return the cells of Tables 1 and 2 beyond the tolerance, and how many have a value of the paper to compare."""
    compared = _compared(study)
    return [Difference(cell, _reason(study, cell)) for cell in compared if beyond(cell)], len(compared)


def beyond(cell: Cell) -> bool:
    """Whether a cell differs from the paper's by more than the tolerance; False where there is none to compare."""
    return abs(cell.difference or 0.0) > TOLERANCE + _ROUNDING


def differences_csv(study: Study) -> str:
    """The list as CSV, a row a cell."""
    columns = ("dataset", "method", "kind", "n_neighbors", "radius", "error", "paper", "difference", "low", "high",
               "n_points", "reason")  # fmt: skip
    found, _ = differences(study)
    return csv_text(columns, ([*(getattr(d.cell, name) for name in columns[:-1]), d.reason] for d in found))


def differences_markdown(study: Study) -> str:
    """The list in Markdown, a row a method and kind of a data set; "" where the paper has none of the cells."""
    found, compared = differences(study)
    if not compared:
        return ""
    equal, fixed, others = deterministic(study)
    lines = ["# Where the numbers differ from the paper's", ""]
    if fixed:
        lines += [
            "Cells that leave no choice (the Euclidean metric, proofs, the paper's split and its very "
            f"{published.N_POINTS} test points): {equal} of {fixed} equal the paper's to its last digit.",
            "",
        ]
        where = [f"{_place(cell)}: {cell.error:.3f}, paper {cell.paper:.3f}" for cell in others]
        lines += [*(f"- {text}" for text in where), ""] if where else []
    said = f"{len(found)} of {compared} cells of Tables 1 and 2 differ by more than {TOLERANCE:g}"
    unexplained = sum(d.reason.startswith(UNEXPLAINED) for d in found)
    lines += [f"{said}, {unexplained} of them unexplained{':' if found else '.'}", ""]
    if found:
        header = ["data set", "method", "error", "r: measured − paper", "why"]
        body = [
            [first.cell.dataset, method_label(first.cell.method), _evidence(first.cell), _where(rows), first.reason]
            for rows in _grouped(found)
            for first in rows[:1]
        ]
        lines += markdown_table(header, body, prose=2)
    return "\n".join(lines).rstrip() + "\n"


def _compared(study: Study) -> list[Cell]:
    """Cells of both tables beside the paper's value for the same split and algorithm."""
    curves = [*table1_curves(study), *table2_curves(study)]
    return [cell for cell in cells(study, curves) if cell.difference is not None]


def _reason(study: Study, cell: Cell) -> str:
    fit = study.fits.get(cell.dataset, {}).get(cell.method, {})
    used, available = fit.get("n_fit_samples"), fit.get("n_train")
    if isinstance(used, int) and isinstance(available, int) and used < available:
        return f"fitted on {used} of {available} points"
    points = "" if _same_points(study, cell) else _points(study, cell)
    if points and cell.paper is not None and cell.low <= cell.paper <= cell.high:
        return f"{points}: the paper's value is within the 95 % interval"
    # where the proofs beside an attack agree with the paper's, the metric is not the reason
    if cell.kind == "attacked" and (points or cell.radius > 0) and _proofs_agree(study, cell):
        return _of_attack(cell, points)
    if fit.get("converged") is False:
        return f"{UNEXPLAINED}; the fit had not converged here"
    return UNEXPLAINED


def _same_points(study: Study, cell: Cell) -> bool:
    """Whether these are the paper's test points: its number, in the order that its shuffle takes them from."""
    return cell.n_points == published.N_POINTS and _papers_order(study, cell.dataset)


def _papers_order(study: Study, dataset: str) -> bool:
    """Whether the paper's shuffle takes the paper's points; a package has its rows in an order of its own."""
    return dataset not in published.OTHER_ORDER and study.datasets.get(dataset, {}).get("source") != "package"


def _points(study: Study, cell: Cell) -> str:
    """Which points a cell is of, where not of the paper's: a sample is the first so many of the paper's shuffle."""
    if cell.n_points < published.N_POINTS and _papers_order(study, cell.dataset):
        return f"{cell.n_points} of the paper's {published.N_POINTS} points"
    return f"{cell.n_points} test points, another sample"


def _proofs_agree(study: Study, cell: Cell) -> bool:
    """Whether the certified error beside an attacked one is within the tolerance of the paper's."""
    return any(
        (other.dataset, other.method, other.radius) == (cell.dataset, cell.method, cell.radius)
        and other.kind == "certified"
        and not beyond(other)
        for other in _compared(study)
    )


def _of_attack(cell: Cell, points: str) -> str:
    """What an attack found, on which points; at radius 0 nothing is searched for, that is their clean error."""
    if cell.radius == 0:
        return f"the clean error of {points}; the proofs beside it agree"
    which = "more" if (cell.difference or 0.0) > 0 else "fewer"
    on = f", on {points}," if points else ""
    return f"a random search from random starts{on} found {which} than the paper's; the proofs beside it agree"


def _place(cell: Cell) -> str:
    return f"{cell.dataset}, {method_label(cell.method)}, {_evidence(cell)}, r = {cell.radius:g}"


def _evidence(cell: Cell) -> str:
    return f"{cell.kind} {cell.n_neighbors}-NN"


def _where(rows: Sequence[Difference]) -> str:
    return ", ".join(f"{d.cell.radius:g}: {d.cell.difference:+.3f}" for d in rows)


def _grouped(found: Sequence[Difference]) -> list[list[Difference]]:
    groups: dict[tuple[str, str, str, int, str], list[Difference]] = {}
    for d in found:
        key = (d.cell.dataset, d.cell.method, d.cell.kind, d.cell.n_neighbors, d.reason)
        groups.setdefault(key, []).append(d)
    return list(groups.values())
