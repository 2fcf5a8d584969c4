"""Exact 1-NN radii: closed forms, oracles, ties, statuses, refusals."""

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.certify import certified_radii
from arml.verify import exact_radii
from tests import oracles


def problem(seed, lattice=False, rank=None, metric=True):
    rng = np.random.default_rng(seed)
    D, N, C = int(rng.integers(1, 6)), int(rng.integers(6, 25)), int(rng.integers(2, 5))
    X = rng.integers(0, 3, (N, D)).astype(float) if lattice else rng.random((N, D))
    y = np.concatenate([np.arange(C), rng.integers(0, C, N - C)])
    G = rng.normal(size=(min(D, rank or D), D))
    M = G.T @ G if metric else np.eye(D)
    x = X[rng.integers(N)] + rng.normal(size=D) * rng.choice([0.0, 0.2])
    label = y[rng.integers(N)] if seed % 8 == 0 else oracles.predict_one(X, y, x, M, 1)
    return X, y, x, label, M


@pytest.mark.parametrize("lattice", [False, True])
@pytest.mark.parametrize("rank", [None, 1, 2])
def test_equals_one_quadratic_program_per_negative(lattice, rank):
    """2,400 problems in all."""
    positive = bounded = 0
    for seed in range(400):
        X, y, x, label, M = problem(seed, lattice, rank, metric=seed % 4 > 0)
        result = exact_radii(X, y, x[None], [label], M)
        expected = oracles.exact_one_nn(X, y, x, label, M)
        if result.status[0] == "misclassified":
            assert oracles.predict_one(X, y, x, M, 1) != label
            assert expected == pytest.approx(0.0, abs=1e-8)
            continue
        assert oracles.predict_one(X, y, x, M, 1) == label
        assert result.lower[0] <= expected * (1 + 1e-9) + 1e-9
        if result.status[0] == "bounded":
            # rank 1, and two points that it nearly maps to one: their half-space is mostly rounding
            assert result.upper[0] >= expected * (1 - 1e-7)
            bounded += 1
            continue
        assert result.status[0] == "exact"
        assert result.lower[0] == pytest.approx(expected, rel=1e-7, abs=1e-9)
        assert result.upper[0] == pytest.approx(expected, rel=1e-7, abs=1e-9)
        positive += expected > 1e-6
    assert positive > 200
    assert bounded <= 1


def test_two_points_in_the_plane():
    """The bisector of (0, 0) and (4, 0) is one unit away from (1, 0); M stretches nothing along it."""
    result = exact_radii([[0.0, 0.0], [4.0, 0.0]], [0, 1], [[1.0, 0.0]], [0], np.diag([1.0, 100.0]))
    assert result.lower[0] == pytest.approx(1.0, abs=1e-9)
    assert result.negative[0] == 1
    np.testing.assert_allclose(result.perturbation[0], [1.0, 0.0], atol=1e-8)


def test_the_perturbation_reaches_the_boundary_and_a_nudge_crosses_it():
    rng = np.random.default_rng(2)
    X, y, Z = rng.random((200, 4)), rng.integers(0, 3, 200), rng.random((60, 4))
    knn = MahalanobisKNN(1).fit(X, y)
    labels = knn.predict(Z)
    result = exact_radii(X, y, Z, labels)
    np.testing.assert_allclose(np.linalg.norm(result.perturbation, axis=1), result.upper, rtol=1e-12)
    inside = knn.predict(Z + result.perturbation * (1 - 1e-6))
    np.testing.assert_array_equal(inside, labels)
    inward = 1e-6 * (X[result.negative] - (Z + result.perturbation))
    crossed = knn.predict(Z + result.perturbation + inward)
    assert (crossed != labels).all()


def test_a_tie_has_radius_zero_though_the_prediction_is_right():
    result = exact_radii([[-1.0], [1.0]], [0, 1], [[0.0]], [0])
    assert (result.lower[0], result.upper[0], result.status[0]) == (0.0, 0.0, "exact")


