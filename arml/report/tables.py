"""Tables of a study as Markdown and CSV: Table 1, Table 2 and one overview.

Numbers are rounded here and nowhere before. Every Markdown cell ``0.119 (0.118, +0.001)`` is measured (paper, measured
− paper). Where the two are not of the same thing, a mark at the paper's value says so: † for another split, ‡ for
another algorithm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np

from arml.curves import TIGHTENED, Curve, wilson_interval
from arml.report import published
from arml.report.decided import decided_lines, decided_overview
from arml.report.markup import csv_text, markdown_table
from arml.report.published import paper_value
from arml.report.study import Study, algorithm_label, count_range, method_label
from arml.results.schemas import method_rank
from arml.results.stages import stage_of

KIND_TITLES = {
    "exact": "Robust error (exact)",
    "certified": "Certified robust error",
    "attacked": "Empirical robust error",
}
_OTHER_SPLIT, _OTHER_ALGORITHM = "†", "‡"


@dataclass(frozen=True)
class Cell:
    """One number of the tables: an error at a radius, its interval, and the paper's value beside it.

    ``paper_split`` is "" without a value of the paper, else "same" or "other", followed by the paper's algorithm
    where that is another one: "same, theorem1" beside a plurality bound. ``difference`` is measured − paper where
    both split and algorithm are the same.
    """

    dataset: str
    method: str
    kind: str
    algorithm: str
    n_neighbors: int
    radius: float
    error: float
    low: float
    high: float
    n_errors: int
    n_points: int
    unsolved: int
    clean_error: float
    paper: float | None
    paper_split: str
    difference: float | None
    best: bool


def algorithms(study: Study, kind: str, n_neighbors: int) -> list[str]:
    """The algorithms that a study has of a kind and K, the paper's first."""
    found = {c.algorithm for c in study.curves if (c.kind, c.n_neighbors) == (kind, n_neighbors)}
    return sorted(found, key=lambda name: (name != published.ALGORITHMS[kind], name))


def cells(study: Study, curves: Sequence[Curve]) -> list[Cell]:
    """Return the cells of these curves, radius by radius; ``best`` is among the methods of the same block."""
    rows = []
    for block in blocks(curves):
        radii = study.radii[block[0].dataset]
        errors = np.array([curve.errors(radii) for curve in block])
        lowest = errors.min(axis=0)
        decided = errors.max(axis=0) > lowest
        for curve, row in zip(block, errors):
            counts = curve.counts(radii)
            low, high = wilson_interval(counts, curve.n_points)
            for r, radius in enumerate(radii):
                published, split = _published(curve, radius)
                rows.append(
                    Cell(
                        dataset=curve.dataset,
                        method=curve.method,
                        kind=curve.kind,
                        algorithm=curve.algorithm,
                        n_neighbors=curve.n_neighbors,
                        radius=radius,
                        error=float(row[r]),
                        low=float(low[r]),
                        high=float(high[r]),
                        n_errors=int(counts[r]),
                        n_points=curve.n_points,
                        unsolved=curve.n_unsolved,
                        clean_error=curve.clean_error,
                        paper=published,
                        paper_split=split,
                        difference=float(row[r]) - published if published is not None and split == "same" else None,
                        best=bool(decided[r] and row[r] == lowest[r]),
                    )
                )
    return rows


def table1_curves(study: Study) -> list[Curve]:
    """The curves of Table 1: exact radii of 1-NN."""
    return [curve for curve in study.curves if curve.kind == "exact"]


def table2_curves(study: Study) -> list[Curve]:
    """The curves of Table 2: certified and attacked radii of K-NN, for the study's K."""
    return [c for c in study.curves if c.kind != "exact" and c.n_neighbors == study.n_neighbors]


def errors_csv(study: Study, curves: Sequence[Curve]) -> str:
    """Return the cells of these curves as CSV, one row a cell, at six decimals."""
    names = [field.name for field in fields(Cell)]
    return csv_text(names, (astuple(cell) for cell in cells(study, curves)))


IN_BRACKETS = "In brackets the paper's value, and measured − paper."
"""How Markdown tables set out what the HTML page has in columns."""


def errors_markdown(study: Study, curves: Sequence[Curve], title: str, decided: int = 0) -> str:
    """Return these curves as Markdown: a section a data set, a small table a kind, notes below.

    ``decided``: the K whose certificates and attacks are set against each other in a table more; 0 for none.
    """
    lines = [f"# {title}", "", f"{legend(study, curves)} {IN_BRACKETS}"]
    for dataset in study.dataset_names:
        tables = dataset_lines(study, dataset, curves)
        if tables:
            lines += ["", f"## {dataset}", *tables, *below_lines(study, dataset, decided)]
    return "\n".join(lines) + "\n"


