"""CROWN and interval propagation against enumeration, closed forms, samples from the ball, and each other."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import arml.networks.bounds as bounds
from arml.networks import NetworkClassifier, certified_radii, score_bounds
from tests.oracles import exact_network, network_scores


def dense(layers: list[tuple[Any, Any]]) -> NetworkClassifier:
    """A classifier of these weights, rounded to float32 as it keeps them."""
    hidden = tuple(len(b) for _, b in layers[:-1])
    arrays = [array for W, b in layers for array in (W, b)]
    return NetworkClassifier(hidden=hidden).restored(layers[0][0].shape[1], range(len(layers[-1][1])), arrays)


def random_layers(sizes: list[int], seed: int, spread: float = 0.5) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(sizes))
    return [
        (
            np.float32(rng.normal(size=(out, into)) / np.sqrt(into)).astype(float),
            np.float32(spread * rng.normal(size=out)).astype(float),
        )
        for into, out in pairs
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.sampled_from([[2, 4, 2], [2, 3, 3, 2], [3, 5, 3], [2, 2, 2, 2, 3], [1, 4, 2]]),
)
def test_interval_below_crown_below_enumeration(seed: int, sizes: list[int]) -> None:
    layers = random_layers(sizes, seed)
    network = dense(layers)
    X = np.random.default_rng([seed, 1]).normal(size=(3, sizes[0]))
    y = np.array([int(np.argmax(network_scores(layers, x))) for x in X])
    exact = np.array([exact_network(layers, x, label) for x, label in zip(X, y)])
    crown, interval = (certified_radii(network, X, y, method=method) for method in ("crown", "interval"))
    assert (interval <= crown).all()
    assert (crown <= exact * (1 + 1e-9) + 1e-12).all()


def test_enumeration_finds_more_than_one_pattern_matters() -> None:
    """The oracle itself: on a grid around the point nothing nearer is misclassified, something a little farther is."""
    layers = random_layers([2, 5, 2], 7)
    x = np.array([0.3, -0.2])
    label = int(np.argmax(network_scores(layers, x)))
    radius = exact_network(layers, x, label)
    turns = np.linspace(0, 2 * np.pi, 4000)
    way = np.column_stack([np.cos(turns), np.sin(turns)])
    scores = [[np.argmax(network_scores(layers, x + r * radius * w)) != label for w in way] for r in (0.999, 1.002)]
    assert not any(scores[0]) and any(scores[1])


@pytest.mark.parametrize("sizes", [[6, 3], [6, 2]])
def test_a_linear_network_has_its_exact_radius(sizes: list[int]) -> None:
    layers = random_layers(sizes, 3)
    (W, b), X = layers[0], np.random.default_rng(0).normal(size=(20, 6))
    scores = X @ W.T + b
    y = scores.argmax(axis=1)
    exact = [
        min((s[c] - s[o]) / np.linalg.norm(W[c] - W[o]) for o in range(len(s)) if o != c) for s, c in zip(scores, y)
    ]
    found = certified_radii(dense(layers), X, y)
    assert np.allclose(found, exact, rtol=2e-6) and (found <= exact).all()


def test_a_network_that_is_linear_in_the_ball_has_its_exact_radius() -> None:
    layers = random_layers([4, 6, 5, 3], 11)
    layers[0] = (layers[0][0], np.full(6, 50.0))  # every neuron stays on
    layers[1] = (np.abs(layers[1][0]), np.full(5, 50.0))
    middle = network_scores(layers, np.zeros(4)) - layers[2][1]
    layers[2] = (layers[2][0], np.float32(-middle).astype(float))  # all scores are about 0 at 0
    network = dense(layers)
    W = layers[2][0] @ layers[1][0] @ layers[0][0]
    X = np.random.default_rng(1).normal(size=(10, 4))
    scores = network.decision_function(X)
    y = scores.argmax(axis=1)
    exact = [min((s[c] - s[o]) / np.linalg.norm(W[c] - W[o]) for o in range(3) if o != c) for s, c in zip(scores, y)]
    assert max(exact) < 5
    assert np.allclose(certified_radii(network, X, y), exact, rtol=2e-6)


@pytest.mark.parametrize("architecture", ["mlp", "cnn"])
def test_nothing_in_the_ball_breaks_the_bounds(architecture: str) -> None:
    rng = np.random.default_rng(5)
    X, y = rng.random((150, 64)), np.arange(150) % 3
    X[np.arange(150), y] += 2.0
    options: dict[str, Any] = {"hidden": (7, 6)} if architecture == "mlp" else {"channels": (2, 3), "hidden": (6,)}
    network = NetworkClassifier(architecture, epochs=10, batch_size=30, learning_rate=0.01, **options).fit(X, y)
    X, y = X[:12], network.predict(X[:12])
    radii = certified_radii(network, X, y)
    assert (radii > 0).all() and (certified_radii(network, X, y, method="interval") <= radii).all()
    for scale in (0.5, 1.0, 3.0):
        low = {how: score_bounds(network, X, y, scale * radii, method=how) for how in ("crown", "interval")}
        assert (low["interval"] <= low["crown"] + 1e-12).all()
        for row, (x, label) in enumerate(zip(X, y)):
            way = rng.normal(size=(400, 64))
            inside = x + scale * radii[row] * way / np.linalg.norm(way, axis=1, keepdims=True)
            scores = network.decision_function(inside)
            own = np.searchsorted(network.classes_, label)
            differences = scores[:, [own]] - np.delete(scores, own, axis=1)
            assert (differences >= low["crown"][row]).all()
    assert (score_bounds(network, X, y, radii) > 0).all()


def test_windows_give_what_rows_give(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    for side in (8, 9, 12):
        X, y = rng.random((60, side * side)), np.arange(60) % 2
        network = NetworkClassifier("cnn", channels=(2, 3), hidden=(5,), epochs=3).fit(X, y)
        X, y = X[:6], network.predict(X[:6])
        with_windows = score_bounds(network, X, y, 0.05)
        with monkeypatch.context() as patch:
            patch.setattr(bounds, "_through_windows", bounds._through_rows)
            assert np.allclose(with_windows, score_bounds(network, X, y, 0.05), atol=1e-10)


def test_bounds_by_whole_filters_are_a_further_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """At some radius it is the better one; without it bounds may only be looser."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 150)
    X = 0.6 * rng.random((4, 121))[y] + 0.4 * rng.random((150, 121))
    options: dict[str, Any] = {"channels": (4, 8), "hidden": (20,), "epochs": 16, "learning_rate": 0.003}
    network = NetworkClassifier("cnn", random_state=2, **options).fit(X, y)
    radii = (0.1, 1.0, 2.0, 4.0)
    found = np.array([score_bounds(network, X[:3], y[:3], r) for r in radii])
    differences = bounds._differences
    with monkeypatch.context() as patch:
        patch.setattr(bounds, "_differences", lambda *args: differences(*args[:-1], "crown"))
        fewer = np.array([score_bounds(network, X[:3], y[:3], r) for r in radii])
    assert (found >= fewer).all() and (found > fewer + 1.0).any()
    assert (certified_radii(network, X[:3], y[:3]) > 0).all()


