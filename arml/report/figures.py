"""Robust-error curves as figures, the same bytes for the same curves.

matplotlib is imported when a figure is drawn, never before.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from arml.curves import Curve, robust_error
from arml.report.known import known_of_methods
from arml.report.networks import Competitor, competitors
from arml.report.study import Study, algorithms_in_words, count_range, method_label
from arml.report.styles import house_style, network_styles, style
from arml.system.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_WIDTH, PAGE_WIDTH = 3.5, 7.2  # inches: one and two columns of a paper
FORMATS: Any = {
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    "png": {"dpi": 200, "metadata": {"Software": None}},
}
_BLANKS = re.compile(rb" ?\n|(?<=[MLQCZz]) ")  # in a path: its commands stand one a line
_INDENT = re.compile(rb"\n +(?=<)")
_GRID = 150
_PLACES, _DECIMALS = re.compile(rb'\b(?:d|x|y)="[^"]*"'), re.compile(rb"(\d\.\d\d)\d+")
_DASHES: Any = (0, (3, 2))
_CHANCES: Any = (0, (5, 1.5))
_BAND = 0.4
_DARK, _GREY = "#333333", "#8A8A8A"
_LOOSE: dict[str, Any] = {"color": "#E4E4E4", "lw": 0}
BOUNDARIES = "boundaries"
"""The name of Figure 1."""
COMPARISON = "networks"
"""How the names of figures of K-NN beside networks begin."""


@dataclass(frozen=True)
class Drawn:
    """A figure on disk, an SVG file, and what it shows in words."""

    name: str
    dataset: str
    alt: str
    file: Path


def draw_figures(study: Study, folder: str | os.PathLike[str]) -> list[Drawn]:
    """Draw every figure of the study into `folder`.

    For each data set: ``exact-<name>``, the exact 1-NN curves of all methods, and ``band-<name>-k<K>``, for
    each K > 1 the band between attack and certificate, a panel a method; ``networks-<name>``, 1-NN beside networks.

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
            compared = competitors(study, dataset)
            if compared:
                figure, alt = comparison_figure(study, dataset, compared)
                name = f"{COMPARISON}-{dataset}"
                drawn.append(Drawn(name, dataset, alt, save_figure(figure, Path(folder), name)))
    return drawn


def save_figure(figure: Figure, folder: Path, name: str) -> Path:
    """Write `name`.svg, without a date; return its path."""
    path = folder / f"{name}.svg"
    write_figure(figure, path)
    return path


def write_figure(figure: Figure, path: Path) -> None:
    """Write one file, without a date; the suffix, of `FORMATS`, says in which format."""
    suffix, stream = path.suffix[1:], io.BytesIO()
    figure.savefig(stream, format=suffix, **FORMATS[suffix])
    content = stream.getvalue()
    write_bytes(path, compact(content) if suffix == "svg" else content)


def compact(svg: bytes) -> bytes:
    """The same drawing, places to a hundredth of a point and no blanks that nothing needs: a third of the size."""
    places = _PLACES.sub(lambda found: _BLANKS.sub(b"", _DECIMALS.sub(rb"\1", found[0])), svg)
    return _INDENT.sub(b"\n", places)


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
    mark_axes(axes, radii)
    axes.set_xlabel("perturbation radius (ℓ₂)")
    axes.set_ylabel("robust error")
    points = count_range(curve.n_points for curve in curves)
    axes.set_title(f"{dataset}: exact, 1-NN, {points} test points", loc="left")
    figure.legend(handles=method_keys(study, curves), loc="outside lower center", ncols=3, frameon=False)
    middle = study.middle_radius(dataset)
    errors = {curve.method: float(curve.errors([middle])[0]) for curve in curves}
    return figure, f"{dataset}, exact robust error of 1-NN. At radius {middle:g}: {_in_words(errors)}."


