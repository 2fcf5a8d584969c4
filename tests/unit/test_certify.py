"""Theorem 1: its value, its soundness against brute force, its limits."""

import numpy as np
import pytest

from arml.certify import certified_radii
from arml.verify import exact_radii
from tests import oracles
from tests.unit.test_verify import problem


@pytest.mark.parametrize("n_neighbors", [1, 3, 5])
def test_equals_theorem_1_over_all_pairs(n_neighbors):
    positive = 0
    for seed in range(120):
        X, y, x, label, M = problem(seed, lattice=seed % 3 == 0, rank=None if seed % 2 else 1)
        norm = (2, 1, np.inf)[seed // 2 % 3]
        got = certified_radii(X, y, x[None], [label], M, n_neighbors, norm=norm)[0]
        expected = oracles.theorem1(X, y, x, label, M, n_neighbors, norm)
        if np.isinf(expected):
            assert np.isinf(got)
            continue
        assert got <= expected
        assert got == pytest.approx(expected, rel=1e-7, abs=1e-8)
        positive += expected > 1e-6
    assert positive > 20


def test_pruning_changes_nothing_on_a_larger_problem():
    rng = np.random.default_rng(0)
    X, y = rng.random((400, 6)), rng.integers(0, 4, 400)
    G = rng.normal(size=(6, 6))
    Z, labels = rng.random((6, 6)), rng.integers(0, 4, 6)
    Z[:4] = X[:4] + 0.01
    labels[:4] = y[:4]
    got = certified_radii(X, y, Z, labels, G.T @ G, 1)
    expected = [oracles.theorem1(X, y, z, label, G.T @ G, 1) for z, label in zip(Z, labels)]
    np.testing.assert_allclose(got, expected, rtol=1e-8, atol=1e-9)
    assert (got > 0).sum() >= 3


@pytest.mark.parametrize("n_neighbors", [1, 3])
def test_never_exceeds_the_exact_radius(n_neighbors):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, y = rng.random((8, 2)), np.concatenate([[0, 1, 2], rng.integers(0, 3, 5)])
        x, label = rng.random(2), y[rng.integers(8)]
        got = certified_radii(X, y, x[None], [label], None, n_neighbors)[0]
        assert got <= oracles.exact_knn(X, y, x, label, np.eye(2), n_neighbors) + 1e-9


def test_with_one_neighbour_it_bounds_the_exact_radius_of_verify():
    rng = np.random.default_rng(3)
    X, y, Z = rng.random((400, 5)), rng.integers(0, 3, 400), rng.random((50, 5))
    labels = rng.integers(0, 3, 50)
    certified = certified_radii(X, y, Z, labels, None, 1)
    exact = exact_radii(X, y, Z, labels)
    assert (certified <= exact.upper).all()
    assert ((certified > 0) == (exact.lower > 0)).all()


def test_too_few_negatives_means_no_attack_and_too_few_positives_no_proof():
    X, y = [[0.0], [0.1], [0.2], [1.0]], [0, 0, 0, 1]
    assert certified_radii(X, y, [[0.0]], [0], n_neighbors=3)[0] == np.inf
    assert certified_radii(X, y, [[1.0]], [1], n_neighbors=3)[0] == 0.0


def test_even_k_is_refused_since_theorem_1_does_not_hold_there():
    """x = 0, label 1 at {0, −3}, label 0 at {4}: eq. (10) would say 2.0, but at 0.6 the vote ties and is lost."""
    X, y = np.array([[0.0], [-3.0], [4.0]]), np.array([1, 1, 0])
    assert oracles.theorem1(X, y, np.zeros(1), 1, np.eye(1), 2) == pytest.approx(2.0)
    assert oracles.exact_knn(X, y, np.zeros(1), 1, np.eye(1), 2) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="odd K only, got n_neighbors = 2"):
        certified_radii(X, y, [[0.0]], [1], n_neighbors=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n_neighbors=5), "larger than the training set"),
        (dict(bound="theorem7"), "bound must be one of theorem1, plurality, packing; got 'theorem7'"),
        (dict(bound="exact"), "radius_intervals gives exact K-NN radii"),
        (dict(y=["z"]), "unseen in training"),
        (dict(X=[[np.nan]]), "X must be finite"),
        (dict(norm=0), "norm must be 1, 2 or"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    good = dict(X_train=[[0.0], [1.0], [2.0]], y_train=["a", "b", "a"], X=[[0.2]], y=["a"], n_neighbors=1)
    with pytest.raises(ValueError, match=message):
        certified_radii(**{**good, **arguments})


@pytest.mark.parametrize("n_neighbors", [1, 2, 3, 4, 5, 6])
def test_plurality_never_exceeds_brute_force_nor_falls_below_theorem_1(n_neighbors):
    proved = 0
    for seed in range(28):
        rng = np.random.default_rng(100 * n_neighbors + seed)
        D, N, C = int(rng.integers(1, 4)), int(rng.integers(7, 12)), int(rng.integers(2, 5))
        X = rng.integers(0, 3, (N, D)).astype(float) if seed % 3 == 0 else rng.random((N, D))
        y = np.concatenate([np.arange(C), rng.integers(0, C, N - C)])
        x = X[rng.integers(N)] + 0.1 * rng.normal(size=D)
        label = oracles.predict_one(X, y, x, np.eye(D), n_neighbors)
        got = certified_radii(X, y, x[None], [label], None, n_neighbors, "plurality")[0]
        assert got <= oracles.exact_knn(X, y, x, label, np.eye(D), n_neighbors) + 1e-9
        if n_neighbors % 2:
            assert got >= certified_radii(X, y, x[None], [label], None, n_neighbors)[0] - 1e-9
        proved += got > 0
    assert proved > 15


def test_plurality_certifies_a_win_with_fewer_than_k_votes():
    """Label 0 wins 2 : 1 : 1 : 1 among K = 5: Theorem 1 proves nothing, plurality does."""
    X = np.array([[0.0, 0.1], [0.0, -0.1], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [5.0, 5.0], [5.0, 6.0], [-5.0, 5.0]])
    y = [0, 0, 1, 2, 3, 1, 2, 3]
    x = np.zeros((1, 2))
    assert certified_radii(X, y, x, [0], None, 5)[0] == 0.0
    assert certified_radii(X, y, x, [0], None, 5, "plurality")[0] > 0.4
