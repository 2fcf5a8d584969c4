"""Results with what proves them, as rows: one Parquet row holds the claim about a point and its certificate.

Two kinds of file (columns in :mod:`arml.results.schemas`; written and read by :mod:`arml.results`):

``evidence``  the columns of ``results``, then the certificate: norm, box, δ, pool and multipliers;
``checks``    what :mod:`arml.check` says about each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from arml.certificate import Certificate, Proof, Verdict
from arml.errors import DataError
from arml.results.schemas import CHECKS, EVIDENCE, RESULTS, check_values, conform

__all__ = ["certificates_of", "checks_table", "evidence_table", "rejections", "results_of"]

_BATCH = 256


def evidence_table(results: pa.Table, certificates: Sequence[Certificate]) -> pa.Table:
    """Return rows of results with their certificates.

    Parameters
    ----------
    results : pyarrow.Table
        Of kinds "exact" and "certified" (:func:`arml.results.rows.exact_table`,
        :func:`arml.results.rows.certified_table`).
    certificates : sequence of Certificate
        One a row, in the same order.

    Returns
    -------
    pyarrow.Table
        In the schema ``evidence``, rows in the order given.

    Raises
    ------
    DataError
        A certificate claims something else than its row, or there is not one for each row.
    """
    results = conform(results, "results", "cannot add certificates to these rows")
    if results.num_rows != len(certificates):
        raise DataError(f"expected a certificate for each of {results.num_rows} rows, got {len(certificates)}")
    for row, certificate in zip(results.to_pylist(), certificates):
        wanted, given = _claim(row), _claimed(certificate)
        if wanted != given:
            raise DataError(
                f"row index={row['index']} of {row['dataset']}/{row['method']} ({row['kind']}): expected a certificate "
                f"with (bound, n_neighbors, radius, upper, negative) = {wanted}, got {given}"
            )
    boxes = [c.bounds if c.bounds is not None else (-np.inf, np.inf) for c in certificates]
    columns: dict[str, Any] = {
        **{name: results[name] for name in RESULTS.names},
        "norm": pa.array([c.norm for c in certificates], pa.float64()),
        "box_low": pa.array([low for low, _ in boxes], pa.float64()),
        "box_high": pa.array([high for _, high in boxes], pa.float64()),
        "perturbation": _lists([c.perturbation for c in certificates], EVIDENCE.field("perturbation").type),
        "pool": _lists([c.pool for c in certificates], EVIDENCE.field("pool").type),
        "proofs": _proofs(certificates),
    }
    table = conform(pa.table(columns), "evidence", "cannot store certificates")
    check_values(table, "evidence", "cannot store certificates")
    return table


def certificates_of(table: pa.Table) -> list[Certificate]:
    """Return the certificates of rows of evidence, as :func:`evidence_table` got them.

    Their claims are those of the rows: a row that was altered gives a certificate that claims as much. Rows of kind
    "certified" prove their lower side only.
    """
    table = conform(table, "evidence", "cannot read certificates")
    return [_certificate(row) for batch in table.to_batches(max_chunksize=_BATCH) for row in batch.to_pylist()]


def results_of(table: pa.Table) -> pa.Table:
    """Return the rows of evidence in the schema ``results``, without proofs."""
    return conform(table.select(RESULTS.names), "results", "cannot read results")


def checks_table(results_rows: pa.Table, verdicts: Sequence[Verdict]) -> pa.Table:
    """Return what the checker said about each row.

    Parameters
    ----------
    results_rows : pyarrow.Table
        With the columns of ``results`` (rows of ``evidence`` will do).
    verdicts : sequence of Verdict
        One a row, in the same order.

    Raises
    ------
    DataError
        There is not one for each row.
    """
    if results_rows.num_rows != len(verdicts):
        raise DataError(f"expected a verdict for each of {results_rows.num_rows} rows, got {len(verdicts)}")
    columns = {name: results_rows[name] for name in CHECKS.names if name in RESULTS.names}
    columns["accepted"] = pa.array([v.accepted for v in verdicts], pa.bool_())
    columns["reason"] = pa.array([v.reason for v in verdicts], pa.string())
    table = conform(pa.table(columns), "checks", "cannot store verdicts")
    check_values(table, "checks", "cannot store verdicts")
    return table


def _claim(row: dict[str, Any]) -> tuple[str, int, float, float, int]:
    """What the certificate of a row of results has to claim."""
    if row["kind"] == "exact":
        return "exact", row["n_neighbors"], row["lower"], row["upper"], row["witness"]
    return row["algorithm"], row["n_neighbors"], row["lower"], float("inf"), -1


def _claimed(c: Certificate) -> tuple[str, int, float, float, int]:
    return c.bound, int(c.n_neighbors), float(c.radius), float(c.upper), int(c.negative)


def _certificate(row: dict[str, Any]) -> Certificate:
    bound, n_neighbors, radius, upper, negative = _claim(row)
    return Certificate(
        radius=radius,
        n_neighbors=n_neighbors,
        bound=bound,
        pool=np.array(row["pool"], dtype=np.intp),
        proofs=tuple(
            Proof(
                negative=proof["negative"],
                positives=np.array(proof["positives"], dtype=np.intp),
                multipliers=np.array(proof["multipliers"], dtype=np.float64),
                faces=np.array(proof["faces"], dtype=np.intp),
                face_multipliers=np.array(proof["face_multipliers"], dtype=np.float64),
            )
            for proof in row["proofs"]
        ),
        norm=row["norm"],
        bounds=None if np.isinf(row["box_low"]) else (row["box_low"], row["box_high"]),
        upper=upper,
        negative=negative,
        perturbation=np.array(row["perturbation"], dtype=np.float64),
    )


def _proofs(certificates: Sequence[Certificate]) -> pa.Array:
    kind = EVIDENCE.field("proofs").type
    listed = [proof for c in certificates for proof in c.proofs]
    fields = list(kind.value_type)
    parts = [pa.array([proof.negative for proof in listed], pa.int32())]
    parts += [_lists([getattr(proof, field.name) for proof in listed], field.type) for field in fields[1:]]
    values = pa.StructArray.from_arrays(parts, fields=fields)
    return pa.ListArray.from_arrays(_offsets([len(c.proofs) for c in certificates]), values, type=kind)


def _lists(arrays: Sequence[ArrayLike], kind: pa.DataType) -> pa.Array:
    values = np.concatenate([np.zeros(0, dtype=kind.value_type.to_pandas_dtype()), *arrays])
    return pa.ListArray.from_arrays(
        _offsets([len(np.asarray(a)) for a in arrays]), pa.array(values).cast(kind.value_type), type=kind
    )


def _offsets(lengths: Sequence[int]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def rejections(checks: pa.Table) -> list[str]:
    """Return one line for each certificate that was not accepted."""
    return [
        "{dataset}, {method}, {kind}, K = {n_neighbors}, row {index}: {reason}".format_map(row)
        for row in checks.filter(pc.invert(checks["accepted"])).to_pylist()
    ]
