"""The points of LMNN, mapped and measured: what its impostors are looked for with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from arml.learners.base import Floats, Indices
from arml.learners.targets import close_calls

__all__ = ["TargetedPoints", "View"]

_EPS = float(np.finfo(np.float64).eps)
# numbers of points gathered at once, and distances held at once
ENTRIES = {"cpu": 1 << 18, "cuda": 1 << 25}


@dataclass
class View:
    """The points under one L: mapped (N, r), margins 1 + d (N, k), their roots, and what rounding may hide."""

    L: Tensor
    mapped: Tensor
    margins: Tensor
    roots: Tensor
    rounding: float

    def invaded(self, i: Tensor, j: Tensor, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Which of the margins of i and j pairs at these squared distances invade, (P, 2 k); for which it is close."""
        excess = distances[:, None] - torch.hstack([self.margins[i], self.margins[j]])
        return excess < 0, excess.abs().amin(dim=1) <= self.rounding


class TargetedPoints:
    """Points and their target neighbours.

    Parameters
    ----------
    X : ndarray of shape (N, D)
        Ordered by class; class c is the rows ``starts[c]:starts[c + 1]``.
    starts : ndarray of shape (C + 1,)
    targets : ndarray of shape (N, k)
        As rows of `X`.
    device : str
        Where blocks live, in float64.

    Attributes
    ----------
    points : Tensor of shape (N, D)
        Less their mean.
    targets : Tensor of shape (N, k)
    starts : list of int
    entries : int
        Size of a block on this device.
    """

    def __init__(self, X: Floats, starts: Indices, targets: Indices, device: str) -> None:
        self._raw, self._starts, self._chosen = X, starts, targets
        mean = X.mean(axis=0)
        self._mean = torch.from_numpy(mean).to(device)
        self.points = torch.from_numpy(X - mean).to(device)
        self.targets = torch.from_numpy(targets).to(device)
        self.starts: list[int] = starts.tolist()
        self.entries = ENTRIES[torch.device(device).type]

    def view(self, L: Tensor) -> View:
        """The points under L, of shape (r, D)."""
        mapped = self.points @ L.T
        margins = torch.empty(self.targets.shape, dtype=torch.float64, device=self.points.device)
        size = max(1, self.entries // (self.targets.shape[1] * L.shape[0]))
        for a in range(0, len(mapped), size):
            some = slice(a, a + size)
            lengths = torch.linalg.vector_norm(mapped[self.targets[some]] - mapped[some, None], dim=2)
            margins[some] = 1 + lengths.square_()
        largest = float(mapped.square().sum(dim=1).max()) + float((L @ self._mean).square().sum())
        rounding = 32 * (sum(L.shape) + 8) * _EPS * (1 + largest)
        return View(L, mapped, margins, margins.sqrt(), rounding)

    def distances(self, view: View, i: Tensor, j: Tensor) -> Tensor:
        """Squared distances of pairs, by differences."""
        size = max(1, self.entries // view.mapped.shape[1])
        lengths = torch.empty(len(i), dtype=torch.float64, device=i.device)
        for a in range(0, len(i), size):
            some = slice(a, a + size)
            torch.linalg.vector_norm(view.mapped[i[some]] - view.mapped[j[some]], dim=1, out=lengths[some])
        return lengths.square_()

    def close_calls(self, view: View, i: Tensor, j: Tensor) -> Tensor:
        """Which of the margins of i and j these pairs invade, (P, 2 k), where rounding decides."""
        where = (rows.cpu().numpy() for rows in (i, j))
        told = close_calls(self._raw, view.L.cpu().numpy(), self._chosen, self._starts, *where)
        return torch.from_numpy(told).to(i.device)

    def pulled(self, weights: Tensor | None = None) -> Tensor:
        """Σ (xᵢ − xₜ)(xᵢ − xₜ)ᵀ over all targets, or times weights of shape (N, k); shape (D, D)."""
        i = torch.arange(len(self.points), device=self.points.device).repeat_interleave(self.targets.shape[1])
        t = self.targets.ravel()
        if weights is None:
            return self.outer(i, t, None)
        there = weights.ravel().nonzero()[:, 0]
        return self.outer(i[there], t[there], weights.ravel()[there])

    def outer(self, i: Tensor, j: Tensor, weights: Tensor | None) -> Tensor:
        """Σ w (xᵢ − xⱼ)(xᵢ − xⱼ)ᵀ over pairs."""
        total = torch.zeros((self.points.shape[1],) * 2, dtype=torch.float64, device=self.points.device)
        size = max(1, self.entries // self.points.shape[1])
        for a in range(0, len(i), size):
            some = slice(a, a + size)
            difference = self.points[i[some]] - self.points[j[some]]
            weighted = difference if weights is None else difference * weights[some, None]
            total += difference.T @ weighted
        return total
