"""A user's own file (CSV, Parquet, ARFF, LIBSVM text) to arrays, with errors that name column and row."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets.arff import read_arff
from arml.datasets.parsing import integer_labels, looks_like_html, parse_libsvm, preview
from arml.datasets.spec import FloatArray, IntArray
from arml.errors import DataError

__all__ = ["SUFFIXES", "OwnTable", "encode_labels", "read_table_file"]

SUFFIXES = (".csv", ".parquet", ".arff", ".libsvm")
_MISSING = ("", "?", "#N/A", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null")
_INDEXES = ("", "Unnamed: 0", "__index_level_0__")  # what pandas calls the index it writes, or reads back


@dataclass(frozen=True)
class OwnTable:
    """Features, labels as they are in the file (numbers or text) and column names (f0, f1, … for LIBSVM)."""

    X: FloatArray
    labels: NDArray[Any]
    columns: tuple[str, ...]


def read_table_file(
    path: Path,
    label: str | None,
    *,
    drop: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    columns: tuple[str, ...] = (),
    name: str = "",
) -> OwnTable:
    """Read one file of a user's data.

    Parameters
    ----------
    path : Path
        ``.csv`` (UTF-8, comma separated, header line), ``.parquet``, ``.arff`` or ``.libsvm``.
    label : str or None
        Column of labels; not used for LIBSVM, where the label comes first on each line.
    drop, ignored : tuple of str
        Columns that are no features: `drop` must be there (in the training file), `ignored` may be.
    columns : tuple of str
        Feature columns that must be there (those of the training file); empty takes all but the label.
    name : str
        What to call the file in messages.

    Raises
    ------
    DataError
        Unreadable, empty, no such label column, columns that are not numeric, missing or infinite values, or
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
    table = read_arff(path, name) if path.suffix == ".arff" else _read_arrow(path, name)
    features = _feature_columns([str(c) for c in table.column_names], label, (drop, ignored), columns, name)
    if table.num_rows == 0:
        raise DataError(f"{name}: has a header but no rows")
    return OwnTable(_features(table, features, name), _labels(table.column(label), label, name), features)


def _read_arrow(path: Path, name: str) -> Any:
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path)
        _check_head(path, name)
        # one block, so that the type of a column is judged by all of its values and not by the first megabyte
        block = min(max(path.stat().st_size + 1, 1 << 20), 2**31 - 1)
        read, convert = csv.ReadOptions(block_size=block), csv.ConvertOptions(null_values=list(_MISSING))
        return csv.read_csv(path, read_options=read, convert_options=convert)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        kind = "Parquet" if path.suffix == ".parquet" else "CSV with a header line"
        raise DataError(f"{name}: cannot be read as {kind}: {error}") from error


