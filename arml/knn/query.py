"""What is asked of a classifier: test points with their labels, K, norm and box, read once for all that answer.

Certificates, exact radii, intervals and attacks begin here, so that they agree on what a valid question is and on how
far each training point is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.knn.neighbors import predict_codes
from arml.knn.reference import ReferenceSet
from arml.solvers.perturbation import Box, Norm, check_bounds, check_norm
from arml.validation import check_features, check_labels, check_labels_known, check_n_neighbors

__all__ = ["Margins", "Query", "QueryBatch", "QuerySet", "query_set"]

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

# Accuracy, not soundness: a screened distance that is off by more than this share of it is measured at once.
_COARSE = 2.0**-27


@dataclass(frozen=True, eq=False)
class Query:
    """One test point among the training points.

    Attributes
    ----------
    reference : ReferenceSet
    row : int
        Its place among the points asked about.
    point, x : ndarrays of shape (D,)
        As given, and less the center of the training points.
    size : float
        The size of ``x`` (:mod:`arml.knn.rounding`).
    distances : ndarray of shape (N,)
        Squared, to all rows of the reference set: screened, but for those ``known``.
    known, sizes : ndarrays of shape (m,)
        Rows whose distances are measured, and the sizes that belong to them
        (:meth:`arml.knn.reference.ReferenceSet.measured`).
    code : int
        Its true class.
    n_neighbors : int
        K.
    norm : Norm
        How perturbations are measured.
    box : Box or None
        Where they may go.
    """

    reference: ReferenceSet
    row: int
    point: Vector
    x: Vector
    size: float
    distances: Vector
    known: Rows
    sizes: Vector
    code: int
    n_neighbors: int
    norm: Norm
    box: Box | None

    @property
    def own(self) -> slice:
        """The rows of its class."""
        return self.reference.class_rows(self.code)

    @cached_property
    def outside(self) -> Rows:
        """The rows of all other classes."""
        own = self.own
        return np.concatenate([np.arange(own.start), np.arange(own.stop, self.reference.n_train)])

    def onto(self, row: int) -> Vector:
        """The way onto a training point, shape (D,)."""
        return np.asarray(self.reference.points[self.reference.order[row]] - self.point)


class Margins:
    """The distances of a query, and by how much they may be trusted as far as a perturbation may reach.

    Parameters
    ----------
    query : Query
    reach : float
        An ℓ2 length, whatever norm measures the perturbation.

    Attributes
    ----------
    distances, slack : ndarrays of shape (N,)
        j, farther than i by more than ``slack[i] + slack[j]`` here, stays farther, ties included, after any step of
        2 ‖w_i − w_j‖ times its length that does not use up the rest (:mod:`arml.knn.rounding`, *lost*).
    screened : ndarray of shape (N,)
        What ``slack`` is without any measuring.
    low : ndarray of shape (N,)
        ``distances`` less ``slack``.
    """

    def __init__(self, query: Query, reach: float) -> None:
        self.query, self.reach = query, reach
        reference = query.reference
        self._rounding = reference.rounding
        self._image = reference.metric.sigma_max * reach
        k, share = self._rounding.screened_lost
        with np.errstate(over="ignore"):
            base = k * (reference.caps + (query.size + 2.0 * self._image)) + 4.0 * np.sqrt(self._rounding.floor)
            self.screened: Vector = share * query.distances
            self.screened += base * base + share * self._image * self._image
        self.distances, self.slack = query.distances, self.screened
        self._measured: NDArray[np.bool_] | None = None
        self.low = self.distances - self.slack
        if query.known.size:
            self._set(query.known, query.distances[query.known], query.sizes)

    def high(self, rows: Rows | slice) -> Vector:
        """Distances plus ``slack``."""
        return np.asarray(self.distances[rows] + self.slack[rows])

    def sharpen(self, rows: Rows) -> None:
        """Measure the distances of some rows, where that has not been done."""
        if self._measured is not None:
            rows = rows[~self._measured[rows]]
        if rows.size:
            self._set(rows, *self.query.reference.measured(self.query.point[None], rows))

    def _set(self, rows: Rows, distances: Vector, sizes: Vector) -> None:
        if self._measured is None:
            self._measured, self.slack = np.zeros(self.slack.size, dtype=bool), self.slack.copy()
        self._measured[rows] = True
        self.distances[rows] = distances
        self.slack[rows] = self._rounding.lost(np.sqrt(distances), sizes, self._image)
        self.low[rows] = distances - self.slack[rows]


class QueryBatch:
    """Some queries of a set, with their distances in one matrix.

    Attributes
    ----------
    reference : ReferenceSet
    norm : Norm
    at : Located
    distances, errors : ndarrays of shape (n, N), and (n, N) or (n, 1)
        Squared distances, and by how much each is off at most; those that screening leaves coarse are measured.
    """

    def __init__(self, queries: QuerySet, rows: slice) -> None:
        self._queries, self._rows = queries, rows
        self.reference, self.norm = queries.reference, queries.norm
        reference, points = queries.reference, queries.points[rows]
        self.at = reference.located(points)
        self.distances: Matrix = reference.distances(self.at)
        self.errors: Matrix = reference.screen_errors(self.at)
        coarse = np.flatnonzero(self.distances < self.errors / _COARSE)
        places, coarse = np.divmod(coarse, reference.n_train)
        measured, sizes = reference.measured(points, coarse, places)
        self.distances[places, coarse] = measured
        ends = np.searchsorted(places, np.arange(len(points) + 1))
        self._known = [(coarse[a:b], sizes[a:b]) for a, b in pairwise(ends)]

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Which points are misclassified as they are, shape (n,)."""
        asked, rows = self._queries, self._rows
        codes = predict_codes(
            asked.reference, asked.points[rows], asked.n_neighbors, screen=(self.distances, self.errors)
        )
        return np.asarray(codes != asked.codes[rows])

    def __iter__(self) -> Iterator[Query]:
        asked = self._queries
        for place, row in enumerate(range(len(asked))[self._rows]):
            point = asked.points[row]
            yield Query(
                reference=asked.reference,
                row=row,
                point=point,
                x=self.at.centered[place],
                size=float(self.at.sizes[place]),
                distances=self.distances[place],
                known=self._known[place][0],
                sizes=self._known[place][1],
                code=int(asked.codes[row]),
                n_neighbors=asked.n_neighbors,
                norm=asked.norm,
                box=None if asked.bounds is None else Box(point, asked.bounds),
            )


