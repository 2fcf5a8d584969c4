"""A lower bound never exceeds the radius: rounding, scale, coincidence, degenerate sizes; false claims are rejected."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.certificate import Certificate
from arml.certify import certificates, certified_radii
from arml.check import CertificateChecker, check_certificate
from arml.verify import exact_radii
from tests import oracles


def crossing(x, i, j):
    """On the line: how far x is from the middle of i and j, without rounding."""
    return abs(Fraction(x) - (Fraction(i) + Fraction(j)) / 2)


@pytest.mark.parametrize("t", [1e-9, 3e-9, 1e-8])
def test_pruning_by_distances_that_are_all_rounding(t):
    """x is t beside its positive at 0, t² below the rounding of distances: √d_i must not be taken for 0 there.

    Otherwise the rival at a, with radius a/2 − t, is bounded by (a − t)/2 and dropped in favour of the other.
    """
    for a in np.linspace(0.5, 1.5, 20):
        X = np.array([0.0, a, -(a - 3.5 * t), 5.0])
        got = certified_radii(X[:, None], [0, 1, 1, 0], [[t]], [0], None, 1)[0]
        assert Fraction(got) <= min(crossing(t, 0.0, X[1]), crossing(t, 0.0, X[2]))


@pytest.mark.parametrize("norm", [2, 1, np.inf])
def test_no_lower_bound_exceeds_the_exact_value_on_the_line(norm):
    """In rational arithmetic, to the last digit: points in general position, nearly coinciding, and of any scale."""
    rng = np.random.default_rng(0)
    positive = 0
    for trial in range(400 if norm == 2 else 120):
        scale = 10.0 ** rng.integers(-9, 10)
        X = np.round(rng.random(7), int(rng.integers(1, 12))) * scale
        X[1] = X[0] + rng.choice([1e-8, 1e-10, 1e-13, 1e-3]) * scale
        X += rng.choice([0.0, 1e3]) * scale
        y = np.array([0, 1, 0, 1, 0, 1, 0])
        x = X[rng.integers(7)] + rng.choice([0.0, 1e-9, 0.1]) * scale
        label = MahalanobisKNN(1).fit(X[:, None], y).predict([[x]])[0]
        gaps = [abs(Fraction(x) - Fraction(v)) for v in X]
        nearest = [min(g for g, c in zip(gaps, y) if (c == label) == same) for same in (True, False)]
        # between neighbours of different labels the prediction changes in their middle
        order = sorted((Fraction(v), c) for v, c in zip(X, y))
        middles = [abs((u + v) / 2 - Fraction(x)) for (u, a), (v, b) in pairwise(order) if a != b]
        true = min(middles) if nearest[0] < nearest[1] else Fraction(0)
        exact = exact_radii(X[:, None], y, [[x]], [label], norm=norm).lower[0]
        certified = certified_radii(X[:, None], y, [[x]], [label], None, 1, norm=norm)[0]
        assert Fraction(exact) <= true, trial
        assert Fraction(certified) <= true, trial
        positive += exact > 0
    assert positive > (150 if norm == 2 else 40)


@pytest.mark.parametrize("scale", [1e-100, 1e-9, 1e-6, 1e6, 1e9, 1e100])
@pytest.mark.parametrize("norm", [2, np.inf])
def test_radii_scale_with_the_features(scale, norm):
    rng = np.random.default_rng(1)
    X, y, Z = rng.random((40, 3)), rng.integers(0, 5, 40), rng.random((10, 3))
    labels = MahalanobisKNN(1).fit(X, y).predict(Z)
    one, two = (exact_radii(s * X, y, s * Z, labels, norm=norm) for s in (1.0, scale))
    np.testing.assert_allclose(two.lower, scale * one.lower, rtol=1e-8)
    assert set(two.status) == {"exact"}
    for bound, K in (("theorem1", 3), ("plurality", 4)):
        radii = [certified_radii(s * X, y, s * Z, labels, None, K, bound, norm=norm) for s in (1.0, scale)]
        np.testing.assert_allclose(radii[1], scale * radii[0], rtol=1e-8)


@pytest.mark.parametrize("scale", [1e-170, 1e-160, 1e-158, 1e-150])
def test_features_whose_squares_underflow_prove_nothing_or_are_refused(scale):
    rng = np.random.default_rng(1)
    X, y, Z = rng.random((30, 3)), rng.integers(0, 2, 30), rng.random((10, 3))
    labels = MahalanobisKNN(1).fit(X, y).predict(Z)
    try:
        radii = certified_radii(scale * X, y, scale * Z, labels, None, 1)
    except ValueError as err:
        assert "rescale" in str(err)
    else:
        assert (radii == 0).all()


@pytest.mark.parametrize("large", [1e3, 1e6])
def test_features_of_very_different_scales(large):
    """Distances resolve less beside a large feature: bounds may fall, never rise."""
    rng = np.random.default_rng(2)
    stretch = np.array([large, 1.0, 1e-3])
    X, y = rng.random((12, 3)) * stretch, rng.integers(0, 2, 12)
    Z = X + 1e-3 * rng.normal(size=X.shape) * stretch
    labels = MahalanobisKNN(1).fit(X, y).predict(Z)
    result = exact_radii(X, y, Z, labels)
    for t in range(12):
        expected = oracles.exact_one_nn(X, y, Z[t], labels[t], np.eye(3))
        assert result.lower[t] <= expected * (1 + 1e-7)


@pytest.mark.parametrize("bound", ["theorem1", "plurality"])
def test_the_whole_training_set_as_neighbours(bound):
    """K = N: the vote never changes. What is claimed must be 0 or true of a right prediction."""
    X, y = np.array([[0.0], [1.0], [2.0], [3.0], [4.0]]), np.array([0, 0, 0, 1, 1])
    radii = certified_radii(X, y, [[0.5], [0.5]], [0, 1], None, 5, bound)
    assert radii[1] == 0.0
    assert radii[0] >= 0.0


@pytest.mark.parametrize("K", [1, 2, 5, 9])
def test_many_classes_of_few_members(K):
    rng = np.random.default_rng(K)
    X, y = rng.random((60, 2)), rng.permutation(np.arange(60) % 25)
    Z = rng.random((40, 2))
    knn = MahalanobisKNN(K).fit(X, y)
    labels = knn.predict(Z)
    issued = certificates(X, y, Z, labels, None, K, "plurality")
    radii = np.array([c.radius for c in issued])
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.column_stack([np.cos(angles), np.sin(angles)]) * (1 - 1e-9)
    moved = Z[:, None] + circle * radii[:, None, None]
    assert (knn.predict(moved.reshape(-1, 2)).reshape(40, 60) == labels[:, None]).all()
    checker = CertificateChecker(X, y)
    assert all(checker.check(z, label, c).accepted for z, label, c in zip(Z, labels, issued))


@pytest.mark.parametrize("gap", [1e-7, 1e-9, 1e-10])
@pytest.mark.parametrize("norm", [1.0, 2.0, np.inf])
def test_the_checker_is_not_fooled_by_nearly_coincident_points(gap, norm):
    """Positive at 0, negative beside it: ‖w_i‖² + ‖w_j‖² − 2 w_iᵀw_j is 0 in floating point, the radius is 1."""
    X, y = [[0.0], [gap], [1.0]], [0, 1, 0]
    claim = Certificate(1e6, 1, "exact", np.array([0]), norm=norm)
    assert not check_certificate(X, y, [-1.0], 0, claim).accepted


def test_the_checker_wants_the_last_digit_proved():
    """0.5 + one rounding is false: the middle of 0 and 1 seen from 0."""
    for bound in ("exact", "theorem1", "plurality"):
        claim = Certificate(float(np.nextafter(0.5, 1.0)), 1, bound, np.array([0]))
        assert not check_certificate([[0.0], [1.0]], [0, 1], [0.0], 0, claim).accepted


def test_multipliers_of_any_size_prove_the_same():
    rng = np.random.default_rng(3)
    X, y, Z = rng.random((80, 4)), rng.integers(0, 3, 80), rng.random((30, 4))
    labels = MahalanobisKNN(1).fit(X, y).predict(Z)
    checker = CertificateChecker(X, y)
    checked = 0
    for z, label, c in zip(Z, labels, exact_radii(X, y, Z, labels).certificates):
        for factor in (1e-300, 1e-150, 1e150, 1e300):
            proofs = tuple(type(p)(p.negative, p.positives, factor * p.multipliers) for p in c.proofs)
            same = Certificate(c.radius, 1, "exact", c.pool, proofs)
            longer = Certificate(c.radius * (1 + 1e-6), 1, "exact", c.pool, proofs)
            assert checker.check(z, label, same).accepted
            assert not checker.check(z, label, longer).accepted
            checked += len(proofs)
    assert checked > 40


@pytest.mark.parametrize("norm", [1.0, 2.0, np.inf])
@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-150, 1e-100, 1e100, 1e150, 1e200])
def test_the_checker_is_not_fooled_by_squares_that_under_or_overflow(scale, norm):
    """Between 0 and 1 the boundary is at 0.5, whatever the metric; between 0 and s at s / 2."""
    claim = Certificate(0.6, 1, "exact", np.array([0]), norm=norm)
    with np.errstate(over="ignore", invalid="ignore"):
        assert not check_certificate([[0.0], [1.0]], [0, 1], [0.0], 0, claim, M=np.array([[scale]])).accepted
        longer = Certificate(0.6 * scale, 1, "exact", np.array([0]), norm=norm)
        if scale < 1e-140:  # features whose squares underflow are refused
            with pytest.raises(ValueError, match="underflows"):
                check_certificate([[0.0], [scale]], [0, 1], [0.0], 0, longer)
        else:
            assert not check_certificate([[0.0], [scale]], [0, 1], [0.0], 0, longer).accepted


@pytest.mark.parametrize("norm", [2, 1, np.inf])
def test_an_accepted_upper_bound_is_attained_up_to_a_tie(norm):
    """On the line, in rational arithmetic: what the checker accepts is short of the boundary by rounding only."""
    rng = np.random.default_rng(4)
    accepted = refused = 0
    for _ in range(200):
        scale = 10.0 ** rng.integers(-9, 10)
        X = np.round(rng.random(7), int(rng.integers(1, 12))) * scale + rng.choice([0.0, 1e3]) * scale
        y = np.array([0, 1, 0, 1, 0, 1, 0])
        x = X[rng.integers(7)] + rng.choice([0.0, 1e-9, 0.1]) * scale
        label = MahalanobisKNN(1).fit(X[:, None], y).predict([[x]])[0]
        found = exact_radii(X[:, None], y, [[x]], [label], norm=norm)
        if found.status[0] == "misclassified" or found.upper[0] < 1e-6 * scale:
            continue
        checker = CertificateChecker(X[:, None], y)
        for factor in (1.0, 1 - 1e-13, 1 - 1e-10, 1 - 1e-6, 0.5):
            delta = factor * found.perturbation[0]
            upper = float(abs(delta[0]))
            claim = Certificate(0.0, 1, "exact", np.array([0]), (), norm, None, upper, -1, delta)
            moved = Fraction(x) + Fraction(delta[0])
            near = [min(abs(moved - Fraction(v)) for v, c in zip(X, y) if (c == label) == own) for own in (True, False)]
            verdict = checker.check([x], label, claim)
            assert verdict.accepted or factor < 1.0
            if verdict.accepted:
                assert near[1] ** 2 - near[0] ** 2 <= Fraction(1e-12 * scale * scale)
            accepted, refused = accepted + verdict.accepted, refused + (not verdict.accepted)
    assert min(accepted, refused) > 100