def band_figure(study: Study, dataset: str, n_neighbors: int) -> tuple[Figure, str]:
    """Certified and empirical robust error of K-NN, a panel a method; returns (figure, alt text).

    The strongest bounds known of each point make the band, so that the true error lies in it; without an attack the
    certified curve stands alone, and its panel says so. Where not only the paper's algorithms were used, the band
    that those leave over the same points is shaded behind.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    pairs = known_of_methods(study, dataset, n_neighbors)
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    wide = columns == 3
    size = (PAGE_WIDTH * max(columns, 2) / 3, (0.9 if wide else 1.2) + 1.75 * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    radii = study.radii[dataset]
    grid = np.linspace(0.0, max(radii), _GRID)
    plain = next((known for known, _ in pairs if known.method == "euclidean"), None)
    for axes, (known, loose) in zip(panels, pairs):
        colour, _ = style(known.method, study.methods)
        if loose:
            axes.fill_between(grid, robust_error(loose.upper, grid), robust_error(loose.lower, grid), **_LOOSE)
        if plain and known is not plain:
            axes.plot(grid, robust_error(plain.lower, grid), color=_GREY, lw=0.8)
            if plain.attacks:
                axes.plot(grid, robust_error(plain.upper, grid), color=_GREY, lw=0.8, ls=_DASHES)
        certified, broken = robust_error(known.lower, grid), robust_error(known.upper, grid)
        axes.plot(grid, certified, color=colour, lw=1.4)
        if known.attacks:
            axes.plot(grid, broken, color=colour, lw=1.4, ls=_DASHES)
            axes.fill_between(grid, broken, certified, color=colour, alpha=_BAND, lw=0)
        axes.set_title(method_label(known.method), loc="left", fontweight="bold")
        alone = "" if known.attacks else "certified only, "
        axes.set_title(f"{alone}{known.n_points} points", loc="right", fontsize=7)
        mark_axes(axes, radii)
    for place, axes in enumerate(panels):
        axes.set_visible(place < len(pairs))
        if place % columns == 0:
            axes.set_ylabel("robust error")
        if place + columns >= len(pairs):
            axes.set_xlabel("perturbation radius (ℓ₂)")
            axes.tick_params(labelbottom=True)
    first = next((known for known, _ in pairs if known.attacks), pairs[0][0])
    certificates, attacks = algorithms_in_words(first.certificates), algorithms_in_words(first.attacks)
    keys: list[Any] = [Line2D([], [], color=_DARK, lw=1.4, label=f"certified ({certificates})")]
    if first.attacks:
        keys.append(Line2D([], [], color=_DARK, lw=1.4, ls=_DASHES, label=f"attacked ({attacks})"))
        keys.append(Patch(color=_DARK, alpha=_BAND, lw=0, label="true error lies here"))
    theirs = next((loose for _, loose in pairs if loose), None)
    if theirs:
        names = algorithms_in_words((*theirs.certificates, *theirs.attacks))
        keys.append(Patch(label=f"as {names} leave it", **_LOOSE))
    if plain and len(pairs) > 1:
        keys.append(Line2D([], [], color=_GREY, lw=0.8, label="Euclidean"))
    figure.suptitle(f"{dataset}: {n_neighbors}-NN", fontsize=8, x=0.01, ha="left")
    figure.legend(handles=keys, loc="outside lower left", ncols=2 if wide else 1, frameon=False)
    return figure, band_words(study, dataset, n_neighbors)


def band_words(study: Study, dataset: str, n_neighbors: int) -> str:
    """What the band figure shows, in words: both of its ends at the middle radius, and the points they are over."""
    known_ones = [known for known, _ in known_of_methods(study, dataset, n_neighbors)]
    attacked, middle = [known for known in known_ones if known.attacks], study.middle_radius(dataset)
    kind = "band between attack and certificate" if attacked else "certified robust error"
    text = f"{dataset}, {n_neighbors}-NN, {kind}, a panel a method."
    for name, group in (("Certified", known_ones), ("Attacked", attacked)):
        if group:
            values = {one.method: one.lower if name == "Certified" else one.upper for one in group}
            errors = {method: float(robust_error(ends, [middle])[0]) for method, ends in values.items()}
            points = count_range(one.n_points for one in group)
            text += f" {name} at radius {middle:g}, {points} test points: {_in_words(errors)}."
    return text


def comparison_figure(study: Study, dataset: str, found: Sequence[Competitor]) -> tuple[Figure, str]:
    """Certified robust error of 1-NN and of networks, attacks as thin lines (Figure 2); returns (figure, alt text)."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(PAGE_WIDTH * 0.8, 3.0), layout="constrained")
    axes = figure.add_subplot()
    radii, styles = study.radii[dataset], network_styles(found)
    grid = np.linspace(0.0, max(radii), _GRID)
    keys = []
    for one in found:
        colour, marker = styles[one.name]
        line: Any = "-" if one.sure else _CHANCES
        emphasis = one.name == "arml"
        axes.plot(
            grid, one.proved.errors(grid), color=colour, ls=line, lw=1.8 if emphasis else 1.3, zorder=3 + emphasis
        )
        dots: dict[str, Any] = {"marker": marker, "ms": 7.0 if marker == "*" else 4.0, "mec": "white", "mew": 0.5}
        axes.plot(radii, one.proved.errors(radii), ls="none", color=colour, clip_on=False, zorder=5 + emphasis, **dots)
        if one.broken is not None:
            axes.plot(grid, one.broken.errors(grid), color=colour, lw=0.6)
            axes.plot(radii, one.broken.errors(radii), ls="none", clip_on=False, zorder=4, **_hollow(colour, marker))
        kind = ", exact" if one.proved.kind == "exact" else ""
        keys.append(Line2D([], [], color=colour, ls=line, lw=1.3, label=f"{one.label}{kind}", **dots))
    if any(one.broken is not None for one in found):
        thin = _hollow(_DARK, "o")
        keys.append(Line2D([], [], color=_DARK, lw=0.6, label="thin, hollow: the same network, attacked", **thin))
    if not all(one.sure for one in found):
        keys.append(Line2D([], [], color=_DARK, ls=_CHANCES, lw=1.3, label="dashed: holds with a probability"))
    mark_axes(axes, radii)
    axes.set_xlabel("perturbation radius (ℓ₂)")
    axes.set_ylabel("certified robust error")
    attacked = [one.broken.n_points for one in found if one.broken is not None]
    title = f"{dataset}: {found[0].proved.n_points} test points"
    axes.set_title(f"{title}, {count_range(attacked)} of them attacked" if attacked else title, loc="left")
    figure.legend(handles=keys, loc="outside right upper", frameon=False)
    middle = study.middle_radius(dataset)
    at = sorted((float(one.proved.errors([middle])[0]), one.label) for one in found)
    words = ", ".join(f"{label} {error:.3f}" for error, label in at)
    return figure, f"{dataset}, certified robust error of 1-NN and of networks. At radius {middle:g}: {words}."


