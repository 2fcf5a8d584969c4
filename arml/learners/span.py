"""Fits of D features to N < D points, done and kept in the m ≤ N − 1 dimensions that the points span: no D × D matrix.

Let B, of shape (m, D), be an orthonormal basis of the span of all differences of training points.

* **The fit.** The steps of NCA, LMNN and ITML are combinations of outer products of such differences. From the identity
  on they never leave the span: M = BᵀM′B + (I − BᵀB), where M′ is what the same algorithm learns from the m features
  B (xᵢ − c). LFDA's M has no part beyond the span. ARML follows the same objective from the same start; since Adam
  scales its steps entry by entry, its path is that of these m features, not that of the D given ones.
* **What is kept** is G = G′B, of shape (m, D), so that M = BᵀM′B is zero beyond the span. Let z be any point of ℝᴰ (a
  test point, moved by any perturbation) and q = (I − BᵀB)(z − c). To every training point, I − BᵀB would add the same
  ‖q‖² to the distance of z: its neighbours, their order, ties and vote are those without it. Nor do normals
  M (xᵢ − xⱼ) change, since (I − BᵀB)(xᵢ − xⱼ) = 0. So predictions, exact radii, certificates and attacks on these
  training points are those of the M with the identity beyond, in all norms and boxes. Distances themselves are not, nor
  is anything on training points outside the span: for those, fit again.
* **A start of few rows**, A of shape (r, D) with r ≤ m, may have a part beyond the span, and with it M has one, which
  moves normals. It stays as it is in every step, and is kept: G = G′B + A (I − BᵀB), with G′ begun at ABᵀ.
"""

from __future__ import annotations

import numpy as np

from arml.learners.base import Floats
from arml.system.resources import single_threaded

__all__ = ["identity_beyond", "into_span", "span_note"]


def into_span(X: Floats) -> tuple[Floats, Floats]:
    """The points in an orthonormal basis of their centred span.

    Parameters
    ----------
    X : ndarray of shape (N, D)
        Not all rows equal.

    Returns
    -------
    points : ndarray of shape (N, m), m < N
        Distances as between the rows of `X`.
    basis : ndarray of shape (m, D)
        Orthonormal rows, B: the directions of variance beyond rounding, by numpy's threshold of numerical rank.

    Notes
    -----
    Cost: O(N² D) time, O(N D) memory.
    """
    with single_threaded():
        centred = X - X.mean(axis=0)
        _, values, directions = np.linalg.svd(centred, full_matrices=False)
        basis = np.ascontiguousarray(directions[values > values[0] * max(X.shape) * np.finfo(np.float64).eps])
        return centred @ basis.T, basis


def identity_beyond(components: Floats, basis: Floats) -> Floats:
    """A square G′ of m of n dimensions as one of all n: G = BᵀG′B + (I − BᵀB), for a basis of shape (m, n)."""
    whole: Floats = basis.T @ (components @ basis - basis)
    whole[np.diag_indices(len(whole))] += 1.0
    return whole


def span_note(basis: Floats) -> str:
    """What a fit in the span says of itself."""
    return f"fewer points than features: fitted and kept in the {basis.shape[0]} dimensions that the points span"
