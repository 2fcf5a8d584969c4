"""The Mahalanobis metric: M = GᵀG, its transform and its distances (eq. 1). Nothing here is learned."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.linalg import LinAlgError
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cholesky
from scipy.sparse.linalg import eigsh

from arml.validation import check_features

__all__ = ["MahalanobisMetric", "as_metric"]

_SYMMETRY_TOLERANCE = 1e-8
_NEGATIVE_TOLERANCE = 1e-6
_LARGE = 1 << 21  # entries of a G from which its singular values take longer than a proved bound on them
_TIGHT = 1e-6  # of that bound, squared; the rounding of gram (D ε) is far below it
_ONE = np.ones((1, 1))
_found: dict[bytes, float] = {}  # bounds by content


class MahalanobisMetric:
    """The metric d_M(x, x') = (x − x')ᵀ M (x − x') with M = GᵀG (eq. 1: a *squared* length).

    Parameters
    ----------
    components : array-like of shape (r, D)
        G. Any rank r ≥ 1 is allowed; with r < D the metric is blind to some directions.

    Attributes
    ----------
    components : ndarray of shape (r, D), read-only
        G; of the Euclidean metric, the identity, made when it is asked for.
    rank : int
        r.
    n_features : int
        D.
    sigma_max : float
        Largest singular value of G, so that ‖Gδ‖ ≤ sigma_max ‖δ‖; for a G of more than two million entries an upper
        bound that is at most a millionth larger, proved by a Cholesky factor of sigma_max² I − GGᵀ.
    is_identity : bool
        True where G is exactly the identity (the Euclidean metric). Then no D × D matrix is made.

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
        given = check_features(components, name="components")
        self.rank: int = given.shape[0]
        self.n_features: int = given.shape[1]
        self.is_identity: bool = _is_identity(given)
        self._components: NDArray[np.float64] | None = None if self.is_identity else _frozen(given.copy())
        self.sigma_max: float = 1.0 if self._components is None else _largest_singular_value(self._components)

    @classmethod
    def euclidean(cls, n_features: int) -> MahalanobisMetric:
        """M = I in ``n_features`` (D, at least 1) dimensions; ValueError for fewer. O(1) time and memory."""
        if n_features < 1:
            raise ValueError(f"n_features must be at least 1, got {n_features}")
        metric = cls(_ONE)
        metric.rank = metric.n_features = n_features
        return metric

    @property
    def components(self) -> NDArray[np.float64]:
        """G, shape (r, D), read-only; of the Euclidean metric a new identity each time."""
        return _frozen(np.eye(self.n_features)) if self._components is None else self._components

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
        if _is_identity(matrix):
            return cls.euclidean(matrix.shape[0])
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
        return f"MahalanobisMetric(rank {self.rank} of {self.n_features}, sigma_max {self.sigma_max:.4g})"


def _frozen(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    matrix.flags.writeable = False
    return matrix


def _is_identity(matrix: NDArray[np.float64]) -> bool:
    square = matrix.shape[0] == matrix.shape[1]
    return square and bool((matrix.diagonal() == 1.0).all()) and np.count_nonzero(matrix) == matrix.shape[0]


def _largest_singular_value(G: NDArray[np.float64]) -> float:
    """As the class says; found once in this process for the same large G, which every task reads anew."""
    if G.size <= _LARGE:
        return float(np.linalg.norm(G, 2))
    digest = hashlib.sha256(np.ascontiguousarray(G).data).digest() + str(G.shape).encode()
    if digest not in _found:
        _found[digest] = _proved_bound(G)
    return _found[digest]


def _proved_bound(G: NDArray[np.float64]) -> float:
    largest = float(np.abs(G).max())
    if largest == 0.0:
        return 0.0
    scaled = G / largest  # so that no square overflows or vanishes
    gram = scaled @ scaled.T if G.shape[0] <= G.shape[1] else scaled.T @ scaled
    start = np.ones(gram.shape[0])
    bound = float(eigsh(gram, k=1, v0=start, tol=_TIGHT / 10, return_eigenvectors=False)[0]) * (1.0 + _TIGHT)
    np.negative(gram, out=gram)
    gram[np.diag_indices_from(gram)] += bound
    try:
        cholesky(gram, overwrite_a=True, check_finite=False)
    except LinAlgError:  # eigsh met another eigenvalue than the largest
        return float(np.linalg.norm(G, 2))
    return largest * float(np.sqrt(bound))


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
    elif getattr(M, "is_identity_", False):
        metric = MahalanobisMetric.euclidean(M.n_features_in_)
    elif hasattr(M, "components_"):
        metric = MahalanobisMetric(M.components_)
    elif hasattr(M, "get_mahalanobis_matrix"):
        metric = MahalanobisMetric.from_matrix(M.get_mahalanobis_matrix())
    else:
        metric = MahalanobisMetric.from_matrix(M)
    if metric.n_features != n_features:
        raise ValueError(f"the metric is for {metric.n_features} features, the data have {n_features}")
    return metric
