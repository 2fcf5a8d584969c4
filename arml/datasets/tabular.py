"""A user's own file (CSV, Parquet, LIBSVM text) to arrays, with errors that name column and row."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets.parsing import integer_labels, looks_like_html, parse_libsvm, preview
from arml.datasets.spec import FloatArray, IntArray
from arml.errors import DataError

__all__ = ["SUFFIXES", "OwnTable", "encode_labels", "read_table_file"]

SUFFIXES = (".csv", ".parquet", ".libsvm")


@dataclass(frozen=True)
class OwnTable:
    """Features, labels as they are in the file (numbers or text) and column names (empty for LIBSVM)."""

    X: FloatArray
    labels: NDArray[Any]
    columns: tuple[str, ...]


def read_table_file(path: Path, label: str | None, *, columns: tuple[str, ...] = (), name: str = "") -> OwnTable:
    """Read one file of a user's data.

    Parameters
    ----------
    path : Path
        ``.csv`` (comma separated, header line), ``.parquet`` or ``.libsvm``.
    label : str or None
        Column of labels; not used for LIBSVM, where the label comes first on each line.
    columns : tuple of str
        Feature columns that must be there (those of the training file); empty takes all but the label.
    name : str
        What to call the file in messages.

    Raises
    ------
    DataError
        Unreadable, empty, no such label column, a column that is not numeric, a missing or infinite value, or
        columns that differ from `columns`.
    """
    name = name or path.name
    if path.suffix == ".libsvm":
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{name}: cannot be read ({error.strerror or error})") from error
        X, y = parse_libsvm(data, len(columns) or None, name)
        return OwnTable(X, y, tuple(f"f{k}" for k in range(X.shape[1])))
    table = _read_arrow(path, name)
    names = [str(c) for c in table.column_names]
    doubles = sorted(c for c, n in Counter(names).items() if n > 1)
    if doubles:
        raise DataError(f"{name}: columns {doubles} come more than once; rename them")
    if label not in names:
        raise DataError(f"{name}: there is no label column {label!r}; the columns are {_some(names)}")
    if table.num_rows == 0:
        raise DataError(f"{name}: has a header but no rows")
    features = _feature_columns(names, label, columns, name)
    X = np.empty((table.num_rows, len(features)), dtype=np.float64)
    for k, column in enumerate(features):
        X[:, k] = _numeric(table.column(column), column, name)
    return OwnTable(X, _labels(table.column(label), label, name), features)


def _read_arrow(path: Path, name: str) -> Any:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        with path.open("rb") as stream:
            head = stream.read(512)
        if looks_like_html(head):
            raise DataError(f"{name}: is a web page, not CSV ({preview(head)})")
        # one block, so that the type of a column is judged by all of its values and not by the first megabyte
        block = min(max(path.stat().st_size + 1, 1 << 20), 2**31 - 1)
        return csv.read_csv(path, read_options=csv.ReadOptions(block_size=block))
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        kind = "Parquet" if path.suffix == ".parquet" else "CSV with a header line"
        raise DataError(f"{name}: cannot be read as {kind}: {error}") from error


def _some(names: list[str], limit: int = 12) -> str:
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _feature_columns(names: list[str], label: str | None, wanted: tuple[str, ...], name: str) -> tuple[str, ...]:
    own = tuple(c for c in names if c != label)
    if not own:
        raise DataError(f"{name}: has only the label column {label!r}, no features")
    if wanted and set(own) != set(wanted):
        missing, extra = sorted(set(wanted) - set(own)), sorted(set(own) - set(wanted))
        raise DataError(
            f"{name}: its columns differ from the training file's: missing {_some(missing) or 'none'}; "
            f"not in the training file {_some(extra) or 'none'}"
        )
    return wanted or own


def _numeric(column: Any, title: str, name: str) -> FloatArray:
    import pyarrow as pa

    kind = column.type
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
    if not any(test(kind) for test in numeric):
        sample = next((v for v in column.to_pylist() if v is not None and not _is_number(v)), None)
        raise DataError(
            f"{name}: column {title!r} is not numeric ({kind}, e.g. {sample!r}); encode it as numbers or drop it"
        )
    if column.null_count:
        first = column.is_null().to_pylist().index(True) + 1
        raise DataError(
            f"{name}: column {title!r} has {column.null_count} missing values, the first in data row {first}; "
            "fill them (for example with the column's median) or drop those rows"
        )
    values = np.asarray(column.to_numpy(), dtype=np.float64)
    bad = ~np.isfinite(values)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{name}: column {title!r} has {int(bad.sum())} NaN or infinite values, the first ({values[row]}) in "
            f"data row {row + 1}; fill or drop them"
        )
    return values


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _labels(column: Any, title: str | None, name: str) -> NDArray[Any]:
    import pyarrow as pa

    if column.null_count:
        first = column.is_null().to_pylist().index(True) + 1
        raise DataError(
            f"{name}: label column {title!r} has {column.null_count} empty labels, the first in row {first}"
        )
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.asarray(column.to_pylist(), dtype=str)
    if pa.types.is_boolean(kind):
        return np.asarray(column.to_pylist(), dtype=np.int64)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return integer_labels(column.to_numpy(), f"{name}: label column {title!r}")
    raise DataError(f"{name}: label column {title!r} holds {kind}; labels are whole numbers or text")


def encode_labels(train: NDArray[Any], test: NDArray[Any], name: str) -> tuple[IntArray, IntArray, tuple[str, ...]]:
    """Labels as int64 and the text of each class.

    Whole numbers stay as they are; text becomes 0, 1, … in sorted order of the training labels.

    Raises
    ------
    DataError
        The training set has fewer than two classes, or a test label does not occur in it.
    """
    if train.dtype.kind == "U" or test.dtype.kind == "U":
        train, test = train.astype(str), test.astype(str)
    known = np.unique(train)
    if len(known) < 2:
        raise DataError(f"{name}: the training set has only the class {known[0]!s}; two or more are needed")
    unseen = np.setdiff1d(test, known)
    if len(unseen):
        raise DataError(
            f"{name}: test labels {_some([str(v) for v in unseen])} do not occur in the training set, "
            f"which has {_some([str(v) for v in known])}"
        )
    if known.dtype.kind == "U":
        train, test = np.searchsorted(known, train), np.searchsorted(known, test)
    return train.astype(np.int64), test.astype(np.int64), tuple(str(v) for v in known)
