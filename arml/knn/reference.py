"""The training set as neighbour search sees it: grouped by class, screened by products, measured by differences.

**The tie rule**, the same for predictor, proofs, attacks and checker (constants: :mod:`arml.knn.rounding`):

1. A squared distance is *measured* from the differences of two points' features as given, under the factor G. Its
   error ω is relative to the distance and to the difference's own length; where other points lie is of no account.
2. Of measured distances, those within 4 ω of the K-th smallest *tie* with it. The predictor takes all that are nearer,
   and fills the K by ties, by training index.
3. Proofs count ties as lost: within a lower bound the decisive distances stay 10 ω of each apart, at an upper bound
   they are within 2 ω of each, or the predictor errs. The checker, by arithmetic of its own, stands in between (8 and
   6; the predictor's ties are within 5): it accepts what is proved here, and no two claims that contradict each other.
4. Products of matrices only *screen*: ‖v‖² − 2 vᵀvᵢ + ‖vᵢ‖² of points less a center (a median: far rows do not move
   it) is off by (k (S + Sᵢ))², row by row. What that leaves in doubt is measured.

Features so large that squares overflow are refused; what underflows is part of ω.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.knn.mahalanobis import MahalanobisMetric, as_metric
from arml.knn.rounding import lengths, rounding_of
from arml.validation import check_training_set

__all__ = ["Located", "ReferenceSet", "reference_set"]

# Soundness.
_LARGEST, _SMALLEST = 1e302, 1e-302  # squares beyond would overflow once added up; of w, vanish against their own error
# ‖wᵢ − wⱼ‖² by products is off by (D + 4) u (‖wᵢ‖ + ‖wⱼ‖)², and by rows off by e each by 2 (‖wᵢ‖ + ‖wⱼ‖) 2e + (2e)²:
# (‖wᵢ‖ + ‖wⱼ‖)² is at most 2 (‖wᵢ‖² + ‖wⱼ‖²); four times as much is taken, for what is divided by it rounds too
_UNIT_ROUNDOFF = 2.0**-53
_SUMS, _BLUR = 4, 8.0
# A row is a candidate if its distance, this many times the screen's error less, is within the K-th, as much more: that
# error is twice a bound of ω, and ties are within 4 ω.
_CANDIDATES = 8.0
_FAR = 2.0**20  # a row so many times farther from the center than most is worth a warning

# Effort: changes time and memory, never a result.
_BLOCK_ROWS = 4096
_BATCH_ENTRIES = 1 << 22
_MIDDLE = 1023  # rows of which the center is the median
_PAIRS = 1 << 21  # entries of differences made at a time
_BLOCK = 8
_ALIKE = 4.0  # sizes of at most so many times their median are much alike


def _middle(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of an odd number of rows, evenly spread over the training set: features that occur, none far out."""
    count = min(X.shape[0] - 1 + X.shape[0] % 2, _MIDDLE)
    rows = np.linspace(0, X.shape[0] - 1, count).astype(np.intp)
    return np.asarray(np.median(X[rows], axis=0), dtype=np.float64)


def reference_set(X_train: ArrayLike, y_train: ArrayLike, M: Any = None, *, queries: bool = False) -> ReferenceSet:
    """A checked training set under a metric, ready for many calls of what takes one, from several threads too.

    Such as :func:`arml.verify.verify_points`, :func:`arml.certify.certify_points` and the attacks' ``*_points``.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D), (N,)
        Float64 features are kept, not copied: do not change them while the set is in use.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    queries : bool
        For attacks by queries: they do not need w, which is left to its first use. Otherwise w is made now, by one
        thread.

    Returns
    -------
    ReferenceSet

    Raises
    ------
    ValueError
        Non-finite features, fewer than two classes, lengths that differ, an unusable M, features too large.
    """
    train, labels = check_training_set(X_train, y_train)
    metric = as_metric(M, train.shape[1])
    reference = ReferenceSet(train, labels, metric)
    if not queries:
        reference.w_sq  # noqa: B018
    return reference


def _fixed_product(left: NDArray[np.float64], right: NDArray[np.float64], rows: int) -> NDArray[np.float64]:
    """left · rightᵀ, always by ``rows`` rows of ``left`` (zeros added), shape (len(left), len(right)).

    In what order a BLAS adds up a row may depend on how many rows it was given: a point's distances would depend,
    in the last digit, on its batch.
    """
    out = np.empty((left.shape[0], right.shape[0]))
    whole = left.shape[0] - left.shape[0] % rows
    for start in range(0, whole, rows):
        np.matmul(left[start : start + rows], right.T, out=out[start : start + rows])
    if whole < left.shape[0]:
        padded = np.zeros((rows, left.shape[1]))
        padded[: left.shape[0] - whole] = left[whole:]
        out[whole:] = (padded @ right.T)[: left.shape[0] - whole]
    return out


