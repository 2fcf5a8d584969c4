"""Metric learners: six methods behind one contract.

Importing this package imports neither torch nor metric-learn; the learners do where they use them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from arml.learners.base import Euclidean, LearningError, MetricLearner
from arml.learners.registry import HOMES, METHODS, load_learner, make_learner

if TYPE_CHECKING:
    from arml.learners.arml import ARML
    from arml.learners.baselines import ITML, LFDA, LMNN, NCA

__all__ = [
    "ARML",
    "ITML",
    "LFDA",
    "LMNN",
    "METHODS",
    "NCA",
    "Euclidean",
    "LearningError",
    "MetricLearner",
    "load_learner",
    "make_learner",
]


def __getattr__(name: str) -> Any:
    for module, class_name in HOMES.values():
        if name == class_name:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
