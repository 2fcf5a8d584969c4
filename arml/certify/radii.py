"""Certificates for Mahalanobis K-NN: radii within which no perturbation changes a right prediction (Theorem 1).

The bounds are order statistics of the closed-form pair bounds of eq. (9): when j is among the K nearest and i is not, j
is no farther than i, so the point has moved by e_ij at least. The packing bound sharpens them by small quadratic
programs (:mod:`arml.certify.packing`); what closes the gap to attacks is :mod:`arml.intervals`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.certificate import Certificate, Proof
from arml.certify.packing import Packing
from arml.geometry.bisectors import Pairs
from arml.knn.query import Margins, Query, query_set
from arml.knn.reference import ReferenceSet, reference_set

__all__ = ["BOUNDS", "certificates", "certified_radii", "certify_points", "check_bound"]

BOUNDS = ("theorem1", "plurality", "packing")

Rows = NDArray[np.intp]


def check_bound(bound: str, n_neighbors: int, norm: float = 2) -> None:
    """Refuse an unknown bound, and K (``n_neighbors``) or a norm for which the bound proves nothing.

    Raises
    ------
    ValueError
        Unknown bound, ``theorem1`` with an even K, or ``packing`` with another norm than ℓ2.
    """
    if bound == "exact":
        raise ValueError("bound 'exact' is no certificate: arml.intervals.radius_intervals gives exact K-NN radii")
    if bound not in BOUNDS:
        raise ValueError(f"bound must be one of {', '.join(BOUNDS)}; got {bound!r}")
    if bound == "theorem1" and n_neighbors % 2 == 0:
        raise ValueError(
            f"Theorem 1 is proved for odd K only, got n_neighbors = {n_neighbors}: with an even K a tied vote can "
            f"flip the prediction inside the radius; use bound 'plurality' or 'packing', or an odd K"
        )
    if bound == "packing" and norm != 2:
        raise ValueError(f"bound 'packing' is for norm 2, got {norm}; use 'plurality'")


def certified_radii(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    bound: str = "theorem1",
    *,
    norm: float = 2,
) -> NDArray[np.float64]:
    """Certified radii of a Mahalanobis K-NN classifier: Theorem 1 (eq. 10) by pruning, the full value.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D), (N,)
    X, y : array-likes of shape (n, D), (n,)
        The points and their true labels.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    n_neighbors : int, default=11
        K; odd for ``theorem1``.
    bound : {"theorem1", "plurality", "packing"}
        ``theorem1``: kth-min over negatives of kth-max over positives of e_ij, k = (K + 1) / 2. Proved for odd K,
        any number of classes, plurality vote and any way of breaking ties.
        ``plurality``: sound for every K under the declared rule (tied votes to the smallest label), never below
        ``theorem1``, and above 0 also where a class wins with fewer than k votes.
        ``packing``: never below ``plurality``, with groups of positives in the place of single ones
        (:mod:`arml.certify.packing`). ℓ2 only. The fewer neighbours, the more it gains.
    norm : {2, 1, inf}
        How perturbations are measured: e_ij has the dual norm of w_i − w_j below the line.

    Returns
    -------
    ndarray of shape (n,)
        In the units of the features. Every perturbation shorter than this leaves the prediction right. 0 where
        nothing is proved: misclassified points, ties, under ``theorem1`` wins with fewer than k votes. ``inf`` where
        no attack exists (``theorem1``: fewer than k points have another label).

    Raises
    ------
    ValueError
        Even K with ``theorem1``, ``packing`` with another norm than 2, K below 1 or larger than the training set, an
        unknown bound or norm, non-finite features, no point, a label unseen in training, fewer than two classes, wrong
        dimension, M not symmetric or not PSD.
    NotFittedError
        M is a learner that has not been fitted.

    Notes
    -----
    A kth-max over some positives never exceeds the one over all, so every negative is bounded by the nearest
    positives first, and whole rows are evaluated only until the next bound passes the kth smallest whole row.
    Rounding is subtracted: the result never exceeds the value in exact arithmetic. Cost: one product of a batch
    with the training set plus, per point, O(D) for each pair of candidate negative and near positive; norms 1 and inf
    have no matrix product for these pairs, and floors looser by √D for inf: more pairs, each slower. ``packing``: some
    dozens of rivals a point besides, (K + 1) / 2 quadratic programs each.

    Examples
    --------
    >>> from arml.certify import certified_radii
    >>> radius = certified_radii([[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1], [[1.0]], [0], n_neighbors=3)
    >>> radius.round(6).tolist()
    [1.5]
    >>> certified_radii([[0.0], [4.0]], [0, 1], [[1.0]], [0], n_neighbors=2)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: Theorem 1 is proved for odd K only, got n_neighbors = 2: ...
    """
    return np.array([c.radius for c in certificates(X_train, y_train, X, y, M, n_neighbors, bound, norm=norm)])


def certificates(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    bound: str = "theorem1",
    *,
    norm: float = 2,
) -> list[Certificate]:
    """:func:`certified_radii` with, for each point, the training points that prove it.

    Parameters and errors are those of :func:`certified_radii`. Each certificate can be stored and checked later, by
    :func:`arml.check.check_certificate`, at the cost of a few dozen rows of pair bounds.

    Returns
    -------
    list of Certificate
        ``radius`` is the certified radius.
    """
    return certify_points(reference_set(X_train, y_train, M), X, y, n_neighbors, bound, norm=norm)


def certify_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int = 11,
    bound: str = "theorem1",
    *,
    norm: float = 2,
) -> list[Certificate]:
    """:func:`certificates` against a training set that :func:`arml.knn.reference.reference_set` has prepared.

    For one training set and many calls, in one thread or several: the set is transformed once and shared. The other
    parameters, the result and the errors are those of :func:`certificates`.
    """
    queries = query_set(reference, X, y, n_neighbors, norm=norm)
    k, measure = queries.n_neighbors, queries.norm
    check_bound(bound, k, measure.p)
    found = []
    for batch in queries.batches():
        for query in batch:
            used: list[Rows] = []
            radius, proofs = _certify(query, bound, used)
            pool = np.unique(reference.order[np.concatenate(used)]) if used else np.zeros(0, dtype=np.intp)
            found.append(Certificate(radius, k, bound, pool, proofs, norm=measure.p))
    return found


def _certify(query: Query, bound: str, used: list[Rows]) -> tuple[float, tuple[Proof, ...]]:
    """One point. The rounding margin covers a reach; a radius beyond it is computed again with a longer one."""
    k = (query.n_neighbors + 1) // 2
    outside, stretch = query.outside, query.norm.stretch
    if bound == "theorem1" and outside.size < k:
        return float(np.inf), ()
    place = min(k, outside.size) - 1
    kth = outside[np.argpartition(query.distances[outside], place)[place]]
    reach = stretch * query.norm.length(query.onto(int(kth)))
    while True:
        pairs = Pairs(Margins(query, reach))
        packing = Packing(pairs, query.own) if bound == "packing" else None
        if bound == "theorem1":
            radius = pairs.order(query.own, outside, k, k, used)
        else:
            radius = _plurality(query, pairs, used, packing)
        if stretch * radius <= reach or np.isinf(radius):
            return radius, packing.proofs(radius) if packing and radius > 0.0 else ()
        reach = 2.0 * stretch * radius


def _plurality(query: Query, pairs: Pairs, used: list[Rows], packing: Packing | None) -> float:
    """The plurality bound: over every rival class c and every number m of votes with which c could win.

    If c wins with m votes, the true class y has at most q = min(m if c < y else m − 1, K − m) of them, and the other
    C − 2 classes at most m each. Then, e_ij being how far x must move before j is no farther than i,

    * K − q negatives are no farther than all but q positives: (K−q)th-min over negatives of (q+1)th-max over
      positives;
    * m of them belong to c: mth-min over c of (q+1)th-max over positives;
    * a voter of c has at most K − 1 points nearer: mth-min over c of Kth-max over all points.

    The largest of the three is a bound for this (c, m), the smallest over (c, m) one for the point. The first two may
    be sharpened by packing.
    """
    reference, code, n_neighbors = query.reference, query.code, query.n_neighbors
    own, everyone = query.own, slice(0, reference.n_train)

    def closed(rivals: Rows, row_rank: int, column_rank: int) -> float:
        return pairs.order(own, rivals, row_rank, column_rank, used)

    def packed(base: float, rivals: Rows, row_rank: int, column_rank: int) -> float:
        return base if packing is None else packing.order(base, rivals, row_rank, column_rank, used, best)

    best = float(np.inf)
    wins = list(_winning_votes(code, reference.classes.size, n_neighbors))
    bases = {q: closed(query.outside, q + 1, n_neighbors - q) for q in {q for _, _, q in wins}}
    shared: dict[int, float] = {}
    for rival, votes, q in sorted(wins, key=lambda win: bases[win[2]]):
        if bases[q] >= best:
            break
        if q not in shared:
            shared[q] = packed(bases[q], query.outside, q + 1, n_neighbors - q)
        if shared[q] >= best:
            continue
        rows = reference.class_rows(rival)
        members = np.arange(rows.start, rows.stop)
        if members.size < votes or pairs.order_floor(own, members, q + 1, votes) >= best:
            continue
        value = max(shared[q], packed(closed(members, q + 1, votes), members, q + 1, votes))
        if value < best:
            best = min(best, max(value, pairs.order(everyone, members, n_neighbors, votes, used)))
    return best


def _winning_votes(code: int, n_classes: int, n_neighbors: int) -> Iterator[tuple[int, int, int]]:
    """Every (c, m, q): class c can win with m votes while the true class has q at most."""
    for rival in range(n_classes):
        if rival == code:
            continue
        for votes in range(1, n_neighbors + 1):
            q = min(votes if rival < code else votes - 1, n_neighbors - votes)
            if n_neighbors - votes - q <= (n_classes - 2) * votes:
                yield rival, votes, q
