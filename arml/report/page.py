"""The report as one HTML page: no script, nothing fetched, figures inside; the same facts as index.md.

jinja2 lays the page out, markdown-it turns the running text into HTML; both escape what they are given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from arml.curves import Curve
from arml.report.differences import TOLERANCE, beyond
from arml.report.figures import Drawn
from arml.report.sections import Section
from arml.report.study import Study, algorithm_label, count_range, method_label
from arml.report.tables import KIND_TITLES, blocks, cells, marks, remarks
from arml.report.verdict import caveats, observations
from arml.system.extras import require

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["inline_svg", "page_html", "prose_html"]

_REFERENCE = re.compile(r'(\bid="|href="#|url\(#)')
_SIZE = re.compile(r' (?:width|height)="[^"]*"')
_IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n*", re.MULTILINE)


def page_html(
    study: Study, claim: str, facts: Sequence[str], sections: Sequence[Section], opening: Drawn | None = None
) -> str:
    """Return the page.

    Parameters
    ----------
    study : Study
    claim : str
    facts : sequence of str
        Sentences below the verdict.
    sections : sequence of Section
    opening : Drawn, optional
        Shown before all else.
    """
    template = _environment().get_template("report.html")
    return template.render(
        claim=claim,
        opening=opening,
        facts=facts,
        observations=observations(study),
        caveats=caveats(study),
        tolerance=TOLERANCE,
        datasets=study.dataset_names,
        sections=[_Shown(study, section) for section in sections],
    )


def prose_html(title: str, text: str) -> str:
    """Return a page that is Markdown text alone, in the report's dress."""
    return _environment().get_template("prose.html").render(title=title, text=text)


def _environment() -> Environment:
    """Templates, with Markdown and figures as filters."""
    require("the report's page", "jinja2", "markdown_it")
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    written = MarkdownIt("commonmark", {"html": False}).enable("table")

    def prose(text: str) -> Markup:
        wide = written.render(_IMAGE.sub("", text)).replace("<table>", '<div class="wide"><table>')
        return Markup(wide.replace("</table>", "</table></div>"))

    environment = Environment(
        loader=PackageLoader("arml.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    environment.filters["picture"] = lambda figure: Markup(_picture(figure))
    return environment


class _Shown:
    """A section as the template reads it."""

    def __init__(self, study: Study, section: Section) -> None:
        self.name, self.title, self.text, self.tail = section.name, section.title, section.text, section.tail
        self.datasets = [name for name in study.dataset_names if any(c.dataset == name for c in section.curves)]
        self.tables = {
            name: [_table(study, block) for block in blocks([c for c in section.curves if c.dataset == name])]
            for name in self.datasets
        }
        self.below = section.below
        self.figures = {name: [f for f in section.figures if f.dataset == name] for name in self.datasets}
        self.other_figures = [figure for figure in section.figures if figure.dataset not in self.datasets]


def _table(study: Study, block: Sequence[Curve]) -> dict[str, Any]:
    """One table: methods down, radii across, the paper's value, the measured one and their difference for each."""
    first, listed = block[0], cells(study, block)
    described = study.attack_note(block) if first.kind == "attacked" else algorithm_label(first.algorithm)
    at_zero = {cell.method: cell.error for cell in listed if cell.radius == 0}
    clean = any(at_zero.get(curve.method) != curve.clean_error for curve in block)
    published = {(cell.radius, cell.paper) for cell in listed if cell.paper is not None}
    lowest = {radius: min(value for at, value in published if at == radius) for radius, _ in published}
    counts = {radius: len({value for at, value in published if at == radius}) for radius, _ in published}
    return {
        "caption": f"{KIND_TITLES[first.kind]}, {first.n_neighbors}-NN",
        "described": described,
        "points": count_range(curve.n_points for curve in block),
        "radii": [f"{radius:g}" for radius in study.radii[first.dataset]],
        "compared": bool(published),
        "subtracted": any(cell.difference is not None for cell in listed),
        "clean": clean,
        "remarks": remarks(study, block, listed, clean),
        "rows": [
            {
                "method": method_label(curve.method),
                "clean": f"{curve.clean_error:.3f}",
                "points": curve.n_points,
                "unsolved": curve.n_unsolved,
                "cells": [
                    {
                        "paper": "" if cell.paper is None else f"{cell.paper:.3f}",
                        "paper_best": cell.paper is not None
                        and counts[cell.radius] > 1
                        and cell.paper == lowest[cell.radius],
                        "mark": marks(cell),
                        "measured": f"{cell.error:.3f}",
                        "best": cell.best,
                        "interval": f"{_short(cell.low)}–{_short(cell.high)}",
                        "difference": "" if cell.difference is None else f"{cell.difference:+.3f}".replace("-", "−"),
                        "far": beyond(cell),
                    }
                    for cell in listed
                    if cell.method == curve.method
                ],
            }
            for curve in block
        ],
    }


def _short(share: float) -> str:
    """Three decimals without the zero before them."""
    return f"{share:.3f}".removeprefix("0")


def _picture(figure: Drawn) -> str:
    return inline_svg(figure.file.read_text(encoding="utf-8"), figure.name, figure.alt)


def inline_svg(svg: str, name: str, alt: str) -> str:
    """Return an SVG file's text as an element of a page: ids its own, sized by its box, named for readers.

    Parameters
    ----------
    svg : str
    name : str
        Unique on the page: every id begins with it.
    alt : str
        What a screen reader says.
    """
    from markupsafe import escape

    body = svg[svg.index("<svg") :].strip()
    head, rest = body[: body.index(">")], body[body.index(">") :]
    width = re.search(r'width="([\d.]+)pt"', head)
    style = f' style="max-width:{float(width[1]) * 4 / 3 * 1.25:.0f}px"' if width else ""
    head = _SIZE.sub("", head) + f' role="img" aria-label="{escape(alt)}"{style}'
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    return _REFERENCE.sub(rf"\g<1>{name}-", head + rest)
