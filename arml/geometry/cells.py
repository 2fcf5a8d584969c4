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

from arml.knn.query import Margins, Query
from arml.solvers.duality import proved_norm
from arml.solvers.lp import shortest_point
from arml.solvers.qp import Dual, Infeasible, MinNormPoint

__all__ = ["Entry", "Point", "enter"]

# When the solver has done: aᵀδ − b is half a difference of squared distances, and a share of what is lost for j there
# is too little to go on for. What counts is measured in the end: :meth:`Point.attains`, for the upper bound, and
# :mod:`arml.solvers.duality`, for the lower one, which is computed anew from multipliers.
_TIE, _FINE = 128.0, 4096.0
_EPS = float(np.finfo(np.float64).eps)
_FACE, _TERMS = (
    4.0,
    16,
)  # δ is a sum of half-spaces' normals: D + 16 roundings of at most the corner's length, and slack

# Effort: changes time, and which of several proofs is found; never whether a bound holds.
_NUDGES = tuple(2.0**-power for power in range(52, -1, -4))  # shares of what is left of the way onto j
_NEAR = 48
_GROW = 8
_STEPS, _STEPS_EACH = 1000, 20

Matrix = NDArray[np.float64]
Rows = NDArray[np.intp]
Vector = NDArray[np.float64]


class Entry(NamedTuple):
    """The way into a cell: δ (None if there is none; where the solver stopped early, on its way) and what bounds it."""

    delta: Vector | None
    duals: tuple[Dual, ...]


