"""What a run says before it starts, and what it is called afterwards: costs, skipped methods, the commit."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from arml.learners import make_learner
from arml.report.forecast import Rate, Task, expected_cost, fitted_points
from arml.results.stages import DATASETS, TABLE
from flows import costs, layout
from flows import params as params_module
from flows.errors import ParamsError
from flows.params import load_params
from flows.tasks import artifacts
from flows.workspaces import commit, study

COLUMNS = "dataset,stage,method,n_neighbors,seconds,cpu_seconds,n_points,points_per_cpu_second,peak_memory_mib\n"


def test_cost_is_rate_times_size_from_the_best_source() -> None:
    first = [Rate("a", "verify", "arml", 1, 10.0, 100, 300.0), Rate("a", "train", "arml", 0, 7.0, 0, 500.0)]
    second = [Rate("a", "verify", "arml", 1, 99.0, 100, 900.0), Rate("b", "verify", "arml", 1, 5.0, 50, 400.0)]
    tasks = [
        Task("a", "verify", "arml", {1: 1000}), Task("b", "verify", "arml", {1: 10}), Task("a", "train", "arml", {}),
        Task("a", "verify", "itml", {1: 1000}), Task("b", "attack", "arml", {11: 5}),
    ]  # fmt: skip
    expected = expected_cost([first, second], tasks)
    assert expected.cpu_seconds == {"verify": pytest.approx(101.0), "train": 7.0}
    assert expected.total == pytest.approx(108.0)
    assert expected.largest == first[1]  # the 900 MiB are of a source that was not asked
    assert expected_cost([], tasks).largest is None
    assert [(task.dataset, task.stage, task.method) for task in expected.unknown] == [
        ("a", "verify", "itml"), ("b", "attack", "arml"),
    ]  # fmt: skip


def test_only_the_planned_k_are_counted() -> None:
    rates = [Rate("a", "certify", "arml", k, 10.0, 100, 900.0 / k) for k in (1, 11)]
    expected = expected_cost([rates], [Task("a", "certify", "arml", {11: 50})])
    assert expected.total == pytest.approx(5.0) and expected.largest == rates[1]


def test_fitted_points_are_those_the_fit_takes() -> None:
    import numpy as np

    params: dict[str, Any] = {"max_train": 30, "max_minutes": 1e-9}
    X = np.random.default_rng(0).normal(size=(60, 3))
    y = np.repeat([0, 1], 30)
    for method in ("nca", "lfda", "itml"):
        used = make_learner(method, **params).fit(X, y).fit_summary_["n_fit_samples"]
        assert fitted_points(method, {**params, "random_state": 1}, [30, 30], 3) == used == 30
    assert fitted_points("nca", {"max_train": 30, "max_minutes": 99}, [30, 30], 3) == 60
    assert fitted_points("arml", {}, [30, 30], 3) == fitted_points("euclidean", {}, [30, 30], 3) == 60


def test_a_run_says_what_it_will_cost_and_which_fits_are_of_subsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "COSTS", tmp_path)
    monkeypatch.setattr(layout, "WORKSPACES", tmp_path)
    rows = [
        f"pendigits,{stage},{m},1,9,{cpu},100,1,{cpu * 128}\n"
        for stage, m, cpu in (("verify", "arml", 60), ("verify", "nca", 6))
    ]
    (tmp_path / "mine.csv").write_text(COLUMNS + "".join(rows))
    params = params_module.load_params()
    params = {**params, "datasets": {"pendigits": {"source": "package"}}, "methods": ["nca", "arml"]}
    params["verify"] = {"sample": 200, "time_limit": None}
    params["run"] = {**params["run"], "workers": 2}
    said = list(costs.lines(params, {"verify@pendigits": []}, "mine"))
    assert said[0].startswith("expected: 2 min of CPU time, at best 1 min with 2 workers") and "verify 2 min" in said[0]
    assert said[1].startswith("expected: 7.5 GiB of memory in the largest process (verify on pendigits, arml;")
    assert said[2].startswith("not counted, since never measured: ") and "certify 2" in said[2]
    assert len(said) == 3  # nothing is fitted again
    said = list(costs.lines(params, {"train@pendigits": []}, "mine"))
    assert "fitted on subsets" not in said[-1]  # the study's limits allow all points
    params["train"] = {**params["train"], "nca": {"max_train": 1500, "max_minutes": 0.1, "max_memory": 4}}
    said = list(costs.lines(params, {"train@pendigits": []}, "mine"))
    assert said[-1] == "fitted on subsets: nca on pendigits 1500 of 7494"
    assert list(costs.lines(params, {"report": []}, "mine")) == []


def test_the_paper_study_can_be_estimated_without_its_data() -> None:
    params = study.merge(params_module.load_params(), study.overlay("paper"))
    said = list(costs.lines(params, {f"download@{name}": [] for name in params["datasets"]}, "paper"))
    assert "mnist 2500 of 60000" in said[-1] and said[0].startswith("expected: ")
    assert re.match(r"expected: [\d.]+ GiB of memory in the largest process \(\w+ on \S+, \w+;", said[1])


def test_skipped_methods_are_left_out_where_said() -> None:
    params = study.merge(params_module.load_params(), study.overlay("paper"))
    for dataset in ("mnist", "fashion-mnist", "usps"):
        kept = params_module.methods_of(params, "attack", dataset)
        assert kept == [method for method in params["methods"] if method != "lfda"]
    assert params_module.methods_of(params, "attack", "splice") == params["methods"]
    assert params_module.methods_of(params, "verify", "mnist") == params["methods"]
    params = params_module.load_params()
    params["attack"] = {**params["attack"], "skip": {"mnist": ["lfdb"]}}
    with pytest.raises(ParamsError, match=r"attack\.skip\.mnist must be a list of methods"):
        params_module.check_params(params)
    params["attack"]["skip"] = ["lfda"]
    with pytest.raises(ParamsError, match=r"attack\.skip must be a mapping"):
        params_module.check_params(params)


def test_the_commit_is_that_of_code_and_params_not_of_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ("git", *who, *arguments), cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    monkeypatch.setattr(layout, "ROOT", tmp_path)
    monkeypatch.delenv(commit.VARIABLE, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit.of_code() == ""  # no repository
    git("init", "-q")
    for name in ("arml", "flows", "reports"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("1")
    git("add", "-A")
    git("commit", "-qm", "code")
    code = git("rev-parse", "--short=12", "HEAD").strip()
    (tmp_path / "reports" / "a").write_text("2")
    git("commit", "-qam", "reports")
    assert commit.of_code() == code
    (tmp_path / "arml" / "a").write_text("3")
    assert commit.of_code() == f"{code} with uncommitted changes"
    monkeypatch.setenv(commit.VARIABLE, "told")
    assert commit.of_code() == os.environ[commit.VARIABLE]


def test_tables_and_costs_become_artifacts_with_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, str] = {}
    monkeypatch.setattr(
        artifacts, "create_markdown_artifact", lambda text, key, description="": made.update({key: text})
    )
    monkeypatch.setattr(layout, "ROOT", tmp_path)
    monkeypatch.setattr(layout, "DATA", tmp_path / "data")
    monkeypatch.setattr(layout, "REPORTS", tmp_path / "reports")
    table, figure = tmp_path / "tables" / "table1.md", tmp_path / "figures" / "exact.svg"
    table.parent.mkdir()
    table.write_text("# Table 1\n")
    (tmp_path / "index.md").write_text("# Results\n\n## Verdict\n\n- **All well.**\n\n## More\n")
    artifacts.publish_report(tmp_path, [table, figure, tmp_path / "index.md"])
    assert made["report"].startswith("- **All well.**\n\nOn this machine") and "## More" not in made["report"]
    assert list(made) == ["report", "report-table1"] and made["report-table1"].startswith("# Table 1")
    assert figure.as_uri() in made["report-table1"] and (tmp_path / "index.html").as_uri() in made["report-table1"]
    row = {"method": "arml", "n_neighbors": 11, "start": 0, "n_points": 50, "seconds": 2.0, "cpu_seconds": 5.0}
    artifacts.publish_costs("Own_Data", "verify", [{**row, "peak_memory_mib": 10.0}])
    assert (
        "10 points a CPU second" in made["verify-own-data"]
        and "| arml 11 | 50 | 2.00 | 5.00 | 10 |" in made["verify-own-data"]
    )
    assert (layout.REPORTS / "index.html").as_uri() in made["verify-own-data"]


@pytest.mark.parametrize("stage", [stage.name for stage in TABLE if stage.of == DATASETS])
def test_a_run_is_described_by_the_params_that_its_stage_depends_on(stage: str) -> None:
    params = load_params()
    params["runtime"] = {"usps": {}}
    found = artifacts.depends_on(stage, "pendigits", params)
    assert set(found) <= {"seed", "methods", stage, "datasets.pendigits"}
    assert found.get(stage, params.get(stage)) == params.get(stage)
    assert artifacts.depends_on("runtime", "usps", params) == {"seed": params["seed"], "runtime.usps": {}}


def test_a_live_share_is_made_once_and_then_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        artifacts, "create_progress_artifact", lambda share, **more: calls.append(("new", share)) or "id"
    )
    monkeypatch.setattr(
        artifacts,
        "update_progress_artifact",
        lambda one, share, **more: calls.append((one, share, more["description"])),
    )
    live = artifacts.LiveShare("verify", "toy")
    live.show(0.25, "early")
    live.show(0.5, "too soon")
    live.end(1.0, "done")
    assert calls == [("new", 25.0), ("id", 100.0, "done")]
    live.end(0.5, "1 of 2 parts failed")
    assert calls[-1] == ("id", 50.0, "1 of 2 parts failed")


def test_what_results_come_from_is_an_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    made: dict[str, str] = {}
    monkeypatch.setattr(artifacts, "create_markdown_artifact", lambda text, key, description: made.update({key: text}))
    artifacts.publish_lineage("abc", {"seed": 42}, {"toy": {"source": "package", "fingerprint": "0123456789abcdef99"}})
    assert list(made) == ["lineage"] and "commit abc" in made["lineage"] and "seed: 42" in made["lineage"]
    assert "| toy | package | `0123456789abcdef` |" in made["lineage"]
