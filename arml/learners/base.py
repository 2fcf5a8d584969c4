"""The contract of every metric learner, and the learner that learns nothing (Euclidean).

A learner turns (X, y) into G, and the classifier, the certificates and the attacks only ever see M = GᵀG.
Radii do not change under G → αG (eq. 9 is scale-free), so G is stored with its largest singular value at 1:
metrics of different learners then compare.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from arml.errors import ArmlError
from arml.learners.persistence import StoredLearner, write_learner
from arml.system.resources import Meter, single_threaded
from arml.validation import check_estimator_features, check_estimator_labels

__all__ = ["Euclidean", "LearnedMetric", "LearningError", "MetricLearner"]

# what of a fitted learner is stored, where there is such
_FACTS = (
    *("n_iter_", "converged_", "n_fit_samples_", "fit_summary_", "n_features_in_"),
    *("seconds_", "cpu_seconds_", "peak_memory_mib_"),
)
_ARRAYS = ("components_", "history_", "classes_", "validation_history_", "feature_names_in_")

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


class LearningError(ArmlError):
    """A learner ended without a usable metric. The message says what it gave and what to try."""


@dataclass(frozen=True)
class LearnedMetric:
    """What an algorithm hands back to :meth:`MetricLearner.fit`.

    Attributes
    ----------
    components : ndarray of shape (r, D)
        G at any scale.
    n_iter : int
        Steps taken.
    converged : bool or None
        Whether the algorithm's own criterion was met; None where it has none.
    n_fit_samples : int
        Training points the algorithm used (fewer than given where it took a subset).
    dropped_features : tuple of int
        Columns the algorithm did not see; G is zero there.
    notes : tuple of str
        Fallbacks taken and warnings raised on the way, for the record.
    history : ndarray
        Objective per step, or empty.
    facts : dict
        Further deterministic, JSON-able entries of ``fit_summary_``.
    """

    components: NDArray[Any]
    n_iter: int
    converged: bool | None
    n_fit_samples: int
    dropped_features: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    history: Floats = field(default_factory=lambda: np.zeros(0))
    facts: dict[str, Any] = field(default_factory=dict)


class MetricLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base class of metric learners: validate, learn, check, normalise.

    A subclass sets ``method`` and learns in ``_learn``; it may check its parameters in ``_check_params`` and do in
    ``_prepare`` what should not be timed.

    Attributes
    ----------
    components_ : ndarray of shape (r, D)
        G, largest singular value 1.
    n_iter_ : int
    converged_ : bool or None
        None where the algorithm has no criterion (a fixed number of steps, a closed form).
    history_ : ndarray
        Objective per step; empty where the algorithm has none.
    n_fit_samples_ : int
        Training points used.
    fit_summary_ : dict
        The facts above and more, JSON-able and the same on every run with the same seed.
    seconds_, cpu_seconds_, peak_memory_mib_ : float
        Cost of the fit, see :class:`arml.system.resources.Meter`; kept out of ``fit_summary_``.
    classes_ : ndarray
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X had string column names.
    """

    method: ClassVar[str]

    def fit(self, X: ArrayLike, y: ArrayLike) -> MetricLearner:
        """Learn the metric from the training set.

        Parameters
        ----------
        X : array-like of shape (n, D)
            Finite.
        y : array-like of shape (n,)
            Labels, at least two classes.

        Returns
        -------
        MetricLearner
            Itself.

        Raises
        ------
        ValueError
            Bad data or parameters, before any long work.
        LearningError
            The algorithm gave no real, finite, positive semi-definite metric.
        """
        features = check_estimator_features(self, X, reset=True)
        labels = check_estimator_labels(self, y, features.shape[0])
        self._check_params()
        self.classes_, codes = np.unique(labels, return_inverse=True)
        self._prepare()
        with Meter() as meter:
            learned = self._learn(features, codes)
        self._store(learned, features.shape)
        self.seconds_, self.cpu_seconds_ = meter.seconds, meter.cpu_seconds
        self.peak_memory_mib_ = meter.peak_memory_mib
        return self

    def _check_params(self) -> None:
        """Raise ValueError for a bad parameter."""

    def _prepare(self) -> None:
        """Do what should not be timed, such as imports."""

    @abstractmethod
    def _learn(self, X: Floats, codes: Indices) -> LearnedMetric:
        """Learn from checked features and class codes 0 … C − 1."""

    def _store(self, learned: LearnedMetric, shape: tuple[int, ...]) -> None:
        self.components_, eigenvalues = normalise(learned.components, self.method)
        self._record(learned, shape, eigenvalues)

    def _record(self, learned: LearnedMetric, shape: tuple[int, ...], eigenvalues: Floats) -> None:
        self.n_iter_, self.converged_ = learned.n_iter, learned.converged
        self.history_, self.n_fit_samples_ = learned.history, learned.n_fit_samples
        self.fit_summary_: dict[str, Any] = {
            "method": self.method,
            "n_train": shape[0],
            "n_features": shape[1],
            "n_fit_samples": learned.n_fit_samples,
            "n_iter": learned.n_iter,
            "converged": learned.converged,
            "dropped_features": [int(column) for column in learned.dropped_features],
            "rank": int((eigenvalues > np.finfo(np.float64).eps * shape[1]).sum()),
            "lambda_min": float(eigenvalues[-1]) if eigenvalues.size == shape[1] else 0.0,
            "lambda_max": float(eigenvalues[0]),
            **learned.facts,
            "notes": list(learned.notes),
        }

    def get_mahalanobis_matrix(self) -> Floats:
        """M = GᵀG, shape (D, D), symmetric, largest eigenvalue 1. NotFittedError before ``fit``."""
        check_is_fitted(self)
        product = self.components_.T @ self.components_
        matrix: Floats = (product + product.T) / 2
        return matrix

    def transform(self, X: ArrayLike) -> Floats:
        """u = G x for each row of X, shape (n, D) → (n, r): squared Euclidean distances of u are d_M of x.

        Raises
        ------
        ValueError
            NaN or infinite values, or another number or other names of features than in ``fit``.
        NotFittedError
            Before ``fit``.
        """
        check_is_fitted(self)
        features = check_estimator_features(self, X, reset=False)
        mapped: Floats = features @ self.components_.T
        return mapped

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted learner to the file ``path`` without pickle; :func:`arml.learners.load_learner` reads it.

        The file holds parameters, G, history, classes and the record of the fit, and is written as a whole or not at
        all.

        Parameters
        ----------
        path : path
            Taken literally (no suffix is added).

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        ValueError
            Labels that need pickle (arbitrary objects): use numbers, booleans or strings.
        DataError
            The file cannot be written.
        """
        check_is_fitted(self)
        facts = {name: getattr(self, name) for name in _FACTS}
        arrays = {name: getattr(self, name) for name in _ARRAYS if name in vars(self)}
        write_learner(path, StoredLearner(self.method, self.get_params(deep=False), facts, arrays))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.sparse = True  # made dense, after a look at the memory
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.components_.shape[0])


class Euclidean(MetricLearner):
    """The metric of no learning, M = I exactly: the baseline of every table.

    Parameters
    ----------
    random_state : int or None
        Unused; every learner takes one.
    """

    method = "euclidean"
    is_identity_: ClassVar[bool] = True
    """For :func:`arml.knn.mahalanobis.as_metric`: the metric is had without the D × D matrix ``components_``."""

    def __init__(self, random_state: int | None = 42) -> None:
        self.random_state = random_state

    @property
    def components_(self) -> Floats:  # type: ignore[override]
        """The identity of shape (D, D), made when it is asked for."""
        return np.eye(self.n_features_in_)

    def transform(self, X: ArrayLike) -> Floats:
        """X as it is, checked and copied; see :meth:`MetricLearner.transform`."""
        check_is_fitted(self)
        return np.array(check_estimator_features(self, X, reset=False))

    def _learn(self, X: Floats, codes: Indices) -> LearnedMetric:
        return LearnedMetric(X[:0], n_iter=0, converged=None, n_fit_samples=X.shape[0])  # the identity needs no rows

    def _store(self, learned: LearnedMetric, shape: tuple[int, ...]) -> None:
        self._record(learned, shape, np.ones(shape[1]))

    @property
    def _n_features_out(self) -> int:
        return int(self.n_features_in_)


def normalise(components: NDArray[Any], method: str) -> tuple[Floats, Floats]:
    """Check G and scale it to largest singular value 1.

    Returns
    -------
    components : ndarray of shape (r, D)
    eigenvalues : ndarray of shape (min(r, D),)
        Of M = GᵀG, largest first; the other D − min(r, D) are 0. Squares of singular values, so M is positive
        semi-definite by construction.

    Raises
    ------
    LearningError
        Complex, NaN, infinite, or all zero.
    """
    if np.iscomplexobj(components):
        raise LearningError(
            f"{method} gave a complex transformation of shape {components.shape}: its eigenproblem is "
            "singular, as with linearly dependent features or more features than points. Drop such features, "
            "project the data onto its principal components of non-zero variance, or use another method"
        )
    real = np.asarray(components, dtype=np.float64)
    if not np.isfinite(real).all():
        raise LearningError(
            f"{method} gave {int((~np.isfinite(real)).sum())} NaN or infinite entries in a transformation of "
            f"shape {real.shape}. Check the data for duplicate and dependent features, scale them to [0, 1], "
            "lower the learning rate or the number of iterations, or use another method"
        )
    if np.array_equal(real, np.eye(*real.shape)):
        return real, np.ones(min(real.shape))
    largest = float(np.abs(real).max())
    if largest == 0.0:
        raise LearningError(f"{method} gave M = 0: all distances would be ties. Use other parameters or data")
    with single_threaded():
        scaled = real / largest
        singular = np.linalg.svd(scaled, compute_uv=False)
    return np.ascontiguousarray(scaled / singular[0]), np.square(singular / singular[0])
