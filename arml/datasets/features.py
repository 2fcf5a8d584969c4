"""Tables to float64 features: text encoded, missing values filled, all of it learned from the training rows alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets.cells import Cells
from arml.datasets.reading import Reading
from arml.datasets.spec import FloatArray
from arml.datasets.tabular import OwnTable, some
from arml.errors import DataError
from arml.system.resources import check_memory

__all__ = ["Encoder", "complete_rows", "fit_encoder", "refuse_missing"]

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Encoder:
    """What the training rows say of how a table becomes features.

    Attributes
    ----------
    columns : tuple of str
        Names of the features.
    categories : dict
        Text column → its values, a feature each.
    filled : dict
        Column → what stands for its missing values.
    width : int
        D.
    """

    columns: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    filled: dict[str, float | str]
    width: int

    def transform(self, table: OwnTable, rows: Rows | None = None) -> FloatArray:
        """The features of some rows of a table (None: all), shape (n, D).

        Raises
        ------
        DataError
            A missing value, a text value that the training rows do not have, or more than fits memory.
        """
        n = len(table) if rows is None else len(rows)
        told = f"{table.name}: {n} rows of {self.width} features"
        check_memory(8.0 * n * self.width, told, "leave columns out, or take fewer rows")
        if table.sparse is not None:
            return self._dense(table, rows)
        if not self.filled:
            refuse_missing(table)
        out = np.empty((n, self.width))
        place = 0
        for cells in table.cells:
            values = cells.values if rows is None else cells.values[rows]
            known = self.categories.get(cells.name)
            if known is None:
                column = np.asarray(values, dtype=np.float64)
                if cells.name in self.filled:
                    column = np.where(np.isnan(column), float(self.filled[cells.name]), column)
                out[:, place] = column
                place += 1
                continue
            codes = self._codes(cells, values, known, table, rows)
            out[:, place : place + len(known)] = 0.0
            out[np.arange(n), place + codes] = 1.0
            place += len(known)
        return out

    def _dense(self, table: OwnTable, rows: Rows | None) -> FloatArray:
        part = table.sparse if rows is None else table.sparse[rows]
        out = np.zeros((part.shape[0], self.width))
        out[:, : part.shape[1]] = part.toarray()
        return out

    def _codes(
        self, cells: Cells, values: NDArray[Any], known: tuple[str, ...], table: OwnTable, rows: Rows | None
    ) -> NDArray[np.intp]:
        places = {value: code for code, value in enumerate(known)}
        default = self.filled.get(cells.name)
        unseen = [k for k, value in enumerate(values) if value is not None and value not in places]
        if unseen:
            row = (unseen[0] if rows is None else int(rows[unseen[0]])) + 1
            names = sorted({str(values[k]) for k in unseen})
            raise DataError(
                f"{table.name}: column {cells.name!r} has {some(names, 5)}, first in data row {row}, which no training "
                f"row has ({some(known, 8)}): drop those rows, or give their value another name in the file"
            )
        return np.array([places[default if value is None else value] for value in values], dtype=np.intp)  # type: ignore[index]


def complete_rows(table: OwnTable) -> Rows:
    """Rows without missing values."""
    bad = np.zeros(len(table), dtype=bool)
    for cells in table.cells:
        bad |= cells.missing
    return np.flatnonzero(~bad)


def fit_encoder(table: OwnTable, reading: Reading, rows: Rows | None = None, width: int | None = None) -> Encoder:
    """Learn names, categories and fillings from the training rows of a table.

    Parameters
    ----------
    table : OwnTable
    reading : Reading
    rows : ndarray of int, optional
        The training rows; None for all.
    width : int, optional
        Least number of features of LIBSVM text.

    Raises
    ------
    DataError
        Missing values where `reading` says that they are an error, or a column that has nothing else.
    """
    if table.sparse is not None:
        wide = max(table.sparse.shape[1], width or 0)
        return Encoder(tuple(f"f{k}" for k in range(wide)) if wide <= 1 << 16 else (), {}, {}, wide)
    if reading.missing not in ("median", "mean"):
        refuse_missing(table)
    columns: list[str] = []
    categories: dict[str, tuple[str, ...]] = {}
    filled: dict[str, float | str] = {}
    for cells in table.cells:
        values = cells.values if rows is None else cells.values[rows]
        if reading.missing in ("median", "mean"):
            filled[cells.name] = _filling(cells, values, reading.missing, table.name)
        if cells.is_text:
            known = cells.declared or tuple(sorted({value for value in values if value is not None}))
            categories[cells.name] = known
            columns += [f"{cells.name}={value}" for value in known]
        else:
            columns.append(cells.name)
    return Encoder(tuple(columns), categories, filled, len(columns))


def _filling(cells: Cells, values: NDArray[Any], how: str, name: str) -> float | str:
    there = [value for value in values if value is not None] if cells.is_text else values[~np.isnan(values)]
    if len(there) == 0:
        raise DataError(f"{name}: column {cells.name!r} has no value in the training rows; leave it out with drop")
    if cells.is_text:
        counts = Counter(there)
        return str(min(counts, key=lambda value: (-counts[value], value)))
    return float(np.median(there) if how == "median" else np.mean(there))


def refuse_missing(table: OwnTable) -> None:
    """Refuse a table with missing values, and say where and how many: DataError."""
    lacking = {cells.name: cells.missing for cells in table.cells if cells.missing.any()}
    if not lacking:
        return
    counts = {name: int(missing.sum()) for name, missing in lacking.items()}
    told = [f"{name!r} ({counts[name]})" for name in sorted(counts, key=lambda name: -counts[name])]
    more = f" and {len(told) - 12} more" if len(told) > 12 else ""
    kind = "column" if len(told) == 1 else f"{len(told)} columns"
    rows = np.flatnonzero(np.logical_or.reduce(list(lacking.values())))
    raise DataError(
        f"{table.name}: {sum(counts.values())} missing values in {kind} {', '.join(told[:12])}{more}, in {len(rows)} "
        f"of {len(table)} rows, the first in data row {rows[0] + 1}. Fill them with missing: median (or mean), leave "
        "those rows out with missing: drop, or the columns with drop"
    )
