"""The Mahalanobis K-nearest-neighbour classifier and the one tie rule that everything else proves or breaks.

The tie rule
------------
* Two squared distances are *tied* when they round to the same step (see :mod:`arml.reference`).
* The predictor orders tied points by training index; certificates and exact radii count a tie as lost
  (an adversary moves a hair farther): where a tie decides, the radius is 0 although the prediction may be right.
* The class with most votes among the K nearest wins; tied votes go to the smallest label.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from arml.mahalanobis import as_metric
from arml.reference import ReferenceSet
from arml.validation import check_classes, check_n_neighbors

__all__ = ["MahalanobisKNN", "predict_codes", "predict_labels", "vote"]


def vote(codes: NDArray[np.intp], n_classes: int) -> NDArray[np.intp]:
    """Plurality of each row, tied votes to the smallest code: shape (n, K) → (n,)."""
    counts = np.zeros((codes.shape[0], n_classes), dtype=np.intp)
    np.add.at(counts, (np.arange(codes.shape[0])[:, None], codes), 1)
    return np.asarray(counts.argmax(axis=1), dtype=np.intp)


def predict_codes(
    reference: ReferenceSet,
    X: NDArray[np.float64],
    n_neighbors: int,
    *,
    screen: NDArray[np.float64] | None = None,
) -> NDArray[np.intp]:
    """Class codes of the points, shape (n,); ``screen`` as in :meth:`arml.reference.ReferenceSet.nearest`."""
    _, rows = reference.nearest(X, n_neighbors, screen=screen)
    return vote(reference.codes[rows], reference.classes.size)


def predict_labels(reference: ReferenceSet, X: NDArray[np.float64], n_neighbors: int) -> NDArray[Any]:
    """Labels of the points, shape (n,), some points at a time. A point's label does not depend on its batch."""
    parts = [predict_codes(reference, X[batch], n_neighbors) for batch in reference.batches(X.shape[0])]
    return np.asarray(reference.classes[np.concatenate(parts)])


class MahalanobisKNN(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """K-nearest-neighbour classifier under d_M(x, x') = (x − x')ᵀ M (x − x'), exact, with declared ties.

    Parameters
    ----------
    n_neighbors : int, default=1
        K.
    metric : None, "euclidean", ndarray of shape (D, D), MahalanobisMetric or fitted learner, default=None
        M; None is the Euclidean metric.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
    n_features_in_ : int
    reference_ : ReferenceSet
        The transformed training set.

    Raises
    ------
    ValueError
        At ``fit``: NaN or infinite features, fewer than two classes, K larger than the training set, M not
        symmetric or not PSD or of another width. At ``predict``: wrong dimension, NaN.

    Notes
    -----
    Prediction is brute force through matrix products: O(N (D + r)) a point.

    Examples
    --------
    >>> from arml import MahalanobisKNN
    >>> knn = MahalanobisKNN(n_neighbors=1).fit([[0.0], [1.0]], ["a", "b"])
    >>> knn.predict([[0.2], [0.5]]).tolist()
    ['a', 'a']
    """

    def __init__(self, n_neighbors: int = 1, metric: Any = None) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric

    def fit(self, X: ArrayLike, y: ArrayLike) -> MahalanobisKNN:
        """Store and transform the training set: shapes (N, D) and (N,)."""
        features, labels = validate_data(self, X, y, dtype=np.float64, order="C")
        check_classification_targets(labels)
        check_classes(labels)
        check_n_neighbors(self.n_neighbors, features.shape[0])
        self.reference_ = ReferenceSet(features, labels, as_metric(self.metric, features.shape[1]))
        self.classes_ = self.reference_.classes
        return self

    def kneighbors(self, X: ArrayLike, n_neighbors: int | None = None) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Squared distances (n, K), ascending and rounded to the tie step, and training indices (n, K)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        reference = self.reference_
        k = check_n_neighbors(self.n_neighbors if n_neighbors is None else n_neighbors, reference.n_train)
        parts = [reference.nearest(features[batch], k) for batch in reference.batches(features.shape[0])]
        rows = np.concatenate([part[1] for part in parts])
        return np.concatenate([part[0] for part in parts]), reference.order[rows]

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Labels of the points: shape (n, D) → (n,). A point's label does not depend on its batch."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float64, order="C", reset=False)
        return predict_labels(self.reference_, features, self.n_neighbors)
