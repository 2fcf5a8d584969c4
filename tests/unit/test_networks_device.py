"""Certificates of networks on a torch device: the same figures; here on the CPU, through the same code."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch

from arml.networks import NetworkClassifier, SmoothedClassifier, certified_radii, score_bounds
from arml.networks.layers import plain_sums
from tests.placement import DEVICES, Placed


def networks() -> dict[str, tuple[NetworkClassifier, Any, Any]]:
    rng = np.random.default_rng(0)
    y = np.arange(60) % 3
    made = {}
    for name, side, options in (
        ("mlp", 3, {"architecture": "mlp", "hidden": (12, 8)}),
        ("cnn", 9, {"architecture": "cnn", "channels": (3, 4), "hidden": (10,)}),
        ("linear", 2, {"architecture": "mlp", "hidden": ()}),
    ):
        X = rng.random((3, side * side))[y] + 0.1 * rng.standard_normal((60, side * side))
        network = NetworkClassifier(epochs=30, learning_rate=0.01, random_state=1, **options).fit(X, y)
        made[name] = network, X[:6], y[:6]
    return made


NETWORKS = networks()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_and_radii_are_those_of_the_cpu(device: str, name: str) -> None:
    network, X, y = NETWORKS[name]
    for method in ("crown", "interval"):
        expected = certified_radii(network, X, y, method=method), score_bounds(network, X, y, 0.2, method=method)
        with Placed():
            radii = certified_radii(network, X, y, method=method, device=device)
            bounds = score_bounds(network, X, y, 0.2, method=method, device=device)
        assert (expected[0] > 0).any()
        np.testing.assert_allclose(radii, expected[0], rtol=0.0051)
        np.testing.assert_allclose(bounds, expected[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_noise_and_the_votes_are_those_of_the_cpu(device: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, X, _ = NETWORKS[name]
    expected = SmoothedClassifier(network, 0.3, n=1200)
    monkeypatch.setattr("arml.networks.smoothing._threads", lambda device: 4)
    with Placed():
        found = SmoothedClassifier(network, 0.3, n=1200, device=device)
        votes = [found.counts(x, 1200, 7, 1) for x in X]
    difference = np.abs(np.array(votes) - [expected.counts(x, 1200, 7, 1) for x in X])
    assert difference.max() <= (0 if device.startswith("cpu") else 2)  # scores that agree to float32's rounding
    if device.startswith("cpu"):
        one, many = expected.certified_radii(X), found.certified_radii(X)
        assert np.array_equal(one.radius, many.radius) and np.array_equal(one.prediction, many.prediction)
        assert np.array_equal(expected.predict(X), found.predict(X)) and (one.radius > 0).any()


def test_a_device_that_is_not_there_is_refused() -> None:
    network, X, y = NETWORKS["linear"]
    for ask in (
        lambda: certified_radii(network, X, y, device="cuda:99"),
        lambda: score_bounds(network, X, y, 0.1, device="cuda:99"),
        lambda: SmoothedClassifier(network, 0.1, device="cuda:99"),
    ):
        with pytest.raises(ValueError, match="device 'cuda:99' cannot be used here"):
            ask()


def test_cudnn_is_back_when_the_last_user_has_left() -> None:
    backend: Any = torch.backends.cudnn
    before, inside, left = backend.enabled, threading.Event(), threading.Event()

    def other() -> None:
        with plain_sums():
            inside.set()
            left.wait(10)
            assert not backend.enabled

    thread = threading.Thread(target=other)
    with plain_sums():
        thread.start()
        assert inside.wait(10) and not backend.enabled
    assert not backend.enabled  # the other one is still there
    left.set()
    thread.join()
    assert backend.enabled == before
