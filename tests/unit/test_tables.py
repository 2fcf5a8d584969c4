"""Tables: the numbers, the paper's beside them, and the words around."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pytest

from arml.errors import DataError
from arml.report.published import PaperValue, paper_value
from arml.report.stage_costs import costs_csv, costs_markdown
from arml.report.study import Study, build_study
from arml.report.tables import (
    cells,
    errors_csv,
    overview_markdown,
    table1_curves,
    table1_markdown,
    table2_curves,
    table2_markdown,
)
from arml.report.verdict import verdict_lines
from arml.results import attacked_table, certified_table, exact_table, timings_table
from tests.unit.report_data import study as made_up
from tests.unit.report_data import timings

RADII = (0.0, 0.1, 0.2)


def small(dataset: str = "pendigits", k: int = 11, **more: Any) -> Study:
    """Ten points, two methods: Euclidean misses one point, ARML ties on one and leaves an interval open."""
    label = np.zeros(10, dtype=int)
    missed = label.copy()
    missed[9] = 1
    status = ["exact"] * 10
    euclid = [0.05, 0.1, 0.1, 0.15, 0.2, 0.25, 0.3, 0.3, 0.3, 0.0]
    ours = [0.0, 0.15, 0.15, 0.15, 0.25, 0.25, 0.3, 0.3, 0.3, 0.3]
    upper = [0.0, 0.15, 0.15, 0.15, 0.25, 0.25, 0.3, 0.3, 0.3, 0.42]
    plain: dict[str, Any] = {"dataset": dataset, "method": "euclidean", "label": label, "prediction": missed}
    arml: dict[str, Any] = {"dataset": dataset, "method": "arml", "label": label, "prediction": label}
    results = [
        exact_table(**plain, lower=euclid, upper=euclid, status=[*status[:9], "misclassified"]),
        exact_table(**arml, lower=ours, upper=upper, status=[*status[:9], "bounded"]),
        certified_table(**plain, n_neighbors=k, radius=np.array(euclid) * 0.5),
        certified_table(**arml, n_neighbors=k, radius=np.array(ours) * 0.5),
        attacked_table(
            dataset=dataset,
            method="arml",
            n_neighbors=k,
            index=[0, 1, 2, 3],
            label=label[:4],
            prediction=label[:4],
            norm=[0.1, 0.15, 0.3, np.inf],
            status=["bounded", "bounded", "bounded", "unsolved"],
        ),
    ]
    return build_study(results, radii={dataset: RADII}, **more)


TABLE_1 = """\
# Table 1: exact robust errors of Mahalanobis 1-NN

Share of test points whose minimal perturbation is at most the radius (ℓ2, in the preprocessed features), \
the lowest value of a column in bold; unsolved points are counted, never dropped. \
In brackets the paper's value, and measured − paper.

## pendigits

**Robust error (exact), 1-NN**: exact by quadratic programs, 10 test points.

| method    | clean |                 r = 0 |                   r = 0.1 \
|                   r = 0.2 | points | unsolved |
| --------- | ----: | --------------------: | ------------------------: \
| ------------------------: | -----: | -------: |
| Euclidean | 0.100 | 0.100 (0.032, +0.068) |     0.400 (0.119, +0.281) \
|     0.600 (0.347, +0.253) |     10 |        0 |
| ARML      | 0.000 | 0.100 (0.028, +0.072) | **0.100** (0.115, −0.015) \
| **0.400** (0.344, +0.056) |     10 |        0 |

95 % intervals (Wilson): at most ±0.260. Largest difference from the paper: +0.281 (Euclidean at 0.1). \
The paper's values are for a sample of 1000 test points. \
ARML: 1 of the intervals left open (gap ≤ 0.12), counted at the lower end.

Fits:

- ARML: fitted on a stratified subset of 5 of 8 points; not converged after 30 iterations.
"""

TABLE_2 = """\
# Table 2: certified and empirical robust errors of Mahalanobis 11-NN

Share of test points whose minimal perturbation is at most the radius (ℓ2, in the preprocessed features), \
the lowest value of a column in bold; unsolved points are counted, never dropped. \
†: the paper's value is for another split of the same data. In brackets the paper's value, and measured − paper.

## splice-keel

**Certified robust error, 11-NN**: Theorem 1, 10 test points.

