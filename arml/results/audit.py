"""Audit of stored certificates: each is read back and checked by :mod:`arml.check`, which knows no solver."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from arml.certificate import Verdict
from arml.check import CertificateChecker
from arml.errors import DataError
from arml.results.evidence import certificates_of, checks_table
from arml.results.parquet import read_table
from arml.results.rows import sort_keys
from arml.results.schemas import RESULTS

__all__ = ["GROUP", "accounted", "audit", "audit_rows", "claimed_rows", "groups_of", "join_audits"]

GROUP = ("dataset", "method", "kind", "algorithm", "n_neighbors", "norm", "box_low", "box_high")
"""Columns of evidence: rows that agree in these claim the same kind of thing, each of another test point."""
Group = tuple[Any, ...]

_PROVED = {"exact": ("exact", "bounded", "misclassified"), "certified": ("bounded", "unsolved", "misclassified")}
_ALGORITHMS = {"exact": ("qp",), "certified": ("theorem1", "plurality", "packing")}
_KNOWN = 1e-9  # of a radius: what is open by less is no interval
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

    A row that says another label than the test set is rejected: it is about another point. So is one in which any other
    column says what its certificate, the two bounds or the classifier do not.
    """
    verdicts = []
    claims = evidence.select(RESULTS.names).to_pylist()
    for claim, certificate in zip(claims, certificates_of(evidence), strict=True):
        row = claim["index"]
        if not 0 <= row < len(y):
            verdicts.append(Verdict(False, f"there is no row {row}: the test set has {len(y)}"))
            continue
        verdict = checker.check(X[row], y[row], certificate)
        flaw = _flaw(claim, y[row]) or ("" if not verdict.accepted else _false(checker, claim, X[row]))
        verdicts.append(Verdict(False, flaw) if flaw else verdict)
    return checks_table(evidence, verdicts)


def _flaw(claim: dict[str, Any], label: Any) -> str:
    """What columns of a row say that cannot be, "" if nothing."""
    kind, status, lower, upper = claim["kind"], claim["status"], claim["lower"], claim["upper"]
    wrong = claim["prediction"] != claim["label"]
    if claim["label"] != label:
        return f"the certificate is about a point of label {claim['label']}, the row's is {label}"
    if kind not in _PROVED:
        return f"no certificate proves a row of kind {kind!r}"
    if claim["algorithm"] not in _ALGORITHMS[kind]:
        return f"no certificate proves a row of kind {kind!r} and algorithm {claim['algorithm']!r}"
    if status not in _PROVED[kind]:
        return f"a row of kind {kind!r} cannot have the status {status!r}"
    if wrong != (status == "misclassified"):
        return f"the status {status!r} does not fit a prediction of {claim['prediction']} for label {claim['label']}"
    if wrong and not lower == upper == 0.0:
        return f"a misclassified point has the radius 0, not [{lower}, {upper}]"
    if kind == "certified" and not wrong and upper != np.inf:
        return f"a certificate of kind 'certified' proves no upper bound, got {upper}"
    if kind == "certified" and not wrong and (status == "bounded") != (lower > 0.0):
        return f"the status {status!r} does not fit a radius of {lower}"
    if claim["witness"] != -1 and (kind == "certified" or wrong or upper == np.inf):
        return f"there is nothing that point {claim['witness']} could be the witness of"
    if status == "bounded" and (lower == upper or upper - lower <= _KNOWN * upper < np.inf):
        return f"the status 'bounded' does not fit a radius that is known, {lower}"
    return ""


def _false(checker: CertificateChecker, claim: dict[str, Any], x: NDArray[np.float64]) -> str:
    """What columns of a row say that is not so, "" if nothing."""
    if not checker.predicts(x, claim["prediction"], claim["n_neighbors"]):
        return f"the classifier does not say {claim['prediction']} there"
    if claim["status"] == "exact" and not checker.closed(claim["lower"], claim["upper"]):
        return f"the status 'exact' does not fit an interval as wide as [{claim['lower']}, {claim['upper']}]"
    return ""


def accounted(evidence: pa.Table, verdicts: pa.Table, claimed: Mapping[Group, Collection[int]]) -> pa.Table:
    """The verdicts on some evidence, in which a row that comes again, or that no file claims, is rejected.

    Parameters
    ----------
    evidence, verdicts : pyarrow.Table
        Row by row: schema "evidence", and what :func:`audit_rows` said of it.
    claimed : mapping
        Of :func:`claimed_rows`.

    Returns
    -------
    pyarrow.Table
        Schema "checks".
    """
    columns = [evidence[name].to_pylist() for name in (*GROUP, "index")]
    keys = list(zip(*columns, strict=True))
    count, seen, said = Counter(keys), set[Group](), []
    for key, row in zip(keys, verdicts.to_pylist(), strict=True):
        reason = row["reason"]
        if key in seen:
            reason = f"this row comes {count[key]} times"
        elif key[-1] not in claimed[key[:-1]]:
            reason = f"row {key[-1]} is not among those that its file claims to cover"
        said.append(Verdict(reason == "", reason))
        seen.add(key)
    return checks_table(verdicts, said)


def claimed_rows(files: Iterable[tuple[pa.Table, Mapping[str, Any]]], n_test: int) -> dict[Group, list[int]]:
    """The rows of the test set that files claim to cover, for each kind of claim in them.

    Parameters
    ----------
    files : iterable of (pyarrow.Table, mapping)
        Rows of evidence, and what their file says of itself (:func:`arml.results.parquet.read_provenance`): ``rows``
        are listed by the pipeline's files, ``params.limit`` is a number of first rows; silence claims all.
    n_test : int
        Number of rows of the test set.

    Returns
    -------
    dict
        By :data:`GROUP`, ascending. A file without rows claims what it says for every group of the others.

    Raises
    ------
    DataError
        What a file says of itself are no rows.
    """
    claimed: dict[Group, set[int]] = {}
    of_all: set[int] = set()
    for table, said in files:
        rows, groups = _said_rows(said, n_test), groups_of(table)
        for group in groups:
            claimed.setdefault(group, set()).update(rows)
        of_all.update(() if groups else rows)
    return {group: sorted(rows | of_all) for group, rows in claimed.items()}


def _said_rows(said: Mapping[str, Any], n_test: int) -> Collection[int]:
    params = said.get("params")
    limit = params.get("limit") if isinstance(params, Mapping) else None
    rows = said.get("rows", range(n_test) if limit is None else None)
    if rows is None and isinstance(limit, int) and limit >= 0:
        rows = range(min(limit, n_test))
    if rows is None or not isinstance(rows, list | range) or not all(type(row) is int for row in rows):
        raise DataError(f"a file says that it covers the rows {said.get('rows', limit)!r}: expected whole numbers")
    return rows


def groups_of(evidence: pa.Table) -> dict[Group, list[int]]:
    """The rows of the test set that each kind of claim in some evidence is about, by :data:`GROUP`, ascending."""
    found: dict[Group, set[int]] = {}
    columns = [evidence[name].to_pylist() for name in (*GROUP, "index")]
    for *group, index in zip(*columns, strict=True):
        found.setdefault(tuple(group), set()).add(index)
    return {group: sorted(rows) for group, rows in found.items()}


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
