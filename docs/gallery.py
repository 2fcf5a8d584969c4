"""Three pictures of what robust radii are, drawn anew from data that come with the library: `python -m docs.gallery`.

The first is Figure 1 of the report (:mod:`arml.report.toy_figure`); the second attacks images of digits; the third
draws certificates in the plane, where the truth can be seen. Each is an SVG, a PDF and a PNG, and index.md says in
words what they show. What is drawn is computed here, and tests/documentation/test_gallery.py checks it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from arml import ARML, MahalanobisKNN
from arml.learners import METHODS
from arml.report.figures import Drawn, save_figure
from arml.report.styles import house_style
from arml.report.toy_figure import draw_boundaries, fit_toy
from arml.system.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DIGITS", "Ball", "Broken", "Gallery", "balls", "broken_digits", "build", "main"]

Floats = NDArray[np.float64]

FOLDER = Path(__file__).parent / "_build" / "gallery"
SEED = 42
DIGITS = (0, 3, 7)
_TRAIN, _SIDE, _K = 1297, 8, 5
_LABELS = {"euclidean": "Euclidean", "arml": "ARML"}
_ORANGE, _BLUE, _DARK = "#E69F00", "#0072B2", "#222222"


@dataclass(frozen=True, eq=False)
class Broken:
    """A test image and the shortest way found to have it misread.

    Attributes
    ----------
    metric : str
        "euclidean" or "arml".
    knn : MahalanobisKNN
        The classifier, fitted to images as they are read (grey levels from 0 to 16).
    image, adversarial : ndarrays of shape (64,)
        Grey levels.
    label, read_as : int
        The digit, and what ``knn`` says of ``adversarial``.
    certificate, norm : float
        The certified radius, and ‖adversarial − image‖₂, in units of the whole range from white to black.
    """

    metric: str
    knn: MahalanobisKNN
    image: Floats
    adversarial: Floats
    label: int
    read_as: int
    certificate: float
    norm: float


@dataclass(frozen=True, eq=False)
class Ball:
    """A point in the plane, what is proved around it, and the nearest adversarial point.

    Attributes
    ----------
    knn : MahalanobisKNN
        Fitted to ``points`` of shape (N, 2) with ``labels`` 0 and 1.
    x : ndarray of shape (2,)
        Of class 0.
    certified : float
        The radius of Theorem 1.
    radius : float
        The exact one: eq. (13), or branch and bound for K > 1.
    adversarial : ndarray of shape (2,)
        A point that ``knn`` gives class 1.
    """

    knn: MahalanobisKNN
    points: Floats
    labels: NDArray[np.intp]
    x: Floats
    certified: float
    radius: float
    adversarial: Floats


@dataclass(frozen=True, eq=False)
class Gallery:
    """What was drawn, and what it was drawn from."""

    digits: tuple[Broken, ...]
    balls: tuple[Ball, ...]
    pictures: tuple[Drawn, ...]


def broken_digits() -> tuple[Broken, ...]:
    """The first test image of each of ``DIGITS``, attacked under the Euclidean metric and under ARML's; K = 5.

    scikit-learn's 8 × 8 digits, the first 1297 for training. Adversarial images keep to the range of grey levels.
    """
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    rows = [_TRAIN + int(np.flatnonzero(y[_TRAIN:] == digit)[0]) for digit in DIGITS]
    found = []
    for name, metric in (("euclidean", None), ("arml", ARML(max_iter=200, random_state=SEED))):
        knn = MahalanobisKNN(_K, metric, scaling="unit").fit(X[:_TRAIN], y[:_TRAIN])
        proved = knn.certify(X[rows], y[rows], bound="plurality")
        attacked = knn.attack(X[rows], y[rows], bounds=(0.0, 1.0), programs=60, seeds=SEED)
        read = knn.predict(attacked.adversarial)
        found += [
            Broken(name, knn, X[row], attacked.adversarial[i], int(y[row]), int(read[i]), proved[i], attacked.norm[i])
            for i, row in enumerate(rows)
        ]
    return tuple(found)


def balls() -> tuple[Ball, ...]:
    """Around one point of a plane with 18 training points: for K = 1 and for K = 3, Euclidean."""
    rng = np.random.default_rng(37)
    points = rng.uniform(0.0, 1.0, (18, 2))
    labels = (points @ [1.0, 0.6] + rng.normal(0.0, 0.18, 18) > 0.8).astype(np.intp)
    x = np.array([0.36, 0.42])
    found = []
    for k in (1, 3):
        knn = MahalanobisKNN(k).fit(points, labels)
        certified = float(knn.certify(x[None], [0])[0])
        exact = knn.verify(x[None], [0])
        adversarial = knn.attack(x[None], [0]).adversarial[0]
        found.append(Ball(knn, points, labels, x, certified, float(exact.lower[0]), adversarial))
    return tuple(found)


def build(folder: Path) -> Gallery:
    """Compute and draw everything into ``folder``, which is made if need be, and write its index.md; half a minute."""
    folder.mkdir(parents=True, exist_ok=True)
    boundaries = draw_boundaries(fit_toy(METHODS, SEED), folder)
    digits, around = broken_digits(), balls()
    pictures = [boundaries]
    for name, drawn, alt in (
        ("digits", lambda: _digits_figure(digits), _digits_alt(digits)),
        ("certificate", lambda: _balls_figure(around), _balls_alt(around)),
    ):
        with house_style():
            pictures.append(Drawn(name, "", alt, save_figure(drawn(), folder, name)))
    gallery = Gallery(digits, around, tuple(pictures))
    write_bytes(folder / "index.md", _index(gallery).encode())
    return gallery


def _digits_alt(digits: Sequence[Broken]) -> str:
    said = "; ".join(
        f"{d.label} under {_LABELS[d.metric]}: certified {d.certificate:.2f}, read as {d.read_as} at {d.norm:.2f}"
        for d in digits
    )
    return f"Images of digits, the nearest adversarial image found for each, and the difference. {said}."


def _balls_alt(found: Sequence[Ball]) -> str:
    said = "; ".join(f"K = {b.knn.n_neighbors}: certified {b.certified:.3f}, exact {b.radius:.3f}" for b in found)
    return (
        "A point in the plane of two classes; around it the ball of the exact radius, which touches the decision "
        f"boundary at the adversarial point, and that of the certified radius, inside or equal. {said}."
    )


def _digits_figure(digits: Sequence[Broken]) -> Figure:
    """A row a metric, a block of three images a digit; ink is dark, and differences are added ink on mid-grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 2.6))
    blocks = len(DIGITS)
    grid = figure.add_gridspec(2, 4 * blocks - 1, left=0.075, right=0.995, top=0.92, bottom=0.13, wspace=0.06,
                               hspace=0.42, width_ratios=([1, 1, 1, 0.25] * blocks)[:-1])  # fmt: skip
    most = max(float(np.abs(d.adversarial - d.image).max()) for d in digits)
    for number, d in enumerate(digits):
        row, block = divmod(number, blocks)
        images = (
            ("original", d.image, 0.0, 16.0),
            ("adversarial", d.adversarial, 0.0, 16.0),
            ("difference", d.adversarial - d.image, -most, most),
        )
        for column, (title, values, low, high) in enumerate(images):
            axes = figure.add_subplot(grid[row, 4 * block + column])
            axes.imshow(values.reshape(_SIDE, _SIDE), cmap="gray_r", vmin=low, vmax=high)
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
            axes.spines[:].set_color("#999999")
            if row == 0:
                axes.set_title(title, fontsize=7)
            if column == 0 and block == 0:
                axes.set_ylabel(_LABELS[d.metric], fontweight="bold")
            if column < 2:
                axes.set_xlabel(f"read as {(d.label, d.read_as)[column]}", fontsize=7, labelpad=2)
            if column == 1:
                words = f"safe below {d.certificate:.2f}, misread at {d.norm:.2f}"
                axes.text(0.5, -0.32, words, transform=axes.transAxes, ha="center", va="top", fontsize=7.5)
    return figure


