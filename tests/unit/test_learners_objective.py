"""Eq. (9), its aggregates and the losses: values by hand and by oracles, derivatives by finite differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from arml.learners.objective import (
    LOSSES,
    dual_radius,
    order_radius,
    pair_perturbations,
    pointwise_loss,
    signed_perturbation,
    soft_radius,
)
from tests import oracles

Function = Callable[[torch.Tensor], torch.Tensor]


def training_loss(
    G: torch.Tensor, x: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, loss: str, scale: float = 1.0
) -> torch.Tensor:
    return pointwise_loss(signed_perturbation(G, x, positive, negative), loss, scale).mean()


def numeric_gradient(function: Function, G: torch.Tensor, step: float = 1e-6) -> np.ndarray:
    numeric = np.zeros(G.shape)
    for index in np.ndindex(*G.shape):
        shifted = []
        for sign in (1, -1):
            moved = G.detach().clone()
            moved[index] += sign * step
            shifted.append(float(function(moved)))
        numeric[index] = (shifted[0] - shifted[1]) / (2 * step)
    return numeric


def triples(rank: int, width: int = 5, n: int = 12, seed: int = 0) -> tuple[torch.Tensor, ...]:
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(rank, width)), *(rng.normal(size=(n, width)) for _ in range(3))]
    return tuple(torch.tensor(a, dtype=torch.float64) for a in arrays)


def equation_9(G: np.ndarray, x: np.ndarray, positive: np.ndarray, negative: np.ndarray) -> float:
    M = G.T @ G
    gain = (x - negative) @ M @ (x - negative) - (x - positive) @ M @ (x - positive)
    return float(gain / (2 * np.linalg.norm(M @ (positive - negative))))


@pytest.mark.parametrize("rank", [1, 3, 5, 7])
def test_equals_equation_9_for_any_shape_of_G(rank: int) -> None:
    G, x, positive, negative = triples(rank)
    expected = [equation_9(G.numpy(), *(p[i].numpy() for p in (x, positive, negative))) for i in range(len(x))]
    np.testing.assert_allclose(signed_perturbation(G, x, positive, negative).numpy(), expected, rtol=1e-10)


def test_denominator_lives_in_feature_space() -> None:
    """G = (1, 1): u is one-dimensional, but the way to the bisector is ⟂ to the line, in two dimensions."""
    G = torch.tensor([[1.0, 1.0]])
    x, positive, negative = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    assert float(signed_perturbation(G, x, positive, negative)) == pytest.approx(1 / np.sqrt(2))


def test_pointwise_losses_by_hand() -> None:
    epsilon = torch.tensor([-1.0, 0.0, 1.0, 4.0], dtype=torch.float64)
    e = np.exp
    wanted = {
        "negative": [0.5, 0, -0.5, -2],
        "hinge": [1.5, 1, 0.5, 0],
        "exponential": [e(0.5), 1, e(-0.5), e(-2)],
        "logistic": [np.log1p(e(0.5)), np.log(2), np.log1p(e(-0.5)), np.log1p(e(-2))],
    }
    assert set(wanted) == set(LOSSES)
    for loss, values in wanted.items():
        np.testing.assert_allclose(pointwise_loss(epsilon, loss, 2.0).numpy(), values, atol=1e-12)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("rank", [2, 5])
def test_gradient_matches_finite_differences(loss: str, scale: float, rank: int) -> None:
    G, x, positive, negative = triples(rank, seed=rank)
    G.requires_grad_()
    training_loss(G, x, positive, negative, loss, scale).backward()
    numeric = numeric_gradient(lambda moved: training_loss(moved, x, positive, negative, loss, scale), G)
    np.testing.assert_allclose(G.grad.numpy(), numeric, atol=1e-7)
    assert np.abs(numeric).max() > 1e-3


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_loss_is_scale_free_and_gradient_orthogonal_to_G(loss: str) -> None:
    G, x, positive, negative = triples(5)
    value = training_loss(G, x, positive, negative, loss)
    for factor in (1e-3, 7.0, 1e4):
        assert float(training_loss(factor * G, x, positive, negative, loss)) == pytest.approx(float(value), rel=1e-10)
    G.requires_grad_()
    training_loss(G, x, positive, negative, loss).backward()
    assert float((G.grad * G.detach()).sum()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_denominators_give_zero_and_no_nan(loss: str, dtype: torch.dtype) -> None:
    G = torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.7, 0.0]], dtype=dtype, requires_grad=True)
    x = torch.tensor([[0.1, 0.2, 0.3]] * 3, dtype=dtype)
    positive = torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 0.1], [0.9, 0.1, 0.2]], dtype=dtype)
    # a duplicate; a difference that G does not see; an ordinary pair
    negative = torch.tensor([[0.5, 0.5, 0.5], [0.5, 0.5, 0.9], [0.2, 0.8, 0.4]], dtype=dtype)
    values = signed_perturbation(G, x, positive, negative)
    assert values[:2].tolist() == [0.0, 0.0] and float(values[2].detach()) != 0
    training_loss(G, x, positive, negative, loss).backward()
    assert torch.isfinite(G.grad).all() and G.grad.abs().max() > 0
    whole, G.grad = G.grad.clone(), None
    (pointwise_loss(signed_perturbation(G, x[2:], positive[2:], negative[2:]), loss).sum() / 3).backward()
    torch.testing.assert_close(G.grad, whole)


def lists(rank: int, seed: int, shape: tuple[int, int, int] = (7, 4, 5), width: int = 6) -> tuple[torch.Tensor, ...]:
    """G, positives and negatives about anchors at 0 (positives a little nearer), and lengths of the lists."""
    rng = np.random.default_rng(seed)
    B, p, q = shape
    arrays = rng.normal(size=(rank, width)), 0.6 * rng.normal(size=(B, p, width)), rng.normal(size=(B, q, width))
    counts = rng.integers(1, p + 1, size=B), rng.integers(1, q + 1, size=B)
    return (*(torch.tensor(a) for a in arrays), *(torch.tensor(c) for c in counts))


def sorted_pairs(G: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor, b: int, m: int, n: int) -> list:
    """Eq. (9) for the first m positives and n negatives of anchor b: a list for each negative, largest first."""
    zero = np.zeros(G.shape[1])
    return [
        sorted(
            (equation_9(G.numpy(), zero, positives[b, i].numpy(), negatives[b, j].numpy()) for i in range(m)),
            reverse=True,
        )
        for j in range(n)
    ]


@pytest.mark.parametrize("rank", [2, 6])
def test_pairs_equal_equation_9(rank: int) -> None:
    G, positives, negatives, *_ = lists(rank, 1)
    found = pair_perturbations(G, positives, negatives)
    for b in range(found.shape[0]):
        for j in range(found.shape[2]):
            wanted = [
                equation_9(G.numpy(), np.zeros(6), positives[b, i].numpy(), negatives[b, j].numpy())
                for i in range(found.shape[1])
            ]
            np.testing.assert_allclose(found[b, :, j].numpy(), wanted, rtol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_order_radius_equals_its_definition(k: int) -> None:
    G, positives, negatives, n_positives, n_negatives = lists(4, k)
    epsilon = pair_perturbations(G, positives, negatives)
    epsilon[0, n_positives[0] :] = torch.nan  # never looked at
    found = order_radius(epsilon, n_positives, n_negatives, k)
    for b, (m, n) in enumerate(zip(n_positives.tolist(), n_negatives.tolist())):
        rows = sorted(values[min(k, m) - 1] for values in sorted_pairs(G, positives, negatives, b, m, n))
        assert float(found[b]) == pytest.approx(rows[min(k, n) - 1], rel=1e-9)


def test_soft_radius_tends_to_the_order_radius() -> None:
    G, positives, negatives, n_positives, n_negatives = lists(4, 0)
    epsilon = pair_perturbations(G, positives, negatives)
    hard = order_radius(epsilon, n_positives, n_negatives, 1)
    errors = [float((soft_radius(epsilon, n_positives, n_negatives, t) - hard).abs().max()) for t in (1, 0.1, 1e-3)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-6
    by_hand = torch.tensor([[[1.0, 4.0], [3.0, 2.0]]], dtype=torch.float64)
    up = np.array([(1 + 3 * np.e**2) / (1 + np.e**2), (4 * np.e**2 + 2) / (np.e**2 + 1)])
    down = np.exp(-up) / np.exp(-up).sum()
    two = torch.tensor([2])
    assert float(soft_radius(by_hand, two, two, 1.0)) == pytest.approx(float(down @ up))


@pytest.mark.parametrize("rank", [3, 6])
@pytest.mark.parametrize("seed", range(4))
def test_dual_radius_is_the_exact_one_against_the_decisive_negative(rank: int, seed: int) -> None:
    G, positives, negatives, n_positives, n_negatives = lists(rank, 10 + seed, shape=(40, 4, 5))
    epsilon = pair_perturbations(G, positives, negatives)
    order = order_radius(epsilon, n_positives, n_negatives, 1)
    found = dual_radius(G, positives, negatives, n_positives, n_negatives)
    M, proper = (G.T @ G).numpy(), 0
    for b, (m, n) in enumerate(zip(n_positives.tolist(), n_negatives.tolist())):
        values = [v[0] for v in sorted_pairs(G, positives, negatives, b, m, n)]
        if min(values) <= 0:
            assert float(found[b]) == float(order[b])
            continue
        P, x_j = positives[b, :m].numpy(), negatives[b, int(np.argmin(values))].numpy()
        A, limits = (P - x_j) @ M, [(p @ M @ p - x_j @ M @ x_j) / 2 for p in P]
        exact = float(np.linalg.norm(oracles.min_norm_point(A, limits)))
        assert float(order[b]) - 1e-9 <= float(found[b]) <= exact + 1e-9
        assert float(found[b]) == pytest.approx(exact, rel=2e-3)
        proper += float(found[b]) > float(order[b]) + 1e-6
    assert proper >= 1


@pytest.mark.parametrize("rank", [3, 6])
@pytest.mark.parametrize("objective", ["order", "order3", "soft", "dual"])
def test_gradients_of_aggregates_match_finite_differences(objective: str, rank: int) -> None:
    G, positives, negatives, n_positives, n_negatives = lists(rank, 5)

    def value(G: torch.Tensor) -> torch.Tensor:
        if objective == "dual":
            return dual_radius(G, positives, negatives, n_positives, n_negatives).mean()
        epsilon = pair_perturbations(G, positives, negatives)
        if objective == "soft":
            return soft_radius(epsilon, n_positives, n_negatives, 0.2).mean()
        return order_radius(epsilon, n_positives, n_negatives, 3 if objective == "order3" else 1).mean()

    G.requires_grad_()
    value(G).backward()
    numeric = numeric_gradient(value, G)
    # the multipliers are solved for, so that the dual's envelope theorem holds as far as they are optimal
    np.testing.assert_allclose(G.grad.numpy(), numeric, atol=2e-3 if objective == "dual" else 1e-7)
    assert np.abs(numeric).max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_aggregates_of_duplicates_have_finite_gradients(dtype: torch.dtype) -> None:
    G = torch.tensor([[1.0, 0.0, 0.0], [0.3, 0.7, 0.0]], dtype=dtype, requires_grad=True)
    near = torch.tensor([[[0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.0, 0.0, 0.0], [0.0, 0.0, 0.4]]], dtype=dtype)
    far = torch.tensor([[[0.1, 0.2, 0.3], [0.0, 0.0, 0.0], [0.5, 0.5, 0.1], [0.5, 0.5, 0.9]]], dtype=dtype)
    counts = torch.tensor([4])
    for first, second in ((near, far), (far, near), (near, near)):
        epsilon = pair_perturbations(G, first, second)
        values = [
            order_radius(epsilon, counts, counts, 1),
            soft_radius(epsilon, counts, counts, 0.1),
            dual_radius(G, first, second, counts, counts),
        ]
        for value in values:
            (gradient,) = torch.autograd.grad(value.sum(), G, retain_graph=True, allow_unused=True)
            assert torch.isfinite(value).all()
            assert gradient is None or torch.isfinite(gradient).all()


def test_aggregates_do_not_see_the_scale_of_G() -> None:
    G, positives, negatives, n_positives, n_negatives = lists(4, 3)
    for factor in (1e-3, 7.0, 1e4):
        pairs = [pair_perturbations(f * G, positives, negatives) for f in (1.0, factor)]
        torch.testing.assert_close(*pairs)
        duals = [dual_radius(f * G, positives, negatives, n_positives, n_negatives) for f in (1.0, factor)]
        torch.testing.assert_close(*duals)
