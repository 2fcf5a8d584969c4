"""The report as a whole: gate, verdict, metrics, page and figures."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arml.certificate import Verdict
from arml.curves import SandwichError
from arml.errors import DataError
from arml.evidence import checks_table
from arml.report.figures import Drawn, band_figure, draw_figures
from arml.report.networks import competitors
from arml.report.run_page import read_timings, run_markdown, write_run_page
from arml.report.sections import report_sections
from arml.report.study import Study, build_study, load_study
from arml.report.styles import network_styles, style
from arml.report.verdict import clean_competitive, less_robust_than_euclidean, most_robust, strength, verdict_lines
from arml.report.writer import headline_metrics, index_markdown, write_report
from arml.results import (
    METHOD_ORDER,
    attacked_table,
    certified_table,
    exact_table,
    provenance,
    write_metric,
    write_split,
    write_table,
)
from tests.unit.report_data import RADII, study, tables, timings


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    files = write_report(study(("pendigits", "splice-keel")), folder)
    assert sorted(files) == sorted(path for path in folder.rglob("*") if path.is_file())
    return folder


def stated(errors: dict[str, list[float]], clean: dict[str, float] | None = None) -> Study:
    """A study of 10 points where each method's exact error at the radii 0.1, 0.2, … is as stated."""
    made = []
    for method, row in errors.items():
        wrong = round((clean or {}).get(method, 0.0) * 10)
        values = np.full(10, 9.0)
        for r, error in reversed(list(enumerate(row))):
            values[: round(error * 10)] = 0.1 * (r + 1)
        values[:wrong] = 0.0
        prediction = (np.arange(10) < wrong).astype(int)
        made.append(
            exact_table(
                dataset="toy",
                method=method,
                label=np.zeros(10, dtype=int),
                prediction=prediction,
                lower=values,
                upper=values,
                status=np.where(prediction > 0, "misclassified", "exact"),
            )
        )
    n = len(next(iter(errors.values())))
    return build_study(made, radii={"toy": [0.0, *(0.1 * (r + 1) for r in range(n))]})


# ---------------------------------------------------------------- verdict


def test_verdict_counts_cells_ties_and_exceptions() -> None:
    toy = stated({"euclidean": [0.2, 0.5, 0.8, 1.0], "arml": [0.1, 0.5, 0.9, 0.9]})
    (tally,) = most_robust(toy)
    assert (tally.support, tally.cells, tally.ties) == (3, 4, 1)
    assert tally.where_not == ("toy at 0.3 (Euclidean 0.800 < ARML 0.900)",)
    assert strength([tally]) == "partly confirmed"
    assert verdict_lines(toy)[0] == (
        "- **ARML is the most robust: partly confirmed.** Its robust error is the lowest, ties included, in 3 of 4 "
        "cells (exact 1-NN, 1 of them tied). Not on: toy at 0.3 (Euclidean 0.800 < ARML 0.900), exact 1-NN."
    )


def test_verdict_on_clean_errors_and_on_nca() -> None:
    toy = stated(
        {"euclidean": [0.3, 0.5], "nca": [0.4, 0.4], "arml": [0.3, 0.5]}, {"euclidean": 0.2, "nca": 0.1, "arml": 0.2}
    )
    (clean,) = clean_competitive(toy)
    assert (clean.support, clean.cells, clean.where_not) == (0, 1, ("toy (NCA 0.100 < ARML 0.200)",))
    (cleaner,), (weaker,) = less_robust_than_euclidean(toy)
    assert (cleaner.support, cleaner.cells) == (1, 1)
    assert (weaker.support, weaker.cells, weaker.where_not) == (1, 2, ("toy at 0.2",))


@pytest.mark.parametrize(("ours", "word"), [(1.0, "not confirmed"), (0.0, "confirmed")])
def test_verdict_word_follows_the_data(ours: float, word: str) -> None:
    toy = stated({"euclidean": [0.5, 0.6], "arml": [ours, ours]})
    assert strength(most_robust(toy)) == word


def test_study_without_arml_has_no_verdict_on_it() -> None:
    toy = stated({"euclidean": [0.5], "lfda": [0.6]})
    assert most_robust(toy) == [] and verdict_lines(toy) == []
    assert "no methods to compare" in index_markdown(toy, [])


# ---------------------------------------------------------------- metrics and page


