"""Where prototypes begin: the centres of k-means in each class, or points of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from arml.system.resources import recorded_warnings

__all__ = ["STARTS", "start_prototypes"]

STARTS = ("kmeans", "sample")
_KMEANS_STEPS = 10

Indices = NDArray[np.intp]


def start_prototypes(
    X: NDArray[np.float32], codes: Indices, n_prototypes: int, start: str, seed: int
) -> tuple[NDArray[np.float32], Indices]:
    """Prototypes to start from, ordered by class.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    codes : ndarray of shape (N,)
        Class codes 0 … C − 1, each with a member.
    n_prototypes : int
        p. A class of fewer members gets each of them.
    start : {"kmeans", "sample"}
        Centres of a few steps of k-means, begun at p random members; or these members.
    seed : int

    Returns
    -------
    prototypes : ndarray of shape (P, D)
    prototype_codes : ndarray of shape (P,)
    """
    prototypes = [_of_class(X[codes == code], n_prototypes, start, seed + code) for code in range(int(codes.max()) + 1)]
    sizes = [len(part) for part in prototypes]
    return np.concatenate(prototypes), np.repeat(np.arange(len(sizes)), sizes)


def _of_class(members: NDArray[np.float32], size: int, start: str, seed: int) -> NDArray[np.float32]:
    if len(members) <= size:
        return members
    if start == "sample":
        return members[np.sort(np.random.default_rng(seed).permutation(len(members))[:size])]
    with recorded_warnings():  # fewer different members than centres: some coincide
        kmeans = KMeans(size, init="random", n_init=1, max_iter=_KMEANS_STEPS, random_state=seed % 2**32)
        centres: NDArray[np.float32] = kmeans.fit(members).cluster_centers_.astype(np.float32)
    return centres
