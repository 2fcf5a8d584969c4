"""The estimator that people import: K-NN that scales, learns its metric, predicts, and says how robust it is.

Prediction is :mod:`arml.knn.neighbors`, scaling :mod:`arml.estimator.scaling`; what it says of robustness is
:mod:`arml.estimator.robustness`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from arml.estimator.metrics import check_weights, chosen_metric
from arml.estimator.robustness import RobustnessMixin
from arml.estimator.scaling import fit_scaler
from arml.knn.mahalanobis import as_metric
from arml.knn.neighbors import count_votes
from arml.knn.reference import ReferenceSet
from arml.validation import (
    as_array,
    check_estimator_features,
    check_estimator_labels,
    check_labels,
    check_n_neighbors,
    check_spread,
    warn_of_far_rows,
)

__all__ = ["MahalanobisKNN"]

Floats = NDArray[np.float64]


class MahalanobisKNN(RobustnessMixin, ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """K-nearest-neighbour classifier under d_M(x, x') = (x − x')ᵀ M (x − x'), exact, with declared ties.

    All methods take raw features. With ``scaling`` they are scaled first; the metric, and boxes (``bounds``), are in
    the space of scaled features. Lengths are in that space too, or, with ``units="raw"``, in the units of the raw
    features, where the scaling has one span for all. Adversarial points are raw features always.

    Parameters
    ----------
    n_neighbors : int, default=1
        K.
    metric : None, "euclidean", "mahalanobis", ndarray, MahalanobisMetric or learner, default=None
        M of shape (D, D), or its diagonal of shape (D,); None is the Euclidean metric.
        A fitted learner gives its metric. An unfitted one (such as ``ARML()``) is
        cloned and fitted on the scaled training set, so that its parameters can be searched (``metric__max_iter``);
        scikit-learn's ``clone`` and searches unfit a fitted one too: to keep its metric there, pass its matrix.
    scaling : None, "none", "minmax", "unit", "image" or scaler, default=None
        What is done to features first. "minmax": each to [0, 1] over the training set; "unit": the same with one range
        for all features; "image": x / 255. Or scikit-learn's MinMaxScaler, StandardScaler, MaxAbsScaler or
        RobustScaler: as it is where it is fitted, else a clone fitted on the training set.

    components : ndarray of shape (r, D), optional
        G, with M = GᵀG, in place of ``metric``.
    metric_params : dict, optional
        {"VI": M} with ``metric="mahalanobis"``, or {"V": its inverse}, as scikit-learn's K-NN takes them.
    weights : "uniform"
        Each neighbour has one vote: no certificate covers votes by distance, and others are refused.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only where X had string column names.
    scaler_ : FeatureScaler
    metric_ : MahalanobisMetric or learner
        The fitted copy of an unfitted learner; else ``metric`` as it was read. M itself is ``reference_.metric``.
    reference_ : ReferenceSet
        The scaled and transformed training set.

    Raises
    ------
    ValueError
        At ``fit``: bad features or labels (:mod:`arml.validation`), fewer than two classes, K larger than the training
        set, M not symmetric or not PSD or of another width, an unknown scaling. Elsewhere: features of another number
        or with other names; labels unseen in training; ``units="raw"`` where spans differ, naming them. NotFittedError
        before ``fit``.
    TypeError
        An option that the method, algorithm or K has not.

    Notes
    -----
    Prediction is brute force through matrix products: O(N (D + r)) a point.

    Examples
    --------
    >>> from arml import MahalanobisKNN
    >>> knn = MahalanobisKNN(n_neighbors=1, scaling="unit").fit([[0.0], [10.0]], ["a", "b"])
    >>> knn.predict([[2.0], [5.0]]).tolist()
    ['a', 'a']
    >>> knn.certify([[2.0]], ["a"]).round(6).tolist(), knn.certify([[2.0]], ["a"], units="raw").round(6).tolist()
    ([0.3], [3.0])
    >>> knn.robust_error([[2.0], [6.0]], ["a", "b"], [0.0, 1.0, 3.5], units="raw").tolist()
    [0.0, 0.5, 1.0]
    """

    def __init__(
        self,
        n_neighbors: int = 1,
        metric: Any = None,
        scaling: Any = None,
        *,
        components: Any = None,
        metric_params: Any = None,
        weights: str = "uniform",
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.scaling = scaling
        self.components = components
        self.metric_params = metric_params
        self.weights = weights

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True  # made dense, after a look at the memory
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> MahalanobisKNN:
        """Scale, learn the metric where ``metric`` is an unfitted learner, and keep the training set (a copy).

        Parameters
        ----------
        X : array-like of shape (N, D)
        y : array-like of shape (N,)

        Returns
        -------
        MahalanobisKNN
            Itself.

        Raises
        ------
        ValueError
            As the class says, and what an unfitted ``metric`` raises (:meth:`arml.learners.base.MetricLearner.fit`).

        Warns
        -----
        UserWarning
            A training row lies a million times farther out than most; the message has its number.
        """
        features = check_estimator_features(self, X, reset=True)
        labels = check_estimator_labels(self, y, len(features))
        check_n_neighbors(self.n_neighbors, len(features))
        check_weights(self.weights)
        self.scaler_ = fit_scaler(self.scaling, features, getattr(self, "feature_names_in_", None))
        scaled = self.scaler_.transform(features)
        if scaled is features:
            scaled = features.copy()
        metric = chosen_metric(self.metric, self.components, self.metric_params)
        check_spread(scaled)
        self.metric_ = metric
        if _is_unfitted(metric):
            self.metric_ = clone(metric).fit(scaled, labels)
        read = as_metric(self.metric_, features.shape[1])
        if not hasattr(self.metric_, "fit"):
            self.metric_ = read
        self.reference_ = ReferenceSet(scaled, labels, read)
        warn_of_far_rows(self.reference_.far_rows, self.reference_.sizes)
        self.classes_ = self.reference_.classes
        return self

    def kneighbors(self, X: ArrayLike, n_neighbors: int | None = None) -> tuple[Floats, NDArray[np.intp]]:
        """The nearest training points.

        Parameters
        ----------
        X : array-like of shape (n, D)
        n_neighbors : int, optional
            K; None is the classifier's.

        Returns
        -------
        distances : ndarray of shape (n, K)
            d_M of scaled features (squared), ascending.
        indices : ndarray of shape (n, K)
            Training indices.

        Raises
        ------
        ValueError, NotFittedError
            Bad features, K below 1 or larger than the training set; before ``fit``.
        """
        _, scaled = self._scaled(X)
        reference = self.reference_
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors, reference.n_train)
        parts = [reference.nearest(scaled[batch], k) for batch in reference.batches(len(scaled))]
        rows = np.concatenate([part[1] for part in parts])
        return np.concatenate([part[0] for part in parts]), reference.order[rows]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels of the points X: shape (n, D) → (n,). A point's label does not depend on its batch."""
        _, scaled = self._scaled(X)
        return self._predictor().predict(scaled)

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Shares of the K votes at X: shape (n, D) → (n, C). The first of the largest is what ``predict`` says."""
        _, indices = self.kneighbors(X)
        votes = count_votes(self.reference_.point_codes[indices], self.classes_.size)
        return np.asarray(votes / indices.shape[1], dtype=np.float64)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """Accuracy on X of shape (n, D) with labels y of shape (n,), with ``sample_weight`` of shape (n,) weighted."""
        labels = as_array(y, "y")
        labels = check_labels(labels, len(labels)) if labels.ndim == 1 else labels
        return float(super().score(X, labels, sample_weight))


def _is_unfitted(metric: Any) -> bool:
    """Whether this is a learner that has not been fitted."""
    if isinstance(metric, type) or not hasattr(metric, "fit"):
        return False
    try:
        check_is_fitted(metric)
    except NotFittedError:
        return True
    return False
