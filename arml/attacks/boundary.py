"""The Boundary Attack (Brendel, Rauber and Bethge 2018) on Mahalanobis K-NN: foolbox's, one result a point.

The only module that imports foolbox. foolbox's loop is run as it is, with its defaults, in float64; what is put
in from outside is the classifier, the starting points and the proposals. foolbox draws one Gaussian for the whole
batch from global state; here every row has its own generator and its own bounds, and stops by itself once it has
converged. So a point's result is the same, bit for bit, in any batch.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.attacks.forward import Floats, Forward, PrunedForward
from arml.attacks.proposals import CONVERGED_BELOW, Proposals
from arml.attacks.result import AttackResult, distance, verified
from arml.attacks.starts import StartSearch
from arml.mahalanobis import as_metric
from arml.neighbors import MahalanobisKNN
from arml.validation import (
    check_features,
    check_labels,
    check_labels_known,
    check_n_neighbors,
    check_training_set,
)

__all__ = ["boundary_attack"]


def boundary_attack(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    *,
    steps: int = 25_000,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    batch_size: int = 256,
    init: str = "noise",
) -> AttackResult:
    """Attack Mahalanobis K-NN by foolbox's Boundary Attack and verify every point found with the classifier.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D) and (N,)
    X, y : array-likes of shape (n, D) and (n,)
        Test points and their true labels.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    n_neighbors : int
        K.
    steps : int
        At most so many steps a point (foolbox's default, and the paper's, is 25 000); 0 keeps the start.
    seeds : int or array-like of shape (n,)
        One seed for the run, combined with each point's index, or one seed a point.
    indices : array-like of shape (n,), optional
        The points' indices, for an int in ``seeds``; by default 0 … n − 1. Pass rows of the test file, and a
        point's result is the same whichever other points are attacked with it.
    bounds : pair of floats or None
        The box that candidates stay in. A point outside it is attacked in the box widened, feature by feature,
        just enough to hold it, and marked ``out_of_bounds``; training points outside serve as starts clipped to
        the box. None is no box.
    batch_size : int
        Points that foolbox runs together; does not change results.
    init : {"noise", "nearest"}
        "noise": foolbox's default, uniform noise blended with the point, at most 100 draws; then, and with
        "nearest" at once, the nearest training point of another class that the classifier gives another label.
        "noise" is the paper's protocol and gives its figures. "nearest" ends closer (measured, Euclidean, K = 11,
        25 000 steps: median norm 0.33 against 0.46 on pendigits, 0.25 against 0.33 on satimage).

    Returns
    -------
    AttackResult
        ``norm`` is the distance from the point as given to a float64 point that ``MahalanobisKNN.predict``
        misclassifies; inf with status "unsolved" where not even a start was found.

    Raises
    ------
    ValueError
        NaN or infinite features, fewer than two classes, labels unseen in training, K > N, an M that is no
        metric, steps or batch_size out of range, seeds or indices negative or of the wrong length, bounds that
        are not lower < upper.

    Notes
    -----
    Cost a step and point: about O((2K + 26 + D) r) (see :class:`arml.attacks.forward.PrunedForward`), twice in
    every tenth step. Global random state is neither read nor changed.
    """
    train, train_labels = check_training_set(X_train, y_train)
    points = check_features(X, n_features=train.shape[1])
    labels = check_labels(y, len(points))
    check_n_neighbors(n_neighbors, len(train))
    _check_options(steps, batch_size, init)
    low, high = _check_bounds(bounds)
    generators = _generators(seeds, indices, len(points))
    metric = as_metric(M, train.shape[1])
    classifier = MahalanobisKNN(n_neighbors, metric).fit(train, train_labels)
    targets = check_labels_known(labels, classifier.classes_)
    search = StartSearch(classifier, train, np.searchsorted(classifier.classes_, train_labels))

    norm = np.full(len(points), np.inf)
    adversarial = np.full(points.shape, np.nan)
    status = np.full(len(points), "unsolved", dtype="<U13")
    wrong = classifier.predict(points) != classifier.classes_[targets]
    norm[wrong], adversarial[wrong], status[wrong] = 0.0, points[wrong], "misclassified"
    remaining = np.flatnonzero(~wrong)
    for begin in range(0, remaining.size, batch_size):
        rows = remaining[begin : begin + batch_size]
        box = np.minimum(low, points[rows]), np.maximum(high, points[rows])
        draws = [generators[row] for row in rows]
        starts, found = search(points[rows], targets[rows], box, draws, noise=init == "noise")
        if not found.any():
            continue
        rows, starts = rows[found], starts[found]
        proposals = Proposals(box[0][found], box[1][found], [generators[row] for row in rows])
        decide = PrunedForward(classifier, targets[rows])
        ends = _run_foolbox(points[rows], starts, proposals, decide, steps)
        for row, start, end in zip(rows, starts, ends):
            checked = verified(classifier, classifier.classes_[targets[row]], end, start)
            if checked is not None:
                norm[row], adversarial[row] = distance(points[row], checked), checked
                status[row] = "bounded"
    outside = np.any((points < low) | (points > high), axis=1)
    return AttackResult(norm, adversarial, status, np.asarray(outside))


def _check_options(steps: int, batch_size: int, init: str) -> None:
    for name, value, least in (("steps", steps, 0), ("batch_size", batch_size, 1)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    if init not in ("noise", "nearest"):
        raise ValueError(f"init must be one of ('noise', 'nearest'), got {init!r}")


def _check_bounds(bounds: tuple[float, float] | None) -> tuple[float, float]:
    if bounds is None:
        return -np.inf, np.inf
    try:
        low, high = (float(value) for value in bounds)
    except (TypeError, ValueError) as err:
        raise ValueError(f"bounds must be a pair (lower, upper) or None, got {bounds!r}") from err
    if not low < high:
        raise ValueError(f"bounds must be a pair with lower < upper, got {bounds!r}")
    return low, high


def _generators(seeds: int | ArrayLike, indices: ArrayLike | None, n: int) -> list[np.random.Generator]:
    """One generator a point, from its own seed or from (the run's seed, the point's index)."""

    def whole(values: ArrayLike, name: str) -> NDArray[Any]:
        array = np.asarray(values)
        if array.shape != (n,) or array.dtype.kind not in "iu" or (array < 0).any():
            raise ValueError(f"{name} must be {n} whole numbers of at least 0, one a point, got {values!r}")
        return array

    keys = whole(np.arange(n) if indices is None else indices, "indices")
    if np.ndim(seeds) == 0:
        if isinstance(seeds, bool) or not isinstance(seeds, (int, np.integer)) or seeds < 0:
            raise ValueError(f"seeds must be a whole number of at least 0 or one a point, got {seeds!r}")
        return [np.random.default_rng([int(seeds), int(key)]) for key in keys]
    return [np.random.default_rng(int(seed)) for seed in whole(seeds, "seeds")]


def _run_foolbox(X: Floats, starts: Floats, proposals: Proposals, forward: Forward, steps: int) -> Floats:
    """Run foolbox's own loop from misclassified ``starts``; returns its best points, shape (n, D)."""
    from eagerpy.astensor import astensor
    from foolbox.attacks import boundary_attack as module
    from foolbox.criteria import Criterion
    from foolbox.models.base import Model
    from foolbox.types import Bounds

    class Decision(Model):
        """Outputs the decision itself: is row i misclassified? A converged row is left where it is."""

        @property
        def bounds(self) -> Bounds:
            return Bounds(-np.inf, np.inf)  # the proposals keep each row in its own box

        def __call__(self, inputs: Any) -> Any:
            return astensor(forward(inputs.raw, proposals.active))

    class Decided(Criterion):
        def __repr__(self) -> str:
            return "Decided()"

        def __call__(self, perturbed: Any, outputs: Any) -> Any:
            return outputs

    def draw_proposals(bounds: Any, *state: Any) -> tuple[Any, Any]:
        candidates, spherical = proposals(*(tensor.raw for tensor in state))
        return astensor(candidates), astensor(spherical)

    # foolbox's function with one global name replaced, for this call only: nothing that other threads see
    original = module.BoundaryAttack.run
    if "draw_proposals" not in original.__code__.co_names or original.__closure__:
        raise ImportError("arml needs foolbox 3.3.4, whose BoundaryAttack draws its proposals by draw_proposals")
    run = FunctionType(original.__code__, {**vars(module), "draw_proposals": draw_proposals})
    run.__kwdefaults__ = original.__kwdefaults__
    attack = module.BoundaryAttack(steps=steps, source_step_convergance=CONVERGED_BELOW)
    return np.asarray(run(attack, Decision(), X, Decided(), starting_points=starts), dtype=np.float64)
