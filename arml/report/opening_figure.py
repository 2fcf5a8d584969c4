"""The picture that opens the report: every method's robust error on every data set, ARML against the rest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arml.curves import Curve
from arml.report import published
from arml.report.figures import PAGE_WIDTH, Drawn, mark_axes, method_keys, save_figure
from arml.report.study import Study, method_label
from arml.report.styles import house_style, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["OPENING", "draw_opening", "opening_figure"]

OPENING = "opening"
"""The figure's name."""
_GRID = 60
_PANEL = 1.75  # inches a side
_QUIET = 0.75  # opacity of the methods that ARML is compared with
_KINDS = {"exact": "exact", "certified": "certified"}
_FIRST = "arml"
_ABOVE = {_FIRST: 4, "euclidean": 5}  # which ARML often covers


def draw_opening(study: Study, folder: Path) -> Drawn | None:
    """Draw the figure into `folder`; None where the study has nothing to show in it."""
    if not _rows(study):
        return None
    with house_style():
        figure, alt = opening_figure(study)
        return Drawn(OPENING, "", alt, save_figure(figure, folder, OPENING))


def opening_figure(study: Study) -> tuple[Figure, str]:
    """Small multiples: a column a data set, a row a kind of error (exact 1-NN, certified K-NN); (figure, alt text)."""
    from matplotlib.figure import Figure

    rows, names = _rows(study), study.dataset_names
    width = min(PAGE_WIDTH * 1.25, 0.6 + _PANEL * max(len(names), 2))
    figure = Figure(figsize=(width, 0.7 + _PANEL * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(names), sharex="col", sharey=True, squeeze=False)
    for (title, found), line in zip(rows, panels, strict=True):
        line[0].set_ylabel(title)
        for name, axes in zip(names, line, strict=True):
            _draw(axes, study, found.get(name, ()), study.radii[name])
    for name, axes in zip(names, panels[0], strict=True):
        axes.set_title(name, loc="left", fontweight="bold")
    figure.supxlabel("perturbation radius (ℓ₂)", fontsize=8)
    shown = [curve for _, found in rows for curves in found.values() for curve in curves]
    first = {curve.method: curve for curve in reversed(shown)}
    keys = method_keys(study, [first[method] for method in study.methods if method in first])
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), frameon=False)
    return figure, _words(study, rows)


def _rows(study: Study) -> list[tuple[str, dict[str, list[Curve]]]]:
    """What each row of panels shows, and its curves by data set."""
    found = []
    for kind, word in _KINDS.items():
        k = 1 if kind == "exact" else study.n_neighbors
        curves: dict[str, list[Curve]] = {}
        for curve in study.curves:
            if (curve.kind, curve.n_neighbors, curve.algorithm) == (kind, k, published.ALGORITHMS[kind]):
                curves.setdefault(curve.dataset, []).append(curve)
        if curves:
            found.append((f"robust error\n{word}, {k}-NN", curves))
    return found


def _draw(axes: Axes, study: Study, curves: Sequence[Curve], radii: Sequence[float]) -> None:
    grid = np.linspace(0.0, max(radii), _GRID)
    for curve in curves:
        colour, marker = style(curve.method, study.methods)
        ours = curve.method == _FIRST
        look: dict[str, Any] = {"color": colour, "lw": 2.0 if ours else 0.9, "alpha": 1.0 if ours else _QUIET}
        axes.plot(grid, curve.errors(grid), zorder=_ABOVE.get(curve.method, 3), **look)
        axes.plot(radii, curve.errors(radii), ls="none", marker=marker, ms=6.0 if ours else 2.8, mfc=colour,
                  mec="white", mew=0.4, clip_on=False, zorder=6 if ours else 5)  # fmt: skip
    mark_axes(axes, radii)


def _words(study: Study, rows: Sequence[tuple[str, dict[str, list[Curve]]]]) -> str:
    """What to see in the figure: on how many data sets ARML's error at the middle radius is the lowest, row by row."""
    told = []
    for title, found in rows:
        lowest = compared = 0
        for name, curves in found.items():
            middle = study.middle_radius(name)
            errors = {curve.method: float(curve.errors([middle])[0]) for curve in curves}
            if _FIRST in errors and len(errors) > 1:
                compared += 1
                lowest += errors[_FIRST] <= min(errors.values())
        if compared:
            told.append(f"{title.splitlines()[1]}: on {lowest} of {compared}")
    seen = (
        f" At the middle radius {method_label(_FIRST)} has the lowest error ({'; '.join(told)} data sets)."
        if told
        else ""
    )
    return f"Robust error against the radius, a column a data set; lower is better.{seen}"
