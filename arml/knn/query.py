"""What is asked of a classifier: test points with their labels, K, norm and box, read once for all that answer.

Certificates, exact radii, intervals and attacks begin here, so that they agree on what a valid question is and on how
far each training point is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.knn.neighbors import predict_codes
from arml.knn.reference import ReferenceSet
from arml.solvers.perturbation import Box, Norm, check_bounds, check_norm
from arml.validation import check_features, check_labels, check_labels_known, check_n_neighbors

__all__ = ["Query", "QueryBatch", "QuerySet", "query_set"]

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Query:
    """One test point among the training points.

    Attributes
    ----------
    reference : ReferenceSet
    row : int
        Its place among the points asked about.
    point, x : ndarrays of shape (D,)
        As given, and less the mean of the training points.
    distances : ndarray of shape (N,)
        Squared, to all rows of the reference set.
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
    distances: Vector
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
        return self.reference.point(row) - self.x

    def margin(self, reach: float) -> float:
        """:meth:`arml.knn.reference.ReferenceSet.margin` within ``reach`` (ℓ2) of the point."""
        return float(self.reference.margin(self.x[None], np.array([reach]))[0])


class QueryBatch:
    """Some queries of a set, with their distances in one matrix.

    Attributes
    ----------
    reference : ReferenceSet
    norm : Norm
    centered : ndarray of shape (n, D)
    distances : ndarray of shape (n, N)
    """

    def __init__(self, queries: QuerySet, rows: slice) -> None:
        self._queries, self._rows = queries, rows
        self.reference, self.norm = queries.reference, queries.norm
        self.centered: Matrix = queries.reference.centered(queries.points[rows])
        self.distances: Matrix = queries.reference.distances(self.centered)

    @cached_property
    def wrong(self) -> NDArray[np.bool_]:
        """Which points are misclassified as they are, shape (n,)."""
        asked, rows = self._queries, self._rows
        codes = predict_codes(asked.reference, asked.points[rows], asked.n_neighbors, screen=self.distances)
        return np.asarray(codes != asked.codes[rows])

    def __iter__(self) -> Iterator[Query]:
        asked = self._queries
        for place, row in enumerate(range(len(asked))[self._rows]):
            point = asked.points[row]
            yield Query(
                reference=asked.reference,
                row=row,
                point=point,
                x=self.centered[place],
                distances=self.distances[place],
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
