"""How many points are decided at each radius, as Markdown and CSV: proved robust, broken, or neither."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from arml.report.known import known_of_methods
from arml.report.markup import csv_text, markdown_table
from arml.report.published import ALGORITHMS
from arml.report.study import Study, algorithms_in_words, method_label

__all__ = ["decided_csv", "decided_lines", "decided_overview"]

_COLUMNS = (
    "dataset", "method", "n_neighbors", "radius", "robust", "broken", "unknown", "unknown_by_the_papers_means",
    "n_points", "median_upper_to_lower", "median_upper_to_lower_by_the_papers_means", "exact",
)  # fmt: skip


def decided_lines(study: Study, dataset: str, n_neighbors: int) -> list[str]:
    """Return a table in Markdown: robust / broken / unknown of each method at each radius; nothing without attacks."""
    everyone = known_of_methods(study, dataset, n_neighbors)
    pairs = [(known, theirs) for known, theirs in everyone if known.attacks]
    if not pairs:
        return []
    first, radii = pairs[0][0], study.radii[dataset]
    compared = any(theirs is not None for _, theirs in pairs)
    certificates, attacks = algorithms_in_words(first.certificates), algorithms_in_words(first.attacks)
    caption = (
        f"**Decided, {n_neighbors}-NN**: proved robust / broken / unknown, by {certificates} on the one side and "
        f"{attacks} on the other, on the {first.n_points} test points that have them all."
    )
    if compared:
        by = algorithms_in_words([ALGORITHMS[kind] for kind in ("certified", "attacked")])
        caption += f" In brackets what {by} alone leave unknown."
    header = ["method", *(f"r = {r:g}" for r in radii), "upper/lower", "exact"]
    body = []
    for known, theirs in pairs:
        before = [None] * len(radii) if theirs is None else theirs.shares(radii)[:, 2].tolist()
        loose = "" if theirs is None else f" ({theirs.looseness:.3f})"
        cells = [_cell(shares, unknown) for shares, unknown in zip(known.shares(radii).tolist(), before)]
        body.append([method_label(known.method), *cells, f"{known.looseness:.3f}{loose}", f"{known.exact:.3f}"])
    note = (
        "upper/lower: median over the rightly classified points of shortest attack over largest certificate; exact: "
        "the share of them where the two meet."
    )
    bare = [method_label(known.method) for known, _ in everyone if not known.attacks]
    note += f" Not attacked here: {', '.join(bare)}." if bare else ""
    return [caption, "", *markdown_table(header, body), "", note]


def _cell(shares: Sequence[float], before: float | None) -> str:
    """Three shares, and what was unknown before: ``.412 / .548 / .040 (.310)``."""
    text = " / ".join(f"{share:.3f}".removeprefix("0") for share in shares)
    return text if before is None else f"{text} ({f'{before:.3f}'.removeprefix('0')})"


def decided_csv(study: Study) -> str:
    """The same of all data sets and every K > 1 as CSV, a row a method and radius."""
    return csv_text(_COLUMNS, _decided_rows(study))


def _decided_rows(study: Study) -> Iterator[tuple[object, ...]]:
    for dataset in study.dataset_names:
        for k in sorted({c.n_neighbors for c in study.select(dataset, "certified") if c.n_neighbors > 1}):
            for known, theirs in known_of_methods(study, dataset, k):
                if not known.attacks:
                    continue
                radii = study.radii[dataset]
                before = [None] * len(radii) if theirs is None else theirs.shares(radii)[:, 2].tolist()
                for radius, shares, left in zip(radii, known.shares(radii).tolist(), before):
                    loose = None if theirs is None else theirs.looseness
                    yield (
                        dataset, known.method, k, radius, *shares, left, known.n_points, known.looseness, loose,
                        known.exact,
                    )  # fmt: skip


def decided_overview(study: Study) -> list[str]:
    """Return the shares at each data set's middle radius as Markdown; nothing where intervals are not tightened."""
    found: dict[tuple[str, str], str] = {}
    points: dict[str, list[int]] = {}
    for dataset in study.dataset_names:
        for known, theirs in known_of_methods(study, dataset, study.n_neighbors):
            if theirs is not None:
                at = [study.middle_radius(dataset)]
                found[dataset, known.method] = _cell(known.shares(at)[0].tolist(), float(theirs.shares(at)[0, 2]))
                points.setdefault(dataset, []).append(known.n_points)
    if not found:
        return []
    header = ["method", *(study.middle_heading(name, counts) for name, counts in points.items())]
    body = [[method_label(m), *(found.get((name, m), "") for name in points)] for m in study.methods]
    by = algorithms_in_words([ALGORITHMS[kind] for kind in ("certified", "attacked")])
    caption = (
        f"Proved robust / broken / unknown, {study.n_neighbors}-NN, by all methods together (unknown by {by} alone):"
    )
    return [caption, "", *markdown_table(header, body), ""]
