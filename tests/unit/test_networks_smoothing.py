"""Randomized smoothing: the closed form on a linear classifier, coverage, and noise that is each point's own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm
from sklearn.exceptions import NotFittedError

import arml.networks.smoothing as smoothing
from arml.attacks.gradient import gradient_attack
from arml.networks import NetworkClassifier, SmoothedClassifier, lower_confidence_bound

W, B = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([0.25, 0.0])


def linear() -> NetworkClassifier:
    return NetworkClassifier(hidden=()).restored(2, [0, 1], [W, B])


def distance(X: Any) -> Any:
    """Signed distance to the boundary, positive on the side of class 0: the radius of the smoothed classifier."""
    return (X @ (W[0] - W[1]) + B[0] - B[1]) / np.linalg.norm(W[0] - W[1])


def test_the_closed_form_on_a_linear_classifier() -> None:
    X = np.random.default_rng(0).normal(size=(200, 2))
    sigma, n, alpha = 0.7, 20_000, 0.001
    found = SmoothedClassifier(linear(), sigma, n=n, alpha=alpha).certified_radii(X)
    exact = np.abs(distance(X))
    sure = exact > 0.2 * sigma
    assert (found.prediction == np.where(distance(X) > 0, 0, 1))[sure].all()
    assert (found.radius > exact).sum() <= binom.ppf(1 - 1e-6, len(X), alpha)
    # how far n samples can show it: the bound that all votes in favour give
    most = sigma * norm.ppf(lower_confidence_bound(n, n, alpha))
    near = sure & (exact < 0.6 * most)
    assert near.sum() > 50 and (found.radius[near] > exact[near] - 0.1 * sigma).all()
    assert (found.radius <= most).all() and (found.abstained == (found.radius == 0)).all()


@pytest.mark.parametrize("p", [0.5, 0.51, 0.8, 0.97, 0.999])
@pytest.mark.parametrize("n", [20, 300])
def test_the_bound_covers_as_it_says(p: float, n: int) -> None:
    alpha, trials = 0.05, 20_000
    votes = np.random.default_rng([n, int(1000 * p)]).binomial(n, p, trials)
    low = {k: lower_confidence_bound(int(k), n, alpha) for k in np.unique(votes)}
    misses = sum(int(low[k] > p) for k in votes)
    assert misses <= binom.ppf(1 - 1e-6, trials, alpha)
    # and it is the exact bound: with this success probability, so many votes or more come with probability alpha
    k = int(votes[0])
    assert binom.sf(k - 1, n, low[k]) == pytest.approx(alpha, rel=1e-6)


def test_the_bound_at_its_ends() -> None:
    assert lower_confidence_bound(0, 50, 0.001) == 0.0
    assert lower_confidence_bound(50, 50, 0.001) == pytest.approx(0.001 ** (1 / 50))


def test_each_point_has_its_own_noise_whatever_it_comes_with() -> None:
    X = np.random.default_rng(1).normal(size=(6, 2)) * 0.3
    smoothed = SmoothedClassifier(linear(), 0.5, n0=30, n=700, random_state=4)
    whole = smoothed.certified_radii(X, range(10, 16))
    part = smoothed.certified_radii(X[[4, 1]], [14, 11])
    assert (part.radius == whole.radius[[4, 1]]).all() and (part.prediction == whole.prediction[[4, 1]]).all()
    assert (smoothed.predict(X, range(10, 16)) == whole.prediction).all()
    assert (smoothed.certified_radii(X, range(6)).radius != whole.radius).any()
    assert (SmoothedClassifier(linear(), 0.5, n=700).certified_radii(X, range(10, 16)).radius != whole.radius).any()


def test_undecided_points_abstain() -> None:
    x = -B[0] / np.sum((W[0] - W[1]) ** 2) * (W[0] - W[1])
    assert distance(x) == pytest.approx(0)
    found = SmoothedClassifier(linear(), 1.0, n=1000).certified_radii(x[None])
    assert found.abstained.all() and (found.radius == 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma must be"),
        ({"n": 0}, "n must be"),
        ({"n0": 0}, "n0 must be"),
        ({"alpha": 1.0}, "alpha must be below 1"),
        ({"random_state": -1}, "random_state must be"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmoothedClassifier(linear(), **{"sigma": 1.0, **options})
    with pytest.raises(ValueError, match="indices must be 1 whole numbers"):
        SmoothedClassifier(linear(), 1.0).certified_radii([[0.0, 0.0]], [-1])


def test_radii_of_neighbours_agree_far_from_the_origin() -> None:
    """The boundary is at 6e4, where float32 has steps of 1/256: the radius of a point is its way there, and no more."""
    far, sigma = 6e4, 5.0
    network = NetworkClassifier(hidden=()).restored(2, [0, 1], [W, np.array([far * (W[1] - W[0]).sum(), 0.0])])
    assert np.spacing(np.float32(far)) == 2.0**-8
    smoothed = SmoothedClassifier(network, sigma, n=20_000)
    X = far + np.linspace(-3.0, 3.0, 25)[:, None] * np.ones((1, 2))
    found = smoothed.certified_radii(X, np.zeros(25, dtype=int))
    exact = np.abs((X - far) @ (W[0] - W[1])) / np.linalg.norm(W[0] - W[1])
    assert (found.radius <= exact + 2.0**-8).all() and (found.radius > 0).sum() >= 20
    # no radius of one class reaches a certified point of the other
    ways = np.linalg.norm(X[:, None] - X[None], axis=2)
    other = found.prediction[:, None] != found.prediction[None]
    certified = found.radius > 0
    reached = other & certified[:, None] & certified[None] & (found.radius[:, None] >= ways)
    assert not reached.any()


def test_noise_is_added_before_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two points that float32 rounds to the same, 0.4 of a step apart: the noise tells them apart."""
    arrays = [np.array([[-1.0], [1.0]]), np.zeros(2)]
    smoothed = SmoothedClassifier(NetworkClassifier(hidden=()).restored(1, [0, 1], arrays), 16.0)
    step = float(np.spacing(np.float32(2.0**16)))
    x = np.array([2.0**16]), np.array([2.0**16 + 0.4 * step])
    assert np.float32(x[0]) == np.float32(x[1])
    draws = torch.tensor([[0.2 * step / 16.0]]).float()
    monkeypatch.setattr(smoothing, "gaussian_blocks", lambda *_: [draws.clone()])
    seen: list[float] = []
    monkeypatch.setattr(smoothed, "_network", lambda z: (seen.append(float(z)), torch.zeros(1, 2))[1])
    for point in x:
        smoothed.counts(point, 1, 0)
    assert seen == [2.0**16, 2.0**16 + step]


