"""A user's files to training and test arrays: what is learned from rows is learned from the training rows alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets.features import Encoder, complete_rows, fit_encoder, refuse_missing
from arml.datasets.reading import Reading
from arml.datasets.spec import FloatArray, IntArray
from arml.datasets.tabular import OwnTable, encode_labels, read_table_file
from arml.errors import DataError

__all__ = ["OwnArrays", "read_one", "read_own_files"]

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class OwnArrays:
    """Features and labels of both parts, not scaled.

    Attributes
    ----------
    X_train, y_train, X_test, y_test : ndarrays
        (N, D), (N,), (n, D), (n,); n is 0 where only a training file was read.
    columns : tuple of str
        Names of the features.
    class_names : tuple of str
    facts : dict
        What was done besides reading plain numbers, for the provenance: encoded columns, filled values, left rows.
    notes : tuple of str
        The same, and what was seen in the files, for people.
    """

    X_train: FloatArray
    y_train: IntArray
    X_test: FloatArray
    y_test: IntArray
    columns: tuple[str, ...]
    class_names: tuple[str, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_own_files(
    train: tuple[Path, str],
    test: tuple[Path, str] | None,
    label: str | None,
    reading: Reading,
    *,
    drop: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    title: str = "",
) -> OwnArrays:
    """Read a training file and a test file (None: no test rows).

    Parameters
    ----------
    train, test : tuple of path and str
        Where a file lies and what to call it.
    label, reading, drop, ignored
        As in :func:`arml.datasets.tabular.read_table_file`.
    title : str
        What to call the data in messages.

    Raises
    ------
    DataError
    """

    def read(file: tuple[Path, str], how: Reading, like: OwnTable | None) -> OwnTable:
        return read_table_file(file[0], label, reading=how, drop=drop, ignored=ignored, like=like, name=file[1])

    known = read(train, reading, None)
    asked = None
    if test is not None:
        asked = read(test, reading, known)
        if (known.sparse is None) != (asked.sparse is None):
            raise DataError(f"{title or train[1]}: is {known.format.upper()}, the test file {asked.format.upper()}")
        if known.zero_based != asked.zero_based and reading.zero_based is None:  # one of them has no feature 0
            known, asked = (read(file, replace(reading, zero_based=True), None) for file in (train, test))
    return _arrays(known, asked, reading, title or train[1])


def read_one(
    file: tuple[Path, str],
    label: str | None,
    reading: Reading,
    split: Callable[[IntArray, tuple[str, ...]], tuple[Rows, Rows]],
    *,
    drop: tuple[str, ...] = (),
    ignored: tuple[str, ...] = (),
    title: str = "",
) -> OwnArrays:
    """Read one file and split its rows.

    Parameters
    ----------
    split : callable
        Rows of the training and of the test part, by labels and names of the classes.

    Others as in :func:`read_own_files`.
    """
    table = read_table_file(file[0], label, reading=reading, drop=drop, ignored=ignored, name=file[1])
    left = 0
    if reading.missing == "drop":
        whole = complete_rows(table)
        left, table = len(table) - len(whole), _only(table, whole)
        _refuse_empty(table)
    elif reading.missing == "error":
        refuse_missing(table)
    y, _, names = encode_labels(table.labels, table.labels[:0], title)
    kept, held = split(y, names)
    encoder = fit_encoder(table, reading, kept)
    facts, notes = _facts([table], [left], encoder, reading)
    X_train, X_test = (encoder.transform(table, part) for part in (kept, held))
    return OwnArrays(X_train, y[kept], X_test, y[held], encoder.columns, names, facts, notes)


def _refuse_empty(table: OwnTable) -> None:
    if len(table) == 0:
        raise DataError(f"{table.name}: every row lacks a value; with missing: drop nothing is left")


def _only(table: OwnTable, rows: Rows) -> OwnTable:
    """Some rows of a table."""
    if len(rows) == len(table):
        return table
    cells = tuple(replace(c, values=c.values[rows]) for c in table.cells)
    return replace(table, cells=cells, labels=table.labels[rows])


def _arrays(known: OwnTable, asked: OwnTable | None, reading: Reading, title: str) -> OwnArrays:
    tables = [known] if asked is None else [known, asked]
    left = [0] * len(tables)
    if reading.missing == "drop":
        whole = [complete_rows(table) for table in tables]
        left = [len(table) - len(rows) for table, rows in zip(tables, whole, strict=True)]
        tables = [_only(table, rows) for table, rows in zip(tables, whole, strict=True)]
    for table in tables:
        _refuse_empty(table)
    labels = tables[0].labels[:0] if asked is None else tables[1].labels
    y_train, y_test, names = encode_labels(tables[0].labels, labels, title)
    width = tables[1].sparse.shape[1] if asked is not None and tables[1].sparse is not None else None
    encoder = fit_encoder(tables[0], reading, width=width)
    facts, notes = _facts(tables, left, encoder, reading)
    X_train = encoder.transform(tables[0])
    X_test = X_train[:0].copy() if asked is None else encoder.transform(tables[1])
    return OwnArrays(X_train, y_train, X_test, y_test, encoder.columns, names, facts, notes)


def _facts(
    tables: list[OwnTable], left: list[int], encoder: Encoder, reading: Reading
) -> tuple[dict[str, Any], tuple[str, ...]]:
    facts: dict[str, Any] = {}
    notes = list(dict.fromkeys(note for table in tables for note in table.notes))
    if notes:
        facts["read"] = list(notes)
    if encoder.categories:
        facts["encoded"] = {name: list(values) for name, values in encoder.categories.items()}
        total = sum(map(len, encoder.categories.values()))
        columns = "text column is" if len(encoder.categories) == 1 else "text columns are"
        notes.append(f"{len(encoder.categories)} {columns} {total} features of 0 and 1 now")
    missing = {c.name: int(c.missing.sum()) for table in tables for c in table.cells if c.missing.any()}
    filled = {name: value for name, value in encoder.filled.items() if name in missing}
    if filled:
        facts["missing"] = {"filled": reading.missing, "values": filled}
        notes.append(f"missing values of {len(filled)} columns are the training rows' {reading.missing}")
    if any(left):
        facts["missing"] = {"filled": "drop", "rows": left}
        notes.append(f"{sum(left)} rows with missing values are left out")
    return facts, tuple(notes)
