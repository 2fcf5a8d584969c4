"""ARFF, the text format of OpenML and Weka, to an Arrow table: dense and sparse rows, comments, both quotes.

pyarrow reads rows of plain cells; rows with quotes, comments, braces or escapes are cut here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from arml.datasets.numbers import is_number
from arml.datasets.parsing import preview
from arml.errors import DataError
from arml.system.resources import check_memory

__all__ = ["ARFF_LIMIT", "parse_arff"]

ARFF_LIMIT = 1 << 30  # bytes
_DATA = re.compile(r"^[ \t]*@data\b[^\n]*\n?", re.IGNORECASE | re.MULTILINE)
_QUOTED = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
_ATTRIBUTE = re.compile(rf"""\s*@attribute\s+({_QUOTED}|[^\s{{'"][^\s{{]*)(?:\s+|(?={{))(.+?)\s*""", re.IGNORECASE)
_CELL = re.compile(rf"""[ \t]*({_QUOTED}|[^,'"]*?)[ \t]*(?:,|$)""")
_WORD = re.compile(rf"""({_QUOTED}|[^\s'"]+)""")
_SPARSE = re.compile(rf"""[ \t]*(\d+)[ \t]+({_QUOTED}|[^,'"]*?)[ \t]*(?:,|$)""")
_VALUE = re.compile(rf"""\s*({_QUOTED}|[^,'"]*?)\s*(?:,|$)""")
_WEIGHT = re.compile(r",?[ \t]*\{[ \t]*[\d.eE+-]+[ \t]*\}[ \t]*$")
_NUMBERS = ("numeric", "real", "integer")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


@dataclass(frozen=True)
class _Attribute:
    name: str
    numeric: bool
    values: tuple[str, ...] | None  # declared ones of a nominal attribute


def parse_arff(
    data: bytes, name: str, encoding: str | None = None, notes: list[str] | None = None
) -> tuple[Any, dict[str, tuple[str, ...]]]:
    """Read an ARFF file.

    Parameters
    ----------
    data : bytes
    name : str
        What to call the file in messages.
    encoding : str, optional
        Of the text; None is UTF-8, or latin-1 where it is not that.
    notes : list of str, optional
        What should be said of the file is added.

    Returns
    -------
    pyarrow.Table
        Numeric attributes as float64, nominal, text and date ones as text; ``?`` is null.
    dict
        Nominal attribute → the values that the header declares.

    Raises
    ------
    DataError
        Not ARFF, a row that does not fit the header, or a value that it does not declare.
    """
    notes = [] if notes is None else notes
    text = _text(data, encoding, name, notes)
    start = _DATA.search(text)
    if start is None:
        raise DataError(f"{name}: is not ARFF: it has no line @data; it starts {preview(data)}")
    attributes = _attributes(text[: start.start()], name)
    body = text[start.end() :]
    plain = not re.search(r"[%'\"{\\]", body) and "," in body and not re.search(r",[ \t\r]*$", body, re.MULTILINE)
    columns = None
    if plain:
        columns = _plain_columns(body, attributes)
    if columns is None:
        columns = _cut_columns(body, attributes, name, notes)
    if not columns or len(columns[0]) == 0:
        raise DataError(f"{name}: has a header but no rows")
    for attribute, column in zip(attributes, columns, strict=True):
        _check_declared(attribute, column, name)
    import pyarrow as pa

    table = pa.Table.from_arrays(columns, names=[attribute.name for attribute in attributes])
    return table, {a.name: a.values for a in attributes if a.values is not None}


def _text(data: bytes, encoding: str | None, name: str, notes: list[str]) -> str:
    try:
        return data.decode(encoding or "utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeError as error:
        if encoding is not None:
            raise DataError(f"{name}: is not {encoding} text ({error}); it is in another encoding") from error
        notes.append("encoding latin-1, since it is not UTF-8")
        return data.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n")


def _bare(token: str) -> str:
    """A value without its quotes and escapes."""
    if token[:1] in ("'", '"') and len(token) > 1 and token[-1] == token[0]:
        return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token[1:-1])
    return token.strip()


def _uncommented(line: str) -> str:
    """The line up to a comment outside of quotes: at its start, or after a blank."""
    if "%" not in line:
        return line
    for found in re.finditer(rf"{_QUOTED}|(?:^|(?<=[\s,}}]))%", line):
        if found[0] == "%":
            return line[: found.start()]
    return line


def _attributes(header: str, name: str) -> list[_Attribute]:
    found = []
    for line in header.splitlines():
        line = _uncommented(line)
        if not line.strip().lower().startswith("@attribute"):
            continue
        match = _ATTRIBUTE.fullmatch(line)
        if match is None:
            raise DataError(f"{name}: cannot read the header line {line.strip()[:80]!r}")
        values = None
        if match[2].startswith("{"):
            inner = match[2][1:].rstrip().removesuffix("}")
            values = tuple(_bare(value[1]) for value in _VALUE.finditer(inner) if value[0].strip(" \t,"))
        found.append(_Attribute(_bare(match[1]), match[2].split()[0].lower() in _NUMBERS, values))
    if not found:
        raise DataError(f"{name}: its header has no @attribute")
    return found


def _plain_columns(body: str, attributes: list[_Attribute]) -> list[Any] | None:
    """The columns of rows without quotes, comments and braces; None where pyarrow cannot read them."""
    import pyarrow as pa
    from pyarrow import csv

    cut = re.sub(r"[ \t]*,[ \t]*", ",", body) if re.search(r"[ \t],|,[ \t]", body) else body
    raw = re.sub(r"(?m)^[ \t]+|[ \t]+$", "", cut).encode()
    names = [
        str(k) for k in range(len(attributes))
    ]  # attributes may have one name twice, which is for the caller to judge
    types = {k: pa.float64() if a.numeric else pa.string() for k, a in zip(names, attributes, strict=True)}
    convert = csv.ConvertOptions(column_types=types, null_values=["?"], strings_can_be_null=True)
    read = csv.ReadOptions(column_names=names, block_size=min(len(raw) + 1, 2**31 - 1))
    try:
        table = csv.read_csv(
            pa.BufferReader(raw),
            read_options=read,
            parse_options=csv.ParseOptions(quote_char=False),
            convert_options=convert,
        )
    except (pa.ArrowException, ValueError):
        return None
    return [column.combine_chunks() for column in table.columns]


def _rows(body: str) -> Iterator[tuple[int, str]]:
    number = 0
    for line in body.split("\n"):
        line = _uncommented(line).strip()
        if line:
            number += 1
            yield number, line


def _cut_columns(body: str, attributes: list[_Attribute], name: str, notes: list[str]) -> list[Any]:
    """The columns of rows of any kind, cut cell by cell."""
    import pyarrow as pa

    rows: list[list[str | None]] = []
    sparse, weighted = False, False
    defaults: list[str | None] = [a.values[0] if a.values else "0" for a in attributes]
    for number, line in _rows(body):
        if line.startswith("{"):
            if not sparse:
                check_memory(8.0 * len(attributes) * body.count("\n"), f"{name}: its rows, made dense,", "take fewer")
            sparse = True
            cells, weight = _sparse_cells(line, attributes, defaults, name, number)
        else:
            cells, weight = _dense_cells(line, attributes, name, number)
        weighted = weighted or weight
        rows.append(cells)
    if weighted:
        notes.append("the rows' weights are not used")
    if not rows:
        return []
    return [_column(k, a, rows, name, pa) for k, a in enumerate(attributes)]


def _dense_cells(line: str, attributes: list[_Attribute], name: str, number: int) -> tuple[list[str | None], bool]:
    width = len(attributes)
    tokens = _tokens(line)
    weight = False
    if len(tokens) != width and (found := _WEIGHT.search(line)):
        tokens, weight = _tokens(line[: found.start()]), True
    if len(tokens) == width + 1 and tokens[-1] == "":
        tokens.pop()
    if len(tokens) != width:
        raise DataError(
            f"{name}: its rows do not fit its header: data row {number} has {len(tokens)} values, the header "
            f"{width} attributes: {line[:60]!r}"
        )
    return [None if token == "?" else _bare(token) for token in tokens], weight


def _tokens(line: str) -> list[str]:
    if "," not in re.sub(_QUOTED, "", line):
        return [found[1] for found in _WORD.finditer(line)]
    tokens, place = [], 0
    while place <= len(line):
        found = _CELL.match(line, place)
        if found is None:  # a quote within a word
            end = line.find(",", place)
            end = len(line) if end < 0 else end
            tokens.append(line[place:end].strip())
            place = end + 1
            continue
        tokens.append(found[1])
        if found.end() == len(line) and not found[0].endswith(","):
            break
        place = found.end()
        if place == len(line):  # a comma at the end
            tokens.append("")
            break
    return tokens


def _sparse_cells(
    line: str, attributes: list[_Attribute], defaults: list[str | None], name: str, number: int
) -> tuple[list[str | None], bool]:
    close = re.search(r"\}[ \t]*(,?[ \t]*\{[^}]*\})?$", line)
    inner = line[1 : close.start()].strip() if close else ""
    cells, place = list(defaults), 0
    while close and place < len(inner):
        found = _SPARSE.match(inner, place)
        if found is None or int(found[1]) >= len(attributes):
            close = None
            break
        cells[int(found[1])] = None if found[2] == "?" else _bare(found[2])
        place = found.end()
    if close is None:
        raise DataError(
            f"{name}: its rows do not fit its header: data row {number} should be {{index value, …}} with indices from "
            f"0 to {len(attributes) - 1}, got {line[:60]!r}"
        )
    return cells, close[1] is not None


def _column(k: int, attribute: _Attribute, rows: list[list[str | None]], name: str, pa: Any) -> Any:
    cells = [row[k] for row in rows]
    if not attribute.numeric:
        return pa.array(cells, pa.string())
    odd = next(
        (n for n, cell in enumerate(cells) if cell is not None and not is_number(cell) and cell.lower() != "nan"), None
    )
    if odd is not None:
        raise DataError(
            f"{name}: its rows do not fit its header: column {attribute.name!r} is numeric, and data row {odd + 1} has "
            f"{cells[odd]!r}"
        )
    return pa.array(
        np.array([np.nan if cell is None else float(cell) for cell in cells]), pa.float64(), from_pandas=True
    )


def _check_declared(attribute: _Attribute, column: Any, name: str) -> None:
    if attribute.values is None:
        return
    odd = set(column.unique().to_pylist()) - {None, *attribute.values}
    if odd:
        value = min(map(str, odd))
        row = column.to_pylist().index(value) + 1
        some = ", ".join(map(repr, attribute.values[:8])) + (" …" if len(attribute.values) > 8 else "")
        raise DataError(
            f"{name}: data row {row} has {value!r} in {attribute.name!r}, whose values the header declares as {some}; "
            "declare it there, or mend the row"
        )
