"""Exact robust radii of Mahalanobis 1-NN (eq. 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

if TYPE_CHECKING:
    from arml.knn.radii import Radii
    from arml.verify.radii import ExactResult, exact_radii, verify_points

__all__ = [
    "ExactResult",
    "Radii",
    "exact_radii",
    "verify_points",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "ExactResult": "arml.verify.radii",
        "Radii": "arml.knn.radii",
        "exact_radii": "arml.verify.radii",
        "verify_points": "arml.verify.radii",
    },
)
