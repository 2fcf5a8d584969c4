"""HopSkipJump and the Pointwise attack: foolbox's, but reproducible a point, in the point's box, and verified."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from arml import MahalanobisKNN, MahalanobisMetric
from arml.attacks import AttackResult, boundary_attack, hopskipjump_attack, pointwise_attack
from tests.unit.test_attacks_boundary import blobs, same, take

Attack = Callable[..., AttackResult]
ATTACKS = {"hopskipjump": (hopskipjump_attack, {"steps": 4}), "pointwise": (pointwise_attack, {})}


@pytest.fixture(params=ATTACKS)
def attack(request: pytest.FixtureRequest) -> Attack:
    run, options = ATTACKS[request.param]
    return lambda *args, **kwargs: run(*args, **options, **kwargs)


def test_result_does_not_depend_on_company_or_order(attack: Attack) -> None:
    train, train_y, X, y = blobs()
    metric = MahalanobisMetric(np.random.default_rng(5).standard_normal((4, 5)))
    options: dict[str, Any] = {"M": metric, "n_neighbors": 5, "seeds": 7}
    whole = attack(train, train_y, X, y, **options)
    assert (whole.status == "bounded").any()
    order = np.array([7, 2, 5])
    assert same(take(whole, order), attack(train, train_y, X[order], y[order], indices=order, **options))


def test_every_point_found_is_misclassified_in_the_box_and_closer_than_the_start(attack: Attack) -> None:
    train, train_y, X, y = blobs()
    X = X.copy()
    X[1, 0] = -0.1
    result = attack(train, train_y, X, y, n_neighbors=5)
    start = boundary_attack(train, train_y, X, y, n_neighbors=5, steps=0)
    found = result.status == "bounded"
    assert found.sum() >= 8 and found[1] and result.out_of_bounds.tolist() == [False, True] + [False] * (len(X) - 2)
    knn = MahalanobisKNN(5).fit(train, train_y)
    assert (knn.predict(result.adversarial[found]) != y[found]).all()
    assert ((result.adversarial >= np.minimum(X, 0.0)) & (result.adversarial <= np.maximum(X, 1.0)))[found].all()
    np.testing.assert_allclose(result.norm[found], np.linalg.norm(result.adversarial - X, axis=1)[found])
    assert (result.norm <= start.norm * (1 + 1e-9)).all() and np.median(result.norm[found] / start.norm[found]) < 0.9


def test_random_state_is_neither_read_nor_changed(attack: Attack) -> None:
    import torch

    train, train_y, X, y = blobs(n_test=3)

    def state() -> Any:
        return np.random.get_state()[1].tolist(), random.getstate(), torch.get_rng_state().tolist()  # noqa: NPY002

    before = state()
    first = attack(train, train_y, X, y, n_neighbors=3)
    assert state() == before
    np.random.seed(99)  # noqa: NPY002
    assert same(first, attack(train, train_y, X, y, n_neighbors=3))
    assert not same(first, attack(train, train_y, X, y, n_neighbors=3, seeds=1))


def test_foolbox_itself_is_left_as_it_was(attack: Attack) -> None:
    """The replaced names are those of one attack object: the module's own stay."""
    import eagerpy
    from foolbox.attacks import hop_skip_jump, pointwise

    train, train_y, X, y = blobs(n_test=2)
    attack(train, train_y, X, y, n_neighbors=3)
    assert hop_skip_jump.ep is eagerpy and pointwise.ep is eagerpy and pointwise.np is np


def test_hopskipjump_comes_closer_with_more_steps() -> None:
    train, train_y, X, y = blobs()
    norms = [hopskipjump_attack(train, train_y, X, y, n_neighbors=5, steps=steps).norm for steps in (0, 12)]
    assert np.median(norms[1] / np.maximum(norms[0], 1e-12)) < 0.98


def test_pointwise_changes_few_features() -> None:
    train, train_y, X, y = blobs(n_features=8, n_classes=2)
    found = pointwise_attack(train, train_y, X, y, n_neighbors=3)
    hit = found.status == "bounded"
    changed = (np.abs(found.adversarial - X)[hit] > 1e-9).sum(axis=1)
    plain = boundary_attack(train, train_y, X, y, n_neighbors=3, steps=200)
    assert changed.mean() < 5 < (np.abs(plain.adversarial - X)[hit] > 1e-9).sum(axis=1).mean()


@pytest.mark.parametrize("steps", [-1, 2.5, True])
def test_steps_that_are_no_number_are_refused(steps: Any) -> None:
    with pytest.raises(ValueError, match="steps must be a whole number of at least 0"):
        hopskipjump_attack([[0.0], [1.0]], [0, 1], [[0.1]], [0], n_neighbors=1, steps=steps)
