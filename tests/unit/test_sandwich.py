"""The gate: lower bounds never above upper bounds, and never nothing to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from arml.curves import SandwichError, check_sandwich
from arml.results import attacked_table, certified_table, exact_table, read_table, write_table
from tests.unit.report_data import tables

POINT: dict[str, Any] = {"dataset": "toy", "method": "arml", "label": [0, 1, 1], "prediction": [0, 1, 0]}


def exact(lower: list[float], upper: list[float], **change: Any) -> pa.Table:
    status = ["exact", "exact", "misclassified"]
    return exact_table(**(POINT | {"lower": lower, "upper": upper, "status": status} | change))


def certified(radius: list[float], k: int = 1, **change: Any) -> pa.Table:
    return certified_table(**(POINT | {"n_neighbors": k, "radius": radius} | change))


def attacked(norm: list[float], k: int = 1, **change: Any) -> pa.Table:
    status = ["bounded" if np.isfinite(value) else "unsolved" for value in norm]
    given = POINT | {"n_neighbors": k, "norm": norm, "index": [0, 1, 2], "status": status}
    return attacked_table(**(given | change))


def test_consistent_results_pass_and_every_meeting_is_counted() -> None:
    report = check_sandwich(*tables(("pendigits",), sample=50))
    report.raise_if_failed()
    assert report.violations == ()
    assert set(report.comparisons) == {
        "certified <= exact",
        "certified <= attacked",
        "exact <= exact",
        "exact <= attacked",
    }
    assert report.comparisons["certified <= exact"] == 6 * (1200 + 25)  # and the tightened ones
    assert report.n_comparisons == sum(report.comparisons.values())


def test_equal_bounds_are_no_violation() -> None:
    report = check_sandwich(exact([0.5, 0.25, 0], [0.5, 0.25, 0]), certified([0.5, 0.25, 0]), attacked([0.5, 0.25, 0]))
    report.raise_if_failed()


@pytest.mark.parametrize(
    ("pair", "first", "second"),
    [
        ((certified([0.5, 0.3, 0]), exact([0.5, 0.2, 0], [0.5, 0.2, 0])), "certified", "exact"),
        ((certified([0.5, 0.3, 0], 11), attacked([0.5, 0.2, 0], 11)), "certified", "attacked"),
        ((exact([0.5, 0.3, 0], [0.5, 0.3, 0]), attacked([0.6, 0.2, 0])), "exact", "attacked"),
        ((exact([0.5, 0.3, 0], [0.5, 0.2, 0]),), "exact", "exact"),
    ],
)
def test_violation_is_found_with_both_values(pair: tuple[pa.Table, ...], first: str, second: str) -> None:
    report = check_sandwich(*pair)
    (violation,) = report.violations
    assert (violation.dataset, violation.method, violation.index) == ("toy", "arml", 1)
    assert (violation.reason, violation.first.kind, violation.second.kind) == ("bounds", first, second)
    assert (violation.first.value, violation.second.value) == (0.3, 0.2)
    with pytest.raises(SandwichError, match=r"violated at 1 points(.|\n)*toy/arml K=\d+ test row 1: .*0\.3 .*> .*0\.2"):
        report.raise_if_failed()


def test_the_smallest_excess_above_rounding_is_found() -> None:
    lower = [0.5 * (1 + 1e-11), 0.25, 0]
    assert len(check_sandwich(certified(lower), attacked([0.5, 0.25, 0])).violations) == 1
    lower = [0.5 * (1 + 1e-15), 0.25, 0]
    assert len(check_sandwich(certified(lower), attacked([0.5, 0.25, 0])).violations) == 0
    assert len(check_sandwich(certified(lower), attacked([0.5, 0.25, 0]), tolerance=0.0).violations) == 1


def test_violation_carries_the_provenance_of_both_files(tmp_path: Path) -> None:
    write_table(tmp_path / "c", certified([0.5, 0.3, 0]), "results", {"stage": "certify", "code": "abc"})
    write_table(tmp_path / "a", attacked([0.4, 0.4, 0]), "results", {"stage": "attack", "code": "def"})
    (violation,) = check_sandwich(*(read_table(tmp_path / name, "results") for name in "ca")).violations
    assert violation.first.provenance == {"stage": "certify", "code": "abc"}
    assert violation.second.provenance == {"stage": "attack", "code": "def"}
    assert str(violation) == (
        "toy/arml K=1 test row 0: lower bound 0.5 (certified, theorem1, bounded) > "
        "upper bound 0.4 (attacked, boundary, bounded)"
    )


def test_only_the_same_k_method_and_row_are_compared() -> None:
    others = [
        attacked([0.1, 0.1, 0], 11),
        attacked([0.1, 0.1, 0], method="nca"),
        attacked([0.1, 0.1, 0], dataset="other"),
        attacked([0.1, 0.1, 0], index=[3, 4, 5]),
    ]
    report = check_sandwich(certified([0.5, 0.3, 0]), *others)
    assert report.violations == () and report.n_comparisons == 0


@pytest.mark.parametrize(
    "alone",
    [
        [],
        [certified([0.5, 0.3, 0])],
        [attacked([0.5, 0.3, 0])],
        [certified([0.5, 0.3, 0], 11), attacked([0.5, 0.3, 0], 1)],
        [certified([0.5, 0.3, 0]).slice(0, 2), attacked([np.inf, np.inf, 0.0]).slice(0, 2)],
        [certified([0.5, 0.3, 0]).slice(0, 0)],
    ],
    ids=["nothing", "certificates", "attacks", "different K", "no attack succeeded", "no rows"],
)
def test_a_gate_with_nothing_to_compare_fails(alone: list[pa.Table]) -> None:
    report = check_sandwich(*alone)
    assert report.n_comparisons == 0
    with pytest.raises(SandwichError, match="nothing to compare"):
        report.raise_if_failed()


def test_disagreement_on_label_or_prediction_is_a_violation() -> None:
    base = certified([0.1, 0.1, 0])
    other = attacked([0.5, 0.5, 0.5], prediction=[0, 1, 1])
    (violation,) = check_sandwich(base, other).violations
    assert (violation.reason, violation.index) == ("prediction", 2)
    assert {violation.first.value, violation.second.value} == {0, 1}
    assert "K=1 test row 2: prediction 1" in str(violation)
    relabelled = attacked([0.5, 0.5, 0.5], label=[0, 1, 2])
    assert [violation.reason for violation in check_sandwich(base, relabelled).violations] == ["label"]


def test_many_violations_are_counted_and_the_first_shown() -> None:
    n = 40
    same: dict[str, Any] = {"dataset": "toy", "method": "nca", "label": [0] * n, "prediction": [0] * n}
    low = certified_table(**same, n_neighbors=3, radius=[0.2] * n)
    high = attacked_table(**same, n_neighbors=3, index=range(n), norm=[0.1] * n, status=["bounded"] * n)
    with pytest.raises(SandwichError, match=r"violated at 40 points of 40 comparisons(.|\n)*… and 30 more"):
        check_sandwich(low, high).raise_if_failed()
