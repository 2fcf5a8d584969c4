"""The table of running times: means of trials, fits and threads apart, the paper's figure beside."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from arml.errors import DataError
from arml.report.running_times import write_report
from arml.results import provenance, read_table, trials_table, write_table

FITS = {"nca": {"method": "nca"}, "arml-full": {"method": "arml", "schedule": "full"}}


def rows(dataset: str) -> list[dict[str, object]]:
    made = []
    for fit, method, threads, seconds in (
        ("nca", "nca", 1, (400.0, 500.0)),
        ("arml-full", "arml", 1, (80.0,)),
        ("nca", "nca", 2, (300.0,)),
        ("arml-full", "arml", 2, (50.0,)),
    ):
        for trial, value in enumerate(seconds):
            made.append(
                {"dataset": dataset, "fit": fit, "method": method, "threads": threads, "trial": trial,
                 "n_points": 7291, "n_iter": 100, "seconds": value, "peak_memory_mib": 100.0}
            )  # fmt: skip
    return made


def report(dataset: str, folder: Path) -> list[list[str]]:
    write_table(folder / "t.parquet", trials_table(rows(dataset)), "trials", provenance(cores=2))
    write_report(read_table(folder / "t.parquet", "trials"), FITS, folder)
    lines = (folder / "index.md").read_text().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]


def test_a_row_a_fit_with_its_mean_and_the_papers(tmp_path: Path) -> None:
    _, _, nca, arml = report("usps", tmp_path)
    assert nca == ["NCA", "7,291", "100", "450.0", "400.0 to 500.0", "2", "300.0", "300.0 to 300.0", "1", "480.9"]
    assert arml[0] == "ARML, schedule: full" and arml[3] == "80.0" and arml[-1] == "146.1"
    text = (tmp_path / "index.md").read_text()
    assert "a machine of 2 cores" in text and "ARML 10.6 s on its GPU" in text
    with (tmp_path / "trials.csv").open() as file:
        assert [float(row["seconds"]) for row in csv.DictReader(file)] == [400.0, 500.0, 80.0, 300.0, 50.0]
    assert (tmp_path / "runtime.svg").stat().st_size > 2000


def test_no_published_figure_for_other_data(tmp_path: Path) -> None:
    _, _, nca, arml = report("pendigits", tmp_path)
    assert nca[-1] == arml[-1] == ""
    assert "GPU" not in (tmp_path / "index.md").read_text()


def test_a_trial_without_a_finite_time_is_refused(tmp_path: Path) -> None:
    bad = rows("usps")
    bad[0]["seconds"] = float("nan")
    with pytest.raises(DataError, match="seconds"):
        write_table(tmp_path / "t.parquet", trials_table(bad), "trials", provenance())
