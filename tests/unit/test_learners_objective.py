"""Eq. (9) and the losses: values by hand and from the paper's formula, derivatives by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from arml.learners.objective import LOSSES, pointwise_loss, signed_perturbation, training_loss


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
    step, numeric = 1e-6, np.zeros(G.shape)
    for index in np.ndindex(*G.shape):
        shifted = []
        for sign in (1, -1):
            moved = G.detach().clone()
            moved[index] += sign * step
            shifted.append(float(training_loss(moved, x, positive, negative, loss, scale)))
        numeric[index] = (shifted[0] - shifted[1]) / (2 * step)
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