class Point:
    """A test point with what all its cells share.

    Parameters
    ----------
    query : Query
    margins : Margins
        As far as any perturbation in question may reach.
    fine : bool
        Measure the distances of all training points that take part, and their normals, from differences.

    Attributes
    ----------
    near : ndarray of rows
        The nearest positives, nearest first.
    corner : float
        No perturbation is longer: inf without a box.
    """

    def __init__(self, query: Query, margins: Margins, *, fine: bool = False) -> None:
        self.query, self.margins, self.fine = query, margins, fine
        self.reference, self.x, self.d, self.positives = query.reference, query.x, margins.distances, query.own
        self.norm, self.box = query.norm, query.box
        self.corner = np.inf if self.box is None else self.box.corner(self.norm)
        own, positives = self.d[self.positives], self.positives
        size = min(_NEAR, own.size)
        near = np.argpartition(own, size - 1)[:size] if size < own.size else np.arange(own.size)
        self.sharpen(positives.start + near)
        near = near[np.argsort(self.d[positives][near], kind="stable")]
        self.near: Rows = positives.start + near
        self._last: tuple[Vector, int, Vector] | None = None  # of `excess`: a solver's last point is asked about twice

    def sharpen(self, rows: Rows) -> None:
        """Measure the distances of these rows, where the point is ``fine``."""
        if self.fine:
            self.margins.sharpen(rows)

    def tie(self, j: int) -> float:
        """A half-space of j's cell violated by less than this is kept."""
        return float(self.margins.slack[j]) / (_FINE if self.fine else _TIE)

    def half_spaces(self, rows: Rows, j: int) -> tuple[Matrix, Vector]:
        """A (m, D) and b (m,) of the cell of row j for positives ``rows``."""
        if self.fine:
            self.margins.sharpen(np.append(rows, j))
            normals, _ = self.reference.normals(rows, np.array([j]))
        else:
            normals = self.reference.w[rows] - self.reference.w[j]
        return normals, (self.d[rows] - self.d[j]) / 2.0

    def excess(self, delta: Vector, j: int) -> Vector:
        """aᵢᵀδ − bᵢ for every positive: by how much each half-space is violated."""
        if self._last is None or self._last[0] is not delta or self._last[1] != j:
            w, d, rows = self.reference.w, self.d, self.positives
            found = np.asarray(w[rows] @ delta - float(w[j] @ delta) - (d[rows] - d[j]) / 2.0)
            self._last = delta, j, found
        return self._last[2]

    def violated(self, delta: Vector, j: int, working: Rows) -> Rows:
        """The most violated positives outside the working set, a few at most."""
        excess = self.excess(delta, j)
        size = min(_GROW, excess.size)
        more = np.argpartition(excess, -size)[-size:]
        rows = more[excess[more] > self.tie(j)] + self.positives.start
        return np.array(sorted(set(rows.tolist()).difference(working.tolist())), dtype=np.intp)

    def face(self, delta: Vector) -> int:
        """The face of the box that δ violates most, −1 if none."""
        if self.box is None:
            return -1
        beyond = np.concatenate([self.box.low - delta, delta - self.box.high])
        worst = int(beyond.argmax())
        return worst if beyond[worst] > _FACE * (delta.size + _TERMS) * _EPS * self.corner else -1

    def proved(self, dual: Dual, j: int) -> float:
        """The lower bound that multipliers prove, ‖δ‖ ≥ [−bᵀλ]₊ / ‖Aᵀλ‖_q (Hölder), rounding subtracted.

        inf where it is farther than the farthest corner of the box.
        """
        slack, errors = np.zeros(dual.keys.size), np.zeros(dual.keys.size)
        pairs = dual.keys >= 0
        rows, reference = dual.keys[pairs], self.reference
        slack[pairs] = self.margins.slack[rows] + self.margins.slack[j]
        if self.fine:
            errors[pairs] = reference.normals(rows, np.array([j]))[1]
        else:
            errors[pairs] = reference.row_errors(rows) + reference.row_errors(j)
        bound = proved_norm(dual, self.norm, slack, errors)
        return np.inf if bound > self.corner else bound

    def attains(self, delta: Vector, j: int) -> bool:
        """Whether at x + δ row j is as near as all positives, ties included, measured from differences."""
        excess, rounding = self.excess(delta, j), self.reference.rounding
        doubt = (self.margins.screened[self.positives] + self.margins.screened[j]) / 2.0
        if (excess > doubt).any():
            return False
        rows = np.append(np.flatnonzero(excess > -doubt) + self.positives.start, j)
        d, sizes = self.reference.measured(self.query.point[None], rows, shift=delta)
        tolerance = rounding.attained(np.sqrt(d), sizes)
        return bool((d[-1] - d[:-1] <= tolerance[-1] + tolerance[:-1]).all())

    def repaired(self, delta: Vector | None, j: int) -> Vector | None:
        """Move δ (None: 0) towards x_j − x, which is feasible, until j is as near as all positives, ties included.

        In a box that x_j is outside of, there may be no feasible point to move to: then None.
        """
        target = self.query.onto(j)
        if self.box is not None:
            target = self.box.clip(target)
        if delta is None:
            return target if self.attains(target, j) else None
        delta = delta if self.box is None else self.box.clip(delta)
        if self.attains(delta, j):
            return delta
        excess, room = self.excess(delta, j), np.maximum(-self.excess(target, j), 0.0)
        outside = np.flatnonzero((excess > 0.0) & (room > 0.0))
        share = float((excess[outside] / (excess[outside] + room[outside])).max()) if outside.size else 0.0
        for nudge in (0.0, *_NUDGES):
            part = share + nudge * (1.0 - share)
            moved: Vector = np.asarray(target if part >= 1.0 else delta + part * (target - delta))
            if self.box is not None:
                moved = self.box.clip(moved)
            if self.attains(moved, j):
                return moved
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
    tie = point.tie(j)
    try:
        for _ in range(_STEPS + _STEPS_EACH * point.x.size):
            if solver.norm >= limit or time.monotonic() > deadline:
                break
            slack = normals @ solver.point - offsets
            worst = int(np.where(slack > tie, slack / lengths, -np.inf).argmax())
            if slack[worst] > tie:
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
                break
            working = np.concatenate([working, more])
            normals, offsets = point.half_spaces(working, j)
            lengths = _lengths(normals)
    except Infeasible:
        pass
    duals = (solver.dual,) if solver.contradiction is None else (solver.dual, solver.contradiction)
    return Entry(solver.point if solver.contradiction is None else None, duals)


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
        found = shortest_point(normals, offsets, low, high, point.norm.p, scale or 1.0, left)
        if found is None:
            return _by_quadratic(point, j, np.inf, deadline)
        duals = (_dual(point, working, normals, offsets, found.rows, np.concatenate([found.low, found.high])),)
        if point.proved(duals[0], j) >= limit:
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
