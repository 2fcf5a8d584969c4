"""Fewer points than features: what is learned and kept in the span of the points, against dense D × D metrics."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arml import MahalanobisKNN, boundary_attack, certified_radii, exact_radii, geometric_attack, radius_intervals
from arml.knn.mahalanobis import as_metric
from arml.learners import Euclidean, load_learner, make_learner
from arml.learners.span import identity_beyond, into_span
from arml.results import read_metric
from arml.results.metrics import read_mahalanobis
from arml.results.parquet import write_identity
from tests.oracles import exact_knn, exact_one_nn, predict_one, theorem1

N, D = 12, 60
OPTIONS = {"nca": {"max_iter": 4}, "lmnn": {"max_iter": 60, "learn_rate": 1e-3}, "itml": {"max_iter": 50}, "lfda": {}}


def problem(seed=0, n=N, width=D, classes=2):
    """Training points, and test points that lie nowhere near their span."""
    rng = np.random.default_rng(seed)
    X, y = rng.random((n, width)), np.arange(n) % classes
    X[:, :4] += 0.5 * y[:, None]
    test = X[:4] + 0.15 * rng.normal(size=(4, width))
    return X, y, test, y[:4]


def dense(metric, X, beyond):
    """The D × D matrix of the same metric in the span, and of `beyond` times the identity beyond it."""
    G, B = as_metric(metric, X.shape[1]).components, into_span(X)[1]
    return G.T @ G + beyond * (np.eye(X.shape[1]) - B.T @ B)


def assert_same(X, y, test, labels, G, M):
    """Everything that is predicted, proved and found, under a G of few rows and a dense M; and by brute force."""
    for k in (1, 3):
        few = MahalanobisKNN(k, components=G).fit(X, y).predict(test)
        assert list(few) == [predict_one(X, y, x, M, k) for x in test]
    for norm in (2, 1, np.inf):
        exact = exact_radii(X, y, test, labels, as_metric(as_few(G), X.shape[1]), norm=norm)
        brute = [exact_one_nn(X, y, x, c, M, norm) for x, c in zip(test, labels, strict=True)]
        np.testing.assert_allclose(exact.lower, brute, rtol=2e-5, atol=1e-7)
        bound = certified_radii(X, y, test, labels, as_few(G), n_neighbors=3, norm=norm)
        np.testing.assert_allclose(
            bound, [max(0.0, theorem1(X, y, x, c, M, 3, norm)) for x, c in zip(test, labels, strict=True)], atol=1e-7
        )
    boxed = exact_radii(X, y, test, labels, as_few(G), bounds=(-2.0, 3.0))
    whole = exact_radii(X, y, test, labels, M, bounds=(-2.0, 3.0))
    np.testing.assert_allclose(boxed.lower, whole.lower, rtol=2e-5, atol=1e-7)


def as_few(G):
    class Fitted:
        components_ = G

    return Fitted()


@settings(max_examples=8)
@given(seed=st.integers(0, 2**20), beyond=st.sampled_from([0.0, 0.3, 1.0, 40.0]), rank=st.sampled_from([2, 6, N - 1]))
def test_what_lies_beyond_the_span_decides_nothing(seed, beyond, rank):
    X, y, test, labels = problem(seed)
    basis = into_span(X)[1]
    G = np.random.default_rng(seed).normal(size=(rank, N - 1)) @ basis
    assert_same(X, y, test, labels, G, G.T @ G + beyond * (np.eye(D) - basis.T @ basis))


@pytest.mark.parametrize("method", OPTIONS)
def test_a_fit_in_the_span_predicts_and_proves_what_the_fit_of_all_features_does(method, monkeypatch):
    X, y, test, labels = problem(1)
    few = make_learner(method, **OPTIONS[method]).fit(X, y)
    assert few.components_.shape[0] <= N - 1 and few.get_mahalanobis_matrix().shape == (D, D)
    assert "kept in the 11 dimensions that the points span" in few.fit_summary_["notes"][0]
    monkeypatch.setattr(type(few), "_stays_in_span", lambda self: False)
    whole = make_learner(method, **OPTIONS[method]).fit(X, y)
    M, basis = whole.get_mahalanobis_matrix(), into_span(X)[1]
    inside = basis @ few.get_mahalanobis_matrix() @ basis.T
    wanted = basis @ M @ basis.T
    ridge = method == "lfda"  # as small as can be: what it gives hangs on rounding
    np.testing.assert_allclose(inside / np.trace(inside), wanted / np.trace(wanted), atol=1e-5 if ridge else 1e-8)
    assert_same(X, y, test, labels, few.components_, dense(few, X, 1.0) if ridge else M)


@pytest.mark.parametrize(
    ("method", "params"),
    [("nca", {"init": "lda"}), ("nca", {"init": "random"}), ("nca", {"init": "identity"}), ("lmnn", {"init": "pca"})],
)
def test_a_start_of_few_rows_keeps_what_it_has_beyond_the_span(method, params, monkeypatch):
    X, y, *_ = problem(2, classes=3)
    params = {**OPTIONS[method], **params, "n_components": 2}
    few = make_learner(method, **params).fit(X, y)
    assert few.components_.shape == (2, D) and "dimensions that the points span" in few.fit_summary_["notes"][0]
    monkeypatch.setattr(type(few), "_stays_in_span", lambda self: False)
    whole = make_learner(method, **params).fit(X, y)
    np.testing.assert_allclose(few.get_mahalanobis_matrix(), whole.get_mahalanobis_matrix(), atol=1e-7)


@pytest.mark.parametrize("method", ["nca", "lmnn", "itml", "lfda"])
def test_a_subset_is_fitted_in_its_own_span_and_all_points_keep_theirs(method, monkeypatch):
    X, y, test, labels = problem(3, n=16)
    params = {**OPTIONS[method], "max_train": 10}
    few = make_learner(method, **params).fit(X, y)
    assert few.n_fit_samples_ == 10
    monkeypatch.setattr(type(few), "_stays_in_span", lambda self: False)
    M = make_learner(method, **params).fit(X, y).get_mahalanobis_matrix()
    for k in (1, 3):
        found = certified_radii(X, y, test, labels, few, n_neighbors=k)
        np.testing.assert_allclose(found, certified_radii(X, y, test, labels, M, n_neighbors=k), rtol=1e-4, atol=1e-6)


def test_attacks_and_intervals_hold_across_the_two_forms():
    X, y, test, labels = problem(4)
    learner = make_learner("itml", max_iter=20).fit(X, y)
    M = dense(learner, X, 1.0)
    proved = radius_intervals(X, y, test, labels, M, n_neighbors=3)
    found = radius_intervals(X, y, test, labels, learner, n_neighbors=3)
    brute = [exact_knn(X, y, x, c, M, 3) for x, c in zip(test, labels, strict=True)]
    np.testing.assert_allclose(found.lower, brute, rtol=1e-5, atol=1e-7)
    assert (proved.lower <= found.upper * (1 + 1e-7)).all() and (found.lower <= proved.upper * (1 + 1e-7)).all()
    for attack, options in ((geometric_attack, {}), (boundary_attack, {"steps": 50})):
        broken = attack(X, y, test, labels, learner, n_neighbors=3, **options)
        assert np.isfinite(broken.norm).all() and (broken.norm >= np.array(brute) * (1 - 1e-6)).all()
        beyond = test + 1.0001 * (broken.adversarial - test)
        assert all(predict_one(X, y, z, M, 3) != c for z, c in zip(beyond, labels, strict=True))


@pytest.mark.parametrize(
    "params", [{}, {"n_components": 3}, {"early_stopping": True, "validation_fraction": 0.2}, {"objective": "order"}]
)
def test_arml_is_learned_in_the_span_whatever_the_order_of_the_rows(params):
    X, y, *_ = problem(5, n=40, width=80)
    learner = make_learner("arml", max_iter=150, learning_rate=0.01, **params).fit(X, y)
    again = make_learner("arml", max_iter=150, learning_rate=0.01, **params).fit(X[::-1], y[::-1])
    assert learner.components_.shape == (params.get("n_components", 39), 80)
    assert learner.components_.tobytes() == again.components_.tobytes()
    basis = into_span(X)[1]
    np.testing.assert_allclose(learner.components_ @ basis.T @ basis, learner.components_, atol=1e-12)
    fresh, labels, *_ = problem(55, n=100, width=80)
    radii, euclidean = (certified_radii(X, y, fresh, labels, M, n_neighbors=1) for M in (learner, None))
    assert np.mean(radii) > 1.2 * np.mean(euclidean)


def test_arml_goes_on_from_its_last_fit_in_the_span():
    X, y, *_ = problem(6)
    learner = make_learner("arml", max_iter=50, warm_start=True).fit(X, y)
    before = learner.get_mahalanobis_matrix()
    learner.set_params(max_iter=1, learning_rate=1e-9).fit(X, y)
    np.testing.assert_allclose(learner.get_mahalanobis_matrix(), before, atol=1e-5)


def test_arml_keeps_a_start_that_has_a_part_beyond_the_span():
    X, y, *_ = problem(7)
    for params in ({"init": np.eye(3, D)}, {"init": "identity", "n_components": 3}):
        learner = make_learner("arml", max_iter=1, learning_rate=1e-9, **params).fit(X, y)
        np.testing.assert_allclose(learner.components_, np.eye(3, D), atol=1e-6)


def test_the_identity_beyond_a_span():
    basis, G = np.eye(2, 4), np.diag([3.0, 5.0])
    np.testing.assert_array_equal(identity_beyond(G, basis), np.diag([3.0, 5.0, 1.0, 1.0]))


@pytest.mark.parametrize("method", ["euclidean", *OPTIONS, "arml"])
def test_no_matrix_of_all_features_is_made_from_fit_to_verification(method, tmp_path):
    X, y, test, labels = problem(8, n=20, width=4000)  # D × D is 122 MiB
    params = {"max_iter": 2} if method not in ("euclidean", "lfda", "lmnn") else {}
    make_learner(method, **params).fit(X[:, :5], y)  # imports
    tracemalloc.start()
    try:
        learner = make_learner(method, **params).fit(X, y)
        learner.save(tmp_path / "m.npz")
        loaded = load_learner(tmp_path / "m.npz")
        assert loaded.transform(test).tobytes() == learner.transform(test).tobytes()
        assert (exact_radii(X, y, test, labels, loaded).lower > 0).any()
        assert certified_radii(X, y, test, labels, loaded, n_neighbors=3).shape == (4,)
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()


def test_the_euclidean_metric_is_a_few_bytes_in_files_of_both_kinds(tmp_path):
    X, y, test, _ = problem(9)
    learner = Euclidean().fit(X, y)
    learner.save(tmp_path / "m.npz")
    write_identity(tmp_path / "m.parquet", D, {"method": "euclidean"})
    assert (tmp_path / "m.npz").stat().st_size < 2000 and (tmp_path / "m.parquet").stat().st_size < 2000
    metric, facts = read_mahalanobis(tmp_path / "m.parquet")
    assert metric.is_identity and metric.n_features == D and facts == {"method": "euclidean"}
    np.testing.assert_array_equal(read_metric(tmp_path / "m.parquet")[0], np.eye(D))
    loaded = load_learner(tmp_path / "m.npz")
    assert as_metric(loaded, D).is_identity and np.array_equal(loaded.components_, np.eye(D))
    assert np.array_equal(loaded.transform(test), test) and loaded.fit_summary_["rank"] == D
    assert list(loaded.get_feature_names_out())[-1] == "euclidean59"


def test_an_older_file_of_the_euclidean_metric_is_read(tmp_path):
    """Format 1 holds the matrix, for every method."""
    from arml.learners.persistence import StoredLearner, write_learner

    X, y, *_ = problem()
    learner = Euclidean().fit(X, y)
    facts = {"n_iter_": 0, "converged_": None, "n_fit_samples_": N, "fit_summary_": {}, "n_features_in_": D}
    arrays = {"components_": np.eye(D), "classes_": learner.classes_}
    write_learner(tmp_path / "old.npz", StoredLearner("euclidean", learner.get_params(), facts, arrays))
    assert as_metric(load_learner(tmp_path / "old.npz"), D).is_identity
