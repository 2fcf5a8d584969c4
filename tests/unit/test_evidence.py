"""Certificates in Parquet: back bit by bit, refused where they do not fit their row, rejected where tampered with."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from arml import MahalanobisKNN
from arml.certificate import Certificate, Proof
from arml.certify import certificates
from arml.check import CertificateChecker, Verdict
from arml.errors import DataError
from arml.evidence import certificates_of, checks_table, evidence_table, results_of
from arml.results import attacked_table, certified_table, exact_table, read_table, table_provenance, write_table
from arml.results.schemas import CHECKS, EVIDENCE, RESULTS
from arml.verify import exact_radii

LOWER, UPPER = RESULTS.get_field_index("lower"), RESULTS.get_field_index("upper")


class Study:
    """Exact radii of 40 points, some misclassified, some nowhere in reach, as rows and certificates."""

    def __init__(self, norm: float, bounds: tuple[float, float] | None) -> None:
        rng = np.random.default_rng(3)
        self.X, self.y = rng.random((250, 5)), rng.integers(0, 3, 250)
        G = rng.normal(size=(4, 5))
        self.M = G.T @ G
        self.Z = rng.random((40, 5))
        self.prediction = MahalanobisKNN(1, self.M).fit(self.X, self.y).predict(self.Z)
        self.labels = np.where(np.arange(40) % 9 == 0, (self.prediction + 1) % 3, self.prediction)
        result = exact_radii(self.X, self.y, self.Z, self.labels, self.M, norm=norm, bounds=bounds)
        self.certificates = [
            replace(c, upper=float(u), negative=int(j), perturbation=delta if np.isfinite(u) else np.zeros(0))
            for c, u, j, delta in zip(result.certificates, result.upper, result.negative, result.perturbation)
        ]
        self.rows = exact_table(
            dataset="toy",
            method="arml",
            label=self.labels,
            prediction=self.prediction,
            lower=result.lower,
            upper=result.upper,
            status=result.status,
            witness=result.negative,
        )

    def verdicts(self, given: list[Certificate]) -> list[Verdict]:
        checker = CertificateChecker(self.X, self.y, self.M)
        return [checker.check(z, label, c) for z, label, c in zip(self.Z, self.labels, given, strict=True)]


@pytest.fixture(scope="module", params=[(2.0, None), (np.inf, (0.25, 0.7)), (1.0, None)], ids=str)
def study(request: pytest.FixtureRequest) -> Study:
    return Study(*request.param)


def same(one: Any, two: Any) -> bool:
    """Equal in type and to the last bit, field by field."""
    if isinstance(one, np.ndarray):
        return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, Certificate | Proof):
        return all(same(getattr(one, f.name), getattr(two, f.name)) for f in fields(one))
    return type(one) is type(two) and one == two


def altered(table: pa.Table, name: str, values: Any) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(name), pa.array(values, table.schema.field(name).type))


# ---------------------------------------------------------------- round trip


def test_certificates_come_back_bit_by_bit(study: Study, tmp_path: Path) -> None:
    table = evidence_table(study.rows, study.certificates)
    assert table.schema == EVIDENCE
    assert sum(len(c.proofs) for c in study.certificates) > 5
    write_table(tmp_path / "e.parquet", table, "evidence", {"seed": 1})
    back = read_table(tmp_path / "e.parquet", "evidence")
    assert back.replace_schema_metadata(None).equals(table)
    assert table_provenance(results_of(back)) == {"seed": 1}
    assert results_of(back).replace_schema_metadata(None).equals(study.rows)
    assert all(map(same, study.certificates, certificates_of(back)))
    assert set(study.verdicts(certificates_of(back))) == {Verdict(True, "")}


def test_equal_content_gives_equal_bytes(study: Study, tmp_path: Path) -> None:
    table = evidence_table(study.rows, study.certificates)
    again = evidence_table(results_of(table), certificates_of(table))
    chunked = pa.concat_tables([again.slice(0, 7), again.slice(7)]).select(EVIDENCE.names[::-1])
    write_table(tmp_path / "one", table, "evidence", {})
    write_table(tmp_path / "two", chunked, "evidence", {})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert len(certificates_of(chunked.slice(5, 11))) == 11


def test_certified_rows_prove_their_lower_side(study: Study, tmp_path: Path) -> None:
    issued = certificates(study.X, study.y, study.Z, study.labels, study.M, 5)
    rows = certified_table(
        dataset="toy",
        method="arml",
        n_neighbors=5,
        label=study.labels,
        prediction=MahalanobisKNN(5, study.M).fit(study.X, study.y).predict(study.Z),
        radius=[c.radius for c in issued],
    )
    write_table(tmp_path / "e.parquet", evidence_table(rows, issued), "evidence", {})
    back = certificates_of(read_table(tmp_path / "e.parquet", "evidence"))
    assert all(map(same, issued, back))
    assert {(c.upper, c.negative) for c in back} == {(np.inf, -1)}
    assert all(v.accepted for v in study.verdicts(back))


def test_no_rows_are_an_empty_file(tmp_path: Path) -> None:
    table = evidence_table(RESULTS.empty_table(), [])
    write_table(tmp_path / "e.parquet", table, "evidence", {})
    assert certificates_of(read_table(tmp_path / "e.parquet", "evidence")) == []
    checks = checks_table(table, [])
    write_table(tmp_path / "c.parquet", checks, "checks", {})
    assert read_table(tmp_path / "c.parquet", "checks").schema.names == CHECKS.names


# ---------------------------------------------------------------- tampering


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("lower", lambda row: row["lower"] * (1 + 1e-6), "no smaller than the radius|not kept away"),
        ("lower", lambda row: row["lower"] + 1e-6 * (row["upper"] > 0), "no smaller than the radius|not kept away"),
        ("upper", lambda row: max(row["lower"], row["upper"] * (1 - 1e-6)), "longer than the upper bound"),
        ("perturbation", lambda row: [(1 - 1e-6) * v for v in row["perturbation"]], "as near as the true class"),
        ("perturbation", lambda row: [], "finite perturbation of shape"),
        ("witness", lambda row: (row["witness"] + 1) % 250, "does not win"),
        ("witness", lambda row: 250, "must lie in"),
        ("pool", lambda row: [], "no point of the true class"),
        ("norm", lambda row: 2.0 if row["norm"] == 1 else 1.0, "longer than|not kept away|as near as"),
        ("proofs", lambda row: [{**p, "multipliers": [-v for v in p["multipliers"]]} for p in row["proofs"]], "weight"),
        ("proofs", lambda row: [{**p, "negative": 0} for p in row["proofs"]], "not kept away"),
    ],
)
def test_a_tampered_row_is_rejected_after_reading_back(
    study: Study, tmp_path: Path, name: str, change: Any, reason: str
) -> None:
    table = evidence_table(study.rows, study.certificates)
    changed = altered(table, name, [change(row) for row in table.to_pylist()])
    write_table(tmp_path / "e.parquet", changed, "evidence", {})
    verdicts = study.verdicts(certificates_of(read_table(tmp_path / "e.parquet", "evidence")))
    solved = [
        v
        for v, row in zip(verdicts, table.to_pylist())
        if 1e-3 < row["lower"] < row["upper"] + 1e-3 < np.inf and (name != "proofs" or row["proofs"])
    ]
    rejected = [v.reason for v in solved if not v.accepted]
    assert len(rejected) >= 5
    assert pa.compute.all(pa.compute.match_substring_regex(pa.array(rejected), reason)).as_py(), rejected
    if name not in ("proofs", "norm", "pool"):
        assert len(rejected) == len(solved)


# ---------------------------------------------------------------- what does not fit


def test_a_certificate_of_another_claim_does_not_get_into_a_row(study: Study) -> None:
    good = study.certificates
    t = next(t for t, c in enumerate(good) if 0 < c.radius < np.inf)
    changes: list[dict[str, Any]] = [
        dict(radius=good[t].radius / 2),
        dict(radius=float("nan")),
        dict(upper=np.inf),
        dict(negative=-1),
        dict(bound="theorem1"),
        dict(n_neighbors=3),
    ]
    for change in changes:
        wrong = [*good[:t], replace(good[t], **change), *good[t + 1 :]]
        with pytest.raises(DataError, match=rf"row index={t} of toy/arml \(exact\): expected a certificate with"):
            evidence_table(study.rows, wrong)
    with pytest.raises(DataError, match="a certificate for each of 40 rows, got 39"):
        evidence_table(study.rows, good[1:])


def test_a_certified_row_takes_no_upper_side() -> None:
    rows = certified_table(dataset="t", method="m", n_neighbors=1, label=[0], prediction=[0], radius=[0.25])
    good = Certificate(0.25, 1, "theorem1", np.array([0]))
    assert evidence_table(rows, [good]).num_rows == 1
    with pytest.raises(DataError, match="expected a certificate"):
        evidence_table(rows, [replace(good, upper=0.5, negative=1, perturbation=np.array([0.5]))])


def test_attacked_rows_have_no_certificates() -> None:
    rows = attacked_table(
        dataset="t", method="m", n_neighbors=1, index=[0], label=[0], prediction=[0], norm=[0.5], status=["bounded"]
    )
    with pytest.raises(DataError, match=r"no certificate proves rows of kind \['attacked'\]"):
        evidence_table(rows, [Certificate(0.0, 1, "boundary", np.array([0]))])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("perturbation", [np.nan], "'perturbation' holds NaN"),
        ("perturbation", [None], "'perturbation' holds nulls"),
        ("pool", None, "'pool' holds nulls"),
        ("pool", [0, None], "'pool' holds nulls"),
        ("proofs", [{"multipliers": [np.inf]}], "'proofs' holds NaN or an infinity"),
        ("proofs", [{"positives": None}], "'proofs' holds nulls"),
        ("proofs", [{"faces": [None]}], "'proofs' holds nulls"),
        ("norm", 3.0, "'norm' holds other values"),
        ("norm", np.nan, "'norm' holds other values"),
        ("box_low", 0.0, "low < high"),
        ("box_high", np.nan, "low < high"),
        ("lower", np.nan, "'lower' holds NaN"),
        ("kind", "attacked", "no certificate proves"),
        ("perturbation", ["far"], "wrong type"),
    ],
)
def test_values_no_stage_writes_are_noticed_at_reading(tmp_path: Path, name: str, value: Any, message: str) -> None:
    rows = exact_table(
        dataset="t", method="m", label=[0], prediction=[0], lower=[0.4], upper=[0.6], status=["bounded"], witness=[1]
    )
    proof = Proof(1, np.array([0]), np.ones(1))
    good = Certificate(0.4, 1, "exact", np.array([0]), (proof,), upper=0.6, negative=1, perturbation=np.array([0.6]))
    row = evidence_table(rows, [good]).to_pylist()[0]
    row[name] = [{**row["proofs"][0], **part} for part in value] if name == "proofs" else value
    mark = {b"arml": b"{}", b"arml.schema": b"evidence/1"}
    nullable = pa.table({key: [given] for key, given in row.items()})
    pq.write_table(nullable.replace_schema_metadata(mark), tmp_path / "e.parquet")
    with pytest.raises(DataError, match=rf"{message}.*delete it and run"):
        read_table(tmp_path / "e.parquet", "evidence")


def test_another_kind_or_a_damaged_file_is_named(study: Study, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    write_table(path, evidence_table(study.rows, study.certificates), "evidence", {})
    with pytest.raises(DataError, match="marked 'evidence/1', not 'results/1'"):
        read_table(path, "results")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="corrupt"):
        read_table(path, "evidence")
    with pytest.raises(DataError, match=r"columns are missing: \['norm', 'box_low'"):
        certificates_of(study.rows)


# ---------------------------------------------------------------- verdicts


def test_verdicts_are_rows(study: Study, tmp_path: Path) -> None:
    table = evidence_table(study.rows, study.certificates)
    verdicts = study.verdicts([replace(c, radius=c.radius * (1 + 1e-6)) for c in certificates_of(table)])
    write_table(tmp_path / "c.parquet", checks_table(table, verdicts), "checks", {"seed": 1})
    back = read_table(tmp_path / "c.parquet", "checks")
    assert back.schema.names == CHECKS.names
    assert [Verdict(*pair) for pair in zip(back["accepted"].to_pylist(), back["reason"].to_pylist())] == verdicts
    assert back["index"].to_pylist() == list(range(40))
    assert checks_table(study.rows, verdicts).equals(back.replace_schema_metadata(None))


def test_verdicts_that_contradict_themselves_are_refused(study: Study) -> None:
    with pytest.raises(DataError, match="a verdict for each of 40 rows, got 1"):
        checks_table(study.rows, [Verdict(True, "")])
    for wrong in (Verdict(True, "far"), Verdict(False, "")):
        with pytest.raises(DataError, match="accepted with a 'reason', or rejected without one"):
            checks_table(study.rows.slice(0, 1), [wrong])
