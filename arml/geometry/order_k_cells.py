"""One point among the order-K cells: neighbour sets with which it is misclassified, and the shortest way into one.

At x + δ a training point i has the score wᵢᵀδ − dᵢ/2, and a larger score is a smaller distance (eq. 14): "a is nearer
than b" is a half-space in δ. The true class y loses the vote to class c when, for some m ≥ q (c < y) or m > q (c > y),

* K − q points of other classes, the *front*, are nearer than all but q points of y: so y has at most q votes;
* m of the front belong to c, the *voters*, and are nearer than all points outside the front of classes other than y
  and c: so c has at least m votes. (Not needed where K − q votes leave some class more than q whoever gets them.)

For given sets that is a polyhedron, a *cell*, and the shortest way into it is a quadratic program. Cells overlap and
cover all misclassified points; the order-K Voronoi cells of the paper's eq. (13) for K = 1 are its negatives' cells.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arml.knn.query import Margins, Query
from arml.solvers.qp import Infeasible, MinNormPoint

__all__ = ["Cell", "Entry", "Neighborhood"]

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]

# What counts as inside. Soundness does not rest on it: whether δ fools the classifier, the classifier says. Half-spaces
# are entered by _ENTERED times what is lost to ties and left alone once they hold by as much as that: then distances
# round to different steps.
_ENTERED = 2.0
_SHORT = 1e-12  # of δ's largest entry: a face of the box that is violated by less is met by clipping

# Effort: changes time, and how short a way is found.
_POOL = 256
_MORE = 32
_STEPS, _STEPS_EACH = 200, 4


class Cell(NamedTuple):
    """Sets with which a class wins; rows of the reference set.

    Attributes
    ----------
    rival : int
        Code of the class c.
    voters : rows of c, m of them
    others : rows of the front that are not of c
    spared : rows of the true class, q of them, that may be nearer than the front
    """

    rival: int
    voters: Rows
    others: Rows
    spared: Rows

    @property
    def key(self) -> tuple[int, frozenset[int], frozenset[int], frozenset[int]]:
        """The same for the same sets."""
        voters, others, spared = (frozenset(rows.tolist()) for rows in self[1:])
        return self.rival, voters, others, spared


class Entry(NamedTuple):
    """The way into a cell, and the pairs (farther, nearer) of rows that bound it, with their multipliers."""

    delta: Vector
    norm: float
    pairs: list[tuple[int, int]]
    multipliers: Vector


class Neighborhood:
    """A test point and the scores of all training points around it.

    Parameters
    ----------
    query : Query
        Under ℓ2.
    reach : float
        As far as ties must be told apart (ℓ2): half-spaces are entered by more than ties take there, so that what
        is entered here is won by the classifier too.
    """

    def __init__(self, query: Query, reach: float) -> None:
        self.query, self.reference, self.x, self.box = query, query.reference, query.x, query.box
        self.code, self.n_neighbors = query.code, query.n_neighbors
        margins = Margins(query, reach)
        self.half, self.strict = margins.distances / 2.0, margins.slack / 2.0
        self.n_classes = int(self.reference.classes.size)
        self.own: Rows = np.arange(query.own.start, query.own.stop)
        self.outside: Rows = query.outside
        self._place = np.full(self.reference.n_train, -1, dtype=np.intp)
        self._pool = np.zeros(0, dtype=np.intp)
        self._extend(np.concatenate([nearest(self.half, self.own, _POOL), nearest(self.half, self.outside, _POOL)]))

    def _extend(self, rows: Rows) -> None:
        """More rows into the pool, where violated half-spaces are looked for first."""
        rows = rows[self._place[rows] < 0]
        self._place[rows] = np.arange(self._pool.size, self._pool.size + rows.size)
        self._pool = np.concatenate([self._pool, rows])
        self._w, self._half = self.reference.w[self._pool], self.half[self._pool]
        self._strict = self.strict[self._pool]
        codes = self.reference.codes[self._pool]
        self._own, self._codes = codes == self.code, codes

    def scores(self, delta: Vector) -> Vector:
        """wᵢᵀδ − dᵢ/2 for all N rows: larger is nearer to x + δ."""
        return np.asarray(self.reference.w @ delta - self.half)

    def allowed(self, rival: int, votes: int, spared: int) -> bool:
        """Whether ``rival`` beats the true class with so many votes against ``spared``."""
        return votes >= spared + (rival > self.code)

    def cell_at(self, delta: Vector, top: Rows | None = None) -> Cell | None:
        """The widest cell around x + δ that its neighbours there suggest; None where x + δ is classified rightly.

        The winner's K neighbours make a cell; then points of the front, farthest first, give way to points of the
        true class as long as the vote allows. x + δ lies in all these cells. ``top`` are the neighbours where the
        caller knows them from the classifier, which breaks ties.
        """
        scores = self.scores(delta)
        if top is None:
            top = nearest(-scores, np.arange(scores.size), self.n_neighbors)
        codes = self.reference.codes[top]
        # Invariant: the front is before all but `spared` of y, and the voters before all else outside it. A point that
        # leaves the front at its rear lets one more of y past (fewer half-spaces, a wider cell); all else stays.
        counts = np.bincount(codes, minlength=self.n_classes)
        rival = int(counts.argmax())
        if rival == self.code:
            return None
        voters, others = top[codes == rival], top[(codes != rival) & (codes != self.code)]
        spared = int(counts[self.code])
        while spared < self.own.size:
            # a third class's point outside the front must not be before the voters
            behind = others.size > 0 and scores[others[-1]] <= scores[voters[-1]]
            lose_other = others.size > 0 and self.allowed(rival, voters.size, spared + 1)
            lose_other = lose_other and (behind or not self._contested(spared + 1))
            lose_voter = voters.size > 1 and self.allowed(rival, voters.size - 1, spared + 1)
            if lose_other and not (lose_voter and scores[voters[-1]] < scores[others[-1]]):
                others = others[:-1]
            elif lose_voter:
                voters = voters[:-1]
            else:
                break
            spared += 1
        within = top[codes == self.code]
        more = nearest(-scores, self.own[~np.isin(self.own, within)], spared - within.size)
        return Cell(rival, voters, others, np.concatenate([within, more]))

    def cell_found(self, z: Vector) -> Cell | None:
        """:meth:`cell_at` of a point, shape (D,), by the neighbours that the classifier finds there."""
        _, top = self.reference.nearest(z[None], self.n_neighbors)
        return self.cell_at(z - self.query.point, top[0])

    def enter(self, cell: Cell, limit: float = np.inf) -> Entry | None:
        """The shortest way into a cell; None where it is not below ``limit``, or there is none.

        Cost: for each half-space added, O((pool + q) D) with q active ones; O(N D) at the end.
        """
        # the solver's point is the shortest of the half-spaces added so far, a part of the cell's: its norm only grows,
        # and bounds the way into the cell from below, so at `limit` we may stop
        solver = MinNormPoint(self.x.size)
        self._extend(np.concatenate([cell.voters, cell.others, cell.spared]))
        sides = self._sides(cell)
        for _ in range(_STEPS + _STEPS_EACH * self.x.size):
            if solver.norm >= limit:
                return None
            found = self._worst(solver.point, sides)
            if found is None:
                more = self._missed(solver.point, cell)
                if not more.size:
                    return self._entry(solver)
                self._extend(more)
                sides = self._sides(cell)
                continue
            far, near, key = found
            if far < 0:
                assert self.box is not None
                face = np.array([near], dtype=np.intp)
                normal, offset = self.box.normals(face)[0], float(self.box.offsets(face)[0])
            else:
                normal = self._w[far] - self._w[near]
                offset = float(self._half[far] - self._half[near])
                offset -= _ENTERED * float(self._strict[far] + self._strict[near])
            try:
                if not solver.add(normal, offset, key):
                    return None
            except Infeasible:
                return None
        return None

    def _sides(self, cell: Cell) -> list[tuple[Rows, NDArray[np.bool_]]]:
        """(nearer, farther) in places of the pool: every one of the former must be nearer than all of the latter."""
        front, voters = self._place[np.concatenate([cell.voters, cell.others])], self._place[cell.voters]
        behind = self._own.copy()
        behind[self._place[cell.spared]] = False
        sides = [(front, behind)]
        if self._contested(cell.spared.size):
            rest = ~self._own & (self._codes != cell.rival)
            rest[self._place[cell.others]] = False
            sides.append((voters, rest))
        return sides

    def _contested(self, spared: int) -> bool:
        """Whether a third class could take votes that the rival needs."""
        # K − q votes among C − 1 classes give some class ⌈(K − q) / (C − 1)⌉ at least: y loses if that is more than q
        left = self.n_neighbors - spared
        return self.n_classes > 2 and -(-left // (self.n_classes - 1)) <= spared

    def _worst(self, delta: Vector, sides: list[tuple[Rows, NDArray[np.bool_]]]) -> tuple[int, int, int] | None:
        """The most violated pair of places (farther, nearer) and its key; (−1, face, key) for the box."""
        scores = self._w @ delta - self._half
        ahead, behind = scores - self._strict, scores + self._strict
        worst, found = 0.0, None
        for nearer, farther in sides:
            near = int(nearer[ahead[nearer].argmin()])
            masked = np.where(farther, behind, -np.inf)
            far = int(masked.argmax())
            violation = float(masked[far] - ahead[near])
            if violation > -np.inf and self._twins(near, far):
                violation, near, far = self._next_worst(ahead, behind, nearer, farther)
            if violation > worst:
                worst, found = violation, (far, near)
        if found is not None:
            far, near = found
            n = self.reference.n_train
            return far, near, int(self._pool[far]) * n + int(self._pool[near])
        if self.box is not None:
            beyond = np.concatenate([self.box.low - delta, delta - self.box.high])
            face = int(beyond.argmax())
            if beyond[face] > _SHORT * max(1.0, float(np.abs(delta).max())):
                return -1, face, -1 - face
        return None

    def _twins(self, near: int, far: NDArray[np.intp] | int) -> Any:
        """Whether two places of the pool tie everywhere, and ``near`` has the smaller index: so it comes first."""
        rows, row = self._pool[far], self._pool[near]
        off = self.reference.row_errors(rows) + self.reference.row_errors(row)
        same = np.abs(self._w[far] - self._w[near]).max(axis=-1) <= off
        first = self.reference.order[row] < self.reference.order[rows]
        close = np.abs(self._half[far] - self._half[near]) <= (self._strict[far] + self._strict[near]) / 2.0
        return same & first & close

    def _next_worst(
        self, ahead: Vector, behind: Vector, nearer: Rows, farther: NDArray[np.bool_]
    ) -> tuple[float, int, int]:
        """The most violated pair (nearer, farther) of places but for twins, whose order is by index and holds."""
        places = np.flatnonzero(farther)
        worst, found = -np.inf, (int(nearer[0]), int(places[0]))
        for near in nearer.tolist():
            some = np.where(self._twins(near, places), -np.inf, behind[places])
            far = int(some.argmax())
            if some[far] - ahead[near] > worst:
                worst, found = float(some[far] - ahead[near]), (near, int(places[far]))
        return worst, *found

    def _missed(self, delta: Vector, cell: Cell) -> Rows:
        """Rows outside the pool that are in the way, a few at most."""
        # the pool is where half-spaces are looked for first; the cell is entered once no row outside it is in the way
        scores = self.scores(delta) + self.strict
        ahead = scores - 2.0 * self.strict
        front = np.concatenate([cell.voters, cell.others])
        level = np.full(scores.size, np.inf)
        level[self.own] = ahead[front].min()
        if self._contested(cell.spared.size):
            third = (self.reference.codes != self.code) & (self.reference.codes != cell.rival)
            level[third] = ahead[cell.voters].min()
        above = np.flatnonzero((scores > level) & (self._place < 0))
        return above[np.argsort(level[above] - scores[above], kind="stable")][:_MORE]

    def _entry(self, solver: MinNormPoint) -> Entry:
        n = self.reference.n_train
        kept = [position for position, key in enumerate(solver.active) if key >= 0]
        pairs = [divmod(solver.active[position], n) for position in kept]
        delta = solver.point if self.box is None else self.box.clip(solver.point)
        return Entry(delta, solver.norm, pairs, solver.multipliers[kept].copy())


def nearest(distances: Vector, rows: Rows, count: int) -> Rows:
    """The ``count`` of ``rows`` with the smallest values, smallest first (ties by row)."""
    values = distances[rows]
    if count < rows.size:
        chosen = np.argpartition(values, count - 1)[:count] if count else np.zeros(0, dtype=np.intp)
        rows, values = rows[chosen], values[chosen]
    return rows[np.lexsort((rows, values))]
