"""Networks on real data: as accurate as people expect, certificates below attacks, the certificates' own order."""

import numpy as np
import pytest

from arml.attacks.gradient import gradient_attack
from arml.datasets import load
from arml.networks import NetworkClassifier, SmoothedClassifier, certified_radii
from tests.golden.mirror import MIRROR, needs_mirror, one_worker


@pytest.fixture(scope="module")
def optdigits():
    data = load("optdigits")
    network = NetworkClassifier(hidden=(128, 128), epochs=60, random_state=42).fit(data.X_train, data.y_train)
    return data, network


@pytest.mark.slow
@pytest.mark.xdist_group("golden optdigits")
def test_interval_below_crown_below_attack_on_a_thousand_points(optdigits):
    data, network = optdigits
    X, y = data.X_test[:1000], data.y_test[:1000]
    assert 1 - network.score(data.X_test, data.y_test) <= 0.045
    interval, crown = (certified_radii(network, X, y, method=method) for method in ("interval", "crown"))
    assert (interval <= crown).all()
    right = network.predict(X) == y
    assert (crown[right] > 0).mean() > 0.99 and np.median(crown[right]) > 3 * np.median(interval[right])
    found = gradient_attack(network, X, y, steps=40)
    assert (crown <= found.norm).all() and np.isfinite(found.norm).all()
    fmn = gradient_attack(network, X[:100], y[:100], algorithm="fmn", steps=40)
    assert (crown[:100] <= fmn.norm).all()


@pytest.mark.xdist_group("golden optdigits")
def test_smoothed_radii_below_attacks(optdigits):
    data, _ = optdigits
    X, y = data.X_test[:60], data.y_test[:60]
    network = NetworkClassifier(hidden=(128, 128), epochs=60, noise=0.2, random_state=42).fit(
        data.X_train, data.y_train
    )
    smoothed = SmoothedClassifier(network, 0.2, n=2000)
    radii = smoothed.certified_radii(X)
    found = gradient_attack(smoothed, X, y, steps=40)
    proved = np.where(radii.prediction == y, radii.radius, 0.0)
    assert (proved > 0.2).mean() > 0.7
    assert (proved <= found.norm).mean() >= 0.98  # each with probability 1 - 2 alpha


@needs_mirror
@pytest.mark.parametrize("name", one_worker("mnist", "fashion-mnist"))
def test_networks_on_images_are_as_accurate_as_expected(name):
    data = load(name, source="mirror", mirror=str(MIRROR))
    most = {"mnist": {"cnn": 0.015, "mlp": 0.025}, "fashion-mnist": {"cnn": 0.12, "mlp": 0.12}}[name]
    for architecture, error in most.items():
        network = NetworkClassifier(architecture, epochs=8, random_state=42).fit(data.X_train, data.y_train)
        assert 1 - network.score(data.X_test, data.y_test) <= error, architecture
        X, y = data.X_test[:5], network.predict(data.X_test[:5])
        crown = certified_radii(network, X, y, tolerance=0.05)
        assert (crown > 0).all() and (crown <= gradient_attack(network, X, y, steps=30).norm).all()
