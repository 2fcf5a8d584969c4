"""Which training points a baseline sees: stratified subsets and the points that a method cannot use."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arml.learners.base import Floats, Indices

__all__ = ["affordable_targets", "drop_single_members", "opposed_twins", "stratified_subset"]

_AT_LEAST = 2


def stratified_subset(codes: Indices, size: int, seed: int | None) -> Indices:
    """Row numbers, ascending, of a random subset with each class's share kept.

    Every class keeps at least two members, or its only one.

    Parameters
    ----------
    codes : ndarray of shape (n,)
        Class codes 0 … C − 1.
    size : int
        Rows wanted; all rows where ``size >= n``.
    seed : int or None

    Raises
    ------
    ValueError
        ``size`` is too small for that.
    """
    counts = np.bincount(codes)
    if size >= codes.size:
        return np.arange(codes.size)
    floor = np.minimum(counts, _AT_LEAST)
    if floor.sum() > size:
        raise ValueError(
            f"max_train = {size} is too small: {counts.size} classes need at least {int(floor.sum())} points"
        )
    share = counts * (size / codes.size)
    quota = np.maximum(floor, np.floor(share).astype(np.intp))
    while quota.sum() < size:
        quota[np.argmax(np.where(quota < counts, share - quota, -np.inf))] += 1
    while quota.sum() > size:
        quota[np.argmax(np.where(quota > floor, quota - share, -np.inf))] -= 1
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(codes == label))[:take] for label, take in enumerate(quota)]
    return np.sort(np.concatenate(chosen))


def drop_single_members(X: Floats, codes: Indices, notes: list[str]) -> tuple[Floats, Indices]:
    """Leave out the classes of one member, with a note; ValueError where fewer than two classes remain."""
    counts = np.bincount(codes)
    keep = counts[codes] > 1
    if not keep.all():
        notes.append(f"left out {int((~keep).sum())} points that are alone in their class")
        if np.unique(codes[keep]).size < 2:
            raise ValueError("lmnn needs two classes with at least two members each")
    return X[keep], codes[keep]


def affordable_targets(codes: Indices, n_neighbors: int, notes: list[str]) -> int:
    """As many target neighbours as every class can give its members; with a note where those are fewer."""
    smallest = int(np.bincount(codes)[np.unique(codes)].min())
    if n_neighbors >= smallest:
        notes.append(f"n_neighbors lowered from {n_neighbors} to {smallest - 1} (smallest class: {smallest})")
    return min(n_neighbors, smallest - 1)


def opposed_twins(X: Floats, codes: Indices) -> NDArray[np.bool_]:
    """True for each point that equals, in every feature, a point of another class."""
    _, group = np.unique(X, axis=0, return_inverse=True)
    group = group.ravel()
    lowest, highest = np.full(group.max() + 1, codes.max()), np.zeros(group.max() + 1, dtype=codes.dtype)
    np.minimum.at(lowest, group, codes)
    np.maximum.at(highest, group, codes)
    twins: NDArray[np.bool_] = (lowest != highest)[group]
    return twins
