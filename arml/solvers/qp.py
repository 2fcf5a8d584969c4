"""The minimum-norm point of a polyhedron, min ‖δ‖ subject to aᵢᵀδ ≤ bᵢ, one violated half-space at a time.

A dual active-set method (Goldfarb and Idnani 1983, here with the identity as Hessian): after every added
half-space, δ is the exact minimum-norm point of those added so far, hence ‖δ‖ is a lower bound for any problem
that has more of them, and it only grows. The caller chooses which half-space to add next; nothing here knows
where they come from.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dgeqrf, dorgqr, dtrtrs

__all__ = ["Dual", "Infeasible", "MinNormPoint"]

# Precision of the solver. No proof rests on it: a bound is computed anew from multipliers, whatever they are.
_DEPENDENT = 1e-10  # a normal with less than this share outside the span of the active ones counts as inside it
_VIOLATED = 1e-9  # a blocked half-space violated by less than this share of ‖a‖ ‖δ‖ is rounding, not a contradiction
_NO_LENGTH = 1e-300

# Effort: changes time and memory.
_MAX_STEPS = 1000
_ROOM = 16


class Infeasible(Exception):
    """No point satisfies all half-spaces added so far."""


class Dual(NamedTuple):
    """Multipliers λ ≥ 0 of some half-spaces: whatever they are, −bᵀλ / ‖Aᵀλ‖ bounds the norm of a common point."""

    keys: NDArray[np.intp]
    multipliers: NDArray[np.float64]
    normals: NDArray[np.float64]
    offsets: NDArray[np.float64]


class MinNormPoint:
    """Incremental solver of min ‖δ‖ subject to half-spaces aᵀδ ≤ b.

    Parameters
    ----------
    dimension : int
        D, the length of δ.

    Attributes
    ----------
    point : ndarray of shape (D,)
        δ, the minimum-norm point of the half-spaces added so far.
    active : list of int
        Keys of the half-spaces with a multiplier, in the order of ``multipliers``.
    multipliers : ndarray of shape (q,)
        λ ≥ 0 with δ = −Aᵀλ: by weak duality −bᵀλ / ‖Aᵀλ‖ bounds the optimum from below whatever the rounding.
    contradiction : Dual or None
        After :class:`Infeasible`: multipliers with Aᵀλ = 0 up to rounding and bᵀλ < 0 (Farkas).

    Notes
    -----
    An orthonormal basis of the active normals is kept by Gram-Schmidt with one repetition. Cost of an added
    half-space: O(D q), plus O(D q²) for each one dropped on the way.
    """

    def __init__(self, dimension: int) -> None:
        self.point: NDArray[np.float64] = np.zeros(dimension)
        self.active: list[int] = []
        self.contradiction: Dual | None = None
        self._multipliers = np.empty(_ROOM)
        self._offsets = np.empty(_ROOM)
        self._normals = np.empty((_ROOM, dimension))
        self._basis = np.empty((_ROOM, dimension))  # orthonormal rows q with active normals = factorᵀ q
        self._factor = np.empty((_ROOM, _ROOM))

    @classmethod
    def at(cls, dual: Dual, dimension: int) -> MinNormPoint:
        """The solver as it was when ``dual`` was its own (up to rounding): to go on from there. O(D q²)."""
        solver = cls(dimension)
        size = dual.keys.size
        while solver._offsets.size < size:
            solver._grow()
        solver.active = dual.keys.tolist()
        solver._multipliers[:size], solver._offsets[:size] = dual.multipliers, dual.offsets
        solver._normals[:size] = dual.normals
        if size:
            solver._factorize()
            solver.point = -(dual.multipliers @ dual.normals)
        return solver

    @property
    def multipliers(self) -> NDArray[np.float64]:
        """λ of the active half-spaces, a view."""
        return self._multipliers[: len(self.active)]

    @property
    def norm(self) -> float:
        """‖δ‖ in floating point (use the multipliers for a bound that survives rounding)."""
        return math.sqrt(self.point @ self.point)

    @property
    def dual(self) -> Dual:
        """The active half-spaces with their multipliers: the proof of ``norm``."""
        size = len(self.active)
        keys = np.array(self.active, dtype=np.intp)
        return Dual(keys, self.multipliers.copy(), self._normals[:size].copy(), self._offsets[:size].copy())

    def add(self, normal: NDArray[np.float64], offset: float, key: int) -> bool:
        """Add the half-space ``normal``ᵀδ ≤ ``offset`` that δ violates now, and move δ to the new optimum.

        Returns
        -------
        bool
            False where rounding prevents a full step (the state stays valid: a lower bound all the same).

        Raises
        ------
        Infeasible
            The half-spaces have no point in common.
        """
        violation = float(normal @ self.point) - offset
        length_sq = float(normal @ normal)
        added = 0.0
        for _ in range(_MAX_STEPS):
            direction, coordinates, rates = self._project(normal)
            free_sq = float(direction @ direction)
            blocked = free_sq <= _DEPENDENT**2 * length_sq
            full = math.inf if blocked else violation / free_sq
            partial, drop = math.inf, -1
            for position, (multiplier, rate) in enumerate(zip(self.multipliers.tolist(), rates.tolist(), strict=True)):
                if rate > 0.0 and multiplier / rate < partial:
                    partial, drop = multiplier / rate, position
            step = min(full, partial)
            if not math.isfinite(step):
                if length_sq == 0.0 or violation > _VIOLATED * np.sqrt(length_sq) * max(self.norm, _NO_LENGTH):
                    keys, _, normals, offsets = self.dual
                    self.contradiction = Dual(
                        np.append(keys, key),
                        np.append(np.maximum(-rates, 0.0), 1.0),
                        np.vstack([normals, normal]),
                        np.append(offsets, offset),
                    )
                    raise Infeasible
                return False
            added += step
            np.maximum(self.multipliers - step * rates, 0.0, out=self.multipliers)
            if not blocked:
                self.point = self.point - step * direction
                violation -= step * free_sq
            if full <= partial:
                self._append(normal, offset, key, added, direction / math.sqrt(free_sq), coordinates)
                return True
            self._remove(drop)
        return False

    def _project(
        self, normal: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """``normal`` less its part in the span of the active normals; that part's coordinates in the basis and in
        the active normals themselves."""
        size = len(self.active)
        basis = self._basis[:size]
        coordinates = basis @ normal
        rest = normal - coordinates @ basis
        correction = basis @ rest
        rest -= correction @ basis
        coordinates += correction
        if not size:
            return rest, coordinates, coordinates
        rates, _ = dtrtrs(self._factor[:size, :size], coordinates)  # no 0 on its diagonal: see `blocked`
        return rest, coordinates, rates

    def _append(
        self,
        normal: NDArray[np.float64],
        offset: float,
        key: int,
        multiplier: float,
        unit: NDArray[np.float64],
        coordinates: NDArray[np.float64],
    ) -> None:
        size = len(self.active)
        if size == self._offsets.size:
            self._grow()
        self._multipliers[size], self._offsets[size] = multiplier, offset
        self._normals[size], self._basis[size] = normal, unit
        self._factor[:size, size], self._factor[size, size] = coordinates, normal @ unit
        self.active.append(key)

    def _grow(self) -> None:
        """Twice the room."""
        for name in ("_multipliers", "_offsets", "_normals", "_basis"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.empty_like(old)]))
        self._factor = np.pad(self._factor, (0, self._factor.shape[0]))

    def _remove(self, position: int) -> None:
        del self.active[position]
        size = len(self.active)
        for array in (self._multipliers, self._offsets, self._normals):
            array[position:size] = array[position + 1 : size + 1]
        if size:
            self._factorize()

    def _factorize(self) -> None:
        """Basis and factor of the active normals anew, by LAPACK itself: for so few its callers take longer than it."""
        size = len(self.active)
        factor, scales, _, _ = dgeqrf(self._normals[:size].T)
        self._factor[:size, :size] = factor[:size]  # of which the solver of triangles reads no more than its upper one
        self._basis[:size] = dorgqr(factor, scales)[0].T
