"""What a certificate is: a claim about one point, and the training points, multipliers and δ that prove it.

Plain data, to be stored; :mod:`arml.check` says what it takes to believe it, and reads a certificate of whatever
origin by :func:`read_claim` first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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


# --- as anyone may hand it in --------------------------------------------------------------------
# A K of eight bits, a pool of floats or a text for a radius never reach the checker's arithmetic.

_NORMS = (1.0, 2.0, math.inf)
_BOUNDS = ("exact", "theorem1", "plurality", "packing")
_NO_NUMBERS = (bool, np.bool_, np.timedelta64)  # of which Python or NumPy says that they are whole
_LONGEST = 80


class Malformed(Exception):
    """What is wrong with a certificate, in a sentence."""


def read_claim(certificate: Any, n_train: int, n_features: int) -> Certificate:
    """Return a certificate of Python's own numbers and of arrays of one dimension.

    Parameters
    ----------
    certificate : anything
    n_train, n_features : int
        N and D.

    Raises
    ------
    Malformed
        A field has another type, shape or range than :class:`arml.certificate.Certificate` says.
    """
    if not isinstance(certificate, Certificate):
        raise Malformed(f"expected a Certificate, got a {type(certificate).__name__}")
    c = certificate
    radius, upper = _number("the radius", c.radius), _number("the upper bound", c.upper)
    if not radius >= 0.0:
        raise Malformed(f"the radius must be a number of at least 0, got {radius}")
    if not upper >= radius:
        raise Malformed(f"the upper bound must be a number no smaller than the radius {radius}, got {upper}")
    norm = _number("the norm", c.norm)
    if norm not in _NORMS:
        raise Malformed(f"the norm must be 1, 2 or inf, got {norm}")
    if not isinstance(c.bound, str):
        raise Malformed(f"the bound must be a name, got {shown(c.bound)}")
    if c.bound not in _BOUNDS:
        raise Malformed(f"no rule proves bound {shown(c.bound)}; known are {', '.join(_BOUNDS)}")
    if not isinstance(c.proofs, tuple | list):
        raise Malformed(f"the proofs must be a tuple of Proof, got a {type(c.proofs).__name__}")
    bounds, pool = _read_bounds(c.bounds), _indices("the pool", c.pool, n_train)
    if np.unique(pool).size < pool.size:
        raise Malformed("the pool names a training point twice")
    return Certificate(
        radius=radius,
        n_neighbors=_whole("n_neighbors", c.n_neighbors, 1, n_train),
        bound=str(c.bound),
        pool=pool,
        proofs=tuple(_read_proof(proof, n_train, n_features, bounds is not None) for proof in c.proofs),
        norm=norm,
        bounds=bounds,
        upper=upper,
        negative=_whole("the winning negative", c.negative, -1, n_train - 1),
        perturbation=_read_perturbation(c.perturbation, n_features, upper),
    )


def shown(value: Any) -> str:
    """A value of any kind, at a length that a sentence bears."""
    try:
        text = repr(value)
    except Exception:  # of an int with thousands of digits, of someone's own class
        return f"a {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _number(name: str, value: Any) -> float:
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, int | float | np.integer | np.floating):
        raise Malformed(f"{name} must be a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.nan
    if number != value and value == value:
        raise Malformed(f"{name} must be a number that float64 holds, got {shown(value)}")
    return number


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, _NO_NUMBERS) or not isinstance(value, int | np.integer):
        raise Malformed(f"{name} must be a whole number, got {shown(value)}")
    if not low <= int(value) <= high:
        raise Malformed(f"{name} must lie in [{low}, {high}], got {shown(value)}")
    return int(value)


def _array(name: str, values: Any, kinds: str, what: str) -> NDArray[Any]:
    if not isinstance(values, np.ndarray) or values.ndim != 1 or values.dtype.kind not in kinds:
        got = f"{values.dtype} of shape {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise Malformed(f"{name} must be a one-dimensional array of {what}, got {got}")
    return np.asarray(values)  # plain: what a mask hides is looked at too


def _indices(name: str, values: Any, size: int) -> Indices:
    array = _array(name, values, "iu", "whole numbers")
    if array.size and not (int(array.min()) >= 0 and int(array.max()) < size):
        raise Malformed(f"{name}: indices must lie in [0, {size}), got {array.min()}…{array.max()}")
    return array.astype(np.intp)


def _numbers(name: str, values: Any) -> Vector:
    with np.errstate(over="ignore"):
        return _array(name, values, "iuf", "numbers").astype(np.float64)


def _read_bounds(bounds: Any) -> tuple[float, float] | None:
    if bounds is None:
        return None
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise Malformed(f"the box must be a pair (low, high) or None, got {shown(bounds)}")
    low, high = (_number("an end of the box", end) for end in bounds)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise Malformed(f"the box must be finite with low < high, got {shown(bounds)}")
    return low, high


def _read_proof(proof: Any, n_train: int, n_features: int, boxed: bool) -> Proof:
    if not isinstance(proof, Proof):
        raise Malformed(f"a proof must be a Proof, got a {type(proof).__name__}")
    negative = _whole("a proof's negative", proof.negative, 0, n_train - 1)
    name = f"the proof for negative {negative}"
    read = Proof(
        negative,
        _indices(f"{name}, positives", proof.positives, n_train),
        _numbers(f"{name}, multipliers", proof.multipliers),
        _indices(f"{name}, faces that the box has", proof.faces, 2 * n_features if boxed else 0),
        _numbers(f"{name}, multipliers of faces", proof.face_multipliers),
    )
    if read.positives.size != read.multipliers.size or read.faces.size != read.face_multipliers.size:
        raise Malformed(f"{name} needs one multiplier for each positive and face")
    for weights in (read.multipliers, read.face_multipliers):
        if not ((weights >= 0.0) & np.isfinite(weights)).all():
            raise Malformed(f"{name} uses a negative weight, or one that is not finite")
    return read


def _read_perturbation(values: Any, n_features: int, upper: float) -> Vector:
    """δ where there is an upper bound to prove; otherwise it is not looked at."""
    if upper == math.inf:
        return np.zeros(0)
    if isinstance(values, np.ndarray) and values.shape == (n_features,) and values.dtype.kind in "iuf":
        with np.errstate(over="ignore"):  # of longer floats than float64
            delta = np.asarray(values, dtype=np.float64)
        if np.isfinite(delta).all():
            return delta
    raise Malformed(f"an upper bound needs a finite perturbation of shape ({n_features},)")
