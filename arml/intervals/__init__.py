"""Robust radii of Mahalanobis K-NN from both sides, by branch and bound against the geometric attack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

if TYPE_CHECKING:
    from arml.intervals.radii import IntervalResult, interval_points, radius_intervals
    from arml.knn.radii import Radii

__all__ = [
    "IntervalResult",
    "Radii",
    "interval_points",
    "radius_intervals",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "IntervalResult": "arml.intervals.radii",
        "Radii": "arml.knn.radii",
        "interval_points": "arml.intervals.radii",
        "radius_intervals": "arml.intervals.radii",
    },
)
