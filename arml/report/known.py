"""What a study knows of each point's K-NN radius: its strongest bounds together, whatever proved or broke the point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.curves import Curve, robust_error
from arml.report.published import ALGORITHMS
from arml.report.study import Study

__all__ = ["Known", "known_of", "known_of_methods"]

Floats = NDArray[np.float64]

_MET = 1e-6


@dataclass(frozen=True, eq=False)
class Known:
    """Bounds of one method on one data set, over the points that all its evidence has.

    Attributes
    ----------
    index : ndarray of shape (n,)
        Rows of the test file.
    lower, upper : ndarrays of shape (n,)
        The largest certified and the smallest attacked value of each point; upper is inf where no attack succeeded.
    wrong : ndarray of shape (n,) of bool
    certificates, attacks : tuples of str
        The algorithms, the paper's first; without an attack there is no upper bound.
    """

    dataset: str
    method: str
    n_neighbors: int
    index: NDArray[np.int64]
    lower: Floats
    upper: Floats
    wrong: NDArray[np.bool_]
    certificates: tuple[str, ...]
    attacks: tuple[str, ...]

    @property
    def n_points(self) -> int:
        """How many."""
        return len(self.index)

    def shares(self, radii: ArrayLike) -> Floats:
        """Shares of points proved robust, broken and neither at each radius, shape (R, 3)."""
        unproved, broken = robust_error(self.lower, radii), robust_error(self.upper, radii)
        return np.column_stack([1.0 - unproved, broken, unproved - broken])

    @property
    def looseness(self) -> float:
        """Median of upper / lower over the rightly classified points; inf where most have no bound on one side."""
        right = ~self.wrong & (self.upper > 0)
        if not right.any():
            return 1.0
        lower, upper = self.lower[right], self.upper[right]
        ratio = np.divide(upper, lower, out=np.full(upper.shape, np.inf), where=lower > 0)
        return float(np.median(ratio))

    @property
    def exact(self) -> float:
        """Share of the rightly classified points whose bounds meet, to 1e-6 of their value."""
        right = ~self.wrong
        lower, upper = self.lower[right], self.upper[right]
        finite = np.isfinite(upper)
        met = upper[finite] - lower[finite] <= _MET * upper[finite]
        return float(met.sum() / right.sum()) if right.any() else 1.0


def known_of(study: Study, dataset: str, method: str, n_neighbors: int, *, papers: bool = False) -> Known | None:
    """Join the evidence on one method; None without certificates. ``papers``: the paper's algorithms only."""
    certified, attacked = (
        [
            curve
            for curve in study.select(dataset, kind, n_neighbors, ALGORITHMS[kind] if papers else None)
            if curve.method == method
        ]
        for kind in ("certified", "attacked")
    )
    if not certified:
        return None
    everyone = _shared(certified)
    shared = _shared(certified + attacked)
    if not len(shared):
        attacked, shared = [], everyone
    lowers = [curve.restricted(shared) for curve in certified]
    uppers = [curve.restricted(shared).values for curve in attacked]
    return Known(
        dataset,
        method,
        n_neighbors,
        shared,
        np.max([curve.values for curve in lowers], axis=0),
        np.min(uppers, axis=0) if uppers else np.where(lowers[0].wrong, 0.0, np.inf),
        lowers[0].wrong,
        tuple(curve.algorithm for curve in certified),
        tuple(curve.algorithm for curve in attacked),
    )


def known_of_methods(study: Study, dataset: str, n_neighbors: int) -> list[tuple[Known, Known | None]]:
    """For each method all that is known, and what the paper's means tell of the same points.

    The latter is None where they are all there is, or were not used on all of these points.
    """
    pairs = []
    for method in study.methods:
        found = known_of(study, dataset, method, n_neighbors)
        if found is not None:
            pairs.append((found, _by_the_papers_means(study, found)))
    return pairs


def _by_the_papers_means(study: Study, known: Known) -> Known | None:
    theirs = known_of(study, known.dataset, known.method, known.n_neighbors, papers=True)
    if theirs is None or not theirs.attacks:
        return None
    if (theirs.certificates, theirs.attacks) == (known.certificates, known.attacks):
        return None
    keep = np.isin(theirs.index, known.index)
    if keep.sum() < known.n_points:
        return None
    parts = {name: getattr(theirs, name)[keep] for name in ("index", "lower", "upper", "wrong")}
    return replace(theirs, **parts)


def _shared(curves: Sequence[Curve]) -> NDArray[np.int64]:
    return np.asarray(reduce(np.intersect1d, [curve.index for curve in curves]))
