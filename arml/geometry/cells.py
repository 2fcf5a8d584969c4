"""One point among the cells of its negatives, and the shortest way into a cell.

The perturbations δ that make the negative j the nearest form a polyhedron, j's *cell*: one half-space a positive i
(eq. 14), (w_i − w_j)ᵀδ ≤ (d_i − d_j) / 2, and the faces of a box where there is one. Both solvers here start with the
nearest positives and add half-spaces as they are violated, so every intermediate value is a lower bound; and both
return multipliers, from which the bound is computed anew (weak duality), so that it never depends on how exactly a
solver solved.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arml.knn.query import Query
from arml.solvers.duality import proved_norm
from arml.solvers.lp import shortest_point
from arml.solvers.qp import Dual, Infeasible, MinNormPoint

__all__ = ["Entry", "Point", "enter"]

# Soundness of the upper bound: how much of a half-space's violation is a tie. aᵀδ − b is half a difference of squared
# distances, and the tie step is two quanta of those: 1/8 of it leaves half a quantum open, _BOXED of that, where a box
# leaves no room to repair it, one quantum, which rounds to the same step. The lower bound is computed anew from
# multipliers (:mod:`arml.solvers.duality`) and rests on none of these.
_TIE = 8.0
_BOXED = 2.0
_EPS = float(np.finfo(np.float64).eps)
_FACE, _TERMS = (
    4.0,
    16,
)  # δ is a sum of half-spaces' normals: D + 16 roundings of at most the corner's length, and slack

# Effort: changes time, and which of several proofs is found; never whether a bound holds.
_NEAR = 48
_GROW = 8
_STEPS, _STEPS_EACH = 1000, 20

Matrix = NDArray[np.float64]
Rows = NDArray[np.intp]
Vector = NDArray[np.float64]


class Entry(NamedTuple):
    """The way into a cell: δ (None where the solver stopped before it was feasible) and what bounds its length."""

    delta: Vector | None
    duals: tuple[Dual, ...]


class Point:
    """A test point with what all its cells share.

    Parameters
    ----------
    query : Query
    margin : float
        :meth:`arml.knn.query.Query.margin` as far as any perturbation in question may reach.
    tie_step : float
        The same as far as the nearest negative: what counts as a tie must not grow with the box.

    Attributes
    ----------
    near : ndarray of rows
        The nearest positives, nearest first.
    corner : float
        No perturbation is longer: inf without a box.
    tie : float
        A half-space violated by less than this is kept: a fraction of the tie step of distances.
    """

    def __init__(self, query: Query, margin: float, tie_step: float) -> None:
        self.query, self.margin = query, margin
        self.reference, self.x, self.d, self.positives = query.reference, query.x, query.distances, query.own
        self.norm, self.box = query.norm, query.box
        self.corner = np.inf if self.box is None else self.box.corner(self.norm)
        self.tie = tie_step / _TIE
        own, positives = self.d[self.positives], self.positives
        size = min(_NEAR, own.size)
        near = np.argpartition(own, size - 1)[:size] if size < own.size else np.arange(own.size)
        self.near: Rows = positives.start + near[np.argsort(own[near], kind="stable")]

    def half_spaces(self, rows: Rows, j: int) -> tuple[Matrix, Vector]:
        """A (m, D) and b (m,) of the cell of row j for positives ``rows``."""
        return self.reference.w[rows] - self.reference.w[j], (self.d[rows] - self.d[j]) / 2.0

    def excess(self, delta: Vector, j: int) -> Vector:
        """aᵢᵀδ − bᵢ for every positive: by how much each half-space is violated."""
        w, d, rows = self.reference.w, self.d, self.positives
        return np.asarray(w[rows] @ delta - float(w[j] @ delta) - (d[rows] - d[j]) / 2.0)

    def violated(self, delta: Vector, j: int, working: Rows) -> Rows:
        """The most violated positives outside the working set, a few at most."""
        excess = self.excess(delta, j)
        size = min(_GROW, excess.size)
        more = np.argpartition(excess, -size)[-size:]
        rows = more[excess[more] > self.tie] + self.positives.start
        return np.array(sorted(set(rows.tolist()).difference(working.tolist())), dtype=np.intp)

    def face(self, delta: Vector) -> int:
        """The face of the box that δ violates most, −1 if none."""
        if self.box is None:
            return -1
        beyond = np.concatenate([self.box.low - delta, delta - self.box.high])
        worst = int(beyond.argmax())
        return worst if beyond[worst] > _FACE * (delta.size + _TERMS) * _EPS * self.corner else -1

    def proved(self, dual: Dual) -> float:
        """The lower bound that multipliers prove, ‖δ‖ ≥ [−bᵀλ]₊ / ‖Aᵀλ‖_q (Hölder), rounding subtracted.

        inf where it is farther than the farthest corner of the box.
        """
        bound = proved_norm(dual, self.norm, self.margin, self.reference.w_error)
        return np.inf if bound > self.corner else bound

    def repaired(self, delta: Vector | None, j: int) -> Vector | None:
        """Move δ (None: 0) towards x_j − x, which is feasible, until every half-space holds.

        A half-space without room at x_j − x (a positive that coincides with j) and violated by less than the tie
        step is a tie wherever we go. In a box that x_j is outside of, there may be no feasible point to move to:
        then δ, clipped to the box, is kept if it violates nothing by more than the tie step; else None.
        """
        moved: Vector
        target = self.query.onto(j)
        if self.box is not None:
            target = self.box.clip(target)
        if delta is None:
            delta, moved = target, target
        else:
            excess, room = self.excess(delta, j), np.maximum(-self.excess(target, j), 0.0)
            outside = np.flatnonzero((excess > 0.0) & ((room > self.margin) | (excess > self.tie)))
            share = float((excess[outside] / (excess[outside] + room[outside])).max()) if outside.size else 0.0
            moved = np.asarray(delta + min(1.0, share) * (target - delta))
        if self.box is None:
            return moved
        for candidate in (self.box.clip(moved), self.box.clip(delta)):
            if self.excess(candidate, j).max() <= _BOXED * self.tie:
                return candidate
        return None


def enter(point: Point, j: int, limit: float, deadline: float) -> Entry:
    """The shortest way into the cell of row j, unless it is longer than ``limit`` or ``deadline`` passes before.

    Parameters
    ----------
    point : Point
    j : int
    limit : float
        In the point's norm.
    deadline : float
        On :func:`time.monotonic`.
    """
    return (
        _by_quadratic(point, j, limit, deadline) if point.norm.is_euclidean else _by_linear(point, j, limit, deadline)
    )


def _by_quadratic(point: Point, j: int, limit: float, deadline: float) -> Entry:
    """ℓ2: a dual active set, one violated half-space at a time."""
    solver = MinNormPoint(point.x.size)
    working = point.near
    normals, offsets = point.half_spaces(working, j)
    lengths = _lengths(normals)
    feasible = False
    try:
        for _ in range(_STEPS + _STEPS_EACH * point.x.size):
            if solver.norm >= limit or time.monotonic() > deadline:
                break
            slack = normals @ solver.point - offsets
            worst = int(np.where(slack > point.tie, slack / lengths, -np.inf).argmax())
            if slack[worst] > point.tie:
                if not solver.add(normals[worst], float(offsets[worst]), int(working[worst])):
                    break
                continue
            face = point.face(solver.point)
            if face >= 0 and point.box is not None:
                index = np.array([face])
                if not solver.add(point.box.normals(index)[0], float(point.box.offsets(index)[0]), -1 - face):
                    break
                continue
            more = point.violated(solver.point, j, working)
            if not more.size:
                feasible = True
                break
            working = np.concatenate([working, more])
            normals, offsets = point.half_spaces(working, j)
            lengths = _lengths(normals)
    except Infeasible:
        pass
    duals = (solver.dual,) if solver.contradiction is None else (solver.dual, solver.contradiction)
    return Entry(solver.point if feasible else None, duals)


def _lengths(normals: Matrix) -> Vector:
    return np.asarray(np.maximum(np.sqrt(np.square(normals).sum(axis=1)), np.finfo(np.float64).tiny))


def _by_linear(point: Point, j: int, limit: float, deadline: float) -> Entry:
    """ℓ1, ℓ∞: linear programs over a growing working set.

    Where the solver finds no optimum, most often since the cell has nothing in the box, the ℓ2 problem of the same
    cell says so with multipliers that hold in every norm, or gives a feasible point.
    """
    width = point.x.size
    low = np.full(width, -np.inf) if point.box is None else point.box.low
    high = np.full(width, np.inf) if point.box is None else point.box.high
    scale = min(point.corner, point.norm.length(point.query.onto(j)), limit)
    working = point.near
    duals: tuple[Dual, ...] = ()
    while time.monotonic() <= deadline:
        normals, offsets = point.half_spaces(working, j)
        left = deadline - time.monotonic()
        found = shortest_point(normals, offsets + point.tie, low, high, point.norm.p, scale or 1.0, left)
        if found is None:
            return _by_quadratic(point, j, np.inf, deadline)
        duals = (_dual(point, working, normals, offsets, found.rows, np.concatenate([found.low, found.high])),)
        if point.proved(duals[0]) >= limit:
            break
        more = point.violated(found.point, j, working)
        if not more.size:
            return Entry(found.point, duals)
        working = np.concatenate([working, more])
    return Entry(None, duals)


def _dual(point: Point, rows: Rows, normals: Matrix, offsets: Vector, weights: Vector, on_faces: Vector) -> Dual:
    """The half-spaces and faces with a multiplier."""
    active = np.flatnonzero(weights > 0.0)
    if point.box is None:
        return Dual(rows[active], weights[active], normals[active], offsets[active])
    faces = np.flatnonzero(on_faces > 0.0)
    return Dual(
        keys=np.concatenate([rows[active], -1 - faces]),
        multipliers=np.concatenate([weights[active], on_faces[faces]]),
        normals=np.vstack([normals[active], point.box.normals(faces)]),
        offsets=np.concatenate([offsets[active], point.box.offsets(faces)]),
    )
