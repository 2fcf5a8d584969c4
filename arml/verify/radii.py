"""Exact robust radii of Mahalanobis 1-NN: the minimal adversarial perturbation of eq. (13), bounded from both sides.

For every negative j the perturbations that make j the nearest form a polyhedron, one half-space a positive i
(eq. 14); the radius is the smallest distance from 0 to any of these polyhedra. Most negatives are screened out by
closed-form bounds (eq. 9, here); the few that remain are solved best first (:mod:`arml.verify.search`) by adding
violated half-spaces (:mod:`arml.geometry.cells`).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.certificate import Certificate
from arml.geometry.cells import Point
from arml.knn.query import Margins, Query, QueryBatch, query_set
from arml.knn.radii import Radii
from arml.knn.reference import ReferenceSet, reference_set
from arml.verify.search import Outcome, search, wrong

__all__ = ["ExactResult", "exact_radii", "verify_points"]

_BEYOND = 1.0 + 1e-9  # no shortest perturbation is longer than one that was found
Rows = NDArray[np.intp]
Vector = NDArray[np.float64]


ExactResult = Radii
"""What exact radii are told in."""


def exact_radii(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    *,
    norm: float = 2,
    bounds: tuple[float, float] | None = None,
    tolerance: float = 1e-8,
    time_limit: float | None = None,
    total_time_limit: float | None = None,
) -> Radii:
    """Exact minimal adversarial perturbation of a Mahalanobis 1-NN classifier (eq. 13), point by point.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D), (N,)
    X, y : array-likes of shape (n, D), (n,)
        The points and their true labels.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    norm : {2, 1, inf}
        How perturbations are measured. 2 solves quadratic programs, and is the fastest; 1 and inf linear ones.
    bounds : pair of floats or None
        The box, low < high, that perturbed points stay in, in every feature. For a point outside it the box is
        widened, feature by feature, just enough to hold it (the rule of :func:`arml.attacks.boundary_attack`).
        Training points may lie outside: where no cell of another class meets the box, the radius is inf.
    tolerance : float
        A point is "exact" when upper − lower ≤ tolerance · upper.
    time_limit : float, optional
        Seconds a point may take. What is not finished by then is "bounded", with a valid interval.
    total_time_limit : float, optional
        Seconds all points together may take. Points begun later are "bounded" by screening alone: a closed-form
        lower bound, and the way onto a point of another class as upper bound.

    Returns
    -------
    Radii

    Raises
    ------
    ValueError
        Non-finite features, no point, a label unseen in training, fewer than two classes, wrong dimension, M not
        symmetric or not PSD, an unknown norm, bounds that are not finite with low < high, tolerance or a time limit not
        positive, features too large for squares.
    NotFittedError
        M is a learner that has not been fitted.

    Notes
    -----
    Distance ties are lost: a point whose nearest positive and negative tie has radius 0 even where the predictor
    is right. Cost: two products of a batch with the training set, O(N (D + r)) a point, then typically one or two
    small quadratic programs a point. With norm 1 or inf the second product is O(N D) without BLAS, and programs
    are linear, of a few milliseconds to a second each (D to 2D + 1 variables, 48 rows and more).

    Examples
    --------
    >>> from arml.verify import exact_radii
    >>> result = exact_radii([[0.0, 0.0], [4.0, 0.0]], [0, 1], [[1.0, 0.0]], [0])
    >>> round(float(result.lower[0]), 6), round(float(result.upper[0]), 6), str(result.status[0])
    (1.0, 1.0, 'exact')
    """
    return verify_points(
        reference_set(X_train, y_train, M),
        X,
        y,
        norm=norm,
        bounds=bounds,
        tolerance=tolerance,
        time_limit=time_limit,
        total_time_limit=total_time_limit,
    )


def verify_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    *,
    norm: float = 2,
    bounds: tuple[float, float] | None = None,
    tolerance: float = 1e-8,
    time_limit: float | None = None,
    total_time_limit: float | None = None,
) -> Radii:
    """:func:`exact_radii` against a training set that :func:`arml.knn.reference.reference_set` has prepared.

    For one training set and many calls, in one thread or several: the set is transformed once and shared. The other
    parameters, the result and the errors are those of :func:`exact_radii`.
    """
    queries = query_set(reference, X, y, 1, norm=norm, bounds=bounds)
    limits_of_time = (time_limit, total_time_limit)
    if not (tolerance > 0 and all(limit is None or limit > 0 for limit in limits_of_time)):
        raise ValueError(
            f"tolerance and time limits must be positive, got {tolerance!r}, {time_limit!r} and {total_time_limit!r}"
        )
    clock = _Clock(time_limit, total_time_limit)
    found = [_verify_batch(batch, clock, tolerance) for batch in queries.batches()]
    outcomes = [outcome for batch in found for outcome in batch]
    lower = np.array([o.lower for o in outcomes])
    upper = np.array([o.upper for o in outcomes])
    done = [_close(o, tolerance) for o in outcomes]
    return Radii(
        lower=lower,
        upper=upper,
        status=np.where([o.misclassified for o in outcomes], "misclassified", np.where(done, "exact", "bounded")),
        negative=np.array([o.negative for o in outcomes], dtype=np.intp),
        perturbation=np.stack([o.perturbation for o in outcomes]),
        n_problems=np.array([o.n_problems for o in outcomes], dtype=np.intp),
        certificates=tuple(
            Certificate(
                radius=o.lower,
                n_neighbors=1,
                bound="exact",
                pool=o.pool,
                proofs=o.proofs,
                norm=queries.norm.p,
                bounds=queries.bounds,
                upper=o.upper,
                negative=o.negative,
                perturbation=o.perturbation if np.isfinite(o.upper) else np.zeros(0),
            )
            for o in outcomes
        ),
        adversarial=np.full(queries.points.shape, np.nan),
        n_nodes=np.zeros(len(queries), dtype=np.intp),
    )


class _Clock:
    """When to stop: each point has its own limit, and all of them have one together."""

    def __init__(self, a_point: float | None, total: float | None) -> None:
        self.a_point = np.inf if a_point is None else a_point
        self.end = np.inf if total is None else time.monotonic() + total

    def deadline(self) -> float:
        """For the point that begins now, on :func:`time.monotonic`."""
        return float(min(self.end, time.monotonic() + self.a_point))


def _verify_batch(batch: QueryBatch, clock: _Clock, tolerance: float) -> list[Outcome]:
    norm = batch.norm
    outcomes = []
    for query, misclassified in zip(batch, batch.wrong, strict=True):
        if misclassified:
            outcomes.append(wrong(query.x.size))
            continue
        deadline = clock.deadline()
        reach = _reach(query, query.onto(_nearest_outside(query.distances, query.own)))
        outcome = _search(query, reach, deadline)
        if not _close(outcome, tolerance) and time.monotonic() < deadline:
            reach = min(reach, norm.stretch * outcome.upper * _BEYOND)
            again = _search(query, reach, deadline, fine=True)
            # both are proved by themselves: of the two, the one with the smaller gap
            chosen = again if _gap(again) <= _gap(outcome) else outcome
            outcome = chosen._replace(n_problems=outcome.n_problems + again.n_problems)
        outcomes.append(outcome)
    return outcomes


def _search(query: Query, reach: float, deadline: float, *, fine: bool = False) -> Outcome:
    """One search; ``fine``: with distances and normals of all that take part measured from differences."""
    return search(Point(query, Margins(query, reach), fine=fine), deadline)


def _gap(outcome: Outcome) -> float:
    return 0.0 if outcome.lower == outcome.upper else outcome.upper - outcome.lower


def _close(outcome: Outcome, tolerance: float) -> bool:
    """Whether an interval counts as exact."""
    return _gap(outcome) <= (tolerance * outcome.upper if outcome.upper < np.inf else 0.0)


def _reach(query: Query, onto: Vector) -> float:
    """An ℓ2 length that no shortest perturbation exceeds: moving onto the nearest negative is always enough.

    Unless it is outside the box; then the farthest corner of the box bounds all there is.
    """
    norm, box = query.norm, query.box
    if box is not None and not np.array_equal(np.clip(onto, box.low, box.high), onto):
        return norm.stretch * box.corner(norm)
    return norm.stretch * norm.length(onto)


def _nearest_outside(distances: Vector, rows: slice) -> int:
    """The nearest row outside a class."""
    sides: list[tuple[int, Vector]] = [(0, distances[: rows.start]), (int(rows.stop), distances[rows.stop :])]
    return min((float(side.min()), offset + int(np.argmin(side))) for offset, side in sides if side.size)[1]
