"""What is done to arrays between parsing and use, deterministic to the bit: scaling, splitting, digests."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from arml.datasets.spec import FloatArray, IntArray
from arml.errors import DataError

__all__ = [
    "SCALINGS",
    "Scaling",
    "fingerprint",
    "fit_scaling",
    "labels_digest",
    "moments",
    "rows_digest",
    "scale",
    "stratified_split",
]

SCALINGS = ("minmax", "unit", "standard", "image", "none")


@dataclass(frozen=True)
class Scaling:
    """A scaling fitted on a training set: x becomes (x − low) / span, constant features 0.

    Attributes
    ----------
    low, span : ndarrays of shape (1,) or (D,)
        Of all features, or of each.
    constant : ndarray of the same shape, bool
        Where the training set has one value only; span is 1 there.
    """

    low: FloatArray
    span: FloatArray
    constant: NDArray[np.bool_]

    def apply(self, part: FloatArray) -> None:
        """Scale rows of shape (n, D) in place."""
        part -= self.low
        part /= self.span
        part[:, np.broadcast_to(self.constant, part.shape[1:])] = 0.0

    def transform(self, X: FloatArray) -> FloatArray:
        """The scaled copy of rows of shape (n, D)."""
        out = X.copy()
        self.apply(out)
        return out

    def inverse_transform(self, Z: FloatArray) -> FloatArray:
        """The rows of shape (n, D) that scale to Z; constant features get the value they had in training."""
        return np.where(self.constant, 0.0, Z * self.span) + self.low


def fit_scaling(train: FloatArray, scaling: str) -> Scaling:
    """Fit one of ``SCALINGS``, as :func:`scale` explains them, on an array of shape (N, D).

    Raises
    ------
    ValueError
        Unknown name.
    DataError
        The features span more than float64 can hold.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}; got {scaling!r}")
    if scaling in ("image", "none"):
        span = 255.0 if scaling == "image" else 1.0
        return Scaling(np.zeros(1), np.array([span]), np.zeros(1, dtype=bool))
    axis = None if scaling == "unit" else 0
    low = np.atleast_1d(train.min(axis=axis))
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite span is refused below
        spans = np.atleast_1d(train.max(axis=axis)) - low
        if scaling == "standard":
            same = spans == 0
            low, spans = train.mean(axis=0), np.where(same, 0.0, train.std(axis=0))
    if not np.isfinite(spans).all():
        raise DataError("the features span more than float64 can hold; rescale the columns with huge values")
    constant = spans == 0
    return Scaling(low, np.where(constant, 1.0, spans), constant)


def scale(train: FloatArray, test: FloatArray, scaling: str) -> None:
    """Scale both parts in place, fitted on the training part alone.

    Parameters
    ----------
    train, test : ndarray of shape (N, D) and (n, D), float64, writeable
    scaling : str
        "minmax": (x − min) / (max − min) per feature, so that the training set fills [0, 1]; test rows may
        lie outside. A feature that is constant in the training set becomes 0 everywhere. "unit": the same
        with the minimum and maximum over all features, so that distances keep their proportions. "image": x /
        255. "standard": (x − mean) / standard deviation per feature, of the training set; constant features become 0.
        "none": as they are.
    """
    if scaling == "none":
        return
    fitted = fit_scaling(train, scaling)
    for part in (train, test):
        fitted.apply(part)


def stratified_split(y: IntArray, n_test: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split rows into training and test so that both have the classes in the proportions of the whole.

    Parameters
    ----------
    y : ndarray of shape (n,)
    n_test : int
        Number of test rows. Each class gets its share rounded by largest remainder and always keeps a
        training row, so that fewer come out when classes are too small.
    seed : int
        Which rows of a class go to the test set: the first of `RandomState(seed).permutation`, a stream that
        NumPy keeps frozen, drawn class by class in ascending order.

    Returns
    -------
    train, test : ndarray of int
        Row numbers, ascending: rows keep their order in the file.
    """
    from sklearn.utils import check_random_state

    classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
    share = counts * (n_test / len(y))
    take = np.floor(share).astype(np.int64)
    order = np.argsort(-(share - take), kind="stable")
    take[order[: n_test - int(take.sum())]] += 1
    take = np.minimum(take, counts - 1)
    random = check_random_state(seed)
    chosen = [
        np.flatnonzero(codes == c)[random.permutation(int(counts[c]))[: int(take[c])]] for c in range(len(classes))
    ]
    test = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(y)), test), test


def fingerprint(arrays: Iterable[NDArray[np.generic]]) -> str:
    """SHA-256 over kinds, shapes and little-endian bytes of the arrays, in their order."""
    state = hashlib.sha256()
    for array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        state.update(f"{plain.dtype.str}{plain.shape};".encode())
        state.update(plain.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def rows_digest(parts: Iterable[tuple[FloatArray, IntArray]]) -> str:
    """SHA-256 of the multiset of rows (with labels) of each part: equal whatever the order of the rows."""
    state = hashlib.sha256()
    for X, y in parts:
        rows = np.column_stack([X, y.astype(np.float64)]).astype("<f8")
        for line in sorted(hashlib.sha256(row.tobytes()).digest() for row in rows):
            state.update(line)
        state.update(f"{rows.shape};".encode())
    return state.hexdigest()


def labels_digest(y_train: IntArray, y_test: IntArray) -> str:
    """SHA-256 of the labels of both parts, in row order."""
    return fingerprint([y_train, y_test])


def moments(X_train: FloatArray, X_test: FloatArray) -> tuple[float, float, float, float]:
    """Means of x and of x² over the training features and over the test features."""
    a, b = X_train, X_test
    return float(a.mean()), float(np.square(a).mean()), float(b.mean()), float(np.square(b).mean())
