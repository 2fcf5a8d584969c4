"""Weak duality in floating point: what multipliers prove, whatever made them."""

from __future__ import annotations

import numpy as np

from arml.solvers.perturbation import Norm
from arml.solvers.qp import Dual

__all__ = ["proved_norm"]

_EPS = float(np.finfo(np.float64).eps)


def proved_norm(dual: Dual, norm: Norm, margin: float, w_error: float) -> float:
    """The bound ‖δ‖_p ≥ [−bᵀλ]₊ / ‖Aᵀλ‖_q (Hölder) for every δ with Aδ ≤ b, rounding subtracted.

    Parameters
    ----------
    dual : Dual
        Keys below 0 are faces of a box, known without error; the others are pairs of training points.
    norm : Norm
    margin : float
        What rounding may do to the differences of squared distances that make the offsets b of pairs.
    w_error : float
        What it may do to a row w of the reference set (ℓ2).
    """
    weights = dual.multipliers
    if not weights.size:
        return 0.0
    on_pairs = float(weights[dual.keys >= 0].sum())
    count = 2.0 * (weights.size + 8) * _EPS
    gain = -float(dual.offsets @ weights) - on_pairs * margin / 2.0
    gain -= count * float(np.abs(dual.offsets) @ weights)
    if gain <= 0.0:
        return 0.0
    blur = 8.0 * on_pairs * norm.stretch * w_error
    blur += (count + 2.0 * norm.n_features * _EPS) * norm.dual_length(weights @ np.abs(dual.normals))
    return gain / (norm.dual_length(weights @ dual.normals) + blur)
