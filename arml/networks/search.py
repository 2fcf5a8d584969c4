"""The search for the largest radius that a bound certifies, many points at a time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from arml.networks.layers import Network

__all__ = ["largest", "linear_guess"]

_SMALLEST, _LARGEST = 1e-9, 1e6
_BELOW = 1.0 - 1e-6


def largest(certified: Callable[[Tensor, Tensor], Tensor], lower: Tensor, guess: Tensor, tolerance: float) -> Tensor:
    """Double from the guess until nothing is certified, then bisect; ``lower`` is certified already."""
    lower, upper = lower.clone(), torch.full_like(lower, torch.inf)
    trial = torch.maximum(guess * _BELOW, 2 * lower).clamp(min=_SMALLEST)
    active = torch.arange(len(lower), device=lower.device)
    while len(active):
        good = certified(active, trial[active])
        lower[active[good]] = trial[active[good]]
        upper[active[~good]] = trial[active[~good]]
        active = active[good & (trial[active] < _LARGEST)]
        trial[active] *= 2
    while True:
        wide = torch.isfinite(upper) & (upper > lower * (1 + tolerance)) & (upper > _SMALLEST)
        active = torch.nonzero(wide).flatten()
        if not len(active):
            return lower
        low, high = lower[active], upper[active]
        # by ratio: what is certified may be far below the guess, and large balls cost most
        middle = torch.where(high > 4 * low, (torch.maximum(low, high / 1024) * high).sqrt(), (low + high) / 2)
        good = certified(active, middle)
        lower[active] = torch.where(good, middle, low)
        upper[active] = torch.where(good, high, middle)


def linear_guess(network: Network, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """The radius if the network were linear as it is at x, and where the score of the label is the only highest."""
    with torch.enable_grad():
        inputs = x.clone().requires_grad_()
        scores = network(inputs)
        own = scores.gather(1, labels[:, None])
        best = torch.full_like(scores[:, 0].detach(), torch.inf)
        for c in range(scores.shape[1]):
            difference = own[:, 0] - scores[:, c]
            gradient = torch.autograd.grad(difference.sum(), inputs, retain_graph=True)[0]
            ratio = difference.detach() / gradient.norm(dim=1).clamp(min=1e-300)
            best = torch.where(labels == c, best, torch.minimum(best, ratio))
    # in fewer digits than rounding can reach, so that a point's search is the same whatever it comes with
    return best.detach().clamp(min=0.0, max=_LARGEST).float().double(), best.detach() > 0
