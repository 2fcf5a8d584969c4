"""ARML's objective: the signed perturbation of eq. (9) and the losses of eq. (12), in torch.

Derivatives flow through eq. (9) alone; which triples are drawn is decided elsewhere and is a constant here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["LOSSES", "pointwise_loss", "signed_perturbation", "training_loss"]

LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": lambda epsilon: -epsilon,
    "hinge": lambda epsilon: torch.clamp(1 - epsilon, min=0),
    "exponential": lambda epsilon: torch.exp(-epsilon),
    "logistic": lambda epsilon: torch.nn.functional.softplus(-epsilon),
}


def signed_perturbation(G: Tensor, x: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Eq. (9): how far each x lies from the place where its negative becomes as near as its positive.

    With w = M (x⁺ − x⁻), eq. (9) equals ⟨w, x − (x⁺ + x⁻)/2⟩ / ‖w‖: the signed distance to the bisecting
    hyperplane. This form has no difference of squares, and the denominator ‖w‖ is taken in D dimensions
    whatever the rank of G.

    Parameters
    ----------
    G : Tensor of shape (r, D)
    x, positive, negative : Tensor of shape (B, D)

    Returns
    -------
    Tensor of shape (B,)
        Unchanged under G → αG. Where w vanishes up to rounding (x⁺ = x⁻, or their difference in the null
        space of G) there is no such hyperplane: 0, with derivative 0.
    """
    difference = positive - negative
    w = (difference @ G.T) @ G
    squared = w.square().sum(dim=1)
    with torch.no_grad():
        rounding = 8 * torch.finfo(G.dtype).eps * G.square().sum(dim=1).max()
        defined = squared > rounding.square() * difference.square().sum(dim=1)
    # the inner where keeps 0/0 out of the graph: a NaN masked only at the end would still spoil the gradient
    norm = torch.where(defined, squared, torch.ones_like(squared)).sqrt()
    middle = (positive + negative) / 2
    return torch.where(defined, (w * (x - middle)).sum(dim=1) / norm, torch.zeros_like(squared))


def pointwise_loss(epsilon: Tensor, loss: str = "negative", scale: float = 1.0) -> Tensor:
    """ℓ(ε/s): −ε/s, [1 − ε/s]₊, exp(−ε/s) or log(1 + exp(−ε/s)) for each entry of ``epsilon``.

    The scale s is in units of the radius: the hinge is flat beyond s, the other two decay at that rate.
    """
    return LOSSES[loss](epsilon / scale)


def training_loss(
    G: Tensor, x: Tensor, positive: Tensor, negative: Tensor, loss: str = "negative", scale: float = 1.0
) -> Tensor:
    """The mean of eq. (12) over a batch of triples (x, x⁺, x⁻), a scalar differentiable in G."""
    return pointwise_loss(signed_perturbation(G, x, positive, negative), loss, scale).mean()