def dataset_lines(study: Study, dataset: str, curves: Sequence[Curve]) -> list[str]:
    """Those of the curves that are of this data set as Markdown, a small table a kind; [] if none is."""
    chosen = [curve for curve in curves if curve.dataset == dataset]
    return [line for block in blocks(chosen) for line in ("", *_block_lines(study, block))]


def below_lines(study: Study, dataset: str, decided: int = 0) -> list[str]:
    """What stands below a data set's tables: what is decided at this K (0: left out), and notes on the fits."""
    lines = ["", *decided_lines(study, dataset, decided)] if decided else []
    notes = study.fit_notes(dataset)
    return [*lines, "", "Fits:", "", *(f"- {note}" for note in notes)] if notes else lines


TABLE1_TITLE = "Table 1: exact robust errors of Mahalanobis 1-NN"


def table2_title(study: Study) -> str:
    """The heading of Table 2."""
    return f"Table 2: certified and empirical robust errors of Mahalanobis {study.n_neighbors}-NN"


def table1_markdown(study: Study) -> str:
    """Table 1 in Markdown."""
    return errors_markdown(study, table1_curves(study), TABLE1_TITLE)


def table2_markdown(study: Study) -> str:
    """Table 2 in Markdown."""
    return errors_markdown(study, table2_curves(study), table2_title(study), decided=study.n_neighbors)


def legend(study: Study, curves: Sequence[Curve]) -> str:
    """How to read these curves' tables, marks included."""
    listed = cells(study, curves)
    text = (
        "Share of test points whose minimal perturbation is at most the radius (ℓ2, in the preprocessed "
        "features), the lowest value of a column in bold; unsolved points are counted, never dropped."
    )
    found = "".join(map(marks, listed))
    if _OTHER_SPLIT in found:
        text += f" {_OTHER_SPLIT}: the paper's value is for another split of the same data."
    if _OTHER_ALGORITHM in found:
        by = _other_algorithms(listed)
        text += f" {_OTHER_ALGORITHM}: the paper's value is by {by}, not by the algorithm measured here."
    return text


def _block_lines(study: Study, block: Sequence[Curve]) -> list[str]:
    """One small table (methods down, radii across) with its caption and remarks."""
    first, radii = block[0], study.radii[block[0].dataset]
    described = study.attack_note(block) if first.kind == "attacked" else algorithm_label(first.algorithm)
    points = count_range(curve.n_points for curve in block)
    caption = f"**{KIND_TITLES[first.kind]}, {first.n_neighbors}-NN**: {described}"
    caption += "." if first.kind == "attacked" else f", {points} test points."
    listed = cells(study, block)
    at_zero = {cell.method: cell.error for cell in listed if cell.radius == 0}
    clean = any(at_zero.get(curve.method) != curve.clean_error for curve in block)
    header = ["method", *(["clean"] if clean else []), *(f"r = {r:g}" for r in radii), "points", "unsolved"]
    body = []
    for curve in block:
        own = [cell for cell in listed if cell.method == curve.method]
        start = [method_label(curve.method), *([f"{curve.clean_error:.3f}"] if clean else [])]
        body.append([*start, *map(_cell_text, own), str(curve.n_points), str(curve.n_unsolved)])
    return [caption, "", *markdown_table(header, body), "", *remarks(study, block, listed, clean)]


def remarks(study: Study, block: Sequence[Curve], listed: Sequence[Cell], clean: bool) -> list[str]:
    """What is said under a table: widths of intervals, the farthest from the paper, what is open or left out."""
    half = max((cell.high - cell.low) / 2 for cell in listed)
    said = [f"95 % intervals (Wilson): at most ±{half:.3f}."]
    if not clean:
        said.append("The error at radius 0 is the clean error.")
    compared = [cell for cell in listed if cell.difference is not None]
    if compared:
        far = max(compared, key=lambda cell: abs(cell.difference or 0.0))
        where = f"{method_label(far.method)} at {far.radius:g}"
        said.append(f"Largest difference from the paper: {far.difference:+.3f} ({where}).")
    if any(cell.paper is not None and cell.n_points != published.N_POINTS for cell in listed):
        said.append(f"The paper's values are for a sample of {published.N_POINTS} test points.")
    skipped = ", ".join(map(method_label, _left_out(study, block)))
    said += [f"Left out here (skip, in the params): {skipped}."] if skipped else []
    gaps = [(method_label(c.method), int((c.gaps > 0).sum()), float(c.gaps.max())) for c in block]
    said += [
        f"{name}: {n} of the intervals left open (gap ≤ {gap:.2g}), counted at the lower end."
        for name, n, gap in gaps
        if n
    ]
    return [" ".join(said)]


