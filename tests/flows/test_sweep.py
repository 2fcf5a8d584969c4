"""Sweeps: their specifications are checked before any work, their reports say what the points gave."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arml.report.published import paper_value
from arml.report.sweeps import headline, robust_errors, write_report
from arml.results import certified_table, exact_table
from flows import sweep
from flows.errors import ParamsError

STUDY = "{certify: {n_neighbors: [11]}}"
RADII = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


def paper_row(kind: str, k: int) -> list[float]:
    return [float(paper_value("pendigits", "arml", kind, k, r).error) for r in RADII]  # type: ignore[union-attr]


def curves(shift: float = 0.0, at: int | None = None) -> dict[str, Any]:
    """Pendigits' published ARML rows moved by `shift` (at one radius or at all), beside Euclidean ones."""
    methods: dict[str, Any] = {"euclidean": {}, "arml": {"seconds": 12.5, "peak_memory_mib": 300.0}}
    for kind, k in (("exact", 1), ("certified", 11)):
        errors = [e + shift * (at in (None, i)) for i, e in enumerate(paper_row(kind, k))]
        methods["arml"][kind] = {"clean": errors[0], "errors": errors, "n_points": 1000}
        worse = [e + 0.05 for e in errors]
        methods["euclidean"][kind] = {"clean": worse[0], "errors": worse, "n_points": 1000}
    return {"pendigits": {"radii": list(RADII), "middle": 0.3, "n_neighbors": 11, "methods": methods}}


def write_spec(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "mine.yaml").write_text(text)
    monkeypatch.setattr(sweep, "SWEEPS", folder)


# --- specifications ------------------------------------------------------------------------------


