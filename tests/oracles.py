"""Slow, obvious second opinions. Nothing here may import arml: a shared mistake would prove nothing.

Conventions as in the mathematics: squared distances d, w = M x, half-space (w_i − w_j)ᵀδ ≤ (d_i − d_j) / 2.
"""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
from scipy.optimize import linprog, minimize, nnls


def squared_distance(x, z, M):
    return float((x - z) @ M @ (x - z))


def predict_one(X, y, x, M, K):
    """Plurality vote of the K nearest; distance ties by index, vote ties to the smallest label."""
    order = sorted(range(len(X)), key=lambda i: (round(squared_distance(x, X[i], M), 10), i))
    votes = Counter(y[i] for i in order[:K])
    most = max(votes.values())
    return min(label for label, count in votes.items() if count == most)


def nearest_of_sides(X, y, x, label, M):
    """The smallest squared distance to a point of the label, and to one of another."""
    d = [squared_distance(x, z, M) for z in X]
    return tuple(min((d[i] for i in range(len(X)) if (y[i] == label) == own), default=np.inf) for own in (True, False))


def min_norm_point(A, b):
    """min ‖δ‖ s.t. Aδ ≤ b. None if infeasible.

    Lawson and Hanson's least-distance programming on NNLS proposes; SciPy's NNLS stops early on degenerate
    problems now and then, which the multipliers show (weak duality); then the half-spaces are scaled by random factors,
    and at last SLSQP starts from there.
    """
    A, b = np.atleast_2d(A), np.asarray(b, dtype=float)
    if (b >= 0).all():
        return np.zeros(A.shape[1])
    norms = np.linalg.norm(A, axis=1)
    if ((norms == 0) & (b < 0)).any():
        return None
    keep = norms > 0
    A, b = A[keep] / norms[keep, None], b[keep] / norms[keep]
    scale = -b.min()
    b = b / scale
    for attempt in range(8):
        factors = np.random.default_rng(attempt).uniform(0.5, 2.0, len(b)) if attempt else np.ones(len(b))
        E = np.vstack([-A.T, -b[None, :]]) * factors
        f = np.zeros(A.shape[1] + 1)
        f[-1] = 1.0
        solution, _ = nnls(E, f, maxiter=100 * len(b) + 1000)
        residual = E @ solution - f
        if np.linalg.norm(residual) < 1e-10:
            return None
        point = -residual[:-1] / residual[-1]
        solution = factors * solution
        dual = A.T @ solution
        bound = -(b @ solution) / np.linalg.norm(dual) if np.linalg.norm(dual) > 0 else 0.0
        if np.linalg.norm(point) - bound <= 1e-9 * np.linalg.norm(point):
            return point * scale
    found = minimize(
        lambda z: z @ z / 2,
        point,
        jac=lambda z: z,
        constraints={"type": "ineq", "fun": lambda z: b - A @ z, "jac": lambda z: -A},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-16},
    )
    if (A @ found.x - b).max() < 1e-9 and np.linalg.norm(found.x) < np.linalg.norm(point):
        point = found.x
    return point * scale


def beats(X, M, x, j, positives):
    """Rows A and b of 'j is no farther than every one of the positives'."""
    A = np.array([M @ (X[i] - X[j]) for i in positives])
    b = np.array([(squared_distance(x, X[i], M) - squared_distance(x, X[j], M)) / 2 for i in positives])
    return A, b


