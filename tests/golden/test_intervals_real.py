"""Radii of K-NN on real data from both sides: how far the gap between certificates and attacks is closed."""

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.attacks import boundary_attack, geometric_attack
from arml.certify import certified_radii
from arml.intervals import radius_intervals
from tests.golden.mirror import exact_sample, load_sample, needs_mirror, one_worker

pytestmark = [needs_mirror, pytest.mark.slow]

# attack over certificate at K = 11, in the median: Boundary Attack over Theorem 1 gives 1.56, 2.06, 1.89, 2.63
TARGETS = {"pendigits": 1.10, "satimage": 1.4, "usps": 1.25, "splice": 2.0}


@pytest.mark.parametrize("name", one_worker(*TARGETS))
def test_attack_over_certificate(name):
    data, X, y = load_sample(name)
    X, y = X[:24], y[:24]
    found = radius_intervals(data.X_train, data.y_train, X, y, nodes=2000)
    theorem1 = certified_radii(data.X_train, data.y_train, X, y)
    assert (theorem1 <= found.lower).all() and (found.lower <= found.upper).all()
    right = found.status != "misclassified"
    ratio = found.upper[right] / np.maximum(found.lower[right], 1e-12)
    assert right.sum() >= 14 and np.median(ratio) <= TARGETS[name]
    predict = MahalanobisKNN(11).fit(data.X_train, data.y_train).predict
    assert (predict(found.adversarial[right]) != y[right]).all()


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        pytest.param("splice", None, marks=pytest.mark.xdist_group("golden splice")),
        pytest.param("pendigits", (3, 8), marks=pytest.mark.xdist_group("golden pendigits")),
        pytest.param("satimage", (1, 3), marks=pytest.mark.xdist_group("golden satimage")),
        pytest.param("usps", (3, 8), marks=pytest.mark.xdist_group("golden usps")),
    ],
)
def test_three_neighbours_of_two_classes_are_exact(name, classes):
    data, X, y = load_sample(name)
    train, labels = data.X_train, data.y_train
    if classes is not None:
        train, labels = train[np.isin(labels, classes)], labels[np.isin(labels, classes)]
        X, y = X[np.isin(y, classes)], y[np.isin(y, classes)]
    found = radius_intervals(train, labels, X[:30], y[:30], n_neighbors=3, time_limit=10.0)
    right = found.status != "misclassified"
    assert right.sum() >= 20 and (found.status[right] == "exact").mean() >= 0.9


@pytest.mark.parametrize("name", one_worker("pendigits", "usps"))
def test_no_farther_than_the_boundary_attack(name):
    data, X, y = load_sample(name)
    X, y = X[:24], y[:24]
    ours = geometric_attack(data.X_train, data.y_train, X, y, programs=100)
    theirs = boundary_attack(data.X_train, data.y_train, X, y, steps=25_000, bounds=None)
    assert (ours.norm <= theirs.norm * (1 + 1e-9)).mean() >= 0.95
    right = ours.norm > 0
    assert np.median(theirs.norm[right] / ours.norm[right]) >= 1.15


@pytest.mark.parametrize("name", one_worker("pendigits", "satimage", "usps", "splice"))
def test_one_neighbour_is_the_exact_radius(name):
    data, X, y = load_sample(name)
    exact = exact_sample(name)
    found = geometric_attack(data.X_train, data.y_train, X[:200], y[:200], n_neighbors=1)
    # a tie at x itself has radius 0, and the attack crosses it
    np.testing.assert_allclose(found.norm, exact.upper[:200], rtol=1e-6, atol=1e-9)
