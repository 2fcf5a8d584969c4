"""ARML's objective: the signed perturbation of eq. (9), what of it an anchor is judged by, and the losses, in torch.

Derivatives flow through eq. (9) and its aggregates; who is among the candidates is decided elsewhere and is a
constant here.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = [
    "LOSSES",
    "dual_radius",
    "order_radius",
    "pair_perturbations",
    "pointwise_loss",
    "signed_perturbation",
    "soft_radius",
]

LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "negative": lambda epsilon: -epsilon,
    "hinge": lambda epsilon: torch.clamp(1 - epsilon, min=0),
    "exponential": lambda epsilon: torch.exp(-epsilon),
    "logistic": lambda epsilon: torch.nn.functional.softplus(-epsilon),
}
_SWEEPS = 30


def pointwise_loss(epsilon: Tensor, loss: str = "negative", scale: float = 1.0) -> Tensor:
    """ℓ(ε/s): −ε/s, [1 − ε/s]₊, exp(−ε/s) or log(1 + exp(−ε/s)) for each entry of ``epsilon``.

    The scale s is in units of the radius: the hinge is flat beyond s (a target radius), the last two decay at
    that rate.
    """
    return LOSSES[loss](epsilon / scale)


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
    middle = (positive + negative) / 2
    return _quotient(G, (w * (x - middle)).sum(dim=1), w.square().sum(dim=1), difference.square().sum(dim=1))


def pair_perturbations(G: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Eq. (9) for every pair of the candidates of an anchor.

    Parameters
    ----------
    G : Tensor of shape (r, D)
    positives : Tensor of shape (B, p, D)
    negatives : Tensor of shape (B, q, D)
        Candidates less their anchor: x_i − x.

    Returns
    -------
    Tensor of shape (B, p, q)
        Like :func:`signed_perturbation` of each pair. Cost: O(B (p + q) D r + B p q D).
    """
    M = G.T @ G
    w_positive, w_negative = positives @ M, negatives @ M
    d_positive, d_negative = (w_positive * positives).sum(dim=2), (w_negative * negatives).sum(dim=2)
    gaps = (d_negative[:, None, :] - d_positive[:, :, None]) / 2
    widths = _squared_distances(w_positive, w_negative)
    with torch.no_grad():
        apart = _squared_distances(positives, negatives).clamp(min=0)
        # the squared lengths carry the rounding of their terms
        blur = 16 * torch.finfo(G.dtype).eps * _largest_square(w_positive, w_negative)
        widths_sure = widths > blur
    return _quotient(G, gaps, torch.where(widths_sure, widths, torch.zeros_like(widths)), apart)


def order_radius(epsilon: Tensor, n_positives: Tensor, n_negatives: Tensor, k: int) -> Tensor:
    """The kth smallest over negatives of the kth largest over positives: the summand of eq. (11).

    Parameters
    ----------
    epsilon : Tensor of shape (B, p, q)
    n_positives, n_negatives : Tensor of shape (B,)
        How many of the p and of the q columns are there; shorter lists than k give their last.
    k : int
        (K + 1) / 2 for K neighbours.

    Returns
    -------
    Tensor of shape (B,)
    """
    missing_positive, missing_negative = _missing(epsilon, n_positives, n_negatives)
    largest = epsilon.masked_fill(missing_positive, -torch.inf).topk(min(k, epsilon.shape[1]), dim=1).values
    place = (n_positives.clamp(max=k) - 1)[:, None, None].expand(-1, 1, epsilon.shape[2])
    per_negative = largest.gather(1, place)[:, 0].masked_fill(missing_negative, torch.inf)
    smallest = per_negative.topk(min(k, epsilon.shape[2]), dim=1, largest=False).values
    return smallest.gather(1, (n_negatives.clamp(max=k) - 1)[:, None])[:, 0]


def soft_radius(epsilon: Tensor, n_positives: Tensor, n_negatives: Tensor, temperature: float) -> Tensor:
    """min over negatives of max over positives, both softened: averages weighted by exp(±ε / temperature).

    Every pair near the decisive one gets a share of the gradient. ``temperature`` is in units of the radius; as
    it goes to 0 this becomes :func:`order_radius` with k = 1. Shapes as there.
    """
    missing_positive, missing_negative = _missing(epsilon, n_positives, n_negatives)
    up = torch.softmax((epsilon / temperature).masked_fill(missing_positive, -torch.inf), dim=1)
    per_negative = (up * epsilon).sum(dim=1)
    down = torch.softmax((-per_negative / temperature).masked_fill(missing_negative, -torch.inf), dim=1)
    return (down * per_negative).sum(dim=1)


