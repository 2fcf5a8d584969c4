"""Branch and bound for the radius of Mahalanobis K-NN: which points are the neighbours where a class wins?

If x + δ is misclassified, y has some q of the K votes, and a class c has q (c < y) or q + 1 (c > y) at least. So

* K − q points of other classes, the *front*, are nearer than all but q points of y, the *spared*;
* the points of c in the front are nearer than all points of third classes outside it.

For each of the few (c, q) that is a problem of choosing the front and the spared; the radius is the smallest of their
optima. A node has chosen some of both; its bound is the norm of the shortest δ at which the chosen are nearer than the
points that were found in the way: a quadratic program, of which a child has one half-space more. Branching is on the
point of y that is most in the way (spared or not), and when none is, on the next point of the front (chosen or never).
Nodes are taken by their bounds, the lowest first, so that the lowest is a lower bound for the radius at any time.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arml.geometry.bisectors import Pairs
from arml.geometry.order_k_cells import Cell, Neighborhood
from arml.knn.query import Margins
from arml.solvers.duality import proved_norm
from arml.solvers.qp import Dual, Infeasible, MinNormPoint

__all__ = ["Branching"]

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]

# Soundness: a half-space aᵀδ ≤ b is moved out by what rounding can do to it for ‖δ‖ ≤ upper. Each of its two rows has
# half its slack in b, and moves aᵀδ by its error · upper: twice as much is taken.
_OFFSET = 2.0
_ROWS_OFF = 2.0
_UP = 1.0 + 1e-12  # a root, and a product

# When a node's bound counts as attained: half-spaces violated by at most so many times that. The bound holds all the
# same; a larger number ends a node earlier, and may leave an interval wider.
_BLUR = 8.0

# Effort: changes time, and how much of the tree an allowance of nodes covers.
_NEAR = 96
_RIVALS, _FRONTS = 4096, 256  # rows of one product


class _Problem(NamedTuple):
    """(c, q): ``front`` points outside the class, ``votes`` of them of the rival, before all but ``spared`` of it.

    ``floors`` are, by place, proved lower bounds for a candidate to be in a front.
    """

    rival: int
    spared: int
    front: int
    votes: int
    floors: Vector


class _Node(NamedTuple):
    """A node in waiting: small, since there are many; its quadratic program is made again from its multipliers."""

    bound: float
    tick: int
    problem: _Problem
    front: tuple[int, ...]
    spared: frozenset[int]
    kept: frozenset[int]
    never: frozenset[int]
    keys: tuple[int, ...]
    multipliers: Vector


class _Attained(Exception):
    """A node whose bound cannot rise: an attack has its length (by ``cell``), or rounding prevents it (None)."""

    def __init__(self, cell: Cell | None) -> None:
        super().__init__()
        self.cell = cell


class Branching:
    """The search for one rightly classified point.

    Parameters
    ----------
    around : Neighborhood
        Without a box.
    upper : float
        The norm of some attack; finite.

    Attributes
    ----------
    lower : float
        Proved: rounding is subtracted.
    n_nodes : int
    """

    def __init__(self, around: Neighborhood, upper: float) -> None:
        self.around, self.upper = around, upper
        self.lower, self.n_nodes = 0.0, 0
        margins = Margins(around.query, upper)
        everyone = slice(0, around.reference.n_train)
        self._all_rooms = margins.slack / _OFFSET + _ROWS_OFF * upper * around.reference.row_errors(everyone)
        self._ticks = itertools.count()
        self._candidates: Rows = around.outside[:0]
        self._norm = around.query.norm
        self._problems = self._pose(Pairs(margins), margins.distances)
        self._load(margins.distances)

    def run(self, nodes: int, deadline: float, better: Callable[[Cell], float]) -> None:
        """Raise ``lower`` until it meets ``upper``, ``nodes`` are spent or ``deadline`` (monotonic) has passed.

        Parameters
        ----------
        nodes : int
        deadline : float
        better : callable
            Tries to attack by a cell that the search has come upon; returns the norm of the best attack so far.
        """
        # Invariant: every misclassified δ shorter than `upper` lies in a node of the heap or in one that has settled,
        # so the smallest of their bounds is a lower bound for eq. (13) with K neighbours, whenever we stop.
        heap: list[_Node] = []
        settled = np.inf  # the lowest bound of what cannot be divided any more
        for problem in self._problems:
            bound = self._floor(problem, (), frozenset())
            heapq.heappush(heap, self._node(bound, problem))
        while heap:
            node = heap[0]
            self.lower = min(node.bound, settled, self.upper)
            if node.bound >= min(self.upper, settled) or self.n_nodes >= nodes or time.monotonic() > deadline:
                return
            heapq.heappop(heap)
            self.n_nodes += 1
            try:
                children = self._expand(node)
            except _Attained as found:
                settled = node.bound
                if found.cell is not None:
                    self.upper = min(self.upper, better(found.cell))
                continue
            for child in children:
                if child.bound < self.upper:
                    heapq.heappush(heap, child)
        self.lower = min(settled, self.upper)

    def _pose(self, pairs: Pairs, distances: Vector) -> list[_Problem]:
        """The problems that could be below ``upper``, and the candidates of their fronts."""
        # Where c has m votes and y has q, m ≥ q (c < y) or q + 1 (c > y), the K − q others are a front that spares q of
        # y, with that many votes of c at least: so (c, q) holds there, and the radius is the least of their optima. A
        # front's point is before all but q of y: by eq. (9) that takes the (q + 1)th-max of e_ij at least.
        around, k = self.around, self.around.n_neighbors
        near = around.own[np.argsort(distances[around.own], kind="stable")[: max(_NEAR, 2 * k)]]
        # nobody is in a front below the bound of (q + 1)th-max for the largest q there is
        most = max(self._most_spared(code) for code in range(around.n_classes) if code != around.code)
        rivals = around.outside
        if around.own.size > most:  # most are too far by distances alone
            rivals = rivals[pairs.floors(rivals, pairs.kth(around.query.own, most + 1)) < self.upper]
        floors = np.concatenate(
            [np.zeros((0, most + 1))]
            + [
                self._row_floors(pairs, near, rivals[start : start + _RIVALS], most)
                for start in range(0, rivals.size, _RIVALS)
            ]
        )
        self._candidates = rivals[floors[:, -1] < self.upper]
        floors = floors[floors[:, -1] < self.upper]
        codes = around.reference.codes[self._candidates]
        problems = []
        for rival in range(around.n_classes):
            most = self._most_spared(rival)
            first = rival == int(around.code == 0)
            # of two classes, the problem that spares most has all the others: K − q points of a larger front are one.
            # That sparing none asks for no votes (K points are before all of y), so it is for any rival
            for q in range(most if around.n_classes == 2 else 1 - first, most + 1):
                if rival == around.code:
                    continue
                problem = _Problem(rival, q, k - q, q + (rival > around.code) if q else 0, floors[:, q])
                if self._floor(problem, (), frozenset(), codes) < self.upper:
                    problems.append(problem)
        return problems

    def _most_spared(self, rival: int) -> int:
        """The most votes that the class can have and lose to the rival."""
        k = self.around.n_neighbors
        return min((k if rival < self.around.code else k - 1) // 2, self.around.own.size)

    @staticmethod
    def _row_floors(pairs: Pairs, near: Rows, rivals: Rows, most: int) -> Vector:
        """(q + 1)th-max over the near positives of e_ij, a column for each q = 0 … most; 0 where all are spared."""
        bounds = np.zeros((rivals.size, max(near.size, most + 1)))
        bounds[:, : near.size] = pairs.bounds(near, rivals)
        bounds.sort(axis=1)
        return bounds[:, : -most - 2 : -1]

    def _load(self, distances: Vector) -> None:
        """Scores of the candidates, and of those points of the class that can be in the way of one."""
        reference, around = self.around.reference, self.around
        front_w, front_half = reference.w[self._candidates], distances[self._candidates] / 2.0
        front_room, rooms = self._all_rooms[self._candidates], self._all_rooms
        self._codes = reference.codes[self._candidates]
        own = around.own
        if self._candidates.size:
            # i is in the way of j within the radius only if (d_i − d_j) / 2 ≤ ‖w_i − w_j‖ · upper
            reach = np.full(own.size, -np.inf)
            for start in range(0, self._candidates.size, _FRONTS):
                some = slice(start, start + _FRONTS)
                products = reference.w[own] @ front_w[some].T
                widths = reference.w_sq[own][:, None] + reference.w_sq[self._candidates[some]] - 2.0 * products
                reaches = np.sqrt(np.maximum(widths, 0.0)) * (self.upper * _UP)
                room = reaches - (distances[own] / 2.0 - rooms[own])[:, None] + front_half[some] + front_room[some]
                reach = np.maximum(reach, room.max(axis=1))
            own = own[reach > 0.0]
        self._own = own
        self._w = np.vstack([reference.w[own], front_w])
        self._half = np.concatenate([distances[own] / 2.0, front_half])
        self._room = np.concatenate([rooms[own], front_room])

    def _node(self, bound: float, problem: _Problem) -> _Node:
        nothing: frozenset[int] = frozenset()
        return _Node(bound, next(self._ticks), problem, (), nothing, nothing, nothing, (), np.zeros(0))

    def _floor(
        self, problem: _Problem, front: tuple[int, ...], never: frozenset[int], codes: Rows | None = None
    ) -> float:
        """A bound from the floors of those that are still needed; inf where there are too few."""
        codes = self._codes if codes is None else codes
        # `rest` more of the free join the front: one has the rest-th smallest floor or more; so for the votes it needs
        free = np.ones(codes.size, dtype=bool)
        free[[*front, *never]] = False
        rest = problem.front - len(front)
        needed = problem.votes - int((codes[list(front)] == problem.rival).sum())
        bound = max((float(problem.floors[place]) for place in front), default=0.0)
        for count, allowed in ((rest, free), (needed, free & (codes == problem.rival))):
            if count > 0:
                values = problem.floors[allowed]
                if values.size < count:
                    return np.inf
                bound = max(bound, float(np.partition(values, count - 1)[count - 1]))
        return bound

    def _solver(self, node: _Node) -> MinNormPoint:
        keys = np.array(node.keys, dtype=np.intp)
        far, near = np.divmod(keys, max(1, self._candidates.size))
        normals, offsets = self._half_space(far, near)
        return MinNormPoint.at(Dual(keys, node.multipliers, normals, offsets), self.around.x.size)

    def _half_space(self, far: Rows | int, near: Rows | int) -> tuple[Vector, Vector]:
        """Normals and offsets of "near before far", rounding in favour of the attack."""
        near = self._own.size + near
        return self._w[far] - self._w[near], self._half[far] - self._half[near] + self._room[far] + self._room[near]

    def _expand(self, node: _Node) -> list[_Node]:
        """The children of a node that are below ``upper``.

        They hold every δ of the node: a point of y before a chosen one is spared or stays behind it (one half-space
        more); with a front complete, a third class's point stays behind the voters; a candidate is chosen or never.
        """
        problem, front = node.problem, list(node.front)
        solver = self._solver(node)
        scores = self._w @ solver.point - self._half
        behind, before = scores[: self._own.size], scores[self._own.size :]
        own_blur, blur = _BLUR * self._room[: self._own.size], _BLUR * self._room[self._own.size :]
        usable = np.ones(before.size, dtype=bool)
        usable[list(node.never)] = False
        chosen = self._attained(problem, behind, before, usable)
        if chosen is not None:
            raise _Attained(self._cell(problem, chosen, behind))
        if front:
            near = front[int(before[front].argmin())]
            excess = behind - own_blur - before[near] - blur[near]
            excess[list(node.spared)] = -np.inf
            # the point of y most in the way; one already kept behind some of the front is not spared any more
            far = int(excess.argmax()) if excess.size else 0
            if excess.size and excess[far] > 0.0:
                spare = far not in node.kept and len(node.spared) < problem.spared
                children = [node._replace(tick=next(self._ticks), spared=node.spared | {far})] if spare else []
                return children + self._push(node, solver, far, near)
        if len(front) == problem.front:  # complete, and before all but the spared: only third classes are left
            near, far = self._third(problem, front, before)
            if far < 0:
                raise _Attained(self._cell(problem, np.array(front), behind))
            return self._push(node, solver, self._own.size + far, near)
        free = usable.copy()
        free[front] = False
        if sum(self._codes[front] == problem.rival) < problem.votes:
            free &= self._codes == problem.rival
        places = np.flatnonzero(free)
        chosen_next = int(places[problem.floors[places].argmin()])  # without it, the bound of what is left rises most
        return self._choose(node, chosen_next)

    def _push(self, node: _Node, solver: MinNormPoint, far: int, near: int) -> list[_Node]:
        """The child in which ``far`` stays behind ``near``; none where that is not below ``upper``."""
        normal, offset = self._half_space(far, near)
        try:
            if not solver.add(normal, float(offset), far * self._candidates.size + near):
                raise _Attained(None)
        except Infeasible:
            assert solver.contradiction is not None
            if self._proved(solver.contradiction) < self.upper:
                raise _Attained(None) from None
            return []
        dual = solver.dual
        bound = max(node.bound, self._proved(dual))
        if bound >= self.upper:
            return []
        kept = node.kept | {far} if far < self._own.size else node.kept
        keys = tuple(dual.keys.tolist())
        return [node._replace(bound=bound, tick=next(self._ticks), kept=kept, keys=keys, multipliers=dual.multipliers)]

    def _choose(self, node: _Node, place: int) -> list[_Node]:
        """On a candidate: it is in the front, or never."""
        children = []
        for front, never in (((*node.front, place), node.never), (node.front, node.never | {place})):
            bound = max(node.bound, self._floor(node.problem, front, never))
            if bound < self.upper:
                children.append(node._replace(bound=bound, tick=next(self._ticks), front=front, never=never))
        return children

    def _proved(self, dual: Dual) -> float:
        """The lower bound that multipliers prove (weak duality), rounding subtracted."""
        nothing = np.zeros(dual.keys.size)  # the half-spaces have been moved out already
        return proved_norm(dual, self._norm, nothing, nothing)

    def _attained(self, problem: _Problem, behind: Vector, before: Vector, usable: NDArray[np.bool_]) -> Rows | None:
        """A front with which the problem holds at the δ of these scores, up to rounding; None where there is none."""
        q = problem.spared
        blur = _BLUR * self._room
        last = behind - blur[: behind.size]
        level = -np.inf if q >= last.size else float(np.partition(last, last.size - q - 1)[last.size - q - 1])
        ahead = np.flatnonzero(usable & (before + blur[behind.size :] >= level))
        ranked = ahead[np.argsort(-before[ahead], kind="stable")]
        mine = self._codes[ranked] == problem.rival
        if ranked.size < problem.front or mine.sum() < problem.votes:
            return None
        first = ranked[mine][: problem.votes]
        rest = ranked[~np.isin(ranked, first)][: problem.front - first.size]
        chosen = np.concatenate([first, rest])
        return chosen if self._third(problem, chosen.tolist(), before)[1] < 0 else None

    def _third(self, problem: _Problem, front: list[int], before: Vector) -> tuple[int, int]:
        """(voter, third): a voter of the front, and what of a third class outside it is before it; −1 if nothing."""
        classes = self.around.n_classes
        voters = [place for place in front if self._codes[place] == problem.rival]
        if classes == 2 or not voters or -(-problem.front // (classes - 1)) > problem.spared:
            return -1, -1
        near = voters[int(before[voters].argmin())]
        blur = _BLUR * self._room[self._own.size :]
        excess = np.where(self._codes != problem.rival, before - blur - before[near] - blur[near], -np.inf)
        excess[front] = -np.inf
        far = int(excess.argmax())
        return near, far if excess[far] > 0.0 else -1

    def _cell(self, problem: _Problem, front: Rows, behind: Vector) -> Cell:
        mine = self._codes[front] == problem.rival
        spared = self._own[np.argsort(-behind, kind="stable")[: problem.spared]]
        return Cell(problem.rival, self._candidates[front[mine]], self._candidates[front[~mine]], spared)
