"""Sparse features as dense ones, after a look at what memory holds.

Nothing keeps them sparse: ties and proofs rest on differences of whole rows, from a center that is not zero.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

__all__ = ["as_dense"]

_LARGE = 2.0**28  # bytes from which making a sparse matrix dense is said


def as_dense(values: Any, name: str) -> Any:
    """A SciPy sparse matrix as an array, where memory holds it; where it is large, with a line that says so.

    A pandas frame of sparse columns is left to pandas, after the same look at its size; so is whatever is not sparse.

    Raises
    ------
    DataError
        The array would not fit the memory that is free.
    """
    matrix = hasattr(type(values), "tocsr") and values.ndim == 2 and values.dtype.kind in "biuf"
    if not (matrix or (hasattr(values, "iloc") and values.ndim == 2 and hasattr(values, "sparse"))):
        return values
    from arml.system.resources import check_memory, gibibytes

    rows, width = values.shape
    size = 8.0 * rows * width
    check_memory(
        2.0 * size, f"{name}, sparse {rows} × {width}, made dense", "leave features out, or project them first"
    )
    if size >= _LARGE:
        warnings.warn(f"{name}, sparse {rows} × {width}, is made dense: {gibibytes(size)}", UserWarning, stacklevel=5)
    return np.asarray(values.toarray(), dtype=np.float64) if matrix else values