| method    | clean |          r = 0 |            r = 0.1 |        r = 0.2 | points | unsolved |
| --------- | ----: | -------------: | -----------------: | -------------: | -----: | -------: |
| Euclidean | 0.100 | 0.100 (0.333†) |     0.600 (0.558†) | 1.000 (0.826†) |     10 |        0 |
| ARML      | 0.000 | 0.100 (0.128†) | **0.400** (0.221†) | 1.000 (0.345†) |     10 |        1 |

95 % intervals (Wilson): at most ±0.260. The paper's values are for a sample of 1000 test points.

**Empirical robust error, 11-NN**: Boundary Attack, 800 steps a point (paper: 25000), 4 attacked test points.

| method |          r = 0 |        r = 0.1 |        r = 0.2 | points | unsolved |
| ------ | -------------: | -------------: | -------------: | -----: | -------: |
| ARML   | 0.000 (0.128†) | 0.250 (0.196†) | 0.500 (0.273†) |      4 |        1 |

95 % intervals (Wilson): at most ±0.350. The error at radius 0 is the clean error. \
The paper's values are for a sample of 1000 test points.

**Decided, 11-NN**: proved robust / broken / unknown, by Theorem 1 on the one side and Boundary Attack on the other, \
on the 4 test points that have them all.

| method |              r = 0 |            r = 0.1 |            r = 0.2 | upper/lower | exact |
| ------ | -----------------: | -----------------: | -----------------: | ----------: | ----: |
| ARML   | .750 / .000 / .250 | .000 / .250 / .750 | .000 / .500 / .500 |         inf | 0.000 |

