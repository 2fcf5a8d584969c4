"""The radius as a function of the prototypes: values by slow oracles, derivatives by finite differences."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from arml.prototypes import objective
from arml.prototypes.images import shifted, turned
from arml.prototypes.objective import deciding, hinge, radii, soft_minimum
from tests import oracles

Array = NDArray[Any]


def problem(seed: int, n: int = 6, sizes: tuple[int, ...] = (3, 1, 4), width: int = 4) -> tuple[Array, ...]:
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    return rng.normal(size=(len(codes), width)), codes, rng.normal(size=(n, width)), rng.integers(len(sizes), size=n)


def equation_9(P: Array, codes: Array, x: Array, y: int, M: Array) -> float:
    """min over other prototypes of max over own, by loops."""

    def bisector(i: int, j: int) -> float:
        gain = (x - P[j]) @ M @ (x - P[j]) - (x - P[i]) @ M @ (x - P[i])
        return float(gain / (2 * np.linalg.norm(M @ (P[i] - P[j]))))

    own, others = np.flatnonzero(codes == y), np.flatnonzero(codes != y)
    return min(max(bisector(i, j) for i in own) for j in others)


def exact(P: Array, codes: Array, x: Array, y: int, M: Array) -> float:
    """Eq. (13) by the oracle's quadratic programs; for a point that its class wins."""
    own, others = np.flatnonzero(codes == y), np.flatnonzero(codes != y)
    lengths = []
    for j in others:
        A = (P[own] - P[j]) @ M
        b = [((x - P[i]) @ M @ (x - P[i]) - (x - P[j]) @ M @ (x - P[j])) / 2 for i in own]
        delta = oracles.min_norm_point(A, b)
        if delta is not None:
            lengths.append(float(np.linalg.norm(delta)))
    return min(lengths)


def _exact_of(codes: Array, x: Array, y: int, P: Array) -> float:
    return exact(P, codes, x, y, np.eye(P.shape[1]))


def tensors(*arrays: Array) -> list[torch.Tensor]:
    return [torch.tensor(array) for array in arrays]


def numeric(function: Callable[[Array], float], at: Array, step: float = 1e-6) -> Array:
    out = np.zeros_like(at)
    for index in np.ndindex(*at.shape):
        ends = []
        for sign in (1, -1):
            moved = at.copy()
            moved[index] += sign * step
            ends.append(function(moved))
        out[index] = (ends[0] - ends[1]) / (2 * step)
    return out


