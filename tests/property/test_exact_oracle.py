"""Exact radii of 2,400 awkward random problems against an independent float64 quadratic program (tests.oracles).

The oracle solves eq. (13) as it stands: for every negative one program over all positives, by NNLS, with a duality gap
of 1e-9; no screening, no pruning, nothing of arml. Agreement is to 1e-7 relative; below a radius of 0.01, where what
arml subtracts for rounding may show, to 1e-9 absolute.
"""

from collections import Counter

import numpy as np
import pytest

from arml.verify import exact_radii
from tests import oracles

DATA = ("scattered", "lattice", "twins of one class", "twins of two classes", "tiny classes", "constant features")
METRICS = ("euclidean", "full", "singular", "low rank", "rank one")
PER_CELL = 20


def draw_set(rng, kind, n_classes):
    """A training set of one kind: (X, y), every class with a member at least."""
    D = int(rng.integers(2, 6))
    sizes = rng.integers(1, 4, n_classes) if kind == "tiny classes" else rng.integers(2, 9, n_classes)
    y = rng.permutation(np.repeat(np.arange(n_classes), sizes))
    X = rng.integers(0, 3, (y.size, D)) / 2 if kind == "lattice" else rng.random((y.size, D))
    if kind == "constant features":
        X[:, rng.permutation(D)[: D - 1 if D > 2 else 1]] = 0.3
    if kind.startswith("twins"):
        same = kind == "twins of one class"
        pairs = [(i, j) for i in range(y.size) for j in range(i) if (y[i] == y[j]) == same]
        for i, j in (pairs[t] for t in rng.permutation(len(pairs))[:3]):
            X[i] = X[j]
    return X, y


def draw_metric(rng, kind, D):
    if kind == "singular":  # one feature weighs nothing, and the others have weights of their own
        weights = rng.uniform(0.5, 2.0, D)
        weights[rng.integers(D)] = 0.0
        return np.diag(weights)
    rank = {"euclidean": D, "full": D, "low rank": max(1, D // 2), "rank one": 1}[kind]
    G = np.eye(D) if kind == "euclidean" else rng.normal(size=(rank, D))
    return G.T @ G


def draw_point(rng, X, y, M):
    """On a training point, in the middle of two, or near one; now and then with a label that is not the nearest's."""
    i, j = rng.integers(len(X), size=2)
    x = [X[i], (X[i] + X[j]) / 2, X[i] + 0.2 * rng.normal(size=X.shape[1])][rng.integers(3)]
    label = rng.choice(y) if rng.random() < 0.1 else oracles.predict_one(X, y, x, M, 1)
    return x, int(label)


@pytest.mark.parametrize("n_classes", [2, 3, 4, 5])
def test_equals_one_quadratic_program_per_negative(n_classes):
    """4 x 6 kinds of data x 5 metrics x 20 problems = 2,400."""
    compared, positive = 0, Counter()
    for kind in DATA:
        for metric in METRICS:
            rng = np.random.default_rng([n_classes, DATA.index(kind), METRICS.index(metric)])
            for _ in range(PER_CELL):
                X, y = draw_set(rng, kind, n_classes)
                M = draw_metric(rng, metric, X.shape[1])
                x, label = draw_point(rng, X, y, M)
                result = exact_radii(X, y, x[None], [label], M)
                expected = oracles.exact_one_nn(X, y, x, label, M)
                case = f"{kind}, {metric}: {result.status[0]} [{result.lower[0]}, {result.upper[0]}], not {expected}"
                compared += 1
                if result.status[0] == "misclassified":
                    # the middle of two points, rounded, is nearer to one: no tie, but one to the oracle's digits
                    own, others = oracles.nearest_of_sides(X, y, x, label, M)
                    assert others <= own + 1e-14 * (1.0 + own), case
                    assert expected == pytest.approx(0.0, abs=1e-8), case
                    assert result.lower[0] == result.upper[0] == 0.0, case
                    continue
                assert result.status[0] == "exact", case
                assert result.lower[0] == pytest.approx(expected, rel=1e-7, abs=1e-9), case
                assert result.upper[0] == pytest.approx(expected, rel=1e-7, abs=1e-9), case
                if expected > 0.01:
                    positive.update([kind, metric])
    assert compared == len(DATA) * len(METRICS) * PER_CELL
    assert sum(positive[name] for name in DATA) >= 350, positive
    assert min(positive[name] for name in DATA + METRICS) >= 25, positive
