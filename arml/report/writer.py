"""The report: the sandwich gate, then tables, figures, metrics and the page that shows them.

Every number on the page is computed from the study's files, and from nothing that differs between equal runs: what a
run took, and where, is on a page of its own (:mod:`arml.report.run_page`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from arml.curves import Curve
from arml.report import published
from arml.report.decided import decided_csv
from arml.report.differences import differences_csv
from arml.report.dvc_plots import plot_files
from arml.report.figures import Drawn, draw_figures
from arml.report.known import known_of_methods
from arml.report.latex import errors_latex
from arml.report.networks import check_smoothing, comparison_markdown, competitors
from arml.report.opening_figure import draw_opening
from arml.report.page import page_html
from arml.report.sections import Appendix, Section, keep_figures, report_sections, section_markdown
from arml.report.study import Study
from arml.report.tables import (
    errors_csv,
    overview_markdown,
    table1_curves,
    table1_markdown,
    table2_curves,
    table2_markdown,
)
from arml.report.toy_figure import ToyFit, draw_boundaries
from arml.report.verdict import verdict_lines
from arml.system.files import write_json, write_text

_CLAIM = (
    "Claim under test: a Mahalanobis metric learned for adversarial robustness (ARML) makes nearest-neighbour "
    "classifiers more robust, provably, than the Euclidean metric and than metrics learned for accuracy, at a "
    "clean error as good as theirs."
)


def write_report(
    study: Study,
    folder: str | os.PathLike[str],
    *,
    toy: Sequence[ToyFit] = (),
    appendices: Sequence[Appendix] = (),
) -> list[Path]:
    """Check the sandwich, then write the whole report into `folder`.

    Parameters
    ----------
    study : Study
    folder : path
        Gets ``index.html`` and ``index.md``, ``metrics.json``, ``tables/`` (Markdown, CSV, LaTeX), ``figures/`` (SVG)
        and ``plots/`` (curves for ``dvc plots``).
    toy : sequence of ToyFit
        The metrics of Figure 1; without them it is left out.
    appendices : sequence of Appendix
        Other reports to take in.

    Returns
    -------
    list of Path
        Every file written.

    Raises
    ------
    SandwichError
        A lower bound exceeds an upper bound, or no bounds met. Nothing is written then.
    DataError
        The folder cannot be written to.
    """
    study.sandwich.raise_if_failed()
    check_smoothing(study)
    folder = Path(folder)
    texts = {
        "tables/overview.md": overview_markdown(study),
        "tables/table1.md": table1_markdown(study),
        "tables/table1.csv": errors_csv(study, table1_curves(study)),
        "tables/table1.tex": errors_latex(study, table1_curves(study)),
        "tables/table2.md": table2_markdown(study),
        "tables/table2.csv": errors_csv(study, table2_curves(study)),
        "tables/table2.tex": errors_latex(study, table2_curves(study)),
        "tables/decided.csv": decided_csv(study),
        "tables/differences.csv": differences_csv(study),
        "tables/errors.csv": errors_csv(study, study.curves),
        **{f"plots/{name}.csv": text for name, text in plot_files(study).items()},
    }
    if study.networks:
        texts |= {
            "tables/networks.md": comparison_markdown(study),
            "tables/networks.csv": errors_csv(study, study.networks),
        }
    figures = folder / "figures"
    opening = draw_opening(study, figures)
    drawn = [*([draw_boundaries(toy, figures)] if toy else []), *draw_figures(study, figures)]
    kept = [(appendix, keep_figures(appendix, figures)) for appendix in appendices]
    sections = report_sections(study, drawn, kept, toy)
    texts["index.md"] = index_markdown(study, sections, opening)
    texts["index.html"] = page_html(study, _CLAIM, _gate_facts(study), sections, opening)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_json(folder / "metrics.json", headline_metrics(study))
    pictures = [
        figure.file for figure in (*([opening] if opening else []), *drawn, *(one for _, own in kept for one in own))
    ]
    return [*(folder / name for name in texts), *pictures, folder / "metrics.json"]


def headline_metrics(study: Study) -> dict[str, Any]:
    """Return the numbers for ``dvc metrics``: data set → method → error at the middle radius, by evidence.

    Keys are ``clean_<K>nn`` (over the points that the exact radii or the certificates cover) and ``<kind>_<K>nn``
    (``<kind>_<K>nn_<algorithm>`` for algorithms the paper does not use), ``unknown_<K>nn`` where bounds were
    tightened, and ``unsolved``; of a network the name of its certificate. Beside the methods ``radius`` says which
    radius that is. ``sandwich`` and ``certificates`` count.
    """
    found: dict[str, Any] = {}
    for dataset in study.dataset_names:
        middle = study.middle_radius(dataset)
        entry: dict[str, Any] = {"radius": middle}
        for curve in (curve for curve in study.curves if curve.dataset == dataset):
            numbers = entry.setdefault(curve.method, {"unsolved": 0})
            name = f"{curve.kind}_{curve.n_neighbors}nn"
            if curve.algorithm != published.ALGORITHMS[curve.kind]:
                name += f"_{curve.algorithm}"
            numbers[name] = round(float(curve.errors([middle])[0]), 6)
            numbers["unsolved"] += curve.n_unsolved
        for (method, k), curve in _widest(study, dataset).items():
            entry[method][f"clean_{k}nn"] = round(curve.clean_error, 6)
        for one in competitors(study, dataset):
            if one.name not in entry:
                entry[one.name] = {one.proved.algorithm: round(float(one.proved.errors([middle])[0]), 6)}
        for known, theirs in known_of_methods(study, dataset, study.n_neighbors):
            if theirs is not None:
                entry[known.method][f"unknown_{study.n_neighbors}nn"] = round(float(known.shares([middle])[0, 2]), 6)
        found[dataset] = entry
    found["sandwich"] = {
        "comparisons": study.sandwich.n_comparisons,
        "violations": len(study.sandwich.violations),
    }
    found["certificates"] = {"stored": study.certificates, "checked": study.checked}
    return found


def _widest(study: Study, dataset: str) -> dict[tuple[str, int], Curve]:
    """For each method and K what a clean error is taken from: a proof, by the paper's algorithm, of the most points."""
    found: dict[tuple[str, int], Curve] = {}
    for curve in (curve for curve in study.curves if curve.dataset == dataset and curve.kind != "attacked"):
        key = curve.method, curve.n_neighbors
        if key not in found or _width(curve) > _width(found[key]):
            found[key] = curve
    return found