@pytest.mark.parametrize("method", ["certified_radii", "predict"])
def test_features_that_float32_does_not_tell_apart_are_refused(method: str) -> None:
    smoothed = SmoothedClassifier(linear(), 0.5)
    with pytest.raises(ValueError, match=r"X = 1e\+08 \(row 1, column 0\) has steps of 8: too coarse for sigma = 0.5"):
        getattr(smoothed, method)([[0.0, 1.0], [1e8, 1.0]])
    with pytest.raises(ValueError, match="too coarse"):
        getattr(smoothed, method)([[0.0, 1e300]])
    with pytest.raises(ValueError, match="too coarse"):
        gradient_attack(smoothed, [[-1e8, 1.0]], [0])
    assert len(smoothed.predict([[4000.0, 1.0]])) == 1


@pytest.mark.parametrize(
    ("votes", "n", "alpha"), [(11, 10, 0.1), (-1, 10, 0.1), (0, 0, 0.1), (5, 10, 0.0), (5, 10, 1.0)]
)
def test_the_bound_refuses_what_is_no_count_or_probability(votes: int, n: int, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"0 <= votes <= n.*got"):
        lower_confidence_bound(votes, n, alpha)


def test_an_unfitted_network_is_not_smoothed() -> None:
    with pytest.raises(NotFittedError, match="not fitted yet"):
        SmoothedClassifier(NetworkClassifier(), 0.5)
