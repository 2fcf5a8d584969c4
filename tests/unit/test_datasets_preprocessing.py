"""Scaling, splitting, digests, and the checks between raw folder and arrays."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils import shuffle

from arml import datasets
from arml.datasets import arrays
from arml.errors import DataError

TOY = datasets.get_spec("toy")


def test_minmax_agrees_with_scikit_learn_and_is_fitted_on_the_training_set_only():
    rng = np.random.default_rng(1)
    train, test = rng.normal(size=(40, 5)) * 7 + 3, rng.normal(size=(20, 5)) * 30
    reference = MinMaxScaler().fit(train)
    want = reference.transform(train), reference.transform(test)
    arrays.scale(train, test, "minmax")
    np.testing.assert_allclose(train, want[0], atol=1e-12)
    np.testing.assert_allclose(test, want[1], atol=1e-12)
    assert train.min(axis=0).tolist() == [0.0] * 5 and train.max(axis=0).tolist() == [1.0] * 5
    assert test.min() < 0 and test.max() > 1


def test_a_column_constant_in_training_becomes_zero_in_both_parts():
    train, test = np.array([[5.0, 1.0], [5.0, 3.0]]), np.array([[9.0, 2.0]])
    arrays.scale(train, test, "minmax")
    assert train.tolist() == [[0.0, 0.0], [0.0, 1.0]] and test.tolist() == [[0.0, 0.5]]


def test_unit_scaling_keeps_proportions_and_image_divides_by_255():
    train, test = np.array([[0.0, 10.0], [30.0, 40.0]]), np.array([[50.0, 20.0]])
    arrays.scale(train, test, "unit")
    assert train.tolist() == [[0.0, 0.25], [0.75, 1.0]] and test.tolist() == [[1.25, 0.5]]
    train, test = np.array([[0.0, 51.0]]), np.array([[255.0, 102.0]])
    arrays.scale(train, test, "image")
    assert train.tolist() == [[0.0, 0.2]] and test.tolist() == [[1.0, 0.4]]


def test_unit_scaling_of_a_constant_set_is_zero_and_none_changes_nothing():
    train, test = np.full((2, 2), 7.0), np.full((1, 2), 8.0)
    arrays.scale(train, test, "none")
    assert train[0, 0] == 7.0
    arrays.scale(train, test, "unit")
    assert not train.any() and not test.any()


def test_scaling_refuses_what_it_does_not_know_or_cannot_hold():
    with pytest.raises(ValueError, match="'zscore'"):
        arrays.scale(np.zeros((1, 1)), np.zeros((1, 1)), "zscore")
    with pytest.raises(DataError, match="float64"):
        arrays.scale(np.array([[-1.7e308], [1.7e308]]), np.zeros((1, 1)), "minmax")


@pytest.mark.parametrize("seed", [0, 42])
def test_the_stratified_split_partitions_the_rows_in_proportion(seed):
    y = np.repeat([5, -1, 3], [50, 30, 20])[np.random.default_rng(3).permutation(100)]
    train, test = arrays.stratified_split(y, 37, seed)
    assert len(test) == 37
    assert sorted([*train, *test]) == list(range(100))
    assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
    for label, n in ((5, 50), (-1, 30), (3, 20)):
        assert abs((y[test] == label).sum() - 0.37 * n) < 1
    again = arrays.stratified_split(y, 37, seed)
    assert np.array_equal(again[0], train) and np.array_equal(again[1], test)


def test_the_stratified_split_depends_on_its_seed_and_leaves_small_classes_a_training_row():
    y = np.array([0] * 50 + [1] * 2 + [2])
    one, two = arrays.stratified_split(y, 40, 1), arrays.stratified_split(y, 40, 2)
    assert not np.array_equal(one[1], two[1])
    for train, _ in (one, two):
        assert set(y[train]) == {0, 1, 2}


def test_digests_see_order_where_they_should():
    X, y = np.arange(12.0).reshape(4, 3), np.array([1, 0, 1, 2])
    turned = [3, 0, 2, 1]
    assert arrays.fingerprint([X, y]) != arrays.fingerprint([X[turned], y[turned]])
    assert arrays.rows_digest([(X, y)]) == arrays.rows_digest([(X[turned], y[turned])])
    assert arrays.rows_digest([(X, y)]) != arrays.rows_digest([(X, y[turned])])
    assert arrays.fingerprint([X]) != arrays.fingerprint([X.reshape(3, 4)])
    assert arrays.fingerprint([X]) == arrays.fingerprint([np.asfortranarray(X)])
    want = hashlib.sha256(b"<f8(4, 3);" + X.tobytes() + b"<i8(4,);" + y.astype("<i8").tobytes()).hexdigest()
    assert arrays.fingerprint([X, y]) == want


def test_the_sample_is_the_one_of_sklearn_shuffle():
    X, y = np.arange(60.0).reshape(30, 2), np.arange(30)
    rows = datasets.paper_sample_indices(30, size=7)
    X7, y7 = (part[:7] for part in shuffle(X, y, random_state=42))
    assert np.array_equal(X[rows], X7) and np.array_equal(rows, y7)
    assert sorted(datasets.paper_sample_indices(30)) == list(range(30))
    with pytest.raises(ValueError, match="size=0"):
        datasets.paper_sample_indices(30, size=0)


def test_toy_loads_alike_every_time():
    one, two = datasets.load("toy"), datasets.load("toy")
    assert one.fingerprint == two.fingerprint == TOY.origins[0].content.fingerprint
    assert one.X_train.shape == (60, 4) and one.X_test.shape == (30, 4)
    assert one.X_train.min() == 0.0 and one.X_train.max() == 1.0
    assert (one.source, one.classes, one.class_names) == ("builtin", (0, 1, 2), ("0", "1", "2"))
    assert one.y_train.dtype == np.int64 and one.X_test.dtype == np.float64
    X, y = datasets.paper_sample("toy", size=5)
    rows = datasets.paper_sample_indices(30, size=5)
    assert np.array_equal(X, one.X_test[rows]) and np.array_equal(y, one.y_test[rows])
    assert "60 + 30 rows" in repr(one)


@pytest.fixture
def raw(tmp_path):
    datasets.fetch(TOY, None, tmp_path)
    return tmp_path


def test_the_record_beside_the_raw_files_says_what_they_are(raw):
    record = json.loads((raw / "source.json").read_text())
    assert record["dataset"] == "toy" and record["source"] == "builtin"
    for file in record["files"]:
        data = (raw / file["name"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest() and file["size"] == len(data)
    assert datasets.preprocess(TOY, raw).provenance == record


def test_a_raw_file_that_changed_or_went_is_noticed(raw):
    path = raw / "toy.t"
    path.write_bytes(path.read_bytes().replace(b"1:3", b"1:4", 1))
    with pytest.raises(DataError, match=r"'toy': toy\.t .*not the expected file.*SHA-256"):
        datasets.preprocess(TOY, raw)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="100 bytes instead of 660"):
        datasets.preprocess(TOY, raw)
    path.unlink()
    with pytest.raises(DataError, match=r"'toy': toy\.t: no such file"):
        datasets.preprocess(TOY, raw)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"dataset": "toy", "source": 3, "files": []}', "damaged"),
        ('{"dataset": "usps", "source": "builtin", "files": []}', "holds 'usps'"),
        ('{"dataset": "toy", "source": "moon", "files": []}', "came from 'moon'"),
        ('{"dataset": "toy", "source": "builtin", "files": []}', "changed after it was fetched"),
    ],
)
def test_a_record_that_is_wrong_is_refused(raw, record, says):
    (raw / "source.json").write_text(record)
    with pytest.raises(DataError, match=says):
        datasets.preprocess(TOY, raw)


def test_a_folder_without_record_says_to_fetch_first(tmp_path):
    with pytest.raises(DataError, match=r"'toy': there is no source\.json.*fetch"):
        datasets.preprocess(TOY, tmp_path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"train_counts": (20, 20, 21)}, r"training set has shape \(60, 4\), \(61, 4\) was expected"),
        ({"test_counts": (11, 10, 9)}, r"test set has rows per class \{0: 10, 1: 10, 2: 10\}"),
        ({"n_features": 5}, "fingerprint"),
        ({"n_features": 3}, "not LIBSVM text"),
        ({"scaling": "none"}, "fingerprint"),
    ],
)
def test_shape_counts_and_content_are_checked_against_the_registry(raw, change, says):
    with pytest.raises(DataError, match=f"data set 'toy'.*{says}"):
        datasets.preprocess(dataclasses.replace(TOY, **change), raw)


@pytest.mark.parametrize("field", ["fingerprint", "rows", "labels"])
def test_each_kind_of_content_is_compared(raw, field):
    origin = dataclasses.replace(TOY.origins[0], content=datasets.spec.Content(**{field: "0" * 64}))
    with pytest.raises(DataError, match=f"{field}.* instead of 0000"):
        datasets.preprocess(dataclasses.replace(TOY, origins=(origin,)), raw)


def test_moments_are_compared_to_a_tolerance(raw):
    data = datasets.preprocess(TOY, raw)
    means = arrays.moments(data.X_train, data.X_test)
    for shift, good in ((1e-6, True), (5e-6, False)):
        content = datasets.spec.Content(moments=(means[0] + shift, *means[1:]))
        spec = dataclasses.replace(TOY, origins=(dataclasses.replace(TOY.origins[0], content=content),))
        if good:
            assert datasets.preprocess(spec, raw).fingerprint == data.fingerprint
        else:
            with pytest.raises(DataError, match="means of x"):
                datasets.preprocess(spec, raw)
