"""The guide, and examples that its sisters give: Python runs as printed, figures are those of the tables."""

from __future__ import annotations

import csv
import re

import pytest
import yaml
from pages import ROOT, blocks, run_python, strict

from arml.datasets import spec_from_entry

PAGE = ROOT / "docs" / "guide.md"
GUIDE = PAGE.read_text(encoding="utf-8")
SECTIONS = (
    "What a certificate means",
    "Choosing K and the radius",
    "Reading the tables",
)


def test_it_has_its_sections() -> None:
    assert tuple(re.findall(r"^## (.*)$", GUIDE, re.MULTILINE)) == SECTIONS


@pytest.mark.slow
def test_its_python_runs_as_printed() -> None:
    run_python(PAGE)
    assert not [block for block in blocks(PAGE, "python") if "assert" not in block]
    assert sum("no error" in strict(block) for block in blocks(PAGE, "python")) == GUIDE.count("except ValueError") == 2


def quoted() -> list[tuple[str, dict[str, str], list[list[str]]]]:
    found = []
    for file, facts, table in re.findall(r"^<!-- quoted: (\S+) (.*) -->\n((?:\|.*\n)+)", GUIDE, re.MULTILINE):
        cells = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in table.splitlines()]
        found.append((file, dict(fact.split("=") for fact in facts.split()), [cells[0], *cells[2:]]))
    return found


def test_its_figures_are_those_of_the_report() -> None:
    compared = 0
    for file, facts, (header, *body) in quoted():
        with (ROOT / file).open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for method, *values in body:
            for title, value in zip(header[1:], values):
                kind, algorithm, k = title.split(", ")
                wanted = {"method": method, "kind": kind, "algorithm": algorithm, "n_neighbors": k.removesuffix("-NN")}
                (row,) = [
                    r for r in rows
                    if all(r[name] == text for name, text in wanted.items())
                    and r["dataset"] == facts["dataset"] and float(r["radius"]) == float(facts["radius"])
                ]  # fmt: skip
                assert value == f"{float(row['error']):.3f}", (method, title)
                compared += 1
    assert compared == 12


def test_numbers_in_its_text_are_those_of_its_table() -> None:
    cells = {value for _, _, table in quoted() for row in table[1:] for value in row[1:]}
    between = re.search(r"between (\S+) and (\S+), branch and\nbound .* between (\S+) and (\S+)\.", GUIDE)
    assert between is not None
    assert set(between.groups()) <= cells
    with (ROOT / "reports/tables/decided.csv").open(encoding="utf-8", newline="") as stream:
        euclidean = next(r for r in csv.DictReader(stream) if (r["dataset"], r["method"]) == ("pendigits", "euclidean"))
    ratios = re.search(r"at most (\S+)\s+times the lower one, instead of (\S+) times", GUIDE)
    names = ("median_upper_to_lower", "median_upper_to_lower_by_the_papers_means")
    assert ratios is not None
    assert ratios.groups() == tuple(f"{float(euclidean[name]):.2f}" for name in names)


def test_keys_of_params_that_pages_show_exist() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    shown, cluster = (yaml.safe_load(block) for block in blocks(ROOT / "docs" / "cluster.md", "yaml"))
    assert shown["run"].items() <= params["run"].items()
    assert cluster["run"].keys() <= params["run"].keys()


def test_entries_of_own_data_are_read() -> None:
    (entries,) = (yaml.safe_load(block)["datasets"] for block in blocks(ROOT / "docs" / "data.md", "yaml"))
    assert {name: spec_from_entry(name, entry).sources for name, entry in entries.items()} == {
        "wine": ("file",), "iris": ("openml",),
    }  # fmt: skip