upper/lower: median over the rightly classified points of shortest attack over largest certificate; exact: the share \
of them where the two meet. Not attacked here: Euclidean.
"""


def test_table1_in_markdown() -> None:
    fit = {"n_fit_samples": 5, "n_train": 8, "n_iter": 30, "converged": False, "notes": []}
    assert table1_markdown(small(fits={"pendigits": {"arml": fit}})) == TABLE_1


def test_table2_in_markdown_for_another_split_of_the_papers_data() -> None:
    assert table2_markdown(small("splice-keel", params={"attack": {"steps": 800}})) == TABLE_2


def test_csv_has_every_cell_with_interval_paper_and_difference() -> None:
    study = small()
    rows = list(csv.DictReader(io.StringIO(errors_csv(study, table1_curves(study)))))
    assert len(rows) == 2 * len(RADII)
    high = float(rows[4].pop("high"))
    assert high == pytest.approx(0.40415, abs=1e-6)
    assert rows[4] == {
        "dataset": "pendigits",
        "method": "arml",
        "kind": "exact",
        "algorithm": "qp",
        "n_neighbors": "1",
        "radius": "0.1",
        "error": "0.1",
        "low": "0.017876",
        "n_errors": "1",
        "n_points": "10",
        "unsolved": "0",
        "clean_error": "0.0",
        "paper": "0.115",
        "paper_split": "same",
        "difference": "-0.015",
        "best": "true",
    }


def test_no_difference_is_given_for_another_split_or_an_unknown_data_set() -> None:
    other, own = small("splice-keel"), small("own-data")
    for cell in cells(other, other.curves):
        assert cell.paper_split == "other" and cell.paper is not None and cell.difference is None
    for cell in cells(own, own.curves):
        assert cell.paper_split == "" and cell.paper is None and cell.difference is None
    assert "(" not in table1_markdown(own).split("| ---")[1].split("95 %")[0]
    assert "paper's values" not in table1_markdown(own)


def test_the_papers_values_are_found_only_where_they_belong() -> None:
    assert paper_value("pendigits", "arml", "exact", 1, 0.1 + 0.2) == PaperValue(0.598, True)
    assert paper_value("pendigits", "euclidean", "certified", 11, 0.5) == PaperValue(0.937, True)
    assert paper_value("splice-keel", "nca", "attacked", 11, 0.1) == PaperValue(0.173, False)
    assert paper_value("splice", "nca", "attacked", 11, 0.1) == PaperValue(0.173, True)
    assert paper_value("pendigits", "arml", "exact", 1, 0.15) is None
    assert paper_value("pendigits", "arml", "certified", 5, 0.1) is None
    assert paper_value("pendigits", "mine", "exact", 1, 0.1) is None


def test_table2_shows_the_papers_k_or_else_the_largest() -> None:
    assert {curve.n_neighbors for curve in table2_curves(made_up(("pendigits",)))} == {11}
    five = small(k=5)
    assert "5-NN" in table2_markdown(five) and "(0." not in table2_markdown(five)


def test_overview_is_at_the_middle_radius() -> None:
    text = overview_markdown(small())
    assert "| method    | pendigits, r = 0.2 (10 points) |" in text and "pendigits, r = 0.2 (4 points) |" in text
    assert "| ARML      |      **0.400** (0.344, +0.056) |" in text
    assert "| Euclidean |                               |" in text  # not attacked
    assert small().middle_radius("pendigits") == 0.2
    assert made_up(("satimage",)).middle_radius("satimage") == 0.45


def test_no_method_is_best_where_all_tie() -> None:
    at_zero = [cell for cell in cells(small(), table1_curves(small())) if cell.radius == 0]
    assert [cell.error for cell in at_zero] == [0.1, 0.1]
    assert not any(cell.best for cell in at_zero)


def test_a_method_name_from_outside_the_paper_comes_last() -> None:
    label = np.zeros(3, dtype=int)
    tables = [
        exact_table(
            dataset="own",
            method=name,
            label=label,
            prediction=label,
            lower=[1] * 3,
            upper=[1] * 3,
            status=["exact"] * 3,
        )
        for name in ("zeta", "mine", "arml")
    ]
    lines = table1_markdown(build_study(tables, radii={"own": RADII})).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("|")][2:] == ["ARML", "mine", "zeta"]


def test_a_study_needs_results_and_radii() -> None:
    empty = exact_table(dataset="t", method="m", label=[], prediction=[], lower=[], upper=[], status=[])
    with pytest.raises(DataError, match="every table is empty"):
        build_study([empty], radii={})
    tables = [small_table()]
    with pytest.raises(DataError, match="no positive radius is given for toy"):
        build_study(tables, radii={"toy": (0.0,)})


def small_table() -> Any:
    return exact_table(
        dataset="toy", method="arml", label=[0], prediction=[0], lower=[1.0], upper=[1.0], status=["exact"]
    )


def test_fit_notes_say_what_was_not_plain() -> None:
    study = made_up(("pendigits",))
    assert study.fit_notes("pendigits") == [
        "NCA: fitted on a stratified subset of 1500 of 7494 points; not converged after 30 iterations.",
        "LFDA: 1 constant feature left out; local scaling as the package does it.",
    ]
    assert study.on_subset() == ["nca"]


def test_runtimes_are_summed_over_parts() -> None:
    text = costs_markdown(timings())
    assert "| train  |   ARML |     |   20.25 |       39.50 |   7494 |          190 |      310 |" in text
    assert "| verify |   ARML |   1 |    3.00 |        2.50 |   1200 |          480 |      310 |" in text
    assert "Together 23.2 s, 42.0 CPU seconds. Peak memory is the whole process's, other tasks beside it" in text
    header, _, verified = costs_csv(timings()).splitlines()
    assert verified == "pendigits,verify,arml,1,3.0,2.5,1200,480.0,310.4"  # of CPU seconds: 2.5, not 3
    assert header.endswith(",cpu_seconds,n_points,points_per_cpu_second,peak_memory_mib")


def test_runtimes_come_in_the_order_of_the_stages() -> None:
    row = {"dataset": "pendigits", "method": "", "n_neighbors": 0, "start": 0, "n_points": 0}
    cost = {"seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mib": 1.0}
    table = timings_table([{**row, **cost, "stage": stage} for stage in ("train", "attack", "download")])
    lines = costs_csv(table).splitlines()
    assert [line.split(",")[1] for line in lines[1:]] == ["download", "train", "attack"]
    assert lines[1] == "pendigits,download,,0,0.0,0.0,0,,1.0"


def test_what_the_params_leave_out_is_said_under_its_tables_and_nowhere_else() -> None:
    study = small(params={"attack": {"steps": 800, "skip": {"pendigits": ["euclidean", "arml"], "usps": ["arml"]}}})
    assert study.skipped("attack", "pendigits") == ["euclidean", "arml"] and study.skipped("tighten", "pendigits") == []
    second = table2_markdown(study)
    assert second.count("Left out here (skip, in the params): Euclidean.") == 1  # ARML was attacked all the same
    assert "Left out" not in table1_markdown(study)
    overview = overview_markdown(study)
    assert overview.count("Left out (skip, in the params): Euclidean on pendigits.") == 1
    assert "Left out" not in overview.split("Empirical")[0]


# ---------------------------------------------------------------- certificates by another bound than the paper's


def bounds(*algorithms: str, dataset: str = "pendigits", k: int = 11) -> Study:
    """Ten points certified by each of these bounds; Euclidean is ahead by plurality, ARML by Theorem 1."""
    label = np.zeros(10, dtype=int)
    radius = {("theorem1", "euclidean"): 0.05, ("plurality", "euclidean"): 0.25}
    tables = [
        certified_table(
            dataset=dataset,
            method=method,
            n_neighbors=k,
            label=label,
            prediction=label,
            radius=np.full(10, radius.get((algorithm, method), 0.15)),
            algorithm=algorithm,
        )
        for algorithm in algorithms
        for method in ("euclidean", "arml")
    ]
    return build_study(tables, radii={dataset: RADII})


PLURALITY = """\
**Certified robust error, 11-NN**: plurality bound, 10 test points.

