"""Fitted prototypes as one file that anyone can read and nothing is unpickled from: an .npz of arrays and JSON.

It knows no estimator: one is given to be written, and its class to be made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from sklearn.utils.validation import check_is_fitted

from arml.errors import DataError
from arml.system.files import atomic_path

__all__ = ["read_prototypes", "write_prototypes"]

FORMAT = 1
_KIND = "prototypes"
_FACTS = ("n_iter_", "converged_", "n_features_in_", "seconds_", "cpu_seconds_", "peak_memory_mib_")
_ARRAYS = ("prototype_labels_", "classes_", "history_", "validation_history_")


def write_prototypes(path: str | os.PathLike[str], model: Any) -> None:
    """Write fitted prototypes: parameters, prototypes (float32, which is all they hold), labels, G and the record.

    Parameters
    ----------
    path : path
        Written as a whole or not at all; taken literally (no suffix is added).
    model : RobustPrototypes
        Fitted. Its labels must be numbers, booleans or strings.

    Raises
    ------
    sklearn.exceptions.NotFittedError
    ValueError
        Labels that need pickle (arbitrary objects).
    DataError
        The file cannot be written.
    """
    check_is_fitted(model)
    arrays: dict[str, Any] = {name: getattr(model, name) for name in _ARRAYS}
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names_in_"] = model.feature_names_in_
    params = model.get_params(deep=False)
    if isinstance(params["init"], np.ndarray):
        params["init"] = "kmeans"  # a start is no part of the result, and as large as it
    if params["checkpoint"] is not None:
        params["checkpoint"] = os.fspath(params["checkpoint"])
    for name, array in arrays.items():
        if array.dtype == object:
            if not all(isinstance(value, str) for value in array):
                raise ValueError(f"{name} holds objects, which only pickle could store: use numbers or strings")
            arrays[name] = array.astype(str)
    arrays["prototypes_"] = model.prototypes_.astype(np.float32)
    if not model.metric_.is_identity:
        arrays["components_"] = model.metric_.components
    facts = {name: getattr(model, name) for name in _FACTS}
    header = json.dumps({"kind": _KIND, "format": FORMAT, "params": params, "facts": facts}, default=_plain)
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, header=np.array(header), **arrays)


def read_prototypes(path: str | os.PathLike[str], kind: Callable[..., Any]) -> Any:
    """Read what :func:`write_prototypes` wrote: the same classifier, bit for bit.

    Parameters
    ----------
    path : path
        No pickle is read from it.
    kind : class
        Of the estimator, called with its parameters.

    Returns
    -------
    RobustPrototypes
        Fitted. An array given as ``init`` is not kept: it is "kmeans" then.

    Raises
    ------
    DataError
        No such file, or not one of prototypes, or of a newer version.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header.get("kind") != _KIND:
            raise DataError(f"{path} holds no prototypes: a learner is read by arml.load_learner")
        if header["format"] != FORMAT:
            raise DataError(f"{path} has format {header['format']}; this version reads {FORMAT}: update arml")
        params = header["params"]
        if params["image_shape"] is not None:
            params["image_shape"] = tuple(params["image_shape"])
        model = kind(**params)
        prototypes, components = arrays.pop("prototypes_"), arrays.pop("components_", None)
        for name, value in {**header["facts"], **arrays}.items():
            setattr(model, name, value)
        if prototypes.ndim != 2 or prototypes.shape[1] != model.n_features_in_ or not np.isfinite(prototypes).all():
            raise ValueError(f"prototypes of shape {prototypes.shape} are not {model.n_features_in_} finite features")
        model._set(prototypes, model.prototype_labels_, components)
    except DataError:
        raise
    except (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError) as error:
        raise DataError(f"cannot read prototypes from {path}: {error}") from error
    if hasattr(model, "feature_names_in_"):
        model.feature_names_in_ = model.feature_names_in_.astype(object)
    return model


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
