"""K-NN beside networks in the report: who is compared, on which points, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import norm

from arml.curves import SandwichError
from arml.networks.smoothing import lower_confidence_bound
from arml.report.networks import check_smoothing, comparison_markdown, competitors
from arml.report.study import build_study
from arml.report.writer import headline_metrics, write_report
from tests.unit.report_data import RADII, network_tables, study, tables


def test_who_is_compared() -> None:
    made = study(("pendigits",), networks=True)
    found = competitors(made, "pendigits")
    assert [one.label for one in found] == ["Euclidean, 1-NN", "ARML, 1-NN", "MLP, CROWN", "MLP, smoothing σ = 0.2"]
    assert [one.sure for one in found] == [True, True, True, False]
    assert [one.broken is None for one in found] == [True, True, False, False]
    assert {one.proved.n_points for one in found} == {1200}
    assert competitors(study(("pendigits",)), "pendigits") == []


def test_only_shared_points_are_compared() -> None:
    certified, attacked, *_ = network_tables()
    made = build_study([*tables(("pendigits",)), certified.slice(100, 700), attacked], radii=RADII)
    found = competitors(made, "pendigits")
    assert {one.proved.n_points for one in found} == {700}
    assert found[-1].label == "CROWN, CROWN" and found[-1].broken is None  # it was attacked on others


def test_networks_stay_out_of_the_tables_of_k_nn() -> None:
    with_networks, without = study(("pendigits",), networks=True), study(("pendigits",))
    assert with_networks.methods == without.methods and with_networks.n_neighbors == 11
    assert len(with_networks.curves) == len(without.curves) and len(with_networks.networks) == 4
    assert with_networks.certificates == without.certificates
    more = with_networks.sandwich.n_comparisons - without.sandwich.n_comparisons
    assert more == 100  # CROWN's; the smoothed ones are no proofs


def test_a_smoothed_point_hit_within_its_radius_may_be_chance_but_not_many() -> None:
    assert check_smoothing(study(("pendigits",), networks=True)) == (0, 100)
    text = comparison_markdown(study(("pendigits",), networks=True))
    assert "100 attacks on smoothed points against their radii: 0 within" in text
    certified, attacked = network_tables(inside=30)[2:]
    params = {"networks": {"certify": {"alpha": 0.001}, "attack": {"bounds": None}}}
    made = build_study([*tables(("pendigits",)), certified, attacked], radii=RADII, params=params)
    with pytest.raises(SandwichError, match="of 100 smoothed points were attacked within their radii"):
        check_smoothing(made)


def test_a_crown_radius_above_an_attack_is_a_bug() -> None:
    made = study(("pendigits",), networks=True, inside=1)
    assert made.sandwich.violations
    with pytest.raises(SandwichError, match="crown"):
        made.sandwich.raise_if_failed()


def test_the_table_says_what_the_curves_say() -> None:
    made = study(("pendigits",), networks=True)
    crown = competitors(made, "pendigits")[2]
    row = next(line for line in comparison_markdown(made).splitlines() if line.startswith("| MLP, CROWN"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert crown.broken is not None
    at = zip(crown.proved.errors(RADII["pendigits"]), crown.broken.errors(RADII["pendigits"]))
    assert cells[2:8] == [f"{proved:.3f} ({broken:.3f})" for proved, broken in at]
    assert cells[1] == f"{crown.proved.clean_error:.3f}" and cells[-1] == "always"
    smoothed = next(line for line in comparison_markdown(made).splitlines() if line.startswith("| MLP, smoothing"))
    assert "with probability 0.999" in smoothed
    abstained = competitors(made, "pendigits")[3].proved.n_unsolved
    assert abstained > 20 and f"| {abstained:>8} |" in smoothed
    proved = competitors(made, "pendigits")[3].proved  # abstentions are errors
    assert proved.errors([0.0])[0] == pytest.approx(proved.clean_error + abstained / proved.n_points)


def test_the_text_says_how_far_smoothing_can_reach() -> None:
    made = study(("pendigits",), networks=True)
    assert "However sure" not in comparison_markdown(made)  # these params do not say n
    certify = {"alpha": 0.001, "n": 10_000}
    told = comparison_markdown(replace(made, params={"networks": {"certify": certify}}))
    reach = 0.2 * norm.ppf(lower_confidence_bound(10_000, 10_000, 0.001))
    assert reach == pytest.approx(0.64, abs=0.005)
    assert f"no radius exceeds σ Φ⁻¹(α^(1/n)), {reach:.2f} for σ = 0.2 with n = 10000 and α = 0.001" in told


def test_the_report_shows_the_comparison(tmp_path: Path) -> None:
    made = study(("pendigits",), networks=True)
    files = {path.relative_to(tmp_path).as_posix() for path in write_report(made, tmp_path)}
    assert {"tables/networks.md", "tables/networks.csv", "figures/networks-pendigits.svg"} <= files
    page = (tmp_path / "index.md").read_text()
    assert "## Figure 2: 1-NN beside neural networks" in page and "### pendigits" in page
    assert page.count("figures/networks-pendigits.svg") == 1 and "[networks](tables/networks.csv)" in page
    numbers = headline_metrics(made)["pendigits"]
    assert set(numbers["crown"]) == {"crown"} and 0 < numbers["smoothing-0.2"]["smoothing"] < 1
