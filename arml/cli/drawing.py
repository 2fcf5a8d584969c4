"""Robust-error curves of any results in one figure, for ``arml curve --plot``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from arml.curves import Curve, wilson_interval
from arml.report.figures import COLUMN_WIDTH, write_figure
from arml.report.study import method_label
from arml.report.styles import house_style, style

__all__ = ["draw"]

_GRID = 150
_DASHES = {"exact": "-", "certified": "--", "attacked": ":"}


def draw(curves: Sequence[Curve], radii: Sequence[float], path: Path) -> None:
    """Draw error against radius up to the largest of ``radii``: a colour a method, a line style a kind, 95 % bands.

    Raises
    ------
    MissingExtraError
        matplotlib is not installed.
    DataError
        The file cannot be written.
    """
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(1.5 * COLUMN_WIDTH, 1.2 * COLUMN_WIDTH), layout="constrained")
        axes = figure.add_subplot()
        grid = np.linspace(0.0, max(radii) or 1.0, _GRID)
        methods = list(dict.fromkeys(curve.method for curve in curves))
        for curve in curves:
            colour, _ = style(curve.method, methods)
            low, high = wilson_interval(curve.counts(grid), curve.n_points)
            said = f"{curve.dataset}: {method_label(curve.method)}, K = {curve.n_neighbors}, {curve.kind}"
            axes.fill_between(grid, low, high, color=colour, alpha=0.12, lw=0)
            line = f"{said} ({curve.algorithm})"
            axes.plot(grid, curve.errors(grid), color=colour, ls=_DASHES[curve.kind], lw=1.3, label=line)
        axes.set(xlabel="length of the change (ℓ₂)", ylabel="robust error", ylim=(0.0, 1.0), xlim=(0.0, grid[-1]))
        figure.legend(loc="outside lower center", frameon=False)
        write_figure(figure, path)
