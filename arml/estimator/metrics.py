"""The ways in which people write a metric, as one that :func:`arml.knn.mahalanobis.as_metric` reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from arml.knn.mahalanobis import MahalanobisMetric
from arml.system.resources import check_memory
from arml.validation import as_array

__all__ = ["check_weights", "chosen_metric"]


def check_weights(weights: Any) -> None:
    """Refuse votes that weigh differently: ValueError."""
    if not (isinstance(weights, str) and weights == "uniform"):
        raise ValueError(
            f"weights must be 'uniform', got {weights!r}: certificates and exact radii are about one vote a neighbour, "
            "and none covers votes weighted by distance"
        )


def chosen_metric(metric: Any, components: Any = None, metric_params: Any = None) -> Any:
    """The metric that a user's arguments mean.

    Parameters
    ----------
    metric : object
        What ``as_metric`` takes, a vector (the diagonal of M), or "mahalanobis".
    components : array-like of shape (r, D), optional
        G.
    metric_params : dict, optional
        With "mahalanobis": VI, or V, its inverse.

    Raises
    ------
    ValueError
        Two of them, a rectangular ``metric``, a negative diagonal, other parameters.
    """
    if metric_params is not None and not (isinstance(metric, str) and metric == "mahalanobis"):
        raise ValueError(f"metric_params goes with metric='mahalanobis', got metric={metric!r}")
    if isinstance(metric, str) and metric == "mahalanobis":
        return _inverse_covariance(metric_params)
    if components is not None:
        if metric is not None:
            raise ValueError("pass metric (M) or components (G, with M = GᵀG), not both")
        return MahalanobisMetric(components)
    if metric is None or isinstance(metric, (str, type, MahalanobisMetric)) or hasattr(metric, "fit"):
        return metric
    if hasattr(metric, "components_") or hasattr(metric, "get_mahalanobis_matrix"):
        return metric
    matrix = as_array(metric, "metric")
    if matrix.ndim == 1:
        diagonal = np.asarray(matrix, dtype=np.float64)
        if not np.isfinite(diagonal).all() or (diagonal < 0).any():
            raise ValueError("metric, a vector, is the diagonal of M: its entries must be finite and not negative")
        what = f"metric, the diagonal of M of {len(diagonal)} features, as a matrix"
        check_memory(24.0 * len(diagonal) ** 2, what, "leave features out, or project them first")
        return MahalanobisMetric(np.diag(np.sqrt(diagonal)))
    if matrix.ndim == 2 and matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"metric has shape {matrix.shape}, and M is square: pass G, with M = GᵀG, as components=")
    return metric


def _inverse_covariance(params: Any) -> Any:
    given = dict(params or {})
    if set(given) == {"VI"}:
        return as_array(given["VI"], "VI")
    if set(given) == {"V"}:
        return np.linalg.inv(np.asarray(as_array(given["V"], "V"), dtype=np.float64))
    raise ValueError(
        "metric='mahalanobis' needs metric_params={'VI': M}, the inverse covariance, or {'V': covariance}; got "
        f"{sorted(map(str, given)) or None}"
    )