def test_the_sweeps_of_the_project_can_be_run() -> None:
    assert sweep.available() == ("options", "seeds", "sensitivity")
    for name in sweep.available():
        loaded = sweep.load(name)
        assert loaded["points"] and set(loaded["params"]["methods"]) == {"euclidean", "arml"}
    assert list(sweep.load("seeds")["points"]["seed"].values()) == [
        {"train.arml.random_state": seed} for seed in (42, 43, 44)
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("axes: {}", "must have the keys study"),
        ("study: STUDY\naxes: {}", "at least one axis"),
        ("study: STUDY\naxes: {loss: {}}", "at least one axis"),
        ("study: STUDY\naxes: {loss: {key: train.arml.loss, values: hinge}}", "must be a list"),
        ("study: STUDY\naxes: {loss: [hinge]}", "map labels to overrides"),
        ("study: STUDY\naxes: {loss: {bad: {'train arml': 1}}}", "overrides must map keys"),
        ("study: STUDY\naxes: {loss: {bad: {train.arml.loss: quadratic}}}", "axes.loss, 'bad'.*quadratic"),
        ("study: STUDY\naxes: {loss: {bad: {seed.arml: 1}}}", "no mapping"),
        ("study: {methods: [arml, knn]}\naxes: {loss: {one: {}}}", "knn"),
        ("study: {methods: [arml]}\naxes: {loss: {one: {}}}", "methods: .euclidean, arml."),
        ("study: {certify: {n_neighbors: [1, 11]}}\naxes: {loss: {one: {}}}", "one number in certify.n_neighbors"),
        ("study: [", "cannot read flows/sweeps/mine.yaml"),
    ],
)
def test_a_bad_specification_says_what_is_wrong(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_spec(tmp_path, monkeypatch, text.replace("STUDY", STUDY))
    with pytest.raises(ParamsError, match=said):
        sweep.load("mine")


def test_a_key_with_values_is_one_point_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    axis = "{rate: {key: train.arml.learning_rate, values: [0.1, 0.2]}}"
    write_spec(tmp_path, monkeypatch, f"study: {STUDY}\naxes: {axis}")
    loaded = sweep.load("mine")
    assert loaded["points"] == {
        "rate": {"0.1": {"train.arml.learning_rate": 0.1}, "0.2": {"train.arml.learning_rate": 0.2}}
    }
    changed = sweep.apply(loaded["params"], loaded["points"]["rate"]["0.2"])
    assert changed["train"]["arml"]["learning_rate"] == 0.2
    changed["train"]["arml"]["learning_rate"] = loaded["params"]["train"]["arml"]["learning_rate"]
    assert changed == loaded["params"]  # nothing else, and the params themselves untouched


# --- reports -------------------------------------------------------------------------------------


def test_errors_are_counted_from_the_radii() -> None:
    label, prediction = np.zeros(4, dtype=int), np.array([0, 0, 0, 1])
    exact = np.array([0.05, 0.25, 0.7, 0.0])
    same: dict[str, Any] = {"dataset": "pendigits", "method": "arml", "label": label, "prediction": prediction}
    status = np.array(["exact", "exact", "exact", "misclassified"])
    tables = [
        exact_table(**same, lower=exact, upper=exact, status=status),
        certified_table(**same, n_neighbors=11, radius=exact / 2),
    ]
    cost = {"method": "arml", "seconds": 3.0, "peak_memory_mib": 100.0}
    found = robust_errors(tables, RADII, [cost, {**cost, "method": "nca"}])
    assert (found["middle"], found["n_neighbors"]) == (0.3, 11)
    assert found["methods"] == {
        "arml": {
            "exact": {"clean": 0.25, "errors": [0.25, 0.5, 0.5, 0.75, 0.75, 0.75], "n_points": 4},
            "certified": {"clean": 0.25, "errors": [0.25, 0.5, 0.75, 0.75, 1.0, 1.0], "n_points": 4},
            "seconds": 3.0,
            "peak_memory_mib": 100.0,
        }
    }
    assert headline({"pendigits": found}) == {"pendigits": {"clean": 0.25, "exact": 0.75, "certified": 0.75}}
    json.dumps(found)


def test_an_axis_is_a_table_and_a_panel(tmp_path: Path) -> None:
    points = [("rate", "0.1", curves()), ("rate", "0.2", curves(0.01)), ("loss", "hinge", curves(0.02))]
    write_report("mine", points, tmp_path)
    text = (tmp_path / "index.md").read_text()
    middle = paper_row("exact", 1)[3]
    assert "## Rate" in text and "## Loss" in text and "1000 test points" in text
    row = next(line for line in text.splitlines() if line.startswith("| 0.2"))
    assert f"{middle + 0.01:.3f}" in row and "12.5" in row
    with (tmp_path / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 2 * len(RADII)
    assert {row["value"] for row in rows if row["axis"] == "rate"} == {"0.1", "0.2"}
    assert (tmp_path / "mine.svg").stat().st_size > 2000


def test_seeds_are_judged_by_their_mean_and_one_by_one(tmp_path: Path) -> None:
    """Beyond 0.015 of the paper's at one radius for one seed, and in the mean only where the shift is large."""
    write_report("mild", [("seed", "1", curves(0.02, at=2)), ("seed", "2", curves())], tmp_path / "mild")
    text = (tmp_path / "mild" / "index.md").read_text()
    assert "or better: 6 of 6 cells; single seeds: 11 of 12" in text
    assert "worse than Euclidean: 6 of 6 cells; single seeds: 12 of 12" in text
    assert text.count("pendigits +0.0000: lower on 0 of 1") == 3
    write_report("strong", [("seed", "1", curves(0.06, at=2)), ("seed", "2", curves())], tmp_path / "strong")
    text = (tmp_path / "strong" / "index.md").read_text()
    assert "or better: 5 of 6 cells; not at pendigits r = 0.2 (+0.030); single seeds: 11 of 12" in text
    row = next(line for line in text.splitlines() if "exact, 1-NN" in line)
    low = paper_row("exact", 1)[2]
    assert f"{low + 0.03:.3f} ({low:.3f} to {low + 0.06:.3f})" in row


def test_lower_than_the_paper_at_the_middle_radius_is_counted(tmp_path: Path) -> None:
    one = curves()
    one["pendigits"]["methods"]["arml"]["certified"]["errors"][3] -= 0.004
    write_report("lower", [("seed", "1", one), ("seed", "2", curves())], tmp_path)
    lines = (tmp_path / "index.md").read_text().splitlines()
    assert any("certified" in line and "pendigits -0.0020: lower on 1 of 1" in line for line in lines)
    assert any("exact error" in line and "pendigits +0.0000: lower on 0 of 1" in line for line in lines)


def test_worse_than_euclidean_is_said(tmp_path: Path) -> None:
    one = curves()
    one["pendigits"]["methods"]["euclidean"]["exact"]["errors"][4] -= 0.07
    write_report("worse", [("seed", "1", one)], tmp_path)
    assert "5 of 6 cells; not at pendigits r = 0.4 (+0.020)" in (tmp_path / "index.md").read_text()
