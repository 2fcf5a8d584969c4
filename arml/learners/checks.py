"""Checks of learners' parameters, with one wording each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from arml.learners.base import Floats, Indices

__all__ = ["check_choice", "check_flag", "check_has_pairs", "check_int", "check_positive", "check_rank"]


def check_int(name: str, value: Any, minimum: int, *, optional: bool = False) -> None:
    """Raise ValueError unless ``value`` is a whole number ≥ ``minimum`` (or None where ``optional``)."""
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < minimum:
        none = " or None" if optional else ""
        raise ValueError(f"{name} must be a whole number of at least {minimum}{none}, got {value!r}")


def check_positive(name: str, value: Any, *, optional: bool = False) -> None:
    """Raise ValueError unless ``value`` is a finite number above 0 (or None where ``optional``)."""
    if value is None and optional:
        return
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not number or not 0 < value < np.inf:
        none = " or None" if optional else ""
        raise ValueError(f"{name} must be a finite number above 0{none}, got {value!r}")


def check_choice(name: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError unless ``value`` is one of ``known``."""
    names = tuple(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{name} must be one of {', '.join(names)}; got {value!r}")


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def check_has_pairs(codes: Indices, method: str) -> None:
    """Raise ValueError where no class has two members: nothing says which points are alike."""
    if np.bincount(codes).max() < 2:
        raise ValueError(f"{method} needs a class with two members or more, but each class has one point")


def check_rank(n_components: int | None, X: Floats) -> None:
    """Raise ValueError where G would have more rows than there are features."""
    if n_components is not None and n_components > X.shape[1]:
        raise ValueError(f"n_components = {n_components} exceeds the number of features ({X.shape[1]})")