def matrices(network: NetworkClassifier) -> list[tuple[Any, Any]]:
    """Every layer as a matrix and a bias, convolutions too: what it does to the unit vectors."""
    layers = network.network_.to("cpu", torch.float64).layers
    width, found = network.n_features_in_, []
    for layer in layers:
        bias = layer(torch.zeros(1, width, dtype=torch.float64))
        found.append(((layer(torch.eye(width, dtype=torch.float64)) - bias).T.numpy(), bias[0].numpy()))
        width = layer.n_outputs
    return found


def plain_crown(layers: list[tuple[Any, Any]], x: Any, radius: float, rows: Any) -> Any:
    """CROWN by the book (Zhang et al. 2018), one point: lower bounds of rows @ scores, each ReLU's range by CROWN too.

    Ranges that interval propagation settles are its own, as auto_LiRPA has them.
    """
    lines: list[tuple[Any, Any, Any]] = []

    def lowest(A: Any, c: Any, depth: int) -> Any:
        for (W, b), (below, above, offset) in zip(layers[:depth][::-1], lines[:depth][::-1], strict=True):
            c = c + np.minimum(A, 0) @ offset
            A = np.where(A > 0, A * below, A * above)
            c, A = c + A @ b, A @ W
        return A @ x + c - radius * np.linalg.norm(A, axis=1)

    low, high = x, x
    for depth, (W, b) in enumerate(layers[:-1]):
        if depth == 0:
            reach = radius * np.linalg.norm(W, axis=1)
            least, most = W @ x + b - reach, W @ x + b + reach
            own_low, own_high = least, most
        else:
            middle, half = W @ (low + high) / 2 + b, np.abs(W) @ (high - low) / 2
            own_low, own_high = middle - half, middle + half
            mixed = (own_low < 0) & (own_high > 0)
            least, most = (
                np.where(mixed, lowest(W, b, depth), own_low),
                np.where(mixed, -lowest(-W, -b, depth), own_high),
            )
        mixed = (least < 0) & (most > 0)
        chord = np.where(mixed, most / np.where(mixed, most - least, 1.0), least >= 0)
        lines.append(
            (np.where(mixed, most > -least, least >= 0).astype(float), chord, np.where(mixed, -chord * least, 0.0))
        )
        # its interval propagation takes the better of both
        low, high = np.maximum(np.maximum(least, own_low), 0), np.maximum(np.minimum(most, own_high), 0)
    W, b = layers[-1]
    return lowest(rows @ W, rows @ b, len(layers) - 1)


