"""The certified radius as a function of the prototypes, in torch: eq. (9)'s max over own, min over others; eq. (13).

Which prototypes decide, and with which multipliers, is found first, without a gradient; the radius is then written in
them alone. That is its derivative almost everywhere (of a max and a min: the branch taken; of the exact radius: the
envelope theorem), and a step costs a few products of matrices.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Deciding", "deciding", "hinge", "radii", "soft_minimum"]

_SWEEPS = 60
_TINY = 1e-12
_TABLE = 1024  # prototypes up to which a table of all products is cheaper than those that are needed


class Deciding(NamedTuple):
    """Who decides the radius of each point.

    Attributes
    ----------
    others : Tensor of shape (B, k)
        Prototypes of other classes, the nearest cell first (by eq. 9).
    own : Tensor of shape (B, m)
        Prototypes of the point's class.
    weights : Tensor of shape (B, k, m)
        Multipliers of ``own`` against each of ``others``, at least 0, of sum 1; one of them is 1 under eq. (9).
    there : Tensor of shape (B, k) of bool
        False where there are fewer than k other prototypes.
    """

    others: Tensor
    own: Tensor
    weights: Tensor
    there: Tensor


def deciding(
    P: Tensor,
    codes: Tensor,
    x: Tensor,
    y: Tensor,
    G: Tensor | None = None,
    *,
    n_own: int = 16,
    n_others: int = 64,
    n_rivals: int = 1,
    exact: bool = False,
) -> Deciding:
    """Find, for each point, the prototypes whose bisectors (eq. 9) or cells (eq. 13) are the nearest.

    Parameters
    ----------
    P : Tensor of shape (p, D)
        Prototypes.
    codes : Tensor of shape (p,)
        Their classes.
    x : Tensor of shape (B, D)
    y : Tensor of shape (B,)
        Classes, each of which has a prototype.
    G : Tensor of shape (r, D), optional
        The metric is M = GᵀG; None is the identity.
    n_own, n_others : int
        How many of the nearest prototypes of the own and of other classes are looked at. All of them give eq. (9)
        in full; those left out could only raise the max, and hardly ever lower the min.
    n_rivals : int
        k: how many of the other prototypes are given.
    exact : bool
        Multipliers of eq. (13)'s dual over ``own``, instead of the one own prototype of eq. (9).

    Returns
    -------
    Deciding
    """
    with torch.no_grad():
        u, v = (x, P) if G is None else (x @ G.T, P @ G.T)
        d = v.square().sum(dim=1) - 2 * (u @ v.T) + u.square().sum(dim=1)[:, None]
        same = codes == y[:, None]
        m, n = min(n_own, P.shape[0]), min(n_others, P.shape[0])
        d_own, own = d.masked_fill(~same, math.inf).topk(m, dim=1, largest=False)
        d_other, other = d.masked_fill(same, math.inf).topk(n, dim=1, largest=False)
        w = P if G is None else v @ G
        squares = w.square().sum(dim=1)
        cross = _products(w, other, own)
        sq_own, sq_other = squares[own], squares[other]
        wide = (sq_other[:, :, None] - 2 * cross + sq_own[:, None, :]).clamp(min=_TINY)
        gaps = (d_other[:, :, None] - d_own[:, None, :]) / 2
        missing = torch.isinf(d_own)[:, None, :]
        epsilon = (gaps / wide.sqrt()).masked_fill(missing, -math.inf)
        per_rival, best = epsilon.max(dim=2)
        per_rival.masked_fill_(torch.isinf(d_other), math.inf)
        nearest, place = per_rival.topk(min(n_rivals, n), dim=1, largest=False)
        there = torch.isfinite(nearest)
        others, best = other.gather(1, place), best.gather(1, place)
        if not exact:
            one = torch.eye(others.shape[1], device=P.device, dtype=P.dtype)[None]
            return Deciding(others, own.gather(1, best), one, there)
        rows = place[:, :, None].expand(-1, -1, m)
        aside, square = cross.gather(1, rows), sq_other.gather(1, place)[:, :, None, None]
        between = _products(w, own, own)[:, None]
        products = between - aside[:, :, :, None] - aside[:, :, None, :] + square
        weights = _multipliers(products, gaps.gather(1, rows), missing, best)
        return Deciding(others, own, weights, there)


def radii(P: Tensor, x: Tensor, who: Deciding, G: Tensor | None = None) -> Tensor:
    """The radius against each of the deciding prototypes, differentiable in P and G.

    With λ ≥ 0 of sum 1 over own prototypes, their mean distance d̄ = Σ λ_i d_i and mean w̄ = Σ λ_i w_i,
    (d_j − d̄) / (2 ‖w̄ − w_j‖) bounds the way into j's cell from below (weak duality); with one λ_i = 1 it is eq. (9).

    Parameters
    ----------
    P, x, G
        As in :func:`deciding`.
    who : Deciding

    Returns
    -------
    Tensor of shape (B, k)
        Signed: negative where j is nearer than the own prototypes. inf where there is no j. Unchanged under G → αG.
    """
    own = torch.nn.functional.embedding(who.own, P) - x[:, None]
    others = torch.nn.functional.embedding(who.others, P) - x[:, None]
    if G is None:
        w_own, w_others = own, others
        d_own, d_others = own.square().sum(dim=2), others.square().sum(dim=2)
    else:
        u_own, u_others = own @ G.T, others @ G.T
        w_own, w_others = u_own @ G, u_others @ G
        d_own, d_others = u_own.square().sum(dim=2), u_others.square().sum(dim=2)
    gap = (d_others - (who.weights @ d_own[:, :, None])[:, :, 0]) / 2
    width = (who.weights @ w_own - w_others).square().sum(dim=2)
    defined = width > _TINY
    # the inner where keeps 0/0 out of the graph
    quotient = gap / torch.where(defined, width, torch.ones_like(width)).sqrt()
    return torch.where(defined, quotient, torch.zeros_like(quotient)).masked_fill(~who.there, math.inf)


def soft_minimum(values: Tensor, temperature: float) -> Tensor:
    """−τ log Σ exp(−v / τ) over the rows of ``values`` (B, k) → (B,): at most the minimum, which it is for τ = 0."""
    if temperature == 0.0 or values.shape[1] == 1:
        return values.min(dim=1).values
    return -temperature * torch.logsumexp(-values / temperature, dim=1)


def hinge(radius: Tensor, target: float) -> Tensor:
    """[1 − r / target]₊: nothing for points whose radius reaches the target. Shape as ``radius``."""
    return torch.clamp(1 - radius / target, min=0)


def _products(w: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """w_i · w_j for the rows i of ``left`` (B, n) and j of ``right`` (B, m): shape (B, n, m)."""
    if w.shape[0] <= _TABLE:
        return (w @ w.T)[left[:, :, None], right[:, None, :]]
    return w[left] @ w[right].transpose(1, 2)


def _multipliers(A: Tensor, gaps: Tensor, missing: Tensor, best: Tensor) -> Tensor:
    """λ ≥ 0 of sum 1 that (nearly) maximise gᵀλ / √(λᵀAλ), g_i = (d_j − d_i) / 2: shape (B, k, m).

    ``A``, (B, k, m, m), holds the products of the rows w_i − w_j. Accelerated projected gradient on gᵀλ − λᵀAλ / 2,
    which has its maximum in the same direction, from eq. (9)'s single multiplier. Whatever comes out is a bound; where
    it is no better than eq. (9), that is kept.
    """
    size = gaps.shape[2]
    usable = ~missing.expand_as(gaps)
    lengths = A.diagonal(dim1=2, dim2=3).masked_fill(~usable, 0.0)
    gaps = gaps.masked_fill(~usable, 0.0)
    step = 1 / lengths.sum(dim=2, keepdim=True).clamp(min=_TINY)
    single = torch.nn.functional.one_hot(best, size).to(gaps.dtype)
    # one sweep is a product, a clamp and an extrapolation: λ ← [(I − sA) λ' + s g]₊; what is missing has s g = −∞
    shrink = (torch.eye(size, device=A.device, dtype=A.dtype) - step[:, :, :, None] * A).flatten(0, 1)
    push = (step * gaps).masked_fill(~usable, -math.inf).flatten(0, 1)[:, :, None]
    multipliers = (single * gaps / lengths.clamp(min=_TINY)).clamp(min=0).flatten(0, 1)[:, :, None]
    ahead, momentum = multipliers, 1.0
    for _ in range(_SWEEPS):
        moved = torch.baddbmm(push, shrink, ahead).clamp_(min=0)
        following = (1 + math.sqrt(1 + 4 * momentum * momentum)) / 2
        ahead = torch.lerp(multipliers, moved, 1 + (momentum - 1) / following)
        multipliers, momentum = moved, following
    found = multipliers.reshape(gaps.shape)
    better = (gaps * found).sum(dim=2) / _length(A, found) > (gaps * single).sum(dim=2) / _length(A, single)
    total = found.sum(dim=2, keepdim=True).clamp(min=_TINY)
    return torch.where(better[:, :, None], found / total, single)


def _length(A: Tensor, multipliers: Tensor) -> Tensor:
    return (multipliers * (A @ multipliers[..., None])[..., 0]).sum(dim=2).clamp(min=_TINY).sqrt()