def _balls_figure(found: Sequence[Ball]) -> Figure:
    """A panel a K: the plane as the classifier divides it, x, its balls and its adversarial point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.75), layout="constrained")
    for axes, ball in zip(figure.subplots(1, len(found)), found):
        _ball(axes, ball)
    return figure


def _ball(axes: Axes, ball: Ball) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Circle
    from matplotlib.transforms import Affine2D

    side = np.linspace(-0.02, 1.02, 500)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    regions = ball.knn.predict(plane).reshape(side.size, side.size)
    colours = ListedColormap((_ORANGE, _BLUE))
    axes.contourf(side, side, regions, levels=[-0.5, 0.5, 1.5], cmap=colours, alpha=0.18).set_rasterized(True)
    line = axes.contour(side, side, regions, levels=[0.5], colors=_DARK, linewidths=1.0)
    # what is within a ninth of a unit of a straight line becomes it: here half a cell of the grid, whose steps go
    scale = Affine2D().scale(0.2 / (side[1] - side[0]))
    line.set_paths([scale.inverted().transform_path(path.cleaned(scale, simplify=True)) for path in line.get_paths()])
    for label, (colour, mark) in enumerate(((_ORANGE, "^"), (_BLUE, "s"))):
        own = ball.labels == label
        axes.plot(*ball.points[own].T, ls="none", marker=mark, ms=5.5, mfc=colour, mec=_DARK, mew=0.6)
    axes.add_patch(Circle(tuple(ball.x), ball.radius, fill=False, ec=_DARK, lw=1.3))
    axes.plot(*ball.x, marker="o", ms=5, color=_DARK)
    _name(axes, "x", ball.x, (-9, -3))
    axes.plot(*np.stack([ball.x, ball.adversarial]).T, color=_DARK, lw=0.8)
    axes.plot(*ball.adversarial, marker="X", ms=7, mfc="white", mec=_DARK, mew=1.1, zorder=4)
    _name(axes, "adversarial point", ball.adversarial, (8, 2))
    bottom = ball.x - [0.0, ball.radius]
    if ball.certified < 0.999 * ball.radius:
        axes.add_patch(Circle(tuple(ball.x), ball.certified, fill=False, ec=_DARK, lw=1.1, ls=(0, (4, 2))))
        _name(axes, "certified", ball.x - [0.0, ball.certified], (0, 4), ha="center")
        _name(axes, "exact", bottom, (0, -9), ha="center")
        title = f"Theorem 1: {ball.certified:.3f}, exact: {ball.radius:.3f}"
    else:
        _name(axes, "certified = exact", bottom, (0, -9), ha="center")
        title = f"certified and exact: {ball.radius:.3f}"
    for words, at, across, up in (("triangle", 0.015, "left", "bottom"), ("square", 0.985, "right", "top")):
        axes.text(
            at, at, f"predicted: {words}", transform=axes.transAxes, ha=across, va=up, fontsize=7, color="#444444"
        )
    axes.set_title(f"K = {ball.knn.n_neighbors}", loc="left", fontweight="bold")
    axes.set_title(title, loc="right", fontsize=7.5)
    axes.set_xlim(side[0], side[-1])
    axes.set_ylim(side[0], side[-1])
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _name(axes: Axes, text: str, at: Floats, offset: tuple[float, float], **options: Any) -> None:
    """A label beside what it names, legible on every ground."""
    from matplotlib.patheffects import withStroke

    effects = [withStroke(linewidth=2.0, foreground="white")]
    axes.annotate(text, tuple(at), offset, textcoords="offset points", fontsize=7.5, path_effects=effects, **options)


def _index(gallery: Gallery) -> str:
    """The gallery in Markdown: each picture, its alt text, and what to see in it."""
    boundaries, digits, certificate = gallery.pictures
    one, three = gallery.balls
    shorter = sum(d.certificate < d.norm for d in gallery.digits)
    parts = (
        ("Decision boundaries under each metric", boundaries,
         "Seven training points, the metric of each method fitted to them, and the plane as 1-NN divides it. Around "
         "each point the largest ball in which no perturbation changes the prediction. The balls are round because "
         "perturbations are measured in the features (ℓ2), whatever the metric; the metric moves the boundary."),
        ("Adversarial images", digits,
         f"{_K}-NN on 8 × 8 digits under two metrics. Left the test image, in the middle the nearest image found that "
         "the classifier misreads, right what was changed: darker is more ink, lighter is less, mid-grey is none. Two "
         "numbers a digit, in units of the range from white to black: no image within the first is misread, which is "
         "proved; one at the distance of the second is, which is seen. "
         f"Between them, in {shorter} of {len(gallery.digits)} cases here, nothing is known."),
        ("A certificate, drawn", certificate,
         "Triangles and squares are training points of two classes. For K = 1 the certificate of x, "
         f"{one.certified:.3f}, is the exact radius, since one pair of points decides here. For K = 3 Theorem 1 proves "
         f"{three.certified:.3f} (dashed) of {three.radius:.3f}: its ball is safe, but not the largest safe one, which "
         "touches the boundary. The cross is the adversarial point, just beyond it."),
    )  # fmt: skip
    lines = ["# Gallery", "", "Written by `python -m docs.gallery`; nothing here is drawn by hand.", ""]
    for title, picture, words in parts:
        lines += [f"## {title}", "", f"![{picture.alt}]({picture.name}.svg)", "", words, ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> Gallery:
    """Draw the gallery into the folder named on the command line, docs/_build/gallery by default."""
    parser = argparse.ArgumentParser(prog="python -m docs.gallery", description="Draw the gallery.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="where to (default: docs/_build/gallery)")
    folder = parser.parse_args(arguments).folder
    gallery = build(folder)
    print(f"gallery: {len(gallery.pictures)} pictures in {folder}")
    return gallery


if __name__ == "__main__":
    main()
