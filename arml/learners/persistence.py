"""The file of a fitted learner, which anyone can read and nothing is unpickled from: an .npz of arrays and JSON.

It knows no learners: what is written and read is a method's name, its parameters, facts and arrays.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from arml.errors import DataError
from arml.system.files import atomic_path

__all__ = ["StoredLearner", "read_learner", "write_learner"]

FORMAT = 1
_IDENTITY_FORMAT = 2  # without components_: the Euclidean metric
_PARAM = "param:"


@dataclass(frozen=True)
class StoredLearner:
    """What a file holds.

    Attributes
    ----------
    method : str
    params : mapping
        By name: JSON-able values, paths and arrays.
    facts : mapping
        By the name of the fitted attribute: JSON-able values.
    arrays : mapping
        By the name of the fitted attribute: ``components_``, of shape (r, D), unless it is the identity.
    """

    method: str
    params: Mapping[str, Any]
    facts: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def write_learner(path: str | os.PathLike[str], learner: StoredLearner) -> None:
    """Write the file as a whole or not at all.

    Parameters
    ----------
    path : path
        Taken literally (no suffix is added).
    learner : StoredLearner

    Raises
    ------
    ValueError
        Arrays that need pickle (arbitrary objects; strings do not).
    DataError
        The file cannot be written.
    """
    arrays, params = dict(learner.arrays), dict(learner.params)
    for name, value in params.items():
        if isinstance(value, np.ndarray):
            arrays[_PARAM + name], params[name] = value, None
        elif isinstance(value, os.PathLike):
            params[name] = os.fspath(value)
    for name, array in arrays.items():
        if array.dtype == object:
            strings = all(isinstance(value, str) for value in array)
            if not strings:
                raise ValueError(f"{name} holds objects, which only pickle could store: use numbers or strings")
            arrays[name] = array.astype(str)
    number = FORMAT if "components_" in arrays else _IDENTITY_FORMAT
    content = {"format": number, "method": learner.method, "params": params, "facts": dict(learner.facts)}
    header = json.dumps(content, default=_plain)
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.savez_compressed(stream, header=np.array(header), **arrays)  # type: ignore[arg-type]


def read_learner(path: str | os.PathLike[str]) -> StoredLearner:
    """Read what :func:`write_learner` wrote; no pickle is read from it.

    Raises
    ------
    DataError
        No such file, or not one of a learner, or of a newer version.
    """
    try:
        with np.load(Path(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(str(arrays.pop("header")))
        if header["format"] not in (FORMAT, _IDENTITY_FORMAT):
            raise DataError(
                f"{path} has format {header['format']}; this version reads {FORMAT} and {_IDENTITY_FORMAT}: update arml"
            )
        params = header["params"]
        params |= {name.removeprefix(_PARAM): arrays.pop(name) for name in list(arrays) if name.startswith(_PARAM)}
        stored = StoredLearner(header["method"], params, header["facts"], arrays)
        if header["format"] == FORMAT:
            components = arrays["components_"]
            if components.shape[1] != stored.facts["n_features_in_"] or not np.isfinite(components).all():
                raise ValueError(f"components_ of shape {components.shape} is no metric")
    except DataError:
        raise
    except (OSError, EOFError, BadZipFile, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"cannot read a learner from {path}: {error}") from error
    return stored


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} has no JSON form")
