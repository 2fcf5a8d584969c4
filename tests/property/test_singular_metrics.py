"""Nearly singular M: what MahalanobisMetric.from_matrix documents is what happens, and no attack means radius inf.

The rule: eigenvalues below −1e-6 of the largest are refused; from there up to D · 2.2e-16 of the largest they count as
zero; those above keep a row of G, however small.
"""

import numpy as np
import pytest

from arml import MahalanobisKNN, MahalanobisMetric
from arml.attacks import boundary_attack
from arml.certify import certified_radii
from arml.verify import exact_radii
from tests import oracles

EPS = float(np.finfo(np.float64).eps)


def float32_metric(rng, D, rank, smallest):
    """GᵀG of a given rank in float32, its smallest eigenvalue pushed to ``smallest`` of the largest; and the PSD M."""
    G = rng.normal(size=(rank, D)).astype(np.float32)
    M = (G.T @ G).astype(np.float64)
    values, vectors = np.linalg.eigh((M + M.T) / 2)
    values[: D - rank] = smallest * values[-1] * rng.uniform(0.1, 1.0, D - rank)
    values[0] = smallest * values[-1]
    near = (vectors * values) @ vectors.T
    return (near + near.T) / 2, (vectors[:, D - rank :] * values[D - rank :]) @ vectors[:, D - rank :].T


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    ("smallest", "rows"),
    [(-0.9e-6, 2), (-1e-8, 2), (-1e-15, 2), (0.0, 2), (0.5 * 3 * EPS, 2), (30 * EPS, 3), (1e-8, 3), (1e-2, 3)],
)
def test_which_eigenvalues_count_as_zero(smallest, rows, scale):
    metric = MahalanobisMetric.from_matrix(scale * np.diag([1.0, 0.5, smallest]))
    assert metric.components.shape == (rows, 3)
    np.testing.assert_allclose(metric.matrix, scale * np.diag([1.0, 0.5, max(0.0, smallest)]), atol=1e-15 * scale)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_a_truly_negative_eigenvalue_is_refused(scale):
    with pytest.raises(ValueError, match="positive semi-definite, but its eigenvalues run from"):
        MahalanobisMetric.from_matrix(scale * np.diag([1.0, 0.5, -1.1e-6]))


def test_radii_under_a_float32_metric_are_those_of_the_clipped_one():
    """Smallest eigenvalue −1e-8 of the largest: exact radius and certificate equal the oracles' under the PSD M."""
    rng = np.random.default_rng(0)
    positive = 0
    for _ in range(150):
        D = int(rng.integers(2, 6))
        near, clipped = float32_metric(rng, D, int(rng.integers(1, D)), -1e-8)
        assert np.linalg.eigvalsh(near)[0] < -1e-9 * np.linalg.eigvalsh(near)[-1]
        X, y, x = rng.random((14, D)), np.r_[0, 1, rng.integers(0, 3, 12)], rng.random(D)
        label = oracles.predict_one(X, y, x, clipped, 1)
        exact = exact_radii(X, y, x[None], [label], near)
        expected = oracles.exact_one_nn(X, y, x, label, clipped)
        assert exact.lower[0] == pytest.approx(expected, rel=1e-7, abs=1e-9)
        assert exact.upper[0] == pytest.approx(expected, rel=1e-7, abs=1e-9)
        certified = certified_radii(X, y, x[None], [label], near, 3)[0]
        assert certified == pytest.approx(oracles.theorem1(X, y, x, label, clipped, 3), rel=1e-7, abs=1e-9)
        assert MahalanobisKNN(1, near).fit(X, y).predict(x[None])[0] == label
        positive += expected > 0.01
    assert positive > 100


def test_a_move_the_metric_cannot_see_is_no_attack():
    """M weighs the first feature only; the other one, in which the classes differ, is noise of float32."""
    X, y, x = [[0.0, 0.0], [1.0, 50.0], [1.0, -50.0]], [0, 1, 1], [[0.0, 7.0]]
    for M in (np.diag([1.0, -1e-8]), np.diag([1.0, 0.0])):
        assert exact_radii(X, y, x, [0], M).upper[0] == pytest.approx(0.5)
        assert certified_radii(X, y, x, [0], M, 1)[0] == pytest.approx(0.5)


def test_points_that_the_metric_cannot_tell_apart_tie():
    X, y = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 1, 1]
    result = exact_radii(X, y, [[0.2, 0.0]], [0], np.diag([1.0, -1e-8]))
    assert (result.lower[0], result.upper[0], result.status[0]) == (0.0, 0.0, "exact")
    assert certified_radii(X, y, [[0.2, 0.0]], [0], np.diag([1.0, -1e-8]), 1)[0] == 0.0


def test_no_feasible_attack_in_the_box_means_inf():
    """The oracle, which adds the faces of the box to the half-spaces of every negative, finds no feasible program."""
    rng = np.random.default_rng(1)
    without = 0
    for _ in range(120):
        D = int(rng.integers(2, 5))
        near, clipped = float32_metric(rng, D, int(rng.integers(1, D)), -1e-8)
        X, y = 0.5 + rng.normal(size=(8, D)), np.r_[0, 0, 0, 0, 1, 0, 1, 2]
        X[y == 0] = 0.5 + 0.2 * rng.normal(size=(5, D))
        x = rng.uniform(0.4, 0.6, D)
        label = oracles.predict_one(X, y, x, clipped, 1)
        result = exact_radii(X, y, x[None], [label], near, bounds=(0.3, 0.7))
        expected = oracles.exact_one_nn(X, y, x, label, clipped, bounds=(0.3, 0.7))
        if np.isfinite(expected):
            assert result.upper[0] == pytest.approx(expected, rel=1e-7, abs=1e-9)
            continue
        without += 1
        assert (result.lower[0], result.upper[0], result.status[0]) == (np.inf, np.inf, "exact")
        assert result.negative[0] == -1
        assert np.isnan(result.perturbation[0]).all()
        assert np.isfinite(exact_radii(X, y, x[None], [label], near).upper[0])  # it is the box that forbids
    assert without >= 20


@pytest.mark.parametrize("bound", ["theorem1", "plurality"])
def test_too_few_rivals_to_win_a_vote_means_inf_and_no_attack_is_found(bound):
    """One rival of label 1, K = 3: wherever x goes, two of its neighbours have label 0."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        near, clipped = float32_metric(rng, 3, 2, -1e-8)
        X, y, x = rng.random((6, 3)), np.array([0, 0, 1, 0, 0, 0]), rng.random((1, 3))
        assert certified_radii(X, y, x, [0], near, 3, bound)[0] == np.inf
        far = x + 10.0 ** rng.uniform(-2, 3, (50, 1)) * rng.normal(size=(50, 3))
        assert all(oracles.predict_one(X, y, z, clipped, 3) == 0 for z in [*far, *X])
        attack = boundary_attack(X, y, x, [0], near, 3, steps=20, bounds=(0.0, 1.0))
        assert (attack.norm[0], attack.status[0]) == (np.inf, "unsolved")