@dataclass(frozen=True, eq=False)
class QuerySet:
    """Checked test points, to be answered by one reference set (made by :func:`query_set`).

    Attributes
    ----------
    reference : ReferenceSet
    points : ndarray of shape (n, D)
    codes : ndarray of shape (n,)
        Their true classes.
    n_neighbors : int
        K.
    norm : Norm
    bounds : pair of floats or None
        The box, as given.
    """

    reference: ReferenceSet
    points: Matrix
    codes: Rows
    n_neighbors: int
    norm: Norm
    bounds: tuple[float, float] | None

    def __len__(self) -> int:
        return int(self.points.shape[0])

    def batches(self) -> Iterator[QueryBatch]:
        """All queries, a few megabytes of distances at a time."""
        for rows in self.reference.batches(len(self)):
            yield QueryBatch(self, rows)

    @property
    def out_of_bounds(self) -> NDArray[np.bool_]:
        """Which points lie outside the box, shape (n,)."""
        low, high = (-np.inf, np.inf) if self.bounds is None else self.bounds
        return np.asarray(np.any((self.points < low) | (self.points > high), axis=1))


def query_set(
    reference: ReferenceSet, X: ArrayLike, y: ArrayLike, n_neighbors: Any, *, norm: Any = 2, bounds: Any = None
) -> QuerySet:
    """Read what is asked.

    Parameters
    ----------
    reference : ReferenceSet
    X, y : array-likes of shape (n, D), (n,)
        Test points and their true labels.
    n_neighbors : int
        K.
    norm : {2, 1, inf}
    bounds : pair of floats or None

    Raises
    ------
    ValueError
        Features not finite or of another width, no point, labels unseen in training, K below 1 or above N, an unknown
        norm, bounds that are not finite with low < high.
    """
    points = check_features(X, n_features=reference.n_features)
    codes = check_labels_known(check_labels(y, points.shape[0]), reference.classes)
    k = check_n_neighbors(n_neighbors, reference.n_train)
    measure = check_norm(norm, reference.n_features)
    return QuerySet(reference, points, codes, k, measure, check_bounds(bounds))
