"""Provably robust metric learning: Mahalanobis metrics, exact robust radii, certificates and attacks for K-NN.

Importing this package costs next to nothing: each name is imported when it is first used, and torch, foolbox and
metric-learn by what needs them, when it runs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arml.errors import ArmlError, DataError
    from arml.learners import ARML
    from arml.mahalanobis import MahalanobisMetric
    from arml.neighbors import MahalanobisKNN

__version__ = "0.2.0"
__all__ = ["ARML", "ArmlError", "DataError", "MahalanobisKNN", "MahalanobisMetric", "__version__"]

_HOMES = {
    "ARML": "arml.learners",
    "ArmlError": "arml.errors",
    "DataError": "arml.errors",
    "MahalanobisKNN": "arml.neighbors",
    "MahalanobisMetric": "arml.mahalanobis",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'arml' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
