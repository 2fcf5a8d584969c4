"""What is timed: the data sets, the synthetic series, and the implementations side by side."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arml import datasets
from arml.certify import certified_radii
from arml.verify import exact_radii
from tests.benchmarks import straightforward
from tests.golden.mirror import MIRROR

QUICK = bool(os.environ.get("ARML_BENCH_QUICK"))
ROUNDS = 1 if QUICK else 3

EXACT, THEOREM1 = "exact 1-NN", "Theorem 1"
TASKS = (EXACT, THEOREM1)
OURS, OURS_SAME, STRAIGHTFORWARD = "ours", "ours, same points", "straightforward"
WHO = (OURS, OURS_SAME, STRAIGHTFORWARD)
N_NEIGHBORS = 11


class Arrays(NamedTuple):
    """Training set and test points."""

    X_train: NDArray[np.float64]
    y_train: NDArray[np.int64]
    X: NDArray[np.float64]
    y: NDArray[np.int64]

    def first(self, n: int) -> Arrays:
        """The same training set with the first n points."""
        return self._replace(X=self.X[:n], y=self.y[:n])


@dataclass(frozen=True)
class Sizes:
    """How many test points: ``ours`` in a batch, of which the first ``few`` go to the straightforward one too."""

    ours: int
    few: int


_ALL = {
    "pendigits": Sizes(1000, 20),
    "satimage": Sizes(1000, 20),
    "usps": Sizes(500, 10),
    "mnist": Sizes(132, 2),
}
_FROM_PACKAGE = ("pendigits", "satimage")
HAS_MIRROR = MIRROR.is_dir()
DATA_SETS = {name: sizes for name, sizes in _ALL.items() if HAS_MIRROR or name in _FROM_PACKAGE}
if QUICK:
    DATA_SETS = {"pendigits": Sizes(40, 3)}

# exact radii differ in cost from point to point, the full matrix of Theorem 1 does not
GROWTH_SIZES = {EXACT: Sizes(100, 20), THEOREM1: Sizes(100, 3)}
if QUICK:
    GROWTH_SIZES = dict.fromkeys(TASKS, Sizes(20, 2))
BASE = {"N": 800, "D": 16, "K": 11} if QUICK else {"N": 4000, "D": 32, "K": N_NEIGHBORS}
GROWTH: dict[str, tuple[int, ...]] = (
    {"N": (400, 800, 1600), "D": (8, 16, 32), "K": (1, 11, 41)}
    if QUICK
    else {
        "N": (1000, 2000, 4000, 8000, 16000, 32000),
        "D": (8, 16, 32, 64, 128, 256, 512),
        "K": (1, 3, 5, 11, 21, 41, 81),
    }
)


@functools.cache
def real(name: str) -> Arrays:
    """A data set and the paper's sample of its test points."""
    if HAS_MIRROR:
        data = datasets.load(name, source="mirror", mirror=str(MIRROR))
    else:
        data = datasets.load(name, source="package")
    return Arrays(data.X_train, data.y_train, *datasets.paper_sample(data))


@functools.lru_cache(maxsize=1)
def synthetic(n_train: int, n_features: int) -> Arrays:
    """Ten classes of five clouds each, of eight intrinsic dimensions turned into D, with 2 % of noise on each."""
    generator = np.random.default_rng([n_train, n_features])
    latent, n_classes, clouds = min(8, n_features), 10, 5
    n = n_train + max(sizes.ours for sizes in GROWTH_SIZES.values())
    centers = generator.normal(size=(n_classes * clouds, latent))
    cloud = np.concatenate([np.arange(n_classes * clouds), generator.integers(n_classes * clouds, size=n)])[:n]
    turn = np.linalg.qr(generator.normal(size=(n_features, latent)))[0]
    X = (centers[cloud] + 0.4 * generator.normal(size=(n, latent))) @ turn.T
    X += 0.02 * generator.normal(size=X.shape)
    y = cloud % n_classes
    return Arrays(X[:n_train], y[:n_train], X[n_train:], y[n_train:])


def solve(task: str, who: str, arrays: Arrays, n_neighbors: int = N_NEIGHBORS) -> NDArray[np.float64]:
    """Radii; for our exact ones both bounds, shape (2, n)."""
    if who == STRAIGHTFORWARD:
        if task == EXACT:
            return straightforward.exact_one_nn(*arrays, None)
        return straightforward.theorem1(*arrays, None, n_neighbors)
    if task == EXACT:
        result = exact_radii(*arrays)
        return np.stack([result.lower, result.upper])
    return certified_radii(*arrays, n_neighbors=n_neighbors)
