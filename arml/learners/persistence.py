"""A fitted learner as one file that anyone can read and nothing is unpickled from: an .npz of arrays and JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from arml.errors import DataError
from arml.learners.base import MetricLearner
from arml.system.files import atomic_path

__all__ = ["load_learner", "save_learner"]

FORMAT = 1
_FACTS = ("n_iter_", "converged_", "n_fit_samples_", "fit_summary_", "n_features_in_")
_COSTS = ("seconds_", "cpu_seconds_", "peak_memory_mib_")
_ARRAYS = ("components_", "history_", "classes_")
_OPTIONAL_ARRAYS = ("validation_history_", "feature_names_in_")


def save_learner(learner: MetricLearner, path: str | os.PathLike[str]) -> None:
    """Write a fitted learner: parameters, G, history, classes and the record of the fit.

    Parameters
    ----------
    learner : MetricLearner
        Fitted. Its labels must be numbers, booleans or strings.
    path : path
        Written as a whole or not at all; taken literally (no suffix is added).

    Raises
    ------
    sklearn.exceptions.NotFittedError
    ValueError
        Labels that need pickle (arbitrary objects).
    DataError
        The file cannot be written.
    """
    learner.get_mahalanobis_matrix()  # raises where it is not fitted
    arrays: dict[str, Any] = {name: getattr(learner, name) for name in _ARRAYS}
    arrays |= {name: getattr(learner, name) for name in _OPTIONAL_ARRAYS if hasattr(learner, name)}
    params = learner.get_params(deep=False)
    for name, value in params.items():
        if isinstance(value, np.ndarray):
            arrays[f"param:{name}"], params[name] = value, None
        elif isinstance(value, os.PathLike):
            params[name] = os.fspath(value)
    for name, array in arrays.items():
        if array.dtype == object:
            strings = all(isinstance(value, str) for value in array)
            if not strings:
                raise ValueError(f"{name} holds objects, which only pickle could store: use numbers or strings")
            arrays[name] = array.astype(str)
    facts = {name: getattr(learner, name) for name in (*_FACTS, *_COSTS)}
    header = json.dumps({"format": FORMAT, "method": learner.method, "params": params, "facts": facts}, default=_plain)
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, header=np.array(header), **arrays)


def load_learner(path: str | os.PathLike[str]) -> MetricLearner:
    """Read what :func:`save_learner` wrote: a fitted learner of the same class, with the same metric bit for bit.

    Parameters
    ----------
    path : path
        No pickle is read from it.

    Returns
    -------
    MetricLearner
        Fitted.

    Raises
    ------
    DataError
        No such file, or not one of a learner, or of a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from arml import Euclidean, load_learner
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "metric.npz"
    ...     Euclidean().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1]).save(path)
    ...     load_learner(path).get_mahalanobis_matrix()
    array([[1., 0.],
           [0., 1.]])
    """
    from arml.learners import make_learner

    try:
        with np.load(Path(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] != FORMAT:
            raise DataError(f"{path} has format {header['format']}; this version reads {FORMAT}: update arml")
        params = header["params"]
        params |= {name[6:]: arrays.pop(name) for name in list(arrays) if name.startswith("param:")}
        learner = make_learner(header["method"], **params)
        for name, value in {**header["facts"], **arrays}.items():
            setattr(learner, name, value)
        if learner.components_.shape[1] != learner.n_features_in_ or not np.isfinite(learner.components_).all():
            raise ValueError(f"components_ of shape {learner.components_.shape} is no metric")
    except DataError:
        raise
    except (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError) as error:
        raise DataError(f"cannot read a learner from {path}: {error}") from error
    if hasattr(learner, "feature_names_in_"):
        learner.feature_names_in_ = learner.feature_names_in_.astype(object)
    return learner


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