def _left_out(study: Study, block: Sequence[Curve]) -> list[str]:
    """The methods that a table lacks because the params leave them out of its stage."""
    first, there = block[0], {curve.method for curve in block}
    stage = stage_of(first.kind, tightened=first.algorithm in TIGHTENED)
    return [method for method in study.skipped(stage, first.dataset) if method not in there]


def _cell_text(cell: Cell) -> str:
    measured = f"**{cell.error:.3f}**" if cell.best else f"{cell.error:.3f}"
    if cell.paper is None:
        return measured
    difference = "" if cell.difference is None else f", {cell.difference:+.3f}".replace("-", "−")
    return f"{measured} ({cell.paper:.3f}{marks(cell)}{difference})"


def marks(cell: Cell) -> str:
    """What stands behind the paper's value where it is of another split (†), or by another algorithm (‡)."""
    split = _OTHER_SPLIT if cell.paper_split.startswith("other") else ""
    return split + (_OTHER_ALGORITHM if "," in cell.paper_split else "")


def _other_algorithms(listed: Sequence[Cell]) -> str:
    """The paper's algorithms, in words, that are not those of the cells they stand in."""
    names = dict.fromkeys(cell.paper_split.partition(", ")[2] for cell in listed)
    return " or ".join(algorithm_label(name) for name in names if name)


def _published(curve: Curve, radius: float) -> tuple[float | None, str]:
    """The paper's value for a point of this curve, and its ``paper_split``."""
    algorithm = published.ALGORITHMS[curve.kind]
    found = paper_value(curve.dataset, curve.method, curve.kind, curve.n_neighbors, radius)
    if found is None:
        return None, ""
    split = "same" if found.same_split else "other"
    return found.error, split if curve.algorithm == algorithm else f"{split}, {algorithm}"


def blocks(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Group curves that are compared with each other: same data set, kind, algorithm and K; order kept."""
    blocks: dict[tuple[Any, ...], list[Curve]] = {}
    for curve in curves:
        blocks.setdefault((curve.dataset, curve.n_neighbors, curve.kind, curve.algorithm), []).append(curve)
    return [sorted(block, key=lambda curve: method_rank(curve.method)) for block in blocks.values()]


def overview_markdown(study: Study) -> str:
    """Return a table for every kind, by the paper's algorithm or else each other, at each data set's middle radius.

    Methods down, data sets across; then what certificates and attacks together decide.
    """
    lines = []
    for kind, n_neighbors in (("exact", 1), ("certified", study.n_neighbors), ("attacked", study.n_neighbors)):
        found = algorithms(study, kind, n_neighbors)
        if published.ALGORITHMS[kind] in found:
            found = [published.ALGORITHMS[kind]]
        for algorithm in found:
            named = "" if found == [published.ALGORITHMS[kind]] else f", {algorithm_label(algorithm)}"
            title = f"{KIND_TITLES[kind]}, {n_neighbors}-NN{named}"
            curves = [c for name in study.dataset_names for c in study.select(name, kind, n_neighbors, algorithm)]
            lines += _overview_lines(study, title, curves)
    lines += decided_overview(study)
    return "\n".join(lines)


def _overview_lines(study: Study, title: str, curves: Sequence[Curve]) -> list[str]:
    """One table of the overview: curves of one kind, algorithm and K."""
    own = {name: [curve for curve in curves if curve.dataset == name] for name in study.dataset_names}
    columns = [name for name in study.dataset_names if own[name]]
    at_middle = {
        (cell.dataset, cell.method): cell
        for cell in cells(study, curves)
        if cell.radius == study.middle_radius(cell.dataset)
    }
    header = ["method", *(study.middle_heading(name, (curve.n_points for curve in own[name])) for name in columns)]
    body = [
        [method_label(m), *(_cell_text(at_middle[d, m]) if (d, m) in at_middle else "" for d in columns)]
        for m in study.methods
    ]
    listed = list(at_middle.values())
    beside = any(cell.paper is not None for cell in listed)
    caption = f"{title}, measured (paper, difference)" if beside else title
    found = "".join(map(marks, listed))
    if _OTHER_SPLIT in found:
        caption += f"; {_OTHER_SPLIT}: the paper's is another split of the same data"
    if _OTHER_ALGORITHM in found:
        caption += f"; {_OTHER_ALGORITHM}: the paper's is by {_other_algorithms(listed)}"
    without = {m: [name for name in columns if m in _left_out(study, own[name])] for m in study.methods}
    said = "; ".join(f"{method_label(m)} on {', '.join(names)}" for m, names in without.items() if names)
    below = [f"Left out (skip, in the params): {said}.", ""] if said else []
    return [f"{caption}:", "", *markdown_table(header, body), "", *below]
