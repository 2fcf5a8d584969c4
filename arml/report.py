"""The report: the sandwich gate, then tables, figures, metrics and the page that shows them.

Every number on the page is computed from the study's files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from arml import paper
from arml.comparison import check_smoothing, comparison_markdown, competitors
from arml.decided import decided_csv
from arml.figures import COMPARISON, Drawn, draw_figures
from arml.files import write_json, write_text
from arml.known import known_of_methods
from arml.markup import markdown_table
from arml.runtimes import runtime_csv, runtime_markdown
from arml.study import Study
from arml.tables import (
    errors_csv,
    overview_markdown,
    table1_curves,
    table1_markdown,
    table2_curves,
    table2_markdown,
)
from arml.verdict import verdict_lines

_CLAIM = (
    "Claim under test: a Mahalanobis metric learned for adversarial robustness (ARML) makes nearest-neighbour "
    "classifiers more robust, provably, than the Euclidean metric and than metrics learned for accuracy, at a "
    "clean error as good as theirs."
)


def write_report(study: Study, folder: str | os.PathLike[str]) -> list[Path]:
    """Check the sandwich, then write the whole report into `folder`.

    Parameters
    ----------
    study : Study
    folder : path
        Gets ``index.md``, ``metrics.json``, ``tables/`` (Markdown and CSV) and ``figures/`` (SVG and PNG).

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
        "tables/table2.md": table2_markdown(study),
        "tables/table2.csv": errors_csv(study, table2_curves(study)),
        "tables/decided.csv": decided_csv(study),
        "tables/errors.csv": errors_csv(study, study.curves),
        "tables/runtime.md": runtime_markdown(study),
        "tables/runtime.csv": runtime_csv(study),
    }
    if study.networks:
        texts |= {
            "tables/networks.md": comparison_markdown(study),
            "tables/networks.csv": errors_csv(study, study.networks),
        }
    written = []
    for name, text in texts.items():
        write_text(folder / name, text)
        written.append(folder / name)
    drawn = draw_figures(study, folder / "figures")
    written += [path for figure in drawn for path in figure.files]
    write_json(folder / "metrics.json", headline_metrics(study))
    write_text(folder / "index.md", index_markdown(study, drawn))
    return [*written, folder / "metrics.json", folder / "index.md"]


def headline_metrics(study: Study) -> dict[str, Any]:
    """Return the numbers for ``dvc metrics``: data set → method → error at the middle radius, by evidence.

    Keys are ``clean_<K>nn`` and ``<kind>_<K>nn`` (``<kind>_<K>nn_<algorithm>`` for algorithms the paper does not
    use), ``unknown_<K>nn`` where bounds were tightened, and ``unsolved``; of a network the name of its certificate.
    Beside the methods ``radius`` says which radius that is. ``sandwich`` and ``certificates`` count.
    """
    found: dict[str, Any] = {}
    for dataset in study.dataset_names:
        middle = study.middle_radius(dataset)
        entry: dict[str, Any] = {"radius": middle}
        for curve in (curve for curve in study.curves if curve.dataset == dataset):
            numbers = entry.setdefault(curve.method, {"unsolved": 0})
            name = f"{curve.kind}_{curve.n_neighbors}nn"
            if curve.algorithm != paper.ALGORITHMS[curve.kind]:
                name += f"_{curve.algorithm}"
            numbers[name] = round(float(curve.errors([middle])[0]), 6)
            if curve.kind != "attacked":
                numbers[f"clean_{curve.n_neighbors}nn"] = round(curve.clean_error, 6)
            numbers["unsolved"] += curve.n_unsolved
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


def index_markdown(study: Study, figures: Sequence[Drawn], figure_folder: str = "figures") -> str:
    """Return the report's page: claim and verdict, overview, tables, figures, runtimes, provenance."""
    pairs = "; ".join(f"{pair}: {count}" for pair, count in study.sandwich.comparisons.items())
    lines = [
        "# Robust nearest neighbours: results",
        "",
        _CLAIM,
        "",
        "## Verdict",
        "",
        *(verdict_lines(study) or ["- This study holds no methods to compare."]),
        f"- Certificate ≤ exact ≤ attack: {study.sandwich.n_comparisons} comparisons ({pairs}), "
        f"{len(study.sandwich.violations)} violations.",
        f"- Certificates checked again from what is stored, without the solvers: {study.checked} of "
        f"{study.certificates}{', all accepted' if study.checked else ''}.",
        "",
        "## At the middle radius",
        "",
        overview_markdown(study),
    ]
    for text, curves in (
        (table1_markdown(study), table1_curves(study)),
        (table2_markdown(study), table2_curves(study)),
    ):
        lines += [_demoted(text)] if curves else []
    compared = [figure for figure in figures if figure.name.startswith(COMPARISON)]
    if compared:
        lines += [_demoted(comparison_markdown(study))]
        lines += [line for figure in compared for line in (_image(figure, figure_folder), "")]
    others = [figure for figure in figures if figure not in compared]
    if others:
        lines += ["## Figures", ""]
    for figure in others:
        lines += [_image(figure, figure_folder), ""]
    if study.timings is not None and study.timings.num_rows:
        lines += [_demoted(runtime_markdown(study))]
    lines += ["## Provenance", "", *_provenance_lines(study)]
    files = "[Table 1](tables/table1.csv), [Table 2](tables/table2.csv), [decided](tables/decided.csv), "
    files += "[networks](tables/networks.csv), " if study.networks else ""
    files += "[every curve](tables/errors.csv), "
    lines += ["", f"As CSV: {files}[runtimes](tables/runtime.csv). As JSON: [metrics](metrics.json)."]
    return "\n".join(lines).rstrip() + "\n"


def _image(figure: Drawn, folder: str) -> str:
    return f"![{figure.alt}]({folder}/{figure.name}.svg)"


def _demoted(markdown: str) -> str:
    """The text with every heading one level deeper."""
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in markdown.splitlines()) + "\n"


def _provenance_lines(study: Study) -> list[str]:
    wanted = ("source", "n_train", "n_test", "n_features", "n_classes", "fingerprint")
    keys = [key for key in wanted if any(key in facts for facts in study.datasets.values())]
    body = [
        [name, *(_short(study.datasets[name].get(key)) for key in keys)]
        for name in study.dataset_names
        if study.datasets[name]
    ]
    lines = markdown_table(["data set", *(key.removeprefix("n_") for key in keys)], body) if body and keys else []
    seed = study.params.get("seed")
    if isinstance(seed, int):
        lines += ["", f"Seed: {seed}."]
    for stamp in sorted({_versions(facts) for facts in study.datasets.values()} - {""}):
        lines += ["", stamp]
    points = f"a sample of {paper.N_POINTS} test points"
    return [*lines, "", f"The paper's values: its Tables 1 and 2, {points}, K = {paper.N_NEIGHBORS} in Table 2."]


def _versions(facts: Mapping[str, Any]) -> str:
    versions = facts.get("versions")
    if not isinstance(versions, Mapping):
        return ""
    return f"Made with {', '.join(f'{name} {versions[name]}' for name in versions)} on {facts.get('machine', '?')}."


def _short(value: Any) -> str:
    """A fact as a table shows it; a long hash by its first twelve digits."""
    text = "" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
