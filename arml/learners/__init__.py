"""Metric learners: six methods behind one contract.

Importing this package imports neither torch nor metric-learn; the learners do where they use them.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import TYPE_CHECKING, Any

from arml.learners.base import Euclidean, LearningError, MetricLearner

if TYPE_CHECKING:
    from arml.learners.arml import ARML
    from arml.learners.baselines import ITML, LFDA, LMNN, NCA
    from arml.learners.persistence import load_learner

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

_HOMES = {
    "euclidean": ("arml.learners.base", "Euclidean"),
    "nca": ("arml.learners.baselines", "NCA"),
    "lmnn": ("arml.learners.baselines", "LMNN"),
    "itml": ("arml.learners.baselines", "ITML"),
    "lfda": ("arml.learners.baselines", "LFDA"),
    "arml": ("arml.learners.arml", "ARML"),
}
METHODS = tuple(_HOMES)


def make_learner(method: str, *, random_state: int | None = 42, **params: Any) -> MetricLearner:
    """Build an unfitted learner by name.

    Parameters
    ----------
    method : str
        One of ``METHODS``.
    random_state : int or None
    **params
        The learner's own parameters.

    Returns
    -------
    MetricLearner
        Unfitted.

    Raises
    ------
    ValueError
        Unknown method or parameter; the message lists the known ones.

    Examples
    --------
    >>> make_learner("lfda", n_components=2)
    LFDA(n_components=2)
    """
    if method not in _HOMES:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    module, name = _HOMES[method]
    learner_class = getattr(import_module(module), name)
    known = sorted(inspect.signature(learner_class).parameters)
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise ValueError(f"unknown parameter(s) of {method}: {', '.join(unknown)}; known: {', '.join(known)}")
    learner: MetricLearner = learner_class(random_state=random_state, **params)
    return learner


def __getattr__(name: str) -> Any:
    if name == "load_learner":
        from arml.learners.persistence import load_learner

        return load_learner
    for module, class_name in _HOMES.values():
        if name == class_name:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
