"""Checks of user input and of parameters, shared by all, so that the same mistake reads the same everywhere.

Features and labels may come as NumPy arrays, lists, pandas and polars frames and series, or torch tensors (on any
device, with a gradient or without): none of these libraries is imported for it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.system.dense import as_dense

__all__ = [
    "as_array",
    "check_choice",
    "check_classes",
    "check_device",
    "check_estimator_features",
    "check_estimator_labels",
    "check_features",
    "check_flag",
    "check_int",
    "check_labels",
    "check_labels_known",
    "check_n_neighbors",
    "check_positive",
    "check_spread",
    "check_training_set",
    "warn_of_far_rows",
]


_LEAST_SPREAD = 1e-140  # of training points; squares of less lose digits, or are 0


def as_array(values: Any, name: str) -> NDArray[Any]:
    """Return ``values`` as a NumPy array, tensors without their gradient, of whatever type and shape they have.

    ``name`` is how the error message calls them.

    Raises
    ------
    ValueError
        Sparse, ragged, complex, dates or masked: what has not one number or label an entry.
    """
    kind = type(values)
    if hasattr(kind, "tocsr") or str(getattr(values, "layout", "torch.strided")) != "torch.strided":
        raise ValueError(f"{name} is sparse ({kind.__name__}), which is not supported: pass a dense array")
    if hasattr(kind, "detach"):  # torch; NumPy has no 16-bit brain floats
        values = values.detach().cpu()
        values = values.double().numpy() if values.is_floating_point() else values.numpy()
    try:
        array = np.asarray(values)
    except ValueError as err:
        raise ValueError(f"{name} must be an array, with rows of one length: {err}") from err
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} holds complex numbers; pass real ones")
    if array.dtype.kind in "Mm":
        raise ValueError(f"{name} holds dates or time spans ({array.dtype}); pass numbers, in a unit of your choice")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries; fill or drop them first")
    return array


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
        Not two-dimensional, sparse, not real numbers, empty, NaN or infinite, or of another width than ``n_features``.
    TypeError
        Entries that are neither numbers nor text, such as dicts.
    """
    raw = as_array(as_dense(X, name), name)
    try:
        if raw.dtype.kind == "O" and hasattr(X, "iloc"):  # pandas, with its own missing values among the numbers
            raw = getattr(X, "to_numpy")(dtype=np.float64, na_value=np.nan)  # noqa: B009 - unknown to the type checker
        out = np.ascontiguousarray(raw, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise type(err)(f"{name} must be a numeric matrix of shape (n, D): {err}") from err
    if raw.ndim != 2:
        hint = f". Reshape your data: {name}.reshape(1, -1) for one point, {name}.reshape(-1, 1) for one feature"
        raise ValueError(
            f"{name} must have two dimensions (points, features), got shape {raw.shape}{hint if raw.ndim == 1 else ''}"
        )
    for count, what in zip(out.shape, ("point(s)", "feature(s)"), strict=True):
        if count == 0:
            raise ValueError(f"{name} has 0 {what} (shape={out.shape}) while a minimum of 1 is required.")
    if n_features is not None and out.shape[1] != n_features:
        raise ValueError(f"{name} has {out.shape[1]} features, expected {n_features} as in the training set")
    bad = ~np.isfinite(out)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise ValueError(
            f"{name} must be finite, got {out[row, column]} at row {row}, column {column} "
            f"({int(bad.sum())} such values); impute NaN and infinity or drop their rows first"
        )
    return out


def check_labels(y: ArrayLike, n: int, *, name: str = "y") -> NDArray[Any]:
    """Return ``y`` as a one-dimensional array of ``n`` labels (integers, strings or booleans).

    A column of shape (n, 1) is taken with scikit-learn's DataConversionWarning. ``name`` as in :func:`check_features`.

    Raises
    ------
    ValueError
        Wrong number of dimensions or of labels, missing labels or labels of several kinds, or floating-point values
        that are not whole numbers.
    """
    labels = as_array(y, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        from sklearn.utils.validation import column_or_1d

        labels = column_or_1d(labels, warn=True)
    if labels.ndim != 1:
        raise ValueError(f"{name} must have one dimension, one label a point, got shape {labels.shape}")
    if labels.shape[0] != n:
        raise ValueError(f"{name} has {labels.shape[0]} labels for {n} points")
    if labels.dtype.kind == "f" and np.isnan(labels).any():
        gaps = np.flatnonzero(np.isnan(labels))
        raise ValueError(f"Input {name} contains NaN: {gaps.size} missing label(s), the first at row {gaps[0]}")
    if labels.dtype.kind == "f" and not (np.isfinite(labels).all() and (labels == np.floor(labels)).all()):
        raise ValueError(
            f"Unknown label type: {name} must hold class labels, got floating-point values that are not whole numbers"
        )
    if labels.dtype.kind == "S" or (labels.dtype.kind == "O" and any(isinstance(v, bytes) for v in labels)):
        sample = bytes(next(v for v in labels if isinstance(v, bytes)))
        raise ValueError(f"{name} holds byte strings such as {sample!r}; decode them, as in numpy.char.decode({name})")
    if labels.dtype.kind == "O":
        if missing := [row for row, label in enumerate(labels) if _is_missing(label)]:
            raise ValueError(f"{name} has {len(missing)} missing label(s), the first at row {missing[0]}")
        labels = _plain_labels(labels, name)
    if labels.dtype.kind == "O":
        try:
            np.sort(labels)
        except TypeError as err:
            raise ValueError(f"{name} must hold labels of one kind, such as all text or all numbers: {err}") from err
    return labels


def _is_missing(label: Any) -> bool:
    """Whether this is None, NaN or a library's own mark, which compares to nothing."""
    if label is None:
        return True
    same = label == label
    return not (isinstance(same, (bool, np.bool_)) and bool(same))


def _plain_labels(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Objects that are all whole numbers or all booleans as an array of such, others as they are."""
    kinds = {type(label) for label in labels}
    if all(issubclass(kind, (bool, np.bool_)) for kind in kinds):
        return labels.astype(bool)
    if any(issubclass(kind, (bool, np.bool_, str)) for kind in kinds):
        return labels
    if all(issubclass(kind, (int, np.integer)) for kind in kinds):
        small = all(-(2**63) <= int(label) < 2**63 for label in labels)
        return labels.astype(np.int64) if small else labels
    if all(issubclass(kind, (int, float, np.integer, np.floating)) for kind in kinds):
        numbers = labels.astype(np.float64)
        if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
            raise ValueError(
                f"Unknown label type: {name} must hold class labels, got values that are not whole numbers"
            )
        return numbers
    odd = next(label for label in labels if not isinstance(label, str))
    raise ValueError(
        f"{name} holds {type(odd).__name__} such as {odd!r}; pass labels that are whole numbers, text or booleans "
        "(of intervals and the like their text: y.astype(str))"
    )


def check_estimator_features(estimator: Any, X: ArrayLike, *, reset: bool) -> NDArray[np.float64]:
    """:func:`check_features` in an estimator's method, with scikit-learn's check of features' number and names.

    Parameters
    ----------
    estimator : BaseEstimator
    X : array-like of shape (n, D)
        Column names of pandas and polars frames are feature names.
    reset : bool
        True in ``fit``: take number and names of the features from X; else compare them.

    Raises
    ------
    ValueError, TypeError
        As :func:`check_features`; also another number or other names of features than in ``fit``.
    """
    from sklearn.utils.validation import validate_data

    out = check_features(X)
    frame: Any = X if hasattr(X, "iloc") else _Columns(X, out.shape) if hasattr(X, "columns") else out
    validate_data(estimator, X=frame, reset=reset, skip_check_array=True)
    return out


def check_estimator_labels(estimator: Any, y: ArrayLike | None, n: int) -> NDArray[Any]:
    """:func:`check_labels` in ``fit``, of at least two classes.

    Raises
    ------
    ValueError
        As :func:`check_labels` and :func:`check_classes`; also no labels at all.
    """
    if y is None:
        raise ValueError(f"{type(estimator).__name__} requires y to be passed, but the target y is None")
    labels = check_labels(y, n)
    check_classes(labels)
    return labels


class _Columns:
    """Names and shape of a frame, in the form in which scikit-learn asks frames other than pandas' for them."""

    def __init__(self, frame: Any, shape: tuple[int, ...]) -> None:
        self.shape, self._names = shape, list(frame.columns)

    def __dataframe__(self) -> _Columns:
        return self

    def column_names(self) -> list[Any]:
        return self._names


def check_training_set(X: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Check a training set: finite features X, one label of y a row, at least two classes.

    Raises
    ------
    ValueError
        As :func:`check_features` and :func:`check_labels`, or fewer than two classes.
    """
    features = check_features(X, name="X_train")
    labels = check_labels(y, features.shape[0], name="y_train")
    check_classes(labels)
    check_spread(features)
    return features, labels


def check_spread(X: NDArray[np.float64]) -> None:
    """Refuse training points so near each other that their squared distances underflow, and all would be ties.

    Parameters
    ----------
    X : ndarray of shape (n, D)

    Raises
    ------
    ValueError
        The points differ, in no feature by as much as 1e-140.
    """
    spread = float((X.max(axis=0) / 2 - X.min(axis=0) / 2).max())
    if 0.0 < spread < _LEAST_SPREAD:
        raise ValueError(
            f"the training points differ by at most {2 * spread:.3g} in a feature, whose square underflows: rescale "
            "the features, for example with scaling='unit'"
        )


def warn_of_far_rows(rows: NDArray[np.intp], sizes: NDArray[np.float64]) -> None:
    """Warn of training points a million times farther out than most: near them, more is left open for K > 1.

    Parameters
    ----------
    rows : ndarray of shape (m,)
        Their training indices, farthest first; none, no warning.
    sizes : ndarray of shape (N,)
        How far all training points are from the center.
    """
    if rows.size:
        count = f" (of {rows.size} such rows)" if rows.size > 1 else ""
        warnings.warn(
            f"training row {rows[0]}{count} lies {sizes.max() / np.median(sizes):.3g} times farther out than most: "
            "a mark of missing values, or another unit? Distances between the others are as exact as without it; with "
            "K > 1, radii of points near it are bounded less sharply. Leave it out if it is no data",
            UserWarning,
            stacklevel=3,
        )


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
    """Return the position of each label of ``y`` in the sorted ``classes``.

    Raises
    ------
    ValueError
        A label that no training point has, or labels of another kind (text, numbers).
    """
    try:
        if {y.dtype.kind, classes.dtype.kind} & set("US") and len({y.dtype.kind, classes.dtype.kind} - set("USO")) > 0:
            raise TypeError
        unseen = np.setdiff1d(y, classes)
    except TypeError:
        raise ValueError(
            f"y holds labels such as {y[:1].tolist()[0]!r}, the training set has {classes[:5].tolist()}: "
            "pass labels of the same kind"
        ) from None
    if unseen.size:
        raise ValueError(
            f"y holds {unseen.size} label(s) unseen in training: {unseen[:5].tolist()}; "
            f"the training set has {classes[:20].tolist()}"
        )
    return np.searchsorted(classes, y)


def check_n_neighbors(n_neighbors: Any, n_train: int) -> int:
    """Return ``n_neighbors`` (K) as an int, where it is no more than ``n_train``.

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


# --- parameters ----------------------------------------------------------------------------------


def check_int(name: str, value: Any, minimum: int, *, optional: bool = False) -> None:
    """Raise ValueError unless ``value``, called ``name``, is a whole number ≥ ``minimum`` (or None: ``optional``)."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        none = " or None" if optional else ""
        raise ValueError(f"{name} must be a whole number of at least {minimum}{none}, got {value!r}")


def check_positive(name: str, value: Any, *, optional: bool = False) -> None:
    """Raise ValueError unless ``value``, called ``name``, is a finite number above 0 (or None where ``optional``)."""
    if value is None and optional:
        return
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 < value < np.inf:
        none = " or None" if optional else ""
        raise ValueError(f"{name} must be a finite number above 0{none}, got {value!r}")


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError unless ``value``, called ``name``, is one of ``known``."""
    names = tuple(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}; got {value!r}")


def check_device(device: str) -> None:
    """Raise ValueError unless torch can put something on ``device`` on this machine."""
    import torch

    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError) as err:
        raise ValueError(f"device {device!r} cannot be used here: {err}; 'cpu' always can") from err


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless ``value``, called ``name``, is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