class Located(NamedTuple):
    """Points as a reference set sees them: less its center (n, D), their images under G (n, r), their sizes (n,)."""

    centered: NDArray[np.float64]
    images: NDArray[np.float64]
    sizes: NDArray[np.float64]


class ReferenceSet:
    """Labelled training points under a metric, sorted by class (stable: by training index within a class).

    Parameters
    ----------
    X : ndarray of shape (N, D), checked
        Kept by reference: it must not change.
    y : ndarray of shape (N,), checked
    metric : MahalanobisMetric

    Attributes
    ----------
    points : ndarray of shape (N, D)
        X, by training index.
    order : ndarray of shape (N,)
        Training index of each row of the arrays below.
    classes : ndarray of shape (C,)
        The labels, sorted; a label's *code* is its position here.
    codes : ndarray of shape (N,)
        Class code of each row (ascending).
    starts : ndarray of shape (C + 1,)
        Rows ``starts[c]:starts[c + 1]`` belong to class c.
    center : ndarray of shape (D,)
        c, near most of the training points.
    u, w : ndarrays of shape (N, r), (N, D)
        G (x − c), M (x − c); one array, x − c, under the identity. ``w`` is made at first use: besides X, verification
        holds N (r + D) floats.
    u_sq, w_sq : ndarrays of shape (N,)
        Squared row norms of u, and those of w rounded up: ``w_sq[i] + w_sq[j] − 2 w_i·w_j`` is no less than
        ‖w_i − w_j‖².
    sizes : ndarray of shape (N,)
        Those of x − c (:mod:`arml.knn.rounding`).
    caps : ndarray of shape (N,) or (1,)
        No less than ``sizes``: one number for all where they are much alike, since it is faster.
    rounding : Rounding

    Raises
    ------
    ValueError
        Squares of the features, or of their images under the metric, overflow (or ``w`` underflows).
    """

    def __init__(self, X: NDArray[np.float64], y: NDArray[Any], metric: MahalanobisMetric) -> None:
        self.metric, self.points = metric, X
        self.classes, codes = np.unique(y, return_inverse=True)
        self.order: NDArray[np.intp] = np.argsort(codes, kind="stable")
        self.codes: NDArray[np.intp] = codes[self.order]
        self.starts: NDArray[np.intp] = np.searchsorted(self.codes, np.arange(self.classes.size + 1))
        self.rounding = rounding_of(metric)
        self.u, self.sizes = np.empty((X.shape[0], metric.rank)), np.empty(X.shape[0])
        with np.errstate(over="ignore", invalid="ignore"):
            self.center: NDArray[np.float64] = _middle(X)
            for rows, block in self._centered_blocks(X):
                self.u[rows] = self._images(block)
                self.sizes[rows] = self._sizes(block, self.u[rows])
        self._check_sizes(self.sizes)
        alike = self.sizes.max() <= _ALIKE * np.median(self.sizes)
        self.caps: NDArray[np.float64] = self.sizes.max(keepdims=True) if alike else self.sizes
        self.u_sq: NDArray[np.float64] = np.einsum("ij,ij->i", self.u, self.u)
        self._batch = 64 if 64 * X.shape[0] <= _BATCH_ENTRIES else 16
        self._w: NDArray[np.float64] | None = None
        self._w_sq: NDArray[np.float64] | None = None

    def _centered_blocks(self, X: NDArray[np.float64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """x − c, some rows of this set at a time: the whole matrix is never held beside X."""
        for start in range(0, self.n_train, _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            yield rows, X[self.order[rows]] - self.center

    @property
    def n_train(self) -> int:
        """N."""
        return int(self.order.size)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.center.size)

    @property
    def w(self) -> NDArray[np.float64]:
        """M (x − c), computed at first use; only verification needs it."""
        if self._w is None:
            longest = self.metric.sigma_max * float(self.sizes.max())
            if not (longest == 0.0 or _SMALLEST < longest * longest < _LARGEST):
                raise ValueError(
                    f"norms of M x of the order of {longest:.3g} cannot be computed safely: rescale the metric or "
                    "the features (radii do not depend on the scale of the metric)"
                )
            self._w = self.u if self.metric.is_identity else self.u @ self.metric.components
        return self._w

    @property
    def w_sq(self) -> NDArray[np.float64]:
        """Squared row norms of :attr:`w`, rounded up."""
        if self._w_sq is None:
            self._w_sq = np.einsum("ij,ij->i", self.w, self.w) + self.blur
        return self._w_sq

    @cached_property
    def radius(self) -> float:
        """The largest length of x − c."""
        return max(float(lengths(block).max()) for _, block in self._centered_blocks(self.points))

    @cached_property
    def blur(self) -> NDArray[np.float64]:
        """By how much :attr:`w_sq` is rounded up, shape (N,)."""
        longest = self.metric.sigma_max * self.sizes
        share = (self.n_features + _SUMS) * _UNIT_ROUNDOFF + 2.0 * self.rounding.rows * (1.0 + self.rounding.rows)
        return np.asarray(_BLUR * share * longest * longest + self.rounding.floor, dtype=np.float64)

    @cached_property
    def blur_max(self) -> float:
        """The largest of :attr:`blur`."""
        return float(self.blur.max())

    def row_errors(self, rows: NDArray[np.intp] | slice | int) -> NDArray[np.float64]:
        """By how much rows of :attr:`w` are off at most, in ℓ2."""
        return np.asarray(self.rounding.rows * self.metric.sigma_max * self.sizes[rows])

    def point(self, row: int) -> NDArray[np.float64]:
        """x − c of one row, shape (D,)."""
        return np.asarray(self.points[self.order[row]] - self.center)

    @property
    def point_codes(self) -> NDArray[np.intp]:
        """Class codes by training index, shape (N,)."""
        out = np.empty_like(self.codes)
        out[self.order] = self.codes
        return out

    @property
    def far_rows(self) -> NDArray[np.intp]:
        """Training indices of points a million times farther from the center than most, farthest first."""
        typical = float(np.median(self.sizes))
        far = np.flatnonzero(self.sizes > _FAR * typical) if typical > 0.0 else np.zeros(0, dtype=np.intp)
        return np.asarray(self.order[far[np.argsort(-self.sizes[far], kind="stable")]])

    def batches(self, n: int) -> Iterator[slice]:
        """Slices of n points, a few megabytes of distances each."""
        for start in range(0, n, self._batch):
            yield slice(start, start + self._batch)

    def class_rows(self, code: int) -> slice:
        """The rows of one class."""
        return slice(int(self.starts[code]), int(self.starts[code + 1]))

    def located(self, X: NDArray[np.float64]) -> Located:
        """X − c and what belongs to it; a row's do not depend on the others.

        ValueError where squared distances to it would overflow. Cost: O(D r) a row.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            centered = X - self.center
            images = self._images(centered, self._batch)
            sizes = self._sizes(centered, images, self._batch)
            self._check_sizes(sizes)
        return Located(centered, images, sizes)

    def _images(self, rows: NDArray[np.float64], batch: int | None = None) -> NDArray[np.float64]:
        """G times each row, (m, D) → (m, r), the rows themselves under the identity; ``batch`` as in :meth:`_sizes`."""
        if self.metric.is_identity:
            return rows
        components = self.metric.components
        return rows @ components.T if batch is None else _fixed_product(rows, components, batch)

    def _sizes(
        self, rows: NDArray[np.float64], images: NDArray[np.float64], batch: int | None = None
    ) -> NDArray[np.float64]:
        """The sizes of rows, shape (m,); with ``batch``, always by products of so many, and none depends on others."""
        magnitudes = self.rounding.magnitudes
        if magnitudes is None:
            return lengths(rows)
        rows = np.abs(rows)
        spread = rows @ magnitudes.T if batch is None else _fixed_product(rows, magnitudes, batch)
        return np.maximum(lengths(images), lengths(spread))

    def _check_sizes(self, sizes: NDArray[np.float64]) -> None:
        """Refuse points of these sizes whose squares overflow. ValueError."""
        largest = float(sizes.max())
        with np.errstate(over="ignore"):
            square = np.square(largest)
        if not square < _LARGEST:
            raise ValueError(f"squared distances of the order of {square:.3g} overflow: rescale the features")

    def distances(self, at: Located) -> NDArray[np.float64]:
        """Squared distances of points to all N rows by matrix products, shape (n, N), at least 0.

        Off by :meth:`screen_errors` at most; a row's do not depend on the others. Cost: O(N r) time a row, and no
        less than for 64 rows (16 where N > 65,536).
        """
        out = _fixed_product(at.images, self.u, self._batch)
        out *= -2.0
        out += self.u_sq
        out += np.einsum("ij,ij->i", at.images, at.images)[:, None]
        return np.asarray(np.maximum(out, 0.0, out=out), dtype=np.float64)

    def screen_errors(self, at: Located) -> NDArray[np.float64]:
        """By how much each of :meth:`distances` is off at most, shape (n, N), or (n, 1) for all of a point's."""
        out = np.add.outer(at.sizes, self.caps)
        out *= self.rounding.screened
        out *= out
        out += self.rounding.floor
        return np.asarray(out)

    def measured(
        self,
        points: NDArray[np.float64],
        rows: NDArray[np.intp],
        places: NDArray[np.intp] | None = None,
        shift: NDArray[np.float64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Squared distances from differences of features: the tie rule's own.

        Parameters
        ----------
        points : ndarray of shape (n, D)
            As given.
        rows : ndarray of shape (m,)
        places : ndarray of shape (m,), optional
            The point of each row; without it, the first is everyone's.
        shift : ndarray of shape (D,), optional
            A perturbation: of the points moved by it.

        Returns
        -------
        distances, sizes : ndarrays of shape (m,)
            The latter are the difference's (and the perturbation's besides): the error of the former is at most
            :meth:`arml.knn.rounding.Rounding.measured` of the root and the size. With ``places``, no pair's depend on
            others.
        """
        distances, sizes = np.empty(rows.size), np.empty(rows.size)
        step, batch = max(_BLOCK, _PAIRS // self.n_features), None if places is None else _BLOCK
        for start in range(0, rows.size, step):
            part = slice(start, start + step)
            ways = self.points[self.order[rows[part]]] - (points[:1] if places is None else points[places[part]])
            if shift is not None:
                ways -= shift
            images = self._images(ways, batch)
            distances[part] = np.square(images).sum(axis=1)
            sizes[part] = np.sqrt(distances[part]) if images is ways else self._sizes(ways, images, batch)
        if shift is not None:
            sizes += self._sizes(shift[None], self._images(shift[None]))
        return distances, sizes

    def normals(
        self, rows: NDArray[np.intp], others: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """M (x_i − x_j) of each pair from differences, shape (m, D), and by how much each is off, in ℓ2, shape (m,).

        ``others`` has the shape of ``rows``, or (1,).
        """
        ways = self.points[self.order[rows]] - self.points[self.order[others]]
        images = self._images(ways, _BLOCK)
        errors = self.rounding.rows * self.metric.sigma_max * self._sizes(ways, images, _BLOCK)
        if images is ways:
            return ways, errors
        return _fixed_product(images, self.metric.components.T, _BLOCK), errors

    def nearest(
        self,
        X: NDArray[np.float64],
        k: int,
        *,
        screen: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """The k nearest rows of each point under the tie rule: of those that tie with the last, by training index.

        Parameters
        ----------
        X : ndarray of shape (n, D), not centred
        k : int
        screen : pair of ndarrays, optional
            ``distances(located(X))`` and ``screen_errors(located(X))`` where the caller has them already.

        Returns
        -------
        distances : ndarray of shape (n, k)
            Squared distances as measured, ascending.
        rows : ndarray of shape (n, k)
            Rows of this set (``order[rows]`` are training indices). A point's row is the same in any batch.
        """
        if screen is None:
            at = self.located(X)
            screen = self.distances(at), self.screen_errors(at)
        room = _CANDIDATES * screen[1]
        limits = screen[0] + room
        limits.partition(k - 1, axis=1)
        room = room + limits[:, k - 1 : k]
        places, candidates = np.divmod(np.flatnonzero(screen[0] <= room), self.n_train)
        measured, sizes = self.measured(X, candidates, places)
        ties = self.rounding.tied(measured, sizes)
        ends = np.searchsorted(places, np.arange(1, X.shape[0] + 1))
        out_distance = np.empty((X.shape[0], k))
        out_row = np.empty((X.shape[0], k), dtype=np.intp)
        start = 0
        for t, end in enumerate(ends):
            rows, d = candidates[start:end], measured[start:end]
            last = np.partition(d, k - 1)[k - 1]
            side = np.where(np.abs(d - last) <= ties[start:end], 0.0, d - last)  # nearer: below 0; ties: 0
            chosen = np.lexsort((self.order[rows], np.sign(side)))[:k]
            chosen = chosen[np.lexsort((self.order[rows[chosen]], d[chosen]))]
            out_distance[t], out_row[t] = d[chosen], rows[chosen]
            start = end
        return out_distance, out_row
