"""Radii of Mahalanobis K-NN from both sides: what is proved, what is broken, and nothing in between left unsaid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.attacks.geometric import Search, around_point
from arml.attacks.options import check_count, check_time_limit, deadline_after, point_generators
from arml.certify.radii import certify_points
from arml.intervals.branching import Branching
from arml.knn.neighbors import predict_codes
from arml.knn.reference import ReferenceSet, reference_set
from arml.validation import check_features, check_labels, check_labels_known, check_n_neighbors
from arml.verify.radii import verify_points

__all__ = ["IntervalResult", "interval_points", "radius_intervals"]

Floats = NDArray[np.float64]

_TOLERANCE = 1e-6
_BEYOND = 32.0


@dataclass(frozen=True)
class IntervalResult:
    """Radii of n points between what is proved and what is broken.

    Attributes
    ----------
    lower, upper : ndarrays of shape (n,)
        lower ≤ radius ≤ upper, ℓ2. ``lower`` is proved, rounding subtracted; ``upper`` is the length of the way to
        ``adversarial``. Both 0 for misclassified points; upper inf where no attack was found.
    status : ndarray of shape (n,) of str
        "exact" (upper − lower within the tolerance), "bounded", "misclassified" or "unsolved" (nothing proved).
    adversarial : ndarray of shape (n, D)
        What ``MahalanobisKNN.predict`` misclassifies; rows of NaN where ``upper`` is inf.
    n_nodes : ndarray of shape (n,)
        Nodes of the branch and bound.
    """

    lower: Floats
    upper: Floats
    status: NDArray[np.str_]
    adversarial: Floats
    n_nodes: NDArray[np.intp]


def radius_intervals(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    *,
    programs: int = 100,
    nodes: int = 10_000,
    time_limit: float | None = None,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
) -> IntervalResult:
    """Lower and upper bounds of the robust radius of Mahalanobis K-NN, as close as the allowance brings them.

    The geometric attack gives the upper bound; the lower one is that of branch and bound
    (:mod:`arml.intervals.branching`), which starts from the packing bound and ends where it meets the attack, improving
    the attack on its way. For K = 1 it is the exact radius.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D), (N,)
    X, y : array-likes of shape (n, D), (n,)
        The points and their true labels.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    n_neighbors : int
        K, odd or even.
    programs : int
        Quadratic programs of the attack, a point.
    nodes : int
        Nodes of branch and bound, a point; 0 leaves the packing bound. More never loosens an interval.
    time_limit : float, optional
        Seconds a point may take besides; intervals may then differ from run to run.
    seeds, indices
        As for :func:`arml.attacks.boundary_attack`.

    Returns
    -------
    IntervalResult

    Raises
    ------
    ValueError
        NaN or infinite features, fewer than two classes, labels unseen in training, K > N, an M that is no metric,
        programs, nodes or time limit out of range, seeds or indices negative or of the wrong length.
    NotFittedError
        M is a learner that has not been fitted.

    Notes
    -----
    Distance ties are lost. Cost: that of the attack, and for each node O(P D + q² D), P points in reach and q active
    half-spaces: 0.1 ms and up.

    Examples
    --------
    >>> from arml.intervals import radius_intervals
    >>> found = radius_intervals([[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1], [[1.0]], [0], n_neighbors=3)
    >>> found.lower.round(6).tolist(), found.upper.round(6).tolist(), found.status.tolist()
    ([1.5], [1.5], ['exact'])
    """
    return interval_points(
        reference_set(X_train, y_train, M),
        X,
        y,
        n_neighbors,
        programs=programs,
        nodes=nodes,
        time_limit=time_limit,
        seeds=seeds,
        indices=indices,
    )


def interval_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int = 11,
    *,
    programs: int = 100,
    nodes: int = 10_000,
    time_limit: float | None = None,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
) -> IntervalResult:
    """:func:`radius_intervals` against a training set that :func:`arml.knn.reference.reference_set` has prepared.

    For one training set and many calls, in one thread or several: the set is transformed once and shared. The other
    parameters, the result and the errors are those of :func:`radius_intervals`.
    """
    points = check_features(X, n_features=reference.n_features)
    codes = check_labels_known(check_labels(y, len(points)), reference.classes)
    k = check_n_neighbors(n_neighbors, reference.n_train)
    check_count("programs", programs, 1)
    check_count("nodes", nodes, 0)
    check_time_limit(time_limit)
    generators = point_generators(seeds, indices, len(points))
    lower = np.array([c.radius for c in certify_points(reference, points, y, k, "packing")])
    upper = np.full(len(points), np.inf)
    adversarial = np.full(points.shape, np.nan)
    n_nodes = np.zeros(len(points), dtype=np.intp)
    wrong = np.zeros(len(points), dtype=bool)
    for batch in reference.batches(len(points)):
        centered = reference.centered(points[batch])
        distances = reference.distances(centered)
        wrong[batch] = predict_codes(reference, points[batch], k, screen=distances) != codes[batch]
        for place, row in enumerate(range(len(points))[batch]):
            if wrong[row]:
                lower[row], upper[row], adversarial[row] = 0.0, 0.0, points[row]
                continue
            deadline = deadline_after(time_limit)
            around = around_point(reference, centered[place], distances[place], int(codes[row]), k)
            search = Search(around, points[row], programs, deadline)
            search.run(generators[row])
            if k == 1:
                exact = verify_points(reference, points[row : row + 1], reference.classes[codes[row : row + 1]])
                lower[row] = max(lower[row], exact.lower[0])
            elif nodes and lower[row] < search.norm:
                ceiling = search.norm
                if search.adversarial is None:  # far beyond all training points
                    ceiling = _BEYOND * (reference.radius + float(np.linalg.norm(centered[place])))
                branching = Branching(around, distances[place], ceiling)
                branching.run(nodes, deadline, search.follow)
                lower[row], n_nodes[row] = max(lower[row], branching.lower), branching.n_nodes
            if search.adversarial is not None:
                upper[row], adversarial[row] = search.norm, search.adversarial
            lower[row] = min(lower[row], upper[row])
    known = np.where(np.isfinite(upper), upper, 0.0)
    close = np.isfinite(upper) & (known - lower <= _TOLERANCE * known)
    status = np.where(wrong, "misclassified", np.where(lower > 0, np.where(close, "exact", "bounded"), "unsolved"))
    return IntervalResult(lower, upper, status, adversarial, n_nodes)
