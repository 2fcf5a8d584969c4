"""Exact radii in a box and in the ℓ1 and ℓ∞ norms: oracles, closed forms, unreachable cells, certificates."""

from dataclasses import replace

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.check import CertificateChecker
from arml.verify import exact_radii
from tests import oracles

NORMS = [2, 1, np.inf]
BOX = (0.3, 0.7)


def scattered(seed):
    """Training points in and far out of the box, a test point in it or outside in one feature."""
    rng = np.random.default_rng(seed)
    D, N, C = int(rng.integers(1, 7)), int(rng.integers(5, 16)), int(rng.integers(2, 5))
    X = 0.5 + rng.choice([0.3, 0.6, 1.5]) * rng.normal(size=(N, D))
    if seed % 4 == 0:
        X = np.round(4 * X) / 4
    y = np.concatenate([np.arange(C), rng.integers(0, C, N - C)])
    x = 0.3 + 0.4 * rng.random(D)
    if seed % 3 == 0:
        x[0] = 1.0
    G = rng.normal(size=(max(1, D - seed % 3), D))
    M = G.T @ G if seed % 5 else np.eye(D)
    return X, y, x, oracles.predict_one(X, y, x, M, 1), M


@pytest.mark.parametrize("box", [None, BOX])
@pytest.mark.parametrize("norm", NORMS)
def test_equals_one_program_per_negative_and_the_checker_agrees(norm, box):
    unreachable, tightened = 0, 0
    for seed in range(240 if norm == 2 else 70):
        X, y, x, label, M = scattered(seed)
        result = exact_radii(X, y, x[None], [label], M, norm=norm, bounds=box)
        expected = oracles.exact_one_nn(X, y, x, label, M, norm, box)
        lower, upper, certificate = result.lower[0], result.upper[0], result.certificates[0]
        assert result.status[0] == "exact" or upper - lower < 1e-8
        assert lower <= expected * (1 + 1e-9) + 1e-9
        assert lower == pytest.approx(expected, rel=1e-7, abs=1e-8)
        assert upper == pytest.approx(expected, rel=1e-7, abs=1e-8)
        checker = CertificateChecker(X, y, M)
        assert checker.check(x, label, certificate) == (True, "")
        if np.isinf(expected):
            unreachable += 1
            assert result.negative[0] == -1
            assert np.isnan(result.perturbation[0]).all()
            assert not checker.check(x, label, replace(certificate, bounds=None)).accepted
            continue
        assert np.linalg.norm(result.perturbation[0], norm) == upper
        if lower > 1e-6:
            assert not checker.check(x, label, replace(certificate, radius=lower * (1 + 1e-6))).accepted
            assert not checker.check(x, label, replace(certificate, radius=np.inf)).accepted
        if box is not None:
            end = x + result.perturbation[0]
            assert (end >= np.minimum(box[0], x)).all()
            assert (end <= np.maximum(box[1], x)).all()
            tightened += upper > oracles.exact_one_nn(X, y, x, label, M, norm) * (1 + 1e-6) if norm == 2 else 0
    assert unreachable == 0 if box is None else unreachable > 5
    assert tightened > 15 or box is None or norm != 2


def test_tampered_boxed_certificates_are_rejected():
    rejected = dict.fromkeys(["no box", "wider box", "face", "norm", "faces lost"], 0)
    for seed in range(150):
        X, y, x, label, M = scattered(seed)
        certificate = exact_radii(X, y, x[None], [label], M, bounds=BOX).certificates[0]
        checker = CertificateChecker(X, y, M)
        with_faces = [p for p in certificate.proofs if p.faces.size]
        if not with_faces or not 1e-6 < certificate.radius < np.inf:
            continue
        turned = [replace(p, faces=(p.faces + X.shape[1]) % (2 * X.shape[1])) for p in certificate.proofs]
        lost = [replace(p, faces=p.faces[:0], face_multipliers=p.face_multipliers[:0]) for p in certificate.proofs]
        for name, change in (
            ("no box", dict(bounds=None)),
            ("wider box", dict(bounds=(-9.0, 9.0))),
            ("norm", dict(norm=np.inf)),
            ("face", dict(proofs=tuple(turned))),
            ("faces lost", dict(proofs=tuple(lost))),
        ):
            rejected[name] += not checker.check(x, label, replace(certificate, **change)).accepted
    assert min(rejected.values()) >= 5, rejected


