"""Frames, series, lists and tensors in every estimator and function, and what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from sklearn.exceptions import DataConversionWarning
from sklearn.model_selection import GridSearchCV, cross_val_score

import arml
from arml.learners import METHODS, make_learner
from arml.networks import NetworkClassifier

RNG = np.random.default_rng(11)
X = RNG.integers(0, 64, (40, 3)) / 64.0  # exact in bfloat16 too
Y = (X[:, 0] > 0.5).astype(int)
NAMES = ["a", "b", "c"]
TEXT = [f"class {label}" for label in Y]
QUICK = {"arml": {"max_iter": 5}, "lmnn": {"max_iter": 60}, "itml": {"n_constraints": 40, "max_iter": 50}}

SPARSE_FRAME = pd.DataFrame.sparse.from_spmatrix(sp.coo_array((2 * 10**9, 40)))

FEATURES = {
    "list": X.tolist(),
    "float32": X.astype(np.float32),
    "fortran": np.asfortranarray(X),
    "object": X.astype(object),
    "pandas": pd.DataFrame(X, columns=NAMES),
    "pandas nullable": pd.DataFrame(X, columns=NAMES).astype("Float64"),
    "polars": pl.DataFrame(X, schema=NAMES),
    "torch": torch.tensor(X, dtype=torch.float32, requires_grad=True),
    "torch bfloat16": torch.tensor(X).bfloat16(),
    "sparse": sp.csr_matrix(X),
    "sparse array": sp.csc_array(X),
    "pandas sparse": pd.DataFrame(X, columns=NAMES).astype(pd.SparseDtype(float, 0.0)),
}
LABELS = {
    "list": Y.tolist(),
    "float": Y.astype(float),
    "pandas": pd.Series(Y, index=np.arange(40)[::-1]),
    "pandas categories": pd.Series(TEXT).astype("category"),
    "polars": pl.Series(Y),
    "polars text": pl.Series(TEXT),
    "torch": torch.tensor(Y),
    "text": TEXT,
    "bool": Y == 1,
    "object integers": Y.astype(object),
    "object booleans": (Y == 1).astype(object),
    "object floats": Y.astype(float).astype(object),
}


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("labels", LABELS)
def test_classifier_and_functions_take_it_and_say_the_same(features, labels):
    F, L = FEATURES[features], LABELS[labels]
    plain = arml.MahalanobisKNN(3, scaling="unit").fit(X, Y)
    knn = arml.MahalanobisKNN(3, scaling="unit").fit(F, L)
    part, few = F[:5], L[:5]
    np.testing.assert_array_equal(knn.predict(part), knn.classes_[plain.predict(X[:5])])
    np.testing.assert_array_equal(knn.certify(part, few, units="raw"), plain.certify(X[:5], Y[:5], units="raw"))
    assert knn.score(F, L) == plain.score(X, Y)
    radii = arml.certified_radii(F, L, part, few, n_neighbors=3)
    np.testing.assert_array_equal(radii, arml.certified_radii(X, Y, X[:5], Y[:5], n_neighbors=3))


@pytest.mark.parametrize("features", FEATURES)
def test_every_function_takes_it(features):
    F, part = FEATURES[features], FEATURES[features][:4]
    given, same = (F, Y, part, Y[:4]), (X, Y, X[:4], Y[:4])
    np.testing.assert_array_equal(arml.exact_radii(*given).lower, arml.exact_radii(*same).lower)
    for function, options in (
        (arml.radius_intervals, {"n_neighbors": 3, "nodes": 10}),
        (arml.geometric_attack, {"n_neighbors": 3}),
        (arml.boundary_attack, {"n_neighbors": 3, "steps": 5}),
    ):
        found, expected = function(*given, **options), function(*same, **options)
        np.testing.assert_array_equal(found.adversarial, expected.adversarial)
    metric = arml.MahalanobisMetric.from_matrix(torch.eye(3, requires_grad=True))
    np.testing.assert_array_equal(metric.distances(part, F), metric.distances(X[:4], X))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("features", ["pandas", "polars", "torch"])
def test_every_learner_takes_it_and_keeps_names(method, features):
    F = FEATURES[features]
    learner = make_learner(method, **QUICK.get(method, {})).fit(F, LABELS["polars text"])
    expected = make_learner(method, **QUICK.get(method, {})).fit(X, Y)
    np.testing.assert_array_equal(learner.components_, expected.components_)
    np.testing.assert_array_equal(learner.transform(F), expected.transform(X))
    assert len(learner.get_feature_names_out()) == learner.components_.shape[0]
    if features == "torch":
        assert not hasattr(learner, "feature_names_in_")
    else:
        assert list(learner.feature_names_in_) == NAMES


@pytest.mark.parametrize("features", ["pandas", "polars", "torch"])
def test_a_network_takes_it(features):
    network = NetworkClassifier(hidden=(4,), epochs=1).fit(FEATURES[features], LABELS["torch"])
    expected = NetworkClassifier(hidden=(4,), epochs=1).fit(X, Y)
    np.testing.assert_array_equal(network.decision_function(FEATURES[features]), expected.decision_function(X))


@pytest.mark.parametrize("frame", [pd.DataFrame(X, columns=NAMES), pl.DataFrame(X, schema=NAMES)])
def test_feature_names_are_kept_and_compared(frame):
    knn = arml.MahalanobisKNN().fit(frame, Y)
    assert list(knn.feature_names_in_) == NAMES and knn.n_features_in_ == 3
    for call in (knn.predict, knn.kneighbors, lambda Z: knn.certify(Z, Y), lambda Z: knn.attack(Z, Y)):
        with pytest.raises(ValueError, match="feature names should match"):
            call(frame[["c", "b", "a"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        knn.predict(X)
    assert cross_val_score(arml.MahalanobisKNN(), frame, Y, cv=3).shape == (3,)


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (sp.csr_matrix(X + 1j), ValueError, r"is sparse \(csr_matrix\), which is not supported: pass a dense array"),
        (sp.csr_array((40, 10**12)), ValueError, r"sparse 40 × 1000000000000, made dense would take .* GiB of memory"),
        (SPARSE_FRAME, ValueError, r"sparse 2000000000 × 40, made dense would take .* GiB of memory"),
        (torch.tensor(X).to_sparse(), ValueError, "is sparse"),
        (X + 1j, ValueError, "Complex data not supported"),
        (X[:, :1].astype("datetime64[s]"), ValueError, "holds dates"),
        (np.ma.masked_array(X, X > 0.9), ValueError, "masked entries"),
        ([[1.0, 2.0], [3.0]], ValueError, "rows of one length"),
        ([["a"]] * 40, ValueError, "must be a numeric matrix"),
        (np.full((40, 1), {}), TypeError, "must be a numeric matrix"),
        (X[:, 0], ValueError, "Reshape your data"),
        (X[:, :0], ValueError, r"0 feature\(s\)"),
        (X[:0], ValueError, r"0 point\(s\)"),
        (pl.DataFrame({"a": [None, *X[1:, 0]], "b": Y, "c": Y}), ValueError, "got nan at row 0, column 0"),
        (pd.DataFrame({"a": Y, "b": Y, "c": [*Y[1:], None]}, dtype="Int64"), ValueError, "got nan at row 39, column 2"),
    ],
)
def test_bad_features_read_the_same_everywhere(features, error, message):
    for call in (
        lambda: arml.MahalanobisKNN().fit(features, Y),
        lambda: arml.Euclidean().fit(features, Y),
        lambda: NetworkClassifier().fit(features, Y),
        lambda: arml.certified_radii(features, Y, X, Y),
        lambda: arml.exact_radii(X, Y, features, Y),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (Y[:3], "has 3 labels for 40 points"),
        (np.c_[Y, Y], "must have one dimension, one label a point, got shape"),
        (X[:, 0], "Unknown label type"),
        (np.where(Y, 1.0, np.nan), r"y\w* contains NaN: \d+ missing label\(s\), the first at row"),
        (pd.Series([None, *Y[1:]], dtype="Int64"), r"1 missing label\(s\), the first at row 0"),
        (pl.Series([None, *TEXT[1:]]), r"has 1 missing label\(s\), the first at row 0"),
        (np.array([0, *TEXT[1:]], dtype=object), "labels of one kind"),
        (sp.csr_matrix(Y[:, None]), "is sparse"),
        (np.array([pd.NA, *TEXT[1:]], dtype=object), r"has 1 missing label\(s\), the first at row 0"),
        (np.array([t.encode() for t in TEXT]), "holds byte strings such as b'class"),
        (pd.cut(pd.Series(X[:, 0]), 2), "holds Interval such as"),
        (np.where(Y, 1.5, 0).astype(object), "Unknown label type"),
        (np.zeros(40, dtype=int), "at least two classes, got one class"),
    ],
)
def test_bad_labels_read_the_same_everywhere(labels, message):
    for call in (
        lambda: arml.MahalanobisKNN().fit(X, labels),
        lambda: arml.Euclidean().fit(X, labels),
        lambda: NetworkClassifier().fit(X, labels),
        lambda: arml.certified_radii(X, labels, X, Y),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_column_of_labels_is_taken_with_a_warning():
    with pytest.warns(DataConversionWarning):
        knn = arml.MahalanobisKNN().fit(X, pd.DataFrame({"label": Y}))
    assert list(knn.classes_) == [0, 1]


def test_the_last_column_of_a_table_of_objects_is_scored_and_searched():
    labels = pd.DataFrame({"x": X[:, 0], "name": "n", "kind": Y}).to_numpy()[:, -1]
    assert labels.dtype == object
    knn = arml.MahalanobisKNN(3).fit(X, labels)
    assert knn.score(X, labels) == arml.MahalanobisKNN(3).fit(X, Y).score(X, Y)
    assert np.isfinite(cross_val_score(arml.MahalanobisKNN(3), X, labels, cv=3)).all()
    search = GridSearchCV(arml.MahalanobisKNN(), {"n_neighbors": [1, 3]}, cv=3).fit(X, labels)
    assert np.isfinite(search.best_score_)
