"""Robust-error curves as ``dvc plots`` reads them: a CSV a data set and kind, a row a method and radius."""

from __future__ import annotations

import numpy as np

from arml.report import published
from arml.report.markup import csv_text
from arml.report.study import Study, method_label
from arml.report.tables import blocks

__all__ = ["COLUMNS", "plot_files"]

COLUMNS = ("method", "radius", "error")
_STEPS = 50


def plot_files(study: Study) -> dict[str, str]:
    """Return CSV texts by name: ``exact-1nn-pendigits``, ``certified-11nn-pendigits``, ….

    By the paper's algorithms, or by others where those were not run (their name is then part of the file's).
    """
    found = {}
    for block in blocks(study.curves):
        first = block[0]
        name = f"{first.kind}-{first.n_neighbors}nn-{first.dataset}"
        if first.algorithm != published.ALGORITHMS[first.kind]:
            name += f"-{first.algorithm}"
        grid = np.linspace(0.0, max(study.radii[first.dataset]), _STEPS + 1)
        found[name] = csv_text(
            COLUMNS,
            (
                (method_label(curve.method), float(radius), float(error))
                for curve in block
                for radius, error in zip(grid, curve.errors(grid))
            ),
        )
    return found
