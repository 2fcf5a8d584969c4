"""Which neighbours LMNN pulls and pushes, decided as metric-learn decides it, in blocks.

Where two distances agree to rounding, its answer hangs on the order of its sums. On data with few values a feature
such ties are common, and one pair more or less moves the metric by more than 1e-6: close calls are therefore made by
the library's own expressions on just the points concerned.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import euclidean_distances

from arml.learners.base import Floats, Indices

__all__ = ["close_calls", "target_neighbours"]

_ENTRIES = 1 << 23  # of a block of distances


def target_neighbours(X: Floats, starts: Indices, size: int) -> Indices:
    """The nearest `size` points of each point's own class.

    Parameters
    ----------
    X : ndarray of shape (N, D)
        Ordered by class; class c is the rows ``starts[c]:starts[c + 1]``, more than `size` of them.
    starts : ndarray of shape (C + 1,)
    size : int

    Returns
    -------
    ndarray of shape (N, size)
        Rows of `X`, nearest first; ties as numpy's argsort of all distances of the class leaves them.

    Notes
    -----
    Cost: O(Σ n_c² D) time, one block of distances in memory.
    """
    targets = np.empty((len(X), size), dtype=np.intp)
    for first, last in pairwise(starts):
        own = X[first:last]
        rows = max(1, _ENTRIES // len(own))
        for a in range(0, len(own), rows):
            block = own[a : a + rows]
            # a whole class is multiplied with itself, as in the library: BLAS has another routine for that
            distances = euclidean_distances(block, None if len(block) == len(own) else own, squared=True)
            distances[np.arange(len(block)), np.arange(a, a + len(block))] = np.inf
            targets[first + a : first + a + len(block)] = first + _smallest(distances, size)
    return targets


def _smallest(distances: Floats, size: int) -> Indices:
    """Columns of the `size` smallest of each row, in order; whole rows are sorted only where there are ties."""
    if size + 1 >= distances.shape[1]:
        chosen: Indices = np.argsort(distances)[:, :size]
        return chosen
    near = np.argpartition(distances, size, axis=1)[:, : size + 1]
    values = np.take_along_axis(distances, near, axis=1)
    order = np.argsort(values, axis=1)
    chosen = np.take_along_axis(near, order, axis=1)[:, :size]
    tied = (np.diff(np.take_along_axis(values, order, axis=1), axis=1) == 0).any(axis=1)
    chosen[tied] = np.argsort(distances[tied])[:, :size]
    return chosen


def close_calls(X: Floats, L: Floats, targets: Indices, starts: Indices, i: Indices, j: Indices) -> NDArray[np.bool_]:
    """Whether the pairs i, j invade each other's margins under L, by metric-learn's expressions.

    Parameters
    ----------
    X : ndarray of shape (N, D)
        Ordered by class, as for :func:`target_neighbours`.
    L : ndarray of shape (r, D)
    targets : ndarray of shape (N, k)
    starts : ndarray of shape (C + 1,)
    i, j : ndarrays of shape (P,)
        Rows of `X`; the class of `i` comes before that of `j`.

    Returns
    -------
    ndarray of shape (P, 2 k)
        For each target of `i`, then for each of `j`: whether the pair is closer than that target and a margin of 1.

    Notes
    -----
    The library asks twice: products of matrices tell it which pairs are within the widest margin of either point, and
    differences of vectors which margins those invade. BLAS rounds a product by its shape too, so sets of up to some
    thousand points are multiplied whole, as the library does it; of larger ones, only the points concerned. Cost:
    O(P (D + k)) and that product.
    """
    points = np.unique(np.concatenate([i, j]))
    whole = X.size <= _ENTRIES
    used = np.arange(len(X)) if whole else np.unique(np.concatenate([points, targets[points].ravel()]))
    at_i, at_j = np.searchsorted(used, i), np.searchsorted(used, j)
    own, theirs = np.searchsorted(used, points), np.searchsorted(used, targets[points])
    mapped = L.dot(X[used].T).T  # for the second question
    margins = np.empty((len(used), targets.shape[1]))
    margins[own] = 1 + _paired(mapped[theirs], mapped[own][:, None, :])
    mapped_again = X[used].dot(L.T)  # for the first
    furthest = np.take_along_axis(theirs, margins[own].argmax(axis=1)[:, None], axis=1).ravel()
    widest = np.empty(len(used))
    widest[own] = 1 + _paired(mapped_again[furthest], mapped_again[own])
    between = np.empty(len(i))
    label = np.searchsorted(starts, i, side="right")
    for last, some in ((starts[one], np.flatnonzero(label == one)) for one in np.unique(label)):
        first = starts[label[some[0]] - 1]
        if whole and (last - first) * (len(X) - last) <= _ENTRIES:
            inner, outer = np.arange(first, last), np.arange(last, len(X))
        else:
            inner, outer = np.unique(at_i[some]), np.unique(at_j[some])
        between[some] = _products(mapped_again, inner, outer, at_i[some], at_j[some])
    near = (between < widest[at_j]) | (between < widest[at_i])
    apart = _paired(*mapped[np.vstack([at_i, at_j])])[:, None]
    invaded: NDArray[np.bool_] = near[:, None] & np.hstack([apart < margins[at_i], apart < margins[at_j]])
    return invaded


def _products(points: Floats, inner: Indices, outer: Indices, i: Indices, j: Indices) -> Floats:
    """Squared distances of the pairs i, j of `points`, as products of the rows `outer` with the rows `inner` give."""
    found = np.empty(len(i))
    at_i, at_j = np.searchsorted(inner, i), np.searchsorted(outer, j)
    columns = max(1, _ENTRIES // len(outer))
    for a in range(0, len(inner), columns):
        here = (at_i >= a) & (at_i < a + columns)
        block = euclidean_distances(points[outer], points[inner[a : a + columns]], squared=True)
        found[here] = block[at_j[here], at_i[here] - a]
    return found


def _paired(left: Floats, right: Floats) -> Floats:
    """Squared distances along the last axis, as the library sums them; `left` is overwritten."""
    left -= right
    squares: Floats = np.einsum("...ij,...ij->...i", left, left)
    return squares
