"""The README keeps its word: its table is the report's, its example runs."""

import csv
import re
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_results_table_is_the_reports():
    block = re.search(r"<!-- overview: (\S+) -->\n(.*?)<!-- /overview -->", README, re.DOTALL)
    assert block is not None
    assert block[2].strip() == (ROOT / block[1]).read_text(encoding="utf-8").strip()


def test_the_example_runs_and_its_numbers_hold_together():
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    exact, proved = names["exact"], names["proved"]
    assert exact.lower.shape == proved.shape == (100,)
    assert (exact.lower <= exact.upper).all()
    assert names["verdict"] == (True, "")
    assert np.median(exact.lower) > 0.1
    assert (names["any_k"] > 0).mean() > 0.8
    assert (names["boxed"].upper >= exact.lower[:10]).all()
    assert names["knn"].score(names["data"].X_test, names["data"].y_test) > 0.9


def test_the_tree_names_what_is_there():
    tree = README.split("## The tree")[1].split("##")[0]
    named = re.findall(r"\b([a-z_]+\.py|[a-z]+/)(?=[\s:,]|$)", tree)
    places = [ROOT, ROOT / "arml", ROOT / "tests", ROOT / "flows", ROOT / "reports"]
    for name in named:
        assert any((place / name).exists() for place in places), name
    assert len(named) > 15


def test_the_verdict_is_that_of_the_papers_study():
    block = re.search(r"<!-- verdict: (\S+) -->\n(.*?)<!-- /verdict -->", README, re.DOTALL)
    assert block is not None
    page = (ROOT / block[1]).read_text(encoding="utf-8")
    said = page.split("## Verdict")[1].split("## ")[0]
    stated = [line for line in said.splitlines() if line.startswith("- **")]
    assert len(stated) == 3 and block[2].strip() == "\n".join(stated)


def test_the_gap_in_numbers_is_that_of_its_report():
    with (ROOT / "reports/gap/tables/decided.csv").open(encoding="utf-8") as stream:
        rows = {(row["dataset"], row["method"], float(row["radius"])): row for row in csv.DictReader(stream)}
    table = README.split("## The gap, closed")[1].split("**From below**")[0]
    lines = re.findall(r"^\| (\w+), r = ([\d.]+) \| (.*) \|$", table, re.MULTILINE)
    assert len(lines) == 4
    columns = ("unknown_by_the_papers_means", "unknown", "median_upper_to_lower_by_the_papers_means",
               "median_upper_to_lower", "exact")  # fmt: skip
    for dataset, radius, cells in lines:
        both = [rows[dataset, method, float(radius)] for method in ("euclidean", "arml")]
        for column, cell in zip(columns, cells.split(" | "), strict=True):
            digits = 2 if column.startswith("median") else 3
            assert cell == " / ".join(f"{float(row[column]):.{digits}f}".removeprefix("0") for row in both), column
