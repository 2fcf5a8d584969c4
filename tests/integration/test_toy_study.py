"""The toy study through the commands people run, in a temporary clone."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from conftest import toy_params
from workspace import BIN, Workspace, asked, git

from arml.results import read_provenance, read_table, write_table

METHODS = ("euclidean", "nca", "lmnn", "itml", "lfda", "arml")


def test_full_run_makes_every_result_and_says_what_it_did(finished: tuple[Workspace, str]) -> None:
    workspace, output = finished
    data = workspace.path / "data"
    for method in METHODS:
        assert (data / "metrics" / "toy" / f"{method}.parquet").is_file()
    rows = {
        name: pq.read_table(data / "results" / "toy" / f"{name}.parquet").num_rows
        for name in ("exact", "certified", "checked", "attacked", "tightened", "networks", "networks_attacked")
    }
    assert rows == {
        "exact": 30 * 6,
        "certified": 30 * 6 * 2,
        "checked": 30 * 6 * 3,
        "attacked": 10 * 6 * 2,
        "tightened": 10 * 6,
        "networks": 30 * 2,
        "networks_attacked": 10 * 2,
    }
    assert "check toy: 540 certificates accepted" in output
    reports = workspace.path / "reports"
    for network in ("crown", "smoothing-0.2"):
        assert (data / "networks" / "toy" / f"{network}.parquet").is_file()
    assert (reports / "figures" / "networks-toy.svg").is_file()
    assert (reports / "index.md").is_file() and list((reports / "tables").glob("*.md"))
    page, text = ((reports / name).read_text(encoding="utf-8") for name in ("index.html", "index.md"))
    assert "Figure 1" in page and "<script" not in page
    assert page.count("<figure>") == len(re.findall(r"^!\[", text, flags=re.MULTILINE))
    took = (reports / "run.html").read_text(encoding="utf-8")
    assert "CPU seconds" in took and "CPU seconds" not in page + text
    assert json.loads((reports / "metrics.json").read_text())
    assert "6/6 parts, 100 %" in output and "orchestration" in output
    assert "comparisons certificate <= exact <= attack hold" in output


def test_second_run_does_nothing(finished: tuple[Workspace, str]) -> None:
    workspace, _ = finished
    before = workspace.hashes("data", "reports")
    output = workspace.repro()
    assert "nothing has changed" in output and "Running stage" not in output
    assert workspace.hashes("data", "reports") == before


def test_the_command_line_checks_the_pipeline_s_certificates(finished: tuple[Workspace, str]) -> None:
    workspace, _ = finished
    data = workspace.path / "data"
    splits = [str(data / "processed" / "toy" / f"{name}.parquet") for name in ("train", "test")]
    stored = sorted(map(str, (data / "certificates" / "toy").glob("*/*.parquet")))
    metrics = [word for method in METHODS for word in ("--metric", str(data / "metrics" / "toy" / f"{method}.parquet"))]
    command = ("arml", "check", *splits, *stored, *metrics, "--json")
    said = json.loads(workspace.run(sys.executable, "-m", *command))
    assert said["checked"] == 540 and said["rejected"] == 0 and len(said["groups"]) == 18
    curves = json.loads(workspace.run(sys.executable, "-m", "arml", "curve",
                                      str(data / "results" / "toy" / "exact.parquet"), "--json"))  # fmt: skip
    assert [curve["method"] for curve in curves["curves"]] == list(METHODS)


def test_git_holds_reports_and_pointers_but_no_data(finished: tuple[Workspace, str]) -> None:
    workspace, _ = finished
    tracked = git("ls-files", cwd=workspace.path).split()
    assert "dvc.lock" in tracked and "reports/index.md" in tracked
    assert [name for name in tracked if name.startswith("data/")] == [
        "data/.gitignore",
        "data/networks/README.md",
        "data/own/README.md",
    ]


def test_a_param_of_arml_retrains_only_arml(study: Workspace) -> None:
    params = study.params()
    params["train"]["arml"] |= {"max_iter": 51, "random_state": 7}
    study.set_params(params)
    before = study.hashes("data/metrics", "data/certificates", "data/work")
    times = {m: (study.path / f"data/metrics/toy/{m}.parquet").stat().st_mtime_ns for m in METHODS}
    output = study.repro("train@toy", "verify@toy")
    assert "train toy: 6/6 parts, 100 %, 5 reused" in output
    assert "verify toy: 12/12 parts, 100 %, 10 reused" in output
    assert "download@toy' didn't change" in output
    after = study.hashes("data/metrics", "data/certificates", "data/work")
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed and all("arml-" in name or "arml.parquet" in name for name in changed)
    for method in METHODS[:-1]:
        assert (study.path / f"data/metrics/toy/{method}.parquet").stat().st_mtime_ns == times[method]
    used = read_provenance(study.path / "data/metrics/toy/arml.parquet")["params"]
    assert (used["max_iter"], used["random_state"]) == (51, 7)  # and not the study's seed


def test_metrics_and_curves_of_two_runs_are_compared_by_dvc(study: Workspace) -> None:
    study.commit("before")
    params = study.params()
    params["train"]["arml"] |= {"loss": "hinge", "n_components": 1}
    study.set_params(params)
    study.repro()
    changes = json.loads(study.dvc("metrics", "diff", "--json"))["reports/metrics.json"]
    assert changes and all(name.startswith("toy.arml.") for name in changes)
    assert "toy.arml.certified_3nn" in changes  # a headline: at the middle radius
    curves = json.loads(study.dvc("plots", "diff", "--json", "HEAD"))["data"]
    assert {"reports/plots/exact-1nn-toy.csv", "reports/plots/certified-3nn-toy.csv"} <= set(curves)
    content = curves["reports/plots/exact-1nn-toy.csv"][0]["content"]
    assert content["encoding"]["color"]["field"] == "method"  # our template
    points: dict[tuple[str, str], list[str]] = {}
    for row in content["data"]["values"]:
        points.setdefault((row["rev"], row["method"]), []).append(row["error"])
    assert {rev for rev, _ in points} == {"HEAD", "workspace"}
    assert points["HEAD", "ARML"] != points["workspace", "ARML"]
    assert points["HEAD", "LMNN"] == points["workspace", "LMNN"]


def test_an_added_data_set_runs_only_its_stages(study: Workspace) -> None:
    rows = [f"{i % 2},{i % 7},{(i * i) % 5 + 3 * (i % 2)}" for i in range(60)]
    own = study.path / "data" / "own"
    (own / "mine.csv").write_text("\n".join(["kind,a,b", *rows]) + "\n")
    params = study.params()
    params["datasets"]["mine"] = {
        "source": "file", "file": "mine.csv", "label": "kind", "test_fraction": 0.25, "radii": [0, 0.1],
    }  # fmt: skip
    study.set_params(params)
    before = study.hashes("data/results/toy", "data/work/toy")
    output = study.repro()
    run = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    stages = ("download", "preprocess", "train", "verify", "certify", "check", "attack", "tighten")
    assert run == {f"{stage}@mine" for stage in stages} | {"inputs", "report"}
    assert "DVC tracks data/own/mine.csv now" in output and (own / "mine.csv.dvc").is_file()
    assert "preprocess mine: 45 training and 15 test points" in output
    assert study.hashes("data/results/toy", "data/work/toy") == before
    assert "mine" in (study.path / "reports" / "index.md").read_text()
    (own / "mine.csv").write_text("\n".join(["kind,a,b", "1,0,3", *rows[1:]]) + "\n")
    assert "preprocess mine" in study.repro("preprocess@mine")  # an edited file is noticed
    params["datasets"]["mine"]["radii"] = [0, 0.2]
    study.set_params(params)
    assert "Stage 'download@mine' didn't change" in study.repro("download@mine")


def test_tightening_can_be_switched_off(study: Workspace) -> None:
    params = study.params()
    params["tighten"]["n_neighbors"] = []
    study.set_params(params)
    study.repro()
    assert read_table(study.path / "data/results/toy/tightened.parquet", "results").num_rows == 0
    page = (study.path / "reports" / "index.md").read_text()
    assert "branch and bound" not in page and "Certified robust error, 3-NN" in page
    assert "nothing has changed" in study.repro()


def test_a_clone_restores_all_by_dvc_pull(study: Workspace, tmp_path: Path) -> None:
    study.dvc("remote", "add", "-d", "shelf", str(tmp_path / "remote"))
    study.dvc("push", "-q")
    study.commit("remote")
    git("clone", "-q", str(study.path), str(tmp_path / "colleague"), cwd=tmp_path)
    colleague = Workspace(tmp_path / "colleague", study.environment)
    colleague.dvc("pull", "-q")
    assert colleague.study_hashes() == study.study_hashes()
    rooms = ("data/certificates", "data/work", "reports")
    (study.path / "reports" / "run.html").unlink()  # of that run alone
    assert colleague.hashes(*rooms) == study.hashes(*rooms)
    output = colleague.repro()
    assert "nothing has changed" in output
    assert "Running stage" not in colleague.dvc("repro")
    assert git("status", "--porcelain", cwd=colleague.path) == ""
    params = toy_params()
    params["train"]["arml"]["max_iter"] += 1  # type: ignore[index]
    colleague.set_params(params)
    assert "6/6 parts, 100 %, 5 reused" in colleague.repro("train@toy")  # the records came with the pull


def test_dvc_by_its_path_finds_the_project_s_python(study: Workspace, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "python").symlink_to(Path(sys.base_prefix) / "bin" / "python3")  # that of the shell: it has no Prefect
    path = f"{bare}{os.pathsep}/usr/bin{os.pathsep}/bin"
    repro = (str(BIN / "dvc"), "repro", "-f", "-s", "preprocess@toy")
    output = study.run(*repro, code=255, PATH=path)
    assert f"error: {bare / 'python'} has no Prefect" in output and "make env" in output
    (study.path / ".venv").symlink_to(sys.prefix)
    assert "preprocess toy: 60 training and 30 test points" in study.run(*repro, PATH=path)


def test_the_page_of_a_run_says_its_params_and_the_commit(study: Workspace, server: str) -> None:
    study.stage("check", "--dataset", "toy")
    asking = {"flows": {"name": {"any_": ["check"]}}, "flow_runs": {"tags": {"all_": ["toy", f"commit {head(study)}"]}}}
    run = asked(server, "/flow_runs/filter", asking)[-1]
    params = study.params()
    assert run["name"] == "check toy"
    assert run["parameters"] == {"dataset": "toy", **{name: params[name] for name in ("seed", "methods", "check")}}


def head(study: Workspace) -> str:
    return git("log", "-1", "--format=%h", "--abbrev=12", "--", "arml", "flows", "dvc.yaml", "params.yaml",
               cwd=study.path).strip()  # fmt: skip


def test_an_altered_part_is_computed_again(finished: tuple[Workspace, str], study: Workspace) -> None:
    parts, records = study.path / "data/certificates/toy/exact", study.path / "data/work/toy/verify/records"
    (parts / "lfda-1-0.parquet").write_bytes(b"altered")
    (parts / "nca-1-0.parquet").unlink()
    (records / "itml-1-0.json").write_text("{not json")
    (parts / "stray.tmp").write_text("left by a killed run")
    output = study.stage("verify", "--dataset", "toy")
    assert "12/12 parts, 100 %, 9 reused" in output
    rooms = ("data/certificates", "data/work", "data/results")
    assert study.hashes(*rooms) == finished[0].hashes(*rooms)


def test_a_tampered_radius_fails_the_check(study: Workspace) -> None:
    """One radius raised by a millionth, where it is proved and where it is reported."""
    part, result = (study.path / name for name in TAMPERED)
    rows = read_table(part, "evidence")
    chosen = int(np.flatnonzero(rows["lower"].to_numpy() > 0)[0])
    index = rows["index"][chosen].as_py()
    write_table(part, raised(rows, "lfda", index), "evidence", {})
    output = study.stage("check", "--dataset", "toy", code=1)
    assert "error: the certificates (540) are not those of the results (540 rows)" in output
    write_table(result, raised(read_table(result, "results"), "lfda", index), "results", {})
    output = study.stage("check", "--dataset", "toy", code=1)
    assert "error: check: 1 of 540 certificates are rejected" in output
    assert f"toy, lfda, exact, K = 1, row {index}: " in output
    study.stage("report", code=1)


TAMPERED = ("data/certificates/toy/exact/lfda-1-0.parquet", "data/results/toy/exact.parquet")


def raised(table: pa.Table, method: str, index: int) -> pa.Table:
    """The table with one method's lower bound of one test point raised."""
    chosen = (table["method"].to_numpy() == method) & (table["index"].to_numpy() == index)
    lower = np.where(chosen, table["lower"].to_numpy() * (1 + 1e-6), table["lower"].to_numpy())
    return table.set_column(table.column_names.index("lower"), "lower", pa.array(lower))
