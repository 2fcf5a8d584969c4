"""Certificates for Mahalanobis K-NN: Theorem 1, plurality and packing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

if TYPE_CHECKING:
    from arml.certify.radii import BOUNDS, certificates, certified_radii, certify_points, check_bound

__all__ = [
    "BOUNDS",
    "certificates",
    "certified_radii",
    "certify_points",
    "check_bound",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "BOUNDS": "arml.certify.radii",
        "certificates": "arml.certify.radii",
        "certified_radii": "arml.certify.radii",
        "certify_points": "arml.certify.radii",
        "check_bound": "arml.certify.radii",
    },
)
