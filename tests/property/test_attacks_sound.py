"""Attacks against brute force: never nearer than the true radius, decisions equal to a plain classifier's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arml import MahalanobisKNN, MahalanobisMetric
from arml.attacks import boundary_attack
from arml.attacks.forward import PlainForward, PrunedForward
from arml.knn.neighbors import Predictor
from arml.knn.reference import reference_set


def brute_label(train: np.ndarray, labels: np.ndarray, G: np.ndarray, z: np.ndarray, k: int) -> int:
    """K-NN by the book: sort by (distance, index), most votes, ties to the smallest label."""
    squared = [float(np.sum((G @ (p - z)) ** 2)) for p in train]
    nearest = sorted(range(len(train)), key=lambda j: (round(squared[j], 10), j))[:k]
    votes = [int(labels[j]) for j in nearest]
    return min(set(votes), key=lambda c: (-votes.count(c), c))


def radius_1d(train: np.ndarray, labels: np.ndarray, x: float, y: int, k: int) -> float:
    """Exact: between neighbouring bisectors of pairs of training points the order of distances is fixed.

    On a bisector itself points tie, and the prediction may be another one than on both sides.
    """
    cuts = np.unique([(a + b) / 2 for a in train[:, 0] for b in train[:, 0]] + [x])
    edges = np.concatenate([[cuts[0] - 1.0], cuts, [cuts[-1] + 1.0]])
    ties = [abs(cut - x) for cut in cuts if brute_label(train, labels, np.eye(1), np.array([cut]), k) != y]
    best = min(ties, default=np.inf)
    for low, high in pairwise(edges):
        if brute_label(train, labels, np.eye(1), np.array([(low + high) / 2]), k) != y:
            best = min(best, max(0.0, low - x, x - high))
    return best


def test_a_point_of_ties_is_a_point() -> None:
    """Right on both sides of x, wrong at x alone, where two pairs tie: an attack of length 0."""
    train, x = np.array([[0.0, 1.0, 0.5, 0.75, 0.5, 0.75, 1.0, 0.5]]).T, 0.625
    labels = np.array([0, 1, 1, 2, 2, 0, 1, 0])
    assert [brute_label(train, labels, np.eye(1), np.array([x + way]), 3) for way in (-0.01, 0.0, 0.01)] == [0, 2, 0]
    assert radius_1d(train, labels, x, 0, 3) == 0.0
    assert boundary_attack(train, labels, [[x]], [0], n_neighbors=3, steps=5, bounds=None).norm[0] == 0.0


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000), n=st.integers(3, 8), k=st.integers(1, 5), lattice=st.booleans(),
    init=st.sampled_from(["noise", "nearest"]),
)  # fmt: skip
def test_norm_is_never_below_the_radius_on_a_line(seed: int, n: int, k: int, lattice: bool, init: str) -> None:
    rng = np.random.default_rng(seed)
    train = (rng.integers(0, 5, (n, 1)) / 4 if lattice else rng.uniform(size=(n, 1))).astype(float)
    labels = np.r_[0, 1, rng.integers(0, 3, n - 2)]
    k = min(k, n)
    x = rng.integers(0, 9, 1) / 8 if lattice else rng.uniform(size=1)
    y = int(labels[rng.integers(n)])
    result = boundary_attack(train, labels, [x], [y], n_neighbors=k, steps=300, bounds=None, init=init)
    radius = radius_1d(train, labels, float(x[0]), y, k)
    assert result.norm[0] >= radius - 1e-9
    if result.status[0] == "bounded":
        assert MahalanobisKNN(k).fit(train, labels).predict(result.adversarial)[0] != y


def fooled_in_plane(train: np.ndarray, labels: np.ndarray, G: np.ndarray, Z: np.ndarray, y: int, k: int) -> np.ndarray:
    """Many points at once, two classes, odd K, no ties: is the vote against y?"""
    squared = (((train[None] - Z[:, None]) @ G.T) ** 2).sum(axis=2)
    nearest = np.argsort(squared, axis=1)[:, :k]
    return (labels[nearest] == y).sum(axis=1) * 2 < k


@pytest.mark.parametrize("seed", range(4))
def test_norm_is_close_to_the_radius_in_the_plane(seed: int) -> None:
    rng = np.random.default_rng(seed)
    train, labels = rng.uniform(size=(8, 2)), np.array([0, 1] * 4)
    G = rng.standard_normal((2, 2)) + np.eye(2)
    X = rng.uniform(size=(3, 2))
    k = 1 + 2 * (seed % 2)
    y = [brute_label(train, labels, G, x, k) for x in X]
    result = boundary_attack(train, labels, X, y, MahalanobisMetric(G), k, steps=1500, bounds=None)
    angles = np.linspace(0.0, 2 * np.pi, 720, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for x, label, norm in zip(X, y, result.norm):
        rings = np.linspace(0.0, norm, 152)[1:-1]  # a polar grid strictly inside the attack's norm
        hits = [r for r in rings if fooled_in_plane(train, labels, G, x + r * circle, label, k).any()]
        assert norm <= 3.0 * min(hits, default=norm)  # a local search, but not a lost one
        finer = np.linspace(0.98, 1.02, 41)[:, None, None] * (result.adversarial[list(X[:, 0]).index(x[0])] - x)
        signs = fooled_in_plane(train, labels, G, x + finer.reshape(-1, 2), label, k)
        assert signs[21:].any() and not signs[0]  # it lies on the boundary


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), n_train=st.integers(2, 60), k=st.integers(1, 12), rank=st.integers(1, 4),
    lattice=st.booleans(), width=st.integers(1, 20), n_classes=st.integers(2, 5),
)  # fmt: skip
def test_pruned_decisions_are_the_classifiers(
    seed: int, n_train: int, k: int, rank: int, lattice: bool, width: int, n_classes: int
) -> None:
    """Random walks with long and short steps, duplicates, lattices, low rank, K up to N, rows that drop out."""
    rng = np.random.default_rng(seed)
    train: Any = rng.integers(0, 3, (n_train, 3)) / 2 if lattice else rng.uniform(size=(n_train, 3))
    train[n_train // 2] = train[0]
    labels = np.r_[0, 1, rng.integers(0, n_classes, n_train - 2)]
    G = np.eye(3) if rank == 4 else rng.integers(-1, 2, (rank, 3)).astype(float)
    knn = Predictor(reference_set(train, labels, MahalanobisMetric(G)), min(k, n_train))
    targets = rng.integers(0, len(knn.reference.classes), 6)
    pruned = PrunedForward(knn, targets, width=width, wide=2 * width)
    plain = PlainForward(knn, targets)
    Z, active = rng.uniform(size=(6, 3)), np.ones(6, dtype=bool)
    for step in range(25):
        Z = Z + 10.0 ** rng.uniform(-9, 0) * rng.standard_normal(Z.shape)
        if lattice and step % 3 == 0:
            Z = np.round(Z * 4) / 4
        active[rng.integers(6)] &= rng.uniform() > 0.2
        answer = pruned(Z, active)
        np.testing.assert_array_equal(answer, plain(Z, active))
        np.testing.assert_array_equal(answer[active], (knn.predict(Z) != knn.reference.classes[targets])[active])
        assert not answer[~active].any()


def test_lists_spare_most_of_the_work_and_shrunken_steps_need_no_new_anchor() -> None:
    rng = np.random.default_rng(0)
    train, labels = rng.uniform(size=(3000, 4)), rng.integers(0, 4, 3000)
    knn = Predictor(reference_set(train, labels), 11)
    pruned = PrunedForward(knn, np.zeros(5, dtype=np.intp), wide=300)
    Z, active = rng.uniform(size=(5, 4)), np.ones(5, dtype=bool)
    for _ in range(200):
        Z = Z + 1e-5 * rng.standard_normal(Z.shape)
        pruned(Z, active)
    assert pruned.n_anchored <= 10 and pruned.n_scanned <= 10 and pruned.n_referred <= 5
