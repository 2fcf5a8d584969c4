"""The sandwich: certificate ≤ exact radius ≤ norm of any successful attack, for every point and metric.

Whatever produced them, a lower bound above an upper bound of the same length is a bug, never noise. So the
report refuses to be written over one, or over results in which no bounds ever met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from arml.errors import ArmlError
from arml.results.parquet import table_provenance
from arml.results.rows import sort_keys
from arml.results.schemas import column, conform

# An attack's norm is rounded once, a bound at most a few times; certificates carry their own safe margin.
_ROUNDING = 1e-12
_LOWER_KINDS, _UPPER_KINDS = ("exact", "certified"), ("exact", "attacked")
PROBABILISTIC = ("smoothing",)
"""Algorithms whose radii hold with a probability: no lower bounds here, see :mod:`arml.report.networks`."""


class SandwichError(ArmlError):
    """Bounds contradict each other, or there were none to compare."""


@dataclass(frozen=True)
class Claim:
    """One row's side of a contradiction: its value, where it came from, and its file's provenance."""

    value: float
    kind: str
    algorithm: str
    status: str
    provenance: Mapping[str, Any] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.value!r} ({self.kind}, {self.algorithm}, {self.status})"


@dataclass(frozen=True)
class Violation:
    """A contradiction about one test point under one metric and K.

    ``reason`` is "bounds" (first is a lower bound above second, an upper bound), "label" or "prediction" (two
    rows disagree on what the point's label or predicted label is).
    """

    dataset: str
    method: str
    n_neighbors: int
    index: int
    reason: str
    first: Claim
    second: Claim

    def __str__(self) -> str:
        point = f"{self.dataset}/{self.method} K={self.n_neighbors} test row {self.index}"
        if self.reason == "bounds":
            return f"{point}: lower bound {self.first} > upper bound {self.second}"
        return f"{point}: {self.reason} {self.first} != {self.second}"


@dataclass(frozen=True)
class SandwichReport:
    """What the check saw.

    Attributes
    ----------
    violations : tuple of Violation
    comparisons : dict
        "certified <= attacked" etc. → number of points where a lower bound of the one kind and a finite upper
        bound of the other met. An exact interval's own ends count as "exact <= exact".
    """

    violations: tuple[Violation, ...]
    comparisons: dict[str, int]

    @property
    def n_comparisons(self) -> int:
        """Number of meetings of a lower with an upper bound."""
        return sum(self.comparisons.values())

    def raise_if_failed(self) -> None:
        """Raise SandwichError if there is a violation, or if nothing was compared; the gate of the report."""
        if self.violations:
            shown = "\n  ".join(str(violation) for violation in self.violations[:10])
            more = len(self.violations) - 10
            rest = f"\n  … and {more} more" if more > 0 else ""
            raise SandwichError(
                f"certificate <= exact <= attack is violated at {len(self.violations)} points "
                f"of {self.n_comparisons} comparisons; this is a bug, not noise:\n  {shown}{rest}"
            )
        if self.n_comparisons == 0:
            raise SandwichError(
                "nothing to compare: no test point has both a lower bound (exact or certified) and a finite "
                "upper bound (exact or attacked) for the same data set, method and K; check that verify, "
                "certify and attack share methods, n_neighbors and test rows"
            )


def check_sandwich(*tables: pa.Table, tolerance: float = _ROUNDING) -> SandwichReport:
    """Compare every lower with every upper bound on the same point, metric and K.

    Parameters
    ----------
    *tables : pyarrow.Table
        Result tables; those from `read_table` bring their provenance along. A K is compared with itself only.
    tolerance : float
        Relative slack for the rounding of the norms.

    Returns
    -------
    SandwichReport
        Call its ``raise_if_failed`` to make it a gate.
    """
    if not tables:
        return SandwichReport((), {})
    parts = [conform(t, "results", "cannot compare").replace_schema_metadata(None) for t in tables]
    source = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])
    table = pa.concat_tables(parts).combine_chunks()
    if table.num_rows == 0:
        return SandwichReport((), {})
    dataset, method, neighbors, _, _, index = sort_keys(table)
    keys = np.stack([dataset, method, neighbors, index])
    order = np.lexsort(keys[::-1])
    table, source, keys = table.take(pa.array(order)), source[order], keys[:, order]
    starts = np.flatnonzero(np.r_[True, (keys[:, 1:] != keys[:, :-1]).any(axis=0)])
    kind = column(table, "kind").astype(str)
    lower, upper = column(table, "lower"), column(table, "upper")
    sure = ~np.isin(column(table, "algorithm").astype(str), PROBABILISTIC)
    lower = np.where(np.isin(kind, _LOWER_KINDS) & sure, lower, -np.inf)
    upper = np.where(np.isnan(upper), np.inf, upper)
    highest, lowest = np.maximum.reduceat(lower, starts), np.minimum.reduceat(upper, starts)
    broken = {"bounds": highest > lowest * (1 + tolerance)}
    for name in ("label", "prediction"):
        values = column(table, name)
        broken[name] = np.maximum.reduceat(values, starts) != np.minimum.reduceat(values, starts)
    stops = np.r_[starts[1:], table.num_rows]
    provenances = [table_provenance(t) for t in tables]
    violations = []
    for reason, where in broken.items():
        for g in np.flatnonzero(where):
            rows = np.arange(starts[g], stops[g])
            up, down = (lower, upper) if reason == "bounds" else (column(table, reason),) * 2
            pair = rows[np.argmax(up[rows])], rows[np.argmin(down[rows])]
            first, second = (
                _claim(table, int(row), values[row], provenances[source[row]]) for row, values in zip(pair, (up, down))
            )
            point = table.slice(int(starts[g]), 1).to_pylist()[0]
            names = {key: point[key] for key in ("dataset", "method", "n_neighbors", "index")}
            violations.append(Violation(**names, reason=reason, first=first, second=second))
    return SandwichReport(tuple(violations), _count(kind, lower, upper, starts))


def _claim(table: pa.Table, row: int, value: Any, provenance: Mapping[str, Any]) -> Claim:
    facts = table.slice(row, 1).to_pylist()[0]
    return Claim(value.item(), facts["kind"], facts["algorithm"], facts["status"], provenance)


def _count(
    kind: NDArray[Any], lower: NDArray[np.float64], upper: NDArray[np.float64], starts: NDArray[np.int64]
) -> dict[str, int]:
    """Return for each pair of kinds at how many points a lower and a finite upper bound of theirs met."""
    has_lower = {k: np.maximum.reduceat((kind == k) & (lower >= 0), starts) for k in _LOWER_KINDS}
    has_upper = {k: np.maximum.reduceat((kind == k) & np.isfinite(upper), starts) for k in _UPPER_KINDS}
    counts = {f"{a} <= {b}": int((has_lower[a] & has_upper[b]).sum()) for a in _LOWER_KINDS for b in _UPPER_KINDS}
    return {pair: count for pair, count in counts.items() if count}
