"""Weak duality in floating point: what multipliers prove, whatever made them."""

from __future__ import annotations

import numpy as np

from arml.solvers.perturbation import Norm
from arml.solvers.qp import Dual

__all__ = ["proved_norm"]

# Soundness: the numerator is rounded down, the denominator up. ε here is twice the unit roundoff.
_EPS = float(np.finfo(np.float64).eps)
_SUM, _TERMS = (
    2.0,
    8,
)  # sums of m products are off by m ε / 2 of their absolute values: four times that, and 8 for the rest
_OFFSET = 2.0  # an offset of a pair is half a difference of squared distances: off by margin / 2
_ROWS_OFF = 8.0  # a normal wᵢ − wⱼ is off by 2 w_error in ℓ2, stretch times that in ‖·‖_q; four times as much is taken
_LENGTH = 2.0  # the dual length adds up D terms, each rounded once or twice


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
    count = _SUM * (weights.size + _TERMS) * _EPS
    gain = -float(dual.offsets @ weights) - on_pairs * margin / _OFFSET
    gain -= count * float(np.abs(dual.offsets) @ weights)
    if gain <= 0.0:
        return 0.0
    blur = _ROWS_OFF * on_pairs * norm.stretch * w_error
    blur += (count + _LENGTH * norm.n_features * _EPS) * norm.dual_length(weights @ np.abs(dual.normals))
    return gain / (norm.dual_length(weights @ dual.normals) + blur)
