"""What a certificate is: a claim about one point, and the training points, multipliers and δ that prove it.

Plain data, to be stored; :mod:`arml.check` says what it takes to believe it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Certificate", "Proof", "Verdict"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]


def _no_indices() -> Indices:
    return np.zeros(0, dtype=np.intp)


def _no_numbers() -> Vector:
    return np.zeros(0)


class Verdict(NamedTuple):
    """Whether a certificate was accepted, and if not, why."""

    accepted: bool
    reason: str


@dataclass(frozen=True)
class Proof:
    """Multipliers λ ≥ 0 that keep one negative away.

    Attributes
    ----------
    negative : int
        Training index.
    positives, multipliers : ndarrays of shape (m,)
        Training indices of positives, one multiplier each.
    faces, face_multipliers : ndarrays of shape (f,)
        Faces of the box: k is the lower face of feature k, D + k its upper face.
    """

    negative: int
    positives: Indices
    multipliers: Vector
    faces: Indices = field(default_factory=_no_indices)
    face_multipliers: Vector = field(default_factory=_no_numbers)


@dataclass(frozen=True)
class Certificate:
    """What proves that no perturbation shorter than ``radius`` changes the prediction of one point, and one of length
    ``upper`` does.

    Attributes
    ----------
    radius : float
        The lower bound, in the units of the features given. 0 claims nothing and needs no proof.
    n_neighbors : int
        K.
    bound : str
        How the pool proves it: "exact" (K = 1: every negative by the pool or by its own proof), "theorem1",
        "plurality" or "packing".
    pool : ndarray of int
        Training indices of the points i whose e_ij are used.
    proofs : tuple of Proof
        For "exact": the negatives that the closed form alone does not keep away. For "packing": disjoint groups of
        positives, each of which keeps the negative away, one proof a group.
    norm : float
        p of the ‖·‖_p that measures the perturbation: 1, 2 or inf.
    bounds : pair of float or None
        The claim is about perturbed points in this box only, widened, feature by feature, to hold the point itself.
    upper : float
        The upper bound, for K = 1; 0 where the point is misclassified, inf claims nothing.
    negative : int
        Training index of a point of another class that wins at x + δ; −1 where it is not known.
    perturbation : ndarray of shape (D,), or (0,) where upper is inf
        δ with ‖δ‖ ≤ upper: at x + δ a training point of another class is as near as, or nearer than, every point of
        the true class (ties are lost).
    """

    radius: float
    n_neighbors: int
    bound: str
    pool: Indices
    proofs: tuple[Proof, ...] = ()
    norm: float = 2.0
    bounds: tuple[float, float] | None = None
    upper: float = np.inf
    negative: int = -1
    perturbation: Vector = field(default_factory=_no_numbers)

    @property
    def gap(self) -> float:
        """upper − radius, 0 where both are inf."""
        return 0.0 if self.radius == self.upper else self.upper - self.radius
