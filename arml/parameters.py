"""Checks of estimators' parameters, with one wording each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["check_choice", "check_device", "check_flag", "check_int", "check_positive"]


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


def check_device(device: str) -> None:
    """Raise ValueError unless torch can put something on ``device`` on this machine."""
    import torch

    try:
        torch.empty(0, device=torch.device(device))
    except (RuntimeError, AssertionError) as err:
        raise ValueError(f"device {device!r} cannot be used here: {err}; 'cpu' always can") from err


def check_flag(name: str, value: Any) -> None:
    """Raise ValueError unless ``value`` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
