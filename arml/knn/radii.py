"""The answer to what is asked of a classifier: how far each point is from being misclassified, from both sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arml.certificate import Certificate

__all__ = ["Radii"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Radii:
    """Robust radii of n points between what is proved and what breaks the prediction.

    In the space of the features given and the norm asked for. Every K gives all of it; where a K has nothing to say,
    there stands what says so.

    Attributes
    ----------
    lower, upper : ndarrays of shape (n,)
        lower ≤ radius ≤ upper. ``lower`` is proved: rounding is subtracted from it. ``upper`` is attained by
        ``perturbation``. Both are 0 for misclassified points; upper is inf where no attack was found, both are where
        there is none (K = 1: a box without any).
    status : ndarray of shape (n,) of str
        "exact" (upper − lower within the tolerance, or both inf), "bounded" (an interval), "misclassified" or, K > 1,
        "unsolved" (nothing proved).
    negative : ndarray of shape (n,)
        K = 1: training index of the point that becomes the nearest at ``upper``. −1 where misclassified, upper is inf,
        or K > 1.
    perturbation : ndarray of shape (n, D)
        δ with ‖δ‖ = upper, up to the rounding of x + δ. K = 1: at x + δ the negative ties with (within the rounding of
        :mod:`arml.knn.reference`) or beats every positive. K > 1: x + δ is ``adversarial``. Rows of NaN where ``upper``
        is inf.
    n_problems : ndarray of shape (n,)
        K = 1: how many quadratic or linear programs were started for the point; else 0.
    certificates : tuple of n Certificate, or of none
        K = 1: what proves both sides; :func:`arml.check.check_certificate` checks it without the solver.
    adversarial : ndarray of shape (n, D)
        K > 1: what ``MahalanobisKNN.predict`` misclassifies. Rows of NaN where the classifier was not asked.
    n_nodes : ndarray of shape (n,)
        K > 1: nodes of the branch and bound; else 0.
    """

    lower: Floats
    upper: Floats
    status: NDArray[np.str_]
    negative: Ints
    perturbation: Floats
    n_problems: Ints
    certificates: tuple[Certificate, ...]
    adversarial: Floats
    n_nodes: Ints
