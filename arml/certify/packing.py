"""The packing bound: several positives, not one, keep a negative away, and few of them can be spared.

If j is no farther than all but q positives, then of any q + 1 disjoint groups of positives one is left whole, and j is
no farther than all of that group: the point has moved by the smallest of the groups' quadratic programs at least. A
group of one positive is the closed form e_ij, so the (q + 1)th-max of e_ij is where the packing starts; it goes on by
giving the weakest group, again and again, the positive that is most in its way.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from arml.certificate import Proof
from arml.geometry.bisectors import Pairs
from arml.solvers.duality import proved_norm
from arml.solvers.qp import Dual, Infeasible, MinNormPoint

__all__ = ["Packing"]

Rows = NDArray[np.intp]
Vector = NDArray[np.float64]

# Effort: changes time, and how large a bound is found. That it holds rests on :mod:`arml.solvers.duality` alone.
_NEAR = 128
_RIVALS = 64
_MOST = 64
_TIE = 1.0 / 64.0  # of the slack: a positive that is in the way by less would not raise a group's proved bound


class Packing:
    """The packing bounds of one point.

    Parameters
    ----------
    pairs : Pairs
        Under ℓ2.
    own : slice
        Rows of the true class.
    """

    def __init__(self, pairs: Pairs, own: slice) -> None:
        self.pairs, self.own = pairs, own
        self._found: dict[int, list[tuple[float, list[Dual]]]] = {}
        self._known: dict[tuple[int, int], tuple[float, bool]] = {}  # (j, groups): the bound, and whether it is final

    def order(
        self, base: float, rivals: Rows, row_rank: int, column_rank: int, used: list[Rows], enough: float
    ) -> float:
        """The ``column_rank``-th smallest over ``rivals`` of the packing bound with ``row_rank`` groups.

        Never below ``base``, that order of the closed form: :meth:`arml.geometry.bisectors.Pairs.order`, whose
        parameters these are. Rivals are packed by their closed forms, smallest first, until the next exceeds the
        column_rank-th smallest packed, and no more than some dozens beyond ``column_rank``; no bound is raised beyond
        ``enough``.
        """
        # Let v_j be j's bound. Where `column_rank` rivals are no farther than all but row_rank − 1 of the class, each
        # has cost v_j, the last of them at least the column_rank-th smallest v. With the packed values and, for the
        # rivals left, their closed forms (v_j ≥ closed_j ≥ floor_j), that order is min(within, left) at least.
        pairs = self.pairs
        distances = pairs.d[self.own]
        if not 0.0 < base < math.inf:
            return base
        size = min(max(_NEAR, 4 * row_rank), distances.size)
        near = self.own.start + np.argpartition(distances, size - 1)[:size]
        floors = pairs.floors(rivals, pairs.kth(self.own, row_rank))
        count = min(rivals.size, column_rank + _RIVALS)
        nearest = np.argpartition(floors, count - 1)[: 4 * count]
        beyond = float(np.delete(floors, nearest).min(initial=math.inf))
        closed = np.partition(pairs.bounds(near, rivals[nearest]), size - row_rank, axis=1)[:, size - row_rank]
        ranking = np.argsort(closed, kind="stable")
        packed: list[float] = []
        for place in ranking[:count]:
            limit = min(enough, sorted(packed)[column_rank - 1]) if len(packed) >= column_rank else enough
            if closed[place] >= limit:
                break
            packed.append(max(float(closed[place]), self._packed(int(rivals[nearest[place]]), near, row_rank, limit)))
        left = closed[ranking[len(packed) :]].min(initial=beyond)  # a bound for every rival that is not packed
        used.append(near)
        packed.sort()
        within = packed[column_rank - 1] if len(packed) >= column_rank else math.inf
        return max(base, min(within, float(left)))

    def _packed(self, j: int, near: Rows, row_rank: int, limit: float) -> float:
        """:meth:`_pack`, once for all sets of rivals that j is of: what is near depends on ``row_rank`` alone."""
        value, final = self._known.get((j, row_rank), (-math.inf, False))
        if not final and value < limit:
            value, final = self._known[j, row_rank] = self._pack(j, near, row_rank, limit)
        return value

    def _pack(self, j: int, near: Rows, row_rank: int, limit: float) -> tuple[float, bool]:
        """The smallest bound of ``row_rank`` groups for rival j, and whether a larger ``limit`` would leave it.

        The packing ends where it passes ``limit``.
        """
        pairs, reference = self.pairs, self.pairs.reference
        normals = reference.w[near] - reference.w[j]
        offsets = (pairs.d[near] - pairs.d[j]) / 2.0
        alone = pairs.bounds(near, np.array([j]))[0]
        # row_rank groups, row_rank − 1 positives to be spared: one group is whole, and its bound must be paid. Groups
        # stay disjoint (`free`), and a positive more never lowers a group's bound: the smallest of them is what counts,
        # so the weakest group is fed. A group that contradicts itself (Farkas) can never be passed: its bound is huge.
        leaders = np.argsort(-alone, kind="stable")[:row_rank]
        free = np.ones(near.size, dtype=bool)
        groups = [MinNormPoint(reference.n_features) for _ in leaders]
        proofs: list[Dual] = []
        for group, leader in zip(groups, leaders.tolist()):
            proofs.append(self._grow(group, normals, offsets, leader, near))
            free[leader] = False
        bounds = [self._proved(proof, j) for proof in proofs]
        ties = _TIE * (pairs.margins.slack[near] + pairs.margins.slack[j])
        final = True
        for _ in range(_MOST):
            weakest = min(range(len(bounds)), key=bounds.__getitem__)
            group = groups[weakest]
            if group.contradiction is not None:
                break
            if bounds[weakest] >= limit:
                final = False
                break
            excess = np.where(free, normals @ group.point - offsets, -math.inf)
            worst = int(excess.argmax())
            if not excess[worst] > ties[worst]:
                break
            free[worst] = False
            proof = self._grow(group, normals, offsets, worst, near)
            bound = self._proved(proof, j)
            if bound > bounds[weakest]:
                proofs[weakest], bounds[weakest] = proof, bound
        value = min(bounds)
        self._found.setdefault(j, []).append((value, proofs))
        return value, final

    @staticmethod
    def _grow(group: MinNormPoint, normals: NDArray[np.float64], offsets: Vector, place: int, near: Rows) -> Dual:
        """The group with one positive more, and what proves its bound."""
        if normals[place] @ group.point <= offsets[place]:  # not in the way yet: a tie, or nearer than j
            return group.dual
        try:
            group.add(normals[place], float(offsets[place]), int(near[place]))
        except Infeasible:
            assert group.contradiction is not None
            return group.contradiction
        return group.dual

    def _proved(self, dual: Dual, j: int) -> float:
        slack, reference = self.pairs.margins.slack, self.pairs.reference
        errors = reference.row_errors(dual.keys) + reference.row_errors(j)
        return proved_norm(dual, self.pairs.norm, slack[dual.keys] + slack[j], errors)

    def proofs(self, radius: float) -> tuple[Proof, ...]:
        """For each rival the most groups that were found to keep it away as far as ``radius``, disjoint."""
        order = self.pairs.reference.order
        kept = []
        for j, packings in sorted(self._found.items()):
            enough = [duals for value, duals in packings if value >= radius]
            for dual in max(enough, key=len, default=[]):
                kept.append(Proof(int(order[j]), order[dual.keys], dual.multipliers.copy()))
        return tuple(kept)
