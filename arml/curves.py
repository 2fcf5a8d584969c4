"""Robust-error curves and their confidence intervals; also the door to the sandwich check (`arml.results.sandwich`).

The error at radius r is the share of points whose value is ≤ r: with certificates or exact lower bounds it is
the certified robust error of eq. (3), never too small; with attack norms it is the empirical robust error of
eq. (4), never too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from arml.results.rows import concat, sort_keys
from arml.results.sandwich import Claim, SandwichError, SandwichReport, Violation, check_sandwich
from arml.results.schemas import column

__all__ = [
    "INTERVAL_ATTACK",
    "TIGHTENED",
    "Claim",
    "Curve",
    "SandwichError",
    "SandwichReport",
    "Violation",
    "check_sandwich",
    "error_counts",
    "groups",
    "robust_curves",
    "robust_error",
    "wilson_interval",
]

INTERVAL_ATTACK = "geometric"
"""What finds the upper ends of K-NN intervals (kind "exact", K > 1)."""
TIGHTENED = ("branching", INTERVAL_ATTACK)
"""The algorithms of the two curves of such intervals."""


def error_counts(values: ArrayLike, radii: ArrayLike) -> NDArray[np.int64]:
    """Return for each radius how many values are ≤ it.

    Parameters
    ----------
    values : array-like of shape (n,)
        Lengths; 0 is an error at every radius, +inf at none.
    radii : array-like of shape (R,)

    Returns
    -------
    ndarray of shape (R,) of int64

    Raises
    ------
    ValueError
        A value is NaN or negative, or a radius is negative or not finite.
    """
    lengths = np.sort(np.asarray(values, dtype=np.float64))
    at = np.asarray(radii, dtype=np.float64)
    if lengths.ndim != 1 or not (lengths >= 0).all():
        raise ValueError("values must be one-dimensional and hold neither NaN nor negative numbers")
    if not (np.isfinite(at) & (at >= 0)).all():
        raise ValueError(f"radii must be finite and not negative, got {at.tolist()}")
    return np.searchsorted(lengths, at, side="right").astype(np.int64)


def robust_error(values: ArrayLike, radii: ArrayLike) -> NDArray[np.float64]:
    """Return the robust error at each radius: the share of values ≤ it; eq. (3) and (4).

    Parameters
    ----------
    values : array-like of shape (n,)
        Lengths, n at least 1; 0 is an error at every radius, +inf at none.
    radii : array-like of shape (R,), or a number
        In the units of the values.

    Returns
    -------
    ndarray of shape (R,)
        Shares in [0, 1]; a number for a number.

    Raises
    ------
    ValueError
        There is no value, they have more than one dimension, one is NaN or negative, or a radius is negative or not
        finite.

    Notes
    -----
    Which error it is depends on the values: certified radii or exact lower bounds give one that no attack exceeds,
    norms of attacks one that the truth is no lower than. Cost: O((n + R) log n).

    Examples
    --------
    >>> from arml import robust_error
    >>> robust_error([0.0, 0.2, 0.5, float("inf")], [0.0, 0.2, 1.0]).tolist()  # misclassified, two broken, one never
    [0.25, 0.5, 0.75]
    """
    n = len(np.asarray(values))
    if n == 0:
        raise ValueError("robust_error needs at least one value")
    return error_counts(values, radii) / n


def wilson_interval(errors: ArrayLike, n: int, level: float = 0.95) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Wilson's score interval (low, high) of a rate, for `errors` failures among `n` points.

    It keeps its coverage near 0 and 1, where the textbook interval collapses to nothing.

    Parameters
    ----------
    errors : array-like of ints in [0, n]
    n : int, at least 1
    level : float in (0, 1)

    Returns
    -------
    low, high : ndarrays of the shape of `errors`

    Raises
    ------
    ValueError
        An argument is out of its range.
    """
    count = np.asarray(errors, dtype=np.float64)
    if n < 1 or not ((count >= 0) & (count <= n)).all():
        raise ValueError(f"errors must lie in [0, n] and n must be at least 1, got n={n}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level}")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    rate = count / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = np.where(count == 0, 0.0, np.maximum(centre - half, 0.0))
    high = np.where(count == n, 1.0, np.minimum(centre + half, 1.0))
    return low, high


