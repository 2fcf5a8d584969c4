"""The Boundary Attack: reproducible a point, verified by the classifier, and no point lost."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from arml import MahalanobisKNN, MahalanobisMetric
from arml.attacks import AttackResult, boundary_attack
from arml.attacks.forward import PlainForward
from arml.attacks.result import verified
from arml.knn.neighbors import Predictor
from arml.knn.reference import reference_set


def blobs(n_train: int = 90, n_test: int = 12, n_features: int = 5, n_classes: int = 3, seed: int = 0) -> Any:
    """Overlapping blobs in the unit box: training points, labels, test points, labels (10, 20, …)."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(0.3, 0.7, (n_classes, n_features))
    labels = rng.integers(n_classes, size=n_train + n_test)
    points = np.clip(centers[labels] + 0.12 * rng.standard_normal((labels.size, n_features)), 0.0, 1.0)
    names = 10 * (labels + 1)
    return points[:n_train], names[:n_train], points[n_train:], names[n_train:]


def same(left: AttackResult, right: AttackResult) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name), equal_nan=name in ("norm", "adversarial"))
        for name in ("norm", "adversarial", "status", "out_of_bounds")
    )


def take(result: AttackResult, rows: Any) -> AttackResult:
    return AttackResult(result.norm[rows], result.adversarial[rows], result.status[rows], result.out_of_bounds[rows])


@pytest.fixture(scope="module")
def metric() -> MahalanobisMetric:
    return MahalanobisMetric(np.random.default_rng(5).standard_normal((4, 5)))


@pytest.mark.parametrize("init", ["noise", "nearest"])
def test_result_does_not_depend_on_batch_order_or_company(metric: MahalanobisMetric, init: str) -> None:
    train, train_y, X, y = blobs()
    options: dict[str, Any] = {"M": metric, "n_neighbors": 5, "steps": 300, "seeds": 7, "init": init}
    whole = boundary_attack(train, train_y, X, y, **options)
    assert (whole.status == "bounded").any()
    for batch_size in (1, 2, 5):
        assert same(whole, boundary_attack(train, train_y, X, y, batch_size=batch_size, **options))
    order = np.random.default_rng(1).permutation(len(X))[:7]
    assert same(take(whole, order), boundary_attack(train, train_y, X[order], y[order], indices=order, **options))


def test_converged_points_stay_where_they_are_while_others_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    # a looser threshold: some points have converged after 700 steps, others have not
    monkeypatch.setattr("arml.attacks.boundary.CONVERGED_BELOW", 1e-3)
    monkeypatch.setattr("arml.attacks.proposals.CONVERGED_BELOW", 1e-3)
    train, train_y, X, y = blobs(n_train=30, n_test=5, n_features=2, n_classes=2, seed=3)
    whole = boundary_attack(train, train_y, X, y, n_neighbors=3, steps=1600)
    assert same(whole, boundary_attack(train, train_y, X, y, n_neighbors=3, steps=1600, batch_size=1))
    moved = boundary_attack(train, train_y, X, y, n_neighbors=3, steps=700).norm != whole.norm
    assert moved.any() and not moved.all()


def test_result_does_not_depend_on_threads(metric: MahalanobisMetric) -> None:
    train, train_y, X, y = blobs()

    def attack(rows: slice) -> AttackResult:
        return boundary_attack(train, train_y, X[rows], y[rows], metric, 5, steps=200, indices=np.arange(len(X))[rows])

    whole = attack(slice(None))
    shards = [slice(begin, begin + 4) for begin in range(0, len(X), 4)]
    with ThreadPoolExecutor(3) as pool:
        for rows, shard in zip(shards, pool.map(attack, shards)):
            assert same(take(whole, rows), shard)


