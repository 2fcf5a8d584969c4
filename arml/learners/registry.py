"""Learners by name: which there are, an unfitted one, and one from a file."""

from __future__ import annotations

import inspect
import os
from importlib import import_module
from typing import Any

from arml.errors import DataError
from arml.learners.base import MetricLearner
from arml.learners.persistence import read_learner

__all__ = ["HOMES", "METHODS", "load_learner", "make_learner"]

# method → module and class; a module is imported when its learner is first used
HOMES = {
    "euclidean": ("arml.learners.base", "Euclidean"),
    "nca": ("arml.learners.baselines", "NCA"),
    "lmnn": ("arml.learners.baselines", "LMNN"),
    "itml": ("arml.learners.baselines", "ITML"),
    "lfda": ("arml.learners.baselines", "LFDA"),
    "arml": ("arml.learners.arml", "ARML"),
}
METHODS = tuple(HOMES)


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
    if method not in HOMES:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    module, name = HOMES[method]
    made: type[MetricLearner] = getattr(import_module(module), name)
    known = sorted(inspect.signature(made).parameters)
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise ValueError(f"unknown parameter(s) of {method}: {', '.join(unknown)}; known: {', '.join(known)}")
    return made(random_state=random_state, **params)


def load_learner(path: str | os.PathLike[str]) -> MetricLearner:
    """Read what :meth:`MetricLearner.save` wrote: a fitted learner of the same class, with the same metric bit for bit.

    Parameters
    ----------
    path : path
        No pickle is read from it.

    Returns
    -------
    MetricLearner
        Fitted.

    Raises
    ------
    DataError
        No such file, or not one of a learner, or of a newer version.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from arml import Euclidean, load_learner
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "metric.npz"
    ...     Euclidean().fit([[0.0, 1.0], [1.0, 0.0]], [0, 1]).save(path)
    ...     load_learner(path).get_mahalanobis_matrix()
    array([[1., 0.],
           [0., 1.]])
    """
    stored = read_learner(path)
    try:
        learner = make_learner(stored.method, **stored.params)
    except (TypeError, ValueError) as error:
        raise DataError(f"cannot read a learner from {path}: {error}") from error
    identity = getattr(learner, "is_identity_", False)  # of format 1: with its matrix, which is not needed
    for name, value in {**stored.facts, **stored.arrays}.items():
        if not (identity and name == "components_"):
            setattr(learner, name, value)
    if not identity and "components_" not in stored.arrays:
        raise DataError(f"cannot read a learner from {path}: {stored.method} without components_")
    if hasattr(learner, "feature_names_in_"):
        learner.feature_names_in_ = learner.feature_names_in_.astype(object)
    return learner
