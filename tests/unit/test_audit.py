"""The audit of stored certificates: what is read back is checked, and a changed file is found out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from arml.audit import audit, join_audits
from arml.certify import certificates
from arml.check import CertificateChecker
from arml.errors import DataError
from arml.evidence import evidence_table, rejections
from arml.results import certified_table, exact_table, read_table, write_table
from arml.verify import exact_radii

N_TEST = 24


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(80, 3)), rng.integers(3, size=80)
    X[np.arange(80), y] += 2.0
    return X[N_TEST:], y[N_TEST:], X[:N_TEST], y[:N_TEST]


class Stored(NamedTuple):
    """Exact evidence in two files and Theorem 1's for K = 3 in one, with the result files they prove."""

    evidence: list[Path]
    results: list[Path]


@pytest.fixture
def stored(data, tmp_path: Path) -> Stored:
    X_train, y_train, X, y = data
    same = {"dataset": "toy", "method": "euclidean"}
    exact = exact_radii(X_train, y_train, X, y)
    right = exact.status != "misclassified"
    rows = exact_table(
        **same, label=y, prediction=np.where(right, y, (y + 1) % 3), lower=exact.lower, upper=exact.upper,
        status=exact.status, witness=exact.negative,
    )  # fmt: skip
    whole = evidence_table(rows, exact.certificates)
    proved = certificates(X_train, y_train, X, y, n_neighbors=3)
    radius = np.array([c.radius for c in proved])
    guess = np.where(radius > 0, y, (y + 1) % 3)
    voted = certified_table(**same, n_neighbors=3, label=y, prediction=guess, radius=radius)
    evidence = [tmp_path / f"{i}.parquet" for i in range(3)]
    for path, table in zip(evidence, [whole.slice(10), whole.slice(0, 10), evidence_table(voted, proved)], strict=True):
        write_table(path, table, "evidence", {})
    results = [tmp_path / "exact.parquet", tmp_path / "certified.parquet"]
    for path, table in zip(results, [rows, voted], strict=True):
        write_table(path, table, "results", {})
    return Stored(evidence, results)


@pytest.fixture
def files(stored: Stored) -> list[Path]:
    return stored.evidence


def test_all_stored_certificates_are_accepted_in_one_order(data, stored: Stored, tmp_path: Path) -> None:
    X_train, y_train, X, y = data
    checker, everything = CertificateChecker(X_train, y_train), range(N_TEST)
    verdicts = audit(checker, stored.evidence, X, y, everything)
    assert verdicts.num_rows == 2 * N_TEST and rejections(verdicts) == []
    for name, chosen in (("a", stored.evidence[:1]), ("b", stored.evidence[1:])):
        write_table(tmp_path / name, audit(checker, chosen, X, y, everything), "checks", {})
    write_table(tmp_path / "all", verdicts, "checks", {})
    joined = join_audits([tmp_path / "b", tmp_path / "a"], stored.evidence[::-1], stored.results, everything)
    assert joined.equals(join_audits([tmp_path / "all"], *stored, everything))
    assert joined["index"].to_pylist() == [*everything, *everything]


def test_an_audit_is_about_all_of_the_results_and_about_nothing_else(data, stored: Stored, tmp_path: Path) -> None:
    X_train, y_train, X, y = data
    verdicts = audit(CertificateChecker(X_train, y_train), stored.evidence, X, y, range(N_TEST))
    write_table(tmp_path / "all", verdicts, "checks", {})
    with pytest.raises(DataError, match="a verdict on each of 2 certificates, got 48"):
        join_audits([tmp_path / "all"], *stored, [7])
    write_table(tmp_path / "few", verdicts.slice(1), "checks", {})
    with pytest.raises(DataError, match="a verdict on each of 48 certificates, got 47"):
        join_audits([tmp_path / "few"], *stored, range(N_TEST))
    with pytest.raises(DataError, match=r"the certificates \(38\) are not those of the results \(48 rows\)"):
        join_audits([tmp_path / "all"], stored.evidence[::2], stored.results, range(N_TEST))
    changed = read_table(stored.results[0], "results")
    upper = pa.array(changed["upper"].to_numpy() * 2)
    write_table(
        stored.results[0], changed.set_column(changed.column_names.index("upper"), "upper", upper), "results", {}
    )
    with pytest.raises(DataError, match="written by different runs"):
        join_audits([tmp_path / "all"], *stored, range(N_TEST))


def test_only_the_wanted_rows_are_checked(data, files: list[Path]) -> None:
    X_train, y_train, X, y = data
    verdicts = audit(CertificateChecker(X_train, y_train), files, X, y, {3, 11})
    assert sorted(verdicts["index"].to_pylist()) == [3, 3, 11, 11]


def test_a_changed_radius_and_another_point_s_proof_are_found_out(data, files: list[Path]) -> None:
    X_train, y_train, X, y = data
    checker, exact = CertificateChecker(X_train, y_train), read_table(files[0], "evidence")
    radii = exact["lower"].to_numpy().copy()
    first, second = np.flatnonzero(radii > 0)[:2]
    radii[first] *= 1 + 1e-6
    write_table(files[0], exact.set_column(exact.column_names.index("lower"), "lower", pa.array(radii)), "evidence", {})
    said = rejections(audit(checker, files, X, y, range(N_TEST)))
    assert len(said) == 1 and said[0].startswith(f"toy, euclidean, exact, K = 1, row {10 + first}: ")
    moved = np.arange(exact.num_rows)
    moved[[first, second]] = moved[[second, first]]
    indices = exact["index"].take(pa.array(moved))
    write_table(files[0], exact.set_column(exact.column_names.index("index"), "index", indices), "evidence", {})
    assert len(rejections(audit(checker, files, X, y, range(N_TEST)))) == 2


def test_a_row_of_another_label_than_the_test_set_s_is_rejected(data, files: list[Path]) -> None:
    X_train, y_train, X, y = data
    other = y.copy()
    other[15] = (other[15] + 1) % 3
    said = rejections(audit(CertificateChecker(X_train, y_train), files, X, other, [14, 15]))
    expected = f"the certificate is about a point of label {y[15]}, the row's is {other[15]}"
    assert len(said) == 2 and all(line.endswith(expected) and "row 15" in line for line in said)
