"""What a study knows of each point: the strongest bounds together, and the shares that they decide."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from arml.report.decided import decided_csv, decided_lines, decided_overview
from arml.report.known import known_of, known_of_methods
from arml.report.study import Study, build_study
from arml.results import attacked_table, certified_table, exact_table

RADII = {"pendigits": (0.0, 0.1, 0.2)}


def made(*, tightened: bool = True, attacked: bool = True) -> Study:
    """Five points, certified all, attacked rows 0 to 3, tightened rows 1 to 4; row 1 is misclassified."""
    same = {"dataset": "pendigits", "method": "arml", "n_neighbors": 11}
    label, prediction = np.zeros(5, dtype=int), np.array([0, 1, 0, 0, 0])
    tables = [certified_table(**same, label=label, prediction=prediction, radius=[0.1, 0.0, 0.05, 0.1, 0.15])]
    if attacked:
        tables.append(
            attacked_table(**same, index=range(4), label=label[:4], prediction=prediction[:4],
                           norm=[0.3, 0.0, 0.3, np.inf], status=["bounded", "misclassified", "bounded", "unsolved"])
        )  # fmt: skip
    if tightened:
        tables.append(
            exact_table(**same, index=range(1, 5), label=label[1:], prediction=prediction[1:], algorithm="branching",
                        lower=[0.0, 0.08, 0.11, 0.2], upper=[0.0, 0.08, 0.22, 0.21],
                        status=["misclassified", "exact", "bounded", "bounded"])
        )  # fmt: skip
    return build_study(tables, radii=RADII)


def test_strongest_bounds_over_the_points_that_all_have() -> None:
    known = known_of(made(), "pendigits", "arml", 11)
    assert known is not None
    assert known.index.tolist() == [1, 2, 3]
    assert known.lower.tolist() == [0.0, 0.08, 0.11] and known.upper.tolist() == [0.0, 0.08, 0.22]
    assert known.certificates == ("theorem1", "branching") and known.attacks == ("boundary", "geometric")
    np.testing.assert_allclose(known.shares([0.0, 0.1, 0.2]), [[2 / 3, 1 / 3, 0], [1 / 3, 2 / 3, 0], [0, 2 / 3, 1 / 3]])
    assert known.looseness == pytest.approx(1.5) and known.exact == pytest.approx(0.5)


def test_the_papers_means_are_set_beside_over_the_same_points() -> None:
    ((known, theirs),) = known_of_methods(made(), "pendigits", 11)
    assert theirs is not None and theirs.index.tolist() == known.index.tolist()
    assert theirs.lower.tolist() == [0.0, 0.05, 0.1] and theirs.upper.tolist() == [0.0, 0.3, np.inf]
    assert theirs.looseness == np.inf and theirs.exact == 0.0
    ((_, nothing),) = known_of_methods(made(tightened=False), "pendigits", 11)
    assert nothing is None  # they are all there is


def test_without_an_attack_nothing_is_broken_but_what_is_misclassified() -> None:
    known = known_of(made(tightened=False, attacked=False), "pendigits", "arml", 11)
    assert known is not None and known.attacks == () and known.n_points == 5
    assert known.upper.tolist() == [np.inf, 0.0, np.inf, np.inf, np.inf]
    assert decided_lines(made(tightened=False, attacked=False), "pendigits", 11) == []
    assert known_of(made(), "pendigits", "nca", 11) is None


def test_table_in_words_and_numbers() -> None:
    caption, _, header, _, row, *_ = decided_lines(made(), "pendigits", 11)
    assert caption == (
        "**Decided, 11-NN**: proved robust / broken / unknown, by Theorem 1 and branch and bound on the one side and "
        "Boundary Attack and geometric attack on the other, on the 3 test points that have them all. "
        "In brackets what Theorem 1 and Boundary Attack alone leave unknown."
    )
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "ARML", ".667 / .333 / .000 (.000)", ".333 / .667 / .000 (.667)", ".000 / .667 / .333 (.667)", "1.500 (inf)",
        "0.500",
    ]  # fmt: skip
    assert "upper/lower" in header


def test_csv_and_overview_say_the_same() -> None:
    rows = list(csv.DictReader(io.StringIO(decided_csv(made()))))
    assert [(row["radius"], row["robust"], row["broken"], row["unknown"]) for row in rows] == [
        ("0.0", "0.666667", "0.333333", "0.0"),
        ("0.1", "0.333333", "0.666667", "0.0"),
        ("0.2", "0.0", "0.666667", "0.333333"),
    ]
    assert rows[1]["unknown_by_the_papers_means"] == "0.666667" and rows[1]["n_points"] == "3"
    header, _, row = decided_overview(made())[2:5]
    assert header == "| method | pendigits, r = 0.2 (3 points) |" and row.endswith(" .000 / .667 / .333 (.667) |")
    assert decided_overview(made(tightened=False)) == []
