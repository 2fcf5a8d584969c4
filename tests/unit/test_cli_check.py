"""check accepts what certify, verify and the pipeline stored, and finds out what was altered or misread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from arml import MahalanobisKNN
from arml.cli import app
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
        said = MahalanobisKNN(1, learner).fit(X_train, y_train).predict(X)
        rows = exact_table(
            dataset="trees", method=method, label=y, prediction=said, lower=found.lower,
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


def test_rows_left_out_and_rows_repeated_are_found_out(data, proofs: list[Path], tmp_path: Path) -> None:
    """Without its misclassified rows a file would have no clean error."""
    whole, facts = read_table(proofs[0], "evidence"), read_provenance(proofs[0])
    right = whole.filter(pa.array(whole["label"].to_numpy() == whole["prediction"].to_numpy()))
    few, often = tmp_path / "few.parquet", tmp_path / "often.parquet"
    write_table(few, right, "evidence", facts)
    said = answer("check", *data[:2], few, *data[2:], code=1)
    lacking = sorted(set(range(N_TEST)) - set(right["index"].to_pylist()))
    assert said["rejected"] == 0 and said["groups"][0]["missing"] == lacking and said["missing"] == len(lacking) > 0
    result = run("check", *data[:2], few, *data[2:], code=1)
    assert f"{len(lacking)} rows that the files claim to cover have no certificate" in result.stderr
    write_table(often, pa.concat_tables([whole.slice(0, 1)] * 20), "evidence", {**facts, "params": {"limit": 1}})
    said = answer("check", *data[:2], often, *data[2:], code=1)
    assert said["rejected"] == 19 and said["missing"] == 0 and "comes 20 times" in said["rejections"][0]
    both = answer("check", *data[:2], proofs[0], proofs[0], *data[2:], code=1)
    assert (both["checked"], both["rejected"]) == (2 * N_TEST, N_TEST)
    write_table(often, whole, "evidence", {**facts, "params": {"limit": 19}})
    beyond = answer("check", *data[:2], often, *data[2:], code=1)
    assert beyond["rejected"] == 1 and "row 19 is not among those that its file claims" in beyond["rejections"][0]


def test_what_files_claim_to_cover_is_said_for_each_kind_of_claim(data, proofs: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "first.parquet"
    run("verify", *data, "--scaling", "minmax", "--limit", 5, "--certificates", path)
    said = answer("check", *data[:2], path, *data[2:])
    assert (said["groups"][0]["covers"], said["test_rows"], said["checked"]) == ([[0, 4]], N_TEST, 5)
    assert f"0–4 of {N_TEST}" in run("check", *data[:2], path, *data[2:]).stdout
    said = answer("check", *data[:2], path, proofs[1], *data[2:])
    assert [group["covers"] for group in said["groups"]] == [[[0, 4]], [[0, N_TEST - 1]]]
    shards = [tmp_path / "even.parquet", tmp_path / "odd.parquet"]
    whole, facts = read_table(proofs[0], "evidence"), read_provenance(proofs[0])
    for first, shard in enumerate(shards):
        rows = list(range(first, N_TEST, 2))
        write_table(shard, whole.take(pa.array(rows)), "evidence", {**facts, "rows": rows})
    assert answer("check", *data[:2], shards[0], *data[2:])["groups"][0]["covers"] == [[i, i] for i in range(0, 20, 2)]
    assert answer("check", *data[:2], *shards, *data[2:])["groups"][0]["covers"] == [[0, N_TEST - 1]]
    assert "10 of 20" in run("check", *data[:2], shards[0], *data[2:]).stdout
    write_table(shards[1], whole.slice(0, 0), "evidence", {**facts, "rows": [1, 3]})
    assert answer("check", *data[:2], *shards, *data[2:], code=1)["groups"][0]["missing"] == [1, 3]


FORGERIES: list[tuple[int, str, object, str]] = [
    # of verify's file: what is altered in the first row that is right, and what is said
    (0, "dataset", "other", "its rows are about ['other', 'test']"),
    (0, "method", "arml", "give by --metric the metric of arml"),
    (0, "kind", "certified", "kind 'certified' and algorithm 'qp'"),
    (0, "kind", "attacked", "no certificate proves rows of kind"),
    (0, "algorithm", "branching", "algorithm 'branching'"),
    (0, "n_neighbors", 3, "no rule proves"),
    (0, "index", 19, "comes 2 times"),
    (0, "index", 20, "row 20 of the test file, which has 20"),
    (0, "label", 2, "about a point of label 2"),
    (0, "prediction", 2, "does not fit a prediction of 2"),
    (0, "status", "bounded", "does not fit a radius that is known"),
    (0, "status", "misclassified", "does not fit a prediction"),
    (0, "status", "unsolved", "cannot have the status"),
    (0, "lower", 0.0, "as wide as"),
    (0, "upper", 1e-9, "no smaller than the radius"),
    (0, "upper", 9.0, "as wide as"),
    (0, "upper", np.inf, "nothing that point"),
    (0, "witness", 0, "point 0 does not win"),
    (0, "norm", 1.0, "longer than the upper bound"),
    (0, "box_high", 0.5, "both finite or neither"),
    (0, "perturbation", [0.0, 0.0, 0.0], "as near as the true class"),
    (0, "perturbation", [], "finite perturbation of shape"),
    (0, "pool", [], "no point of the true class"),
    (0, "pool", [70], "must lie in"),
    # of certify's
    (1, "dataset", "other", "its rows are about ['other', 'test']"),
    (1, "method", "arml", "give by --metric the metric of arml"),
    (1, "kind", "exact", "algorithm 'packing'"),
    (1, "algorithm", "qp", "algorithm 'qp'"),
    (1, "n_neighbors", 0, "must lie in"),
    (1, "index", 19, "comes 2 times"),
    (1, "label", 2, "about a point of label 2"),
    (1, "prediction", 2, "does not fit a prediction of 2"),
    (1, "status", "misclassified", "does not fit a prediction"),
    (1, "status", "unsolved", "does not fit a radius"),
    (1, "status", "exact", "cannot have the status"),
    (1, "lower", 0.0, "does not fit a radius of 0"),
    (1, "lower", 9.0, "may win"),
    (1, "upper", 1e-9, "proves no upper bound"),
    (1, "upper", 0.0, "proves no upper bound"),
    (1, "witness", 3, "nothing that point 3 could be the witness of"),
    (1, "norm", 1.0, "20 rows that the files claim to cover have no certificate; the first: row 1 of test"),
    (1, "pool", [], "may win"),
]


@pytest.mark.parametrize(("which", "column", "value", "said"), FORGERIES)
def test_a_row_of_which_any_column_is_forged_is_found_out(
    data, proofs: list[Path], which: int, column: str, value: object, said: str
) -> None:
    table, facts = read_table(proofs[which], "evidence"), read_provenance(proofs[which])
    right = (table["label"].to_numpy() != 2) & (table["lower"].to_numpy() > 0)
    row, values = int(np.flatnonzero(right)[0]), table[column].to_pylist()
    values[row] = value
    place = table.column_names.index(column)
    forged = table.set_column(place, table.schema.field(column), pa.array(values, table.schema.field(column).type))
    with unchecked_values():
        write_table(proofs[which], forged, "evidence", facts)
    result = CliRunner().invoke(app, ["check", *data[:2], str(proofs[which]), *data[2:]])
    assert result.exit_code in (1, 2) and said in " ".join(result.stderr.split()), (result.output, result.exception)


@contextmanager
def unchecked_values() -> Iterator[None]:
    """Files as a forger writes them, who does not ask whether values are admissible."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arml.results.parquet.check_values", lambda *arguments: None)
        yield


