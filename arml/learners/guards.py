"""What a baseline would cost on N points, before it is fitted: whether the whole training set is within its limits.

Estimates depend on shapes alone, never on the machine or how busy it is, so that the same parameters fit the same
points everywhere. Memory is what the library allocates in float64; minutes are operations at the rate of one core
of the machine they were calibrated on (2020s server, 2.5 GHz class; see each estimate).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arml.learners.base import Indices, LearningError
from arml.learners.subsets import stratified_subset

__all__ = ["Estimate", "Limits", "estimate_itml", "estimate_lfda", "estimate_lmnn", "estimate_nca"]

_GIB = float(1 << 30)


@dataclass(frozen=True)
class Estimate:
    """Gibibytes and minutes that a fit would take."""

    memory: float
    minutes: float


def estimate_nca(n: int, width: int, sizes: Indices, max_iter: int) -> Estimate:
    """Eight N × N matrices; an iteration takes N² (62 + 0.065 D) ns.

    Measured, N = 1000 to 3000: 62 to 66 bytes per N² (D = 16), 64 ns (D = 16), 61 (D = 256), 113 (D = 784).
    """
    return Estimate(66 * n**2 / _GIB, max_iter * n**2 * (62 + 0.065 * width) * 1e-9 / 60)


def estimate_lmnn(n: int, width: int, sizes: Indices, max_iter: int) -> Estimate:
    """With every pair of points of different classes an impostor, the worst case: 16 D + 64 bytes a pair, and an
    iteration takes (80 + 0.2 D) ns a pair.

    Measured, N = 1000 to 3000: 79 to 99 ns (D = 16), 43 to 71 (D = 256), 237 to 480 (D = 784); memory of 20 to
    100 bytes a pair, since few pairs were impostors there.
    """
    pairs = (n**2 - int(np.square(sizes.astype(np.float64)).sum())) / 2
    return Estimate(pairs * (16 * width + 64) / _GIB, max_iter * pairs * (80 + 0.2 * width) * 1e-9 / 60)


def estimate_itml(n: int, width: int, sizes: Indices, max_iter: int, n_constraints: int | None) -> Estimate:
    """Distances between the constrained points; an iteration projects on each pair, whatever N is.

    Measured: 372 MiB for 7494 points (of which 5600 are constrained). A projection takes some 4.5 µs + 2 ns · D².
    """
    pairs = 2 * (n_constraints or 20 * sizes.size**2)
    constrained = min(n, 2 * pairs)
    return Estimate(2 * 8 * constrained**2 / _GIB, max_iter * pairs * (4500 + 2 * width**2) * 1e-9 / 60)


def estimate_lfda(n: int, width: int, sizes: Indices) -> Estimate:
    """Four matrices of the largest class and two copies of the points; all is done twice where features depend on
    each other, which is counted.

    Measured, MNIST: 96 s and 2.0 GiB for 60,000 points, 2.7 s for 3000.
    """
    largest = float(sizes.max())
    seconds = 2 * (float(np.square(sizes.astype(np.float64)).sum()) * (40 + 0.1 * width) + 10 * width**3) * 1e-9
    return Estimate((4 * 8 * largest**2 + 16 * n * width + 64 * width**2) / _GIB, seconds / 60)


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
        self, method: str, codes: Indices, estimate: Estimate, seed: int | None
    ) -> tuple[Indices | None, str, dict[str, float]]:
        """Rows to fit on (None: all), the reason, and the facts for the record.

        Raises
        ------
        LearningError
            The whole set is beyond a limit, and ``max_train`` is None.
        """
        limited = self.max_memory is not None or self.max_minutes is not None
        facts = {"estimated_gib": _rounded(estimate.memory), "estimated_minutes": _rounded(estimate.minutes)}
        over = [
            f"{_rounded(value):g} {unit} (limit {limit:g})"
            for value, limit, unit in (
                (estimate.memory, self.max_memory, "GiB"),
                (estimate.minutes, self.max_minutes, "minutes"),
            )
            if limit is not None and value > limit
        ]
        if limited and not over:
            return None, "", facts
        if over and self.max_train is None:
            raise LearningError(
                f"{method} on all {codes.size} points would need up to {' and '.join(over)}: set max_train to fit it "
                "on a stratified subset, or raise the limit"
            )
        if self.max_train is None or self.max_train >= codes.size:
            return None, "", facts
        reason = f"{method} on all {codes.size} points would need up to {' and '.join(over)}" if over else ""
        return stratified_subset(codes, self.max_train, seed), reason, facts


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
