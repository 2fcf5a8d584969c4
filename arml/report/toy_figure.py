"""Figure 1: what each metric makes of seven points in the plane, the decision boundaries of 1-NN under all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from arml.knn.mahalanobis import MahalanobisMetric, as_metric
from arml.knn.reference import reference_set
from arml.learners import make_learner
from arml.report.figures import BOUNDARIES, Drawn, save_figure
from arml.report.study import method_label
from arml.report.styles import house_style
from arml.verify.radii import exact_radii

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["TOY_LABELS", "TOY_POINTS", "ToyFit", "boundary_figure", "boundary_words", "draw_boundaries", "fit_toy"]

Floats = NDArray[np.float64]

TOY_POINTS: Floats = np.array(
    [[0.06, 0.22], [0.31, 0.54], [0.28, 0.00], [0.44, 0.76], [0.88, 0.64], [0.93, 0.95], [0.68, 0.53]]
)
"""Four points of class 0 and three of class 1: of some hundred random sets the one where ARML gains most."""
TOY_LABELS = np.array([0, 0, 0, 0, 1, 1, 1])

# where a library's own settings do nothing on seven points: LMNN's steps are for thousands
_SETTINGS: dict[str, dict[str, Any]] = {
    "arml": {"learning_rate": 0.01, "max_iter": 300, "n_candidates": 3},
    "lmnn": {"n_neighbors": 1, "learn_rate": 0.01},
}
_COLOURS = ("#E69F00", "#0072B2")
_MARKS = ("^", "s")
_MARGIN, _GRID = 0.3, 150


@dataclass(frozen=True, eq=False)
class ToyFit:
    """A method's metric on the toy set, and the exact ℓ2 radius of each of its points, shape (7,)."""

    method: str
    metric: MahalanobisMetric
    radii: Floats


def fit_toy(methods: Sequence[str], seed: int) -> list[ToyFit]:
    """Fit every method to the seven points and verify each point exactly against all of them; seconds.

    Each point is a training point of its own classifier, so that its radius is its distance to the boundary
    (eq. 13).

    Raises
    ------
    ValueError
        A method is unknown.
    """
    fits = []
    for method in methods:
        learner = make_learner(method, random_state=seed, **_SETTINGS.get(method, {}))
        metric = as_metric(learner.fit(TOY_POINTS, TOY_LABELS), TOY_POINTS.shape[1])
        exact = exact_radii(TOY_POINTS, TOY_LABELS, TOY_POINTS, TOY_LABELS, metric)
        fits.append(ToyFit(method, metric, exact.lower))
    return fits


def boundary_words(fits: Sequence[ToyFit]) -> str:
    """Return what stands beside Figure 1: what is drawn, and what ARML does to the radii beside the Euclidean ones."""
    text = (
        "Seven points of two classes in the plane (of some hundred random sets the one where ARML gains most: an "
        "example, not evidence), each metric fitted to them, and the plane as its 1-NN classifier divides it. Around "
        "each point its largest safe ball, by exact verification: no ℓ2 perturbation inside changes the prediction."
    )
    radii = {fit.method: fit.radii for fit in fits}
    if not {"euclidean", "arml"} <= radii.keys():
        return f"{text}\n"
    (mean, least), (plain_mean, plain_least) = (
        (float(radii[method].mean()), float(radii[method].min())) for method in ("arml", "euclidean")
    )
    return (
        f"{text} ARML {_moves(mean, plain_mean)} the mean of the Euclidean radii ({plain_mean:.3f} to {mean:.3f}) and "
        f"{_moves(least, plain_least)} the least of them ({plain_least:.3f} to {least:.3f}).\n"
    )


def _moves(after: float, before: float) -> str:
    if f"{after:.3f}" == f"{before:.3f}":
        return "keeps"
    return "raises" if after > before else "lowers"


def draw_boundaries(fits: Sequence[ToyFit], folder: Path) -> Drawn:
    """Draw Figure 1 into `folder`."""
    with house_style():
        figure, alt = boundary_figure(fits)
        return Drawn(BOUNDARIES, "", alt, save_figure(figure, folder, BOUNDARIES))


def boundary_figure(fits: Sequence[ToyFit]) -> tuple[Figure, str]:
    """The plane as 1-NN divides it, a panel a metric, each point in its largest safe ball; returns (figure, alt text).

    The balls are ℓ2: no perturbation inside changes the prediction.
    """
    from matplotlib.figure import Figure

    columns = min(3, len(fits))
    rows = -(-len(fits) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.55 * rows + 0.1), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, fit in zip(panels, fits):
        _panel(axes, fit)
    for axes in panels[len(fits) :]:
        axes.set_visible(False)
    said = "; ".join(f"{method_label(fit.method)} {fit.radii.mean():.3f}, {fit.radii.min():.3f}" for fit in fits)
    words = "Decision boundaries of 1-NN under each metric on seven points, and the largest safe ball of each point. "
    return figure, f"{words}Mean and least exact radius: {said}."


def _panel(axes: Axes, fit: ToyFit) -> None:
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Circle

    low, high = TOY_POINTS.min(axis=0) - _MARGIN, TOY_POINTS.max(axis=0) + _MARGIN
    across, up = (np.linspace(low[i], high[i], _GRID) for i in range(2))
    plane = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    reference = reference_set(TOY_POINTS, TOY_LABELS, fit.metric)
    distances = reference.distances(reference.located(plane))
    first, second = (distances[:, reference.class_rows(code)].min(axis=1) for code in range(2))
    # between two points of the training set it is linear in the plane, so that a coarse grid draws straight lines
    lead = (first - second).reshape(_GRID, _GRID)
    reach = float(np.abs(lead).max())
    axes.contourf(across, up, lead, levels=[-reach, 0.0, reach], cmap=ListedColormap(_COLOURS), alpha=0.18)
    axes.contour(across, up, lead, levels=[0.0], colors="#333333", linewidths=1.0)
    for label, (colour, mark) in enumerate(zip(_COLOURS, _MARKS)):
        own = label == TOY_LABELS
        axes.plot(*TOY_POINTS[own].T, ls="none", marker=mark, ms=6, mfc=colour, mec="#222222", mew=0.6, zorder=3)
        for centre, radius in zip(TOY_POINTS[own], fit.radii[own]):
            axes.add_patch(Circle(tuple(centre), radius, fill=False, ec=colour, lw=0.9))
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_title(method_label(fit.method), loc="left", fontweight="bold")
    axes.set_title(f"radius: mean {fit.radii.mean():.3f}, least {fit.radii.min():.3f}", loc="right", fontsize=7)
