"""Training of networks: accuracy on an easy problem, the same bytes always, resumption, errors that help."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import arml.networks.training as training
from arml.attacks.gradient import gradient_attack
from arml.errors import DataError
from arml.networks import NetworkClassifier, certified_radii, score_bounds
from arml.networks.layers import Convolution, build_network


def clouds(n: int = 120, d: int = 4, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return rng.normal(size=(n, d)) * 0.15 + np.eye(3, d)[y], np.array([2, 5, 9])[y]


def weights(network: NetworkClassifier) -> bytes:
    return b"".join(array.tobytes() for array in network.network_.arrays())


def test_it_learns_and_keeps_labels() -> None:
    X, y = clouds()
    network = NetworkClassifier(hidden=(16,), epochs=40, batch_size=20, learning_rate=0.01).fit(X, y)
    assert network.score(*clouds(seed=1)) > 0.95
    assert set(network.predict(X)) <= {2, 5, 9}
    assert network.history_[-1] < 0.3 * network.history_[0]
    assert network.fit_summary_["n_parameters"] == 4 * 16 + 16 + 16 * 3 + 3


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_seed_decides_and_threads_do_not(noise: float) -> None:
    X, y = clouds()
    options: dict[str, Any] = {"hidden": (16, 8), "epochs": 3, "batch_size": 20, "noise": noise}
    first = weights(NetworkClassifier(random_state=1, **options).fit(X, y))
    before = torch.get_num_threads()
    torch.manual_seed(99)
    torch.set_num_threads(2)
    try:
        again = weights(NetworkClassifier(random_state=1, **options).fit(X, y))
    finally:
        torch.set_num_threads(before)
    assert first == again
    assert first != weights(NetworkClassifier(random_state=2, **options).fit(X, y))


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_a_killed_fit_goes_on_to_the_same_bytes(noise: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = clouds()
    file = tmp_path / "fit.npz"
    options: dict[str, Any] = {"hidden": (8,), "epochs": 5, "batch_size": 20, "noise": noise, "random_state": 3}
    whole = weights(NetworkClassifier(**options).fit(X, y))
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    epoch, calls = training._epoch, []

    def dies(*args: Any) -> float:
        calls.append(args)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return epoch(*args)

    monkeypatch.setattr(training, "_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        NetworkClassifier(checkpoint=file, **options).fit(X, y)
    monkeypatch.setattr(training, "_epoch", epoch)
    with pytest.raises(DataError, match="of another fit"):
        NetworkClassifier(checkpoint=file, **{**options, "epochs": 6}).fit(X, y)
    assert file.exists()
    resumed = NetworkClassifier(checkpoint=file, **options).fit(X, y)
    assert weights(resumed) == whole and len(resumed.history_) == 5 and not file.exists()


def test_a_network_is_restored_from_its_arrays() -> None:
    X, y = clouds(d=64)
    options: dict[str, Any] = {"architecture": "cnn", "channels": (2, 3), "hidden": (5,), "epochs": 2}
    network = NetworkClassifier(**options).fit(X, y)
    other = NetworkClassifier(**options).restored(64, network.classes_, network.network_.arrays())
    assert (other.decision_function(X) == network.decision_function(X)).all()
    with pytest.raises(ValueError, match="not those of this architecture"):
        NetworkClassifier(hidden=(5,)).restored(64, network.classes_, network.network_.arrays())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architecture": "rnn"}, "architecture must be one of mlp, cnn"),
        ({"hidden": 5}, "hidden must be a tuple"),
        ({"hidden": (0,)}, "hidden must be a whole number of at least 1"),
        ({"channels": (3,)}, "channels are for architecture 'cnn'"),
        ({"architecture": "cnn", "channels": ()}, "needs channels"),
        ({"architecture": "cnn"}, "needs square images of at least 64 pixels, got 4 features"),
        ({"noise": -1.0}, "noise must be a finite number above 0"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"learning_rate": 0}, "learning_rate must be a finite number above 0"),
        ({"learning_rate": 1e30}, "lower learning_rate"),
    ],
)
def test_what_cannot_be_trained_says_why(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NetworkClassifier(**{"epochs": 3, **change}).fit(*clouds())


def test_data_are_checked_and_the_estimator_is_cloned() -> None:
    X, y = clouds()
    with pytest.raises(ValueError, match="at least two classes"):
        NetworkClassifier().fit(X, np.zeros(len(X), dtype=int))
    network = NetworkClassifier(hidden=(3,), epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="4"):
        network.predict(X[:, :3])
    assert not hasattr(clone(network), "network_")


@pytest.mark.parametrize("side", [8, 9, 11, 16])
def test_a_convolution_and_its_transpose_are_one_matrix(side: int) -> None:
    """W by rows (transposed) and by columns (applied to unit vectors) agree, and so do windows."""
    network = build_network("cnn", side * side, 3, (4,), (2, 3), 0).to("cpu", torch.float64)
    first, second = network.layers[:2]
    assert isinstance(first, Convolution) and isinstance(second, Convolution)
    for layer, width in ((first, side * side), (second, first.n_outputs)):
        columns = layer(torch.eye(width, dtype=torch.float64)).T  # biases are 0
        rows = layer.transposed(torch.eye(layer.n_outputs, dtype=torch.float64))
        assert torch.allclose(rows, columns, atol=1e-12)
    x = torch.rand(2, side * side, dtype=torch.float64)
    through = first.windows_through(second, x) @ first.from_window(second).T
    there = second.windows(torch.ones_like(first(x)))  # 0 where a filter hangs over the border
    assert torch.allclose(second.windows(first(x)), there * through, atol=1e-12)
    seen = second.weight.flatten(1) @ second.windows(first(x)).mT
    assert torch.allclose(seen.flatten(1), second(first(x)), atol=1e-12)


def test_what_needs_a_fitted_network_says_so() -> None:
    X, y = clouds()
    for call in (certified_radii, partial(score_bounds, radius=0.1), gradient_attack):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            call(NetworkClassifier(), X, y)


def test_a_device_that_is_not_there_is_refused_before_training() -> None:
    with pytest.raises(ValueError, match=r"device 'cuda:99' cannot be used here.*'cpu' always can"):
        NetworkClassifier(device="cuda:99").fit(*clouds())