def test_misclassified_points_have_radius_zero_and_no_negative():
    result = exact_radii([[0.0], [1.0]], ["a", "b"], [[0.1]], ["b"])
    assert result.status[0] == "misclassified"
    assert result.lower[0] == result.upper[0] == 0.0
    assert result.negative[0] == -1


@pytest.mark.parametrize("shard", [1, 5, 11, 64])
@pytest.mark.parametrize("width", [5, 16, 36, 60])
@pytest.mark.parametrize("learned", [False, True])
def test_a_point_does_not_depend_on_its_batch_to_the_last_bit(width, learned, shard):
    rng = np.random.default_rng(width)
    X, y, Z = rng.random((400, width)), rng.integers(0, 3, 400), rng.random((70, width))
    G = rng.normal(size=(width, width))
    M = G.T @ G if learned else None
    labels = MahalanobisKNN(1, M).fit(X, y).predict(Z)
    together = exact_radii(X, y, Z, labels, M)
    proved = certified_radii(X, y, Z, labels, M, 3)
    for start in range(0, 70, shard):
        part = slice(start, start + shard)
        alone = exact_radii(X, y, Z[part], labels[part], M)
        for name in ("lower", "upper", "negative", "perturbation"):
            np.testing.assert_array_equal(getattr(together, name)[part], getattr(alone, name))
        np.testing.assert_array_equal(proved[part], certified_radii(X, y, Z[part], labels[part], M, 3))


@pytest.mark.parametrize("limit", ["time_limit", "total_time_limit"])
def test_a_time_limit_gives_honest_intervals(limit):
    rng = np.random.default_rng(6)
    X, y, Z = rng.random((2000, 20)), rng.integers(0, 2, 2000), rng.random((30, 20))
    labels = MahalanobisKNN(1).fit(X, y).predict(Z)
    exact = exact_radii(X, y, Z, labels)
    hurried = exact_radii(X, y, Z, labels, **{limit: 1e-9})
    assert (hurried.n_problems <= 1).all()
    assert (hurried.lower <= exact.lower + 1e-9).all()
    assert (hurried.upper >= exact.upper - 1e-9).all()
    assert "bounded" in hurried.status
    assert np.isfinite(hurried.upper).all()


def test_radii_do_not_depend_on_the_scale_of_the_metric():
    X, y, x, label, M = problem(11)
    one = exact_radii(X, y, x[None], [label], M)
    scaled = exact_radii(X, y, x[None], [label], 1e6 * M)
    np.testing.assert_allclose(one.lower, scaled.lower, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(X_train=[[0.0], [np.nan]]), "X_train must be finite"),
        (dict(X=[[np.inf]]), "X must be finite"),
        (dict(y=[7]), "unseen in training"),
        (dict(y_train=[0, 0]), "at least two classes"),
        (dict(X=[[0.0, 1.0]]), "2 features, expected 1"),
        (dict(M=np.eye(3)), "3 features"),
        (dict(M=[[-1.0]]), "positive semi-definite"),
        (dict(y=[0, 1]), "2 labels for 1 points"),
        (dict(time_limit=-1.0), "must be positive"),
        (dict(time_limit=float("nan")), "must be positive"),
        (dict(total_time_limit=0.0), "must be positive"),
        (dict(norm=3), "norm must be 1, 2 or"),
        (dict(norm="2"), "norm must be 1, 2 or"),
        (dict(bounds=(1.0, 0.0)), "low < high"),
        (dict(bounds=(0.0, np.inf)), "finite with low < high"),
        (dict(bounds=0.5), "must be a pair"),
        (dict(X_train=[[0.0], [1e200]]), "rescale the features"),
        (dict(M=[[1e200]]), "rescale the metric"),
        (dict(X=[0.0]), "two dimensions"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    good = dict(X_train=[[0.0], [1.0]], y_train=[0, 1], X=[[0.2]], y=[0])
    with pytest.raises(ValueError, match=message):
        exact_radii(**{**good, **arguments})
