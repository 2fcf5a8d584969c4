"""Robust-error curves as figures: SVG and PNG, the same bytes for the same curves.

One colour, line and marker a method, everywhere: the palette of Okabe and Ito, which colour-blind readers
tell apart, and markers that remain in grey. matplotlib is imported when a figure is drawn, never before.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arml.curves import Curve
from arml.files import write_bytes
from arml.study import Study, algorithm_label, count_range, method_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.2  # inches: one and two columns of a paper
_GRID = 150
_STYLES = {
    "euclidean": ("#000000", "o"),
    "nca": ("#E69F00", "s"),
    "lmnn": ("#56B4E9", "^"),
    "itml": ("#009E73", "D"),
    "lfda": ("#CC79A7", "v"),
    "arml": ("#D55E00", "*"),
}
_SPARE = (("#0072B2", "P"), ("#7F7F7F", "X"), ("#8C6D1F", "<"), ("#5B3E96", ">"))
_SETTINGS: Any = {
    "svg.hashsalt": "arml",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True)
class Drawn:
    """A figure on disk: `name`.svg and `name`.png, and what it shows in words."""

    name: str
    dataset: str
    alt: str
    files: tuple[Path, ...]


def style(method: str, methods: Sequence[str]) -> tuple[str, str]:
    """Return (colour, marker) of a method; `methods` fixes the choice for those outside the paper."""
    if method in _STYLES:
        return _STYLES[method]
    others = [name for name in methods if name not in _STYLES]
    return _SPARE[others.index(method) % len(_SPARE)]


def draw_figures(study: Study, folder: str | os.PathLike[str]) -> list[Drawn]:
    """Draw every figure of the study into `folder`.

    For each data set: ``exact-<name>``, the exact 1-NN curves of all methods, and ``band-<name>-k<K>``, for
    each K > 1 the band between attack and certificate, a panel a method.

    Returns
    -------
    list of Drawn
        In report order.
    """
    drawn = []
    with house_style():
        for dataset in study.dataset_names:
            exact = study.select(dataset, "exact")
            if exact:
                figure, alt = exact_figure(study, exact)
                name = f"exact-{dataset}"
                drawn.append(Drawn(name, dataset, alt, save_figure(figure, Path(folder), name)))
            certified = study.select(dataset, "certified")
            for k in sorted({curve.n_neighbors for curve in certified if curve.n_neighbors > 1}):
                figure, alt = band_figure(study, dataset, k)
                name = f"band-{dataset}-k{k}"
                drawn.append(Drawn(name, dataset, alt, save_figure(figure, Path(folder), name)))
    return drawn


@contextmanager
def house_style() -> Iterator[None]:
    """Draw with these settings whatever the caller's are, and leave the caller's as they were."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def save_figure(figure: Figure, folder: Path, name: str) -> tuple[Path, ...]:
    """Write `name`.svg and `name`.png, without a date; returns their paths."""
    files = []
    for suffix, options in (
        ("svg", {"metadata": {"Date": None}}),
        ("png", {"dpi": 200, "metadata": {"Software": None}}),
    ):
        stream = io.BytesIO()
        figure.savefig(stream, format=suffix, **options)
        path = folder / f"{name}.{suffix}"
        write_bytes(path, stream.getvalue())
        files.append(path)
    return tuple(files)


def exact_figure(study: Study, curves: Sequence[Curve]) -> tuple[Figure, str]:
    """Exact robust error against the radius, a line a method; returns (figure, alt text)."""
    from matplotlib.figure import Figure

    dataset = curves[0].dataset
    figure = Figure(figsize=(COLUMN_WIDTH, 3.0), layout="constrained")
    axes = figure.add_subplot()
    radii = study.radii[dataset]
    grid = np.linspace(0.0, max(radii), _GRID)
    for curve in curves:
        colour, marker = style(curve.method, study.methods)
        emphasis = curve.method == "arml"
        axes.plot(grid, curve.errors(grid), color=colour, lw=1.8 if emphasis else 1.1, zorder=3 + emphasis)
        axes.plot(
            radii,
            curve.errors(radii),
            ls="none",
            marker=marker,
            ms=7.0 if marker == "*" else 4.0,
            mfc=colour,
            mec="white",
            mew=0.5,
            clip_on=False,
            zorder=5 + emphasis,
        )
    _finish(axes, radii)
    axes.set_xlabel("perturbation radius (ℓ₂)")
    axes.set_ylabel("robust error")
    points = count_range(curve.n_points for curve in curves)
    axes.set_title(f"{dataset}: exact, 1-NN, {points} test points", loc="left")
    figure.legend(handles=_method_keys(study, curves), loc="outside lower center", ncols=3, frameon=False)
    return figure, f"{dataset}, exact robust error of 1-NN. {_in_words(study, curves)}"


