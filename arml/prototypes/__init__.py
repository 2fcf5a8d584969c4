"""A few learned prototypes a class in the place of the training set: the 1-NN classifier with the largest radii."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

if TYPE_CHECKING:
    from arml.prototypes.estimator import RobustPrototypes
    from arml.prototypes.loading import load_prototypes

__all__ = [
    "RobustPrototypes",
    "load_prototypes",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "RobustPrototypes": "arml.prototypes.estimator",
        "load_prototypes": "arml.prototypes.loading",
    },
)