@pytest.mark.parametrize("rank", [None, 4, 2])
@pytest.mark.parametrize("seed", range(4))
def test_equals_equation_9_by_loops(seed: int, rank: int | None) -> None:
    P, codes, x, y = problem(seed)
    G = None if rank is None else np.random.default_rng(seed).normal(size=(rank, P.shape[1]))
    M = np.eye(P.shape[1]) if G is None else G.T @ G
    given, metric = tensors(P, codes, x, y), None if G is None else torch.tensor(G)
    found = radii(given[0], given[2], deciding(*given, metric), metric)[:, 0].numpy()
    np.testing.assert_allclose(found, [equation_9(P, codes, a, b, M) for a, b in zip(x, y)], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("metric", [False, True])
def test_gradient_is_that_of_equation_9(metric: bool) -> None:
    P, codes, x, y = problem(7)
    G = np.random.default_rng(7).normal(size=(3, 4)) if metric else None
    learned = torch.tensor(P, requires_grad=True)
    components = None if G is None else torch.tensor(G, requires_grad=True)
    rest = tensors(codes, x, y)
    radii(learned, rest[1], deciding(learned, *rest, components), components)[:, 0].sum().backward()

    def oracle(prototypes: Array, components: Array | None) -> float:
        M = np.eye(4) if components is None else components.T @ components
        return sum(equation_9(prototypes, codes, a, b, M) for a, b in zip(x, y))

    np.testing.assert_allclose(learned.grad.numpy(), numeric(lambda p: oracle(p, G), P), atol=1e-6)
    if G is not None and components is not None:
        np.testing.assert_allclose(components.grad.numpy(), numeric(lambda g: oracle(P, g), G), atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_exact_lies_between_equation_9_and_the_radius_and_reaches_it(seed: int) -> None:
    P, codes, x, _ = problem(seed, n=12, sizes=(5, 5))
    y = np.array([codes[np.square(P - a).sum(axis=1).argmin()] for a in x])
    M = np.eye(4)
    given = tensors(P, codes, x, y)
    single = radii(given[0], given[2], deciding(*given))[:, 0].numpy()
    found = radii(given[0], given[2], deciding(*given, n_rivals=5, exact=True)).min(dim=1).values.numpy()
    true = np.array([exact(P, codes, a, b, M) for a, b in zip(x, y)])
    assert (found >= single - 1e-12).all()
    assert (found <= true * (1 + 1e-9)).all()
    np.testing.assert_allclose(found, true, rtol=2e-2)


def test_gradient_of_the_exact_radius_is_that_of_the_optimum() -> None:
    """Frozen multipliers: the derivative is right where they are the optimum's (envelope theorem)."""
    compared = 0
    for seed in range(12):
        P, codes, x, _ = problem(seed, n=1, sizes=(5, 5))
        y = np.array([codes[np.square(P - x[0]).sum(axis=1).argmin()]])
        learned, rest = torch.tensor(P, requires_grad=True), tensors(codes, x, y)
        value = radii(learned, rest[1], deciding(learned, *rest, n_rivals=5, exact=True)).min()
        if value.item() < 1.02 * equation_9(P, codes, x[0], int(y[0]), np.eye(4)):
            continue  # one own prototype decides: eq. (9)
        (gradient,) = torch.autograd.grad(value, learned)
        expected = numeric(functools.partial(_exact_of, codes, x[0], int(y[0])), P, 1e-5)
        np.testing.assert_allclose(gradient.numpy(), expected, atol=2e-2 * np.abs(expected).max())
        compared += 1
    assert compared >= 3


def test_many_prototypes_are_compared_without_a_table_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    given = tensors(*problem(2, n=9, sizes=(6, 7)))
    found = [deciding(*given, n_own=4, n_others=5, n_rivals=2, exact=True)]
    monkeypatch.setattr(objective, "_TABLE", 0)
    found.append(deciding(*given, n_own=4, n_others=5, n_rivals=2, exact=True))
    assert (found[0].own == found[1].own).all() and (found[0].others == found[1].others).all()
    torch.testing.assert_close(found[0].weights, found[1].weights)


def test_coinciding_prototypes_of_two_classes_give_no_nan() -> None:
    P = torch.tensor([[1.0, 0.0], [1.0, 0.0]], requires_grad=True)
    codes, x = torch.tensor([0, 1]), torch.tensor([[0.0, 0.0]])
    for wanted in (False, True):
        value = radii(P, x, deciding(P, codes, x, torch.tensor([0]), exact=wanted)).sum()
        (gradient,) = torch.autograd.grad(value, P)
        assert value.item() == 0.0 and not gradient.any()


def test_fewer_rivals_than_asked_for_are_no_rivals() -> None:
    P, codes, x, y = tensors(*problem(1, sizes=(2, 1)))
    who = deciding(P, codes, x, torch.zeros_like(y), n_rivals=3)
    values = radii(P, x, who)
    assert torch.isinf(values[:, 1:]).all() and torch.isfinite(values[:, 0]).all()
    assert torch.isfinite(soft_minimum(values, 0.1)).all()


def test_soft_minimum_is_below_the_minimum_and_tends_to_it() -> None:
    values = torch.tensor([[1.0, 1.2, 3.0]], dtype=torch.float64)
    soft = [float(soft_minimum(values, t)) for t in (0.5, 0.1, 0.01, 0.0)]
    assert soft == sorted(soft) and soft[-1] == 1.0 and soft[0] < 0.9
    assert soft[2] == pytest.approx(1.0, abs=1e-6)


def test_hinge_by_hand() -> None:
    assert hinge(torch.tensor([-2.0, 0.0, 1.0, 2.0, 9.0]), 2.0).tolist() == [2.0, 1.0, 0.5, 0.0, 0.0]


@pytest.mark.parametrize("channels", [1, 2])
def test_shifts_move_images_and_bring_in_zeros(channels: int) -> None:
    images = np.arange(1.0, 1 + 2 * 3 * 4 * channels).reshape(2, 3, 4, channels)
    offsets = np.array([[2, 1], [0, 2]])  # one down; one up and one right
    moved = shifted(torch.tensor(images).reshape(2, -1), torch.tensor(offsets), (3, 4), 1).numpy().reshape(images.shape)
    expected = np.zeros_like(images)
    expected[0, 1:] = images[0, :-1]
    expected[1, :-1, 1:] = images[1, 1:, :-1]
    np.testing.assert_array_equal(moved, expected)


def test_turns_and_zooms_move_pixels_where_they_should() -> None:
    images = np.zeros((3, 5, 5))
    images[:, 2, 4] = 1.0  # right of the middle
    angles = torch.tensor([np.pi / 2, 0.0, 0.0])
    zooms = torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64)
    moved = turned(torch.tensor(images).reshape(3, -1), angles, zooms, (5, 5)).numpy().reshape(images.shape)
    expected = np.zeros((5, 5))
    expected[0, 2] = 1.0  # above it
    np.testing.assert_allclose(moved[0], expected, atol=1e-6)
    assert moved[1, 2, 3] == pytest.approx(1.0) and moved[1].sum() == pytest.approx(1.0)  # half as far
    np.testing.assert_allclose(moved[2], images[2], atol=1e-12)


def test_turns_of_oblong_images_keep_lengths() -> None:
    images = np.zeros((1, 5, 9, 2))
    images[0, 2, 6] = 1.0, 2.0  # two to the right of the middle
    angle = torch.tensor([np.pi / 2])
    moved = turned(torch.tensor(images).reshape(1, -1), angle, torch.ones(1, dtype=torch.float64), (5, 9)).numpy()
    np.testing.assert_allclose(moved.reshape(images.shape)[0, 0, 4], [1.0, 2.0], atol=1e-6)
