"""What an attack returns, and the last step of every attack: asking the classifier about the point itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.knn.neighbors import Predictor
from arml.knn.rounding import lengths

__all__ = ["AttackResult", "distance", "verified"]

_BISECTIONS = 60
_SQUARES = 1e-140, 1e140  # lengths whose squares are numbers of full precision


@dataclass(frozen=True)
class AttackResult:
    """One entry a test point; n points of D features.

    Attributes
    ----------
    norm : ndarray of shape (n,)
        ‖adversarial − x‖₂ to the point as given: 0 where x itself is misclassified, inf where nothing was found.
        An upper bound on the robust radius of x.
    adversarial : ndarray of shape (n, D)
        The point that ``MahalanobisKNN.predict`` misclassifies; a row of NaN where nothing was found.
    status : ndarray of shape (n,)
        "misclassified" (x itself is), "bounded" (``norm`` is finite and verified) or "unsolved" (nothing found).
    out_of_bounds : ndarray of shape (n,)
        True where x lies outside the attack's bounds.
    """

    norm: NDArray[np.float64]
    adversarial: NDArray[np.float64]
    status: NDArray[np.str_]
    out_of_bounds: NDArray[np.bool_]


def distance(x: NDArray[np.float64], z: NDArray[np.float64]) -> float:
    """‖z − x‖₂ of two points of shape (D,)."""
    plain = float(np.sqrt(np.square(z - x).sum()))
    return plain if _SQUARES[0] < plain < _SQUARES[1] else float(lengths((z - x)[None])[0])


def verified(
    classifier: Predictor, label: Any, z: NDArray[np.float64], refuge: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Return a point that ``classifier.predict`` really misclassifies: z, or the nearest to it towards ``refuge``.

    Parameters
    ----------
    classifier : Predictor
    label : scalar
        The true label.
    z, refuge : ndarrays of shape (D,)
        The attack's point, and one farther out that is known to be misclassified.

    Returns
    -------
    ndarray of shape (D,) or None
        None where neither is misclassified.
    """

    def fooled(point: NDArray[np.float64]) -> bool:
        return bool(classifier.predict(point[None])[0] != label)

    if fooled(z):
        return z
    if not fooled(refuge):
        return None
    safe, adversarial = 0.0, 1.0
    found = refuge
    for _ in range(_BISECTIONS):
        middle = (safe + adversarial) / 2
        point = z + middle * (refuge - z)
        if fooled(point):
            adversarial, found = middle, point
        else:
            safe = middle
    return found