@pytest.mark.parametrize("side", [8, 11, 17])
def test_crown_is_never_looser_than_crown_by_the_book(side: int) -> None:
    """Where interval propagation is tighter at some ReLU, its line below may be another, and the end looser."""
    rng = np.random.default_rng(side)
    X, y = rng.random((120, side * side)), np.arange(120) % 3
    X[np.arange(120), y] += 2
    options: dict[str, Any] = {"channels": (3, 4), "hidden": (10, 8), "epochs": 6, "learning_rate": 0.01}
    network = NetworkClassifier("cnn", batch_size=30, **options).fit(X, y)
    X = X[:6]
    y, layers = network.predict(X), matrices(network)
    for radius in (0.05, 0.2, 0.5, 1.0, 2.0, 8.0):
        found = score_bounds(network, X, y, radius)
        for x, label, bounds_ in zip(X, y, found, strict=True):
            rows = np.delete(np.eye(3)[int(label)] - np.eye(3), int(label), axis=0)
            book = plain_crown(layers, x, radius, rows)
            assert (bounds_ >= book - 1e-7 * (1 + np.abs(book))).all(), (radius, bounds_, book)
            way = rng.normal(size=(300, side * side))
            inside = x + radius * way / np.linalg.norm(way, axis=1, keepdims=True)
            assert (network.decision_function(inside) @ rows.T >= bounds_).all()


def test_wrong_predictions_and_ties_have_no_radius() -> None:
    W = np.array([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    network = dense([(W, np.zeros(3))])
    assert certified_radii(network, [[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], [1, 0, 0]).tolist() == [0.0, 0.0, 0.0]


def test_points_do_not_depend_on_each_other() -> None:
    layers = random_layers([5, 30, 20, 3], 2)
    network = dense(layers)
    X = np.random.default_rng(3).normal(size=(9, 5))
    y = network.predict(X)
    together = certified_radii(network, X, y)
    for rows in ([4], [7, 2, 0], [8, 8, 1]):
        assert (certified_radii(network, X[rows], y[rows]) == together[rows]).all()
    assert (certified_radii(network, X, y, tolerance=1e-4) >= together * 0.999).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"method": "ibp"}, "method must be one of crown, interval"), ({"tolerance": 0}, "tolerance must be")],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    network = dense(random_layers([2, 3, 2], 0))
    with pytest.raises(ValueError, match=message):
        certified_radii(network, [[0.0, 0.0]], [0], **options)
    with pytest.raises(ValueError, match="unseen in training"):
        certified_radii(network, [[0.0, 0.0]], [7])
    with pytest.raises(ValueError, match="radius must be finite"):
        score_bounds(network, [[0.0, 0.0]], [0], -1.0)


def test_extreme_networks_end_the_search() -> None:
    """No gradient, a tiny lead, a lead that no ball of any size overcomes."""
    constant = [(np.zeros((3, 2)), np.zeros(3)), (np.zeros((2, 3)), np.array([1.0, 0.0]))]
    assert certified_radii(dense(constant), [[0.5, 0.5]], [0])[0] >= 1e6
    tiny = [(np.eye(2), np.zeros(2))]
    found = certified_radii(dense(tiny), [[1e-60, 0.0], [0.0, 0.0]], [0, 0])
    assert found.tolist() == [0.0, 0.0]
    dead = [(np.eye(2), np.full(2, -5.0)), (np.eye(2), np.array([1.0, 0.0]))]
    assert 4.9 < certified_radii(dense(dead), [[0.0, 0.0]], [0], tolerance=1e-4)[0] <= 6.0


def test_rounding_is_counted() -> None:
    """Scores that differ by less than float64 can tell are not certified."""
    big = 2.0**40
    last = (np.array([[1.0, -1.0], [0.0, 0.0]]), np.array([1e-9, 0.0]))
    layers = [(np.array([[big], [big]]), np.zeros(2)), last]
    assert certified_radii(dense(layers), [[1.0]], [0])[0] == 0.0
