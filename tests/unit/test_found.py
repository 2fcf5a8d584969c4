"""What a solver found becomes rows in one way, for every solver and number of neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arml.attacks import geometric_attack
from arml.certify import certify_points
from arml.errors import DataError
from arml.intervals import interval_points
from arml.knn.reference import reference_set
from arml.results import column
from arml.results.evidence import certificates_of
from arml.results.found import Asked, attacked_rows, certified_rows, radii_rows
from arml.results.schemas import EVIDENCE, RESULTS
from arml.verify import verify_points

X_TRAIN, Y_TRAIN = np.array([[0.0], [0.5], [4.0], [5.0]]), np.array([0, 0, 1, 1])
X, Y = np.array([[1.0], [3.9]]), np.array([0, 0])  # the second is misclassified


def asked(k: int) -> Asked:
    return Asked("toy", "euclidean", reference_set(X_TRAIN, Y_TRAIN), k, X, Y, [7, 9])


def said(table) -> dict[str, list]:
    return {name: column(table, name).tolist() for name in ("index", "label", "prediction", "status", "witness")}


def test_exact_radii_become_evidence_and_intervals_results():
    one = verify_points(asked(1).reference, X, Y)
    rows = radii_rows(asked(1), one)
    assert rows.schema.names == EVIDENCE.names and set(column(rows, "algorithm")) == {"qp"}
    assert [c.radius for c in certificates_of(rows)] == one.lower.tolist()
    assert said(rows) == {"index": [7, 9], "label": [0, 0], "prediction": [0, 1],
                          "status": ["exact", "misclassified"], "witness": [2, -1]}  # fmt: skip
    three = interval_points(asked(3).reference, X, Y, 3)
    rows = radii_rows(asked(3), three)
    assert rows.schema.names == RESULTS.names and set(column(rows, "algorithm")) == {"branching"}
    assert said(rows)["witness"] == [-1, -1] and column(rows, "upper").tolist() == three.upper.tolist()


def test_certificates_and_attacks_become_rows_of_their_kind():
    found = certify_points(asked(3).reference, X, Y, 3, "packing")
    rows = certified_rows(asked(3), found, "packing")
    assert set(column(rows, "kind")) == {"certified"} and set(column(rows, "algorithm")) == {"packing"}
    assert column(rows, "lower").tolist() == [c.radius for c in found]
    attack = geometric_attack(X_TRAIN, Y_TRAIN, X, Y, n_neighbors=3)
    rows = attacked_rows(asked(3), attack, "geometric")
    assert set(column(rows, "kind")) == {"attacked"} and column(rows, "upper").tolist() == attack.norm.tolist()
    with pytest.raises(DataError, match="expected a certificate with"):
        certified_rows(asked(3), [replace(c, n_neighbors=5) for c in found], "packing")
