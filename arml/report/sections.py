"""What a report says, part by part: the one text behind its Markdown and its HTML page."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arml.curves import Curve
from arml.errors import DataError
from arml.report import published
from arml.report.differences import differences_markdown
from arml.report.figures import BOUNDARIES, COMPARISON, Drawn
from arml.report.markup import markdown_table
from arml.report.networks import comparison_markdown
from arml.report.study import Study
from arml.report.tables import (
    IN_BRACKETS,
    TABLE1_TITLE,
    below_lines,
    dataset_lines,
    legend,
    overview_markdown,
    table1_curves,
    table2_curves,
    table2_title,
)
from arml.report.toy_figure import ToyFit, boundary_words
from arml.system.files import write_bytes

__all__ = ["Appendix", "Section", "keep_figures", "read_appendix", "report_sections", "section_markdown"]

_IMAGE = re.compile(r"!\[([^\]]*)\]\(([\w.-]+)\.svg\)")
_HEADING = re.compile(r"\A# (.+)\n+")


@dataclass(frozen=True)
class Section:
    """A part of a report: running text, then error tables by data set, then figures.

    Attributes
    ----------
    name, title : str
        What links to it use, and its heading.
    text : str
        Markdown without that heading.
    curves : sequence of Curve
        Set out as error tables.
    below : mapping
        Data set → Markdown under its tables.
    figures : sequence of Drawn
        Those of a data set stand with its tables, the others at the end.
    tail : str
        Markdown too long to be read by everyone; the page folds it away.
    """

    name: str
    title: str
    text: str = ""
    curves: Sequence[Curve] = ()
    below: Mapping[str, str] = field(default_factory=dict)
    figures: Sequence[Drawn] = ()
    tail: str = ""


@dataclass(frozen=True)
class Appendix:
    """Another report of the project (a sweep, running times): its page, and its figures beside it."""

    name: str
    title: str
    text: str
    figures: tuple[tuple[str, str, bytes], ...]


def read_appendix(folder: str | os.PathLike[str], name: str) -> Appendix:
    """Read the ``index.md`` of a folder, and the SVG files it shows.

    Raises
    ------
    DataError
        The page or a figure is missing, or the page has no heading.
    """
    try:
        page = Path(folder, "index.md").read_text(encoding="utf-8")
        figures = tuple((stem, alt, Path(folder, f"{stem}.svg").read_bytes()) for alt, stem in _IMAGE.findall(page))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{folder}: expected index.md and the figures it shows; {error}") from error
    heading = _HEADING.match(page)
    if heading is None:
        raise DataError(f"{folder}/index.md: expected a heading in its first line")
    return Appendix(name, heading[1], _IMAGE.sub("", page[heading.end() :]).strip() + "\n", figures)


def keep_figures(appendix: Appendix, folder: Path) -> list[Drawn]:
    """Copy the appendix's figures into `folder`."""
    kept = []
    for stem, alt, content in appendix.figures:
        name = f"{appendix.name}-{stem}"
        write_bytes(folder / f"{name}.svg", content)
        kept.append(Drawn(name, "", alt, folder / f"{name}.svg"))
    return kept


def report_sections(
    study: Study,
    figures: Sequence[Drawn],
    appendices: Sequence[tuple[Appendix, Sequence[Drawn]]] = (),
    toy: Sequence[ToyFit] = (),
) -> list[Section]:
    """Return the parts of the study's report that have something to show, in reading order; `toy`: Figure 1's fits."""
    boundaries = [figure for figure in figures if figure.name == BOUNDARIES]
    compared = [figure for figure in figures if figure.name.startswith(COMPARISON)]
    exact = [figure for figure in figures if figure.name.startswith("exact-")]
    bands = [figure for figure in figures if figure.name.startswith("band-")]
    first, second, k = table1_curves(study), table2_curves(study), study.n_neighbors
    found = [Section("middle", "At the middle radius", overview_markdown(study))]
    if boundaries:
        title = "Figure 1: decision boundaries of 1-NN"
        found.append(Section("figure-1", title, boundary_words(toy), figures=boundaries))
    if first:
        below = {name: _text(below_lines(study, name)) for name in study.dataset_names}
        found.append(Section("table-1", TABLE1_TITLE, legend(study, first), first, below, exact))
    if second:
        below = {name: _text(below_lines(study, name, k)) for name in study.dataset_names}
        found.append(Section("table-2", table2_title(study), legend(study, second), second, below, bands))
    for name, text, shown in (
        ("figure-2", comparison_markdown(study), compared),
        ("differences", differences_markdown(study), []),
    ):
        if text:
            found.append(Section(name, *_parted(text), figures=shown))
    for appendix, kept in appendices:
        found.append(Section(appendix.name, appendix.title, _raised(appendix.text), figures=kept))
    found.append(Section("provenance", "Provenance", "\n".join(_provenance_lines(study)) + "\n"))
    return found


def section_markdown(study: Study, section: Section, folder: str) -> str:
    """One part of ``index.md``; its figures lie in `folder`."""
    text = section.text.strip()
    if section.curves:
        text += f" {IN_BRACKETS}"
    lines = [f"## {section.title}", "", *([text] if text else [])]
    shown = set()
    for dataset in study.dataset_names:
        tables = dataset_lines(study, dataset, section.curves)
        if not tables:
            continue
        lines += ["", f"### {dataset}", *tables]
        if section.below.get(dataset):
            lines += ["", section.below[dataset].strip()]
        lines += _pictures([figure for figure in section.figures if figure.dataset == dataset], folder)
        shown.add(dataset)
    lines += _pictures([figure for figure in section.figures if figure.dataset not in shown], folder)
    if section.tail:
        lines += ["", section.tail.strip()]
    return "\n".join(lines).rstrip() + "\n"


def _pictures(figures: Sequence[Drawn], folder: str) -> list[str]:
    return [line for figure in figures for line in ("", f"![{figure.alt}]({folder}/{figure.name}.svg)")]


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines).strip()


def _parted(markdown: str) -> tuple[str, str]:
    """A text's own heading, and what comes below it, headings one level deeper."""
    heading = _HEADING.match(markdown)
    assert heading is not None
    return heading[1], _raised(markdown[heading.end() :])


def _raised(markdown: str) -> str:
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
    points = f"a sample of {published.N_POINTS} test points"
    return [*lines, "", f"The paper's values: its Tables 1 and 2, {points}, K = {published.N_NEIGHBORS} in Table 2."]


def _short(value: Any) -> str:
    """A fact as a table shows it; a long hash by its first twelve digits."""
    text = "" if value is None else str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