def test_headline_metrics_are_the_errors_at_the_middle_radius() -> None:
    made = study(("pendigits",))
    metrics = headline_metrics(made)
    assert metrics["pendigits"]["radius"] == 0.3
    assert set(metrics["pendigits"]) == {"radius", *METHOD_ORDER}
    (curve,) = [c for c in made.select("pendigits", "certified", 11, "theorem1") if c.method == "arml"]
    ours = metrics["pendigits"]["arml"]
    assert ours["certified_11nn"] == round(float((curve.values <= 0.3).mean()), 6)
    assert set(ours) == {
        "exact_1nn", "certified_1nn", "certified_11nn", "attacked_1nn", "attacked_11nn", "clean_1nn", "clean_11nn",
        "certified_11nn_branching", "attacked_11nn_geometric", "unknown_11nn", "unsolved",
    }  # fmt: skip
    assert metrics["sandwich"]["violations"] == 0 and metrics["sandwich"]["comparisons"] > 10_000


def test_a_clean_error_is_of_the_points_that_a_proof_covers_not_of_a_sample() -> None:
    made = study(("pendigits",))
    curves = {(c.method, c.kind, c.algorithm, c.n_neighbors): c for c in made.curves}
    for method in METHOD_ORDER:
        proved, tight = (curves[method, "certified", name, 11] for name in ("theorem1", "branching"))
        assert proved.n_points == 1200 > tight.n_points
        assert headline_metrics(made)["pendigits"][method]["clean_11nn"] == round(proved.clean_error, 6)
    assert any(
        curves[m, "certified", "theorem1", 11].clean_error != curves[m, "certified", "branching", 11].clean_error
        for m in METHOD_ORDER
    )
    alone = replace(made, curves=tuple(c for c in made.curves if c.algorithm != "theorem1"))
    tight = curves["nca", "certified", "branching", 11]
    assert headline_metrics(alone)["pendigits"]["nca"]["clean_11nn"] == round(tight.clean_error, 6)


def test_report_writes_every_file(written: Path) -> None:
    names = {str(path.relative_to(written)) for path in written.rglob("*") if path.is_file()}
    figures = {
        "figures/opening.svg",
        *(
            f"figures/{stem}-{ds}{k}.svg"
            for stem, k in (("exact", ""), ("band", "-k11"))
            for ds in ("pendigits", "splice-keel")
        ),
    }
    tables_ = {f"tables/{name}" for name in ("overview.md", "table1.md", "table1.csv", "table2.md", "table2.csv")}
    tables_ |= {f"tables/{name}" for name in ("decided.csv", "errors.csv")}
    tables_ |= {f"tables/{name}" for name in ("differences.csv", "table1.tex", "table2.tex")}
    plots = {
        f"plots/{kind}-{ds}{by}.csv"
        for ds in ("pendigits", "splice-keel")
        for kind, by in (
            ("exact-1nn", ""), ("certified-1nn", ""), ("attacked-1nn", ""), ("certified-11nn", ""),
            ("attacked-11nn", ""), ("certified-11nn", "-branching"), ("attacked-11nn", "-geometric"),
        )
    }  # fmt: skip
    assert names == {"index.html", "index.md", "metrics.json"} | figures | tables_ | plots
    assert json.loads((written / "metrics.json").read_text()) == headline_metrics(study(("pendigits", "splice-keel")))


def test_page_starts_with_claim_and_verdict_and_its_links_lead_somewhere(written: Path) -> None:
    page = (written / "index.md").read_text(encoding="utf-8")
    headings = re.findall(r"^(#+ .*)$", page, flags=re.M)
    assert headings[:3] == ["# Robust nearest neighbours: results", "## Verdict", "## At the middle radius"]
    assert [h for h in headings if h.startswith("## ")][2:] == [
        "## Table 1: exact robust errors of Mahalanobis 1-NN",
        "## Table 2: certified and empirical robust errors of Mahalanobis 11-NN",
        "## Where the numbers differ from the paper's",
        "## Provenance",
    ]
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) >= 9
    for link in links:
        assert (written / link).is_file(), link
    assert "0 violations" in page and "Seed: 42." in page and "abababababab…" in page


def test_report_is_the_same_to_the_byte_in_another_process(written: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from arml.report.writer import write_report; from tests.unit.report_data import study;"
        "write_report(study(('pendigits', 'splice-keel')), sys.argv[1])"
    )
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=root)
    for path in written.rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / path.relative_to(written)).read_bytes(), path.name


