"""README and docs keep their word: their tables and numbers are those of committed reports."""

import csv
import re
from pathlib import Path

import pytest

from arml.report.published import paper_value

ROOT = Path(__file__).resolve().parents[2]
README, CONTRIBUTING, STUDY, FINDINGS, EXPERIMENTS = (
    (ROOT / page).read_text(encoding="utf-8")
    for page in ("README.md", "CONTRIBUTING.md", "docs/study.md", "docs/findings.md", "docs/experiments.md")
)
PLAIN = " ".join((STUDY + FINDINGS).split())


def rows(path: str) -> list[dict[str, str]]:
    with (ROOT / "reports" / path).open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def cpu_seconds(stage: str, datasets: tuple[str, ...], k: int = 0, methods: tuple[str, ...] = ("arml",)) -> list[dict]:
    """Rows of the paper's study's runtimes."""
    wanted = {(name, stage, method, str(k)) for name in datasets for method in methods}
    found = [
        row
        for row in rows("costs/paper.csv")
        if (row["dataset"], row["stage"], row["method"], row["n_neighbors"]) in wanted
    ]
    assert len(found) == len(wanted)
    return found


def span(table: list[dict]) -> str:
    seconds = sorted(round(float(row["cpu_seconds"])) for row in table)
    return str(seconds[0]) if seconds[0] == seconds[-1] else f"{seconds[0]} to {seconds[-1]}"


def gib(table: list[dict]) -> str:
    return f"{max(float(row['peak_memory_mib']) for row in table) / 1024:.1f} GiB"


def short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def test_the_results_table_is_the_first_of_the_reports() -> None:
    block = re.search(r"<!-- overview: (\S+) -->\n(.*?)<!-- /overview -->", README, re.DOTALL)
    assert block is not None
    title, table, *_ = (ROOT / block[1]).read_text(encoding="utf-8").strip().split("\n\n")
    assert block[2].strip() == f"{title}\n\n{table}"
    assert title.startswith("Robust error (exact), 1-NN")


def test_the_tree_names_what_is_there() -> None:
    tree = CONTRIBUTING.split("## Where things live")[1].split("A room imports")[0]
    named = re.findall(r"\b([a-z_]+\.(?:py|yaml)|[a-z]+/)(?=[\s:,;]|$)", tree)
    places = [ROOT, ROOT / "arml", ROOT / "tests", ROOT / "flows", ROOT / "docs"]
    for name in named:
        assert any((place / name).exists() for place in places), name
    rooms = {path.parent.name for path in ROOT.glob("arml/*/__init__.py")} | {"stages", "tasks", "runners"}
    assert rooms <= {name.rstrip("/") for name in named}


def test_files_that_the_pages_name_are_there() -> None:
    named = set(re.findall(r"`((?:arml|flows|tests|docs)/[\w./-]+)`", STUDY + FINDINGS + EXPERIMENTS + CONTRIBUTING))
    named -= {"flows/sweeps/NAME.yaml", "docs/_build/index.html"}
    assert len(named) > 8
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_verdict_is_that_of_the_papers_study() -> None:
    block = re.search(r"<!-- verdict: (\S+) -->\n(.*?)<!-- /verdict -->", FINDINGS, re.DOTALL)
    assert block is not None
    page = (ROOT / block[1]).read_text(encoding="utf-8")
    said = page.split("## Verdict")[1].split("## ")[0]
    stated = [line.split(" Not on:")[0] for line in said.splitlines() if line.startswith("- **")]
    assert len(stated) == 3 and block[2].strip() == "\n".join(stated)


def test_the_gap_in_numbers_is_that_of_its_report():
    decided = {(r["dataset"], r["method"], float(r["radius"])): r for r in rows("gap/tables/decided.csv")}
    table = FINDINGS.split("## The gap, closed")[1].split("**From below**")[0]
    lines = re.findall(r"^\| (\w+), r = ([\d.]+) \| (.*) \|$", table, re.MULTILINE)
    assert len(lines) == 4
    columns = ("unknown_by_the_papers_means", "unknown", "median_upper_to_lower_by_the_papers_means",
               "median_upper_to_lower", "exact")  # fmt: skip
    for dataset, radius, cells in lines:
        both = [decided[dataset, method, float(radius)] for method in ("euclidean", "arml")]
        for column, cell in zip(columns, cells.split(" | "), strict=True):
            digits = 2 if column.startswith("median") else 3
            assert cell == " / ".join(f"{float(row[column]):.{digits}f}".removeprefix("0") for row in both), column