def _check_head(path: Path, name: str) -> None:
    """Refuse what is no comma-separated UTF-8 text, judged by its first line."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if looks_like_html(head):
        raise DataError(f"{name}: is a web page, not CSV ({preview(head)})")
    if not head.strip(b"\xef\xbb\xbf \t\r\n"):
        raise DataError(f"{name}: the file is empty; a header line with the columns' names and rows were expected")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{name}: is UTF-16 text; save it as UTF-8")
    first = head.lstrip(b"\r\n").splitlines()[0]
    other = next((mark for mark in (b";", b"\t", b"|") if mark in first), None)
    if other and b"," not in first:
        mark = other.decode()
        raise DataError(
            f"{name}: its header line is separated by {mark!r}, not by commas ({preview(first)}); save it with commas, "
            f"for example with pandas.read_csv(file, sep={mark!r}).to_csv(file, index=False)"
        )


def _some(names: Iterable[str], limit: int = 12) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _feature_columns(
    names: list[str],
    label: str | None,
    left_out: tuple[tuple[str, ...], tuple[str, ...]],
    wanted: tuple[str, ...],
    name: str,
) -> tuple[str, ...]:
    drop, ignored = left_out
    doubles = sorted(c for c, n in Counter(names).items() if n > 1)
    if doubles:
        raise DataError(f"{name}: columns {_some(doubles)} come more than once; rename them")
    for column, key in ((label, "label"), *((c, "drop") for c in drop if not wanted)):
        if column not in names:
            raise DataError(f"{name}: there is no {key} column {column!r}{_nearest(str(column), names)}")
    own = tuple(c for c in names if c != label and c not in drop and c not in ignored)
    if index := [c for c in own if c in _INDEXES]:
        raise DataError(
            f"{name}: column {index[0]!r} is a row index that was saved as a column, no feature: save the file without "
            f"(pandas: index=False), or put drop: {index!r} into the entry; if it is a feature, give it a name"
        )
    if not own:
        raise DataError(f"{name}: has only the label column {label!r}, no features")
    if wanted and set(own) != set(wanted):
        missing, extra = sorted(set(wanted) - set(own)), sorted(set(own) - set(wanted))
        raise DataError(
            f"{name}: its columns differ from the training file's: missing {_some(missing) or 'none'}; "
            f"not in the training file {_some(extra) or 'none'}"
        )
    return wanted or own


def _nearest(column: str, names: list[str]) -> str:
    """What a name that is not there may have meant, and what there is."""
    folded = {c.strip().casefold(): c for c in reversed(names)}
    near = [folded[c] for c in difflib.get_close_matches(column.strip().casefold(), list(folded), n=3, cutoff=0.6)]
    meant = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    header = "; the first line looks like data: put a header line above it" if all(map(_is_number, names)) else ""
    return f"{meant}; the columns are {_some(names)}{header}"


def _features(table: Any, features: tuple[str, ...], name: str) -> FloatArray:
    """The feature columns as float64, each of them numeric and complete."""
    _check_numeric(table, features, name)
    X = np.empty((table.num_rows, len(features)), dtype=np.float64)
    for k, column in enumerate(features):
        values = table.column(column)
        X[:, k] = np.asarray(values.to_numpy(), dtype=np.float64) if values.null_count < len(values) else np.nan
    missing = np.isnan(X)
    if missing.any():
        rows, counts = np.flatnonzero(missing.any(axis=1)), missing.sum(axis=0)
        told = [f"{features[k]!r} ({counts[k]})" for k in np.argsort(-counts, kind="stable") if counts[k]]
        more = f" and {len(told) - 12} more" if len(told) > 12 else ""
        kind = "column" if len(told) == 1 else f"{len(told)} columns"
        raise DataError(
            f"{name}: {int(missing.sum())} missing values in {kind} {', '.join(told[:12])}{more}, in {len(rows)} of "
            f"{len(X)} rows, the first in data row {rows[0] + 1}. Fill them or drop what lacks them before, for "
            "example with pandas: table.fillna(table.median(numeric_only=True)) or table.dropna(); or leave the "
            "columns out with the entry's drop"
        )
    infinite = np.isinf(X)
    if infinite.any():
        row, k = (int(v) for v in np.argwhere(infinite)[0])
        raise DataError(
            f"{name}: {int(infinite.sum())} infinite values, the first ({X[row, k]}) in column {features[k]!r}, data "
            f"row {row + 1}; replace them or drop those rows"
        )
    return X


def _check_numeric(table: Any, features: tuple[str, ...], name: str) -> None:
    """Refuse text, dates and lists among the features, all such columns in one message."""
    import pyarrow as pa

    types = pa.types
    numeric = (types.is_integer, types.is_floating, types.is_boolean, types.is_null, types.is_decimal)
    odd = [c for c in features if not any(test(table.schema.field(c).type) for test in numeric)]
    if odd:
        told = []
        for column in odd[:5]:
            sample = next((v for v in table.column(column).to_pylist() if v is not None and not _is_number(v)), None)
            told.append(f"{column!r} ({table.schema.field(column).type}{f', e.g. {sample!r}' if sample else ''})")
        more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
        words = ("column", "is", "it") if len(odd) == 1 else ("columns", "are", "them")
        raise DataError(
            f"{name}: {words[0]} {', '.join(told)}{more} {words[1]} not numeric; encode {words[2]} as numbers (for "
            f"example with pandas.get_dummies), or leave {words[2]} out with the entry's drop: [{_some(odd, 5)}]"
        )


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _labels(column: Any, title: str | None, name: str) -> NDArray[Any]:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    values = column.to_pylist()
    empty = [k for k, v in enumerate(values) if v is None or v != v or (text and v.strip() in _MISSING)]
    if empty:
        raise DataError(
            f"{name}: label column {title!r} has {len(empty)} empty labels, the first ({values[empty[0]]!r}) in data "
            f"row {empty[0] + 1}; drop those rows, or give what is a class of its own a name"
        )
    if text:
        return np.asarray([v.strip() for v in values], dtype=str)
    if pa.types.is_boolean(kind):
        return np.asarray(values, dtype=np.int64)
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
