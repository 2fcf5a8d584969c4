"""The cells of a table's feature columns: numbers, or text that an encoding makes numbers of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets.numbers import as_numbers, is_number, truth
from arml.datasets.reading import Reading
from arml.errors import DataError

__all__ = ["Cells", "cells_of"]


@dataclass(frozen=True)
class Cells:
    """One feature column.

    Attributes
    ----------
    name : str
    values : ndarray of shape (n,)
        float64, NaN where nothing is known; or text (dtype object), None where nothing is known.
    declared : tuple of str
        What text may be, where the file says so (ARFF).
    kind : str
        What the file holds, for messages.
    """

    name: str
    values: NDArray[Any]
    declared: tuple[str, ...] = ()
    kind: str = "string"

    @property
    def is_text(self) -> bool:
        """Whether any cell is text, so that all are kept as objects."""
        return bool(self.values.dtype == object)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where nothing is known, shape (n,)."""
        if self.is_text:
            return np.array([value is None for value in self.values], dtype=bool)
        return np.asarray(np.isnan(self.values), dtype=bool)


def cells_of(
    table: Any,
    features: tuple[str, ...],
    declared: dict[str, tuple[str, ...]],
    reading: Reading,
    name: str,
    text: set[str] | None = None,
) -> tuple[Cells, ...]:
    """The feature columns of an Arrow table.

    Parameters
    ----------
    text : set of str, optional
        The columns that are text in the training file, and so are here; None for the training file itself.

    Raises
    ------
    DataError
        Infinite values; columns that are no numbers (all in one message), where no encoding is asked for.
    """
    found: list[Cells] = []
    odd: list[tuple[str, str, Any]] = []
    for feature in features:
        column = table.column(feature)
        listed = _listed(feature, column, name)
        for title, part in listed if listed is not None else [(feature, column)]:
            if text is not None and title in text:
                cells: Cells | None = _as_text(title, part, reading)
            else:
                cells = _cells(title, part, declared.get(feature, ()), reading, name)
            if cells is None:
                odd.append((title, str(part.type), None))
            elif cells.is_text and (reading.encode is None or (text is not None and title not in text)):
                sample = next((v for v in cells.values if v is not None and not is_number(v)), None)
                odd.append((title, cells.kind, sample))
            else:
                found.append(cells)
    if odd:
        _refuse(odd, name)
    for cells in found:
        if not cells.is_text and np.isinf(cells.values).any():
            places = np.flatnonzero(np.isinf(cells.values))
            raise DataError(
                f"{name}: {len(places)} infinite values, the first ({cells.values[places[0]]}) in column "
                f"{cells.name!r}, data row {places[0] + 1}; replace them or drop those rows"
            )
    return tuple(found)


def _refuse(odd: list[tuple[str, str, Any]], name: str) -> None:
    told = [f"{title!r} ({kind}{f', e.g. {sample!r}' if sample else ''})" for title, kind, sample in odd[:5]]
    more = f" and {len(odd) - 5} more" if len(odd) > 5 else ""
    words = ("column", "is", "it") if len(odd) == 1 else ("columns", "are", "them")
    columns = ", ".join(repr(title) for title, _, _ in odd[:5]) + more
    raise DataError(
        f"{name}: {words[0]} {', '.join(told)}{more} {words[1]} not numeric; have text encoded as columns of 0 and 1 "
        f"with encode: one-hot, make numbers of {words[2]} before, or leave {words[2]} out with drop: [{columns}]"
    )


def _listed(title: str, column: Any, name: str) -> list[tuple[str, Any]] | None:
    """A column of lists of one length as so many columns."""
    import pyarrow as pa
    from pyarrow import compute

    types = pa.types
    if not (types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type)):
        return None
    lengths = set(compute.list_value_length(column).to_pylist())
    if len(lengths) != 1 or None in lengths:
        counted = sorted(length for length in lengths if length is not None)
        raise DataError(
            f"{name}: column {title!r} holds lists of {counted[:3]} values{' or none' if None in lengths else ''}; as "
            "features, lists of one length are taken, a column a value"
        )
    width = lengths.pop()
    flat = compute.list_flatten(column)
    if isinstance(flat, pa.ChunkedArray):
        flat = flat.combine_chunks()
    return [
        (f"{title}[{k}]", pa.chunked_array([flat.take(pa.array(range(k, len(flat), width)))])) for k in range(width)
    ]


