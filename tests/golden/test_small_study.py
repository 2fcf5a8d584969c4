"""Tables and metrics of a small study, made again from its committed results (tests/golden/small), byte for byte.

Where a table is meant to change: ``python -m tests.golden.test_small_study`` writes them anew, to be read in the diff.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from arml.report.study import Study, load_study
from arml.report.writer import write_report

HERE = Path(__file__).resolve().parent / "small"
RESULTS = ("exact", "certified", "attacked", "tightened", "networks", "networks_attacked")
ROOMS = ("tables", "plots")
METHODS = ("euclidean", "nca", "lmnn", "itml", "lfda", "arml")


def small() -> Study:
    return load_study(
        results=[HERE / "results" / f"{name}.parquet" for name in RESULTS],
        metrics=[HERE / "metrics" / f"{method}.parquet" for method in METHODS],
        splits={"toy": HERE / "processed" / "train.parquet"},
        checks=[HERE / "results" / "checked.parquet"],
        networks=sorted((HERE / "networks").glob("*.parquet")),
        radii={"toy": [0, 0.05, 0.1, 0.15, 0.2, 0.25]},
        params={
            "seed": 42,
            "attack": {"steps": 50},
            "networks": {"certify": {"alpha": 0.001}, "attack": {"bounds": [0, 1]}},
        },
    )


def tables_of(folder: Path) -> dict[str, bytes]:
    paths = [folder / "metrics.json", *(path for room in ROOMS for path in sorted((folder / room).iterdir()))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_report(small(), folder)
    return folder


def test_tables_are_those_committed(made: Path) -> None:
    now, committed = tables_of(made), tables_of(HERE)
    assert now.keys() == committed.keys()
    assert {name for name in now if now[name] != committed[name]} == set()


def test_page_shows_the_numbers_of_the_tables(made: Path) -> None:
    page = (made / "index.html").read_text(encoding="utf-8")
    body = re.findall(r"^\| (ARML|LFDA) +\| (.+) \|$", (HERE / "tables" / "table1.md").read_text(), flags=re.M)
    assert len(body) == 2
    for _, row in body:
        for number in re.findall(r"\d\.\d{3}", row):
            assert f">{number}<" in page


if __name__ == "__main__":
    for room in ROOMS:
        shutil.rmtree(HERE / room, ignore_errors=True)
    scratch = HERE / "scratch"
    write_report(small(), scratch)
    for name in (*ROOMS, "metrics.json"):
        shutil.move(scratch / name, HERE / name)
    shutil.rmtree(scratch)
