"""The search of the geometric attack: from cell to cell while the way gets shorter, from many starts.

One search is about one point; :mod:`arml.attacks.geometric` says what it spends and what else is asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.attacks.result import distance
from arml.geometry.order_k_cells import Cell, Entry, Neighborhood, nearest
from arml.knn.neighbors import predict_codes
from arml.verify.radii import verify_points

__all__ = ["Search"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

# Effort: changes time, and how short a way is found. That it is a way, the classifier says.
_SLACK = 1.25  # the first cell of a descent may be so much farther than the best: the next ones are nearer
_SHORTER = 1.0 - 1e-9  # what is not shorter by this share is the same way again, rounded
_CLOSE = 1.0 + 1e-6  # a way not longer than the proved radius by more is the shortest
_LOOKED = 16  # ways followed of what the classifier was asked
_STARTS = 6
_FOLLOWED = 20
_RAYS, _CENTRE, _STRETCHES = 32, 256, (2.0, 8.0, 32.0)
_SWAPS = 6
_NUDGES = (0.0, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6)  # shares of δ by which to overstep a boundary that rounding blurs
_JUMP = 0.1, 0.6  # shares of the best length, for a restart


class _Spent(Exception):
    """No programs or no time left."""


class Search:
    """The search for one point.

    Attributes
    ----------
    norm : float
        Length of the shortest way found, from the point to ``adversarial``, which the classifier gets wrong.
    adversarial : ndarray of shape (D,) or None
    shortest : bool
        Whether it is known that there is no shorter way (K = 1).
    """

    def __init__(self, around: Neighborhood, programs: int, deadline: float) -> None:
        self.around, self._programs, self._deadline = around, programs, deadline
        self._x = around.query.point
        self.norm = np.inf
        self.adversarial: Floats | None = None
        self.shortest = False
        self._best: Entry | None = None
        self._tried: set[Any] = set()

    def run(self, generator: np.random.Generator) -> None:
        """Descend from all starts, then improve until nothing is left to spend (K = 1: the exact way)."""
        try:
            if self.around.n_neighbors == 1:
                self._exact()
                return
            for cell in self._starts():
                self._descend(cell)
            self._improve()
            while self._best is not None:
                self._spend()  # a draw costs as much, or draws of cells known already would go on for ever
                self._descend(self._elsewhere(self._best, generator))
                self._improve()
        except _Spent:
            pass

    def explore(self, ends: list[Floats], ways: Floats) -> None:
        """Descend from points that the classifier gets wrong, and from where each class comes nearest to winning.

        Parameters
        ----------
        ends : list of ndarrays of shape (D,)
        ways : ndarray of shape (n, D)
            Perturbations.
        """
        codes = np.unique(self.around.reference.codes[self.around.outside]).tolist()
        with suppress(_Spent):
            for z in ends[:_LOOKED]:
                self._descend(self.around.cell_found(z), np.inf)
            for delta in ways:
                for code in codes:
                    self._descend(self._nearest_cell(code, delta), np.inf)
            self._improve()

    def propose(self, z: Floats) -> None:
        """Keep a point that the classifier gets wrong, where it is nearer."""
        length = distance(self._x, z)
        if length < self.norm:
            self.norm, self.adversarial = length, z

    def follow(self, cell: Cell | None) -> float:
        """Descend from a cell that someone else has found, whatever is left of the allowance; return the norm."""
        left, self._programs = self._programs, _FOLLOWED
        with suppress(_Spent):
            self._descend(cell)
        self._programs = left
        return self.norm

    def _solve(self, cell: Cell, limit: float) -> Entry | None:
        self._spend()
        return self.around.enter(cell, limit)

    def _spend(self) -> None:
        """One program less."""
        if self._programs <= 0 or time.monotonic() > self._deadline:
            raise _Spent
        self._programs -= 1

    def _enter(self, cell: Cell, limit: float) -> Entry | None:
        """Solve a cell; if that is the shortest way so far, ask the classifier, and keep it if it is fooled."""
        entry = self._solve(cell, limit)
        if entry is not None and entry.norm < self.norm:
            for nudge in _NUDGES:
                z = self._x + (1.0 + nudge) * entry.delta
                if self.around.box is not None:
                    z = self._x + self.around.box.clip(z - self._x)
                if predict_codes(self.around.reference, z[None], self.around.n_neighbors)[0] != self.around.code:
                    length = distance(self._x, z)
                    if length < self.norm:
                        self.norm, self.adversarial, self._best = length, z, entry
                    break
        return entry

    def _descend(self, cell: Cell | None, slack: float = _SLACK) -> None:
        """From cell to cell while the way gets shorter."""
        # δ lies in cell_at(δ), so the way into that is no longer; each step is shorter by a share, or the last. There
        # are finitely many cells, and none is entered twice: it ends, at a δ that is shortest in a cell around it.
        limit = slack * self.norm
        while cell is not None and cell.key not in self._tried:
            self._tried.add(cell.key)
            entry = self._enter(cell, limit)
            if entry is None:
                return
            cell, limit = self.around.cell_at(entry.delta), _SHORTER * entry.norm

    def _starts(self) -> Iterator[Cell | None]:
        """Where descents begin: seen from the nearest negatives' own cells, from x, and at training points."""
        around = self.around
        near = self._nearest_of_classes(around.half)
        for j in near:
            q = self._spared(int(around.reference.codes[j]))
            alone = Cell(int(around.reference.codes[j]), np.array([j]), _none(), nearest(around.half, around.own, q))
            entry = self._solve(alone, _SLACK * self.norm)
            if entry is not None:
                yield self._nearest_cell(int(around.reference.codes[j]), entry.delta)
        for code in dict.fromkeys(around.reference.codes[near].tolist()):
            yield self._nearest_cell(code, np.zeros_like(around.x))
        for j in near:
            yield around.cell_at(around.query.onto(int(j)))
        if self._best is None:  # few points, or none of another class nearby: far out on rays through points
            home = np.mean([around.reference.point(int(i)) for i in around.own[:_CENTRE]], axis=0)
            for j in nearest(around.half, around.outside, _RAYS):
                for origin in (around.x, home):
                    for stretch in _STRETCHES:
                        yield around.cell_at(origin + stretch * (around.reference.point(int(j)) - origin) - around.x)

    def _nearest_of_classes(self, half: Floats) -> Rows:
        """A few of the nearest negatives, and the nearest of a few more classes."""
        around = self.around
        codes = around.reference.codes
        ranked = nearest(half, around.outside, around.outside.size)
        _, first = np.unique(codes[ranked], return_index=True)
        chosen = np.unique(np.concatenate([np.arange(min(_STARTS, ranked.size)), np.sort(first)[:_STARTS]]))
        return np.asarray(ranked[chosen])

    def _spared(self, rival: int) -> int:
        """How many points of the true class a bare majority of the rival leaves among the neighbours."""
        k = self.around.n_neighbors
        return min((k if rival < self.around.code else k - 1) // 2, self.around.own.size)

    def _nearest_cell(self, rival: int, delta: Floats) -> Cell | None:
        """The cell in which the rival wins by its nearest points at δ, the class being spared as much as possible.

        None where it cannot win: too few points, or too few of other classes to keep those of its own out.
        """
        around = self.around
        scores = around.scores(delta)
        rows = around.reference.class_rows(rival)
        # c wins with as many votes as y has, or one more (c > y); so many points it must have, and the front K − q
        q = min(self._spared(rival), rows.stop - rows.start - (rival > around.code))
        if q < 0 or around.n_neighbors - q > around.outside.size:
            return None
        voters = nearest(-scores, np.arange(rows.start, rows.stop), min(around.n_neighbors - q, rows.stop - rows.start))
        third = around.outside[around.reference.codes[around.outside] != rival]
        others = nearest(-scores, third, around.n_neighbors - q - voters.size)
        return Cell(rival, voters, others, nearest(-scores, around.own, q))

    def _improve(self) -> None:
        """Neighbouring cells of the best, until none is shorter."""
        improved = True
        while improved and self._best is not None:
            improved = False
            for cell in self._neighbours(self._best):
                if cell.key in self._tried:
                    continue
                self._tried.add(cell.key)
                entry = self._enter(cell, _SHORTER * self.norm)
                if entry is not None:
                    self._descend(self.around.cell_at(entry.delta))
                    improved = True
                    break

    def _neighbours(self, best: Entry) -> Iterator[Cell]:
        """Cells with one point changed: of those that bound the way, the one with the largest multiplier first."""
        around = self.around
        cell = around.cell_at(best.delta)
        if cell is None:
            return
        # λ is how fast the norm falls as a half-space gives way: the point with the largest sum of λ is swapped first.
        # One of the front gives way to the next of its kind, one of the spared (or others) to what bounds from behind.
        scores = around.scores(best.delta)
        weight: dict[int, float] = {}
        for (far, near), multiplier in zip(best.pairs, best.multipliers.tolist(), strict=True):
            weight[far] = weight.get(far, 0.0) + multiplier
            weight[near] = weight.get(near, 0.0) + multiplier
        for row in sorted(weight, key=lambda row: -weight[row]):
            code = int(around.reference.codes[row])
            if row in cell.voters:
                rows = around.reference.class_rows(code)
                for other in _beyond(scores, np.arange(rows.start, rows.stop), cell.voters):
                    yield cell._replace(voters=_swap(cell.voters, row, other))
            elif row in cell.others:
                for other in _beyond(scores, around.outside, np.concatenate([cell.voters, cell.others])):
                    if around.reference.codes[other] != cell.rival:
                        yield cell._replace(others=_swap(cell.others, row, other))
            elif code == around.code:
                for other in cell.spared[::-1]:
                    yield cell._replace(spared=_swap(cell.spared, int(other), row))
            elif code != cell.rival:
                for other in cell.others[::-1]:
                    yield cell._replace(others=_swap(cell.others, int(other), row))

    def _elsewhere(self, best: Entry, generator: np.random.Generator) -> Cell | None:
        """A cell near the best: where a step in a random direction leads."""
        around = self.around
        step = generator.standard_normal(best.delta.size)
        step *= generator.uniform(*_JUMP) * best.norm / float(np.linalg.norm(step))
        delta = best.delta + step
        cell = around.cell_at(delta)
        if cell is None:
            here = around.cell_at(best.delta)
            cell = None if here is None else self._nearest_cell(here.rival, delta)
        return cell

    def _exact(self) -> None:
        """K = 1: into the cell that the exact radius names."""
        around = self.around
        label = around.reference.classes[around.code]
        limits = None if around.box is None else around.box.bounds
        exact = verify_points(around.reference, self._x[None], np.array([label]), bounds=limits)
        if exact.negative[0] < 0:
            return
        row = int(np.flatnonzero(around.reference.order == exact.negative[0])[0])
        self._enter(self._alone(row), np.inf)
        self.shortest = bool(self.norm <= exact.lower[0] * _CLOSE)
        if self.shortest:
            return
        # ties were counted as lost: where the classifier breaks them otherwise, other cells are next
        nearest_own = nearest(around.half, around.own, 1)
        w = around.reference.w
        lengths = np.sqrt(np.square(w[around.outside] - w[nearest_own]).sum(axis=1))
        gaps = around.half[around.outside] - around.half[nearest_own]
        bounds = np.divide(gaps, lengths, out=np.zeros(gaps.size), where=lengths > 0.0)
        for place in np.argsort(bounds, kind="stable"):
            if bounds[place] >= self.norm:
                break
            if around.outside[place] != row:
                self._enter(self._alone(int(around.outside[place])), self.norm)

    def _alone(self, row: int) -> Cell:
        """The cell of one point of another class, which is nearest there."""
        return Cell(int(self.around.reference.codes[row]), np.array([row]), _none(), _none())


def _none() -> Rows:
    return np.zeros(0, dtype=np.intp)


def _swap(rows: Rows, old: int, new: int) -> Rows:
    return np.append(rows[rows != old], new)


def _beyond(scores: Floats, rows: Rows, inside: Rows) -> Rows:
    """The few with the largest scores that are not inside."""
    ranked = nearest(-scores, rows, min(rows.size, inside.size + _SWAPS))
    return ranked[~np.isin(ranked, inside)][:_SWAPS]
