"""Norms and their duals, the box as seen from a point, and the linear programs of ℓ1 and ℓ∞."""

import numpy as np
import pytest

from arml.solvers.lp import shortest_point
from arml.solvers.perturbation import Box, check_bounds, check_norm
from tests import oracles


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_stretch_bounds_both_norms_and_is_attained(p):
    norm = check_norm(p, 9)
    V = np.random.default_rng(0).normal(size=(500, 9))
    V = np.vstack([V, np.eye(9), np.ones((1, 9))])
    ratios = np.array([np.linalg.norm(v) / norm.length(v) for v in V])
    duals = np.array([norm.dual_length(v) / np.linalg.norm(v) for v in V])
    assert ratios.max() <= norm.stretch * (1 + 1e-12)
    assert duals.max() <= norm.stretch * (1 + 1e-12)
    assert ratios.max() == pytest.approx(norm.stretch)
    if not norm.is_euclidean:
        np.testing.assert_allclose(norm.dual_distances(V[:4], V[4:8])[1, 2], norm.dual_length(V[1] - V[6]))


def test_the_box_holds_the_point_and_what_is_clipped_to_it():
    rng = np.random.default_rng(1)
    for _ in range(200):
        x = rng.normal(0.5, 0.5, size=6)
        box = Box(x, (0.1, 0.8))
        assert (box.low <= 0).all()
        assert (box.high >= 0).all()
        moved = x + box.clip(rng.normal(size=6))
        assert (moved >= np.minimum(0.1, x)).all()
        assert (moved <= np.maximum(0.8, x)).all()
        inside = rng.uniform(box.low, box.high)
        faces = np.arange(12)
        assert (box.normals(faces) @ inside <= box.offsets(faces)).all()
        assert np.linalg.norm(inside) <= box.corner(check_norm(2, 6))


def test_bounds_are_read_or_refused():
    assert check_bounds(None) is None
    assert check_bounds([0, 1]) == (0.0, 1.0)
    for bad in ((1, 1), (0, float("nan")), (0,), "ab", (0, np.inf)):
        with pytest.raises(ValueError, match="bounds must be"):
            check_bounds(bad)


@pytest.mark.parametrize("p", [1.0, np.inf])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_linear_programs_and_their_multipliers(p, scale):
    rng = np.random.default_rng(2)
    solved = 0
    for trial in range(40):
        D, m = int(rng.integers(1, 6)), int(rng.integers(1, 9))
        A = rng.normal(size=(m, D))
        b = scale * (A @ rng.normal(size=D) + 0.1 * rng.random(m))
        low, high = np.full(D, -np.inf), np.full(D, np.inf)
        if trial % 2:
            low, high = -scale * rng.random(D), scale * rng.random(D)
        found = shortest_point(A, b, low, high, p, scale)
        rows = np.vstack([A, -np.eye(D), np.eye(D)]) if trial % 2 else A
        offsets = np.concatenate([b, -low, high]) if trial % 2 else b
        expected = oracles.shortest_point(rows, offsets, 1 if p == 1.0 else np.inf)
        assert (found is None) == (expected is None)
        if found is None:
            continue
        length = np.linalg.norm(expected, p)
        assert np.linalg.norm(found.point, p) == pytest.approx(length, rel=1e-7, abs=1e-9 * scale)
        weights = np.concatenate([found.rows, found.low, found.high]) if trial % 2 else found.rows
        assert (weights >= 0).all()
        if length > 1e-6 * scale:
            dual = np.linalg.norm(weights @ rows, oracles.DUAL[1 if p == 1.0 else np.inf])
            assert -(offsets @ weights) / dual == pytest.approx(length, rel=1e-7)
            solved += 1
    assert solved > 15
