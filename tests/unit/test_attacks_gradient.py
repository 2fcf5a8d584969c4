"""Attacks on networks: what they return is misclassified, near the optimum where that is known, and in its box."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arml.attacks.gradient import gradient_attack
from arml.networks import NetworkClassifier, SmoothedClassifier, certified_radii

W, B = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([0.25, 0.0])


def linear() -> NetworkClassifier:
    return NetworkClassifier(hidden=()).restored(2, [0, 1], [W, B])


@pytest.mark.parametrize("algorithm", ["ddn", "fmn"])
def test_on_a_linear_network_it_finds_the_optimum(algorithm: str) -> None:
    network, X = linear(), np.random.default_rng(0).normal(size=(8, 2))
    y = network.predict(X)
    found = gradient_attack(network, X, y, algorithm=algorithm, bounds=None)
    exact = np.abs(X @ (W[0] - W[1]) + B[0]) / np.linalg.norm(W[0] - W[1])
    assert (found.norm >= exact * (1 - 1e-12)).all() and np.allclose(found.norm, exact, rtol=0.02)
    assert (network.predict(found.adversarial) != y).all() and set(found.status) == {"bounded"}


@pytest.mark.parametrize("algorithm", ["ddn", "fmn"])
def test_certificate_below_attack_and_points_alone(algorithm: str) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.random((90, 16)), np.arange(90) % 3
    X[np.arange(90), y] += 0.7
    network = NetworkClassifier(hidden=(12, 8), epochs=30, batch_size=30, learning_rate=0.01).fit(X, y)
    X, y = X[:15], network.predict(X[:15])
    y[0] = (y[0] + 1) % 3
    found = gradient_attack(network, X, y, algorithm=algorithm, steps=40)
    radii = certified_radii(network, X, y)
    assert (radii <= found.norm).all() and found.status[0] == "misclassified" and found.norm[0] == 0
    hit = found.status == "bounded"
    assert hit.sum() >= 10 and (network.predict(found.adversarial[hit]) != y[hit]).all()
    assert (found.adversarial[hit] >= 0).all()
    assert (found.adversarial[hit] <= np.maximum(X[hit].max(axis=1, keepdims=True), 1)).all()
    assert np.allclose(np.linalg.norm(found.adversarial[hit] - X[hit], axis=1), found.norm[hit])
    alone = gradient_attack(network, X[3:4], y[3:4], algorithm=algorithm, steps=40)
    assert alone.norm[0] == found.norm[3]
    assert (found.out_of_bounds == ((X < 0) | (X > 1)).any(axis=1)).all()


def test_a_smoothed_classifier_is_broken_outside_its_radius() -> None:
    sigma, X = 0.5, np.random.default_rng(2).normal(size=(6, 2))
    exact = np.abs(X @ (W[0] - W[1]) + B[0]) / np.linalg.norm(W[0] - W[1])
    X, exact = X[exact > 0.1], exact[exact > 0.1]
    smoothed = SmoothedClassifier(linear(), sigma, n=2000)
    y = smoothed.predict(X, range(len(X)))
    found = gradient_attack(smoothed, X, y, bounds=None, indices=range(len(X)))
    assert np.isfinite(found.norm).all()
    assert (found.norm >= exact).all()  # each with probability 1 - alpha
    assert (found.norm <= 2.5 * exact + 0.2).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"algorithm": "pgd"}, "algorithm must be one of ddn, fmn"),
        ({"steps": 0}, "steps must be"),
        ({"draws": 0}, "draws must be"),
        ({"bounds": (1, 0)}, "bounds"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gradient_attack(linear(), [[0.0, 0.0]], [0], **options)