def _hollow(colour: str, marker: str) -> dict[str, Any]:
    """How a point of an attack is marked: its method's marker, small and open."""
    return {"marker": marker, "ms": 4.5 if marker == "*" else 3.0, "mfc": "white", "mec": colour, "mew": 0.6}


def mark_axes(axes: Axes, radii: Sequence[float]) -> None:
    """Radii across, shares of the points up, a quiet grid."""
    axes.set_xlim(0.0, max(radii))
    axes.set_ylim(0.0, 1.02)
    axes.set_xticks(list(radii), [f"{radius:g}" for radius in radii])
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0], ["0", ".25", ".5", ".75", "1"])
    axes.grid(color="#E3E3E3", lw=0.5)
    axes.set_axisbelow(True)


def method_keys(study: Study, curves: Sequence[Curve]) -> list[Any]:
    """Keys of a legend, a method each."""
    from matplotlib.lines import Line2D

    keys = []
    for curve in curves:
        colour, marker = style(curve.method, study.methods)
        size = 7.0 if marker == "*" else 4.0
        keys.append(Line2D([], [], color=colour, marker=marker, ms=size, lw=1.4, label=method_label(curve.method)))
    return keys


def _in_words(errors: Mapping[str, float]) -> str:
    """Errors by method, best first: what a reader who cannot see the figure needs most."""
    at = sorted((error, method_label(method)) for method, error in errors.items())
    return ", ".join(f"{name} {error:.3f}" for error, name in at)