def test_the_gap_before_is_that_of_theorem_1_and_the_boundary_attack() -> None:
    at = [
        row
        for row in rows("gap/tables/table2.csv")
        if (row["dataset"], row["method"], row["radius"]) == ("pendigits", "euclidean", "0.3")
    ]
    (proved,), (broken,) = (
        [float(row["error"]) for row in at if row["algorithm"] == name] for name in ("theorem1", "boundary")
    )
    (unknown,) = [
        float(row["unknown_by_the_papers_means"])
        for row in rows("gap/tables/decided.csv")
        if (row["dataset"], row["method"], row["radius"]) == ("pendigits", "euclidean", "0.3")
    ]
    assert unknown == pytest.approx(proved - broken)
    said = f"r = 0.3, 11-NN on Pendigits is {short(1 - proved)} proved robust and {short(broken)} broken; the other"
    assert f"{said} {short(unknown)} was unknown" in PLAIN


def table_of(page: str) -> list[dict[str, str]]:
    """The first table of a Markdown page."""
    lines = [line for line in (ROOT / "reports" / page).read_text(encoding="utf-8").splitlines() if line[:1] == "|"]
    header, _, *body = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(header, cells, strict=True)) for cells in body if len(cells) == len(header)]


def test_how_often_the_geometric_attack_ends_no_farther_away() -> None:
    share = [100 * float(row["no farther"]) for row in table_of("benchmarks/attacks.md") if row["programs"] == "100"]
    assert len(share) == 6
    said = "ends no farther away than 25,000 steps of the Boundary Attack on"
    assert f"{said} {min(share):.0f} to {max(share):.0f} % of the points" in PLAIN


def test_exact_radii_of_three_neighbours_are_those_of_their_benchmark() -> None:
    table = table_of("benchmarks/exact.md")
    assert len(table) == 8 and {row["points"] for row in table} == {"200"}
    share, slowest = (pick(float(row[name]) for row in table) for pick, name in ((min, "exact"), (max, "CPU s, most")))
    assert share >= 0.9 and slowest <= 10  # what had to hold
    assert f"at least {100 * share:.1f} % of the rightly classified ones have an exact radius, within" in PLAIN
    assert slowest <= float(re.search(r"exact radius, within ([\d.]+) CPU seconds each", PLAIN)[1]) < slowest + 0.1


def test_times_and_memory_are_those_of_the_papers_study() -> None:
    large, both = ("mnist", "fashion-mnist"), ("euclidean", "arml")
    radii, proofs = (cpu_seconds(stage, large, k, both) for stage, k in (("verify", 1), ("certify", 11)))
    assert {row["n_points"] for row in (*radii, *proofs)} == {"1000"}
    assert f"took {span(radii)} CPU seconds for 1000 exact radii there and {span(proofs)} for 1000 cert" in PLAIN
    assert f"the latter in processes of at most {gib(proofs)}" in PLAIN
    small, usps, images = (
        cpu_seconds("train", names) for names in (("splice", "pendigits", "satimage"), ("usps",), large)
    )
    said = f"its thousand steps took {span(small)} CPU seconds on the small sets, {span(usps)} on USPS, and"
    assert f"{said} {span(images)} on MNIST and on Fashion-MNIST, in {gib(images)}" in PLAIN


def test_every_seed_is_as_near_the_papers_arml_as_is_said() -> None:
    own = [r for r in rows("seeds/points.csv") if (r["method"], r["kind"]) == ("arml", "exact")]
    assert len(own) == 3 * 36
    above = []
    for row in own:
        found = paper_value(row["dataset"], "arml", "exact", 1, float(row["radius"]))
        assert found is not None
        above.append(float(row["error"]) - found.error)
    assert max(above) <= 0.015 + 1e-9 and "within 0.015 of the paper's ARML or better" in PLAIN


def test_the_worked_sweep_is_its_report_without_times() -> None:
    block = re.search(r"<!-- learning rate: (\S+) -->\n(.*?)<!-- /learning rate -->", EXPERIMENTS, re.DOTALL)
    assert block is not None
    section = (ROOT / block[1]).read_text(encoding="utf-8").split("## Learning rate\n\n")[1].split("\n\n")[0]

    def cells(table: str) -> list[list[str]]:
        lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines())
        header, _, *body = lines
        kept = [number for number, title in enumerate(header) if title != "s"]
        return [[row[number] for number in kept] for row in (header, *body)]

    assert cells(block[2]) == cells(section)
    assert (ROOT / "reports/sensitivity/sensitivity.svg").is_file()


def test_the_picture_says_what_it_shows() -> None:
    """Its numbers are those of the gallery, which tests/documentation/test_gallery.py compares with what is drawn."""
    from docs.gallery import _balls_alt, balls

    assert f"![{_balls_alt(balls())}](docs/pictures/certificate.svg)" in README
    picture = (ROOT / "docs/pictures/certificate.svg").read_text(encoding="utf-8")
    assert picture.count('<g id="axes_') == 2 and len(picture) < 200_000
