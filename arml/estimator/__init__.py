"""What scikit-learn users meet: a K-NN classifier that says how robust each prediction is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arml.system.lazy import lazy

if TYPE_CHECKING:
    from arml.estimator.classifier import MahalanobisKNN

__all__ = [
    "MahalanobisKNN",
]

__getattr__, __dir__ = lazy(
    __name__,
    {
        "MahalanobisKNN": "arml.estimator.classifier",
    },
)
