"""A user's own file (CSV, Parquet, ARFF, LIBSVM text) to a table of features and labels, with errors that name both."""

from __future__ import annotations

import difflib
import io
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets.arff import parse_arff
from arml.datasets.cells import Cells, cells_of
from arml.datasets.delimited import MISSING_MARKS, read_delimited
from arml.datasets.formats import format_of, read_own
from arml.datasets.numbers import is_number
from arml.datasets.parsing import LABEL_LIMIT, integer_labels, parse_sparse
from arml.datasets.reading import PLAIN, Reading
from arml.datasets.spec import IntArray
from arml.errors import DataError

__all__ = ["OwnTable", "encode_labels", "read_table_file", "some"]

_INDEXES = ("", "Unnamed: 0", "__index_level_0__")  # what pandas calls the index it writes, or reads back


@dataclass(frozen=True)
class OwnTable:
    """A file's content before it is encoded.

    Attributes
    ----------
    name : str
        What messages call the file.
    format : str
    columns : tuple of str
        The file's columns that are features; empty for LIBSVM.
    cells : tuple of Cells
        What is in them, lists taken apart.
    sparse : scipy.sparse.csr_matrix or None
        The features of LIBSVM text.
    zero_based : bool
        Whether LIBSVM's indices count from 0.
    labels : ndarray
        As they are in the file: numbers or text.
    notes : tuple of str
        What was seen in the file and not told.
    """

    name: str
    format: str
    columns: tuple[str, ...]
    cells: tuple[Cells, ...]
    sparse: Any
    labels: NDArray[Any]
    zero_based: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def read_table_file(
    path: Path,
    label: str | None,
    *,
    reading: Reading = PLAIN,
    drop: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    like: OwnTable | None = None,
    name: str = "",
) -> OwnTable:
    """Read one file of a user's data.

    Parameters
    ----------
    path : Path
    label : str or None
        Column of labels; not used for LIBSVM, where the label comes first on each line.
    reading : Reading
    drop, ignored : tuple of str
        Columns that are no features: `drop` must be there (in the training file), `ignored` may be.
    like : OwnTable, optional
        The training file's table, whose columns must be there and are read alike; None takes all but the label.
    name : str
        What to call the file in messages.

    Raises
    ------
    DataError
        Unreadable, empty, no such label column, cells that cannot be features, empty labels, or columns that differ
        from those of `like`.
    """
    name = name or path.name
    data = read_own(path, name)
    kind = format_of(data, name, reading.format)
    notes: list[str] = []
    if kind == "libsvm":
        if drop:
            raise DataError(f"{name}: is LIBSVM text, whose features have no names to drop")
        return _libsvm(data, reading, name, notes)
    if label is None:
        raise DataError(f"{name}: is {kind.upper()}, whose columns have names: label must name the column of labels")
    declared: dict[str, tuple[str, ...]] = {}
    if kind == "arff":
        table, declared = parse_arff(data, name, reading.encoding, notes)
    elif kind == "parquet":
        table = _parquet(data, name)
    else:
        table, found, reading = read_delimited(data, label, reading, name, notes)
        label = found or label
    features = _feature_columns(table, label, (drop, ignored), like.columns if like is not None else (), name)
    if table.num_rows == 0:
        raise DataError(f"{name}: has a header but no rows")
    labels = _labels(table.column(label), label, name)
    text = None if like is None else {c.name for c in like.cells if c.is_text}
    cells = cells_of(table, features, declared, reading, name, text)
    return OwnTable(name, kind, features, cells, None, labels, notes=tuple(notes))


def _parquet(data: bytes, name: str) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{name}: cannot be read as Parquet: {error}") from error


def _libsvm(data: bytes, reading: Reading, name: str, notes: list[str]) -> OwnTable:
    sparse, labels, zero = parse_sparse(data, None, name, reading.zero_based)
    if zero and reading.zero_based is None:
        notes.append("indices count from 0")
    return OwnTable(name, "libsvm", (), (), sparse, integer_labels(labels, name), zero, tuple(notes))


