"""The geometric attack: verified, reproducible, any-time, exact for K = 1, and honest about ties and boxes."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from arml import MahalanobisKNN, MahalanobisMetric
from arml.attacks import boundary_attack, geometric_attack
from arml.verify import exact_radii
from tests import oracles
from tests.unit.test_attacks_boundary import blobs, same, take


@pytest.fixture(scope="module")
def metric() -> MahalanobisMetric:
    return MahalanobisMetric(np.random.default_rng(5).standard_normal((4, 5)))


@pytest.mark.parametrize("k", [1, 2, 3, 4, 11])
def test_every_point_found_is_misclassified_and_its_norm_is_the_way_to_it(metric: MahalanobisMetric, k: int) -> None:
    train, train_y, X, y = blobs(n_test=24)
    for M in (None, metric):
        result = geometric_attack(train, train_y, X, y, M, k, programs=40)
        found = result.status == "bounded"
        assert found.sum() >= 8 and not (result.status == "unsolved").any()
        assert (MahalanobisKNN(k, M).fit(train, train_y).predict(result.adversarial[found]) != y[found]).all()
        np.testing.assert_array_equal(result.norm[found], np.sqrt(np.square(result.adversarial - X).sum(axis=1))[found])
        assert (result.norm[result.status == "misclassified"] == 0).all()


def test_it_is_exact_for_one_neighbour(metric: MahalanobisMetric) -> None:
    train, train_y, X, y = blobs(n_test=40)
    for M in (None, metric):
        for bounds in (None, (0.0, 1.0)):
            exact = exact_radii(train, train_y, X, y, M, bounds=bounds)
            result = geometric_attack(train, train_y, X, y, M, 1, bounds=bounds)
            np.testing.assert_allclose(result.norm, exact.upper, rtol=1e-6)
            assert (result.norm >= exact.lower).all()


def test_it_is_no_farther_than_a_long_boundary_attack(metric: MahalanobisMetric) -> None:
    train, train_y, X, y = blobs(n_test=30)
    for k in (3, 8):
        ours = geometric_attack(train, train_y, X, y, metric, k)
        theirs = boundary_attack(train, train_y, X, y, metric, k, steps=5000, bounds=None)
        assert (ours.norm <= theirs.norm * (1 + 1e-9)).mean() >= 0.95
        assert (ours.norm < theirs.norm * 0.99).mean() >= 0.3


def test_more_programs_never_lengthen_the_way_and_the_first_few_find_one() -> None:
    train, train_y, X, y = blobs(n_test=25)
    norms = [geometric_attack(train, train_y, X, y, n_neighbors=7, programs=n).norm for n in (3, 10, 40, 160)]
    assert np.isfinite(norms[1]).all()
    assert (np.diff(norms, axis=0) <= 0).all() and (norms[-1] < norms[0]).any()


def test_result_does_not_depend_on_company_or_order(metric: MahalanobisMetric) -> None:
    train, train_y, X, y = blobs()
    options: dict[str, Any] = {"M": metric, "n_neighbors": 5, "programs": 60, "seeds": 7}
    whole = geometric_attack(train, train_y, X, y, **options)
    order = np.array([7, 2, 5])
    assert same(take(whole, order), geometric_attack(train, train_y, X[order], y[order], indices=order, **options))
    assert same(whole, geometric_attack(train, train_y, X, y, **options))


def test_only_restarts_draw() -> None:
    train, train_y, X, y = blobs(n_test=25, n_features=8)
    options: dict[str, Any] = {"n_neighbors": 11, "programs": 400}
    first = geometric_attack(train, train_y, X, y, seeds=1, **options)
    second = geometric_attack(train, train_y, X, y, seeds=2, **options)
    assert (np.abs(first.norm - second.norm) <= 0.05 * first.norm).all()
    few = [geometric_attack(train, train_y, X, y, n_neighbors=11, programs=5, seeds=s) for s in (1, 2)]
    assert same(*few)


def test_time_is_kept() -> None:
    train, train_y, X, y = blobs(n_train=400, n_test=4, n_features=20)
    begun = time.perf_counter()
    result = geometric_attack(train, train_y, X, y, n_neighbors=11, programs=100_000, time_limit=0.2)
    assert time.perf_counter() - begun < 4 * 0.2 + 3.0
    assert np.isfinite(result.norm).all()


def test_box_keeps_the_way_inside_and_is_widened_for_a_point_outside() -> None:
    train, train_y, X, y = blobs(n_test=25)
    X = X.copy()
    X[0, 0] = -0.1
    free = geometric_attack(train, train_y, X, y, n_neighbors=5)
    tight = (float(train.min()) + 0.25, float(train.max()) - 0.25)
    boxed = geometric_attack(train, train_y, X, y, n_neighbors=5, bounds=tight)
    low, high = np.minimum(X, tight[0]), np.maximum(X, tight[1])
    found = boxed.status == "bounded"
    assert found.sum() >= 15 and ((boxed.adversarial >= low) & (boxed.adversarial <= high))[found].all()
    assert (boxed.norm >= free.norm * 0.999).mean() >= 0.9 and (boxed.norm > free.norm * 1.001).any()
    assert (boxed.out_of_bounds == ((tight[0] > X) | (tight[1] < X)).any(axis=1)).all()


def test_box_that_no_attack_fits_into_leaves_the_point_unsolved() -> None:
    train = np.array([[0.2, 0.5], [0.3, 0.5], [2.4, 0.5], [2.5, 0.5]])
    options: dict[str, Any] = {"n_neighbors": 1}
    for k in (1, 2):
        options["n_neighbors"] = k
        blocked = geometric_attack(train, [0, 0, 1, 1], [[0.4, 0.5]], [0], bounds=(0.0, 1.0), **options)
        assert blocked.status.tolist() == ["unsolved"] and np.isinf(blocked.norm[0])
        assert np.isnan(blocked.adversarial).all()
        assert geometric_attack(train, [0, 0, 1, 1], [[0.4, 0.5]], [0], **options).status[0] == "bounded"


def test_class_that_cannot_lose_is_unsolved() -> None:
    # K = N: always five votes against two
    train = np.linspace(0.0, 1.0, 7)[:, None] @ np.ones((1, 2))
    result = geometric_attack(train, list("aaaaabb"), [[0.1, 0.2], [0.9, 0.9]], ["a", "b"], n_neighbors=7)
    assert result.status.tolist() == ["unsolved", "misclassified"]
    assert result.norm.tolist() == [np.inf, 0.0]


def test_a_tie_that_cannot_be_crossed_is_not_counted() -> None:
    """Twins of two classes are equally far from everywhere: the classifier takes the smaller label, and so it stays."""
    train = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert geometric_attack(train[1:], [0, 1], [[0.4, 0.0]], [0], n_neighbors=1).status[0] == "unsolved"
    # with a third point behind them there is a way, and it ends beyond the tie at 0.5
    found = geometric_attack(train, [0, 1, 1], [[0.2, 0.0]], [0], n_neighbors=1)
    assert 0.3 < found.norm[0] < 0.3 + 1e-6


def test_the_rival_may_be_any_class_and_third_classes_get_in_its_way() -> None:
    """On a line, K = 3: class 1 needs two votes, or one while 0 and 2 have one each."""
    train, labels = np.array([[0.0], [0.2], [2.0], [3.0], [3.1], [-4.0], [-4.1], [-4.2]]), [0, 0, 2, 1, 1, 2, 2, 2]
    expected = oracles.exact_knn(train, labels, np.array([0.3]), 0, np.eye(1), 3)
    found = geometric_attack(train, labels, [[0.3]], [0], n_neighbors=3)
    assert found.norm[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X_train": [[np.nan, 0.0], [1.0, 1.0]]}, "finite"),
        ({"X": [[0.1]]}, "features"),
        ({"y": [9]}, "unseen"),
        ({"y_train": [0, 0]}, "two classes"),
        ({"n_neighbors": 3}, "larger than the training set"),
        ({"M": -np.eye(2)}, "semi-definite"),
        ({"programs": 0}, "programs must be a whole number of at least 1, got 0"),
        ({"programs": 2.5}, "programs"),
        ({"time_limit": 0}, "time_limit must be positive or None, got 0"),
        ({"seeds": -1}, "seeds"),
        ({"indices": [0, 1]}, "indices"),
        ({"bounds": (1.0, 0.0)}, "bounds"),
    ],
)
def test_bad_input_raises_before_any_work(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "X_train": [[0.0, 0.0], [1.0, 1.0]], "y_train": [0, 1], "X": [[0.1, 0.2]], "y": [0], "n_neighbors": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        geometric_attack(**(arguments | change))
