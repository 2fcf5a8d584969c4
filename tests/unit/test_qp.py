"""The minimum-norm point of a polyhedron against an independent solver."""

import itertools

import numpy as np
import pytest

from arml.solvers.qp import Infeasible, MinNormPoint
from tests import oracles


def solve(A, b, tolerance=1e-12):
    solver = MinNormPoint(A.shape[1])
    norms = [0.0]
    for _ in range(10 * len(b) + 10):
        violation = A @ solver.point - b
        worst = int(violation.argmax())
        if violation[worst] <= tolerance * max(1.0, np.abs(b).max()):
            return solver, norms
        if not solver.add(A[worst], float(b[worst]), worst):
            return solver, norms
        norms.append(solver.norm)
    raise AssertionError("no end")


@pytest.mark.parametrize("seed", range(8))
def test_equals_an_independent_solver(seed):
    rng = np.random.default_rng(seed)
    compared = 0
    for trial in range(150):
        D, m = rng.integers(1, 8), rng.integers(1, 20)
        A = rng.normal(size=(m, D))
        b = A @ rng.normal(size=D) + 0.1 * np.abs(rng.normal(size=m))
        if trial % 3 == 0:
            A[m // 2 :], b[m // 2 :] = A[: m - m // 2], b[: m - m // 2]
        expected = np.linalg.norm(oracles.min_norm_point(A, b))
        solver, norms = solve(A, b)
        assert solver.norm == pytest.approx(expected, rel=1e-7, abs=1e-9)
        assert all(after >= before - 1e-12 for before, after in itertools.pairwise(norms))
        compared += expected > 0
    assert compared > 50


def test_multipliers_prove_the_norm():
    rng = np.random.default_rng(1)
    A = rng.normal(size=(12, 5))
    b = A @ rng.normal(size=5)
    solver, _ = solve(A, b)
    keys, multipliers, normals, offsets = solver.dual
    proved = -(offsets @ multipliers) / np.linalg.norm(normals.T @ multipliers)
    assert (multipliers >= 0).all()
    assert proved == pytest.approx(solver.norm, rel=1e-10)
    np.testing.assert_allclose(solver.point, -normals.T @ multipliers, atol=1e-10)
    np.testing.assert_array_equal(normals, A[keys])
    np.testing.assert_array_equal(offsets, b[keys])


def test_more_active_half_spaces_than_there_was_room_for():
    """A tangent polyhedron around (1, …, 1): all D half-spaces δ_k ≥ 1 are active."""
    solver = MinNormPoint(40)
    for k in range(40):
        assert solver.add(-np.eye(40)[k], -1.0, k)
    assert solver.norm == pytest.approx(np.sqrt(40))
    np.testing.assert_allclose(solver.dual.multipliers, 1.0)


def test_contradiction_is_infeasible():
    solver = MinNormPoint(1)
    assert solver.add(np.array([1.0]), -1.0, 0)
    with pytest.raises(Infeasible):
        solver.add(np.array([-1.0]), -1.0, 1)


def test_impossible_half_space_without_a_normal():
    with pytest.raises(Infeasible):
        MinNormPoint(2).add(np.zeros(2), -1.0, 0)
