"""Neural networks beside K-NN (§4.3): ordinary ones certified by CROWN, and randomized smoothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

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

__getattr__, __dir__ = lazy(
    __name__,
    {
        "NetworkClassifier": "arml.networks.classifier",
        "SmoothedClassifier": "arml.networks.smoothing",
        "SmoothedRadii": "arml.networks.smoothing",
        "certified_radii": "arml.networks.bounds",
        "lower_confidence_bound": "arml.networks.smoothing",
        "score_bounds": "arml.networks.bounds",
    },
)
