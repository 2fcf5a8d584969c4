"""Best-first search for the nearest cell of one point: bounds for all negatives, exact entries for the few in doubt."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arml.certificate import Proof
from arml.geometry.bisectors import Pairs
from arml.geometry.cells import Point, enter
from arml.solvers.qp import Dual

__all__ = ["Outcome", "search", "wrong"]

# Effort: how many negatives are looked at together; up to how many N D one positive is compared with all; rows are
# picked out of N only where they are fewer by this factor.
_CHUNK = 64
_SMALL = 1 << 20
_GATHERED = 8

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]


class Outcome(NamedTuple):
    """One point's interval, its witness (training index, −1 where there is none) and its proof."""

    lower: float
    upper: float
    negative: int
    perturbation: Vector
    n_problems: int
    pool: Rows
    proofs: tuple[Proof, ...]
    misclassified: bool = False


def wrong(n_features: int) -> Outcome:
    """The outcome of a misclassified point."""
    return Outcome(0.0, 0.0, -1, np.zeros(n_features), 0, np.zeros(0, dtype=np.intp), (), True)


def search(point: Point, deadline: float) -> Outcome:
    """The exact radius of one rightly classified point.

    Parameters
    ----------
    point : Point
    deadline : float
        On :func:`time.monotonic`. When it has passed, one program is still begun.

    Returns
    -------
    Outcome
        The perturbation is NaN where no attack was found.
    """
    return _Search(point, deadline).run()


class _Search:
    def __init__(self, point: Point, deadline: float) -> None:
        self.point = point
        self.pairs = Pairs(point.margins)
        self.deadline = deadline
        self.lower, self.upper = np.inf, np.inf
        self.negative, self.perturbation = -1, np.full(point.x.size, np.nan)
        self.n_problems = 0
        self.solved: list[tuple[int, float, Dual]] = []

    def run(self) -> Outcome:
        # Invariant of the search: `lower` is the smallest proved bound of the negatives solved, `upper` the length of a
        # perturbation; every other negative has a bound of `upper` or more, by distances alone or by the closed form
        # (eq. 9), once all is done. So min(lower, upper) ≤ eq. (13) ≤ upper. A few dozen go first: then `upper` rules
        # most others out.
        rivals = self.point.query.outside
        cheap = self.point.reference.w.size <= _SMALL
        bounds = self._single(rivals) if cheap else self._floors(rivals)
        size = min(_CHUNK, rivals.size)
        chunk = np.argpartition(bounds, size - 1)[:size]
        chunk = chunk[np.isfinite(bounds[chunk])]
        self._best_first(rivals[chunk], self._refine(rivals[chunk], bounds[chunk]))
        bounds[chunk] = np.inf
        rest = np.flatnonzero(bounds < self.upper)
        if rest.size > _CHUNK and not cheap:
            bounds[rest] = np.maximum(bounds[rest], self._single(rivals[rest]))
            rest = rest[bounds[rest] < self.upper]
        self._best_first(rivals[rest], self._refine(rivals[rest], bounds[rest]))
        if np.isinf(self.upper) and np.isfinite(self.lower):
            self._any_attack()
        lower = min(self.lower, self.upper)
        order = self.point.reference.order
        return Outcome(
            lower=lower,
            upper=self.upper,
            negative=int(order[self.negative]) if self.negative >= 0 else -1,
            perturbation=self.perturbation,
            n_problems=self.n_problems,
            pool=order[self.point.near],
            # bounds of `lower` or more come from the closed form over the pool: they need no multipliers
            proofs=tuple(self._proof(j, dual) for j, bound, dual in self.solved if bound < lower),
        )

    def _within(self, bounds: Vector) -> Vector:
        """Bounds beyond the farthest corner of the box are of cells outside it: inf, in place."""
        bounds[bounds > self.point.corner] = np.inf
        return bounds

    def _floors(self, rows: Rows) -> Vector:
        """Bounds of some negatives by distances alone."""
        return self._within(self.pairs.floors(rows, self.pairs.kth(self.point.positives, 1)))

    def _single(self, rows: Rows) -> Vector:
        """Bounds of some negatives by the nearest positive, which rules out most."""
        near, n = self.point.near[:1], self.point.reference.n_train
        if rows.size * _GATHERED < n:
            return self._within(self.pairs.bounds(near, rows)[:, 0])
        return self._within(self.pairs.bounds(near, slice(0, n))[rows, 0])

    def _refine(self, rows: Rows, bounds: Vector) -> Vector:
        """Sharpen the bounds of some negatives by the nearest positives."""
        self.point.sharpen(rows)
        out = bounds.copy()
        for start in range(0, rows.size, 4 * _CHUNK):
            part = slice(start, start + 4 * _CHUNK)
            sharper = self.pairs.bounds(self.point.near, rows[part])
            out[part] = np.maximum(out[part], sharper.max(axis=1))
        return self._within(out)

    def _best_first(self, rows: Rows, bounds: Vector) -> None:
        # in the order of bounds: the first that cannot beat `upper` ends it for all behind. Out of time, the next bound
        # is the smallest of those left, and takes part in `lower` as it is.
        for position in np.argsort(bounds, kind="stable"):
            bound = float(bounds[position])
            if bound >= self.upper:
                break
            if self.n_problems and time.monotonic() > self.deadline:
                self.lower = min(self.lower, bound)
                break
            self._solve(int(rows[position]), bound)

    def _solve(self, j: int, bound: float) -> None:
        """One program: how far to j's cell. It stops when it cannot beat the best so far."""
        self.n_problems += 1
        # each dual proves a bound by itself (weak duality); one that beats the closed form is kept for the certificate
        entry = enter(self.point, j, self.upper, self.deadline)
        proved = bound
        for dual in entry.duals:
            value = self.point.proved(dual, j)
            if value > proved:
                proved = value
                self.solved.append((j, bound, dual))
        self.lower = min(self.lower, proved)
        if proved < self.upper:
            self._propose(entry.delta, j)

    def _propose(self, delta: Vector | None, j: int) -> None:
        delta = self.point.repaired(delta, j)
        length = np.inf if delta is None else self.point.norm.length(delta)
        if delta is not None and length < self.upper:
            self.upper, self.negative, self.perturbation = length, j, delta

    def _any_attack(self) -> None:
        """Out of time without an attack: in a box, the nearest negative may be outside; try the others."""
        d = self.point.d.copy()
        d[self.point.positives] = np.inf
        for j in np.argsort(d, kind="stable")[: min(_CHUNK, int(np.isfinite(d).sum()))]:
            self._propose(None, int(j))
            if np.isfinite(self.upper):
                break

    def _proof(self, j: int, dual: Dual) -> Proof:
        order, pairs = self.point.reference.order, dual.keys >= 0
        return Proof(
            int(order[j]),
            order[dual.keys[pairs]],
            dual.multipliers[pairs],
            -1 - dual.keys[~pairs],
            dual.multipliers[~pairs],
        )
