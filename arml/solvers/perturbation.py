"""How a perturbation is measured (its norm) and where it may go (a box): what certificates and exact radii share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

__all__ = ["Box", "Norm", "check_bounds", "check_norm"]

Vector = NDArray[np.float64]

# Soundness: both are rounded up, by more than D roundings of 1.1e-16 amount to.
_STRETCH_UP = 1.0 + 1e-12  # one root
_CORNER_UP = 1.0 + 1e-9  # a length of D numbers, each off by one rounding

_SQUARES = 1e-130, 1e130  # lengths of which the squares of entries that matter are numbers of full precision

_CDIST = {1.0: "cityblock", np.inf: "chebyshev"}


@dataclass(frozen=True)
class Norm:
    """The norm ‖δ‖_p of perturbations in D dimensions, and its dual ‖·‖_q, 1/p + 1/q = 1.

    Attributes
    ----------
    p : float
        1, 2 or inf.
    n_features : int
        D.
    """

    p: float
    n_features: int

    @cached_property
    def q(self) -> float:
        """The dual exponent."""
        return {1.0: np.inf, 2.0: 2.0, np.inf: 1.0}[self.p]

    @cached_property
    def is_euclidean(self) -> bool:
        """p = 2."""
        return self.p == 2.0

    @cached_property
    def stretch(self) -> float:
        """The least s with ‖v‖₂ ≤ s ‖v‖_p for all v; by duality also ‖v‖_q ≤ s ‖v‖₂."""
        return float(np.sqrt(self.n_features)) * _STRETCH_UP if self.p == np.inf else 1.0

    def length(self, v: Vector) -> float:
        """‖v‖_p of a vector."""
        return _length(v, self.p)

    def dual_length(self, v: Vector) -> float:
        """‖v‖_q of a vector."""
        return _length(v, self.q)

    def dual_distances(self, A: NDArray[np.float64], B: NDArray[np.float64]) -> NDArray[np.float64]:
        """‖a − b‖_q for rows a, b (p = 1 or inf): shapes (m, D), (n, D) → (m, n), from differences. O(m n D)."""
        return np.asarray(cdist(A, B, _CDIST[self.q]), dtype=np.float64)


def _length(v: Vector, p: float) -> float:
    """‖v‖_p, also where squares of its entries are no numbers."""
    plain = math.sqrt(v @ v) if p == 2.0 else float(np.linalg.norm(v, p))
    if p != 2.0 or _SQUARES[0] < plain < _SQUARES[1]:
        return plain
    largest = float(np.abs(v).max(initial=0.0))
    return largest * float(np.linalg.norm(v / largest)) if 0.0 < largest < np.inf else plain


def check_norm(norm: Any, n_features: int) -> Norm:
    """Read ``norm``: 1, 2 or inf.

    Raises
    ------
    ValueError
        Anything else.
    """
    if isinstance(norm, bool) or not isinstance(norm, (int, float, np.number)) or norm not in (1, 2, np.inf):
        raise ValueError(f"norm must be 1, 2 or numpy.inf, got {norm!r}")
    return Norm(float(norm), n_features)


def check_bounds(bounds: Any) -> tuple[float, float] | None:
    """Read a box: None, or a pair of finite numbers low < high.

    Raises
    ------
    ValueError
        Anything else.
    """
    if bounds is None:
        return None
    try:
        low, high = (float(value) for value in bounds)
    except (TypeError, ValueError) as err:
        raise ValueError(f"bounds must be a pair (low, high) or None, got {bounds!r}") from err
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(f"bounds must be finite with low < high, got {bounds!r}; for no box pass None")
    return low, high


class Box:
    """The perturbations δ of one point x that keep x + δ in [low, high]ᴰ.

    Where x itself lies outside, the box is widened, feature by feature, just enough to hold it (the rule of
    :func:`arml.attacks.boundary_attack`).

    Attributes
    ----------
    bounds : pair of floats
        As given.
    low, high : ndarrays of shape (D,)
        low ≤ δ ≤ high, with low ≤ 0 ≤ high; each off by one rounding at most.
    """

    def __init__(self, x: Vector, bounds: tuple[float, float]) -> None:
        self._x, self.bounds = x, bounds
        self._floor, self._ceiling = np.minimum(bounds[0], x), np.maximum(bounds[1], x)
        self.low: Vector = self._floor - x
        self.high: Vector = self._ceiling - x

    def corner(self, norm: Norm) -> float:
        """Length of the longest δ, rounded up: what is farther than this is nowhere."""
        return norm.length(np.maximum(self.high, -self.low)) * _CORNER_UP

    def clip(self, delta: Vector) -> Vector:
        """The nearest δ for which x + δ, as floating point adds it, is in the box."""
        out = np.clip(delta, self.low, self.high)
        over, under = self._x + out > self._ceiling, self._x + out < self._floor
        out[over], out[under] = np.nextafter(out[over], -np.inf), np.nextafter(out[under], np.inf)
        return out

    def offsets(self, faces: NDArray[np.intp]) -> Vector:
        """b of the half-spaces ±δ_k ≤ b: face k is δ_k ≥ low_k, face D + k is δ_k ≤ high_k."""
        return np.concatenate([-self.low, self.high])[faces]

    def normals(self, faces: NDArray[np.intp]) -> NDArray[np.float64]:
        """The rows ∓e_k of those half-spaces, shape (faces, D)."""
        width = self.low.size
        out = np.zeros((faces.size, width))
        out[np.arange(faces.size), faces % width] = np.where(faces < width, -1.0, 1.0)
        return out
