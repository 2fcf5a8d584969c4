"""Weak duality in floating point: what multipliers prove, whatever made them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from arml.solvers.perturbation import Norm
from arml.solvers.qp import Dual

Vector = NDArray[np.float64]

__all__ = ["proved_norm"]

# Soundness: the numerator is rounded down, the denominator up. ε here is twice the unit roundoff.
_EPS = float(np.finfo(np.float64).eps)
_SUM, _TERMS = (
    2.0,
    8,
)  # sums of m products are off by m ε / 2 of their absolute values: four times that, and 8 for the rest
_TINY = float(np.finfo(np.float64).tiny)
_OFFSET = 2.0  # an offset of a pair is half a difference of squared distances: off by half the slack
_ROWS_OFF = 4.0  # a normal off by so much in ℓ2 is off by stretch times that in ‖·‖_q; four times as much is taken
_LENGTH = 2.0  # the dual length adds up D terms, each rounded once or twice


def proved_norm(dual: Dual, norm: Norm, slack: Vector, errors: Vector) -> float:
    """The bound ‖δ‖_p ≥ [−bᵀλ]₊ / ‖Aᵀλ‖_q (Hölder) for every δ with Aδ ≤ b, rounding subtracted.

    Parameters
    ----------
    dual : Dual
    norm : Norm
    slack, errors : ndarrays of shape (m,)
        For each multiplier, what is subtracted from the difference of squared distances that makes the offset b, and by
        how much the normal may be off (ℓ2): 0 for faces of a box, known without error.
    """
    largest = float(dual.multipliers.max(initial=0.0))
    if not 0.0 < largest < np.inf:
        return 0.0
    weights = dual.multipliers / largest
    count = _SUM * (weights.size + _TERMS) * _EPS
    gain = -float(dual.offsets @ weights) - float(slack @ weights) / _OFFSET
    gain -= count * float(np.abs(dual.offsets) @ weights)
    if not gain > 0.0:
        return 0.0
    blur = _ROWS_OFF * norm.stretch * float(errors @ weights)
    blur += (count + _LENGTH * norm.n_features * _EPS) * norm.dual_length(weights @ np.abs(dual.normals))
    width = norm.dual_length(weights @ dual.normals) + blur
    return gain / max(width, _TINY)