def test_pruned_and_plain_forward_take_the_same_path(
    metric: MahalanobisMetric, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, train_y, X, y = blobs(n_train=400)
    pruned = [boundary_attack(train, train_y, X, y, M, steps=400) for M in (None, metric)]
    monkeypatch.setattr("arml.attacks.decision.PrunedForward", PlainForward)
    for M, result in zip((None, metric), pruned):
        assert same(result, boundary_attack(train, train_y, X, y, M, steps=400))


def test_seeds_change_results_and_repeat_them() -> None:
    train, train_y, X, y = blobs()
    first = boundary_attack(train, train_y, X, y, steps=50, seeds=1)
    assert same(first, boundary_attack(train, train_y, X, y, steps=50, seeds=1))
    found = first.status == "bounded"
    second = boundary_attack(train, train_y, X, y, steps=50, seeds=2)
    assert (first.norm[found] != second.norm[found]).all()
    each = np.arange(len(X)) + 100
    by_point = boundary_attack(train, train_y, X, y, steps=50, seeds=each)
    reverse = boundary_attack(train, train_y, X[::-1], y[::-1], steps=50, seeds=each[::-1])
    assert same(by_point, take(reverse, slice(None, None, -1)))


def test_global_random_state_is_untouched() -> None:
    import torch

    train, train_y, X, y = blobs()
    before = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    boundary_attack(train, train_y, X, y, steps=30)
    after = np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002
    assert before == after


def test_found_points_are_misclassified_by_the_float64_predictor(metric: MahalanobisMetric) -> None:
    train, train_y, X, y = blobs()
    for k in (1, 4, 11):
        knn = MahalanobisKNN(k, metric).fit(train, train_y)
        result = boundary_attack(train, train_y, X, y, metric, k, steps=300)
        found = np.isfinite(result.norm)
        assert found.any() and (knn.predict(result.adversarial[found]) != y[found]).all()
        np.testing.assert_array_equal(result.norm[found], np.sqrt(np.square(result.adversarial - X).sum(axis=1))[found])
        assert ((result.adversarial[found] >= 0) & (result.adversarial[found] <= 1)).all()


def test_more_steps_come_closer() -> None:
    train, train_y, X, y = blobs()
    norms = [boundary_attack(train, train_y, X, y, steps=steps).norm for steps in (0, 300, 1500)]
    assert (norms[1] <= norms[0]).all() and (norms[2] <= norms[1]).all()
    assert np.median(norms[2]) < 0.8 * np.median(norms[0])


def test_misclassified_points_have_norm_zero_and_stay_as_they_are() -> None:
    train, train_y, X, _ = blobs()
    predicted = MahalanobisKNN(3).fit(train, train_y).predict(X)
    wrong = np.where(np.arange(len(X)) % 2 == 0, np.where(predicted == 10, 20, 10), predicted)
    result = boundary_attack(train, train_y, X, wrong, n_neighbors=3, steps=20)
    assert (result.status[::2] == "misclassified").all() and (result.norm[::2] == 0).all()
    np.testing.assert_array_equal(result.adversarial[::2], X[::2])
    assert (result.status[1::2] == "bounded").all() and (result.norm[1::2] > 0).all()


def test_point_without_any_start_is_unsolved_and_costs_no_other_its_result() -> None:
    # K = N: the vote is always 5 to 2, so nothing can be misclassified from class "a", everything is from "b"
    train = np.linspace(0.0, 1.0, 7)[:, None] @ np.ones((1, 2))
    result = boundary_attack(train, list("aaaaabb"), [[0.1, 0.2], [0.9, 0.9]], ["a", "b"], n_neighbors=7, steps=10)
    assert result.status.tolist() == ["unsolved", "misclassified"]
    assert result.norm.tolist() == [np.inf, 0.0]
    assert np.isnan(result.adversarial[0]).all()


def test_start_falls_back_to_a_training_point_where_noise_never_fools() -> None:
    # the other class is a needle that uniform noise in 8 dimensions does not hit
    rng = np.random.default_rng(0)
    train = np.vstack([rng.uniform(size=(300, 8)), np.full((1, 8), 0.999)])
    labels = np.r_[np.zeros(300, dtype=int), 1]
    result = boundary_attack(train, labels, np.full((2, 8), 0.2), [0, 0], n_neighbors=1, steps=200)
    assert (result.status == "bounded").all()
    assert (result.norm < np.sqrt(8) * 0.8).all()


def test_points_outside_the_bounds_are_attacked_and_measured_from_where_they_are() -> None:
    train, train_y, X, y = blobs()
    X = X.copy()
    X[0, 0], X[1, 2] = -0.1, 1.2
    result = boundary_attack(train, train_y, X, y, n_neighbors=3, steps=300)
    assert result.out_of_bounds.tolist() == [True, True] + [False] * (len(X) - 2)
    found = result.status == "bounded"
    assert found[:2].any()
    np.testing.assert_allclose(result.norm[found], np.linalg.norm(result.adversarial - X, axis=1)[found])
    low, high = np.minimum(X, 0.0), np.maximum(X, 1.0)
    assert ((result.adversarial >= low) & (result.adversarial <= high))[found].all()
    inside = boundary_attack(train, train_y, X[2:], y[2:], n_neighbors=3, steps=300, indices=np.arange(2, len(X)))
    assert same(take(result, slice(2, None)), inside)


def test_training_points_outside_the_bounds_do_not_lead_outside() -> None:
    train = np.array([[0.2, 0.5], [0.3, 0.5], [1.4, 0.5], [1.5, 0.5]])
    options: dict[str, Any] = {"n_neighbors": 1, "steps": 2000, "init": "nearest"}
    result = boundary_attack(train, [0, 0, 1, 1], [[0.4, 0.5]], [0], **options)
    assert result.status[0] == "bounded" and result.adversarial[0, 0] <= 1.0
    assert 0.45 <= result.norm[0] < 0.46  # the boundary is at 0.85
    farther = train + [[0.0, 0.0], [0.0, 0.0], [0.9, 0.0], [0.9, 0.0]]
    blocked = boundary_attack(farther, [0, 0, 1, 1], [[0.4, 0.5]], [0], **options)
    assert blocked.status[0] == "unsolved"  # the boundary is at 1.3, outside the box
    free = boundary_attack(train, [0, 0, 1, 1], [[0.4, 0.5]], [0], bounds=None, **options)
    assert 0.45 <= free.norm[0] < 0.46


def test_verified_walks_out_to_a_point_that_really_fools() -> None:
    knn = Predictor(reference_set([[0.0], [1.0]], [0, 1]), 1)
    z, refuge = np.array([0.3]), np.array([0.9])
    point = verified(knn, 0, z, refuge)
    assert point is not None and knn.predict(point[None])[0] == 1
    assert 0.5 < point[0] < 0.5 + 1e-9
    assert verified(knn, 0, z, np.array([0.4])) is None
    np.testing.assert_array_equal(verified(knn, 0, refuge, z), refuge)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X_train": [[np.nan, 0.0], [1.0, 1.0]]}, "finite"),
        ({"X": [[0.1, np.inf]]}, "finite"),
        ({"X": [[0.1]]}, "features"),
        ({"y": [9]}, "unseen"),
        ({"y": [0, 1]}, "labels"),
        ({"y_train": [0, 0]}, "two classes"),
        ({"n_neighbors": 3}, "larger than the training set"),
        ({"n_neighbors": 0}, "n_neighbors"),
        ({"M": [[1.0, 2.0], [0.0, 1.0]]}, "symmetric"),
        ({"M": -np.eye(2)}, "semi-definite"),
        ({"steps": -1}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"seeds": -1}, "seeds"),
        ({"seeds": [1, 2]}, "seeds"),
        ({"seeds": 0.5}, "seeds"),
        ({"indices": [-1]}, "indices"),
        ({"indices": [0, 1]}, "indices"),
        ({"bounds": (1.0, 0.0)}, "bounds"),
        ({"bounds": 3}, "bounds"),
        ({"init": "magic"}, "init"),
    ],
)
def test_bad_input_raises_before_any_work(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "X_train": [[0.0, 0.0], [1.0, 1.0]], "y_train": [0, 1], "X": [[0.1, 0.2]], "y": [0], "n_neighbors": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        boundary_attack(**(arguments | change))
