"""Neural networks beside K-NN (§4.3): ordinary ones certified by CROWN, and randomized smoothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from arml.networks.bounds import certified_radii, score_bounds
    from arml.networks.classifier import NetworkClassifier
    from arml.networks.smoothing import SmoothedClassifier, SmoothedRadii, lower_confidence_bound

__all__ = [
    "NetworkClassifier",
    "SmoothedClassifier",
    "SmoothedRadii",
    "certified_radii",
    "lower_confidence_bound",
    "score_bounds",
]

_HOMES = {
    "NetworkClassifier": "arml.networks.classifier",
    "SmoothedClassifier": "arml.networks.smoothing",
    "SmoothedRadii": "arml.networks.smoothing",
    "certified_radii": "arml.networks.bounds",
    "lower_confidence_bound": "arml.networks.smoothing",
    "score_bounds": "arml.networks.bounds",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'arml.networks' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
