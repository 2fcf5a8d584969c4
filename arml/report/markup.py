"""Tables of text: Markdown and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["csv_text", "markdown_table"]


def markdown_table(header: Sequence[str], body: Iterable[Sequence[str]], prose: int = 0) -> list[str]:
    """Return the lines of a Markdown table: first column left, the others right, columns padded.

    The last `prose` columns hold words and stand left too.
    """
    rows = [list(header), *map(list, body)]
    left = {0, *range(len(header) - prose, len(header))}
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(header))]
    text = [
        [cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))] for row in rows
    ]
    rule = ["-" * w if i in left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return ["| " + " | ".join(row) + " |" for row in [text[0], rule, *text[1:]]]


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV; floats at six decimals, None as nothing."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_csv_value(value) for value in row] for row in rows)
    return stream.getvalue()


def _csv_value(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return round(value, 6)
    return "" if value is None else value