def dual_radius(G: Tensor, positives: Tensor, negatives: Tensor, n_positives: Tensor, n_negatives: Tensor) -> Tensor:
    """The exact radius against the decisive negative, by its dual bound with frozen multipliers.

    For a negative j to win it must beat every positive: aᵢᵀδ ≤ bᵢ with aᵢ = wᵢ − wⱼ, bᵢ = (dᵢ − dⱼ)/2, and for
    any λ ≥ 0, ‖δ‖ ≥ −bᵀλ / ‖Aᵀλ‖. λ is solved for (coordinate descent, no gradient); by the envelope theorem the
    derivative at fixed λ is that of the radius. The negative is the one that decides :func:`order_radius` with
    k = 1, and where that is not positive (the anchor is lost already) its value is returned.

    Shapes as in :func:`pair_perturbations` and :func:`order_radius`. Never below ``order_radius``, nor above the
    exact radius against that negative, up to rounding.
    """
    epsilon = pair_perturbations(G, positives, negatives)
    missing_positive, missing_negative = _missing(epsilon, n_positives, n_negatives)
    best = epsilon.masked_fill(missing_positive, -torch.inf).max(dim=1)
    per_negative = best.values.masked_fill(missing_negative, torch.inf)
    single, j = per_negative.min(dim=1)
    winner = torch.arange(j.shape[0], device=j.device)
    there = ~missing_positive[:, :, 0]
    M = G.T @ G
    rival = negatives[winner, j]
    w_positive, w_rival = positives @ M, rival @ M
    rows = (w_positive - w_rival[:, None]) * there[:, :, None]
    b = ((w_positive * positives).sum(dim=2) - (w_rival * rival).sum(dim=1)[:, None]) / 2 * there
    with torch.no_grad():
        multipliers = _multipliers(rows, b, best.indices[winner, j])
    length = torch.einsum("bp,bpd->bd", multipliers, rows).square().sum(dim=1)
    bound = _quotient(G, -(b * multipliers).sum(dim=1), length, torch.zeros_like(length))
    # δ = xⱼ − x always lets j win: a longer bound is rounding of a width that is nearly 0
    believable = (single > 0) & (bound > single) & (bound <= rival.square().sum(dim=1).sqrt())
    return torch.where(believable, bound, single)


def _multipliers(rows: Tensor, b: Tensor, start: Tensor) -> Tensor:
    """λ ≥ 0 that maximises −bᵀλ − ‖Aᵀλ‖²/2, by coordinate descent from the best single multiplier; (B, p)."""
    gram = rows @ rows.transpose(1, 2)
    diagonal = gram.diagonal(dim1=1, dim2=2)
    usable = diagonal > 0
    steps = torch.where(usable, diagonal, torch.ones_like(diagonal))
    chosen = torch.arange(b.shape[0], device=b.device)
    multipliers = torch.zeros_like(b)
    multipliers[chosen, start] = (-b / steps)[chosen, start].clamp(min=0)
    for _ in range(_SWEEPS):
        for i in range(b.shape[1]):
            slope = (gram[:, i] * multipliers).sum(dim=1) + b[:, i]
            multipliers[:, i] = (multipliers[:, i] - slope / steps[:, i]).clamp(min=0) * usable[:, i]
    return multipliers


def _quotient(G: Tensor, numerator: Tensor, squared_width: Tensor, squared_distance: Tensor) -> Tensor:
    """numerator / √squared_width; 0 with derivative 0 where the width is nothing but rounding."""
    with torch.no_grad():
        rounding = 8 * torch.finfo(G.dtype).eps * G.square().sum(dim=1).max()
        defined = squared_width > rounding.square() * squared_distance
    # the inner where keeps 0/0 out of the graph: a NaN masked only at the end would still spoil the gradient
    width = torch.where(defined, squared_width, torch.ones_like(squared_width)).sqrt()
    return torch.where(defined, numerator / width, torch.zeros_like(squared_width))


def _squared_distances(left: Tensor, right: Tensor) -> Tensor:
    squares = left.square().sum(dim=2)[:, :, None] + right.square().sum(dim=2)[:, None, :]
    return squares - 2 * left @ right.transpose(1, 2)


def _largest_square(left: Tensor, right: Tensor) -> Tensor:
    return torch.maximum(left.square().sum(dim=2)[:, :, None], right.square().sum(dim=2)[:, None, :])


def _missing(epsilon: Tensor, n_positives: Tensor, n_negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Where the lists of positives, (B, p, 1), and of negatives, (B, q), have ended."""
    p, q = (torch.arange(size, device=epsilon.device) for size in epsilon.shape[1:])
    return (p >= n_positives[:, None])[:, :, None], q >= n_negatives[:, None]
