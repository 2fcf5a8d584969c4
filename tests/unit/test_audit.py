"""The audit of stored certificates: what is read back is checked, and a changed file is found out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from arml import MahalanobisKNN
from arml.audit import audit, join_audits
from arml.certify import certificates
from arml.check import CertificateChecker
from arml.errors import DataError
from arml.evidence import evidence_table, rejections
from arml.results import certified_table, exact_table, read_table, write_table
from arml.results.audit import accounted, audit_rows, claimed_rows, groups_of
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
    said = MahalanobisKNN(1).fit(X_train, y_train).predict(X)
    rows = exact_table(
        **same, label=y, prediction=said, lower=exact.lower, upper=exact.upper,
        status=exact.status, witness=exact.negative,
    )  # fmt: skip
    whole = evidence_table(rows, exact.certificates)
    proved = certificates(X_train, y_train, X, y, n_neighbors=3)
    radius = np.array([c.radius for c in proved])
    said = MahalanobisKNN(3).fit(X_train, y_train).predict(X)
    voted = certified_table(**same, n_neighbors=3, label=y, prediction=said, radius=radius)
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


@pytest.mark.parametrize(
    ("column", "value", "where", "reason"),
    [
        ("prediction", 2, "right", "does not fit a prediction of 2"),
        ("status", "misclassified", "right", "does not fit a prediction"),
        ("status", "bounded", "wrong", "does not fit a prediction"),
        ("status", "unsolved", "right", "cannot have the status 'unsolved'"),
        ("status", "bounded", "tie", "does not fit a radius that is known"),
        ("kind", "attacked", "right", "no certificate proves a row of kind 'attacked'"),
        ("kind", "certified", "right", "kind 'certified' and algorithm 'qp'"),
        ("prediction", 7, "wrong", "the classifier does not say 7 there"),
        ("index", -1, "right", "there is no row -1"),
        ("index", N_TEST, "right", "there is no row 24"),
        ("witness", 0, "wrong", "nothing that point 0 could be the witness of"),
        ("upper", 9.0, "wrong", "has the radius 0"),
        ("label", 7, "right", "about a point of label 7"),
        ("algorithm", "branching", "right", "algorithm 'branching'"),
        ("status", "unattacked", "right", "cannot have the status 'unattacked'"),
    ],
)
def test_every_column_of_an_exact_row_is_held_against_what_is_so(
    data, files: list[Path], column: str, value: object, where: str, reason: str
) -> None:
    X_train, y_train, X, y = data
    table = pa.concat_tables([read_table(file, "evidence") for file in files[:2]])
    right = np.array([row["status"] == "exact" and row["label"] != 2 for row in table.to_pylist()])
    row = int(np.flatnonzero(right if where != "wrong" else table["status"].to_numpy() == "misclassified")[0])
    if where == "tie":
        table = changed(table, "upper", row, table["lower"][row].as_py())
    said = audit_rows(CertificateChecker(X_train, y_train), changed(table, column, row, value), X, y)
    assert said["accepted"].to_pylist().count(False) == 1 and reason in said["reason"][row].as_py()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("upper", 1e-9, "proves no upper bound"),
        ("upper", 0.0, "proves no upper bound"),
        ("status", "exact", "cannot have the status 'exact'"),
        ("status", "unsolved", "does not fit a radius of"),
        ("algorithm", "word of honour", "algorithm 'word of honour'"),
        ("algorithm", "qp", "algorithm 'qp'"),
        ("label", 7, "about a point of label 7"),
        ("prediction", 7, "does not fit a prediction of 7"),
        ("n_neighbors", 4, "no rule proves bound"),
        ("witness", 3, "nothing that point 3 could be the witness of"),
        ("lower", 0.0, "does not fit a radius of 0"),
    ],
)
def test_every_column_of_a_certified_row_is_held_against_what_is_so(
    data, files: list[Path], column: str, value: object, reason: str
) -> None:
    X_train, y_train, X, y = data
    table = read_table(files[2], "evidence")
    row = int(np.flatnonzero(table["lower"].to_numpy() > 0)[0])
    said = audit_rows(CertificateChecker(X_train, y_train), changed(table, column, row, value), X, y)
    assert said["accepted"].to_pylist().count(False) == 1 and reason in said["reason"][row].as_py()


def test_a_prediction_and_a_status_that_agree_on_a_lie_are_found_out(data, files: list[Path]) -> None:
    """The file that would make a clean error of 1: every right point misclassified, with radius 0."""
    X_train, y_train, X, y = data
    table = read_table(files[2], "evidence")
    for row in np.flatnonzero(table["label"].to_numpy() == table["prediction"].to_numpy()):
        told = (table["label"][row].as_py() + 1) % 3
        lie = {"prediction": told, "status": "misclassified", "lower": 0.0, "upper": 0.0}
        for column, value in lie.items():
            table = changed(table, column, int(row), value)
    said = audit_rows(CertificateChecker(X_train, y_train), table, X, y)
    honest = read_table(files[2], "evidence")
    right = honest["label"].to_numpy() == honest["prediction"].to_numpy()
    assert (np.array(said["accepted"].to_pylist()) == ~right).all()
    assert set(said.filter(pa.array(right))["reason"].to_pylist()) == {
        f"the classifier does not say {c} there" for c in set((y[right] + 1) % 3)
    }


GROUP = ("toy", "euclidean", "certified", "theorem1", 3, 2.0, -np.inf, np.inf)


def test_a_row_that_comes_again_is_rejected_and_rows_left_out_are_named(data, files: list[Path]) -> None:
    X_train, y_train, X, y = data
    checker, table = CertificateChecker(X_train, y_train), read_table(files[2], "evidence")
    claimed = claimed_rows([(table, {})], N_TEST)
    assert claimed == {GROUP: list(range(N_TEST))}
    twice = pa.concat_tables([table, *[table.slice(3, 1)] * 19])
    said = accounted(twice, audit_rows(checker, twice, X, y), claimed)
    assert said["accepted"].to_pylist() == [True] * N_TEST + [False] * 19
    assert set(said["reason"].to_pylist()[N_TEST:]) == {"this row comes 20 times"}
    right = table.filter(pa.array(table["label"].to_numpy() == table["prediction"].to_numpy()))
    assert 0 < right.num_rows < N_TEST and groups_of(right) == {GROUP: right["index"].to_pylist()}
    said = accounted(table, audit_rows(checker, table, X, y), {GROUP: right["index"].to_pylist()})
    beyond = said.filter(pa.array(~np.array(said["accepted"].to_pylist())))
    assert beyond["index"].to_pylist() == sorted(set(range(N_TEST)) - set(right["index"].to_pylist()))
    assert all("not among those that its file claims" in reason for reason in beyond["reason"].to_pylist())


def test_what_files_say_they_cover(files: list[Path]) -> None:
    """For each kind of claim by itself; a file without rows is about all of them."""
    exact, voted = read_table(files[0], "evidence"), read_table(files[2], "evidence")

    def claimed(*facts: dict[str, object], n: int = 4) -> list[int]:
        return claimed_rows([(voted, said) for said in facts], n)[GROUP]

    assert claimed({}) == [0, 1, 2, 3]
    assert claimed({"params": {"limit": 2}}) == [0, 1]
    assert claimed({"params": {"limit": None}}, n=2) == [0, 1]
    assert claimed({"params": {"limit": 9}}, n=2) == [0, 1]
    assert claimed({"rows": [3]}, {"rows": [1]}) == [1, 3]
    both = claimed_rows([(exact, {"rows": [5]}), (voted, {"rows": [7]}), (voted.slice(0, 0), {"rows": [9]})], 10)
    assert [*both.values()] == [[5, 9], [7, 9]]


@pytest.mark.parametrize(
    "said", [{"rows": "all"}, {"rows": [0.5]}, {"rows": None}, {"rows": [True]}, {"params": {"limit": "x"}},
             {"params": {"limit": -1}}]
)  # fmt: skip
def test_what_a_file_says_that_are_no_rows_is_refused(files: list[Path], said: dict[str, object]) -> None:
    with pytest.raises(DataError, match="expected whole numbers"):
        claimed_rows([(read_table(files[2], "evidence"), said)], 4)


def changed(table: pa.Table, column: str, row: int, value: object) -> pa.Table:
    values = table[column].to_pylist()
    values[row] = value
    place = table.column_names.index(column)
    return table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))


def test_a_row_of_another_label_than_the_test_set_s_is_rejected(data, files: list[Path]) -> None:
    X_train, y_train, X, y = data
    other = y.copy()
    other[15] = (other[15] + 1) % 3
    said = rejections(audit(CertificateChecker(X_train, y_train), files, X, other, [14, 15]))
    expected = f"the certificate is about a point of label {y[15]}, the row's is {other[15]}"
    assert len(said) == 2 and all(line.endswith(expected) and "row 15" in line for line in said)