@dataclass(frozen=True, eq=False)
class Curve:
    """The robust error of one method on one data set, as one kind of evidence shows it.

    Attributes
    ----------
    dataset, method, kind, algorithm : str
        What the rows are of, as :mod:`arml.results.schemas` has it.
    n_neighbors : int
        K.
    index : ndarray of shape (n,)
        Rows of the test file.
    values : ndarray of shape (n,)
        The points' lengths as counted: for "exact" and "certified" the lower bound (0 where the point is
        unsolved), for "attacked" the norm of the attack (+inf where none was found).
    wrong, unsolved : ndarrays of shape (n,) of bool
        Where the prediction is not the label; where the status is "unsolved" or "unattacked".
    gaps : ndarray of shape (n,)
        upper − lower of an exact interval that was left open (status "bounded"); 0 everywhere else.
    """

    dataset: str
    method: str
    kind: str
    algorithm: str
    n_neighbors: int
    index: NDArray[np.int64]
    values: NDArray[np.float64]
    wrong: NDArray[np.bool_]
    unsolved: NDArray[np.bool_]
    gaps: NDArray[np.float64]

    @property
    def n_points(self) -> int:
        """Number of test points, unsolved ones included."""
        return len(self.values)

    @property
    def n_unsolved(self) -> int:
        """Number of points that are counted without having been decided."""
        return int(self.unsolved.sum())

    @property
    def clean_error(self) -> float:
        """Share of points whose prediction is not their label."""
        return float(self.wrong.mean())

    def counts(self, radii: ArrayLike) -> NDArray[np.int64]:
        """Return the number of errors at each of `radii`, shape (R,); errors as in `error_counts`."""
        return error_counts(self.values, radii)

    def errors(self, radii: ArrayLike) -> NDArray[np.float64]:
        """Return the robust error at each of `radii`, shape (R,); errors as in `error_counts`."""
        return robust_error(self.values, radii)

    def restricted(self, index: ArrayLike) -> Curve:
        """Return the curve over those points only that are in `index` (to compare with a sample)."""
        keep = np.isin(self.index, np.asarray(index))
        parts = {name: getattr(self, name)[keep] for name in ("index", "values", "wrong", "unsolved", "gaps")}
        return replace(self, **parts)


def groups(table: pa.Table) -> Iterator[pa.Table]:
    """Split results into one table a (data set, method, K, kind, algorithm), in `concat`'s order."""
    table = concat([table])
    if table.num_rows == 0:
        return
    keys = np.stack(sort_keys(table)[:-1])
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    for start, stop in zip(starts, np.r_[starts[1:], table.num_rows]):
        yield table.slice(int(start), int(stop - start))


def robust_curves(table: pa.Table) -> list[Curve]:
    """Return the curve of every group of a results table; two of intervals for K > 1.

    Those (kind "exact", K > 1) give a certified curve, by the algorithm that proved the lower ends, and an attack
    curve of the upper ends, by the geometric attack. A point with status "unsolved" counts as an error at every radius
    for exact and certified curves, and as not broken for attack curves; no point is dropped.
    """
    curves = []
    for part in groups(table):
        first = part.slice(0, 1).to_pylist()[0]
        if first["kind"] == "exact" and first["n_neighbors"] > 1:
            curves += [_curve(part, "certified", first["algorithm"]), _curve(part, "attacked", INTERVAL_ATTACK)]
        else:
            curves.append(_curve(part, first["kind"], first["algorithm"]))
    return curves


def _curve(part: pa.Table, kind: str, algorithm: str) -> Curve:
    """The curve of one group, its rows taken as evidence of this kind."""
    first = part.slice(0, 1).to_pylist()[0]
    lower, upper = column(part, "lower"), column(part, "upper")
    status = column(part, "status").astype(str)
    unsolved = np.isin(status, ("unsolved", "unattacked"))
    values = np.where(np.isnan(upper), np.inf, upper) if kind == "attacked" else np.where(unsolved, 0.0, lower)
    is_open = (status == "bounded") & (kind == "exact")
    return Curve(
        dataset=first["dataset"],
        method=first["method"],
        kind=kind,
        algorithm=algorithm,
        n_neighbors=first["n_neighbors"],
        index=column(part, "index").astype(np.int64),
        values=values,
        wrong=np.asarray(column(part, "label") != column(part, "prediction")),
        unsolved=unsolved,
        gaps=np.subtract(upper, lower, where=is_open, out=np.zeros(len(lower))),
    )
