"""curve counts as arml.curves does, at the radii asked for, and draws what it counted."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from arml.curves import robust_curves, wilson_interval
from arml.results import read_table
from tests.unit.cli_data import N_TEST, answer, files, refusal, run


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("rows")
    data = (*files(folder), "--label", "kind", "--scaling", "minmax")
    paths = [folder / f"{name}.parquet" for name in ("certified", "attacked", "proofs")]
    run("certify", *data, "-k", 3, "--out", paths[0])
    run("attack", *data, "-k", 3, "--out", paths[1])
    run("verify", *data, "--certificates", paths[2])
    return paths


def test_errors_and_intervals_are_those_of_the_library(rows: list[Path]) -> None:
    said = answer("curve", *rows, "--radii", "0.2,0,0.1")
    assert [(one["kind"], one["n_neighbors"]) for one in said["curves"]] == [
        ("exact", 1),
        ("certified", 3),
        ("attacked", 3),
    ]
    at = [0.0, 0.1, 0.2]
    for one, path in zip(said["curves"][1:], rows, strict=False):
        (expected,) = robust_curves(read_table(path, "results"))
        assert one["radii"] == at and one["errors"] == expected.errors(at).tolist()
        low, high = wilson_interval(expected.counts(at), N_TEST)
        assert one["low"] == low.tolist() and one["high"] == high.tolist()
        assert one["n_points"] == N_TEST and one["clean_error"] == expected.clean_error


def test_radii_left_out_are_round_and_reach_the_lengths(rows: list[Path]) -> None:
    (one,) = answer("curve", rows[0])["curves"]
    steps = np.diff(one["radii"])
    lower = read_table(rows[0], "results")["lower"].to_numpy()
    assert len(one["radii"]) == 11 and one["radii"][0] == 0 and np.allclose(steps, steps[0])
    assert f"{steps[0]:.6e}"[:8] in ("1.000000", "2.000000", "5.000000")
    assert np.quantile(lower[lower > 0], 0.9) <= one["radii"][-1]


@pytest.mark.parametrize("suffix", ["svg", "pdf", "png"])
def test_a_plot_is_drawn_the_same_each_time(rows: list[Path], tmp_path: Path, suffix: str) -> None:
    plot = tmp_path / f"curve.{suffix}"
    said = answer("curve", *rows, "--plot", plot)
    assert said["files"] == {"plot": str(plot)} and plot.stat().st_size > 1000
    first = plot.read_bytes()
    run("curve", *rows, "--plot", plot, "--force")
    assert plot.read_bytes() == first


def test_the_table_has_a_row_a_radius(rows: list[Path]) -> None:
    said = run("curve", rows[0], "--radii", "0,0.125").stdout
    assert "test: K = 3, certified (theorem1)" in said and "0.125" in said and f"{N_TEST} points" in said


def test_what_cannot_be_counted_or_drawn_is_said(
    rows: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--radii takes numbers of at least 0" in refusal("curve", rows[0], "--radii", "0,-1")
    assert "--radii takes numbers" in refusal("curve", rows[0], "--radii", "many")
    assert "two result rows for dataset=test" in refusal("curve", rows[0], rows[0])
    assert "must end with .svg or .pdf or .png" in refusal("curve", rows[0], "--plot", tmp_path / "curve.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = refusal("curve", rows[0], "--plot", tmp_path / "curve.svg")
    assert "--plot needs matplotlib" in said and "pip install 'arml[report]'" in said