def shortest_point(A, b, norm):
    """min ‖δ‖₁ or ‖δ‖_∞ s.t. Aδ ≤ b: one linear program over δ and its absolute values. None if infeasible."""
    scale = max(float(np.abs(b).max()), 1e-300)
    D, m = A.shape[1], len(b)
    eye, size = np.eye(D), D if norm == 1 else 1
    cover = eye if norm == 1 else np.ones((D, 1))
    rows = np.vstack([np.hstack([A, np.zeros((m, size))]), np.hstack([eye, -cover]), np.hstack([-eye, -cover])])
    found = linprog(
        np.concatenate([np.zeros(D), np.ones(size)]),
        A_ub=rows,
        b_ub=np.concatenate([b / scale, np.zeros(2 * D)]),
        bounds=[(None, None)] * (D + size),
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    return found.x[:D] * scale if found.status == 0 else None


def box_rows(x, bounds):
    """Rows A and b of 'x + δ is in the box', widened to hold x."""
    D = len(x)
    low, high = np.minimum(bounds[0], x), np.maximum(bounds[1], x)
    return np.vstack([np.eye(D), -np.eye(D)]), np.concatenate([high - x, x - low])


def exact_one_nn(X, y, x, label, M, norm=2, bounds=None):
    """Exact 1-NN radius: eq. (13), one QP or LP over all half-spaces for every negative. Ties are lost."""
    positives = [i for i in range(len(X)) if y[i] == label]
    best = np.inf
    for j in range(len(X)):
        if y[j] == label:
            continue
        if not positives:
            return 0.0
        A, b = beats(X, M, x, j, positives)
        if bounds is not None:
            faces, room = box_rows(x, bounds)
            A, b = np.vstack([A, faces]), np.concatenate([b, room])
        delta = min_norm_point(A, b) if norm == 2 else shortest_point(A, b, norm)
        if delta is not None:
            best = min(best, float(np.linalg.norm(delta, norm)))
    return best


DUAL = {1: np.inf, 2: 2, np.inf: 1}


def pair_bound(X, M, x, i, j, norm=2):
    """[e_ij]₊ of eq. (8): how far x must move before j is no farther than i."""
    gap = squared_distance(x, X[j], M) - squared_distance(x, X[i], M)
    if gap <= 0:
        return 0.0
    width = float(np.linalg.norm(M @ (X[i] - X[j]), DUAL[norm]))
    return gap / (2 * width) if width > 0 else np.inf


def theorem1(X, y, x, label, M, K, norm=2):
    """Theorem 1 over all pairs: kth smallest over negatives of the kth largest over positives."""
    k = (K + 1) // 2
    positives = [i for i in range(len(X)) if y[i] == label]
    negatives = [j for j in range(len(X)) if y[j] != label]
    if len(positives) < k:
        return 0.0
    if len(negatives) < k:
        return np.inf
    rows = [sorted((pair_bound(X, M, x, i, j, norm) for i in positives), reverse=True)[k - 1] for j in negatives]
    return sorted(rows)[k - 1]


def exact_knn(X, y, x, label, M, K):
    """Exact K-NN radius on tiny sets: over every K-subset that loses the vote, one QP. Ties are lost.

    The subset's points are no farther than every other point; it loses when some other class has at least as many
    votes as `label` has, and wins the tie rule, or more votes.
    """
    best = np.inf
    indices = range(len(X))
    for subset in itertools.combinations(indices, K):
        votes = Counter(y[i] for i in subset)
        most = max(votes.values())
        if min(c for c, n in votes.items() if n == most) == label:
            continue
        outside = [i for i in indices if i not in subset]
        if not outside:
            return 0.0
        blocks = [beats(X, M, x, j, outside) for j in subset]
        delta = min_norm_point(np.vstack([a for a, _ in blocks]), np.concatenate([b for _, b in blocks]))
        if delta is not None:
            best = min(best, float(np.linalg.norm(delta)))
    return best


# --- ReLU networks -------------------------------------------------------------------------------


def network_scores(layers, x):
    """Scores of a dense ReLU network, layers [(W, b), …], at one point."""
    for W, b in layers[:-1]:
        x = np.maximum(W @ x + b, 0.0)
    W, b = layers[-1]
    return W @ x + b


def exact_network(layers, x, label):
    """Distance to the nearest point where another score reaches the label's: every pattern of active ReLUs is a
    polyhedron on which the scores are affine. For networks of a few neurons."""
    if np.argmax(network_scores(layers, x)) != label:
        return 0.0
    sizes = [len(b) for _, b in layers[:-1]]
    best = np.inf
    for bits in itertools.product([0.0, 1.0], repeat=sum(sizes)):
        J, c = np.eye(len(x)), np.zeros(len(x))
        A, limits, used = [], [], 0
        for (W, b), size in zip(layers[:-1], sizes):
            J, c = W @ J, W @ c + b
            on = np.array(bits[used : used + size])
            used += size
            side = np.where(on > 0, -1.0, 1.0)  # on: J δ' + c >= 0, else <= 0
            A.append(side[:, None] * J)
            limits.append(-side * c)
            J, c = on[:, None] * J, on * c
        W, b = layers[-1]
        J, c = W @ J, W @ c + b
        for other in range(len(b)):
            if other == label:
                continue
            rows = np.vstack([*A, (J[label] - J[other])[None]])
            bound = np.concatenate([*limits, [c[other] - c[label]]])
            way = min_norm_point(rows, bound - rows @ x)
            best = best if way is None else min(best, float(np.linalg.norm(way)))
    return best