| method    |          r = 0 |        r = 0.1 |            r = 0.2 | points | unsolved |
| --------- | -------------: | -------------: | -----------------: | -----: | -------: |
| Euclidean | 0.000 (0.039‡) | 0.000 (0.126‡) | **0.000** (0.316‡) |     10 |        0 |
| ARML      | 0.000 (0.035‡) | 0.000 (0.114‡) |     1.000 (0.308‡) |     10 |        0 |

95 % intervals (Wilson): at most ±0.139. The error at radius 0 is the clean error. \
The paper's values are for a sample of 1000 test points.
"""


def test_beside_a_plurality_bound_the_papers_theorem_1_is_marked_and_not_subtracted() -> None:
    study = bounds("plurality")
    text = table2_markdown(study)
    assert "‡: the paper's value is by Theorem 1, not by the algorithm measured here." in text
    assert PLURALITY in text and "Largest difference" not in text
    for cell in cells(study, study.curves):
        assert (cell.paper_split, cell.difference) == ("same, theorem1", None) and cell.paper is not None
    overview = overview_markdown(study)
    assert overview.startswith(
        "Certified robust error, 11-NN, plurality bound, measured (paper, difference); "
        "‡: the paper's is by Theorem 1:\n"
    )
    assert "| Euclidean |             **0.000** (0.316‡) |" in overview
    assert "cells (certified 11-NN, plurality bound, 1 of them tied)" in verdict_lines(study)[0]


def test_both_bounds_stand_in_blocks_of_their_own() -> None:
    study = bounds("plurality", "theorem1")
    overview = overview_markdown(study)
    titles = [line for line in overview.splitlines() if line.startswith("Certified")]
    assert titles == ["Certified robust error, 11-NN, measured (paper, difference):"]  # the paper's; Table 2 has both
    assert "| ARML      |          1.000 (0.308, +0.692) |" in overview
    text = table2_markdown(study)
    assert PLURALITY in text and "**Certified robust error, 11-NN**: Theorem 1, 10 test points." in text
    assert text.count("Largest difference from the paper") == 1
    # the verdict rests on one bound, the paper's: no cell is counted twice
    assert verdict_lines(study)[0] == (
        "- **ARML is the most robust: confirmed.** Its robust error is the lowest, ties included, "
        "in 2 of 2 cells (certified 11-NN, Theorem 1, 1 of them tied)."
    )


def test_another_split_and_another_bound_are_both_marked() -> None:
    text = table2_markdown(bounds("plurality", dataset="splice-keel"))
    assert "(0.826†‡) |" in text and "†: the paper" in text and "‡: the paper" in text


def test_an_even_k_has_nothing_of_the_paper_beside() -> None:
    study = bounds("plurality", k=10)
    text = table2_markdown(study)
    assert "plurality bound" in text and "10-NN" in text and "‡" not in text and "(0." not in text
    assert overview_markdown(study).startswith("Certified robust error, 10-NN, plurality bound")
    assert "certified 10-NN, plurality bound" in verdict_lines(study)[0]


def test_table_2_takes_a_k_that_was_certified_and_attacked() -> None:
    same: dict[str, Any] = {"dataset": "toy", "method": "arml", "label": [0], "prediction": [0]}
    proved = [certified_table(**same, n_neighbors=k, radius=[0.1]) for k in (3, 5, 11)]
    hit = [attacked_table(**same, n_neighbors=k, index=[0], norm=[0.2], status=["bounded"]) for k in (3, 5, 13)]
    assert build_study([*proved, *hit], radii={"toy": (0.0, 0.1)}).n_neighbors == 5
    assert build_study(proved, radii={"toy": (0.0, 0.1)}).n_neighbors == 11