def _cells(title: str, column: Any, declared: tuple[str, ...], reading: Reading, name: str) -> Cells | None:
    """One column; None for dates and the like, which are no numbers and no categories."""
    import pyarrow as pa

    types, kind = pa.types, column.type
    if types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if types.is_null(kind):
        return Cells(title, np.full(len(column), np.nan))
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        values = np.asarray(column.to_numpy(), dtype=np.float64)
        return Cells(title, values)
    if types.is_decimal(kind):
        return Cells(title, np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64))
    if not (types.is_string(kind) or types.is_large_string(kind) or str(kind) == "string_view"):
        return None
    return _text(title, column.to_pylist(), declared, str(kind), reading, name)


def _as_text(title: str, column: Any, reading: Reading) -> Cells:
    """A column whose training cells are text, whatever this file's cells look like."""
    from arml.datasets.delimited import MISSING_MARKS

    marks = {*MISSING_MARKS, *reading.missing_marks}
    values = [str(v).lower() if isinstance(v, bool) else v if v is None else str(v).strip() for v in column.to_pylist()]
    return Cells(title, np.array([None if value in marks else value for value in values], dtype=object))


def _text(
    title: str, values: list[str | None], declared: tuple[str, ...], kind: str, reading: Reading, name: str
) -> Cells:
    """Text as numbers where it is such, yes and no included; else as categories."""
    from arml.datasets.delimited import MISSING_MARKS

    marks = {*MISSING_MARKS, *reading.missing_marks}
    cells = [None if value is None or value.strip() in marks else value.strip() for value in values]
    whole = declared or tuple({cell for cell in cells if cell is not None})
    decimal = reading.decimal or "."
    if declared and all(map(is_number, declared)):
        return Cells(title, np.array([np.nan if cell is None else float(cell) for cell in cells]), kind=kind)
    if (codes := truth(whole)) is not None:
        return Cells(title, np.array([np.nan if cell is None else codes[cell] for cell in cells]), kind=kind)
    if not declared:
        numbers = as_numbers(cells, decimal, reading.thousands)
        if not isinstance(numbers, list):
            return Cells(title, numbers, kind=kind)
        there = sum(cell is not None for cell in cells)
        if 2 * len(numbers) < there or _numberish(cells):
            _refuse_numbers(title, cells, numbers, reading, name)
    return Cells(title, np.array(cells, dtype=object), declared, kind)


def _numberish(cells: list[str | None]) -> bool:
    """Whether most cells are numbers in one way of writing or another, such as "1,100" or "<0.05"."""
    there = [cell for cell in cells if cell is not None]
    bare = [cell.strip("<>=~≤≥ $€£%+-").replace(",", "").replace(" ", "").replace("'", "") for cell in there]
    return bool(there) and 2 * sum(map(is_number, bare)) > len(there) and len(set(there)) > 1


def _refuse_numbers(title: str, cells: list[str | None], odd: list[int], reading: Reading, name: str) -> None:
    """Name the first cell that keeps a column from being numbers, and the setting that reads it."""
    place = odd[0]
    value = str(cells[place])
    bare = value.lstrip("+-")
    if not any(sign.isdigit() for sign in value) or value.startswith("#"):
        some = sorted({str(cells[k]) for k in odd if not any(s.isdigit() for s in str(cells[k]))}) or [value]
        advice = f"if they mean that nothing is known, say missing_marks: {some[:5]!r}"
    elif value[0] in "<>≤≥~=":
        advice = f"write a number in its place, or have it read as missing with missing_marks: [{value!r}]"
    elif value.endswith("%"):
        advice = "write all numbers of the column with a percent sign, or none"
    elif bare.replace(",", "").replace(".", "").isdigit() and "," in bare:
        advice = "say decimal: ',' if the comma stands before decimals, or thousands: ',' if it groups digits"
    elif bare.replace(".", "").isdigit():
        advice = "say thousands: '.' and decimal: ',' if the point groups digits"
    elif bare.replace(" ", "").replace("\u00a0", "").isdigit():
        advice = "say thousands: space"
    elif bare.replace("'", "").isdigit():
        advice = 'say thousands: "\'"'
    else:
        advice = "write a plain number in its place"
    raise DataError(
        f"{name}: column {title!r} is numbers but for {len(odd)} of {len(cells)} cells, the first {value!r} in data "
        f"row {place + 1}: {advice}; or leave the column out with drop: [{title!r}]"
    )