@pytest.mark.parametrize("which", [0, 1])
def test_misclassified_rows_cannot_be_made_right_nor_right_ones_misclassified(
    data, proofs: list[Path], which: int
) -> None:
    """Both lies agree in all columns and in the certificate: only the classifier says otherwise."""
    table, facts = read_table(proofs[which], "evidence"), read_provenance(proofs[which])
    label, said = table["label"].to_numpy(), table["prediction"].to_numpy()
    wrong = label != said
    for rows, lie in [(~wrong, (label + 1) % 3), (wrong, label)]:
        columns: dict[str, list[object]] = {name: table[name].to_pylist() for name in table.column_names}
        row = int(np.flatnonzero(rows)[0])
        columns["prediction"][row] = int(lie[row])
        columns["lower"][row], columns["upper"][row] = 0.0, 0.0
        columns["status"][row], columns["witness"][row] = "misclassified", -1
        columns["perturbation"][row] = [0.0] * 3
        if lie[row] == label[row]:
            columns["status"][row] = "exact" if which == 0 else "unsolved"
            columns["upper"][row] = 0.0 if which == 0 else np.inf
        schema = table.schema.remove_metadata()
        write_table(proofs[which], pa.table(columns, schema=schema), "evidence", facts)
        result = run("check", *data[:2], proofs[which], *data[2:], code=1)
        expected = "as near as the true class" if which == 0 and not wrong[row] else "the classifier does not say"
        assert f"1 of {N_TEST} certificates are rejected" in result.stderr and expected in result.stderr


def test_nothing_to_check_is_no_success(data, proofs: list[Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    write_table(empty, read_table(proofs[0], "evidence").slice(0, 0), "evidence", {})
    assert "there is nothing to check" in refusal("check", *data[:2], empty, *data[2:])
    unscaled = tmp_path / "unscaled.parquet"
    run("verify", *data, "--certificates", unscaled)
    assert "different scalings" in refusal("check", *data[:2], unscaled, proofs[0], *data[2:])
