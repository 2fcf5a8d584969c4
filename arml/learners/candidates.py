"""randnear⁺ and randnear⁻ of eq. (12): nearest points of the same and of other classes, one of each drawn.

Training points are ordered by class here, so that a class is a slice: a positive can only come from the slice
of its anchor, and a negative only from outside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CandidateLists", "anchor_batches", "nearest_candidates"]

Indices = NDArray[np.intp]

# entries of one block of distances: about the cache of a CPU, a fraction of a GPU's memory
_BLOCK = {"cpu": 1 << 20}
_BLOCK_GPU = 1 << 26


def nearest_candidates(mapped: Tensor, starts: Indices, anchors: Indices, n: int) -> tuple[Tensor, Tensor]:
    """The n nearest positives and negatives of each anchor.

    Parameters
    ----------
    mapped : Tensor of shape (N, r)
        G x for every training point, ordered by class.
    starts : ndarray of shape (C + 1,)
        Class c is ``starts[c]:starts[c + 1]``.
    anchors : ndarray of shape (B,), ascending
        Rows of ``mapped``.
    n : int

    Returns
    -------
    positives, negatives : Tensor of shape (B, n), int32, on the CPU
        Nearest first. An anchor whose class has m < n other members has m positives, then −1; likewise
        negatives.

    Notes
    -----
    Cost: O(B N r) time; memory is one block of distances, never B × N or N × N.
    """
    total = mapped.shape[0]
    positives = torch.full((anchors.size, n), -1, dtype=torch.int32)
    negatives = torch.full((anchors.size, n), -1, dtype=torch.int32)
    # ‖u_j‖² − 2 u_aᵀu_j orders j as the distance to a does: one product of widened rows
    left_rows = torch.cat([-2 * mapped, mapped.new_ones(total, 1)], dim=1)
    right_columns = torch.cat([mapped, mapped.square().sum(dim=1, keepdim=True)], dim=1).T
    rows = min(anchors.size, max(1, _BLOCK.get(mapped.device.type, _BLOCK_GPU) // total))
    buffer = mapped.new_empty(rows, total)
    for first in range(0, anchors.size, rows):
        block = anchors[first : first + rows]
        index = torch.from_numpy(block).to(mapped.device)
        distances = torch.mm(left_rows[index], right_columns, out=buffer[: block.size])
        distances[torch.arange(block.size, device=mapped.device), index] = torch.inf
        bounds = np.searchsorted(block, starts)
        for label in np.flatnonzero(np.diff(bounds)):
            top, bottom, left, right = *bounds[label : label + 2], *starts[label : label + 2]
            own = distances[top:bottom, left:right]
            where = slice(first + top, first + bottom)
            if (k := min(n, right - left - 1)) > 0:
                nearest = own.topk(k, largest=False).indices
                positives[where, :k] = (nearest + left).to("cpu", torch.int32)
            own.fill_(torch.inf)
            k = min(n, total - (right - left))
            nearest = distances[top:bottom].topk(k, largest=False).indices
            negatives[where, :k] = nearest.to("cpu", torch.int32)
    return positives, negatives


class CandidateLists:
    """Candidate lists of the training points, each renewed once it has served ``refresh`` steps.

    Parameters
    ----------
    X : Tensor of shape (N, D)
        Ordered by class.
    starts : ndarray of shape (C + 1,)
    n : int
        Length of a list.
    refresh : int
        1 renews a list at every use: the neighbours are those under the current M.
    """

    def __init__(self, X: Tensor, starts: Indices, n: int, refresh: int) -> None:
        self._X, self._starts, self._n, self._refresh = X, starts, n, refresh
        total = X.shape[0]
        self._positives = torch.full((total, n), -1, dtype=torch.int32)
        self._negatives = torch.full((total, n), -1, dtype=torch.int32)
        sizes = np.diff(starts)
        size = np.repeat(sizes, sizes)
        self._n_positives = np.minimum(n, size - 1)
        self._n_negatives = np.minimum(n, total - size)
        self._expires = np.zeros(total, dtype=np.int64)

    @property
    def anchors(self) -> Indices:
        """The points that have a positive at all; one alone in its class has none."""
        return np.flatnonzero(self._n_positives > 0)

    def renew(self, G: Tensor, anchors: Indices, step: int) -> None:
        """Bring the lists of ``anchors`` (ascending) up to date for this step."""
        stale = anchors[self._expires[anchors] <= step]
        if stale.size:
            mapped = self._X @ G.detach().T
            positives, negatives = nearest_candidates(mapped, self._starts, stale, self._n)
            self._positives[stale], self._negatives[stale] = positives, negatives
            self._expires[stale] = step + self._refresh

    def draw(self, anchors: Indices, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One positive and one negative for each anchor, uniform over its list; row numbers, shape (B,)."""
        picks = []
        for lists, counts in ((self._positives, self._n_positives), (self._negatives, self._n_negatives)):
            column = rng.integers(0, counts[anchors])
            picks.append(lists[anchors, column].long())
        return picks[0], picks[1]


def anchor_batches(anchors: Indices, size: int | None, rng: np.random.Generator) -> Iterator[Indices]:
    """Endless batches of anchors, each ascending: slices of one shuffled pass after another.

    Every anchor comes equally often, so the batch mean is an unbiased estimate of the mean over all anchors.
    ``size`` None, or no smaller than the number of anchors, gives all of them every time.
    """
    if size is None or size >= anchors.size:
        while True:
            yield anchors
    waiting = anchors[:0]
    while True:
        if waiting.size < size:
            waiting = np.concatenate([waiting, rng.permutation(anchors)])
        yield np.sort(waiting[:size])
        waiting = waiting[size:]
