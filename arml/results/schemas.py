"""Columns, types and admissible values of every Parquet file of the study.

Files are read and written by `arml.results`; nothing else names a column.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from arml.errors import DataError

KINDS = ("exact", "certified", "attacked")
STATUSES = ("exact", "bounded", "unsolved", "misclassified", "unattacked")
METHOD_ORDER = ("euclidean", "nca", "lmnn", "itml", "lfda", "arml")
NETWORK = 0
"""What stands for the number of neighbours where the classifier is a network."""


def _schema(fields: Iterable[tuple[str, pa.DataType]]) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def _list(kind: pa.DataType) -> pa.DataType:
    return pa.list_(pa.field("element", kind, nullable=False))


RESULTS = _schema(
    [
        ("dataset", pa.string()),
        ("method", pa.string()),
        ("kind", pa.string()),
        ("algorithm", pa.string()),
        ("n_neighbors", pa.int32()),
        ("index", pa.int32()),
        ("label", pa.int32()),
        ("prediction", pa.int32()),
        ("status", pa.string()),
        ("lower", pa.float64()),
        ("upper", pa.float64()),
        ("witness", pa.int32()),
    ]
)
TIMINGS = _schema(
    [
        ("dataset", pa.string()),
        ("method", pa.string()),
        ("stage", pa.string()),
        ("n_neighbors", pa.int32()),
        ("start", pa.int32()),
        ("n_points", pa.int32()),
        ("seconds", pa.float64()),
        ("cpu_seconds", pa.float64()),
        ("peak_memory_mib", pa.float64()),
    ]
)


_PROOF = _schema(
    [
        ("negative", pa.int32()),
        ("positives", _list(pa.int32())),
        ("multipliers", _list(pa.float64())),
        ("faces", _list(pa.int32())),
        ("face_multipliers", _list(pa.float64())),
    ]
)
EVIDENCE = _schema(
    [
        *((field.name, field.type) for field in RESULTS),
        ("norm", pa.float64()),
        ("box_low", pa.float64()),
        ("box_high", pa.float64()),
        ("perturbation", _list(pa.float64())),
        ("pool", _list(pa.int32())),
        ("proofs", _list(pa.struct(_PROOF))),
    ]
)
CHECKS = _schema(
    [
        ("dataset", pa.string()),
        ("method", pa.string()),
        ("kind", pa.string()),
        ("algorithm", pa.string()),
        ("n_neighbors", pa.int32()),
        ("index", pa.int32()),
        ("accepted", pa.bool_()),
        ("reason", pa.string()),
    ]
)
ADVERSARIAL = _schema(
    [
        ("dataset", pa.string()),
        ("method", pa.string()),
        ("algorithm", pa.string()),
        ("n_neighbors", pa.int32()),
        ("index", pa.int32()),
        ("label", pa.int32()),
        ("answer", pa.int32()),
        ("norm", pa.float64()),
        ("point", _list(pa.float64())),
    ]
)
TRIALS = _schema(
    [
        ("dataset", pa.string()),
        ("fit", pa.string()),
        ("method", pa.string()),
        ("threads", pa.int32()),
        ("trial", pa.int32()),
        ("n_points", pa.int32()),
        ("n_iter", pa.int32()),
        ("seconds", pa.float64()),
        ("peak_memory_mib", pa.float64()),
    ]
)
WEIGHTS = _schema([("shape", _list(pa.int32())), ("values", _list(pa.float32()))])
IDENTITY = _schema([("n_features", pa.int32())])
_FIXED = {
    "results": RESULTS,
    "timings": TIMINGS,
    "evidence": EVIDENCE,
    "checks": CHECKS,
    "adversarial": ADVERSARIAL,
    "trials": TRIALS,
    "weights": WEIGHTS,
    "identity": IDENTITY,
}


def metric_schema(n_features: int) -> pa.Schema:
    """Columns of a metric file: g0 … g{D-1}, float64."""
    return _schema((f"g{j}", pa.float64()) for j in range(n_features))


def processed_schema(n_features: int) -> pa.Schema:
    """Columns of a preprocessed split: f0 … f{D-1} float64, then ``label`` int32."""
    return _schema([*((f"f{j}", pa.float64()) for j in range(n_features)), ("label", pa.int32())])


def expected_schema(name: str, n_columns: int) -> pa.Schema:
    if name in _FIXED:
        return _FIXED[name]
    if name == "metric":
        return metric_schema(max(n_columns, 1))
    if name == "processed":
        return processed_schema(max(n_columns - 1, 1))
    raise ValueError(f"schema_name must be one of {', '.join(_FIXED)}, metric, processed; got {name!r}")


def method_rank(method: str) -> tuple[int, str]:
    """Sort key: the paper's order of methods, then any other method by name."""
    known = METHOD_ORDER.index(method) if method in METHOD_ORDER else len(METHOD_ORDER)
    return known, method


