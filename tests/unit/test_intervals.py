"""Intervals of K-NN radii: any-time, the same whatever comes with them, and with a point behind every upper end."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from arml import MahalanobisKNN, MahalanobisMetric
from arml.attacks import geometric_attack
from arml.certify import certified_radii
from arml.intervals import IntervalResult, radius_intervals
from arml.verify import exact_radii
from tests.unit.test_attacks_boundary import blobs


def same(left: IntervalResult, right: IntervalResult) -> bool:
    names = ("lower", "upper", "status", "n_nodes")
    return all(np.array_equal(getattr(left, name), getattr(right, name)) for name in names)


@pytest.fixture(scope="module")
def metric() -> MahalanobisMetric:
    return MahalanobisMetric(np.random.default_rng(5).standard_normal((4, 5)))


@pytest.mark.parametrize("k", [2, 3, 5, 8, 11])
def test_upper_ends_are_real_attacks_and_lower_ends_no_looser_than_any_certificate(
    metric: MahalanobisMetric, k: int
) -> None:
    train, train_y, X, y = blobs(n_test=20)
    for M in (None, metric):
        found = radius_intervals(train, train_y, X, y, M, k, programs=40, nodes=300)
        right = found.status != "misclassified"
        assert right.sum() >= 6 and (found.lower <= found.upper).all()
        assert (found.lower[~right] == 0).all() and (found.upper[~right] == 0).all()
        knn = MahalanobisKNN(k, M).fit(train, train_y)
        assert (knn.predict(found.adversarial[right]) != y[right]).all()
        way = np.linalg.norm(found.adversarial - X, axis=1)
        np.testing.assert_allclose(found.upper, way, rtol=1e-12, atol=1e-12)
        assert (found.lower >= certified_radii(train, train_y, X, y, M, k, "packing") * (1 - 1e-12)).all()
        assert (found.upper <= geometric_attack(train, train_y, X, y, M, k, programs=40).norm).all()


def test_more_nodes_never_loosen_and_in_the_end_close_every_interval() -> None:
    train, train_y, X, y = blobs(n_test=25, n_classes=2)
    results = [
        radius_intervals(train, train_y, X, y, n_neighbors=5, programs=40, nodes=n) for n in (0, 20, 200, 20_000)
    ]
    for before, after in pairwise(results):
        assert (after.lower >= before.lower).all() and (after.upper <= before.upper).all()
    assert (results[-1].lower > results[0].lower).any()
    right = results[-1].status != "misclassified"
    assert (results[-1].status[right] == "exact").all()
    assert (results[0].n_nodes == 0).all() and (results[1].n_nodes <= 20).all()


def test_one_neighbour_is_exact() -> None:
    train, train_y, X, y = blobs(n_test=25)
    found, exact = radius_intervals(train, train_y, X, y, n_neighbors=1), exact_radii(train, train_y, X, y)
    np.testing.assert_allclose(found.lower, exact.lower)
    np.testing.assert_allclose(found.upper, exact.upper, rtol=1e-6)
    assert set(found.status) <= {"exact", "misclassified"}


def test_result_does_not_depend_on_company_or_order() -> None:
    train, train_y, X, y = blobs()
    options: dict[str, Any] = {"n_neighbors": 5, "programs": 30, "nodes": 100, "seeds": 3}
    whole = radius_intervals(train, train_y, X, y, **options)
    order = np.array([7, 2, 5])
    part = radius_intervals(train, train_y, X[order], y[order], indices=order, **options)
    for name in ("lower", "upper", "status", "n_nodes"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[order])
    assert same(whole, radius_intervals(train, train_y, X, y, **options))


def test_time_is_kept_and_what_was_found_counts() -> None:
    train, train_y, X, y = blobs(n_train=400, n_test=4, n_features=20)
    begun = time.perf_counter()
    found = radius_intervals(train, train_y, X, y, programs=100_000, nodes=10_000_000, time_limit=0.2)
    assert time.perf_counter() - begun < 4 * 0.4 + 4.0
    assert np.isfinite(found.upper).all() and (found.lower[found.status != "misclassified"] > 0).all()


def test_class_that_cannot_lose_is_proved_far_out_and_never_broken() -> None:
    train = np.linspace(0.0, 1.0, 7)[:, None] @ np.ones((1, 2))
    found = radius_intervals(train, list("aaaaabb"), [[0.1, 0.2], [0.9, 0.9]], ["a", "b"], n_neighbors=7)
    assert np.isinf(found.upper[0]) and found.lower[0] > 10 and np.isnan(found.adversarial[0]).all()
    assert found.status.tolist() == ["bounded", "misclassified"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": [[0.1, np.inf]]}, "finite"),
        ({"y": [9]}, "unseen"),
        ({"n_neighbors": 3}, "larger than the training set"),
        ({"programs": 0}, "programs must be a whole number of at least 1"),
        ({"nodes": -1}, "nodes must be a whole number of at least 0, got -1"),
        ({"nodes": 1.5}, "nodes"),
        ({"time_limit": -1}, "time_limit must be positive or None"),
        ({"seeds": [1, 2]}, "seeds"),
    ],
)
def test_bad_input_raises_before_any_work(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "X_train": [[0.0, 0.0], [1.0, 1.0]], "y_train": [0, 1], "X": [[0.1, 0.2]], "y": [0], "n_neighbors": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        radius_intervals(**(arguments | change))
