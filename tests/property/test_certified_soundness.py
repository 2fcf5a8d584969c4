"""No perturbation strictly inside a certified radius changes what a plain K-NN predicts: 25,000 a case at least.

14 cases, hence 350,000 perturbations: K odd and even, Theorem 1 and plurality, and the exact 1-NN radius. The judge is
the K-NN of this file: differences, squares, sums, a sort; tied votes to the smallest label. Points at the same distance
are ordered by index, and again by falling index: a certificate counts ties as lost, so it may rely on no order.
"""

from collections import Counter

import numpy as np
import pytest

from arml.certify import certified_radii
from arml.verify import exact_radii

DATA = ("scattered", "lattice", "twins", "tiny classes", "constant feature")
METRICS = ("euclidean", "full", "low rank")
INSIDE = 0.999
CASES = [(K, "plurality") for K in (1, 2, 3, 4, 5, 7, 11, 12)]
CASES += [(K, "theorem1") for K in (1, 3, 5, 7, 11)] + [(1, "exact")]


def plain_knn(X, y, G, Z, K, falling=False):
    """Labels of the rows of Z: plurality of the K nearest, tied votes to the smallest label."""
    if falling:
        X, y = X[::-1], y[::-1]
    squared = np.square((Z[:, None] - X) @ G.T).sum(axis=2)
    votes = np.eye(y.max() + 1, dtype=int)[y[np.argsort(squared, axis=1, kind="stable")[:, :K]]]
    return votes.sum(axis=1).argmax(axis=1)


def draw_problem(rng, kind, metric, n_classes):
    """A training set of 31 to 100 points, G, and 6 points: in the open, on training points, between two, near one."""
    D = int(rng.integers(2, 5))
    sizes = rng.integers(15, 21, n_classes) if n_classes > 2 else rng.integers(25, 36, 2)
    if kind == "tiny classes":
        sizes[1:] = rng.integers(1, 7, n_classes - 1)
        sizes[0] = 30
    y = rng.permutation(np.repeat(np.arange(n_classes), sizes))
    X = np.linspace(0, 1, n_classes)[y, None] * rng.choice([0.0, 0.7]) + rng.random((y.size, D))
    if kind == "lattice":
        X = np.round(4 * X) / 4
    if kind == "twins":
        X[: y.size // 2] = X[rng.integers(y.size, size=y.size // 2)]
    if kind == "constant feature":
        X[:, 0] = 0.5
    G = {"euclidean": np.eye(D), "full": rng.normal(size=(D, D)), "low rank": rng.normal(size=(D - 1, D))}[metric]
    i, j = rng.integers(y.size, size=(2, 4))
    near = X[i[2:]] + 0.1 * rng.normal(size=(2, D))
    return X, y, G, np.vstack([rng.uniform(X.min(), X.max(), (2, D)), X[i[0]], (X[i[1]] + X[j[1]]) / 2, near])


def directions(rng, X, y, M, x, label):
    """Where an adversary would go: to the nearest rivals, along pair normals M (x_j − x_i) and their sums, anywhere."""
    order = np.argsort(np.einsum("ij,jk,ik->i", X - x, M, X - x), kind="stable")
    rivals, own = order[y[order] != label][:12], order[y[order] == label][:6]
    normals = (X[rivals, None] - X[own]) @ M
    mixed = np.einsum("sr,rop,so->sp", rng.random((30, len(rivals))) ** 4, normals, rng.random((30, len(own))) ** 4)
    out = np.vstack([X[rivals] - x, normals.reshape(-1, len(x)), mixed, rng.normal(size=(30, len(x)))])
    lengths = np.linalg.norm(out, axis=1)
    return out[lengths > 1e-9] / lengths[lengths > 1e-9, None]


def radii_of(bound, X, y, Z, labels, M, K):
    if bound == "exact":
        return exact_radii(X, y, Z, labels, M).lower
    return certified_radii(X, y, Z, labels, M, K, bound)


@pytest.mark.parametrize(("K", "bound"), CASES)
def test_no_flip_strictly_inside(K, bound):
    inside, flips_beyond = Counter(), 0
    for n_classes in (2, 3, 4, 5):
        for kind in DATA:
            for metric in METRICS:
                rng = np.random.default_rng([K, n_classes, DATA.index(kind), METRICS.index(metric)])
                X, y, G, Z = draw_problem(rng, kind, metric, n_classes)
                M, labels = G.T @ G, plain_knn(X, y, G, Z, K)
                radii = radii_of(bound, X, y, Z, labels, M, K)
                for x, label, radius in zip(Z, labels, radii):
                    if radius <= 0:
                        continue
                    ways = directions(rng, X, y, M, x, label)
                    moved = x + INSIDE * (radius if np.isfinite(radius) else 5.0) * ways
                    for falling in (False, True):
                        assert (plain_knn(X, y, G, moved, K, falling) == label).all(), (n_classes, kind, metric)
                    inside.update(dict.fromkeys([n_classes, kind, metric], len(ways)))
                    if np.isfinite(radius):
                        inside["finite"] += len(ways)
                        flips_beyond += (plain_knn(X, y, G, x + 1.5 * radius * ways, K) != label).any()
    assert inside["finite"] >= 25_000, inside
    assert min(inside[name] for name in (2, 3, 4, 5, *DATA, *METRICS)) >= 1_500, inside
    assert flips_beyond >= 60  # the directions do find flips where there are some
