"""Randomized smoothing (Cohen, Rosenfeld and Kolter 2019): the class that Gaussian noise makes most likely.

The smoothed classifier g(x) is the class that the network f gives most often to x + N(0, σ²I). Where that class has a
probability of at least p > 1/2, g stays the same within the ℓ2 radius σ Φ⁻¹(p) (their Theorem 1). p is not known: it is
bounded from samples, so the radius holds with a probability of at least 1 − α for each point, and not for sure.

f computes in float32: here it is the network after x + noise, added in float64, has been rounded once. That is a
function of the features as given: the theorem holds for it, and radii of two points agree however near they are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from arml.networks.classifier import NetworkClassifier
from arml.networks.layers import plain_sums
from arml.networks.noise import gaussian_blocks
from arml.validation import check_device, check_features, check_int, check_positive

__all__ = ["SmoothedClassifier", "SmoothedRadii", "lower_confidence_bound", "point_names"]

_T = TypeVar("_T")

_THREADS = 16
_BELOW = 1.0 - 1e-12  # of the radius: its rounding
_COARSEST = 1e-3  # of σ: a step of float32 at the features that is longer makes f a step function there
SELECTION, ESTIMATION, SEARCH, CONFIRMATION = range(4)
"""What noise is drawn for; each has draws of its own."""


@dataclass(frozen=True)
class SmoothedRadii:
    """One entry a point.

    Attributes
    ----------
    prediction : ndarray of shape (n,)
        The class that n0 samples favour.
    radius : ndarray of shape (n,)
        ℓ2 lengths within which g keeps this class, each with probability 1 − α over the noise; 0 for abstentions.
    abstained : ndarray of shape (n,) of bool
        Where p > 1/2 could not be shown.
    """

    prediction: NDArray[Any]
    radius: NDArray[np.float64]
    abstained: NDArray[np.bool_]


class SmoothedClassifier:
    """A network behind Gaussian noise.

    Parameters
    ----------
    classifier : NetworkClassifier, fitted
        Best with the same noise in training.
    sigma : float
        σ of the noise, in the units of the features.
    n0, n : int
        Samples that choose a point's class, and samples that bound its probability.
    alpha : float in (0, 1)
        A radius may be wrong with this probability.
    random_state : int
        With a point's index, the seed of its noise.
    device : str
        Where the network is evaluated, "cpu" or as torch writes it. The noise is the same on all: drawn on the CPU, by
        threads for several points at a time. Votes may differ where two scores agree to float32's rounding.

    Raises
    ------
    ValueError
        ``sigma`` is not positive, ``n0`` or ``n`` below 1, ``alpha`` outside (0, 1), ``random_state`` negative, a
        device that is not there.
    NotFittedError
        The classifier has not been fitted.

    Examples
    --------
    >>> from arml.networks import NetworkClassifier, SmoothedClassifier
    >>> network = NetworkClassifier("mlp", hidden=(), noise=0.5, epochs=100, learning_rate=0.1)
    >>> network = network.fit([[0.0], [1.0], [4.0], [5.0]], [0, 0, 1, 1])
    >>> found = SmoothedClassifier(network, 0.5, n=1000).certified_radii([[0.0], [5.0]])
    >>> found.prediction.tolist(), found.abstained.tolist()
    ([0, 1], [False, False])
    >>> found.radius.round(2).tolist()  # 0.5 Φ⁻¹(0.001^(1/1000)): all of 1000 samples agree
    [1.23, 1.23]
    """

    def __init__(
        self,
        classifier: NetworkClassifier,
        sigma: float,
        *,
        n0: int = 100,
        n: int = 10_000,
        alpha: float = 0.001,
        random_state: int = 0,
        device: str = "cpu",
    ) -> None:
        check_positive("sigma", sigma)
        check_int("n0", n0, 1)
        check_int("n", n, 1)
        check_int("random_state", random_state, 0)
        check_positive("alpha", alpha)
        check_device(device)
        check_is_fitted(classifier, "network_")
        if alpha >= 1:
            raise ValueError(f"alpha must be below 1, got {alpha!r}")
        self.classifier, self.sigma = classifier, float(sigma)
        self.n0, self.n, self.alpha, self.random_state = n0, n, float(alpha), random_state
        self._device = torch.device(device)
        self._network = classifier.network_.to(device, torch.float32)

    def certified_radii(self, X: ArrayLike, indices: ArrayLike | None = None) -> SmoothedRadii:
        """Predict X of shape (n, D) and certify each prediction (their function CERTIFY).

        Parameters
        ----------
        indices : array-like of shape (n,), optional
            Whole numbers that name the points: each has noise of its own, whatever it comes with. 0 … n − 1 by default.

        Returns
        -------
        SmoothedRadii
            The radii are about the predicted classes, right or wrong: compare ``prediction`` with the labels.

        Raises
        ------
        ValueError
            NaN or infinite features, another number of them than the network has, features so large that float32 does
            not tell apart what differs by a thousandth of σ, indices negative or not one a point.

        Notes
        -----
        Cost: n0 + n evaluations of the network a point.
        """
        points = self.read(X)
        names = point_names(indices, len(points))
        found = self._each(self._certified, points, names)
        prediction = self.classifier.classes_[np.array([code for code, _ in found], dtype=np.intp)]
        radius = np.array([length for _, length in found], dtype=np.float64)
        return SmoothedRadii(prediction, radius, radius == 0)

    def predict(self, X: ArrayLike, indices: ArrayLike | None = None) -> NDArray[Any]:
        """The class that n0 samples favour at X; parameters and errors as in :meth:`certified_radii`; shape (n,)."""
        points = self.read(X)
        names = point_names(indices, len(points))
        chosen = self._each(self._favoured, points, names)
        labels: NDArray[Any] = self.classifier.classes_[np.array(chosen, dtype=np.intp)]
        return labels

    def _each(
        self, ask: Callable[[NDArray[np.float64], int], _T], points: NDArray[np.float64], names: list[int]
    ) -> list[_T]:
        """What ``ask`` says of each point: a GPU outruns one thread that draws noise, so several points at a time."""
        with plain_sums(), ThreadPoolExecutor(_threads(self._device)) as pool:
            return list(pool.map(ask, points, names))

    def _certified(self, point: NDArray[np.float64], name: int) -> tuple[int, float]:
        """The favoured class of a point and its radius, 0 for an abstention."""
        favoured = self._favoured(point, name)
        return favoured, self._radius(int(self.counts(point, self.n, name, ESTIMATION)[favoured]))

    def read(self, X: ArrayLike) -> NDArray[np.float64]:
        """X of shape (n, D) as float64, where the network's float32 resolves the noise around it.

        Raises
        ------
        ValueError
            As :meth:`certified_radii`.
        """
        points = check_features(X, n_features=self.classifier.n_features_in_)
        largest = np.unravel_index(np.abs(points).argmax(), points.shape)
        with np.errstate(over="ignore"):
            step = np.float64(np.spacing(np.abs(points[largest]).astype(np.float32)))
        if not step <= _COARSEST * self.sigma:
            row, column = (int(place) for place in largest)
            raise ValueError(
                f"the network computes in float32, which near X = {points[largest]:g} (row {row}, column {column}) has "
                f"steps of {step:g}: too coarse for sigma = {self.sigma:g}; centre or scale features before training"
            )
        return points

    def _favoured(self, point: NDArray[np.float64], name: int) -> int:
        return int(self.counts(point, self.n0, name, SELECTION).argmax())

    def _radius(self, votes: int) -> float:
        from scipy.stats import norm

        low = lower_confidence_bound(votes, self.n, self.alpha)
        return float(self.sigma * norm.ppf(low) * _BELOW) if low > 0.5 else 0.0

    def counts(self, point: NDArray[np.float64], n: int, *key: int) -> NDArray[np.int64]:
        """How often each class comes for n noisy copies of a point of shape (D,), added in float64; shape (C,).

        ``key``: the point's name and what the noise is for.
        """
        x = torch.from_numpy(np.asarray(point, dtype=np.float64)).to(self._device)
        found: Tensor = torch.zeros(len(self.classifier.classes_), dtype=torch.int64, device=self._device)
        with torch.no_grad():
            for noise in gaussian_blocks(n, len(x), self.random_state, 3, *key):
                noisy = noise.to(self._device).double().mul_(self.sigma).add_(x)
                chosen = self._network(noisy.float()).argmax(dim=1)
                found += torch.bincount(chosen, minlength=len(found))
        counts: NDArray[np.int64] = found.cpu().numpy()
        return counts


def _threads(device: torch.device) -> int:
    return 1 if device.type == "cpu" else min(_THREADS, os.cpu_count() or 1)


def lower_confidence_bound(votes: int, n: int, alpha: float) -> float:
    """Clopper and Pearson's exact one-sided bound: a probability is at least this, with confidence 1 − alpha.

    Parameters
    ----------
    votes, n : int
        Successes among n independent trials.
    alpha : float in (0, 1)

    Returns
    -------
    float
        0 without successes.

    Raises
    ------
    ValueError
        Not 0 ≤ votes ≤ n with n ≥ 1, or alpha outside (0, 1).
    """
    if not (0 <= votes <= n and n >= 1 and 0 < alpha < 1):
        raise ValueError(f"0 <= votes <= n, n >= 1 and 0 < alpha < 1 must hold, got {votes!r}, {n!r} and {alpha!r}")
    from scipy.stats import beta

    return 0.0 if votes == 0 else float(beta.ppf(alpha, votes, n - votes + 1))


def point_names(indices: ArrayLike | None, n: int) -> list[int]:
    """Whole numbers of at least 0 that name n points: ``indices``, or 0 … n − 1. ValueError where they are not."""
    array = np.arange(n) if indices is None else np.asarray(indices)
    if array.shape != (n,) or array.dtype.kind not in "iu" or (array < 0).any():
        raise ValueError(f"indices must be {n} whole numbers of at least 0, one a point, got {indices!r}")
    return [int(name) for name in array]
