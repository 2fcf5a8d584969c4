"""Impostors of LMNN, pair by pair only where something may have changed.

A pair i, j of different classes invades the margin of i's target t where ‖L(xᵢ − xⱼ)‖² < 1 + ‖L(xᵢ − xₜ)‖². In
lengths: a < b. When L moves from L₀, a moves by at most μᵢ + μⱼ, where μᵢ = ‖(L − L₀) xᵢ‖, and how far b has moved is
known. So every point gets a budget βᵢ and every target γᵢₜ, a few steps' worth: as long as μᵢ ≤ θ βᵢ and
|b − b₀| ≤ θ γᵢₜ everywhere, only pairs with |a₀ − b₀| ≤ θ (βᵢ + βⱼ + γᵢₜ) can have crossed a margin. The others are
as they were under L₀, and so is their share of the gradient. Pairs are listed by the θ at which they must be looked
at again, up to θ = 1; beyond that all pairs are looked at anew, in blocks, which never hold N² numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from arml.learners.base import Floats, Indices
from arml.learners.margins import TargetedPoints, View

__all__ = ["Impostors"]

_LISTED = {"cpu": 1 << 21, "cuda": 1 << 25}  # pairs listed, at most
_CROWDED, _EARLY = 4.0, 16  # so many times more are not even looked for; judged once a share of that many is seen
_SAMPLED = 1 << 20  # of the θ of pairs seen, to choose which are listed
# nanoseconds, measured: a pair when all are looked at, and for each row of L; one that is seen; a listed one that is
# looked at again, and for each row of L
_COSTS = {"cpu": (3.0, 0.1, 150.0, 100.0, 1.0), "cuda": (0.08, 3e-5, 1.0, 1.0, 0.016)}
_STEPS = (2.0, 100.0)  # a reference's budgets are so many steps' worth, at least and at most
_SPARE = 1.2  # how much more a step may be than the one that budgets are made of
_SHARED = 0.3  # and how much of the mean of all points is added to each one's


@dataclass
class _Reference:
    """What was found under L₀, and the pairs to look at again, by θ."""

    view: View
    step: Tensor
    steps: float
    beta: Tensor
    gamma: Tensor
    active: int
    gradient: Tensor
    reach: float
    theta: Tensor
    i: Tensor
    j: Tensor
    invaded: Tensor

    def theta_at(self, view: View) -> float:
        """The θ at which the budgets are used up under another L."""
        if self.reach < 0 or view.rounding > 2 * self.view.rounding:
            return math.inf
        moved = torch.linalg.vector_norm(view.mapped - self.view.mapped, dim=1)
        shares = torch.stack([(moved / self.beta).max(), ((view.roots - self.view.roots).abs() / self.gamma).max()])
        return float(shares.max()) * (1 + 1e-9)


class Impostors:
    """The pushing part of LMNN's objective and gradient on some points.

    Parameters
    ----------
    X : ndarray of shape (N, D)
        Ordered by class; class c is the rows ``starts[c]:starts[c + 1]``.
    starts : ndarray of shape (C + 1,)
    targets : ndarray of shape (N, k)
        Target neighbours, as rows of `X`.
    device : str
        Where blocks live, in float64.
    """

    def __init__(self, X: Floats, starts: Indices, targets: Indices, device: str = "cpu") -> None:
        self._all = TargetedPoints(X, starts, targets, device)
        self.pulled = self._all.pulled
        kind = torch.device(device).type
        self._most, self._costs = _LISTED[kind], _COSTS[kind]
        self._pairs = (len(X) ** 2 - int(np.square(np.diff(starts)).sum())) // 2
        self._reference: _Reference | None = None
        self._steps = _STEPS[0]

    def __call__(self, L: Tensor, step: Tensor) -> tuple[int, Tensor]:
        """How many margins are invaded, and the sum of their gradients.

        Parameters
        ----------
        L : Tensor of shape (r, D)
        step : Tensor of shape (r, D)
            What led to `L`, or zeros; the budgets of a new reference are made of it.

        Returns
        -------
        active : int
            Triples i, t, j with j within i's margin for its target t.
        gradient : Tensor of shape (D, D)
            Σ (xᵢ − xₜ)(xᵢ − xₜ)ᵀ − (xᵢ − xⱼ)(xᵢ − xⱼ)ᵀ over them.

        Notes
        -----
        Cost: O(N D r + N k r) and O(r) a pair looked at; for a new reference, O(N² r).
        """
        view = self._all.view(L)
        if self._reference is not None:
            theta = self._reference.theta_at(view)
            if theta <= self._reference.reach:
                return self._look_again(self._reference, view, theta)
        self._refer(view, step, self._steps)
        assert self._reference is not None
        return self._reference.active, self._reference.gradient

    def state(self) -> dict[str, Floats]:
        """What :meth:`restore` needs to go on from here with the same bytes."""
        assert self._reference is not None
        view, step = self._reference.view, self._reference.step
        numbers = np.array([self._reference.steps, self._steps])
        return {"reference": view.L.cpu().numpy(), "reference_step": step.cpu().numpy(), "steps": numbers}

    def restore(self, state: Mapping[str, Floats]) -> None:
        """Look at all pairs where the reference was."""
        L, step = (
            torch.from_numpy(state[name]).to(self._all.points.device) for name in ("reference", "reference_step")
        )
        self._refer(self._all.view(L), step, float(state["steps"][0]))
        self._steps = float(state["steps"][1])

    def _refer(self, view: View, step: Tensor, steps: float) -> None:
        """Look at all pairs, and list those that a few more steps could change."""
        self._reference = None  # its memory is needed
        before = self._all.view(view.L - step)
        beta, gamma = torch.linalg.vector_norm(view.mapped - before.mapped, dim=1), (view.roots - before.roots).abs()
        beta, gamma = (_SPARE * moved + _SHARED * moved.mean() for moved in (beta, gamma))
        search = _Search(self._all, self._most, view, steps * beta, steps * gamma)
        while (crowd := search.run(self._pairs)) > _CROWDED:  # after a long step, most pairs may be within budgets
            steps = steps / crowd if steps >= crowd else 0.0
            self._steps = max(steps, _STEPS[0])
            search = _Search(self._all, self._most, view, steps * beta, steps * gamma)
        beta, gamma = steps * beta, steps * gamma
        theta, i, j, invaded = search.listed()
        self._reference = _Reference(
            view, step, steps, beta, gamma, search.active, search.gradient(), search.reach, theta, i, j, invaded
        )
        if search.reach > 0:  # as many steps as make looking at all and looking at the listed ones cost the same
            rank, (pair, pair_row, seen, listed, listed_row) = view.L.shape[0], self._costs
            anew = self._pairs * (pair + pair_row * rank) + seen * search.seen
            again = max(1, len(i)) / (steps * search.reach) * (listed + listed_row * rank) / 2
            self._steps = min(max(math.sqrt(anew / again), _STEPS[0]), _STEPS[1])

    def _look_again(self, reference: _Reference, view: View, theta: float) -> tuple[int, Tensor]:
        """What has changed since the reference, among the pairs that may have."""
        count = int(torch.searchsorted(reference.theta, theta, right=True))
        k = self._all.targets.shape[1]
        edges = torch.zeros((len(self._all.points), k), dtype=torch.float64, device=self._all.points.device)
        crossed: list[tuple[Tensor, Tensor, Tensor]] = []
        for a in range(0, count, self._all.entries):
            some = slice(a, min(a + self._all.entries, count))
            i, j, known = reference.i[some].long(), reference.j[some].long(), reference.invaded[some]
            distances = self._all.distances(view, i, j)
            invaded, close = view.invaded(i, j, distances)
            if bool(close.any()):
                invaded[close] = self._all.close_calls(view, i[close], j[close])
            changed = (invaded != known).any(dim=1).nonzero()[:, 0]
            if len(changed):
                i, j, change = i[changed], j[changed], invaded[changed].double() - known[changed].double()
                edges.index_add_(0, i, change[:, :k]).index_add_(0, j, change[:, k:])
                crossed.append((i, j, change.sum(dim=1)))
        if not crossed:
            return reference.active, reference.gradient
        i, j, change = (torch.cat(parts) for parts in zip(*crossed, strict=True))
        gradient = reference.gradient + self._all.pulled(edges) - self._all.outer(i, j, change)
        return reference.active + round(float(change.sum())), gradient


class _Search:
    """One look at all pairs of different classes, a block of rows at a time."""

    def __init__(self, every: TargetedPoints, most: int, view: View, beta: Tensor, gamma: Tensor) -> None:
        self._all, self._most, self._view, self._beta, self._gamma = every, most, view, beta, gamma
        points = every.points
        self._squares = view.mapped.square().sum(dim=1, keepdim=True)
        self._left = torch.hstack([-2 * view.mapped, torch.ones_like(self._squares)])
        self._right = torch.hstack([view.mapped, self._squares]).T
        self._widest = (view.roots + gamma).amax(dim=1)
        self._degree = torch.zeros(len(points), dtype=torch.float64, device=points.device)
        self._edges = torch.zeros(view.margins.shape, dtype=torch.float64, device=points.device)
        self._moment = torch.zeros((points.shape[1],) * 2, dtype=torch.float64, device=points.device)
        self._scatter = torch.zeros_like(self._moment)
        self._close: list[tuple[Tensor, Tensor]] = []
        self._found: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._listed = self.seen = self.active = 0
        self.reach = 1.0 if float(beta.min()) > 0 and float(gamma.min()) > 0 else -1.0

    def run(self, pairs: int) -> float:
        """Look at them all, `pairs` in number; what rounding decides is set aside for the end.

        Returns
        -------
        float
            How many times the pairs that can be listed are within the budgets; above ``_CROWDED``, as far as it has
            looked, it has stopped.
        """
        starts, done = self._all.starts, 0
        for first, last in pairwise(starts[:-1]):
            rows = max(1, self._all.entries // (starts[-1] - last))
            for a in range(first, last, rows):
                b = min(a + rows, last)
                self._block(a, b, last)
                done += (b - a) * (starts[-1] - last)
                crowd = self.seen / self._most * pairs / done
                if self.reach > 0 and crowd > _CROWDED and self.seen > self._most / _EARLY:
                    return crowd
        self._decide()
        return min(self.seen / self._most, _CROWDED)

    def gradient(self) -> Tensor:
        """As :class:`Impostors` gives it."""
        points = self._all.points
        scatter = points.T @ (self._degree[:, None] * points) - self._moment - self._moment.T
        return self._all.pulled(self._edges) - scatter - self._scatter

    def listed(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """θ in ascending order, i, j and the margins invaded now, of the pairs with a θ within reach."""
        self._thin()
        if not self._found:
            device, k = self._beta.device, self._edges.shape[1]
            none = torch.zeros(0, dtype=torch.int32, device=device)
            return none.double(), none, none, torch.zeros((0, 2 * k), dtype=torch.bool, device=device)
        theta, i, j, invaded = self._found[0]
        order = theta.argsort(stable=True)
        return theta[order], i[order], j[order], invaded[order]

    def _block(self, a: int, b: int, last: int) -> None:
        """The pairs of the rows a … b of one class with all points of later classes, which begin at `last`."""
        view, beta, gamma = self._view, self._beta, self._gamma
        distances = torch.addmm(self._squares[a:b], self._left[a:b], self._right[:, last:])
        limit = torch.maximum(self._widest[a:b, None], self._widest[None, last:])
        limit.add_(beta[a:b, None]).add_(beta[None, last:]).square_().add_(view.rounding)
        i, j = (distances <= limit).nonzero(as_tuple=True)
        distances = distances[i, j]
        i, j = i + a, j + last
        self.seen += len(i)
        invaded, close = view.invaded(i, j, distances)
        if bool(close.any()):
            self._close.append((i[close], j[close]))
            if sum(len(some) for some, _ in self._close) > self._most:
                self._decide()
            i, j, distances, invaded = i[~close], j[~close], distances[~close], invaded[~close]
        i_in, j_in, weights = self._count(i, j, invaded)
        places, shape = torch.stack([i_in - a, j_in]), (b - a, len(self._degree))
        pushed = torch.sparse_coo_tensor(places, weights, shape, is_coalesced=True, check_invariants=False)
        self._moment += self._all.points[a:b].T @ (pushed @ self._all.points)
        self._degree.index_add_(0, i_in, weights).index_add_(0, j_in, weights)
        if self.reach > 0:
            lengths = distances.clamp(min=0).sqrt()[:, None]
            hidden = 4 * view.rounding + view.rounding / lengths.clamp(min=math.sqrt(view.rounding))
            slack = (lengths - torch.hstack([view.roots[i], view.roots[j]])).abs() - hidden
            budget = (beta[i] + beta[j])[:, None] + torch.hstack([gamma[i], gamma[j]])
            self._list((slack / budget).amin(dim=1).clamp(min=0), i, j, invaded)

    def _decide(self) -> None:
        """Take in the pairs set aside as too close to call: one question for all, whatever the size of a block."""
        if not self._close:
            return
        i, j = (torch.cat(parts) for parts in zip(*self._close, strict=True))
        self._close = []
        invaded = self._all.close_calls(self._view, i, j)
        self._scatter += self._all.outer(*self._count(i, j, invaded))
        if self.reach > 0:
            self._list(torch.zeros(len(i), dtype=torch.float64, device=i.device), i, j, invaded)

    def _count(self, i: Tensor, j: Tensor, invaded: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Count the margins invaded at their targets; the pairs that invade any, and how many."""
        weights, k = invaded.sum(dim=1), self._edges.shape[1]
        self.active += int(weights.sum())
        there = weights.nonzero()[:, 0]
        i, j, change = i[there], j[there], invaded[there].double()
        self._edges.index_add_(0, i, change[:, :k]).index_add_(0, j, change[:, k:])
        return i, j, weights[there].double()

    def _list(self, theta: Tensor, i: Tensor, j: Tensor, invaded: Tensor) -> None:
        near = (theta <= self.reach).nonzero()[:, 0]
        self._found.append((theta[near], i[near].int(), j[near].int(), invaded[near]))
        self._listed += len(near)
        if self._listed > 2 * self._most:
            self._thin()

    def _thin(self) -> None:
        """Make one of the lists, and keep of it what fits: the θ within reach shrinks to that."""
        if len(self._found) > 1:
            theta, i, j, invaded = (torch.cat(parts) for parts in zip(*self._found, strict=True))
            self._found = [(theta, i, j, invaded)]
        if not self._found or len(self._found[0][0]) <= self._most:
            return
        theta, i, j, invaded = self._found[0]
        some = theta[:: -(-len(theta) // _SAMPLED)]
        self.reach = float(some.kthvalue(max(1, len(some) * self._most // len(theta))).values) * (1 - 1e-9)
        kept = (theta <= self.reach).nonzero()[:, 0]
        self._found = [(theta[kept], i[kept], j[kept], invaded[kept])]
        self._listed = len(kept)