def band_figure(study: Study, dataset: str, n_neighbors: int) -> tuple[Figure, str]:
    """Certified and empirical robust error of K-NN, a panel a method; returns (figure, alt text).

    Both curves of a panel are over the attacked points, so that the true error lies in the band; without an
    attack the certified curve stands alone, over all points.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    pairs = _pairs(study, dataset, n_neighbors)
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    size = (PAGE_WIDTH * max(columns, 2) / 3, 0.75 + 1.75 * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    radii = study.radii[dataset]
    grid = np.linspace(0.0, max(radii), _GRID)
    reference = next((pair for pair in pairs if pair[0].method == "euclidean"), None)
    for axes, (certified, attacked) in zip(panels, pairs):
        colour, _ = style(certified.method, study.methods)
        if reference and certified.method != "euclidean":
            axes.plot(grid, reference[0].errors(grid), color="#8A8A8A", lw=0.8)
            if reference[1]:
                axes.plot(grid, reference[1].errors(grid), color="#8A8A8A", lw=0.8, ls=(0, (3, 2)))
        upper = certified.errors(grid)
        axes.plot(grid, upper, color=colour, lw=1.4)
        if attacked:
            lower = attacked.errors(grid)
            axes.plot(grid, lower, color=colour, lw=1.4, ls=(0, (3, 2)))
            axes.fill_between(grid, lower, upper, color=colour, alpha=0.22, lw=0)
        axes.set_title(method_label(certified.method), loc="left", fontweight="bold")
        _finish(axes, radii)
    for place, axes in enumerate(panels):
        axes.set_visible(place < len(pairs))
        if place % columns == 0:
            axes.set_ylabel("robust error")
        if place + columns >= len(pairs):
            axes.set_xlabel("perturbation radius (ℓ₂)")
            axes.tick_params(labelbottom=True)
    keys: list[Any] = [Line2D([], [], color="#333333", lw=1.4, label=f"certified ({_names(p[0] for p in pairs)})")]
    attacks = [pair[1] for pair in pairs if pair[1]]
    points = count_range(pair[0].n_points for pair in pairs)
    if attacks:
        keys.append(Line2D([], [], color="#333333", lw=1.4, ls=(0, (3, 2)), label=f"attacked ({_names(attacks)})"))
        keys.append(Patch(color="#333333", alpha=0.22, lw=0, label="true error lies here"))
    if reference and len(pairs) > 1:
        keys.append(Line2D([], [], color="#8A8A8A", lw=0.8, label="Euclidean"))
    figure.suptitle(f"{dataset}: {n_neighbors}-NN, {points} test points", fontsize=8, x=0.01, ha="left")
    figure.legend(handles=keys, loc="outside lower center", ncols=len(keys) if columns == 3 else 2, frameon=False)
    kind = "band between attack and certificate" if attacks else "certified robust error"
    words = _in_words(study, [pair[0] for pair in pairs])
    return figure, f"{dataset}, {n_neighbors}-NN, {kind}, a panel a method. Certified: {words}"


def _pairs(study: Study, dataset: str, n_neighbors: int) -> list[tuple[Curve, Curve | None]]:
    """Return (certified, attacked or None) of each method, the strongest bounds known, on shared points."""
    pairs: list[tuple[Curve, Curve | None]] = []
    for method in study.methods:
        certified = [c for c in study.select(dataset, "certified", n_neighbors) if c.method == method]
        attacked = [c for c in study.select(dataset, "attacked", n_neighbors) if c.method == method]
        if not certified:
            continue
        middle = study.middle_radius(dataset)
        best = min(certified, key=lambda c: float(c.errors([middle])[0]))
        if not attacked:
            pairs.append((best, None))
            continue
        attack = max(attacked, key=lambda c: float(c.errors([middle])[0]))
        shared = np.intersect1d(best.index, attack.index)
        if len(shared):
            pairs.append((best.restricted(shared), attack.restricted(shared)))
        else:
            pairs.append((best, None))
    return pairs


def _finish(axes: Axes, radii: Sequence[float]) -> None:
    axes.set_xlim(0.0, max(radii))
    axes.set_ylim(0.0, 1.02)
    axes.set_xticks(list(radii), [f"{radius:g}" for radius in radii])
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", ".25", ".5", ".75", "1"])
    axes.grid(color="#E3E3E3", lw=0.5)
    axes.set_axisbelow(True)


def _method_keys(study: Study, curves: Sequence[Curve]) -> list[Any]:
    from matplotlib.lines import Line2D

    keys = []
    for curve in curves:
        colour, marker = style(curve.method, study.methods)
        size = 7.0 if marker == "*" else 4.0
        keys.append(Line2D([], [], color=colour, marker=marker, ms=size, lw=1.4, label=method_label(curve.method)))
    return keys


def _names(curves: Iterable[Curve]) -> str:
    return ", ".join(dict.fromkeys(algorithm_label(curve.algorithm) for curve in curves))


def _in_words(study: Study, curves: Sequence[Curve]) -> str:
    """The curves at the middle radius, best first: what a reader who cannot see the figure needs most."""
    middle = study.middle_radius(curves[0].dataset)
    at = sorted((float(curve.errors([middle])[0]), method_label(curve.method)) for curve in curves)
    return f"At radius {middle:g}: " + ", ".join(f"{name} {error:.3f}" for error, name in at) + "."
