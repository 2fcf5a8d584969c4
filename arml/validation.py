"""Checks of user input, shared by every public function, so that the same mistake reads the same everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "check_classes",
    "check_features",
    "check_labels",
    "check_labels_known",
    "check_n_neighbors",
    "check_training_set",
]


def check_features(X: ArrayLike, *, name: str = "X", n_features: int | None = None) -> NDArray[np.float64]:
    """Return ``X`` as a C-contiguous float64 matrix.

    Parameters
    ----------
    X : array-like of shape (n, D)
    name : str
        How the error message calls it.
    n_features : int, optional
        The expected D.

    Raises
    ------
    ValueError
        Not two-dimensional, not numeric, empty, NaN or infinite, or of another width than ``n_features``.
    """
    try:
        out = np.ascontiguousarray(np.asarray(X, dtype=np.float64))
    except (TypeError, ValueError) as err:
        raise ValueError(f"{name} must be a numeric matrix of shape (n, D): {err}") from err
    if out.ndim != 2:
        hint = f"; for one point use {name}.reshape(1, -1)" if out.ndim == 1 else ""
        raise ValueError(f"{name} must have two dimensions (points, features), got shape {out.shape}{hint}")
    if out.shape[0] == 0 or out.shape[1] == 0:
        raise ValueError(f"{name} must hold at least one point and one feature, got shape {out.shape}")
    if n_features is not None and out.shape[1] != n_features:
        raise ValueError(f"{name} has {out.shape[1]} features, expected {n_features} as in the training set")
    bad = ~np.isfinite(out)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{name} must be finite, got {out[row, column]} at row {row}, column {column} "
            f"({int(bad.sum())} such values); impute or drop them first"
        )
    return out


def check_labels(y: ArrayLike, n: int, *, name: str = "y") -> NDArray[Any]:
    """Return ``y`` as a one-dimensional array of ``n`` labels (integers, strings or booleans).

    Raises
    ------
    ValueError
        Wrong number of dimensions or of labels, or floating-point values that are not whole numbers.
    """
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(f"{name} must have one dimension, one label a point, got shape {labels.shape}")
    if labels.shape[0] != n:
        raise ValueError(f"{name} has {labels.shape[0]} labels for {n} points")
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise ValueError(f"{name} must hold class labels, got floating-point values that are not whole numbers")
    return labels


def check_training_set(X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Check a training set: finite features, one label a row, at least two classes.

    Raises
    ------
    ValueError
        As :func:`check_features` and :func:`check_labels`, or fewer than two classes.
    """
    features = check_features(X, name="X_train")
    labels = check_labels(y, features.shape[0], name="y_train")
    check_classes(labels)
    return features, labels


def check_classes(labels: NDArray[Any]) -> None:
    """Refuse a training set of one class.

    Raises
    ------
    ValueError
        Fewer than two different labels.
    """
    classes = np.unique(labels)
    if classes.size < 2:
        raise ValueError(f"the training set needs at least two classes, got one class: {classes.tolist()}")


def check_labels_known(y: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.intp]:
    """Return the position of each label in the sorted ``classes``.

    Raises
    ------
    ValueError
        A label that no training point has.
    """
    unseen = np.setdiff1d(y, classes)
    if unseen.size:
        raise ValueError(
            f"y holds {unseen.size} label(s) unseen in training: {unseen[:5].tolist()}; "
            f"the training set has {classes[:20].tolist()}"
        )
    return np.searchsorted(classes, y)


def check_n_neighbors(n_neighbors: Any, n_train: int) -> int:
    """Return K as an int.

    Raises
    ------
    ValueError
        Not a whole number of at least 1, or larger than the training set.
    """
    if isinstance(n_neighbors, bool) or not isinstance(n_neighbors, (int, np.integer)) or n_neighbors < 1:
        raise ValueError(f"n_neighbors must be a whole number of at least 1, got {n_neighbors!r}")
    if n_neighbors > n_train:
        raise ValueError(f"n_neighbors = {n_neighbors} is larger than the training set ({n_train} points)")
    return int(n_neighbors)
