"""Numbers as people write them: decimal commas, thousands, percent signs; and what is none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["as_numbers", "is_number", "marks_of", "truth"]

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?inf(?:inity)?", re.IGNORECASE)
_PAIRS = (("no", "yes"), ("n", "y"), ("false", "true"), ("f", "t"))


def is_number(text: str) -> bool:
    """Whether a cell is a number, written with a decimal point."""
    return _NUMBER.fullmatch(text.strip()) is not None


def as_numbers(cells: Sequence[str | None], decimal: str, thousands: str | None) -> NDArray[np.float64] | list[int]:
    """A column's cells as numbers, None as NaN; or the places of those that are none.

    A percent sign is dropped where every number has one.
    """
    there = [cell for cell in cells if cell is not None]
    percent = bool(there) and all(cell.rstrip().endswith("%") for cell in there)
    bare = [cell if cell is None else cell.strip().rstrip("% ") if percent else cell.strip() for cell in cells]
    plain = [None if cell is None else _plain(cell, decimal, thousands) for cell in bare]
    odd = [place for place, cell in enumerate(plain) if cell == ""]
    if odd:
        return odd
    return np.array([np.nan if cell is None else float(cell) for cell in plain], dtype=np.float64)


def _plain(cell: str, decimal: str, thousands: str | None) -> str:
    """The number with a decimal point and nothing between its digits; "" where it is none."""
    if thousands is not None and thousands in cell:
        mark, point = re.escape(thousands), re.escape(decimal)
        if not re.fullmatch(rf"[+-]?\d{{1,3}}(?:{mark}\d{{3}})+(?:{point}\d*)?(?:[eE][+-]?\d+)?", cell):
            return ""
        cell = cell.replace(thousands, "")
    if decimal != ".":
        cell = "" if "." in cell else cell.replace(decimal, ".")
    return cell if _NUMBER.fullmatch(cell) else ""


def marks_of(cells: Iterable[str]) -> tuple[str, str | None] | None:
    """What stands before decimals and between thousands, where the cells leave no doubt about it.

    "1,5" and "1.234,5" say that the comma is the decimal mark, "1,234.5" and "1,234,567" that it groups thousands;
    "1,100" alone says neither.
    """
    found: set[tuple[str, str | None]] = set()
    doubtful = pointed = False  # "1,100"; and "900.5", which says what the comma is not
    for cell in cells:
        text = cell.strip().rstrip("% ")
        if not re.fullmatch(r"[+-]?[\d.,' \u00a0\u202f]*\d(?:[eE][+-]?\d+)?", text):
            continue
        digits = re.sub(r"[eE].*", "", text).lstrip("+-")
        comma, point = digits.count(","), digits.count(".")
        gap = next((mark for mark in "' \u00a0\u202f" if mark in digits), None)
        if comma and point:
            found.add((",", ".") if digits.rindex(",") > digits.rindex(".") else (".", ","))
        elif comma > 1:
            found.add((".", ","))
        elif point > 1:
            found.add((",", "."))
        elif gap is not None:
            found.add((",", gap) if comma else (".", gap))
        elif comma:
            after = len(digits) - digits.index(",") - 1
            doubtful = doubtful or after == 3
            if after != 3 or digits.startswith("0,"):
                found.add((",", None))
        elif point:
            pointed = pointed or len(digits) - digits.index(".") - 1 != 3
    if pointed and any(decimal == "," for decimal, _ in found):
        return None
    if doubtful and pointed and not found:
        return ".", ","
    if (",", None) in found and all(decimal == "," for decimal, _ in found):
        grouped = {thousands for _, thousands in found if thousands is not None}
        return (",", grouped.pop() if grouped else None) if len(grouped) < 2 else None
    if len(found) == 1:
        return found.pop()
    return None


def truth(values: Iterable[str]) -> dict[str, float] | None:
    """The numbers of values such as yes and no, in any case; None where some are neither."""
    folded = {value: value.strip().casefold() for value in values}
    for low, high in _PAIRS:
        if folded and set(folded.values()) <= {low, high}:
            return {value: float(plain == high) for value, plain in folded.items()}
    return None
