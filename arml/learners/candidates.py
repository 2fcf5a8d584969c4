"""randnear⁺ and randnear⁻ of eq. (12): nearest points of the same and of other classes, and who they are drawn for.

Training points are ordered by class here, so that a class is a slice: a positive can only come from the slice
of its anchor, and a negative only from outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CandidateLists", "anchor_pool", "batches", "candidate_lists", "map_points", "nearest_candidates"]

Indices = NDArray[np.intp]

# entries of one block of distances: some 16 MB on a CPU, a fraction of a GPU's memory
_BLOCK = {"cpu": 1 << 22}
_BLOCK_GPU = 1 << 26
_MAPPED_ROWS = 4096
# streams of random numbers of one seed
_POOLS, _ROUNDS = 1, 2


def map_points(X: Tensor, G: Tensor, n_jobs: int = 1) -> Tensor:
    """G x for each row of ``X``, shape (N, D) → (N, r), in blocks of rows that ``n_jobs`` threads share.

    The blocks are the same for every ``n_jobs``, and so is the result, to the last bit.
    """
    mapped = X.new_empty(X.shape[0], G.shape[0])

    def work(first: int) -> None:
        rows = slice(first, first + _MAPPED_ROWS)
        torch.mm(X[rows], G.T, out=mapped[rows])

    _share(work, range(0, X.shape[0], _MAPPED_ROWS), n_jobs)
    return mapped


def nearest_candidates(
    mapped: Tensor,
    starts: Indices,
    queries: Tensor,
    query_starts: Indices,
    own: Indices | None,
    n: int,
    n_jobs: int = 1,
) -> tuple[Tensor, Tensor]:
    """The n nearest positives and negatives of each query.

    Parameters
    ----------
    mapped : Tensor of shape (N, r)
        G x for every training point, ordered by class.
    starts : ndarray of shape (C + 1,)
        Class c is ``starts[c]:starts[c + 1]``.
    queries : Tensor of shape (B, r)
        Mapped, ordered by class too.
    query_starts : ndarray of shape (C + 1,)
        Their classes, likewise.
    own : ndarray of shape (B,), optional
        The training point that a query is: no candidate of its own.
    n : int
    n_jobs : int
        Threads that share the queries; the result does not depend on it.

    Returns
    -------
    positives, negatives : Tensor of shape (B, n), int32, on the CPU
        Rows of ``mapped``, nearest first. Where there are only m < n, m and then −1.

    Notes
    -----
    Cost: O(B N r) time; memory is one block of distances a thread, never B × N or N × N.
    """
    total, size = mapped.shape[0], queries.shape[0]
    positives = torch.full((size, n), -1, dtype=torch.int32)
    negatives = torch.full((size, n), -1, dtype=torch.int32)
    # ‖u_j‖² − 2 u_aᵀu_j orders j as the distance to a does
    squares = mapped.square().sum(dim=1)
    rows = max(1, min(size, _BLOCK.get(mapped.device.type, _BLOCK_GPU) // total))

    def work(first: int) -> None:
        last = min(first + rows, size)
        distances = torch.addmm(squares, queries[first:last], mapped.T, alpha=-2)
        if own is not None:
            itself = torch.from_numpy(own[first:last]).to(mapped.device)
            distances[torch.arange(last - first, device=mapped.device), itself] = torch.inf
        bounds = query_starts.clip(first, last)
        for label in np.flatnonzero(np.diff(bounds)):
            where, left, right = slice(*bounds[label : label + 2]), *starts[label : label + 2]
            block = distances[where.start - first : where.stop - first]
            same = block[:, left:right]
            if (k := min(n, right - left - (own is not None))) > 0:
                nearest = same.topk(k, largest=False).indices
                positives[where, :k] = (nearest + left).to("cpu", torch.int32)
            same.fill_(torch.inf)
            k = min(n, total - (right - left))
            nearest = block.topk(k, largest=False).indices
            negatives[where, :k] = nearest.to("cpu", torch.int32)

    _share(work, range(0, size, rows), n_jobs)
    return positives, negatives


def _share(work: Callable[[int], None], firsts: range, n_jobs: int) -> None:
    if n_jobs == 1 or len(firsts) == 1:
        for first in firsts:
            work(first)
        return
    # torch's number of threads belongs to the calling thread
    with ThreadPoolExecutor(n_jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        list(pool.map(work, firsts))


@dataclass(frozen=True)
class CandidateLists:
    """Nearest positives and negatives of some points, under one metric.

    Attributes
    ----------
    positives, negatives : Tensor of shape (B, n), int32
        Rows of the training set, nearest first, −1 behind the last.
    n_positives, n_negatives : ndarray of shape (B,)
        Lengths of the lists.
    """

    positives: Tensor
    negatives: Tensor
    n_positives: Indices
    n_negatives: Indices

    def draw(self, places: Indices, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """One positive and one negative for each of the lists at ``places``, none empty; uniform; shape (B,)."""
        picks = []
        for lists, lengths in ((self.positives, self.n_positives), (self.negatives, self.n_negatives)):
            column = rng.integers(0, lengths[places])
            picks.append(lists[places, column].long())
        return picks[0], picks[1]


def candidate_lists(
    mapped: Tensor,
    starts: Indices,
    queries: Tensor,
    query_starts: Indices,
    own: Indices | None,
    n: int,
    n_jobs: int = 1,
) -> CandidateLists:
    """:func:`nearest_candidates` with the lengths of the lists."""
    positives, negatives = nearest_candidates(mapped, starts, queries, query_starts, own, n, n_jobs)
    members = np.repeat(np.diff(starts), np.diff(query_starts))
    lengths = np.minimum(n, members - (own is not None)), np.minimum(n, mapped.shape[0] - members)
    return CandidateLists(positives, negatives, *lengths)


def anchor_pool(anchors: Indices, size: int | None, seed: int, number: int) -> Indices:
    """The ``number``-th pool of anchors, ascending: slices of one shuffled pass over them after another.

    Every anchor comes equally often over the pools, each at most twice in one. ``size`` None, or no smaller than
    the number of anchors, gives all of them every time. Nothing is kept between calls: any pool of a seed can be
    had at once, which is what resuming needs.
    """
    if size is None or size >= anchors.size:
        return anchors
    first = number * size
    parts = []
    while first < (number + 1) * size:
        shuffle, begin = divmod(first, anchors.size)
        order = np.random.default_rng((seed, _POOLS, shuffle)).permutation(anchors)
        parts.append(order[begin : begin + (number + 1) * size - first])
        first += parts[-1].size
    return np.sort(np.concatenate(parts))


def batches(pool_size: int, size: int | None, seed: int, number: int) -> Iterator[tuple[Indices, np.random.Generator]]:
    """Endless batches of places in the ``number``-th pool, ascending, each place equally often; and their generator."""
    rng = np.random.default_rng((seed, _ROUNDS, number))
    everything = np.arange(pool_size)
    if size is None or size >= pool_size:
        while True:
            yield everything, rng
    waiting = everything[:0]
    while True:
        if waiting.size < size:
            waiting = np.concatenate([waiting, rng.permutation(pool_size)])
        yield np.sort(waiting[:size]), rng
        waiting = waiting[size:]
