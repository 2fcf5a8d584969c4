"""From what a solver found to rows: the one way there, for the pipeline and the command line alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from arml.certificate import Certificate
from arml.knn.neighbors import predict_labels
from arml.knn.radii import Radii
from arml.knn.reference import ReferenceSet
from arml.results.evidence import evidence_table
from arml.results.rows import attacked_table, certified_table, exact_table

if TYPE_CHECKING:
    from arml.attacks.result import AttackResult

__all__ = ["Asked", "attacked_rows", "certified_rows", "radii_rows"]


@dataclass(frozen=True, eq=False)
class Asked:
    """Some test points of a data set and what the classifier says of them: the columns that all kinds of rows share.

    Attributes
    ----------
    dataset, method : str
    reference : ReferenceSet
        The training set under the method's metric.
    n_neighbors : int
        K.
    X, y : ndarrays of shape (n, D), (n,)
    index : sequence of n int
        Their rows in the test file.
    """

    dataset: str
    method: str
    reference: ReferenceSet
    n_neighbors: int
    X: NDArray[np.float64]
    y: NDArray[Any]
    index: Sequence[int]

    def columns(self) -> dict[str, Any]:
        """Of :mod:`arml.results.rows`' tables."""
        return {
            "dataset": self.dataset,
            "method": self.method,
            "n_neighbors": self.n_neighbors,
            "index": self.index,
            "label": self.y,
            "prediction": predict_labels(self.reference, self.X, self.n_neighbors),
        }


def radii_rows(points: Asked, found: Radii) -> pa.Table:
    """Rows of kind "exact" (:func:`arml.results.rows.exact_table`), as evidence where there are certificates.

    Raises
    ------
    DataError
        ``found`` is about other points, here and below.
    """
    proved = bool(found.certificates)
    table = exact_table(
        **points.columns(),
        lower=found.lower,
        upper=found.upper,
        status=found.status,
        witness=found.negative,
        algorithm="qp" if proved else "branching",
    )
    return evidence_table(table, found.certificates) if proved else table


def certified_rows(points: Asked, found: Sequence[Certificate], bound: str) -> pa.Table:
    """Rows of kind "certified" (:func:`arml.results.rows.certified_table`) by ``bound``, as evidence."""
    radii = [certificate.radius for certificate in found]
    return evidence_table(certified_table(**points.columns(), radius=radii, algorithm=bound), found)


def attacked_rows(points: Asked, found: AttackResult, algorithm: str) -> pa.Table:
    """Rows of kind "attacked" (:func:`arml.results.rows.attacked_table`) by ``algorithm``."""
    return attacked_table(**points.columns(), norm=found.norm, status=found.status, algorithm=algorithm)
