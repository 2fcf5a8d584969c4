"""The metric: eq. (1), factoring M, and what is refused."""

import copy
import tracemalloc

import numpy as np
import pytest

from arml.knn import mahalanobis
from arml.knn.mahalanobis import MahalanobisMetric, as_metric


def test_distances_equal_the_quadratic_form():
    rng = np.random.default_rng(0)
    G, X, Y = rng.normal(size=(2, 4)), rng.normal(size=(5, 4)), rng.normal(size=(3, 4))
    expected = [[(x - y) @ G.T @ G @ (x - y) for y in Y] for x in X]
    np.testing.assert_allclose(MahalanobisMetric(G).distances(X, Y), expected, rtol=1e-12)


@pytest.mark.parametrize("rank", [1, 2, 4])
def test_from_matrix_gives_back_the_matrix_with_as_many_rows_as_its_rank(rank):
    G = np.random.default_rng(1).normal(size=(rank, 4))
    metric = MahalanobisMetric.from_matrix(G.T @ G)
    assert metric.components.shape == (rank, 4)
    np.testing.assert_allclose(metric.matrix, G.T @ G, atol=1e-12)
    assert metric.sigma_max == pytest.approx(np.linalg.svd(G, compute_uv=False)[0])


def test_rounding_of_a_float32_training_run_is_clipped_not_refused():
    M = np.diag([1.0, 0.5, -1e-8])
    metric = MahalanobisMetric.from_matrix(M)
    assert metric.components.shape == (2, 3)
    assert np.linalg.eigvalsh(metric.matrix).min() >= 0.0


def test_zero_matrix_makes_everything_a_tie():
    metric = MahalanobisMetric.from_matrix(np.zeros((3, 3)))
    assert metric.distances(np.eye(3), np.eye(3)).max() == 0.0


@pytest.mark.parametrize(
    ("M", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (np.diag([1.0, -0.1]), "positive semi-definite"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
        (np.array([1.0, 2.0]), "two dimensions"),
    ],
)
def test_unusable_matrices_are_refused(M, message):
    with pytest.raises(ValueError, match=message):
        MahalanobisMetric.from_matrix(M)


def test_as_metric_reads_what_users_pass():
    class Learner:
        components_ = np.array([[2.0, 0.0]])

    class Foreign:
        def get_mahalanobis_matrix(self):
            return np.diag([4.0, 1.0])

    assert as_metric(None, 2).is_identity
    assert as_metric("euclidean", 2).is_identity
    np.testing.assert_allclose(as_metric(Learner(), 2).matrix, np.diag([4.0, 0.0]))
    np.testing.assert_allclose(as_metric(Foreign(), 2).matrix, np.diag([4.0, 1.0]))
    with pytest.raises(ValueError, match="metric is for 2 features, the data have 3"):
        as_metric(np.eye(2), 3)
    with pytest.raises(ValueError, match="unknown metric 'cosine'"):
        as_metric("cosine", 2)


@pytest.mark.parametrize("shape", [(1500, 1500), (1400, 1600), (1600, 1400)])
def test_the_bound_of_a_large_g_is_above_its_largest_singular_value_and_close(shape: tuple[int, int]) -> None:
    G = 1e150 * np.random.default_rng(0).normal(size=shape)
    exact = np.linalg.svd(G, compute_uv=False)[0]
    assert exact <= MahalanobisMetric(G).sigma_max <= exact * (1 + 1e-6)


def test_where_the_proof_fails_the_singular_values_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    G = np.random.default_rng(1).normal(size=(1500, 1500))
    monkeypatch.setattr(mahalanobis, "eigsh", lambda *args, **kwargs: np.array([1.0]))  # another eigenvalue
    assert MahalanobisMetric(G).sigma_max == np.linalg.norm(G, 2)
    assert MahalanobisMetric(np.zeros((1500, 1500))).sigma_max == 0.0


def test_the_euclidean_metric_of_many_features_holds_no_matrix() -> None:
    tracemalloc.start()
    metric = MahalanobisMetric.euclidean(100_000)
    X = np.zeros((3, 100_000))
    assert metric.is_identity and (metric.rank, metric.n_features) == (100_000, 100_000)
    assert metric.transform(X).shape == X.shape and "rank 100000 of 100000" in repr(metric)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    small = MahalanobisMetric.euclidean(3)
    assert np.array_equal(small.components, np.eye(3)) and not small.components.flags.writeable
    again = copy.deepcopy(small)
    assert again.is_identity and np.array_equal(again.components, np.eye(3))
    with pytest.raises(ValueError, match="n_features must be at least 1"):
        MahalanobisMetric.euclidean(0)
