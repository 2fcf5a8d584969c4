"""CSV as programs, spreadsheets and Europe write it, to an Arrow table.

Encoding, separator, header line and comments on top are taken as the user says; else they are seen from the content
where it leaves no doubt, and said. pyarrow reads the cells.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass, field, replace
from typing import Any

from arml.datasets.numbers import is_number, marks_of
from arml.datasets.parsing import preview
from arml.datasets.reading import Reading
from arml.errors import DataError

__all__ = ["MISSING_MARKS", "decode", "read_delimited"]

MISSING_MARKS = ("", "?", "#N/A", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null")
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_SEPARATORS = (",", ";", "\t", "|")
_NAMES = {"\t": "tab", " ": "space"}
_SAMPLE = 1 << 18  # characters of the file that a dialect is seen from
_LINES = 100
_EDGES = ("first", "last")  # what a label may be called where columns have no names


@dataclass
class _Layout:
    """What was found out about a file."""

    separator: str
    header: bool
    label: str | None
    notes: list[str] = field(default_factory=list)


def decode(data: bytes, encoding: str | None, name: str, notes: list[str]) -> str:
    """The text of a file, in the encoding that the user names, a byte order mark shows, or UTF-8.

    Raises
    ------
    DataError
        It is not in that encoding; the message says where, and which setting names another.
    """
    marked = next((told for mark, told in _BOMS if data.startswith(mark)), None)
    chosen = encoding or marked or "utf-8"
    if encoding is not None and codecs.lookup(encoding).name == "utf-8":
        chosen = marked or "utf-8"
    elif encoding is None and marked not in (None, "utf-8-sig"):
        notes.append(f"encoding {marked}, by its byte order mark")
    try:
        text = data.decode(chosen)
    except (UnicodeError, ValueError) as error:
        at = getattr(error, "start", 0)
        line = data[:at].count(b"\n") + 1
        came = data[max(0, at - 12) : at + 12]
        advice = "say which encoding it is in, as in encoding: cp1252 (western Windows), latin-1 or utf-16"
        if encoding is not None:
            advice = "it is in another one"
        raise DataError(f"{name}: is not {chosen.upper()} text (line {line}, around {came!r}): {advice}") from error
    if "\0" in text[:_SAMPLE]:
        raise DataError(
            f"{name}: holds NUL characters, so it is no text in {chosen.upper()}: if it is UTF-16 without a byte order "
            f"mark, say encoding: utf-16-le; it starts {preview(data)}"
        )
    return text.removeprefix("\ufeff")


def read_delimited(
    data: bytes, label: str | None, reading: Reading, name: str, notes: list[str]
) -> tuple[Any, str | None, Reading]:
    """Read CSV.

    Parameters
    ----------
    data : bytes
    label : str or None
        The column of labels, by which the header line is known; "first" and "last" where columns have no names.
    reading : Reading
    name : str
        What to call the file in messages.
    notes : list of str
        What was seen and not told is added.

    Returns
    -------
    pyarrow.Table
    str or None
        The label's column as the table calls it.
    Reading
        With the decimal mark and the one of thousands, where the cells show them.

    Raises
    ------
    DataError
    """
    text = decode(data, reading.encoding, name, notes)
    text, given = _body(text, label, notes)
    if not text.strip():
        raise DataError(f"{name}: the file is empty; a header line with the columns' names and rows were expected")
    layout = _layout(text, label, reading, given, name)
    notes += layout.notes
    if layout.separator == " ":
        text = re.sub(r"(?m)^[ \t]+|[ \t]+$", "", text)
        text, layout.separator = re.sub(r"[ \t]+", "\t", text), "\t"
    table = _cells(text, layout, reading, name)
    if reading.decimal is None and reading.thousands is None and (marks := _marks(table, layout.label)) is not None:
        decimal, thousands = marks
        reading = replace(reading, decimal=decimal, thousands=thousands)
        grouped = "" if thousands is None else f", {thousands!r} between thousands"
        notes.append(f"numbers have {decimal!r} before decimals{grouped}")
        if decimal != ".":
            table = _cells(text, layout, reading, name)
    return table, layout.label, reading


def _cells(text: str, layout: _Layout, reading: Reading, name: str) -> Any:
    import pyarrow as pa
    from pyarrow import csv as reader

    raw = text.encode()
    mark = layout.separator
    names = None if layout.header else [str(k + 1) for k, _ in enumerate(_records(_first_line(text), mark)[0])]
    # one block, so that the type of a column is judged by all of its values and not by the first megabyte
    read = reader.ReadOptions(block_size=min(len(raw) + 1, 2**31 - 1), column_names=names)
    parse = reader.ParseOptions(delimiter=mark, newlines_in_values=text.count('"') > 1)
    convert = reader.ConvertOptions(
        null_values=[*MISSING_MARKS, *reading.missing_marks], decimal_point=reading.decimal or "."
    )
    try:
        return reader.read_csv(pa.BufferReader(raw), read_options=read, parse_options=parse, convert_options=convert)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{name}: cannot be read as CSV with a header line: {error}") from error


def _marks(table: Any, label: str | None) -> tuple[str, str | None] | None:
    """What the numbers among text columns show of decimals and thousands; see `marks_of`."""
    cells: list[str] = []
    for column, field_ in zip(table.columns, table.schema, strict=True):
        if str(field_.type) == "string" and field_.name != label:
            there = [cell for cell in column.to_pylist() if cell]
            digits = sum(cell.strip().lstrip("+-")[:1].isdigit() for cell in there)
            cells += there if 2 * digits >= len(there) else []
    return marks_of(cells)


def _body(text: str, label: str | None, notes: list[str]) -> tuple[str, str | None]:
    """The text below comments on top, and the separator that a spreadsheet's first line ``sep=;`` names."""
    found = re.match(r"\s*sep=(.)\r?\n", text)
    given = found[1] if found else None
    text = text[found.end() :] if found else text.lstrip("\r\n")
    skipped = 0
    while re.match(r"[ \t]*(#|%|//)", text):
        line, _, rest = text.partition("\n")
        plain = re.sub(r"^[ \t]*(#|%|//)[ \t]*", "", line)
        cells = [cell.strip(" \"'\r") for cell in re.split(r"[,;\t|]", plain)]
        if label is not None and label in cells and len(cells) > 1:  # the header line, set off as R and NumPy do
            return plain + "\n" + rest, given
        text, skipped = rest.lstrip("\r\n"), skipped + 1
    if skipped:
        notes.append(f"{skipped} comment line{'s' if skipped > 1 else ''} on top left out")
    return text, given