def some(names: Iterable[str], limit: int = 12) -> str:
    """The first names in quotes, and how many more there are."""
    names = list(names)
    return ", ".join(map(repr, names[:limit])) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _feature_columns(
    table: Any,
    label: str,
    left_out: tuple[tuple[str, ...], tuple[str, ...]],
    wanted: tuple[str, ...],
    name: str,
) -> tuple[str, ...]:
    names, (drop, ignored) = [str(c) for c in table.column_names], left_out
    doubles = sorted(c for c, n in Counter(names).items() if n > 1)
    if doubles:
        raise DataError(f"{name}: columns {some(doubles)} come more than once; rename them")
    for column, key in ((label, "label"), *((c, "drop") for c in drop if not wanted)):
        if column not in names:
            raise DataError(f"{name}: there is no {key} column {column!r}{_nearest(column, names)}")
    own = tuple(c for c in names if c != label and c not in drop and c not in ignored)
    indexes = {*_INDEXES, *_stored_indexes(table)}
    if index := [c for c in own if c in indexes]:
        raise DataError(
            f"{name}: column {index[0]!r} is a row index that was saved as a column, no feature: save the file without "
            f"(pandas: index=False), or put drop: {index!r}; if it is a feature, make it a plain column "
            "with a name (pandas: reset_index)"
        )
    if not own:
        raise DataError(f"{name}: has only the label column {label!r}, no features")
    if wanted and set(own) != set(wanted):
        missing, extra = sorted(set(wanted) - set(own)), sorted(set(own) - set(wanted))
        raise DataError(
            f"{name}: its columns differ from the training file's: missing {some(missing) or 'none'}; "
            f"not in the training file {some(extra) or 'none'}"
        )
    return wanted or own


def _stored_indexes(table: Any) -> list[str]:
    """The columns that pandas' own note in a Parquet file says are its row index."""
    try:
        told = json.loads((table.schema.metadata or {})[b"pandas"])["index_columns"]
        return [column for column in told if isinstance(column, str)]
    except (KeyError, ValueError, TypeError):
        return []


def _nearest(column: str, names: list[str]) -> str:
    """What a name that is not there may have meant, and what there is."""
    folded = {c.strip().casefold(): c for c in reversed(names)}
    near = [folded[c] for c in difflib.get_close_matches(column.strip().casefold(), list(folded), n=3, cutoff=0.6)]
    meant = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    header = ""
    if sum(map(is_number, names)) >= max(1, len(names) - 1):
        header = (
            "; the first line looks like data: put a header line above it, or name the label by its place, as in "
            "label: last"
        )
    return f"{meant}; the columns are {some(names)}{header}"


def _labels(column: Any, title: str, name: str) -> NDArray[Any]:
    import pyarrow as pa

    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        try:
            column = column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowException as error:
            raise DataError(f"{name}: label column {title!r} holds bytes that are no UTF-8 text ({error})") from error
    elif str(kind) in ("string_view", "large_string"):
        column = column.cast(pa.string())
    kind = column.type
    values = column.to_pylist()
    empty = [
        k for k, v in enumerate(values) if v is None or v != v or (isinstance(v, str) and v.strip() in MISSING_MARKS)
    ]
    if empty:
        raise DataError(
            f"{name}: label column {title!r} has {len(empty)} empty labels, the first ({values[empty[0]]!r}) in data "
            f"row {empty[0] + 1}; drop those rows, or give what is a class of its own a name"
        )
    if types.is_string(kind):
        return np.asarray([v.strip() for v in values], dtype=str)
    if types.is_boolean(kind):
        return np.asarray(values, dtype=np.int64)
    if types.is_integer(kind):
        return np.asarray(values, dtype=np.int64 if max(values) < 2**63 else np.uint64)
    if types.is_decimal(kind) or types.is_floating(kind):
        whole = [int(v) for v in values if abs(v) < 2**63 and v == int(v)]
        if types.is_decimal(kind) and len(whole) == len(values):
            return np.asarray(whole, dtype=np.int64)
        return integer_labels(np.asarray(values, dtype=np.float64), f"{name}: label column {title!r}")
    if types.is_date(kind) or types.is_timestamp(kind) or types.is_time(kind):
        return np.asarray([str(v) for v in values], dtype=str)
    raise DataError(f"{name}: label column {title!r} holds {kind}; labels are whole numbers or text")


def encode_labels(train: NDArray[Any], test: NDArray[Any], name: str) -> tuple[IntArray, IntArray, tuple[str, ...]]:
    """Labels as int64 and the text of each class.

    Whole numbers stay as they are, where they fit 32 bits; others, and text, become 0, 1, … in sorted order of the
    training labels.

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
            f"{name}: test labels {some([str(v) for v in unseen])} do not occur in the training set, "
            f"which has {some([str(v) for v in known])}"
        )
    if known.dtype.kind == "U" or int(known[-1]) > LABEL_LIMIT or int(known[0]) < -LABEL_LIMIT:
        train, test = np.searchsorted(known, train), np.searchsorted(known, test)
    return train.astype(np.int64), test.astype(np.int64), tuple(str(v) for v in known)
