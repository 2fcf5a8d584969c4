"""Options that all attacks share: how they are read, and what is wrong with them."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["GRADIENT_ATTACKS", "check_count", "check_time_limit", "deadline_after", "point_generators"]


GRADIENT_ATTACKS = ("ddn", "fmn")
"""Attacks on networks, see :func:`arml.attacks.gradient.gradient_attack`."""


def check_count(name: str, value: Any, least: int) -> int:
    """Read a whole number of at least ``least``. ValueError where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return int(value)


def check_time_limit(seconds: float | None) -> None:
    """Refuse what is no positive number of seconds, nor None for no limit. ValueError."""
    if seconds is not None and not seconds > 0:
        raise ValueError(f"time_limit must be positive or None, got {seconds!r}")


def deadline_after(seconds: float | None) -> float:
    """When so many seconds are over, on :func:`time.monotonic`; inf for None."""
    return math.inf if seconds is None else time.monotonic() + seconds


def point_generators(seeds: int | ArrayLike, indices: ArrayLike | None, n: int) -> list[np.random.Generator]:
    """One generator a point, from its own seed or from (the run's seed, the point's index).

    Raises
    ------
    ValueError
        Not whole numbers of at least 0, or not one a point.
    """

    def whole(values: ArrayLike, name: str) -> NDArray[Any]:
        array = np.asarray(values)
        if array.shape != (n,) or array.dtype.kind not in "iu" or (array < 0).any():
            raise ValueError(f"{name} must be {n} whole numbers of at least 0, one a point, got {values!r}")
        return array

    keys = whole(np.arange(n) if indices is None else indices, "indices")
    if np.ndim(seeds) == 0:
        if isinstance(seeds, bool) or not isinstance(seeds, (int, np.integer)) or seeds < 0:
            raise ValueError(f"seeds must be a whole number of at least 0 or one a point, got {seeds!r}")
        return [np.random.default_rng([int(seeds), int(key)]) for key in keys]
    return [np.random.default_rng(int(seed)) for seed in whole(seeds, "seeds")]
