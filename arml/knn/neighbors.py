"""Mahalanobis K-nearest-neighbour prediction and the one tie rule that everything else proves or breaks.

The estimator is :class:`arml.estimator.classifier.MahalanobisKNN`.

The tie rule
------------
* Two squared distances are *tied* when rounding cannot tell them apart (see :mod:`arml.knn.reference`): what else is in
  the training set does not matter.
* The predictor takes tied points by training index; certificates and exact radii count a tie as lost
  (an adversary moves a hair farther): where a tie decides, the radius is 0 although the prediction may be right.
* The class with most votes among the K nearest wins; tied votes go to the smallest label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.knn.reference import ReferenceSet

__all__ = ["Predictor", "count_votes", "predict_codes", "predict_labels", "vote"]


def count_votes(codes: NDArray[np.intp], n_classes: int) -> NDArray[np.intp]:
    """Votes of each row for each class: shape (n, K) → (n, C)."""
    n = codes.shape[0]
    return np.bincount((codes + n_classes * np.arange(n)[:, None]).ravel(), minlength=n * n_classes).reshape(
        n, n_classes
    )


def vote(codes: NDArray[np.intp], n_classes: int) -> NDArray[np.intp]:
    """Plurality of each row, tied votes to the smallest code: shape (n, K) → (n,)."""
    return np.asarray(count_votes(codes, n_classes).argmax(axis=1), dtype=np.intp)


def predict_codes(
    reference: ReferenceSet,
    X: NDArray[np.float64],
    n_neighbors: int,
    *,
    screen: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
) -> NDArray[np.intp]:
    """Class codes of the points, shape (n,); ``screen`` as in :meth:`arml.knn.reference.ReferenceSet.nearest`."""
    _, rows = reference.nearest(X, n_neighbors, screen=screen)
    return vote(reference.codes[rows], reference.classes.size)


def predict_labels(reference: ReferenceSet, X: NDArray[np.float64], n_neighbors: int) -> NDArray[Any]:
    """Labels of the points, shape (n,), some points at a time. A point's label does not depend on its batch."""
    parts = [predict_codes(reference, X[batch], n_neighbors) for batch in reference.batches(X.shape[0])]
    return np.asarray(reference.classes[np.concatenate(parts)])


@dataclass(frozen=True)
class Predictor:
    """The classifier that attacks ask: a training set and K, without any check of its input.

    Attributes
    ----------
    reference : ReferenceSet
    n_neighbors : int
        K.
    """

    reference: ReferenceSet
    n_neighbors: int

    def predict(self, X: NDArray[np.float64]) -> NDArray[Any]:
        """Labels of the points, shape (n, D) → (n,)."""
        return predict_labels(self.reference, X, self.n_neighbors)
