"""The K-NN forward pass of the attacks: is this point misclassified? Exact, and fast where points move little.

Two classes answer the same question with the same answer, bit for bit: :class:`PlainForward` asks the classifier
about every point, :class:`PrunedForward` looks at the few training points that can be among the K nearest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from arml.knn.neighbors import Predictor, predict_codes, vote
from arml.knn.rounding import lengths

__all__ = ["Forward", "PlainForward", "PrunedForward"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]

_CROWDED = 0.75
"""Rows no longer asked about are dropped once the others are at most this share."""
_SCANNED = 64
"""Rows that look at all N points together: one product of matrices, of at most so many rows."""


class Forward(Protocol):
    """Decides for a batch of candidates; row i belongs to the same test point in every call."""

    def __call__(self, Z: Floats, active: Bools) -> Bools:
        """True where row i of ``Z`` (n, D) is misclassified; False, unlooked at, where ``active`` is not set.

        A row that has once been left out is not asked about again.
        """
        ...


class PlainForward:
    """Ask the classifier about every active row: N distances a candidate.

    Parameters
    ----------
    classifier : Predictor
    targets : ndarray of shape (n,)
        Position of each row's true label in ``classifier.reference.classes``.
    """

    def __init__(self, classifier: Predictor, targets: Ints) -> None:
        self._classifier, self._targets = classifier, targets

    def __call__(self, Z: Floats, active: Bools) -> Bools:
        out = np.zeros(len(Z), dtype=bool)
        if active.any():
            codes = predict_codes(self._classifier.reference, Z[active], self._classifier.n_neighbors)
            out[active] = codes != self._targets[active]
        return out


class PrunedForward:
    """The same decisions from lists of the training points that can be neighbours near where a row is now.

    Each row has an anchor a (some earlier candidate) and the ``width`` training points nearest to it; all others
    lie at √d(a, x_j) ≥ B. By the triangle inequality they stay at √d(z, x_j) ≥ B − ‖G(z − a)‖, so while the K-th
    smallest distance in the list is below that, the K nearest are in the list. Otherwise the row gets a new
    anchor at z, whose list comes from a wider one kept in the same way, and that one, in the end, from all N
    points. As the attack's steps shrink, a row is hardly ever anchored again.

    Distances in the lists may be off by rounding. Where the K-th and (K+1)-th are closer than a safe tolerance,
    and the points that close do not all have one label, the row goes alone to the classifier. So a decision is
    always the classifier's own, whatever the batch, the widths or the linear algebra library.

    Parameters
    ----------
    classifier : Predictor
    targets : ndarray of shape (n,)
        Position of each row's true label in ``classifier.reference.classes``.
    width, wide : int, optional
        Lengths of a row's two lists.

    Attributes
    ----------
    n_anchored, n_scanned, n_referred : int
        New anchors; those that had to look at all N points; decisions left to the classifier.

    Notes
    -----
    Cost a call: O(n (width + D) r), plus O(wide r) for a new anchor and O(N r) for a new wide list; those of one
    call are made together. Memory: O(n (width r + wide)), and 64 N floats.
    """

    def __init__(
        self, classifier: Predictor, targets: Ints, *, width: int | None = None, wide: int | None = None
    ) -> None:
        self._reference = reference = classifier.reference
        self._classifier, self._targets = classifier, targets
        self._k, n_train = int(classifier.n_neighbors), reference.n_train
        self._width = min(n_train, max(width or 2 * self._k + 26, self._k))
        self._wide = min(n_train, max(wide or 1024, self._width))
        self._components = None if reference.metric.is_identity else reference.metric.components
        n, rank, n_features = len(targets), reference.metric.rank, reference.metric.n_features
        # one column more than the list, at infinity: so there is a (K+1)-th distance even for K = N;
        # nothing is beyond doubt until a row has its first anchor (beyond = -inf)
        columns = self._width + 1
        self._anchor = np.zeros((n, n_features))
        self._offset = np.zeros((n, columns, rank))
        self._offset_sq = np.zeros((n, columns))
        self._offset_sq[:, -1] = np.inf
        self._label = np.zeros((n, columns), dtype=np.intp)
        self._beyond = np.full(n, -np.inf)
        self._size = np.zeros(n)
        self._wide_rows: list[Ints] = [np.zeros(0, dtype=np.intp)] * n
        self._wide_anchor = np.zeros((n, rank))
        self._wide_beyond = np.full(n, -np.inf)
        self._live = np.arange(n)
        self._columns_of_row = np.arange(n)[:, None] * columns
        self.n_anchored = self.n_scanned = self.n_referred = 0

    def __call__(self, Z: Floats, active: Bools) -> Bools:
        if np.count_nonzero(active) <= _CROWDED * self._live.size:
            self._keep(active[self._live])
        out = np.zeros(len(Z), dtype=bool)
        out[self._live] = self._decide(Z[self._live], active[self._live])
        return out

    def _keep(self, keep: Bools) -> None:
        """Forget the rows that are no longer asked about."""
        for name in ("_live", "_targets", "_anchor", "_offset", "_offset_sq", "_label", "_beyond", "_size"):
            setattr(self, name, getattr(self, name)[keep])
        self._wide_anchor, self._wide_beyond = self._wide_anchor[keep], self._wide_beyond[keep]
        self._wide_rows = [rows for rows, kept in zip(self._wide_rows, keep) if kept]
        self._columns_of_row = self._columns_of_row[: self._live.size]

    def _decide(self, Z: Floats, active: Bools) -> Bools:
        tolerance = self._tolerances(Z)
        distances, order, to_next, to_rest = self._nearest(Z, slice(None))
        strayed = np.flatnonzero(active & ~(to_rest > tolerance))
        if strayed.size:
            self._move_anchors(strayed, Z[strayed])
            again = self._nearest(Z[strayed], strayed)
            distances[strayed], order[strayed], to_next[strayed], to_rest[strayed] = again
            tolerance[strayed] = self._tolerances(Z)[strayed]
        labels = self._label.take(self._columns_of_row + order)
        out = (vote(labels, self._reference.classes.size) != self._targets) & active
        for row in np.flatnonzero(active & ~(np.minimum(to_next, to_rest) > tolerance)):
            if to_rest[row] <= tolerance[row] or not self._ties_agree(int(row), distances[row], tolerance[row]):
                self.n_referred += 1
                code = predict_codes(self._reference, Z[row : row + 1], self._k)[0]
                out[row] = code != self._targets[row]
        return np.asarray(out)

    def _tolerances(self, Z: Floats) -> Floats:
        """What covers ties, and the rounding here and in the classifier, of any two of a row's list, shape (n,)."""
        # distances are made of offsets from the anchor: no longer than the sizes of both ends and twice the anchor's,
        # and the largest size of list and anchor stands for all four, with what the candidate has moved from there
        reference = self._reference
        moved = reference.metric.sigma_max * lengths(Z - self._anchor)
        k, share = reference.rounding.screened_lost
        return np.asarray(2.0 * (k * k + share) * np.square(moved + 4.0 * self._size) + reference.rounding.floor)

    def _nearest(self, Z: Floats, rows: slice | Ints) -> tuple[Floats, Ints, Floats, Floats]:
        """What the rows' lists say about candidates Z (m, D).

        Returns squared distances to the list (m, width + 1), places of the K nearest in it (m, K), and how much
        farther than the K-th are, in squared distance and at least, the next in the list and all that is not.
        """
        k = self._k
        step = Z - self._anchor[rows]
        if self._components is not None:
            step = step @ self._components.T
        moved_sq = np.square(step).sum(axis=1)
        distances = np.matmul(self._offset[rows], step[:, :, None])[:, :, 0]
        distances *= -2.0
        distances += self._offset_sq[rows]
        distances += moved_sq[:, None]
        order = np.argpartition(distances, (k - 1, k), axis=1)[:, : k + 1]
        edge = distances.take(self._columns_of_row[: len(Z)] + order[:, k - 1 :])
        rest = np.square(np.maximum(self._beyond[rows] - np.sqrt(moved_sq), 0.0))
        return distances, order[:, :k], edge[:, 1] - edge[:, 0], rest - edge[:, 0]

    def _ties_agree(self, row: int, distances: Floats, tolerance: float) -> bool:
        """True where the listed points that may or may not be among the K nearest all have one label."""
        kth = np.partition(distances, self._k - 1)[self._k - 1]
        tied = self._label[row][np.abs(distances - kth) <= tolerance]
        return bool((tied == tied[0]).all())

    def _move_anchors(self, rows: Ints, Z: Floats) -> None:
        """Anchor rows at their candidates Z (m, D): list the ``width`` nearest training points, bound all others."""
        self.n_anchored += rows.size
        reference = self._reference
        _, U, sizes = reference.located(Z)
        beyond = self._wide_beyond[rows] - np.sqrt(np.square(U - self._wide_anchor[rows]).sum(axis=1))
        lists = [self._closest(self._wide_rows[row], u, size) for row, u, size in zip(rows, U, sizes)]
        short = np.flatnonzero([last > limit for (_, last), limit in zip(lists, beyond)])
        for start in range(0, short.size, _SCANNED):
            some = short[start : start + _SCANNED]
            for place, (chosen, last) in zip(some, self._scan(U[some], sizes[some])):
                row, beyond[place] = rows[place], last
                self._wide_rows[row], self._wide_anchor[row], self._wide_beyond[row] = chosen, U[place], last
                lists[place] = self._closest(chosen, U[place], sizes[place])
        for row, z, u, size, (chosen, last), limit in zip(rows, Z, U, sizes, lists, beyond):
            offset = reference.u[chosen] - u
            self._anchor[row] = z
            self._offset[row, :-1] = offset
            self._offset_sq[row, :-1] = np.square(offset).sum(axis=1)
            self._label[row, :-1] = reference.codes[chosen]
            self._beyond[row] = min(last, limit)
            self._size[row] = max(size, float(reference.sizes[chosen].max()))

    def _closest(self, listed: Ints, u: Floats, size: float) -> tuple[Ints, float]:
        """The ``width`` nearest to u among the ``listed`` training points, and how far the others are."""
        reference = self._reference
        relative = reference.u_sq[listed] - 2.0 * (reference.u[listed] @ u)
        chosen, last = self._least(relative, self._width, u, reference.sizes[listed] + size)
        return listed[chosen], last

    def _scan(self, U: Floats, sizes: Floats) -> Iterator[tuple[Ints, float]]:
        """The ``wide`` nearest to each of U (m, r) among all training points, and how far the others are."""
        self.n_scanned += len(U)
        relative = U @ self._reference.u.T
        relative *= -2.0
        relative += self._reference.u_sq
        caps = self._reference.caps
        return (self._least(row, self._wide, u, caps + size) for row, u, size in zip(relative, U, sizes))

    def _least(self, relative: Floats, width: int, u: Floats, sizes: Floats) -> tuple[Ints, float]:
        """Places of the ``width`` least of ‖x_j − u‖² − ‖u‖², and a lower bound on √ of the least of the others'."""
        if width >= relative.size:
            return np.arange(relative.size), np.inf
        low = relative + (u @ u - np.square(self._reference.rounding.screened * sizes))
        order = np.argpartition(low, width)
        last = np.sqrt(max(low[order[width]] - self._reference.rounding.floor, 0.0)) * (1.0 - 1e-12)
        return order[:width], float(last)
