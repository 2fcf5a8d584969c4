"""The training set as nearest-neighbour search sees it: transformed, grouped by class, with its rounding bound.

Predictor, certificate and attack all read distances from here, so that they agree on what a tie is.

**The resolution of distances.** Squared distances are computed in float64 from centred points. With S the largest
σ_max(G) ‖x − mean‖ involved and ε = 2⁻⁵³, a computed squared distance is off by at most
ε S² (4 (r + 4) + 8 D ‖|G|‖ / σ_max): the first term is the inner products, the second the transform (absent under
the identity). ``ReferenceSet.quantum`` is a power-of-two step at least twice that: squared distances that round to
the same multiple of it *are ties*. This is part of the declared tie rule: what equality means must not depend on
the order in which a processor adds.

**The resolution of half-spaces.** Their normals w_i − w_j come from rows w = Gᵀ(G x) that are each off by at most
``ReferenceSet.w_error`` (ℓ2), and squared lengths ‖w_i‖² + ‖w_j‖² − 2 w_iᵀw_j by a quarter of ``width_blur``.

Features so large or so small that these bounds overflow or underflow are refused, or are all ties.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.knn.mahalanobis import MahalanobisMetric, as_metric
from arml.validation import check_training_set

__all__ = ["ReferenceSet", "reference_set"]

# Soundness: everything proved or broken rests on these. ε is _UNIT_ROUNDOFF, S as in the module's docstring; an inner
# product of m terms is off by m ε times its factors' lengths, to first order.
_UNIT_ROUNDOFF = 2.0**-53
_PRODUCTS, _SUMS = (
    4.0,
    4,
)  # ‖u‖², ‖uᵢ‖² and 2 uᵀuᵢ are off by r ε S² (1 + 1 + 2); two sums of up to 4 S² by less than 16
_IMAGES = 8.0  # images u, uᵢ off by e = D ε ‖|G|‖ S / σ each move ‖u − uᵢ‖² by at most 2 · 2S · 2e
_STEPS = 2.0  # a step is at least twice the bound, so that what lies a bound apart is at most one step apart
_CENTRED = 2.0  # w is x − mean under the identity: one rounding, and as much again for second-order terms
_CHAIN = 8  # else D ε for G x, r ε for Gᵀ times that, the rest for x − mean and second-order terms
# ‖wᵢ − wⱼ‖² by products is off by 4 (D + 4) ε ‖w‖², as above; rows off by e each move it by 2 · 2 ‖w‖ · 2e + (2e)²
_ROWS_MOVED, _ROWS_SQUARED = 8.0, 4.0
_BLUR = 4.0  # width_blur is so many times that bound: what is divided by it rounds too
_MARGIN = 4.004  # two of the largest quanta, each of at most 2 · resolution · S², and a thousandth for what follows
_SCREEN = 4.0  # quanta: two screened distances are each off by one, their steps may differ by one more
_LARGEST, _SMALLEST = 1e290, 1e-280  # squares beyond would overflow once added up, or vanish against their own error

# Effort: changes time and memory, never a result.
_BLOCK_ROWS = 4096
_BATCH_ENTRIES = 1 << 22


def _spread(metric: MahalanobisMetric) -> float:
    """A bound on the spectral norm of |G|."""
    magnitude = np.abs(metric.components)
    return float(np.sqrt(magnitude.sum(axis=0).max() * magnitude.sum(axis=1).max()))


def _resolution(metric: MahalanobisMetric) -> float:
    """Twice the relative rounding bound of the module's docstring, as a power of two."""
    rank, width = metric.components.shape
    terms = _PRODUCTS * (rank + _SUMS)
    if not metric.is_identity and metric.sigma_max > 0.0:
        terms += _IMAGES * width * _spread(metric) / metric.sigma_max
    return float(2.0 ** np.ceil(np.log2(_STEPS * _UNIT_ROUNDOFF * terms)))


def _w_error(metric: MahalanobisMetric, radius: float) -> float:
    """Bound on the rounding of one row of w: of x − mean, of G times it, of Gᵀ times that."""
    if metric.is_identity:
        return _CENTRED * _UNIT_ROUNDOFF * radius
    rank, width = metric.components.shape
    return float(_UNIT_ROUNDOFF * (rank + width + _CHAIN) * _spread(metric) * metric.sigma_max * radius)


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
        For attacks by queries too: they need the points as given, which are kept, and not w, which is left to its first
        use. Otherwise w is made now, by one thread.

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
    reference = ReferenceSet(train, labels, metric, keep_points=queries or not metric.is_identity)
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


