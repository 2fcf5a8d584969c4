"""check accepts what certify, verify and the pipeline stored, and finds out what was altered or misread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from arml.evidence import evidence_table
from arml.learners import make_learner
from arml.results import exact_table, provenance, read_provenance, read_table, write_metric, write_split, write_table
from arml.verify import exact_radii
from tests.unit.cli_data import N_TEST, answer, arrays, files, refusal, run, write_csv


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, str, str, str]:
    return (*files(tmp_path), "--label", "kind")


@pytest.fixture
def proofs(data, tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "exact.parquet", tmp_path / "voted.parquet"]
    run("verify", *data, "--scaling", "minmax", "--certificates", paths[0])
    run("certify", *data, "--scaling", "minmax", "-k", 5, "--bound", "packing", "--certificates", paths[1])
    return paths


def altered(path: Path, name: str, change) -> None:
    """Rewrite one column."""
    table = read_table(path, "evidence")
    values = table[name].to_numpy().copy()
    change(values)
    column = pa.array(values, table[name].type)
    write_table(path, table.set_column(table.column_names.index(name), name, column), "evidence", read_provenance(path))


def test_all_that_was_stored_is_accepted_in_its_own_scaling(data, proofs: list[Path], tmp_path: Path) -> None:
    said = answer("check", *data[:2], *proofs, *data[2:], "--out", tmp_path / "verdicts.parquet")
    assert said["checked"] == 2 * N_TEST and said["rejected"] == 0 and said["rejections"] == []
    assert [(group["kind"], group["accepted"]) for group in said["groups"]] == [
        ("exact", N_TEST),
        ("certified", N_TEST),
    ]
    verdicts = read_table(tmp_path / "verdicts.parquet", "checks")
    assert verdicts.num_rows == 2 * N_TEST and all(verdicts["accepted"].to_pylist())
    assert "certified packing K=5" in run("check", *data[:2], *proofs, *data[2:]).stdout


@pytest.mark.parametrize("which", [0, 1])
def test_a_radius_made_longer_is_rejected_with_exit_code_1(
    data, proofs: list[Path], tmp_path: Path, which: int
) -> None:
    def longer(lower: np.ndarray) -> None:
        lower[np.flatnonzero(lower > 0)[0]] *= 1.01

    altered(proofs[which], "lower", longer)
    if which == 0:
        altered(proofs[which], "upper", longer)
    out = tmp_path / "verdicts.parquet"
    said = answer("check", *data[:2], *proofs, *data[2:], "--out", out, code=1)
    assert said["rejected"] == 1 and len(said["rejections"]) == 1
    assert read_table(out, "checks")["accepted"].to_pylist().count(False) == 1
    result = run("check", *data[:2], *proofs, *data[2:], code=1)
    assert "error: 1 of 40 certificates are rejected" in result.stderr


def test_another_scaling_another_metric_and_another_label_are_found_out(
    data, proofs: list[Path], tmp_path: Path
) -> None:
    assert answer("check", *data[:2], *proofs, *data[2:], "--scaling", "none", code=1)["rejected"] > 0
    X, y = arrays()[2:]
    other = str(write_csv(tmp_path / "other.csv", X, np.roll(y, 1)))
    said = answer("check", data[0], other, *proofs, *data[2:], code=1)
    assert any("the certificate is about a point of label" in line for line in said["rejections"])
    short = str(write_csv(tmp_path / "short.csv", X[:7], y[:7]))
    assert "row 19 of the test file, which has 7" in refusal("check", data[0], short, *proofs, *data[2:])


def test_a_metric_that_is_lacking_or_of_another_scaling_is_asked_for(data, tmp_path: Path) -> None:
    metric, raw, proof = tmp_path / "m.npz", tmp_path / "raw.npz", tmp_path / "p.parquet"
    run("fit", data[0], *data[2:], "--method", "lfda", "--scaling", "minmax", "--out", metric)
    run("fit", data[0], *data[2:], "--method", "lfda", "--out", raw)
    run("certify", *data, "--metric", metric, "--certificates", proof, "-k", 3)
    assert answer("check", *data[:2], proof, *data[2:], "--metric", metric)["rejected"] == 0
    assert "give by --metric the metric of lfda" in refusal("check", *data[:2], proof, *data[2:])
    assert "with --scaling none, the cert" in refusal("check", *data[:2], proof, *data[2:], "--metric", raw)
    both = ("--metric", metric, "--metric", raw)
    assert "two metrics of the method 'lfda'" in refusal("check", *data[:2], proof, *data[2:], *both)


def test_files_as_the_pipeline_writes_them_are_checked(tmp_path: Path) -> None:
    """Splits, metrics and certificates in shards, with the pipeline's provenance, written by the library alone."""
    X_train, y_train, X, y = arrays()
    train, test = tmp_path / "train.parquet", tmp_path / "test.parquet"
    write_split(train, X_train, y_train, provenance(dataset="trees", fingerprint="0"))
    write_split(test, X, y, provenance(dataset="trees", fingerprint="0"))
    shards, metrics = [], []
    for method in ("euclidean", "lfda"):
        learner = make_learner(method).fit(X_train, y_train)
        path = tmp_path / f"{method}.parquet"
        write_metric(path, learner.components_, provenance(dataset="trees", method=method))
        metrics += ["--metric", path]
        found = exact_radii(X_train, y_train, X, y, learner)
        wrong = found.status == "misclassified"
        rows = exact_table(
            dataset="trees", method=method, label=y, prediction=np.where(wrong, (y + 1) % 3, y), lower=found.lower,
            upper=found.upper, status=found.status, witness=found.negative,
        )  # fmt: skip
        whole = evidence_table(rows, found.certificates)
        for start in (0, 12):
            shards.append(tmp_path / f"{method}-1-{start}.parquet")
            facts = provenance(dataset="trees", stage="verify", fingerprint="0")
            write_table(shards[-1], whole.slice(start, 12), "evidence", facts)
    said = answer("check", train, test, *shards, *metrics)
    assert said["checked"] == 2 * N_TEST and said["rejected"] == 0
    assert [group["method"] for group in said["groups"]] == ["euclidean", "lfda"]
    swapped = ["--metric", metrics[1], "--metric", tmp_path / "renamed.parquet"]
    write_metric(swapped[3], np.diag([1.0, 0.5, 0.2]), provenance(dataset="trees", method="lfda"))
    assert answer("check", train, test, *shards, *swapped, code=1)["rejected"] > 0


def test_nothing_to_check_is_no_success(data, proofs: list[Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    write_table(empty, read_table(proofs[0], "evidence").slice(0, 0), "evidence", {})
    assert "there is nothing to check" in refusal("check", *data[:2], empty, *data[2:])
    unscaled = tmp_path / "unscaled.parquet"
    run("verify", *data, "--certificates", unscaled)
    assert "different scalings" in refusal("check", *data[:2], unscaled, proofs[0], *data[2:])
