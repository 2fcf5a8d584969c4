"""fit, certify, verify and attack give what the library's functions give, in the pipeline's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.attacks import boundary_attack, geometric_attack
from arml.certify import certified_radii
from arml.cli.fit import parsed
from arml.datasets.arrays import scale
from arml.evidence import results_of
from arml.intervals import radius_intervals
from arml.learners import load_learner, make_learner
from arml.results import column, read_provenance, read_table, table_provenance
from arml.verify import exact_radii
from tests.unit.cli_data import COLUMNS, N_TEST, NAMES, answer, arrays, files, run


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, str]:
    return files(tmp_path)


def scaled(scaling: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    X_train, y_train, X, y = arrays()
    scale(X_train, X, scaling)
    return X_train, y_train, X, y


@pytest.mark.parametrize(("scaling", "bound", "k"), [("none", "theorem1", 3), ("minmax", "packing", 4)])
def test_certify_writes_the_function_s_radii(data, tmp_path: Path, scaling: str, bound: str, k: int) -> None:
    rows, proofs = tmp_path / "rows.parquet", tmp_path / "proofs.parquet"
    options = ("-k", k, "--bound", bound, "--scaling", scaling, "--out", rows, "--certificates", proofs)
    said = answer("certify", *data, "--label", "kind", *options)
    X_train, y_train, X, y = scaled(scaling)
    expected = certified_radii(X_train, y_train, X, y, n_neighbors=k, bound=bound)
    table = read_table(rows, "results")
    assert np.array_equal(column(table, "lower"), expected)
    assert column(table, "index").tolist() == list(range(N_TEST))
    assert column(table, "label").tolist() == y.tolist()
    predicted = MahalanobisKNN(k).fit(X_train, y_train).predict(X)
    assert column(table, "prediction").tolist() == predicted.tolist()
    assert results_of(read_table(proofs, "evidence")).equals(table.replace_schema_metadata(None))
    facts = table_provenance(table)
    assert (
        facts["scaling"] == scaling and facts["class_names"] == list(NAMES) and facts["metric"]["method"] == "euclidean"
    )
    assert facts["params"] == {"n_neighbors": k, "bound": bound, "limit": None}
    assert facts["files"]["train"]["file"] == "train.csv" and str(tmp_path) not in str(facts)
    assert [point["lower"] for point in said["points"]] == expected.tolist()
    assert all(point["upper"] is None or point["upper"] == 0 for point in said["points"])
    assert said["lower"][1] == sorted(expected)[(N_TEST - 1) // 2] and said["upper"] is None
    assert said["clean_error"] == float((predicted != y).mean()) and said["scaling"] == scaling
    assert said["files"] == {"rows": str(rows), "certificates": str(proofs)}


def test_equal_work_gives_equal_bytes_wherever_the_files_lie(data, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    for folder, (train, test) in ((tmp_path, data), (other, files(other))):
        run("certify", train, test, "--label", "kind", "--out", folder / "rows.parquet")
    assert (tmp_path / "rows.parquet").read_bytes() == (other / "rows.parquet").read_bytes()


def test_a_learned_metric_brings_its_scaling_and_its_name(data, tmp_path: Path) -> None:
    metric, rows = tmp_path / "metric.npz", tmp_path / "rows.parquet"
    options = ("--method", "nca", "-p", "max_iter=30", "--seed", 7, "--scaling", "minmax", "--out", metric)
    said = answer("fit", data[0], "--label", "kind", *options)
    X_train, y_train, X, y = scaled("minmax")
    expected = make_learner("nca", random_state=7, max_iter=30).fit(X_train, y_train)
    learner = load_learner(metric)
    assert np.array_equal(learner.components_, expected.components_) and learner.get_params()["random_state"] == 7
    assert learner.feature_names_in_.tolist() == list(COLUMNS)
    assert said["fit"]["scaling"] == "minmax" and said["files"] == {"metric": str(metric)} and said["seconds"] > 0
    run("certify", *data, "--label", "kind", "-k", 3, "--metric", metric, "--out", rows, "--name", "trees")
    table = read_table(rows, "results")
    assert np.array_equal(column(table, "lower"), certified_radii(X_train, y_train, X, y, expected, n_neighbors=3))
    assert set(column(table, "method")) == {"nca"} and set(column(table, "dataset")) == {"trees"}


def test_verify_gives_exact_radii_and_what_proves_them(data, tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    said = answer(
        "verify", *data, "--label", "kind", "--scaling", "minmax", "--box", 0, 1, "--limit", 12, "--out", rows
    )
    X_train, y_train, X, y = scaled("minmax")
    expected = exact_radii(X_train, y_train, X[:12], y[:12], bounds=(0, 1))
    table = read_table(rows, "results")
    assert np.array_equal(column(table, "lower"), expected.lower)
    assert np.array_equal(column(table, "upper"), expected.upper)
    assert column(table, "status").tolist() == expected.status.tolist()
    assert column(table, "witness").tolist() == expected.negative.tolist()
    assert read_provenance(rows)["params"]["bounds"] == [0.0, 1.0]
    assert said["n_points"] == 12 and sum(said["statuses"].values()) == 12


def test_verify_of_more_neighbours_gives_intervals(data) -> None:
    said = answer("verify", *data, "--label", "kind", "-k", 3, "--limit", 8)
    X_train, y_train, X, y = arrays()
    expected = radius_intervals(X_train, y_train, X[:8], y[:8], n_neighbors=3)
    assert [point["lower"] for point in said["points"]] == expected.lower.tolist()
    assert [point["upper"] for point in said["points"]] == expected.upper.tolist()
    assert said["kind"] == "exact" and said["algorithm"] == "branching"


def test_attacks_store_points_that_the_classifier_answers_wrong(data, tmp_path: Path) -> None:
    rows, points = tmp_path / "rows.parquet", tmp_path / "points.parquet"
    options = ("-k", 3, "--programs", 40, "--seed", 5, "--out", rows, "--points", points)
    run("attack", *data, "--label", "kind", *options)
    X_train, y_train, X, y = arrays()
    expected = geometric_attack(X_train, y_train, X, y, n_neighbors=3, programs=40, seeds=5)
    table, broken = read_table(rows, "results"), read_table(points, "adversarial")
    assert np.array_equal(column(table, "upper"), expected.norm)
    assert column(table, "status").tolist() == expected.status.tolist()
    found, index = np.array(broken["point"].to_pylist()), column(broken, "index")
    assert np.array_equal(found, expected.adversarial[np.isfinite(expected.norm)])
    answers = MahalanobisKNN(3).fit(X_train, y_train).predict(found)
    assert column(broken, "answer").tolist() == answers.tolist() and (answers != y[index]).all()
    assert np.allclose(np.linalg.norm(found - X[index], axis=1), column(broken, "norm"))


def test_the_boundary_attack_takes_its_own_options(data) -> None:
    options = ("--algorithm", "boundary", "--steps", 30, "--scaling", "minmax", "--box", 0, 1, "--limit", 3, "-k", 3)
    said = answer("attack", *data, "--label", "kind", *options)
    X_train, y_train, X, y = scaled("minmax")
    expected = boundary_attack(X_train, y_train, X[:3], y[:3], n_neighbors=3, steps=30)
    assert [point["upper"] for point in said["points"]] == expected.norm.tolist()


def test_a_table_says_counts_and_units(data) -> None:
    said = run("certify", *data, "--label", "kind", "-k", 3, "--scaling", "unit").stdout
    assert "test: euclidean, K = 3, theorem1" in said and "clean error" in said and "scaled (unit)" in said
    assert "as given" in run("verify", *data, "--label", "kind").stdout


def test_libsvm_files_need_no_label_column(tmp_path: Path) -> None:
    X_train, y_train, X, y = arrays()
    paths = []
    for name, points, labels in (("train", X_train, y_train), ("test", X, y)):
        paths.append(tmp_path / f"{name}.libsvm")
        lines = [f"{t} " + " ".join(f"{k}:{v!r}" for k, v in enumerate(p, 1)) for t, p in zip(labels, points.tolist())]
        paths[-1].write_text("\n".join(lines) + "\n")
    said = answer("certify", *paths, "-k", 3)
    expected = certified_radii(X_train, y_train, X, y, n_neighbors=3)
    assert [point["lower"] for point in said["points"]] == expected.tolist()


def test_parameters_are_read_as_json_where_they_are() -> None:
    pairs = ["a=3", "b=0.5", "c=true", "d=None", "e=cosine", "f=[1, 2]", "g=1e-3", "h=", "i=x=y"]
    expected = {"a": 3, "b": 0.5, "c": True, "d": None, "e": "cosine", "f": [1, 2], "g": 1e-3, "h": "", "i": "x=y"}
    assert parsed(pairs) == expected
