"""ARFF, the text format of OpenML and Weka, to an Arrow table: the header is parsed here, pyarrow reads the rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from arml.datasets.parsing import looks_like_html, preview, read_bytes
from arml.errors import DataError

__all__ = ["ARFF_LIMIT", "read_arff"]

ARFF_LIMIT = 1 << 30  # bytes; pyarrow's blocks end at twice that
_DATA = re.compile(rb"^[ \t]*@data[ \t]*\r?$\n?", re.IGNORECASE | re.MULTILINE)
_COMMENT = re.compile(rb"^[ \t]*%.*$\n?", re.MULTILINE)
_NAME = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s{'"][^\s{]*"""
_ATTRIBUTE = re.compile(rf"\s*@attribute\s+({_NAME})(?:\s+|(?={{))(.+?)\s*", re.IGNORECASE)
_SPACED_COMMA = re.compile(rb"""('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")|[ \t]*,[ \t]*""")
_NUMBERS = ("numeric", "real", "integer")


def read_arff(path: Path, name: str) -> Any:
    """Read a dense ARFF file.

    Parameters
    ----------
    path : Path
    name : str
        What to call the file in messages.

    Returns
    -------
    pyarrow.Table
        Numeric attributes as float64, nominal, text and date ones as text; ``?`` is null.

    Raises
    ------
    DataError
        Not ARFF, sparse ARFF, a row that does not fit the header, or more than `ARFF_LIMIT` bytes.
    """
    raw = read_bytes(path, ARFF_LIMIT, name)
    if looks_like_html(raw):
        raise DataError(f"{name}: is a web page, not ARFF ({preview(raw)})")
    start = _DATA.search(raw)
    if start is None:
        raise DataError(f"{name}: is not ARFF: it has no line @data; it starts {preview(raw)}")
    kinds = _attributes(raw[: start.start()].decode("utf-8-sig", "replace"), name)
    rows = _COMMENT.sub(b"", raw[start.end() :])
    if not rows.strip():
        raise DataError(f"{name}: has a header but no rows")
    if rows.lstrip().startswith(b"{"):
        raise DataError(f"{name}: is sparse ARFF ({{index value, …}}), which is not read; save it as LIBSVM or CSV")
    if re.search(rb"[ \t],|,[ \t]", rows):
        rows = _SPACED_COMMA.sub(lambda found: found[1] or b",", rows)
    return _table(rows, kinds, name)


def _attributes(header: str, name: str) -> list[tuple[str, str]]:
    """Names and types of the attributes, in their order."""
    found = []
    for line in header.splitlines():
        if not line.strip().lower().startswith("@attribute"):
            continue
        match = _ATTRIBUTE.fullmatch(line)
        if match is None:
            raise DataError(f"{name}: cannot read the header line {line.strip()[:80]!r}")
        title = match[1]
        if title[0] in "'\"":
            title = re.sub(r"\\(.)", r"\1", title[1:-1])
        found.append((title, match[2].split()[0].lower()))
    if not found:
        raise DataError(f"{name}: its header has no @attribute")
    return found


def _table(rows: bytes, kinds: list[tuple[str, str]], name: str) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    numbered = [str(k) for k in range(len(kinds))]  # names may come twice, which is for the caller to judge
    types = {k: pa.float64() if kind in _NUMBERS else pa.string() for k, (_, kind) in zip(numbered, kinds, strict=True)}
    convert = csv.ConvertOptions(
        column_types=types, null_values=["?"], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    read = csv.ReadOptions(column_names=numbered, block_size=min(len(rows) + 1, 2**31 - 1))
    failure: Exception | None = None
    for quote in [q for q in ('"', "'") if q.encode() in rows] or ['"']:  # either is allowed; a file keeps to one
        parse = csv.ParseOptions(quote_char=quote, escape_char="\\")
        try:
            table = csv.read_csv(pa.BufferReader(rows), read_options=read, parse_options=parse, convert_options=convert)
        except (pa.ArrowException, ValueError) as error:
            failure = failure or error
        else:
            return table.rename_columns([title for title, _ in kinds])
    raise DataError(f"{name}: its rows do not fit its header: {_told(failure, kinds)}") from failure


def _told(failure: Exception | None, kinds: list[tuple[str, str]]) -> str:
    """What pyarrow says, with the attribute's name in place of its number."""
    return re.sub(r"column #(\d+)", lambda found: f"column {kinds[int(found[1])][0]!r}", str(failure))
