"""Ties are local: a far row, an offset or a scale changes nothing for the others, and no two claims contradict."""

import warnings
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import MinMaxScaler

from arml import MahalanobisKNN
from arml.attacks import boundary_attack, geometric_attack
from arml.certificate import Certificate
from arml.certify import certificates
from arml.check import CertificateChecker
from arml.intervals import radius_intervals
from arml.knn.mahalanobis import MahalanobisMetric
from arml.knn.reference import ReferenceSet
from arml.verify import exact_radii


def square(far, seed=0, n=500):
    """Points of the unit square, classes on both sides of its diagonal, and one row far out."""
    rng = np.random.default_rng(seed)
    X, T = rng.random((n, 2)), rng.random((n, 2))
    y, t = (X.sum(axis=1) > 1).astype(int), (T.sum(axis=1) > 1).astype(int)
    return np.vstack([X, [[far, far]]]), np.append(y, 1), T, t


def fitted(far, X, y, *, row=500, **options):
    """The classifier; a far row is warned of by its number."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        knn = MahalanobisKNN(1, **options).fit(X, y)
    assert [f"training row {row} lies" in str(w.message) for w in caught] == ([True] if far else [])
    return knn


@pytest.mark.parametrize("far", [1e6, 1e7, 1e9, 1e12])
def test_one_far_row_leaves_the_others_their_neighbours(far):
    X, y, T, t = square(far)
    ours, theirs = fitted(True, X, y), KNeighborsClassifier(1, algorithm="kd_tree").fit(X, y)
    np.testing.assert_array_equal(ours.kneighbors(T)[1], theirs.kneighbors(T)[1])
    assert ours.score(T, t) == theirs.score(T, t) > 0.95


def test_no_far_row_no_warning():
    X, y, _, _ = square(3.0)
    fitted(False, X, y)


def test_a_sentinel_row_under_minmax_leaves_the_others_their_neighbours():
    """All features of one row are 1e9, a mark of missing values: the others lie within a billionth of [0, 1]."""
    rng = np.random.default_rng(1)
    X, T = rng.normal(size=(400, 6)), rng.normal(size=(300, 6))
    y, t = (X[:, 0] > 0).astype(int), (T[:, 0] > 0).astype(int)
    X[123] = 1e9
    ours = fitted(True, X, y, row=123, scaling="minmax")
    scaler = MinMaxScaler().fit(X)
    theirs = KNeighborsClassifier(1, algorithm="kd_tree").fit(scaler.transform(X), y)
    assert ours.score(T, t) == theirs.score(scaler.transform(T), t) > 0.8


def test_a_far_row_changes_no_radius_and_no_attack():
    X, y, T, _ = square(1e7)
    Z, G = T[:30], np.array([[2.0, 0.3], [0.1, 0.5]])
    for M in (None, G.T @ G):
        labels = MahalanobisKNN(1, M).fit(X[:-1], y[:-1]).predict(Z)
        with_it, without = (exact_radii(*data, Z, labels, M) for data in ((X, y), (X[:-1], y[:-1])))
        assert set(with_it.status) == {"exact"}
        np.testing.assert_allclose(with_it.lower, without.lower, rtol=1e-8)
        np.testing.assert_allclose(with_it.upper, without.upper, rtol=1e-8)
        for bound, K in (("theorem1", 3), ("plurality", 4), ("packing", 3)):
            radii = [
                [c.radius for c in certificates(*data, Z, labels, M, K, bound)] for data in ((X, y), (X[:-1], y[:-1]))
            ]
            np.testing.assert_allclose(*radii, rtol=1e-8)
        both = [radius_intervals(*data, Z[:8], labels[:8], M, 3) for data in ((X, y), (X[:-1], y[:-1]))]
        np.testing.assert_allclose(both[0].lower, both[1].lower, rtol=1e-8)
        np.testing.assert_allclose(both[0].upper, both[1].upper, rtol=1e-8)
        knn = fitted(True, X, y, metric=M)
        for attack, options in ((geometric_attack, {}), (boundary_attack, {"steps": 200})):
            found = attack(X, y, Z[:8], labels[:8], M, 1, **options)
            assert (knn.predict(found.adversarial) != labels[:8]).all()
            assert (found.norm >= with_it.lower[:8]).all()


def test_two_clusters_far_apart_are_each_as_exact_as_alone():
    """Wherever the center is, it is far from one of them: there, what decides is measured from differences."""
    rng = np.random.default_rng(2)
    A, Z = rng.random((60, 3)), rng.random((20, 3))
    y = (A[:, 0] + 0.2 * rng.random(60) > 0.6).astype(int)
    offset = 2.0**30  # sums with it lose the last 30 bits or so of A and Z, which are taken off here
    A, Z = (A + offset) - offset, (Z + offset) - offset
    alone = MahalanobisKNN(1).fit(A, y)
    labels = alone.predict(Z)
    expected = exact_radii(A, y, Z, labels)
    for M in (None, np.diag([1.0, 4.0, 9.0])):
        expected = exact_radii(A, y, Z, MahalanobisKNN(1, M).fit(A, y).predict(Z), M)
        for first in (A, A + offset):
            other = A + offset if first is A else A
            X, both = np.vstack([first, other]), np.append(y, y)
            here = Z if first is A else Z + offset
            knn = MahalanobisKNN(1, M).fit(X, both)
            labels = knn.predict(here)
            np.testing.assert_array_equal(knn.kneighbors(here)[1], MahalanobisKNN(1, M).fit(A, y).kneighbors(Z)[1])
            found = exact_radii(X, both, here, labels, M)
            assert (found.lower <= expected.upper).all() and (found.upper >= expected.lower).all()
            np.testing.assert_allclose(found.upper, expected.upper, rtol=1e-6)
            np.testing.assert_allclose(found.lower, expected.lower, rtol=1e-6)


def stiff(seed=4, n=300):
    """The metric weighs the first of ten features a thousand times more, where points differ a thousand times less."""
    rng = np.random.default_rng(seed)
    X, Z = rng.random((n, 10)), rng.random((40, 10))
    y = (X[:, 1] + X[:, 2] + 0.1 * rng.random(n) > 1).astype(int)
    G = rng.normal(size=(10, 10))
    for points in (X, Z):
        points[:, 0] *= 2.0**-10
    return X, y, Z, G * np.r_[2.0**10, np.ones(9)]


def test_a_stiff_metric_costs_no_more_than_the_same_points_scaled(monkeypatch):
    """What rounding takes follows the images of points, not how long features would be along the stiffest direction."""
    X, y, Z, G = stiff()
    metric, scaled = MahalanobisMetric(G), MahalanobisMetric(G * np.r_[2.0**-10, np.ones(9)])
    scale = np.r_[2.0**10, np.ones(9)]
    asked = []
    normals = ReferenceSet.normals
    monkeypatch.setattr(ReferenceSet, "normals", lambda *a: asked.append(len(np.atleast_1d(a[1]))) or normals(*a))
    knn, same = MahalanobisKNN(5, metric).fit(X, y), MahalanobisKNN(5, scaled).fit(X * scale, y)
    np.testing.assert_array_equal(knn.kneighbors(Z)[1], same.kneighbors(Z * scale)[1])
    labels = knn.predict(Z)
    found, checker = certificates(X, y, Z, labels, metric, 5), CertificateChecker(X, y, metric)
    assert sum(asked) == 0, "no pair is so doubtful that it must be measured"
    assert all(checker.check(z, label, c).accepted for z, label, c in zip(Z, labels, found))
    assert sum(c.radius > 0 for c in found) > 20
    labels = MahalanobisKNN(1, metric).fit(X, y).predict(Z)
    exact = exact_radii(X, y, Z, labels, metric)
    assert set(exact.status) == {"exact"}
    assert all(checker.check(z, label, c).accepted for z, label, c in zip(Z, labels, exact.certificates))
    moved = MahalanobisKNN(1, metric).fit(X, y).predict(Z + exact.perturbation * (1 + 1e-6))
    assert (moved != labels).all()


# ------------------------------------------------------------------------ no two claims that contradict each other


def contradictions(X, y, Z, labels, norm):
    """True certificates, and the claims that contradict them: all of these must be rejected."""
    checker, result = CertificateChecker(X, y), exact_radii(X, y, Z, labels, norm=norm)
    tried = 0
    for z, label, c in zip(Z, labels, result.certificates):
        assert checker.check(z, label, c) == (True, "")
        if not 0.0 < c.radius < np.inf:
            continue
        ways = [np.zeros(z.size)]
        for share in (0.5, 1 - 1e-3, 1 - 1e-6):
            ways.append(share * c.perturbation * c.radius / c.upper)
        for delta in ways:
            length = float(np.linalg.norm(delta, norm))
            for negative in (-1, c.negative):
                claim = Certificate(
                    0.0, 1, "exact", c.pool, norm=float(norm), upper=length, negative=negative, perturbation=delta
                )
                assert not checker.check(z, label, claim).accepted, (c.radius, length)
                tried += 1
        assert not checker.check(z, label, replace(c, radius=c.upper * (1 + 1e-6), upper=np.inf)).accepted
    return tried


@pytest.mark.parametrize("norm", [1, np.inf])
def test_near_twins_of_two_classes_in_many_dimensions(norm):
    """Two points 1e-6 apart: what separates them is far below the rounding of long vectors' squares."""
    rng = np.random.default_rng(3)
    D, tried = 784, 0
    for _ in range(4):
        X = rng.random((2, D))
        X[1] = X[0] + 1e-6 * np.eye(D)[0]
        Z = X[:1] + np.array([[t] + [0.0] * (D - 1) for t in (-2.38, -0.5, 0.7)])
        labels = [0, 0, 1]
        tried += contradictions(X, np.array([0, 1]), Z, labels, norm)
    assert tried >= 60


