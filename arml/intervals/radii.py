"""Radii of Mahalanobis K-NN from both sides: what is proved, what is broken, and nothing in between left unsaid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.attacks.geometric import around_point, searched
from arml.attacks.options import check_count, check_time_limit, deadline_after, point_generators
from arml.certify.radii import certify_points
from arml.intervals.branching import Branching
from arml.knn.query import query_set
from arml.knn.radii import Radii
from arml.knn.reference import ReferenceSet, reference_set
from arml.verify.radii import verify_points

__all__ = ["IntervalResult", "interval_points", "radius_intervals"]

Floats = NDArray[np.float64]

_TOLERANCE = 1e-6  # what "exact" means: upper − lower ≤ this share of upper
_BEYOND = (
    32.0  # effort: as many radii of the training set off, the search for a lower bound ends where no attack is known
)


IntervalResult = Radii
"""What intervals are told in."""


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
) -> Radii:
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
    Radii
        Lengths are ℓ2.

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
) -> Radii:
    """:func:`radius_intervals` against a training set that :func:`arml.knn.reference.reference_set` has prepared.

    For one training set and many calls, in one thread or several: the set is transformed once and shared. The other
    parameters, the result and the errors are those of :func:`radius_intervals`.
    """
    queries = query_set(reference, X, y, n_neighbors)
    points, k = queries.points, queries.n_neighbors
    check_count("programs", programs, 1)
    check_count("nodes", nodes, 0)
    check_time_limit(time_limit)
    generators = point_generators(seeds, indices, len(queries))
    lower = np.array([c.radius for c in certify_points(reference, points, y, k, "packing")])
    upper = np.full(len(queries), np.inf)
    adversarial = np.full(points.shape, np.nan)
    n_nodes = np.zeros(len(queries), dtype=np.intp)
    misclassified = np.zeros(len(queries), dtype=bool)
    for batch in queries.batches():
        for query, wrong in zip(batch, batch.wrong, strict=True):
            row, misclassified[query.row] = query.row, wrong
            if wrong:
                lower[row], upper[row], adversarial[row] = 0.0, 0.0, query.point
                continue
            deadline = deadline_after(time_limit)
            around = around_point(query)
            search = searched(around, programs, deadline, generators[row])
            if k == 1:
                exact = verify_points(reference, query.point[None], reference.classes[[query.code]])
                lower[row] = max(lower[row], exact.lower[0])
            elif nodes and lower[row] < search.norm:
                ceiling = search.norm
                if search.adversarial is None:  # far beyond all training points
                    ceiling = _BEYOND * (reference.radius + float(np.linalg.norm(query.x)))
                branching = Branching(around, ceiling)
                branching.run(nodes, deadline, search.follow)
                lower[row], n_nodes[row] = max(lower[row], branching.lower), branching.n_nodes
            if search.adversarial is not None:
                upper[row], adversarial[row] = search.norm, search.adversarial
            lower[row] = min(lower[row], upper[row])
    known = np.where(np.isfinite(upper), upper, 0.0)
    close = np.isfinite(upper) & (known - lower <= _TOLERANCE * known)
    proved = np.where(lower > 0, np.where(close, "exact", "bounded"), "unsolved")
    return Radii(
        lower=lower,
        upper=upper,
        status=np.where(misclassified, "misclassified", proved),
        negative=np.full(len(queries), -1, dtype=np.intp),
        perturbation=adversarial - points,
        n_problems=np.zeros(len(queries), dtype=np.intp),
        certificates=(),
        adversarial=adversarial,
        n_nodes=n_nodes,
    )
