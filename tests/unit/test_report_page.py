"""The page people open: HTML that needs nothing, tables in LaTeX, differences, Figure 1, curves for dvc plots."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from arml.errors import DataError
from arml.report.dvc_plots import plot_files
from arml.report.latex import errors_latex, escaped
from arml.report.page import inline_svg
from arml.report.sections import read_appendix
from arml.report.study import build_study
from arml.report.tables import cells, table1_curves, table2_curves
from arml.report.toy_figure import TOY_LABELS, TOY_POINTS, boundary_figure, boundary_words, draw_boundaries, fit_toy
from arml.report.verdict import COMPETITIVE, caveats, clean_competitive, observations
from arml.report.writer import write_report
from arml.results import METHOD_ORDER, certified_table, exact_table
from tests.unit.browser import browse, check_page, needs_chromium
from tests.unit.report_data import papers_errors, study

RADII = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)


@pytest.fixture(scope="module")
def appendix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "index.md").write_text("# A sweep\n\nSome words.\n\n## One axis\n\n![what it shows](lines.svg)\n")
    (folder / "lines.svg").write_text(
        '<?xml version="1.0"?>\n<svg width="72pt" height="72pt" viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">'
        '<defs><path id="a" d="M 0 0 L 72 72" stroke="black"/></defs><use href="#a"/></svg>\n'
    )
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, appendix: Path) -> Path:
    folder = tmp_path_factory.mktemp("reports")
    toy = fit_toy(["euclidean", "arml"], 42)
    write_report(study(("pendigits", "splice-keel")), folder, toy=toy, appendices=[read_appendix(appendix, "sweep")])
    return folder


class Reader(HTMLParser):
    """Tags, attributes and text of a page; fails on tags that do not close."""

    void = frozenset({"meta", "link", "br", "hr", "img", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


# ---------------------------------------------------------------- the page


def test_page_is_whole_and_asks_for_nothing(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    reader = read(page)
    assert not [tag for tag, _ in reader.attributes if tag in ("script", "img", "iframe", "object", "embed")]
    for _, attributes in reader.attributes:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:,")), attributes
    assert "@import" not in page and not re.search(r"url\((?!#)", page)


def test_every_id_is_there_once_and_every_link_within_the_page_leads_to_one(written: Path) -> None:
    reader = read((written / "index.html").read_text(encoding="utf-8"))
    ids = [attributes["id"] for _, attributes in reader.attributes if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = [
        a[key] for _, a in reader.attributes for key in ("href", "xlink:href") if (a.get(key) or "").startswith("#")
    ]
    assert len(wanted) > 100 and {str(target)[1:] for target in wanted} <= set(ids)


def test_page_opens_with_claim_and_verdict_and_shows_every_figure_with_words(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    order = [
        page.index(words) for words in ("Claim under test", "ARML is the most robust", 'id="middle"', "Table 1: ex")
    ]
    assert order == sorted(order)
    reader = read(page)
    pictures = [a for tag, a in reader.attributes if tag == "svg"]
    assert len(pictures) == 1 + 1 + 2 + 2 + 1  # the opening, Figure 1, exact, bands, the appendix's
    assert all(a["role"] == "img" and len(str(a["aria-label"])) > 10 for a in pictures)
    assert "A sweep" in reader.text and "what it shows" in reader.text


def test_page_has_paper_measured_difference_and_interval_of_every_cell(written: Path) -> None:
    made = study(("pendigits", "splice-keel"))
    page = (written / "index.html").read_text(encoding="utf-8")
    listed = cells(made, [*table1_curves(made), *table2_curves(made)])
    assert page.count('<td class="first paper">') == len(listed)
    for cell in listed:
        measured = f"<b>{cell.error:.3f}</b>" if cell.best else f"{cell.error:.3f}"
        low, high = (f"{end:.3f}".removeprefix("0") for end in (cell.low, cell.high))
        assert f"{measured}<small>{low}–{high}</small>" in page
        assert cell.difference is None or f">{cell.difference:+.3f}<".replace("-", "−") in page
    assert "1500 of 7494 points" in page  # a subset note


def test_page_has_no_column_of_differences_where_nothing_can_be_subtracted(written: Path) -> None:
    page = (written / "index.html").read_text(encoding="utf-8")
    tables = re.findall(r'<table class="errors">.*?</table>', page, flags=re.DOTALL)
    compared = {True: 0, False: 0}
    for table in tables:
        header, marked = table.split("</thead>")[0], "†" in table or "‡" in table
        assert ("<th>diff.</th>" in header) is ('<td class="difference' in table) is not marked
        assert f'colspan="{2 if marked else 3}"' in header
        compared[not marked] += 1
    assert min(compared.values()) >= 3


def test_page_and_markdown_say_the_same_of_the_verdict(written: Path) -> None:
    page, text = ((written / name).read_text(encoding="utf-8") for name in ("index.html", "index.md"))
    said = caveats(study(("pendigits", "splice-keel")))
    assert said[-1] == "NCA: fitted on a subset of some training sets here, as the notes of the tables say."
    for caveat in said:
        assert f'<p class="note">{caveat}</p>' in page and f"- {caveat}\n" in text


def test_names_from_params_cannot_write_html(tmp_path: Path) -> None:
    table = exact_table(
        dataset="<script>alert(1)</script>", method="<b>mine", label=[0, 1], prediction=[0, 1], lower=[0.1, 0.2],
        upper=[0.1, 0.2], status=["exact", "exact"],
    )  # fmt: skip
    certified = certified_table(
        dataset="<script>alert(1)</script>", method="<b>mine", n_neighbors=1, label=[0, 1], prediction=[0, 1],
        radius=[0.1, 0.1],
    )  # fmt: skip
    made = build_study([table, certified], radii={"<script>alert(1)</script>": [0.0, 0.1]})
    from arml.report.page import page_html
    from arml.report.sections import report_sections

    page = page_html(made, "claim", [], report_sections(made, []))
    assert "<script" not in page and "<b>mine" not in page and "&lt;script&gt;" in page
    read(page)


def test_ids_of_two_figures_never_meet() -> None:
    svg = '<svg width="9pt" height="9pt"><g id="a"/><use xlink:href="#a" clip-path="url(#a)"/></svg>'
    assert inline_svg(svg, "one", 'say "x"') == (
        '<svg role="img" aria-label="say &#34;x&#34;" style="max-width:15px">'
        '<g id="one-a"/><use xlink:href="#one-a" clip-path="url(#one-a)"/></svg>'
    )


def test_an_appendix_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected index\.md"):
        read_appendix(tmp_path, "none")
    (tmp_path / "index.md").write_text("no heading\n")
    with pytest.raises(DataError, match="expected a heading"):
        read_appendix(tmp_path, "none")


@needs_chromium
def test_chromium_shows_the_page_without_an_error_or_a_request(written: Path, tmp_path: Path) -> None:
    check_page(written / "index.html", tmp_path)


@needs_chromium
def test_chromium_would_tell(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text('<script>console.error("broken")</script><img src="http://nowhere.invalid/picture.png">')
    said, asked = browse(page, tmp_path)
    assert "broken" in said and "CONSOLE" in said and set(asked) == {"http://nowhere.invalid/picture.png"}


# ---------------------------------------------------------------- LaTeX, plots, Figure 1, verdict


def test_latex_tables_are_booktabs_with_the_papers_values() -> None:
    made = papers_errors(1)
    text = errors_latex(made, table1_curves(made))
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    assert r"\toprule" in text and r"\midrule" in text and r"\bottomrule" in text
    assert r"Metric & $r = 0$ & $r = 0.1$" in text and r"0.607 {\scriptsize (0.606)}" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in body} == {len(RADII)}
    certified = study(("pendigits",)).select("pendigits", "certified", 11, "theorem1")
    unsolved = sorted(curve.n_unsolved for curve in certified)
    assert unsolved[0] < unsolved[-1]
    caption = f"(Theorem 1; 1200 test points, {unsolved[0]} to {unsolved[-1]} unsolved"  # of a method, not of all
    assert caption in errors_latex(study(("pendigits",)), certified)
    assert escaped(r"a_b & 5 % \x") == r"a\_b \& 5 \% \textbackslash{}x"


def test_curves_for_dvc_plots_are_those_of_the_tables() -> None:
    made = study(("pendigits",))
    rows = list(csv.DictReader(io.StringIO(plot_files(made)["exact-1nn-pendigits"])))
    assert {row["method"] for row in rows} == {"Euclidean", "NCA", "LMNN", "ITML", "LFDA", "ARML"}
    at = {(row["method"], round(float(row["radius"]), 6)): float(row["error"]) for row in rows}
    for cell in cells(made, table1_curves(made)):
        name = "Euclidean" if cell.method == "euclidean" else cell.method.upper()
        assert at[name, round(cell.radius, 6)] == pytest.approx(cell.error, abs=1e-6)


def test_the_balls_of_figure_1_touch_the_boundary_and_do_not_cross_it() -> None:
    fits = fit_toy(METHOD_ORDER, 42)
    angles = np.linspace(0, 2 * np.pi, 721)
    around = np.column_stack([np.cos(angles), np.sin(angles)])
    for fit in fits:
        G = fit.metric.components
        for point, label, radius in zip(TOY_POINTS, TOY_LABELS, fit.radii):
            for share, crosses in ((0.999, False), (1.01, True)):
                moved = point + share * radius * around
                lengths = (((moved[:, None] - TOY_POINTS[None]) @ G.T) ** 2).sum(axis=2)
                assert bool((TOY_LABELS[lengths.argmin(axis=1)] != label).any()) is crosses
    means = {fit.method: fit.radii.mean() for fit in fits}
    assert max(means, key=means.__getitem__) == "arml"  # as its caption says
    figure, alt = boundary_figure(fits)
    assert sum(axes.get_visible() for axes in figure.axes) == 6 and f"ARML {means['arml']:.3f}" in alt
    least = {fit.method: fit.radii.min() for fit in fits}
    said = boundary_words(fits)
    assert f"raises the mean of the Euclidean radii ({means['euclidean']:.3f} to {means['arml']:.3f})" in said
    assert f"lowers the least of them ({least['euclidean']:.3f} to {least['arml']:.3f})" in said
    assert boundary_words([fit for fit in fits if fit.method != "arml"]).endswith("inside changes the prediction.\n")
    turned = [replace(fit, method={"arml": "euclidean", "euclidean": "arml"}.get(fit.method, "nca")) for fit in fits]
    assert "ARML lowers the mean" in boundary_words(turned) and "raises the least" in boundary_words(turned)
    same = [replace(fits[0], method=method) for method in ("euclidean", "arml")]
    assert "ARML keeps the mean" in boundary_words(same) and "keeps the least" in boundary_words(same)


def test_figure_1_divides_the_plane_as_the_nearest_points_do() -> None:
    from matplotlib.colors import same_color

    fits = fit_toy(METHOD_ORDER, 42)
    figure, _ = boundary_figure(fits)
    for axes, fit in zip(figure.axes, fits, strict=True):
        regions, line = axes.collections
        G = fit.metric.components
        on_it = np.concatenate([path.vertices for path in line.get_paths()])
        lengths = (((on_it[:, None] - TOY_POINTS[None]) @ G.T) ** 2).sum(axis=2)
        one, other = (lengths[:, label == TOY_LABELS].min(axis=1) for label in (0, 1))
        assert len(on_it) > 50 and np.abs(one - other).max() < 0.02 * lengths.mean()
        for label, (path, colour) in enumerate(zip(regions.get_paths(), regions.get_facecolors(), strict=True)):
            marker = next(
                drawn for drawn in axes.lines if np.array_equal(drawn.get_xydata(), TOY_POINTS[label == TOY_LABELS])
            )
            assert same_color(colour[:3], marker.get_markerfacecolor())
            assert (path.contains_points(TOY_POINTS) == (label == TOY_LABELS)).all()


def test_figure_1_is_the_same_to_the_byte(tmp_path: Path) -> None:
    fits = fit_toy(["euclidean", "lfda"], 42)
    one, two = (draw_boundaries(fits, tmp_path / name) for name in "ab")
    assert one.file.suffix == ".svg" and one.file.read_bytes() == two.file.read_bytes()


def test_verdict_states_the_papers_three_observations_with_counts() -> None:
    made = study()
    found = observations(made)
    assert [one.statement for one in found] == [
        "ARML is the most robust",
        "ARML's clean error is competitive",
        "NCA and LMNN are less robust than Euclidean",
    ]
    for one in found:
        for tally in (*one.tallies, *one.aside_tallies):
            assert tally.support + len(tally.where_not) == tally.cells > 0
    cleaner = [tally.evidence for tally in found[2].aside_tallies]
    assert cleaner == ["NCA, 1-NN", "NCA, 11-NN", "LMNN, 1-NN", "LMNN, 11-NN"]
    strict, near = clean_competitive(made), clean_competitive(made, COMPETITIVE)
    assert all(a.support <= b.support for a, b in zip(strict, near, strict=True))