def test_the_plane_with_one_row_at_a_million():
    X, y, T, _ = square(1e6, n=167)
    Z = np.vstack([T, X[:20] * (1 - 1e-9)])
    assert contradictions(X, y, Z, fitted(True, X, y, row=167).predict(Z), 2) > 1000


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e8])
def test_on_the_line_both_sides_hold_in_rational_arithmetic(offset):
    """Lower is at most, and upper at least but for 1e-9 of the local distances, the exact way to the boundary."""
    rng = np.random.default_rng(4)
    for _ in range(60):
        X = offset + np.round(rng.random(6), 3)
        X[5] = 1e7
        y = np.array([0, 1, 0, 1, 1, 0])
        x = X[rng.integers(5)] + rng.choice([1e-4, 0.1, 0.0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            label = MahalanobisKNN(1).fit(X[:, None], y).predict([[x]])[0]
        result = exact_radii(X[:, None], y, [[x]], [label])
        if result.status[0] == "misclassified":
            continue
        order = sorted((Fraction(v), c) for v, c in zip(X.tolist(), y.tolist()))
        middles = [abs((u + v) / 2 - Fraction(x)) for (u, a), (v, b) in pairwise(order) if a != b]
        true, near = min(middles), min(abs(Fraction(x) - Fraction(v)) for v in X.tolist())
        assert Fraction(float(result.lower[0])) <= true
        assert float(result.upper[0]) >= float(true) - 1e-9 * float(near + true)


# ------------------------------------------------------------------------ scales


@pytest.mark.parametrize("scale", [1e-150, 1e-138, 1e-130, 1e130, 1e140, 1e150])
@pytest.mark.parametrize("norm", [2, 1, np.inf])
def test_radii_and_certificates_at_any_scale_or_refused(scale, norm):
    rng = np.random.default_rng(5)
    X, y, Z = rng.random((40, 3)), rng.integers(0, 3, 40), rng.random((10, 3))
    for M in (None, np.diag([1.0, 4.0, 2.0])):
        labels = MahalanobisKNN(1, M).fit(X, y).predict(Z)
        small = exact_radii(X, y, Z, labels, M, norm=norm)
        if scale < 1e-140:
            with pytest.raises(ValueError, match="rescale"):
                exact_radii(scale * X, y, scale * Z, labels, M, norm=norm)
            continue
        found = exact_radii(scale * X, y, scale * Z, labels, M, norm=norm)
        assert set(found.status) == {"exact"}
        np.testing.assert_allclose(found.lower, scale * small.lower, rtol=1e-8)
        np.testing.assert_allclose(found.upper, scale * small.upper, rtol=1e-8)
        np.testing.assert_array_equal(MahalanobisKNN(1, M).fit(scale * X, y).predict(scale * Z), labels)
        checker = CertificateChecker(scale * X, y, M)
        issued = [*found.certificates, *certificates(scale * X, y, scale * Z, labels, M, 3, "plurality", norm=norm)]
        for z, label, c in zip([*Z, *Z], [*labels, *labels], issued):
            assert checker.check(scale * z, label, c) == (True, "")
            if c.radius > 0:
                longer = replace(c, radius=c.radius * (1 + 1e-6), upper=np.inf)
                assert not checker.check(scale * z, label, longer).accepted


@pytest.mark.parametrize(("x", "m"), [(1e-120, 1e240), (1e-135, 1e270), (1e120, 1e-240), (1e130, 1e-270)])
def test_metrics_that_make_up_for_the_scale(x, m):
    """Between 0 and x the boundary is at x / 2, whatever the metric."""
    M, X, z = np.array([[m]]), [[0.0], [x]], [[0.3 * x]]
    result = exact_radii(X, [0, 1], z, [0], M)
    assert result.status[0] == "exact"
    np.testing.assert_allclose(result.lower, 0.2 * x, rtol=1e-9)
    assert CertificateChecker(X, [0, 1], M).check(z[0], 0, result.certificates[0]) == (True, "")
    for bound in ("theorem1", "plurality", "packing"):
        np.testing.assert_allclose(certificates(X, [0, 1], z, [0], M, 1, bound)[0].radius, 0.2 * x, rtol=1e-9)
    line = x * np.array([[0.0], [0.1], [1.0], [1.1], [2.0]])
    sides = radius_intervals(line, [0, 0, 1, 1, 1], z, [0], M, 3)
    np.testing.assert_allclose([sides.lower, sides.upper], 0.25 * x, rtol=1e-6)  # where 1.1 is as near as 0