@pytest.mark.parametrize(("norm", "radius"), [(2, 1 / np.sqrt(2)), (1, 1.0), (np.inf, 0.5)])
def test_the_bisector_of_a_square(norm, radius):
    """From (0, 0) to the bisector of (0, 0) and (1, 1)."""
    result = exact_radii([[0.0, 0.0], [1.0, 1.0]], [0, 1], [[0.0, 0.0]], [0], norm=norm)
    assert result.lower[0] == pytest.approx(radius, rel=1e-9)
    assert result.upper[0] == pytest.approx(radius, rel=1e-9)


def test_a_wall_makes_the_way_longer_and_a_narrow_box_impossible():
    """The boundary 1.6 a + 2 b = 3.28 is met at (0.8, 1) if nothing is in the way."""
    X, y, x = [[0.0, 0.0], [1.6, 2.0]], [0, 1], [[0.0, 0.0]]
    free = exact_radii(X, y, x, [0])
    narrow = exact_radii(X, y, x, [0], bounds=(0.0, 0.95))
    assert free.upper[0] == pytest.approx(np.sqrt(6.56) / 2)
    assert narrow.upper[0] == pytest.approx(np.hypot(0.95, (3.28 - 2 * 0.95) / 1.6))
    closed = exact_radii(X, y, x, [0], bounds=(0.0, 0.5))
    assert (closed.lower[0], closed.upper[0], closed.status[0]) == (np.inf, np.inf, "exact")


def test_the_box_is_widened_to_hold_the_point():
    """x = 1.5 is outside [0, 1]; the boundary at 2.5 stays out of reach, the one at 0.25 does not."""
    X, y = [[0.0], [0.5], [1.5], [3.5]], [1, 0, 0, 1]
    assert exact_radii(X, y, [[1.5]], [0]).upper[0] == pytest.approx(1.0)
    assert exact_radii(X, y, [[1.5]], [0], bounds=(0.0, 1.0)).upper[0] == pytest.approx(1.25)
    assert exact_radii(X, y, [[1.5]], [0], bounds=(0.3, 1.0)).upper[0] == np.inf


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("box", [None, (0.0, 1.0), (0.35, 0.65)])
def test_a_time_limit_gives_honest_intervals(norm, box):
    rng = np.random.default_rng(6)
    X, y, Z = rng.random((400, 8)), rng.integers(0, 2, 400), 0.35 + 0.3 * rng.random((12, 8))
    labels = MahalanobisKNN(1).fit(X, y).predict(Z)
    exact = exact_radii(X, y, Z, labels, norm=norm, bounds=box)
    hurried = exact_radii(X, y, Z, labels, norm=norm, bounds=box, time_limit=1e-9)
    assert set(exact.status) == {"exact"}
    assert (hurried.lower <= exact.lower + 1e-9).all()
    assert (hurried.upper >= exact.upper - 1e-9).all()
    assert "bounded" in hurried.status
    checker = CertificateChecker(X, y)
    for x, label, certificate in zip(Z, labels, hurried.certificates):
        assert checker.check(x, label, certificate).accepted


@pytest.mark.parametrize("norm", [1, np.inf])
def test_norms_are_ordered(norm):
    rng = np.random.default_rng(8)
    X, y, Z = rng.random((150, 4)), rng.integers(0, 3, 150), rng.random((20, 4))
    labels = MahalanobisKNN(1).fit(X, y).predict(Z)
    other, two = (exact_radii(X, y, Z, labels, norm=p).upper for p in (norm, 2))
    low, high = (two, 2 * two) if norm == 1 else (two / 2, two)
    assert (other >= low * (1 - 1e-9)).all()
    assert (other <= high * (1 + 1e-9)).all()
