"""Drawings as they are written: the same ones, without blanks and digits that nobody sees."""

from __future__ import annotations

import io
import re
from xml.dom.minidom import parseString

from matplotlib.figure import Figure

from arml.report.figures import FORMATS, compact


def paths(svg: bytes) -> list[list[str]]:
    """Commands and numbers of every path of a drawing, numbers to a hundredth."""
    elements = parseString(svg).getElementsByTagName("path")
    found = [re.findall(r"[MLQCZz]|-?[\d.]+", element.getAttribute("d")) for element in elements]
    return [[re.sub(r"(\.\d\d)\d+", r"\1", part) for part in path] for path in found]


def test_a_compact_drawing_has_the_same_paths_in_fewer_bytes() -> None:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot(title="error < 0.125", xlabel="radius")
    axes.plot([k / 97 for k in range(200)], [k**0.5 for k in range(200)])
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", **FORMATS["svg"])
    drawn = stream.getvalue()
    smaller = compact(drawn)
    assert paths(smaller) == paths(drawn) and len(paths(drawn)) > 20
    assert compact(smaller) == smaller and len(smaller) < 0.9 * len(drawn)