def _width(curve: Curve) -> tuple[bool, int]:
    return curve.algorithm == published.ALGORITHMS[curve.kind], curve.n_points


def index_markdown(
    study: Study, sections: Sequence[Section], opening: Drawn | None = None, figure_folder: str = "figures"
) -> str:
    """Return the report as Markdown: claim, picture and verdict first, then every part."""
    lines = [
        "# Robust nearest neighbours: results",
        "",
        _CLAIM,
        "",
        *([f"![{opening.alt}]({figure_folder}/{opening.name}.svg)", "", opening.alt, ""] if opening else []),
        "## Verdict",
        "",
        *(verdict_lines(study) or ["- This study holds no methods to compare."]),
        *(f"- {fact}" for fact in _gate_facts(study)),
    ]
    for section in sections:
        lines += ["", section_markdown(study, section, figure_folder).rstrip()]
    files = "[Table 1](tables/table1.csv), [Table 2](tables/table2.csv), [decided](tables/decided.csv), "
    files += "[networks](tables/networks.csv), " if study.networks else ""
    files += "[differences](tables/differences.csv), [every curve](tables/errors.csv)"
    lines += ["", f"As CSV: {files}. In LaTeX: [Table 1](tables/table1.tex), [Table 2](tables/table2.tex)."]
    return "\n".join(lines).rstrip() + "\n"


def _gate_facts(study: Study) -> list[str]:
    """What was checked across the files, in sentences."""
    pairs = "; ".join(f"{pair}: {count}" for pair, count in study.sandwich.comparisons.items())
    return [
        f"Certificate ≤ exact ≤ attack: {study.sandwich.n_comparisons} comparisons ({pairs}), "
        f"{len(study.sandwich.violations)} violations.",
        f"Certificates checked again from what is stored, without the solvers: {study.checked} of "
        f"{study.certificates}{', all accepted' if study.checked else ''}.",
    ]
