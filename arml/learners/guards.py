"""What a baseline would cost on N points, before it is fitted: whether the whole training set is within its limits.

Estimates depend on shapes alone, never on the machine or how busy it is, so that the same parameters fit the same
points everywhere. Memory is what the library allocates at its peak in float64, measured with ``tracemalloc``, which
counts the same on every machine. Minutes are the operations of all iterations allowed at the rate of one core of the
machine they were calibrated on (a virtual server of the 2020s): a fit that converges early takes less, another
machine takes other times and makes the same choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from arml.learners.base import Indices, LearningError
from arml.learners.subsets import stratified_subset

__all__ = [
    "Estimate",
    "Limits",
    "estimate_blocked_lmnn",
    "estimate_blocked_nca",
    "estimate_itml",
    "estimate_lfda",
    "estimate_lmnn",
    "estimate_nca",
]

_GIB = float(1 << 30)
_NS_PER_MINUTE = 6e10
_BLOCK = float(1 << 22)  # bytes of a block of distances


@dataclass(frozen=True)
class Estimate:
    """Gibibytes and minutes that a fit would take."""

    memory: float
    minutes: float


def estimate_nca(n: int, width: int, sizes: Indices, max_iter: int) -> Estimate:
    """Eight N × N matrices of float64 and two of bool; L-BFGS holds some forty copies of G.

    Memory 66 N² + 320 D² bytes: 0.99 to 1.03 times the measured peak (N = 500 to 4000, all six data sets). An
    iteration takes N² (60 + 0.15 D) ns: measured 47 to 73 a pair of points (D = 16, 36), 58 to 72 (D = 256), 113 to
    230 (D = 784).
    """
    nanoseconds = max_iter * n**2 * (60 + 0.15 * width)
    return Estimate((66 * n**2 + 320 * width**2) / _GIB, nanoseconds / _NS_PER_MINUTE)


def estimate_blocked_nca(n: int, width: int, sizes: Indices, max_iter: int) -> Estimate:
    """A few copies of the points and of G, and one block; two evaluations an iteration.

    An evaluation takes N² (2.5 + 0.11 D) ns: measured 4.0 a pair of points (D = 16), 5.8 (36), 30 (256). One to two
    evaluations an iteration were seen.
    """
    memory = 8 * n * (6 * width + 8) + min(8 * n**2, _BLOCK) + 320 * width**2
    nanoseconds = 2 * max_iter * n**2 * (2.5 + 0.11 * width)
    return Estimate(memory / _GIB, nanoseconds / _NS_PER_MINUTE)


def estimate_lmnn(n: int, width: int, sizes: Indices, max_iter: int, n_neighbors: int) -> Estimate:
    """Pairs of points of different classes decide: how many are impostors is up to the data.

    Memory: 16 D + 64 bytes an impostor. Measured at the start, 0.24 of the pairs are impostors (satimage, D = 36),
    0.07 (pendigits, 16), 0.04 (splice, 60), 0.005 (usps, 256), 0.012 (fashion-mnist, 784): at most 160 bytes a pair.
    Differences to the target neighbours take 16 D bytes each besides. An upper bound: 1.1 times the measured peak on
    satimage, 1.3 on fashion-mnist, 2 to 11 elsewhere (N = 500 to 3000).

    An iteration takes (100 + 0.2 D) ns a pair and 0.15 D³: measured 81 to 96 a pair (D = 16), 47 to 86 (60),
    33 to 71 (256), 183 to 706 (784), but 380 on satimage with its many impostors.
    """
    pairs = (n**2 - float(np.square(sizes.astype(np.float64)).sum())) / 2
    memory = 160 * pairs + 16 * n_neighbors * n * width + 40 * width**2
    nanoseconds = max_iter * (pairs * (100 + 0.2 * width) + 0.15 * width**3)
    return Estimate(memory / _GIB, nanoseconds / _NS_PER_MINUTE)


def estimate_blocked_lmnn(n: int, width: int, sizes: Indices, max_iter: int, n_neighbors: int) -> Estimate:
    """Some copies of the points, a block, and a list of the pairs near a margin, of at most 2²² while it grows.

    Memory: an upper bound, since how many are listed is up to the data. Time: 3 ns a pair of different classes and
    0.2 N D² + 0.15 D³ an iteration; measured, all in all: 0.8 a pair (pendigits, D = 16), 3.0 (satimage, 36), 9 (usps,
    256, on a busy core; the formula gives 7).
    """
    pairs = (n**2 - float(np.square(sizes.astype(np.float64)).sum())) / 2
    lists = 80 * min(pairs, 2.0**22) + min(200 * pairs, 25 * _BLOCK)
    memory = 64 * n * (width + n_neighbors) + lists + 64 * width**2
    nanoseconds = max_iter * (3 * pairs + 0.2 * n * width**2 + 0.15 * width**3)
    return Estimate(memory / _GIB, nanoseconds / _NS_PER_MINUTE)


def estimate_itml(n: int, width: int, sizes: Indices, max_iter: int, n_constraints: int | None) -> Estimate:
    """First the distances between all c constrained points, then three copies of the P pairs.

    P pairs drawn at random touch c = N (1 − exp(−2P / N)) points. Memory: the larger of 16 c² + (16 P + 8 c) D and
    50 P D + 24 D² bytes: 0.98 to 1.09 times the measured peak (N = 500 to 3000). A projection on a pair takes
    4.5 µs + 1.2 ns · D², whatever N is: measured 4.3 (D = 16), 48 to 91 (256), 420 to 770 (784). Fewer points make it
    no faster; fewer constraints or iterations do.
    """
    pairs = 2 * (n_constraints or 20 * sizes.size**2)
    constrained = -n * np.expm1(-2 * pairs / n)
    bounds = 16 * constrained**2 + (16 * pairs + 8 * constrained) * width
    memory = max(bounds, 50.0 * pairs * width + 24 * width**2)
    return Estimate(memory / _GIB, max_iter * pairs * (4500 + 1.2 * width**2) / _NS_PER_MINUTE)


def estimate_lfda(n: int, width: int, sizes: Indices) -> Estimate:
    """Five matrices of the largest class and two copies of the points; all is done twice where features depend on
    each other, which is counted.

    Memory: 1.0 to 1.5 times the measured peak (N = 500 to 3000). Measured on MNIST: 96 s and 2.0 GiB resident for
    60,000 points, 2.7 s for 3000.
    """
    largest = float(sizes.max())
    nanoseconds = 2 * (float(np.square(sizes.astype(np.float64)).sum()) * (40 + 0.1 * width) + 10 * width**3)
    return Estimate((5 * 8 * largest**2 + 16 * n * width + 48 * width**2) / _GIB, nanoseconds / _NS_PER_MINUTE)


@dataclass(frozen=True)
class Limits:
    """How much of the training set a baseline may be fitted on.

    Attributes
    ----------
    max_train : int or None
        Points of the stratified subset.
    max_memory : float or None
        GiB.
    max_minutes : float or None
        With both None, ``max_train`` alone decides.
    """

    max_train: int | None
    max_memory: float | None
    max_minutes: float | None

    def choose(
        self, method: str, codes: Indices, estimate: Callable[[Indices], Estimate], seed: int | None
    ) -> tuple[Indices | None, tuple[str, ...], dict[str, Any]]:
        """Decide what to fit on.

        Parameters
        ----------
        method : str
            For the messages.
        codes : ndarray of shape (n,)
            Class codes 0 … C − 1.
        estimate : callable
            The estimate for a set with these codes.
        seed : int or None
            Of the subset.

        Returns
        -------
        rows : ndarray of shape (max_train,) or None
            None: all.
        notes : tuple of str
            Which limit the whole set would exceed, and what exceeds it even so.
        facts : dict
            The estimate for the whole set, the limits and the decision.

        Raises
        ------
        LearningError
            The whole set is beyond a limit, and ``max_train`` is None.
        """
        whole = estimate(codes)
        over = self._over(whole)
        if over and self.max_train is None:
            raise LearningError(
                f"{method} on all {codes.size} points would need about {over}: set max_train to fit it on a "
                "stratified subset, or raise the limit"
            )
        unlimited = self.max_memory is None and self.max_minutes is None
        rows, notes = None, []
        if over:
            notes.append(f"{method} on all {codes.size} points would need about {over}")
        if self.max_train is not None and self.max_train < codes.size and (over or unlimited):
            rows = stratified_subset(codes, self.max_train, seed)
            if still := self._over(estimate(codes[rows])):
                notes.append(f"on the {rows.size} points used still about {still}")
        elif over:
            notes.append(f"fitted on all points even so: max_train is {self.max_train}")
        facts = {
            "estimated_gib": _rounded(whole.memory),
            "estimated_minutes": _rounded(whole.minutes),
            "limit_gib": self.max_memory,
            "limit_minutes": self.max_minutes,
            "on_subset": rows is not None,
        }
        return rows, tuple(notes), facts

    def _over(self, estimate: Estimate) -> str:
        """What of the estimate is beyond its limit, or ''."""
        candidates = ((estimate.memory, self.max_memory, "GiB"), (estimate.minutes, self.max_minutes, "minutes"))
        return " and ".join(
            f"{_rounded(value):g} {unit} (limit {limit:g})"
            for value, limit, unit in candidates
            if limit is not None and value > limit
        )


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