class ReferenceSet:
    """Labelled training points under a metric, sorted by class (stable: by training index within a class).

    Parameters
    ----------
    X : ndarray of shape (N, D), checked
    y : ndarray of shape (N,), checked
    metric : MahalanobisMetric
    keep_points : bool
        Keep ``X``, by reference, for :attr:`points` and :meth:`point`. It must not change then. (Under the identity
        the latter does without.)

    Attributes
    ----------
    order : ndarray of shape (N,)
        Training index of each row of the arrays below.
    classes : ndarray of shape (C,)
        The labels, sorted; a label's *code* is its position here.
    codes : ndarray of shape (N,)
        Class code of each row (ascending).
    starts : ndarray of shape (C + 1,)
        Rows ``starts[c]:starts[c + 1]`` belong to class c.
    center : ndarray of shape (D,)
        The mean of the training points.
    u, w : ndarrays of shape (N, r), (N, D)
        G (x − mean), M (x − mean); one array, x − mean, under the identity. ``w`` is made at first use: besides
        X, verification holds N (r + D) floats.
    u_sq, w_sq : ndarrays of shape (N,)
        Squared row norms of u and w.
    radius : float
        The largest norm of x − mean.
    resolution, w_error, width_blur : float
        Rounding bounds, see above.

    Raises
    ------
    ValueError
        Squares of the features, or of their images under the metric, overflow (or ``w`` underflows).
    """

    def __init__(
        self, X: NDArray[np.float64], y: NDArray[Any], metric: MahalanobisMetric, *, keep_points: bool = False
    ) -> None:
        self.metric = metric
        self.classes, codes = np.unique(y, return_inverse=True)
        self.order: NDArray[np.intp] = np.argsort(codes, kind="stable")
        self.codes: NDArray[np.intp] = codes[self.order]
        self.starts: NDArray[np.intp] = np.searchsorted(self.codes, np.arange(self.classes.size + 1))
        self.center: NDArray[np.float64] = X.mean(axis=0)
        with np.errstate(over="ignore"):
            self.radius = float(np.sqrt(max(np.einsum("ij,ij->i", b, b).max() for _, b in self._centered_blocks(X))))
        self.scale_sq(np.zeros((1, X.shape[1])))
        self.u = np.empty((X.shape[0], metric.components.shape[0]))
        for rows, block in self._centered_blocks(X):
            self.u[rows] = block if metric.is_identity else block @ metric.components.T
        self.u_sq: NDArray[np.float64] = np.einsum("ij,ij->i", self.u, self.u)
        self.resolution = _resolution(metric)
        self.w_error = _w_error(metric, self.radius)
        longest = metric.sigma_max * metric.sigma_max * self.radius
        gram = _PRODUCTS * _UNIT_ROUNDOFF * (X.shape[1] + _SUMS) * longest * longest
        moved = _ROWS_MOVED * longest * self.w_error
        self.width_blur = _BLUR * (gram + moved + _ROWS_SQUARED * self.w_error * self.w_error)
        self._X = X if keep_points else None
        self._batch = 64 if 64 * X.shape[0] <= _BATCH_ENTRIES else 16
        self._w: NDArray[np.float64] | None = None
        self._w_sq: NDArray[np.float64] | None = None

    def _centered_blocks(self, X: NDArray[np.float64]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
        """x − mean, some rows of this set at a time: the whole matrix is never held beside X."""
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
        """M (x − mean), computed at first use; only verification needs it."""
        if self._w is None:
            longest = self.metric.sigma_max * self.metric.sigma_max * self.radius
            nothing = self.metric.sigma_max == 0.0 or self.radius == 0.0
            if not (nothing or _SMALLEST < longest * longest < _LARGEST):
                raise ValueError(
                    f"norms of M x of the order of {longest:.3g} cannot be computed safely: rescale the metric or "
                    "the features (radii do not depend on the scale of the metric)"
                )
            self._w = self.u if self.metric.is_identity else self.u @ self.metric.components
        return self._w

    @property
    def w_sq(self) -> NDArray[np.float64]:
        """Squared row norms of :attr:`w`."""
        if self._w_sq is None:
            self._w_sq = np.einsum("ij,ij->i", self.w, self.w)
        return self._w_sq

    def point(self, row: int) -> NDArray[np.float64]:
        """x − mean of one row, shape (D,); needs ``keep_points`` unless the metric is the identity."""
        if self.metric.is_identity:
            return np.asarray(self.u[row])
        return np.asarray(self.points[self.order[row]] - self.center)

    @property
    def points(self) -> NDArray[np.float64]:
        """The training points as given, by training index, shape (N, D). ValueError where they are not kept."""
        if self._X is None:
            raise ValueError("this reference set keeps no points: use reference_set(…, queries=True)")
        return self._X

    @property
    def point_codes(self) -> NDArray[np.intp]:
        """Class codes by training index, shape (N,)."""
        out = np.empty_like(self.codes)
        out[self.order] = self.codes
        return out

    def batches(self, n: int) -> Iterator[slice]:
        """Slices of n points, a few megabytes of distances each."""
        for start in range(0, n, self._batch):
            yield slice(start, start + self._batch)

    def products(self, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """w_i · w_j for the rows i and all j, shape (len(rows), N)."""
        return _fixed_product(self.w[rows], self.w, self._batch)

    def class_rows(self, code: int) -> slice:
        """The rows of one class."""
        return slice(int(self.starts[code]), int(self.starts[code + 1]))

    def centered(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """X − mean of the training set. ValueError where squared distances to it would overflow."""
        out = X - self.center
        self.scale_sq(out)
        return out

    def transform(self, centered: NDArray[np.float64]) -> NDArray[np.float64]:
        """G x for centred rows, each by its own matrix-vector product: no row depends on its neighbours."""
        if self.metric.is_identity:
            return centered
        return np.stack([self.metric.components @ row for row in centered])

    def scale_sq(self, centered: NDArray[np.float64], reach: NDArray[np.float64] | float = 0.0) -> NDArray[np.float64]:
        """S² for centred rows that may move by ``reach``: (σ_max · the largest norm involved)², never quite 0."""
        with np.errstate(over="ignore"):
            norms = np.sqrt(np.square(centered).sum(axis=1)) + reach
            scale = np.square(self.metric.sigma_max * np.maximum(norms, self.radius))
        if not (scale < _LARGEST).all():
            raise ValueError(f"squared distances of the order of {scale.max():.3g} overflow: rescale the features")
        return np.asarray(np.maximum(scale, _SMALLEST), dtype=np.float64)

    def quantum(self, centered: NDArray[np.float64]) -> NDArray[np.float64]:
        """The step below which squared distances to these centred rows are ties, shape (n,), a power of two."""
        return np.asarray(self.resolution * 2.0 ** np.ceil(np.log2(self.scale_sq(centered))), dtype=np.float64)

    def margin(self, centered: NDArray[np.float64], reach: NDArray[np.float64]) -> NDArray[np.float64]:
        """How much farther than i must j be at x, in computed squared distance, to stay farther for good.

        A bound on the rounding error of d_j − d_i plus the tie step, valid for every point within ``reach`` of
        x (``reach``, an ℓ2 length whatever norm measures the perturbation, has shape (n,)): twice the largest
        quantum there, and a thousandth for the rounding of the bounds made with it. Shape (n,).
        """
        return _MARGIN * self.resolution * self.scale_sq(centered, reach)

    def distances(self, centered: NDArray[np.float64]) -> NDArray[np.float64]:
        """Squared distances of centred rows to all N rows by matrix products, shape (n, N), at least 0.

        Within a quantum of the true value; a row's do not depend on the others. Cost: O(N r) time a row, and no
        less than for 64 rows (16 where N > 65,536).
        """
        u = centered
        if not self.metric.is_identity:
            u = _fixed_product(centered, self.metric.components, self._batch)
        out = _fixed_product(u, self.u, self._batch)
        out *= -2.0
        out += self.u_sq
        out += np.einsum("ij,ij->i", u, u)[:, None]
        return np.asarray(np.maximum(out, 0.0, out=out), dtype=np.float64)

    def nearest(
        self, X: NDArray[np.float64], k: int, *, screen: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """The k nearest rows of each point under the tie rule: by distance, ties by training index.

        Parameters
        ----------
        X : ndarray of shape (n, D), not centred
        k : int
        screen : ndarray of shape (n, N), optional
            ``distances(centered(X))`` where the caller has it already.

        Returns
        -------
        distances : ndarray of shape (n, k)
            Squared distances, each rounded to its row's quantum, ascending.
        rows : ndarray of shape (n, k)
            Rows of this set (``order[rows]`` are training indices). A point's row is the same in any batch.
        """
        centered = self.centered(X)
        if screen is None:
            screen = self.distances(centered)
        quanta = self.quantum(centered)
        u = self.transform(centered)
        out_distance = np.empty((X.shape[0], k))
        out_row = np.empty((X.shape[0], k), dtype=np.intp)
        kth = np.partition(screen, k - 1, axis=1)[:, k - 1]
        for t, row in enumerate(screen):
            candidates = np.flatnonzero(row <= kth[t] + _SCREEN * quanta[t])
            exact = np.square(self.u[candidates] - u[t]).sum(axis=1)
            steps = np.rint(exact / quanta[t])
            best = np.lexsort((self.order[candidates], steps))[:k]
            out_distance[t] = steps[best] * quanta[t]
            out_row[t] = candidates[best]
        return out_distance, out_row
