"""Metric files as the metric that everything computes with: without a D × D matrix where the file needs none."""

from __future__ import annotations

import os
from typing import Any

from arml.knn.mahalanobis import MahalanobisMetric
from arml.results.parquet import read_identity, read_metric, schema_of

__all__ = ["read_mahalanobis"]


def read_mahalanobis(path: str | os.PathLike[str]) -> tuple[MahalanobisMetric, dict[str, Any]]:
    """Return (metric, provenance) of a metric file.

    Raises
    ------
    DataError
        As :func:`arml.results.read_table` does.
    """
    if schema_of(path) == "identity":
        n_features, facts = read_identity(path)
        return MahalanobisMetric.euclidean(n_features), facts
    components, facts = read_metric(path)
    return MahalanobisMetric(components), facts