def test_gate_stops_the_report_before_anything_is_written(tmp_path: Path) -> None:
    same: dict[str, Any] = {"dataset": "toy", "method": "arml", "label": [0], "prediction": [0], "n_neighbors": 11}
    low = certified_table(**same, radius=[0.3])
    high = attacked_table(**same, index=[0], norm=[0.2], status=["bounded"])
    with pytest.raises(SandwichError, match=r"toy/arml K=11 test row 0: lower bound 0\.3 .* > upper bound 0\.2"):
        write_report(build_study([low, high], radii={"toy": (0.0, 0.1)}), tmp_path)
    with pytest.raises(SandwichError, match="nothing to compare"):
        write_report(build_study([low], radii={"toy": (0.0, 0.1)}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_study_from_files_is_the_study_from_memory(tmp_path: Path) -> None:
    results = [tmp_path / f"{i}.parquet" for i in range(len(tables(("pendigits",))))]
    for path, table in zip(results, tables(("pendigits",))):
        write_table(path, table, "results", provenance(seed=1))
    write_metric(
        tmp_path / "nca",
        np.eye(2),
        {"dataset": "pendigits", "method": "nca", "fit": {"n_fit_samples": 3, "n_train": 9, "converged": True}},
    )
    write_split(tmp_path / "train", np.eye(2), [0, 1], provenance(source="package", n_train=2))
    checks = checks_table(tables(("pendigits",))[0].slice(0, 2), [Verdict(True, "")] * 2)
    write_table(tmp_path / "c", checks, "checks", {})
    given: dict[str, Any] = {"radii": RADII, "params": {"seed": 42}}
    given["checks"] = [tmp_path / "c"]
    loaded = load_study(results=results, metrics=[tmp_path / "nca"], splits={"pendigits": tmp_path / "train"}, **given)
    numbers = headline_metrics(loaded)
    assert numbers.pop("certificates")["checked"] == 2
    assert numbers == {k: v for k, v in headline_metrics(study(("pendigits",))).items() if k != "certificates"}
    assert f"the solvers: 2 of {loaded.certificates}, all accepted" in index_markdown(loaded, [])
    assert loaded.fit_notes("pendigits") == ["NCA: fitted on a stratified subset of 3 of 9 points."]
    page = index_markdown(loaded, report_sections(loaded, []))
    assert "| pendigits | package |     2 |" in page and f"numpy {np.__version__}" not in page
    write_metric(tmp_path / "bare", np.eye(2), {"method": "nca"})
    with pytest.raises(DataError, match=r"bare: expected provenance with dataset, fit"):
        load_study(results=results, metrics=[tmp_path / "bare"], splits={}, **given)


def test_a_rejected_certificate_stops_the_report() -> None:
    exact = tables(("pendigits",))[0]
    checks = checks_table(exact.slice(0, 2), [Verdict(True, ""), Verdict(False, "negative 7 is not kept away")])
    with pytest.raises(DataError, match=r"1 certificates are rejected.*pendigits, .*row \d+: negative 7 is not kept"):
        build_study(tables(("pendigits",)), radii=RADII, checks=[checks])


# ---------------------------------------------------------------- figures


def test_figures_have_alt_texts_with_numbers_and_no_date(written: Path) -> None:
    svg = (written / "figures" / "exact-pendigits.svg").read_text(encoding="utf-8")
    assert "<dc:date>" not in svg and "<svg" in svg
    page = (written / "index.md").read_text(encoding="utf-8")
    alt = re.search(r"!\[(pendigits, exact[^\]]+)\]", page)
    assert alt is not None
    errors = headline_metrics(study(("pendigits", "splice-keel")))["pendigits"]
    assert f"ARML {errors['arml']['exact_1nn']:.3f}" in alt[1]


def test_every_method_has_its_own_colour_and_marker_everywhere() -> None:
    chosen = [style(method, METHOD_ORDER) for method in METHOD_ORDER]
    assert len({colour for colour, _ in chosen}) == len({marker for _, marker in chosen}) == len(METHOD_ORDER)
    assert style("arml", ["arml"]) == style("arml", METHOD_ORDER)
    own = [style(name, ["euclidean", "mine", "other"]) for name in ("mine", "other")]
    assert own[0] != own[1] and not {colour for colour, _ in own} & {colour for colour, _ in chosen}


def test_figures_leave_the_callers_matplotlib_settings_alone(tmp_path: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    matplotlib.rcParams["lines.linewidth"] = 17.0
    drawn = draw_figures(study(("pendigits",)), tmp_path / "a")
    assert matplotlib.rcParams["lines.linewidth"] == 17.0
    matplotlib.rcParams["lines.linewidth"] = before["lines.linewidth"]
    again = draw_figures(study(("pendigits",)), tmp_path / "b")
    assert [d.name for d in drawn] == ["exact-pendigits", "band-pendigits-k11"]
    for one, two in zip(drawn, again):
        assert isinstance(one, Drawn) and one.alt == two.alt
        assert one.file.read_bytes() == two.file.read_bytes()


def test_one_method_without_an_attack_can_be_drawn(tmp_path: Path) -> None:
    label = [0, 1, 0]
    table = certified_table(
        dataset="toy", method="mine", n_neighbors=3, label=label, prediction=label, radius=[0.1, 0.2, 0.3]
    )
    (drawn,) = draw_figures(build_study([table], radii={"toy": (0.0, 0.1, 0.3)}), tmp_path)
    assert drawn.name == "band-toy-k3"
    words = "toy, 3-NN, certified robust error, a panel a method."
    assert drawn.alt == f"{words} Certified at radius 0.3, 3 test points: mine 1.000."


def test_a_panel_says_its_points_and_that_nothing_attacked_it() -> None:
    made = study(("pendigits",))
    kept = [c for c in made.curves if c.method != "lfda" or c.algorithm in ("qp", "theorem1")]
    figure, alt = band_figure(replace(made, curves=tuple(kept)), "pendigits", 11)
    titles = {axes.get_title(loc="left"): axes.get_title(loc="right") for axes in figure.axes}
    assert titles == dict.fromkeys(("Euclidean", "NCA", "LMNN", "ITML", "ARML"), "75 points") | {
        "LFDA": "certified only, 1200 points"
    }
    certified, attacked = alt.split(" Attacked at radius 0.3, 75 test points: ")
    assert "Certified at radius 0.3, 75 to 1200 test points: " in certified
    assert "LFDA" in certified and "LFDA" not in attacked


def test_a_kind_of_network_looks_the_same_beside_whatever_else_there_is() -> None:
    made = study(("pendigits",), networks=True)
    euclidean, arml, crown, smoothed = competitors(made, "pendigits")
    both = network_styles([euclidean, arml, crown, smoothed])
    assert both["arml"] == style("arml", METHOD_ORDER) and len(set(both.values())) == 4
    assert network_styles([smoothed])["smoothing-0.2"] == both["smoothing-0.2"]
    another = replace(crown, name="crown-cnn")
    more = network_styles([crown, another, smoothed])
    assert len(set(more.values())) == 3 and all(more[name] == both[name] for name in ("crown", "smoothing-0.2"))
    unheard = replace(smoothed, name="smoothing-7", facts={"fit": {"noise": 7.0}})
    assert network_styles([smoothed, unheard])["smoothing-7"] not in more.values()


def test_importing_the_report_does_not_import_matplotlib_or_torch() -> None:
    code = "import sys, arml.report; sys.exit(any(name in sys.modules for name in ('matplotlib', 'torch')))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_the_page_of_a_run_says_what_it_took_and_no_other_page_does(written: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "verify.parquet", timings(), "timings", {})
    files = [tmp_path / "verify.parquet", tmp_path / "pulled.parquet"]  # what was pulled was not timed
    facts = {"toy": {"versions": {"numpy": "9.9"}, "machine": "a machine"}}
    page = write_run_page(tmp_path, read_timings(files), facts, "abc123").read_text(encoding="utf-8")
    assert "commit abc123" in page and "numpy 9.9 on a machine" in page
    assert '<td style="text-align:right">39.50</td>' in page or ">39.50<" in page
    assert "<script" not in page and "http" not in page.replace("http-equiv", "")
    assert read_timings([tmp_path / "pulled.parquet"]) is None
    assert "pulled, not computed" in run_markdown(None, {})
    for path in written.rglob("*.*"):
        if path.suffix in (".md", ".html", ".json") and path.is_file():
            assert "CPU seconds" not in path.read_text(encoding="utf-8"), path.name


def test_the_report_opens_with_a_picture_that_says_what_to_see(written: Path) -> None:
    page = (written / "index.md").read_text(encoding="utf-8")
    assert page.index("figures/opening.svg") < page.index("## Verdict") < page.index("| ")
    (said,) = re.findall(r"^Robust error against the radius.*$", page, flags=re.MULTILINE)
    counts = re.findall(r"(exact, 1-NN|certified, 11-NN): on (\d) of 2", said)
    made, lowest = study(("pendigits", "splice-keel")), []
    for kind, k, by in (("exact", 1, "qp"), ("certified", 11, "theorem1")):
        number = 0
        for dataset in made.dataset_names:
            at = {c.method: c.errors([made.middle_radius(dataset)])[0] for c in made.curves
                  if (c.dataset, c.kind, c.n_neighbors, c.algorithm) == (dataset, kind, k, by)}  # fmt: skip
            number += at["arml"] == min(at.values())
        lowest.append(str(number))
    assert [count for _, count in counts] == lowest
    html = (written / "index.html").read_text(encoding="utf-8")
    assert html.index('id="opening-') < html.index('<section id="verdict">')
