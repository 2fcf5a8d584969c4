"""What the benchmark compares with: the closed form and the quadratic programs as written, in NumPy float64.

Nothing here imports arml. Conventions as in the mathematics: squared distances d, w = M x, half-space
(w_i − w_j)ᵀδ ≤ (d_i − d_j) / 2 of a positive i and a negative j. Vectorised, but nothing is pruned: Theorem 1
computes every pair; the exact radius takes one negative after the other, screened by the closed form, first of the
nearest positive, then of all, and forms the Gram matrix of all its half-spaces.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

_BLOCK_ENTRIES = 1 << 22  # pairs at a time: the whole matrix is 2.6 GB for one point of MNIST


def theorem1(
    X_train: Matrix, y_train: NDArray[np.int64], X: Matrix, y: NDArray[np.int64], M: Matrix | None, n_neighbors: int
) -> Matrix:
    """kth-min over negatives of kth-max over positives of [e_ij]₊ (eq. 10), by the full matrix; shape (n,)."""
    k = (n_neighbors + 1) // 2
    W = X_train if M is None else X_train @ M
    squares = np.einsum("ij,ij->i", W, W)
    radii = np.zeros(len(X))
    for t, (x, label) in enumerate(zip(X, y)):
        d = _distances(X_train, x, M)
        own, others = np.flatnonzero(y_train == label), np.flatnonzero(y_train != label)
        if len(others) < k:
            radii[t] = np.inf
        if min(len(own), len(others)) < k:
            continue
        rows = np.empty(len(others))
        for part in _blocks(others, len(own)):
            js = others[part]
            widths = squares[js, None] + squares[own] - 2.0 * (W[js] @ W[own].T)
            np.sqrt(np.maximum(widths, 0.0, out=widths), out=widths)
            with np.errstate(divide="ignore", invalid="ignore"):
                pairs = np.where(d[js, None] > d[own], (d[js, None] - d[own]) / (2.0 * widths), 0.0)
            rows[part] = np.partition(pairs, len(own) - k, axis=1)[:, len(own) - k]
        radii[t] = np.partition(rows, k - 1)[k - 1]
    return radii


def exact_one_nn(
    X_train: Matrix, y_train: NDArray[np.int64], X: Matrix, y: NDArray[np.int64], M: Matrix | None
) -> Matrix:
    """Exact 1-NN radii (eq. 13): a quadratic program a negative, over all positives; shape (n,)."""
    W = X_train if M is None else X_train @ M
    radii = np.zeros(len(X))
    for t, (x, label) in enumerate(zip(X, y)):
        d = _distances(X_train, x, M)
        own, others = np.flatnonzero(y_train == label), np.flatnonzero(y_train != label)
        nearest = own[d[own].argmin()]
        if d[nearest] >= d[others].min():
            continue
        widths = 2.0 * np.sqrt(np.square(W[others] - W[nearest]).sum(axis=1))
        with np.errstate(divide="ignore"):
            bounds = (d[others] - d[nearest]) / widths
        best = np.inf
        for place in np.argsort(bounds):
            if bounds[place] >= best:
                break
            j = others[place]
            A, b = W[own] - W[j], (d[own] - d[j]) / 2.0
            if (-b < best * np.linalg.norm(A, axis=1)).all():
                best = min(best, _least_distance(A, b, best))
        radii[t] = best
    return radii


def _distances(X_train: Matrix, x: Matrix, M: Matrix | None) -> Matrix:
    steps = X_train - x
    return np.asarray(np.einsum("ij,ij->i", steps if M is None else steps @ M, steps))


def _blocks(rows: NDArray[np.intp], width: int) -> list[slice]:
    size = max(1, _BLOCK_ENTRIES // width)
    return [slice(start, start + size) for start in range(0, len(rows), size)]


def _least_distance(A: Matrix, b: Matrix, enough: float) -> float:
    """min ‖δ‖ subject to Aδ ≤ b by the active set of Lawson and Hanson on the dual, with the full Gram matrix.

    δ = −Aᵀλ, where λ ≥ 0 minimises λᵀ(AAᵀ)λ / 2 + bᵀλ. ‖δ‖ grows from step to step: stops at ``enough``.
    """
    gram = A @ A.T
    lengths = np.sqrt(np.maximum(np.diag(gram), np.finfo(float).tiny))
    multipliers = np.zeros(len(b))
    active = np.zeros(len(b), dtype=bool)
    refused = np.zeros(len(b), dtype=bool)
    slack: Matrix = -b / lengths  # how far δ = 0 is outside each half-space
    norm = 0.0
    while norm < enough:
        candidates = np.where(active | refused, -np.inf, slack)
        worst = int(candidates.argmax())
        if candidates[worst] <= 1e-11 * (norm + 1e-3 * lengths.max()):
            break
        active[worst] = True
        _solve_active(gram, b, multipliers, active)
        grown = float(np.sqrt(max(0.0, -float(b @ multipliers))))
        # a half-space that goes at once, or leaves ‖δ‖ as it is, came by rounding; without growth it could come again
        refused = refused | (np.arange(len(b)) == worst) if grown <= norm else np.zeros_like(refused)
        norm = grown
        slack = (-gram[:, active] @ multipliers[active] - b) / lengths
    return norm


def _solve_active(gram: Matrix, b: Matrix, multipliers: Matrix, active: NDArray[np.bool_]) -> None:
    """Least squares on the active set; half-spaces whose multiplier would turn negative leave it. In place."""
    while active.any():
        rows = np.flatnonzero(active)
        wanted = np.linalg.lstsq(gram[np.ix_(rows, rows)], -b[rows], rcond=None)[0]
        low = np.flatnonzero(wanted <= 0.0)
        if not len(low):
            multipliers[rows] = wanted
            return
        steps = multipliers[rows[low]] / (multipliers[rows[low]] - wanted[low])
        multipliers[rows] += float(steps.min()) * (wanted - multipliers[rows])
        leaving = rows[low[steps.argmin()]]
        active[leaving], multipliers[leaving] = False, 0.0
