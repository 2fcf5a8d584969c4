"""Distances for the checker of certificates, and by how much they are off: nothing here is the solvers'.

ω(g, ℓ) = α g² + 2 h g + 2 h² bounds the rounding of a distance g² = ‖G (xᵢ − x)‖² from differences of size ℓ: a sum of
r squares is off by (r + 1) u of itself, u = 2⁻⁵³, and the image by h = γ ℓ. γ is (D + 1) u s, s ≥ ‖|G|‖ / σ, and what
differences and a shift add; 2 u under the identity. The size of v is the larger of ‖G v‖ and ‖|G| |v|‖ / s, at most
σ ‖v‖. Points less a center serve where that is enough: ℓ is then the sum of their sizes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from arml.knn.mahalanobis import MahalanobisMetric

__all__ = ["Distances", "length", "row_lengths"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]

# Soundness: to first order, and what covers the rest.
_EPS, _UNIT = 2.0**-52, 2.0**-53
_TERMS = 4  # for the few operations around a sum
_SQUARES, _IMAGE, _SHIFT = 6, 4, 2.0
_ROWS_OFF = 8  # M (xᵢ − xⱼ): D + r roundings, and the rest
# Far above what underflow loses of a length or of a squared one, far below what the solver accepts as data.
_TINY, _TINY_SQUARED = 1e-300, 2.0**-1060
_LOST_WIDTH = 1e-150  # of rows no longer than 1
_SAFE = 1e-130, 1e130  # entries whose squares, and their sums, are numbers of full precision
_MEDIAN = 1000  # effort: rows of which the center is the median, or up to twice as many
_DISTANCE = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}


class Distances:
    """A training set under a metric.

    Parameters
    ----------
    X : ndarray of shape (N, D)
        Kept by reference.
    metric : MahalanobisMetric

    Attributes
    ----------
    center : ndarray of shape (D,)
        A median.
    sigma : float
        σ_max(G).
    sizes : ndarray of shape (N,)
        Those of X − center.
    """

    def __init__(self, X: Vector, metric: MahalanobisMetric) -> None:
        self._X, self.sigma, self._identity = X, metric.sigma_max, metric.is_identity
        rank, self.width = metric.rank, metric.n_features
        # not used under the identity, of which no D × D matrix is made
        self._G = np.zeros((0, self.width)) if self._identity else metric.components
        share = 1.0
        if not self._identity:
            columns, rows = (float(np.sqrt(np.abs(self._G).sum(axis=axis).max())) for axis in (0, 1))
            share = columns * rows / self.sigma if self.sigma > 0.0 else 0.0
        self._spread = np.abs(self._G) / share if share > 0.0 else np.abs(self._G)
        self._alpha = (rank + _SQUARES) * _UNIT
        self._gamma = (_SHIFT if self._identity else self.width + _IMAGE) * _UNIT * share
        self._rows = (rank + self.width + _ROWS_OFF) * _UNIT * share
        with np.errstate(over="ignore", invalid="ignore"):
            self.center = np.median(X[:: max(1, len(X) // _MEDIAN)], axis=0)
            centered = X - self.center
            self.sizes: Vector = self.size_of(centered)
            self._u: Vector = centered if self._identity else centered @ self._G.T
            self._w: Vector = centered if self._identity else self._u @ self._G
        largest = float(np.abs(self._w).max())
        self._unit = 1.0
        if largest > 0.0 and not _SAFE[0] < largest < _SAFE[1]:
            self._unit, self._w = largest, self._w / largest

    def size_of(self, rows: Vector) -> Vector:
        """The sizes of rows of features, shape (m, D) → (m,)."""
        if self._identity:
            return row_lengths(rows)
        return np.maximum(row_lengths(rows @ self._G.T), row_lengths(np.abs(rows) @ self._spread.T))

    def screened(self, z: Vector) -> Vector:
        """Squared distances of a centred point to all N, from points less the center."""
        return np.asarray(
            cdist((z if self._identity else self._G @ z)[None], self._u, "sqeuclidean")[0], dtype=np.float64
        )

    def measured(self, x: Vector, delta: Vector, rows: Indices) -> tuple[Vector, Vector]:
        """Squared distances of x + δ to some rows from differences of features, and ℓ."""
        ways = self._X[rows] - x - delta
        images = ways if self._identity else ways @ self._G.T
        return np.square(images).sum(axis=1), self.size_of(ways) + self.size_of(delta[None])

    def rounding(self, g: Vector, lengths: Vector) -> Vector:
        """ω."""
        h = self._gamma * lengths
        return np.asarray(self._alpha * g * g + 2.0 * h * (g + h) + _TINY_SQUARED)

    def widths(self, rows: Indices, others: Indices, q: float) -> tuple[Vector, Vector]:
        """‖M (x_i − x_j)‖_q of all pairs, from points less the center, and by how much each is off."""
        widths = np.asarray(cdist(self._w[rows], self._w[others], _DISTANCE[q])) * self._unit
        blur = self._stretch(q) * self._rows * self.sigma * (self.sizes[rows][:, None] + self.sizes[others])
        blur += (self.width + _TERMS) * _EPS * widths + _LOST_WIDTH * self._unit + _TINY
        return widths, blur

    def normals(self, rows: Indices, others: Indices, q: float) -> tuple[Vector, Vector]:
        """M (x_i − x_j) of each pair from differences, and by how much each is off in ‖·‖_q."""
        ways = self._X[rows] - self._X[others]
        errors = self._stretch(q) * self._rows * self.sigma * self.size_of(ways)
        return (ways if self._identity else ways @ self._G.T @ self._G), errors

    def _stretch(self, q: float) -> float:
        """What an ℓ2 error may amount to in ‖·‖_q."""
        return float(np.sqrt(self.width)) if q == 1.0 else 1.0


def row_lengths(rows: Vector, q: float = 2.0) -> Vector:
    """‖·‖_q of rows, also where squares of their entries are no numbers."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    scale = np.where((largest > _SAFE[0]) & (largest < _SAFE[1]) | (largest == 0.0), 1.0, largest)
    return np.asarray(np.linalg.norm(rows / scale[:, None], q, axis=1) * scale)


def length(v: Vector, q: float) -> float:
    """‖v‖_q, inf where v is not finite."""
    return float(row_lengths(v[None], q)[0]) if np.isfinite(v).all() else float(np.inf)
