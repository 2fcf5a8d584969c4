"""How a user's file is to be read: the keys of an entry and the options of a command that say so."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from arml.errors import DataError

__all__ = ["ENCODINGS", "FORMATS", "MISSING", "PLAIN", "READING_KEYS", "Reading", "reading_from"]

FORMATS = ("csv", "parquet", "arff", "libsvm")
ENCODINGS = ("one-hot",)
MISSING = ("error", "median", "mean", "drop")
_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "space": " ", "blank": " "}


@dataclass(frozen=True)
class Reading:
    """How a file becomes a table, and a table features. None leaves it to the file's content.

    Attributes
    ----------
    format : str or None
        One of "csv", "parquet", "arff", "libsvm".
    separator, decimal, thousands : str or None
        Of CSV: what stands between cells, before decimals, between groups of three digits.
    encoding : str or None
        Of text, by Python's name.
    header : bool or None
        Whether the first line of a CSV names the columns; where it does not, they are "1", "2", …
    missing_marks : tuple of str
        Cells that mean that nothing is known, beside the empty one and the usual ones (NA, NaN, null, ?).
    zero_based : bool or None
        Whether LIBSVM's indices count from 0.
    encode : str or None
        "one-hot": a text column becomes a column a value, 0 or 1; None refuses text.
    missing : str
        What becomes of missing values: "error", "median" or "mean" of the training rows (text: their most frequent
        value), or "drop" for the rows that have some.
    """

    format: str | None = None
    separator: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    header: bool | None = None
    missing_marks: tuple[str, ...] = ()
    zero_based: bool | None = None
    encode: str | None = None
    missing: str = "error"


PLAIN = Reading()
READING_KEYS = tuple(field.name for field in fields(Reading))


def reading_from(values: Mapping[str, Any]) -> Reading:
    """Check the keys of `Reading` that are given and not None.

    Raises
    ------
    DataError
        A value that cannot be one; the message names the key.
    """
    given = {key: value for key, value in values.items() if key in READING_KEYS and value is not None}
    for key, known in (("format", FORMATS), ("encode", ENCODINGS), ("missing", MISSING)):
        if key in given and given[key] not in known:
            raise DataError(f"{key} must be one of {', '.join(known)}, got {given[key]!r}")
    for key in ("header", "zero_based"):
        if key in given and not isinstance(given[key], bool):
            raise DataError(f"{key} must be true or false, got {given[key]!r}")
    for key in ("separator", "decimal", "thousands"):
        if key in given:
            given[key] = _mark(key, given[key])
    marks = given.get("missing_marks", ())
    marks = [marks] if isinstance(marks, str) else marks
    if not isinstance(marks, (list, tuple)) or not all(isinstance(mark, str) for mark in marks):
        raise DataError(f"missing_marks must be a list of texts, e.g. ['-', 'na'], got {marks!r}")
    given["missing_marks"] = tuple(mark.strip() for mark in marks)
    reading = Reading(**given)
    if reading.decimal is not None and reading.decimal == reading.thousands:
        raise DataError(f"decimal and thousands are both {reading.decimal!r}; a number can be read in one way only")
    if reading.separator is not None and reading.separator == reading.decimal:
        raise DataError(f"separator and decimal are both {reading.decimal!r}; cells could not be told apart")
    if reading.encoding is not None:
        _check_encoding(reading.encoding)
    return reading


def _mark(key: str, value: Any) -> str:
    text = _SEPARATORS.get(value, value) if key in ("separator", "thousands") and isinstance(value, str) else value
    quotes = '\r\n"' if key == "thousands" else "\r\n\"'"  # Swiss thousands: 1'000
    if not isinstance(text, str) or len(text) != 1 or text in quotes or text.isalnum():
        extra = " (tab and space may be written so)" if key == "separator" else ""
        raise DataError(f"{key} must be one character that is no letter, digit or quote{extra}, got {value!r}")
    return text


def _check_encoding(value: Any) -> None:
    try:
        name = codecs.lookup(value).name
        "".encode(name)
    except (LookupError, TypeError) as error:
        raise DataError(f"encoding must be a name such as utf-8, latin-1, cp1252 or utf-16, got {value!r}") from error
