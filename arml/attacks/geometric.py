"""A geometric attack on Mahalanobis K-NN: descent over order-K cells by quadratic programs, verified by the classifier.

Around any misclassified point lies a cell (:mod:`arml.geometry.order_k_cells`) that holds it, so the shortest way into
that cell is no longer than the way to the point; there the neighbours may be others, which make another cell, and so on
until nothing changes. Descents start from several cells; then the best is compared with its neighbouring cells, in
which one of the points that bound it gives way to another; and what is left of the allowance goes into random restarts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.attacks.options import check_count, check_time_limit, deadline_after, point_generators
from arml.attacks.result import AttackResult, distance
from arml.geometry.order_k_cells import Cell, Entry, Neighborhood, nearest
from arml.knn.neighbors import predict_codes
from arml.knn.query import Query, query_set
from arml.knn.reference import ReferenceSet, reference_set
from arml.verify.radii import verify_points

__all__ = ["Search", "around_point", "attack_points", "geometric_attack"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

# Effort: changes time, and how short a way is found. That it is a way, the classifier says.
_SLACK = 1.25  # the first cell of a descent may be so much farther than the best: the next ones are nearer
_SHORTER = 1.0 - 1e-9  # what is not shorter by this share is the same way again, rounded
_STARTS = 6
_FOLLOWED = 20
_RAYS, _CENTRE, _STRETCHES = 32, 256, (2.0, 8.0, 32.0)
_SWAPS = 6
_NUDGES = (0.0, 1e-12, 1e-10, 1e-8, 1e-7, 1e-6)  # shares of δ by which to overstep a boundary that rounding blurs
_JUMP = 0.1, 0.6  # shares of the best length, for a restart


def geometric_attack(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    *,
    programs: int = 200,
    time_limit: float | None = None,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = None,
) -> AttackResult:
    """Short adversarial perturbations of Mahalanobis K-NN, any K and number of classes, each verified.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D) and (N,)
    X, y : array-likes of shape (n, D) and (n,)
        Test points and their true labels.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    n_neighbors : int
        K.
    programs : int
        Quadratic programs a point may take. They go to starts, neighbouring cells and restarts, in this order; the
        result never gets worse with more.
    time_limit : float, optional
        Seconds a point may take besides; what was found by then counts, and results may differ from run to run.
    seeds, indices
        As for :func:`arml.attacks.boundary_attack`; only restarts draw.
    bounds : pair of floats or None
        The box that perturbed points stay in, None for no box. For a point outside it the box is widened, feature by
        feature, just enough to hold it.

    Returns
    -------
    AttackResult
        ``norm`` is the distance from the point as given to a float64 point that ``MahalanobisKNN.predict``
        misclassifies; inf with status "unsolved" where none was found.

    Raises
    ------
    ValueError
        NaN or infinite features, fewer than two classes, labels unseen in training, K > N, an M that is no metric,
        programs or time limit not positive, seeds or indices negative or of the wrong length, bounds not finite with
        low < high.
    NotFittedError
        M is a learner that has not been fitted.

    Notes
    -----
    For K = 1 the way is the one of :func:`arml.verify.exact_radii`, and so the shortest there is. For K > 1 it is a
    local minimum. Ties are crossed, not counted: every half-space is entered by more than the tie step. Cost: O(N (D +
    r)) a point and program, and about 0.1 ms for each half-space that a program adds.

    Examples
    --------
    >>> from arml.attacks import geometric_attack
    >>> found = geometric_attack([[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1], [[1.0]], [0], n_neighbors=3)
    >>> found.norm.round(6).tolist()
    [1.5]
    """
    return attack_points(
        reference_set(X_train, y_train, M),
        X,
        y,
        n_neighbors,
        programs=programs,
        time_limit=time_limit,
        seeds=seeds,
        indices=indices,
        bounds=bounds,
    )


def attack_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int = 11,
    *,
    programs: int = 200,
    time_limit: float | None = None,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = None,
) -> AttackResult:
    """:func:`geometric_attack` against a training set that :func:`arml.knn.reference.reference_set` has prepared.

    For one training set and many calls, in one thread or several: the set is transformed once and shared. The other
    parameters, the result and the errors are those of :func:`geometric_attack`.
    """
    queries = query_set(reference, X, y, n_neighbors, bounds=bounds)
    check_count("programs", programs, 1)
    check_time_limit(time_limit)
    generators = point_generators(seeds, indices, len(queries))
    norm = np.full(len(queries), np.inf)
    adversarial = np.full(queries.points.shape, np.nan)
    status = np.full(len(queries), "unsolved", dtype="<U13")
    for batch in queries.batches():
        for query, wrong in zip(batch, batch.wrong, strict=True):
            row = query.row
            if wrong:
                norm[row], adversarial[row], status[row] = 0.0, query.point, "misclassified"
                continue
            search = Search(around_point(query), programs, deadline_after(time_limit))
            search.run(generators[row])
            if search.adversarial is not None:
                norm[row], adversarial[row] = search.norm, search.adversarial
                status[row] = "bounded"
    return AttackResult(norm, adversarial, status, queries.out_of_bounds)


def around_point(query: Query) -> Neighborhood:
    """What surrounds a point; ties are told apart as far as the k-th nearest training point of another class."""
    far = nearest(query.distances, query.outside, min(query.n_neighbors, query.outside.size))[-1]
    return Neighborhood(query, float(np.linalg.norm(query.onto(int(far)))))


class _Spent(Exception):
    """No programs or no time left."""


class Search:
    """The search for one point.

    Attributes
    ----------
    norm : float
        Length of the shortest way found, from the point to ``adversarial``, which the classifier gets wrong.
    adversarial : ndarray of shape (D,) or None
    """

    def __init__(self, around: Neighborhood, programs: int, deadline: float) -> None:
        self.around, self._programs, self._deadline = around, programs, deadline
        self._x = around.query.point
        self.norm = np.inf
        self.adversarial: Floats | None = None
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

    def follow(self, cell: Cell) -> float:
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

    def _descend(self, cell: Cell | None) -> None:
        """From cell to cell while the way gets shorter."""
        # δ lies in cell_at(δ), so the way into that is no longer; each step is shorter by a share, or the last. There
        # are finitely many cells, and none is entered twice: it ends, at a δ that is shortest in a cell around it.
        limit = _SLACK * self.norm
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
        self._enter(Cell(int(around.reference.codes[row]), np.array([row]), _none(), _none()), np.inf)


def _none() -> Rows:
    return np.zeros(0, dtype=np.intp)


def _swap(rows: Rows, old: int, new: int) -> Rows:
    return np.append(rows[rows != old], new)


def _beyond(scores: Floats, rows: Rows, inside: Rows) -> Rows:
    """The few with the largest scores that are not inside."""
    ranked = nearest(-scores, rows, min(rows.size, inside.size + _SWAPS))
    return ranked[~np.isin(ranked, inside)][:_SWAPS]
