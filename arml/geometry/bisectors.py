"""The closed form of eq. (8)/(9), how far a point must move before a negative catches up with a positive, and its
order statistics over many pairs, of which most are never computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arml.knn.query import Margins
from arml.knn.rounding import lengths

__all__ = ["Pairs"]

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]

# Soundness: denominators are rounded up, numerators and quotients down.
_TINY = float(np.finfo(np.float64).tiny)
_EPS = float(np.finfo(np.float64).eps)
_WIDTH = 2.0 + 16.0 * _EPS  # the 2 of eq. (9), and 8 ulp for a root, a product and the quotient; the rest is in w_sq
_SUM, _TERMS = 4.0, 8  # D differences, their sum or maximum and the product by 2: (D + 2) ε to first order
_ROWS_OFF = 8.0  # ‖wᵢ − wⱼ‖_q is off by its rows' errors times stretch, twice that by 2 of them; four times as much
_DOWN = 1.0 - 1e-12  # two roots, sum, products, difference and quotient: ten roundings of 1.1e-16 each

# Effort and accuracy: a width of which rounding has more than this share is computed again, from differences.
_COARSE_SQUARED, _COARSE = 2.0**-20, 2.0**-33
_AT_ONCE = 2048
_NEAR = 24
_FIRST = 64
_CHUNK = 512
_ROWS = 8


class Pairs:
    """The pair bounds e_ij of one point x, rounded down.

    Parameters
    ----------
    margins : Margins
        The distances of x, and what is subtracted from every d_j − d_i.
    """

    def __init__(self, margins: Margins) -> None:
        self.margins, self.d = margins, margins.distances
        self.reference, self.norm = margins.query.reference, margins.query.norm

    def bounds(self, positives: Rows | slice, negatives: Rows | slice) -> NDArray[np.float64]:
        """[e_ij]₊ = [d_j − d_i]₊ / (2 ‖w_i − w_j‖_q) for rows i of ``positives`` and j of ``negatives``.

        Parameters
        ----------
        positives, negatives : row indices or slices of sizes p, q

        Returns
        -------
        ndarray of shape (q, p)
            A row for each negative. Proved bounds: the denominator is rounded up, the numerator down. 0 where d_j does
            not exceed d_i by more than the margin, a tie included. Cost: one matrix product O(p q D) under ℓ2; O(p q D)
            without BLAS otherwise.
        """
        reference, margins = self.reference, self.margins
        gaps = margins.low[negatives][:, None] - margins.high(positives)
        if self.norm.is_euclidean:
            products = reference.w[negatives] @ reference.w[positives].T
            squares = reference.w_sq[negatives][:, None] + reference.w_sq[positives] - 2.0 * products
            doubtful = np.flatnonzero(squares * _COARSE_SQUARED < 2.0 * reference.blur_max)
            widths = np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)
            widths *= _WIDTH
        else:
            widths = self.norm.dual_distances(reference.w[negatives], reference.w[positives])
            widths *= 2.0 + _SUM * (self.norm.n_features + _TERMS) * _EPS
            off = reference.row_errors(negatives)[:, None] + reference.row_errors(positives)
            off *= _ROWS_OFF * self.norm.stretch
            doubtful = np.flatnonzero(widths * _COARSE < off)
            widths += off
        doubtful = doubtful[gaps.ravel()[doubtful] > 0.0]
        if doubtful.size:
            self._measure(widths, doubtful, positives, negatives)
        return np.asarray(np.maximum(gaps, 0.0) / np.maximum(widths, _TINY))

    def _measure(
        self,
        widths: NDArray[np.float64],
        doubtful: Rows,
        positives: Rows | slice,
        negatives: Rows | slice,
    ) -> None:
        """2 ‖w_i − w_j‖_q, rounded up, from differences, where it is mostly rounding."""
        reference, rows = self.reference, np.arange(self.reference.n_train)
        rivals, places = np.divmod(doubtful, widths.shape[1])
        own, others = rows[positives][places], rows[negatives][rivals]
        if self.norm.is_euclidean:
            squares = np.square(widths[rivals, places]) / 4.0
            coarse = squares * _COARSE_SQUARED < reference.blur[own] + reference.blur[others]
            places, rivals, own, others = places[coarse], rivals[coarse], own[coarse], others[coarse]
        for start in range(0, own.size, _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            normals, errors = reference.normals(own[part], others[part])
            found = lengths(normals) if self.norm.is_euclidean else np.linalg.norm(normals, self.norm.q, axis=1)
            found *= 2.0 + _SUM * (self.norm.n_features + _TERMS) * _EPS
            found += _ROWS_OFF * self.norm.stretch * errors
            j, i = rivals[part], places[part]
            widths[j, i] = np.minimum(widths[j, i], found)

    def floors(self, rivals: Rows, kth: float) -> Vector:
        """A bound from distances alone: e_ij ≥ (√d_j − √d_i) / (2 σ_max) under ℓ2, shape (q,).

        ``kth`` is the k-th smallest of ``margins.high(…)`` of positives: at least k of them have this bound or a larger
        one for each j of ``rivals``. The roots are rounded up: where a distance is all rounding, its root is not small.
        """
        roots = np.sqrt(self.margins.high(rivals)) + np.sqrt(kth)
        scale = np.maximum(2.0 * self.norm.stretch * self.reference.metric.sigma_max * roots, _TINY)
        return np.asarray(np.maximum(self.margins.low[rivals] - kth, 0.0) / scale * _DOWN)

    def order(self, pool: slice, rivals: Rows, row_rank: int, column_rank: int, used: list[Rows]) -> float:
        """The ``column_rank``-th smallest over j in ``rivals`` of the ``row_rank``-th largest over i in ``pool``.

        The value is the full one, but few rows are: a row_rank-th largest over part of the pool never exceeds the
        one over the whole, so rivals are bounded by distances, then by the nearest of the pool, and whole rows are
        evaluated in that order until the next bound passes the column_rank-th smallest whole row.

        Parameters
        ----------
        pool : slice
            Rows i. Fewer than ``row_rank`` of them: 0.
        rivals : ndarray of rows
            Rows j (a rival may be in the pool: e_jj = 0). Fewer than ``column_rank`` of them: inf.
        row_rank, column_rank : int
        used : list
            Collects rows of the pool that suffice to prove the value: what a certificate must name.
        """
        own = self.d[pool]
        if own.size < row_rank:
            return 0.0
        if rivals.size < column_rank:
            return float(np.inf)
        size = min(max(_NEAR, 2 * row_rank), own.size)
        near = pool.start + np.argpartition(own, size - 1)[:size]
        used.append(near)
        floor = self.floors(rivals, self.kth(pool, row_rank))

        # whole rows of those that promise to be the smallest say how small the others must be to matter
        count = min(max(_FIRST, 4 * column_rank), rivals.size)
        nearest = np.argpartition(floor, count - 1)[:count]
        known = self._kth_max(near, rivals[nearest], row_rank)
        promising = np.argsort(known, kind="stable")[: max(column_rank, _ROWS)]
        first = nearest[promising]
        smallest = np.sort(self._raised(known[promising], pool, rivals[first], row_rank, used))[:column_rank]
        waiting = floor < smallest[-1]
        waiting[first] = False
        candidates = rivals[waiting]
        bounds = np.empty(candidates.size)
        for start in range(0, candidates.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            bounds[part] = self._kth_max(near, candidates[part], row_rank)
        ranking = np.argsort(bounds, kind="stable")
        for start in range(0, ranking.size, _ROWS):
            block = ranking[start : start + _ROWS]
            block = block[bounds[block] < smallest[-1]]
            if not block.size:
                break
            values = self._raised(bounds[block], pool, candidates[block], row_rank, used)
            smallest = np.sort(np.concatenate([smallest, values]))[:column_rank]
        return float(smallest[-1])

    def order_floor(self, pool: slice, rivals: Rows, row_rank: int, column_rank: int) -> float:
        """A cheap bound below :meth:`order`, from distances alone."""
        if pool.stop - pool.start < row_rank:
            return 0.0
        bounds = self.floors(rivals, self.kth(pool, row_rank))
        return float(np.partition(bounds, column_rank - 1)[column_rank - 1])

    def kth(self, pool: slice, rank: int) -> float:
        """What :meth:`floors` asks for: the ``rank``-th smallest of the pool's distances, rounded up."""
        return float(np.partition(self.margins.high(pool), rank - 1)[rank - 1])

    def _kth_max(self, pool: Rows, rivals: Rows, rank: int) -> Vector:
        """The rank-th largest bound over a few rows, one value a rival."""
        pairs = self.bounds(pool, rivals)
        place = pairs.shape[1] - rank
        pairs.partition(place, axis=1)
        return pairs[:, place]

    def _raised(self, known: Vector, pool: slice, rivals: Rows, rank: int, used: list[Rows]) -> Vector:
        """The rank-th largest bound over the whole pool, no less than ``known``, which rows in ``used`` prove.

        Where it is more, ``used`` is given the rows that attain it.
        """
        pairs = self.bounds(pool, rivals)
        row, place = np.nonzero(pairs > known[:, None])
        counts = np.bincount(row, minlength=rivals.size)
        values = pairs[row, place]
        ranking = np.lexsort((-values, row))
        ends = np.cumsum(counts)
        more = np.flatnonzero(counts >= rank)
        last = ends[more] - counts[more] + rank - 1
        out = known.copy()
        out[more] = values[ranking[last]]
        leaders = last[:, None] - np.arange(rank)
        used.append(pool.start + place[ranking[leaders.ravel()]])
        return out