def first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def conform(table: pa.Table, schema_name: str, where: str, remedy: str = "") -> pa.Table:
    """Return the table with the schema's columns, order and types in one chunk, or raise DataError."""
    schema = expected_schema(schema_name, table.num_columns)
    names = set(table.column_names)
    missing = [name for name in schema.names if name not in names]
    extra = sorted(names - set(schema.names))
    if missing or extra or len(names) != table.num_columns:
        raise DataError(f"{where}, but columns are missing: {missing[:8]}, or not in the schema: {extra[:8]}{remedy}")
    table = table.select(schema.names)
    for field in schema:
        if any(part.null_count for part in _parts(table[field.name])):
            raise DataError(f"{where}, but column {field.name!r} holds nulls{remedy}")
    try:
        return table.cast(schema.with_metadata(table.schema.metadata)).combine_chunks()
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{where}, but a column has the wrong type ({first_line(error)}){remedy}") from error


def _parts(column: pa.ChunkedArray) -> Iterator[pa.ChunkedArray]:
    """A column and everything inside it, where it holds lists or structures."""
    yield column
    if pa.types.is_list(column.type):
        yield from _parts(pc.list_flatten(column))
    elif pa.types.is_struct(column.type):
        for field in column.flatten():
            yield from _parts(field)


def check_values(table: pa.Table, schema_name: str, where: str, remedy: str = "") -> None:
    if schema_name in ("results", "evidence"):
        _check_results(table, where, remedy)
        if schema_name == "evidence":
            _check_evidence(table, where, remedy)
        return
    if schema_name == "checks":
        silent = pc.equal(table["reason"], "")
        if not pc.all(pc.equal(table["accepted"], silent), min_count=0).as_py():
            raise DataError(f"{where}, but a row is accepted with a 'reason', or rejected without one{remedy}")
    if schema_name == "adversarial":
        _check_adversarial(table, where, remedy)
    if schema_name == "identity" and not (table.num_rows == 1 and column(table, "n_features").min() >= 1):
        raise DataError(f"{where}, but it does not hold one number of features of at least 1{remedy}")
    if schema_name == "weights":
        _check_weights(table, where, remedy)
    for field in table.schema:
        if pa.types.is_floating(field.type) and not np.isfinite(column(table, field.name)).all():
            raise DataError(f"{where}, but column {field.name!r} holds NaN or an infinity{remedy}")
    if schema_name in ("metric", "processed") and table.num_rows == 0:
        raise DataError(f"{where}, but it has no rows{remedy}")


def _check_adversarial(table: pa.Table, where: str, remedy: str) -> None:
    if not np.isfinite(pc.list_flatten(table["point"]).to_numpy()).all():
        raise DataError(f"{where}, but column 'point' holds NaN or an infinity{remedy}")
    if pc.any(pc.equal(table["label"], table["answer"]), min_count=0).as_py():
        raise DataError(f"{where}, but a row's answer is its label: that point breaks nothing{remedy}")


def _check_weights(table: pa.Table, where: str, remedy: str) -> None:
    for row in table.to_batches():
        for shape, values in zip(row["shape"], row["values"]):
            if int(np.prod(shape.values.to_numpy())) != len(values):
                raise DataError(f"{where}, but {len(values)} values came for the shape {shape.as_py()}{remedy}")
            if not np.isfinite(values.values.to_numpy()).all():
                raise DataError(f"{where}, but column 'values' holds NaN or an infinity{remedy}")


def _check_results(table: pa.Table, where: str, remedy: str) -> None:
    for name, known in (("kind", KINDS), ("status", STATUSES)):
        unknown = sorted(set(pc.unique(table[name]).to_pylist()) - set(known))
        if unknown:
            raise DataError(f"{where}, but column {name!r} holds {unknown[:4]}; known: {', '.join(known)}{remedy}")
    lower, upper = column(table, "lower"), column(table, "upper")
    attacked = np.asarray(pc.not_equal(table["status"], "unattacked").to_numpy())
    if not (lower >= 0).all():
        raise DataError(f"{where}, but 'lower' holds NaN or negative values{remedy}")
    if not (upper[attacked] >= 0).all():
        raise DataError(f"{where}, but 'upper' holds NaN or negative values in rows that are not 'unattacked'{remedy}")
    if table.num_rows and (column(table, "n_neighbors").min() < NETWORK or column(table, "index").min() < 0):
        raise DataError(f"{where}, but 'n_neighbors' or 'index' holds values below 0{remedy}")


def _check_evidence(table: pa.Table, where: str, remedy: str) -> None:
    kinds = sorted(set(pc.unique(table["kind"]).to_pylist()) - {"exact", "certified"})
    if kinds:
        raise DataError(f"{where}, but no certificate proves rows of kind {kinds}{remedy}")
    for name in ("perturbation", "proofs"):
        for part in _parts(table[name]):
            if pa.types.is_floating(part.type) and not np.isfinite(part.to_numpy()).all():
                raise DataError(f"{where}, but column {name!r} holds NaN or an infinity{remedy}")
    norm, low, high = (column(table, name) for name in ("norm", "box_low", "box_high"))
    if not np.isin(norm, (1.0, 2.0, np.inf)).all():
        raise DataError(f"{where}, but 'norm' holds other values than 1, 2 and inf{remedy}")
    if not ((low < high) & (np.isinf(low) == np.isinf(high))).all():
        raise DataError(f"{where}, but 'box_low' and 'box_high' are not low < high, both finite or neither{remedy}")


def column(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a column as a NumPy array (strings as objects)."""
    return np.asarray(table[name].to_numpy())
