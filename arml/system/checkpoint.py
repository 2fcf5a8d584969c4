"""Where a long fit stands, on disk: arrays in an .npz file, marked with what they are of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from arml.errors import DataError
from arml.system.files import atomic_path

__all__ = ["CHECKPOINT_SECONDS", "fingerprint", "read_checkpoint", "write_checkpoint"]

CHECKPOINT_SECONDS = 10.0  # between two writes of a fit, at least


def fingerprint(settings: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    """SHA-256 over what decides the result of a fit: its settings (JSON-able) and its data."""
    sha = hashlib.sha256(json.dumps(settings).encode())
    for array in arrays:
        sha.update(str((array.shape, array.dtype)).encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def write_checkpoint(path: Path, mark: str, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays of a fit with this fingerprint, as a whole or not at all. DataError where that fails."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        named: dict[str, Any] = {"digest": np.array(mark), **arrays}
        np.savez(stream, **named)


def read_checkpoint(path: Path, mark: str, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Read the named arrays again.

    Raises
    ------
    DataError
        The file cannot be read, lacks one of them, or is of a fit with another fingerprint.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = str(file["digest"])
            arrays = {name: file[name] for name in names}
    except (OSError, EOFError, BadZipFile, KeyError, ValueError) as error:
        raise DataError(f"cannot read the checkpoint {path}: {error}; delete it to start anew") from error
    if found != mark:
        raise DataError(
            f"the checkpoint {path} is of another fit (other data, parameters or seed): delete it or name another"
        )
    return arrays
