"""The guide: its Python runs as printed, its figures are those of the committed tables, its names exist."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from arml.datasets import spec_from_entry

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
SECTIONS = (
    "What a certificate means",
    "Choosing K and the radius",
    "Reading the tables",
    "Your own data",
    "GPU and cluster",
)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_it_has_its_sections() -> None:
    assert tuple(re.findall(r"^## (.*)$", GUIDE, re.MULTILINE)) == SECTIONS


def strict(block: str) -> str:
    """A block in which an error that is expected has to come."""
    return re.sub(
        r"^(except ValueError as error:\n(?:    .*\n)+)", r"\1else:\n    raise AssertionError('no error')\n", block,
        flags=re.MULTILINE,
    )  # fmt: skip


@pytest.mark.slow
def test_its_python_runs_as_printed() -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    expected = 0
    for block in blocks("python"):
        assert "assert" in block, block
        expected += "no error" in strict(block)
        line = GUIDE[: GUIDE.index(block)].count("\n")
        exec(compile("\n" * line + strict(block), "docs/guide.md", "exec"), names)
    assert expected == GUIDE.count("except ValueError") == 4


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


def test_its_keys_of_params_exist() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (shown,) = (yaml.safe_load(block) for block in blocks("yaml"))
    assert shown["run"].items() <= params["run"].items()


def test_its_entry_of_openml_is_read() -> None:
    (entry,) = re.findall(r"`(\{source: openml.*?\})`", GUIDE)
    assert spec_from_entry("texture", yaml.safe_load(entry)).sources == ("openml",)


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", GUIDE))))
def test_its_links_lead_somewhere(link: str) -> None:
    assert (ROOT / "docs" / link).resolve().exists()


def test_its_commands_have_the_options_that_they_are_given() -> None:
    from typer.testing import CliRunner

    from arml.cli.program import app

    for line in blocks("sh")[0].splitlines():
        _, command, *words = line.split()
        told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
        assert told.exit_code == 0, line
        assert not [word for word in words if word.startswith("-") and word not in told.output], line
