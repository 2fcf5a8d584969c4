"""Kinds of values in params.yaml, each with its range, and what is said of one that is out of it.

A checker returns the value as it came, or raises ValueError with what was expected. The key is put before it, with a
blank between them unless the message begins with a dot or a colon.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator

# the part of a stage's name, a file's name and a command line: nothing a shell would read twice
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
DEFAULT = "default"  # of a sample that differs between data sets


def whole(least: int, *others: Any) -> BeforeValidator:
    """A whole number, at least `least`, or one of `others` (None is written null)."""
    return BeforeValidator(lambda value: value if _is_one_of(value, others) else require_whole(value, least, *others))


def choice(*known: str) -> BeforeValidator:
    """One of the names."""
    return BeforeValidator(lambda value: require_choice(value, known))


def require_whole(value: Any, least: int, *others: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= least:
        return value
    otherwise = "".join(f" or {'null' if other is None else other}" for other in others)
    raise ValueError(f"must be a whole number >= {least}{otherwise}; got {value!r}")


def require_choice(value: Any, known: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in known:
        return value
    raise ValueError(f": {value!r} is unknown; choose from {', '.join(known)}")


def _is_one_of(value: Any, others: tuple[Any, ...]) -> bool:
    return any(value is other or (isinstance(value, str) and value == other) for other in others)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _time_limit(value: Any) -> Any:
    if value is not None and not (is_number(value) and value > 0):
        raise ValueError(f"must be a positive number of seconds, or null for none; got {value!r}")
    return value


def _fraction(value: Any) -> Any:
    if not (is_number(value) and 0 < value < 1):
        raise ValueError(f"must lie between 0 and 1, got {value!r}")
    return value


def _bounds(value: Any) -> Any:
    if value is None:
        return None
    good = isinstance(value, list) and len(value) == 2 and all(is_number(bound) for bound in value)
    if not good or not value[0] < value[1]:
        raise ValueError(f"must be [low, high] with low < high, or null; got {value!r}")
    return value


def _neighbors(value: Any) -> Any:
    """Different whole numbers, or none."""
    if not isinstance(value, list) or len(set(map(str, value))) != len(value):
        raise ValueError(f"must be a list of different whole numbers, e.g. [1, 11]; got {value!r}")
    return [require_whole(number, 1) for number in value]


def _samples(value: Any, lists: bool) -> Any:
    """all, a number, a list of those (one for each of n_neighbors) where `lists`; or one a data set."""
    if isinstance(value, Mapping):
        for name, own in value.items():
            if isinstance(own, Mapping):
                raise ValueError(f"must map data sets to numbers or all; got {own!r} for {name}")
            try:
                _samples(own, lists)
            except ValueError as error:
                raise ValueError(f".{name} {error}") from error
        return value
    for number in value if lists and isinstance(value, list) else [value]:
        if number != "all":
            require_whole(number, 1, "all")
    return value


def _skip(value: Any) -> Any:
    """Data set → methods left out there; of data sets and methods that the study may not have."""
    from arml.learners import METHODS

    if not isinstance(value, Mapping):
        raise ValueError(f"must be a mapping of data sets to lists of methods ({{}} for none), got {value!r}")
    for name, methods in value.items():
        if not isinstance(methods, list) or not set(map(str, methods)) <= set(METHODS):
            raise ValueError(f".{name} must be a list of methods ({', '.join(METHODS)}), got {methods!r}")
    return value


TimeLimit = Annotated[Any, BeforeValidator(_time_limit)]
Fraction = Annotated[Any, BeforeValidator(_fraction)]
Bounds = Annotated[Any, BeforeValidator(_bounds)]
Neighbors = Annotated[list[int], BeforeValidator(_neighbors)]
Sample = Annotated[Any, BeforeValidator(lambda value: _samples(value, lists=False))]
Samples = Annotated[Any, BeforeValidator(lambda value: _samples(value, lists=True))]
Skip = Annotated[Any, BeforeValidator(_skip)]
