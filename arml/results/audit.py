"""Audit of stored certificates: each is read back and checked by :mod:`arml.check`, which knows no solver."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from arml.certificate import Verdict
from arml.check import CertificateChecker
from arml.errors import DataError
from arml.results.evidence import certificates_of, checks_table
from arml.results.parquet import column, read_table
from arml.results.rows import sort_keys
from arml.results.schemas import RESULTS

__all__ = ["audit", "audit_rows", "join_audits"]

_KEYS = ("method", "kind", "algorithm", "n_neighbors", "index")


def audit(
    checker: CertificateChecker,
    files: Iterable[str | os.PathLike[str]],
    X: NDArray[np.float64],
    y: ArrayLike,
    rows: Collection[int],
) -> pa.Table:
    """Check the stored certificates of some test points.

    Parameters
    ----------
    checker : CertificateChecker
        Of the training set and the metric that the certificates are about.
    files : iterable of paths
        Parquet files of the schema "evidence".
    X, y : ndarray of shape (n, D), array-like of shape (n,)
        The whole test set.
    rows : collection of int
        The rows of it whose certificates are checked.

    Returns
    -------
    pyarrow.Table
        Schema "checks": one row a certificate.

    Raises
    ------
    DataError
        A file is missing, corrupt or of another kind.
    """
    labels, wanted = np.asarray(y), pa.array(sorted(rows), pa.int32())
    verdicts = []
    for file in files:
        table = read_table(file, "evidence")
        verdicts.append(audit_rows(checker, table.filter(pc.is_in(table["index"], wanted)), X, labels))
    return pa.concat_tables(verdicts)


def audit_rows(checker: CertificateChecker, evidence: pa.Table, X: NDArray[np.float64], y: NDArray[Any]) -> pa.Table:
    """:func:`audit` of rows of evidence that have been read: one row of the schema "checks" for each.

    A row that says another label than the test set is rejected: it is about another point.
    """
    verdicts = []
    claims = zip(column(evidence, "index"), column(evidence, "label"), certificates_of(evidence), strict=True)
    for row, label, claim in claims:
        if label == y[row]:
            verdicts.append(checker.check(X[row], y[row], claim))
        else:
            verdicts.append(Verdict(False, f"the certificate is about a point of label {label}, the row's is {y[row]}"))
    return checks_table(evidence, verdicts)


def join_audits(
    audits: Iterable[str | os.PathLike[str]],
    evidence: Iterable[str | os.PathLike[str]],
    results: Iterable[str | os.PathLike[str]],
    rows: Collection[int],
) -> pa.Table:
    """Return all verdicts in the order of results, once it is sure that they are about the results reported.

    Parameters
    ----------
    audits : iterable of paths
        Files of the schema "checks", as :func:`audit` made them.
    evidence : iterable of paths
        The files that were audited.
    results : iterable of paths
        The result files whose numbers the evidence proves.
    rows : collection of int
        The test points that were to be checked.

    Raises
    ------
    DataError
        The evidence says something else than the results, or some result of these points was not checked, or twice.
    """
    wanted = pa.array(sorted(rows), pa.int32())
    reported = pa.concat_tables([_rows(file, "results") for file in results])
    proved = pa.concat_tables([_rows(file, "evidence") for file in evidence])
    ordered = [table.take(pa.array(np.lexsort(sort_keys(table)[::-1]))) for table in (reported, proved)]
    if not ordered[0].equals(ordered[1]):
        raise DataError(
            f"the certificates ({proved.num_rows}) are not those of the results ({reported.num_rows} rows): they were "
            "written by different runs; run verify and certify again"
        )
    checks = pa.concat_tables([read_table(file, "checks").replace_schema_metadata(None) for file in audits])
    checks = checks.take(pa.array(np.lexsort(sort_keys(checks)[::-1])))
    due = ordered[0].filter(pc.is_in(ordered[0]["index"], wanted))
    if not checks.select(_KEYS).equals(due.select(_KEYS)):
        raise DataError(f"expected a verdict on each of {due.num_rows} certificates, got {checks.num_rows}")
    return checks


def _rows(file: str | os.PathLike[str], schema_name: str) -> pa.Table:
    """The columns of results."""
    return read_table(file, schema_name).select(RESULTS.names).replace_schema_metadata(None)
