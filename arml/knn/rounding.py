"""What rounding does to distances, and so which of them are ties: the one place where this is derived.

All lengths here are *images*, of features under the metric's factor G. u = 2⁻⁵³, r and D are G's shape,
σ = σ_max(G), |G| the matrix of G's magnitudes and s a bound on ‖|G|‖ / σ. The *size* of a vector v of features is the
larger of ‖G v‖ and ‖|G| |v|‖ / s: σ ‖v‖ at most, and far below that where G is large along directions in which the data
hardly differ. A bound is to first order; what multiplies it covers the rest.

* **Measured.** d = ‖G (xᵢ − x)‖² from differences of the features as given, of size ℓ: each difference is off by
  u of itself (2 u where a perturbation is added), G times it by D u ‖|G| |xᵢ − x|‖; so the image is off by h = γ ℓ at
  most, γ = (D + 4) u s (under the identity 2 u, and nothing to speak of where no perturbation is added), and the sum of
  r squares by (r + 1) u of itself. With g = √d and α = (r + 6) u that is ω(g, ℓ) = α g² + 2 h g + 2 h².
* **Screened.** d = ‖v‖² + ‖vᵢ‖² − 2 vᵀvᵢ of images of x and xᵢ less a center c, S and Sᵢ the sizes of x − c and
  xᵢ − c: three inner products, (r + 2) u (S + Sᵢ)², of images that are off by γ S and γ Sᵢ: (α + 2 γ + 2 γ²) (S + Sᵢ)²
  in all, of which twice is taken.
* **Ties.** Of measured distances, those that differ from the K-th smallest by at most 4 ω *tie* with it. So the
  predictor takes j and leaves i only if dⱼ ≤ dᵢ + 5 (ωᵢ + ωⱼ).
* **Lost.** A lower bound holds wherever dⱼ − dᵢ stays above 10 (ωᵢ + ωⱼ), each at its largest as far as the
  perturbation may reach (σ times that is ρ): g ≤ √d + ρ, ℓ ≤ ℓ + 2 ρ. An upper bound is attained where dⱼ − dᵢ is at
  most 2 (ωᵢ + ωⱼ).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.knn.mahalanobis import MahalanobisMetric

__all__ = ["SCREENED_TWICE", "Rounding", "lengths", "rounding_of"]

Vector = NDArray[np.float64]

# Soundness: everything proved or broken rests on these; see above for all but the last.
_UNIT_ROUNDOFF = 2.0**-53
_SUM, _PRODUCT, _SHIFT = 6, 4, 2.0
_TIED, _LOST, _ATTAINED = 4.0, 10.0, 2.0
SCREENED_TWICE = 2.0
"""Screened distances are taken to be off by so many times their first-order bound."""
_ROWS, _ROWS_IDENTITY = 8, 4.0  # w = Gᵀ(G x): D + r roundings, and the rest; under the identity x itself, less c
_VANISHED = 2.0**-1070  # what underflow loses of a square, times 16


@dataclass(frozen=True)
class Rounding:
    """The rounding bounds of one metric, see the module.

    Attributes
    ----------
    sigma : float
        σ.
    alpha, gamma, shift : float
        α; γ of a measured distance; γ of one at a perturbed point.
    rows : float
        A row M (x − c) is off by ``rows`` σ times its size in ℓ2.
    floor : float
        What underflow may lose of a squared distance.
    magnitudes : ndarray of shape (r, D) or None
        |G| / s; None under the identity, where the size is the length.
    """

    sigma: float
    alpha: float
    gamma: float
    shift: float
    rows: float
    floor: float
    magnitudes: Vector | None

    def measured(self, g: Any, length: Any, *, shifted: bool = False) -> Any:
        """ω(g, ℓ), of any shape."""
        h = (self.shift if shifted else self.gamma) * length
        return self.alpha * g * g + 2.0 * h * (g + h) + self.floor

    def lost(self, g: Any, length: Any, reach: float) -> Any:
        """What is subtracted from one distance's side of a lower bound, as far as ``reach`` (an image's length)."""
        g, length = g + reach, length + 2.0 * reach
        h = self.shift * length
        return _LOST * (self.alpha * g * g + 2.0 * h * (g + h) + self.floor)

    def attained(self, g: Any, length: Any) -> Any:
        """What one distance contributes to the tolerance of an upper bound, at a perturbed point."""
        return _ATTAINED * self.measured(g, length, shifted=True)

    @property
    def screened(self) -> float:
        """k: a screened distance is off by (k (S + Sᵢ))² and the floor."""
        return float(np.sqrt(SCREENED_TWICE * (self.alpha + 2.0 * self.shift * (1.0 + self.shift))))

    @property
    def screened_lost(self) -> tuple[float, float]:
        """k, b: :meth:`lost` of a screened d, its own error included, is at most (k (S + Sᵢ + 2 ρ))² + b (d + ρ²).

        For (√d + ρ)² is at most 2 (d + ρ²), and ℓ g at most (ℓ² + g²) / 2. That d itself is off by its screen's error
        is of second order: a sixteenth of b more.
        """
        h = self.shift
        rest = _LOST * h * (1.0 + 2.0 * h)
        return float(np.sqrt(self.screened**2 + rest)), 2.0 * _LOST * (self.alpha + h) * (1.0 + 0.5**4)

    def tied(self, d: Vector, length: Vector) -> Vector:
        """How far from a measured distance another one may be that ties with it, shape (m,)."""
        return np.asarray(_TIED * self.measured(np.sqrt(d), length))


def rounding_of(metric: MahalanobisMetric) -> Rounding:
    """The bounds of a metric."""
    rank, width = metric.rank, metric.n_features
    alpha = (rank + _SUM) * _UNIT_ROUNDOFF
    floor = (rank + width) * _VANISHED
    if metric.is_identity:
        return Rounding(1.0, alpha, 0.0, _SHIFT * _UNIT_ROUNDOFF, _ROWS_IDENTITY * _UNIT_ROUNDOFF, floor, None)
    magnitude = np.abs(metric.components)
    spread = float(np.sqrt(magnitude.sum(axis=0).max()) * np.sqrt(magnitude.sum(axis=1).max()))
    share = spread / metric.sigma_max if metric.sigma_max > 0.0 else 0.0
    gamma = (width + _PRODUCT) * _UNIT_ROUNDOFF * share
    rows = (rank + width + _ROWS) * _UNIT_ROUNDOFF * share
    return Rounding(metric.sigma_max, alpha, gamma, gamma, rows, floor, magnitude / share if share > 0.0 else magnitude)


def lengths(rows: Vector) -> Vector:
    """ℓ2 lengths of rows, shape (m, D) → (m,), also where their squares would not be numbers."""
    out = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    odd = ~((out > 1e-140) & (out < 1e140))
    if odd.any():
        largest = np.abs(rows[odd]).max(axis=1)
        safe = np.where(largest > 0.0, largest, 1.0)
        out[odd] = safe * np.sqrt(np.square(rows[odd] / safe[:, None]).sum(axis=1))
    return np.asarray(out)
