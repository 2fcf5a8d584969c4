"""The shortest point of a polyhedron in the ℓ1 or ℓ∞ norm, by linear programming (HiGHS)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import block_array, csr_array, eye_array

__all__ = ["Shortest", "shortest_point"]

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

# Precision of the solver. No proof rests on it: a bound is computed anew from multipliers, whatever they are.
_OPTIONS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


class Shortest(NamedTuple):
    """A solution as the solver gives it (nothing here is proved), with multipliers clipped at 0.

    ``rows`` has shape (m,), ``low`` and ``high`` (D,): those of the half-spaces and of the faces of the box.
    """

    point: Vector
    rows: Vector
    low: Vector
    high: Vector


def shortest_point(
    normals: Matrix,
    offsets: Vector,
    low: Vector,
    high: Vector,
    p: float,
    scale: float,
    time_limit: float = np.inf,
) -> Shortest | None:
    """min ‖δ‖_p subject to aᵢᵀδ ≤ bᵢ and low ≤ δ ≤ high.

    Parameters
    ----------
    normals, offsets : ndarrays of shape (m, D), (m,)
        Rows of zeros are left out.
    low, high : ndarrays of shape (D,)
        low ≤ 0 ≤ high; infinite where there is no box.
    p : float
        1 or inf.
    scale : float
        About how long δ is: HiGHS has absolute tolerances, so it is given rows of length 1 and δ / scale.
    time_limit : float
        Seconds.

    Returns
    -------
    Shortest or None
        None where the solver found no optimum: infeasible, out of time, or in numerical trouble.

    Notes
    -----
    ℓ1: δ = δ⁺ − δ⁻, 2D variables and m rows. ℓ∞: D + 1 variables and m + 2D rows, of which 2D are sparse.
    """
    lengths = np.sqrt(np.square(normals).sum(axis=1))
    rows = np.flatnonzero(lengths > np.finfo(np.float64).tiny)
    A = normals[rows] / lengths[rows, None]
    b = offsets[rows] / (lengths[rows] * scale)
    low, high = low / scale, high / scale
    width = A.shape[1]
    if p == 1.0:
        cost, matrix, right = np.ones(2 * width), np.hstack([A, -A]), b
        bounds = np.column_stack([np.zeros(2 * width), np.concatenate([high, -low])])
    else:
        cost, right = np.append(np.zeros(width), 1.0), np.concatenate([b, np.zeros(2 * width)])
        one, ones = eye_array(width), csr_array(np.ones((width, 1)))
        matrix = block_array([[csr_array(A), None], [one, -ones], [-one, -ones]], format="csr")
        bounds = np.column_stack([np.append(low, 0.0), np.append(high, np.inf)])
    options = dict(_OPTIONS) if np.isinf(time_limit) else {**_OPTIONS, "time_limit": max(time_limit, 1e-3)}
    found = linprog(cost, A_ub=matrix, b_ub=right, bounds=bounds, method="highs", options=options)
    if found.status != 0:
        return None
    multipliers = np.zeros(offsets.size)
    multipliers[rows] = np.maximum(-found.ineqlin.marginals[: rows.size], 0.0) / lengths[rows]
    upper = np.maximum(-found.upper.marginals, 0.0)
    if p == 1.0:
        return Shortest((found.x[:width] - found.x[width:]) * scale, multipliers, upper[width:], upper[:width])
    lower = np.maximum(found.lower.marginals, 0.0)
    return Shortest(found.x[:width] * scale, multipliers, lower[:width], upper[:width])
