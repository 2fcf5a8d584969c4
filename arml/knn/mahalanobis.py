"""The Mahalanobis metric: M = GᵀG, its transform and its distances (eq. 1). Nothing here is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.validation import check_features

__all__ = ["MahalanobisMetric", "as_metric"]

_SYMMETRY_TOLERANCE = 1e-8
_NEGATIVE_TOLERANCE = 1e-6


class MahalanobisMetric:
    """The metric d_M(x, x') = (x − x')ᵀ M (x − x') with M = GᵀG (eq. 1: a *squared* length).

    Parameters
    ----------
    components : array-like of shape (r, D)
        G. Any rank r ≥ 1 is allowed; with r < D the metric is blind to some directions.

    Attributes
    ----------
    components : ndarray of shape (r, D), read-only
    n_features : int
        D.
    sigma_max : float
        Largest singular value of G, so that ‖Gδ‖ ≤ sigma_max ‖δ‖.
    is_identity : bool
        True where G is exactly the identity (the Euclidean metric).

    Raises
    ------
    ValueError
        ``components`` is not a finite matrix.

    Examples
    --------
    >>> import numpy as np
    >>> metric = MahalanobisMetric(np.diag([2.0, 1.0]))
    >>> metric.distances([[0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]])
    array([[4., 1.]])
    """

    def __init__(self, components: ArrayLike) -> None:
        self.components: NDArray[np.float64] = check_features(components, name="components").copy()
        self.components.flags.writeable = False
        self.n_features: int = self.components.shape[1]
        self.is_identity: bool = self.components.shape[0] == self.n_features and bool(
            np.array_equal(self.components, np.eye(self.n_features))
        )
        self.sigma_max: float = 1.0 if self.is_identity else float(np.linalg.norm(self.components, 2))

    @classmethod
    def euclidean(cls, n_features: int) -> MahalanobisMetric:
        """M = I in ``n_features`` (D, at least 1) dimensions; ValueError for fewer."""
        return cls(np.eye(n_features))

    @classmethod
    def from_matrix(cls, M: ArrayLike) -> MahalanobisMetric:
        """Factor a symmetric positive semi-definite M of shape (D, D).

        The rule for nearly singular M: eigenvalues below −1e-6 of the largest are an error; those between
        that and D · 2.2e-16 of the largest (rounding of a float32 or float64 training run) count as zero, and
        G keeps one row for each that remains. A metric whose every eigenvalue is zero keeps one zero row:
        then all distances are ties.

        Raises
        ------
        ValueError
            M is not square, not finite, not symmetric (to 1e-8 of its largest entry) or not PSD.
        """
        matrix = check_features(M, name="M")
        if matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"M must be square, got shape {matrix.shape}")
        scale = float(np.abs(matrix).max())
        asymmetry = float(np.abs(matrix - matrix.T).max())
        if asymmetry > _SYMMETRY_TOLERANCE * scale:
            raise ValueError(
                f"M must be symmetric, but |M - Mᵀ| reaches {asymmetry:.3g} (largest entry {scale:.3g}); "
                "pass (M + M.T) / 2 if that is what you mean"
            )
        if np.array_equal(matrix, np.eye(matrix.shape[0])):
            return cls(matrix)
        eigenvalues, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
        largest = float(np.abs(eigenvalues).max())
        if eigenvalues[0] < -_NEGATIVE_TOLERANCE * largest:
            raise ValueError(
                f"M must be positive semi-definite, but its eigenvalues run from {eigenvalues[0]:.3g} to "
                f"{eigenvalues[-1]:.3g}"
            )
        keep = eigenvalues > matrix.shape[0] * np.finfo(np.float64).eps * largest
        if not keep.any():
            return cls(np.zeros((1, matrix.shape[0])))
        return cls(np.sqrt(eigenvalues[keep])[:, None] * vectors[:, keep].T)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """M = GᵀG, shape (D, D)."""
        return self.components.T @ self.components

    def transform(self, X: ArrayLike) -> NDArray[np.float64]:
        """u = G x for each row of X: shape (n, D) → (n, r). Squared Euclidean distances of u are d_M of x.

        ValueError where X is not finite or of another width than D.
        """
        points = check_features(X, n_features=self.n_features)
        return points if self.is_identity else points @ self.components.T

    def distances(self, X: ArrayLike, Y: ArrayLike) -> NDArray[np.float64]:
        """All d_M of rows of X and Y: shapes (n, D), (m, D) → (n, m), squared, from differences (no cancellation).

        Errors are those of :meth:`transform`. Cost: O(n m (D + r)) time, O(m (D + r)) memory beside the result.
        """
        left, right = self.transform(X), self.transform(Y)
        return np.stack([np.square(right - row).sum(axis=1) for row in left])

    def __repr__(self) -> str:
        rank, width = self.components.shape
        return f"MahalanobisMetric(rank {rank} of {width}, sigma_max {self.sigma_max:.4g})"


def as_metric(M: Any, n_features: int) -> MahalanobisMetric:
    """Read whatever a user passes as a metric.

    Parameters
    ----------
    M : None, "euclidean", ndarray of shape (D, D), MahalanobisMetric, or fitted learner
        None is the Euclidean metric; a learner is anything with ``get_mahalanobis_matrix`` (its
        ``components_`` are taken where it has them).
    n_features : int
        D of the data.

    Returns
    -------
    MahalanobisMetric

    Raises
    ------
    ValueError
        Not one of these, not symmetric or PSD, or for another number of features.
    NotFittedError
        A learner that has not been fitted.
    """
    if M is None or (isinstance(M, str) and M == "euclidean"):
        return MahalanobisMetric.euclidean(n_features)
    if isinstance(M, str):
        raise ValueError(f"unknown metric {M!r}: pass None, 'euclidean', a matrix or a fitted learner")
    if isinstance(M, type):
        raise ValueError(f"the metric is the class {M.__name__}: pass an instance of it, fitted")
    if isinstance(M, MahalanobisMetric):
        metric = M
    elif hasattr(M, "components_"):
        metric = MahalanobisMetric(M.components_)
    elif hasattr(M, "get_mahalanobis_matrix"):
        metric = MahalanobisMetric.from_matrix(M.get_mahalanobis_matrix())
    else:
        metric = MahalanobisMetric.from_matrix(M)
    if metric.n_features != n_features:
        raise ValueError(f"the metric is for {metric.n_features} features, the data have {n_features}")
    return metric