def _first_line(text: str) -> str:
    return next((line for line in text[:_SAMPLE].splitlines() if line.strip()), "")


def _records(text: str, separator: str) -> list[list[str]]:
    """The cells of the first lines."""
    sample = text[:_SAMPLE]
    whole = sample if len(text) <= _SAMPLE else sample[: sample.rfind("\n") + 1]
    lines = [line for line in whole.splitlines(keepends=True) if line.strip()][:_LINES]
    if separator == " ":
        return [line.split() for line in lines]
    try:
        return list(csv.reader(io.StringIO("".join(lines)), delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return []


def _layout(text: str, label: str | None, reading: Reading, given: str | None, name: str) -> _Layout:
    separator, notes = reading.separator or given, []
    if separator is None:
        separator = _separator(text, label)
        if separator != ",":
            notes.append(f"separated by {_NAMES.get(separator, separator)!r}")
    records = _records(text, separator)
    first = [cell.strip() for cell in records[0]] if records else []
    header = reading.header
    if header is None:
        header = not _looks_like_data(first, label)
        if not header:
            notes.append(f"no header line: the columns are '1' to '{len(first)}'")
    if header or label is None or label in map(str, range(1, len(first) + 1)):
        return _Layout(separator, header, label, notes)
    if label in _EDGES:
        return _Layout(separator, header, "1" if label == "first" else str(len(first)), notes)
    raise DataError(
        f"{name}: has no header line, so that its columns are '1' to '{len(first)}', and there is no label column "
        f"{label!r}; say label: first, label: last or a number in quotes"
    )


def _looks_like_data(first: list[str], label: str | None) -> bool:
    """Whether the first line is one of data: numbers, and a label that names a place and no column."""
    if label is None or label in first or not (label in _EDGES or label.isdecimal()):
        return False
    return sum(map(is_number, first)) >= max(1, len(first) - 1)


def _separator(text: str, label: str | None) -> str:
    """The one that cuts all lines into equally many cells, and the label out of the first; else the comma."""
    found = {}
    for mark in _SEPARATORS:
        records = _records(text, mark)
        widths = {len(record) for record in records}
        if records and max(widths) > 1:
            named = label is not None and label in [cell.strip() for cell in records[0]]
            found[mark] = (named, len(widths) == 1, mark == ",", len(records[0]))
    if found:
        return max(found, key=lambda mark: found[mark])
    widths = {len(record) for record in _records(text, " ")}
    return " " if len(widths) == 1 and max(widths) > 1 else ","
