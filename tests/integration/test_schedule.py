"""Scheduled reruns against a real server: by the clock, with a remote, through a failure, beside a person's run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from injection import living_in, wait_for
from workspace import Workspace, asked, git


@pytest.fixture
def team(study: Workspace, tmp_path: Path) -> Workspace:
    """The finished study with a DVC remote, named by where it lies from here, and Prefect's folder its own."""
    (tmp_path / "store").mkdir()
    git("remote", "remove", "origin", cwd=study.path)  # this very project
    study.dvc("remote", "add", "-q", "-d", "team", "../store")
    study.commit("a remote")
    return Workspace(study.path, {**study.environment, "PREFECT_HOME": str(tmp_path / "home")})


def history(study: Workspace) -> list[dict[str, Any]]:
    file = Path(study.environment["PREFECT_HOME"]) / "reruns.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []


def test_reruns_by_the_clock_pull_reproduce_push_and_record(team: Workspace, server: str, tmp_path: Path) -> None:
    head = git("rev-parse", "HEAD", cwd=team.path).strip()
    process = team.start(sys.executable, "-m", "flows.schedule", "--every", "8")
    try:
        twice = wait_for(lambda: len(history(team)) >= 2, 180)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
    runs = asked(server, "/flow_runs/filter", {"flows": {"name": {"any_": ["rerun"]}}})
    assert twice, (output, [(run["state"]["name"], run["state"]["message"]) for run in runs])
    assert "reruns of HEAD every 8 s" in output
    assert wait_for(lambda: not living_in(team.path), 60), living_in(team.path)
    first, second = history(team)[:2]
    assert first["commit"] == second["commit"] == head and not first["failed"] + second["failed"]
    # all is in the shared cache: nothing was computed, and git holds it already
    assert first["stages"] == second["stages"] == [] and first["results"] == second["results"] == head
    assert first["data"].keys() == {"toy"} and first["pushed"] == "data: yes"
    assert len(list((tmp_path / "store").rglob("*"))) > 50
    runs = asked(server, "/flow_runs/filter", {"flows": {"name": {"any_": ["rerun"]}}})
    assert [run for run in runs if run["state_type"] == "COMPLETED" and run["deployment_id"]]
    artifacts = asked(server, "/artifacts/filter", {"artifacts": {"key": {"like_": "e"}}})
    tables = {artifact["key"]: artifact["data"] for artifact in artifacts}
    assert "fingerprint" in tables["lineage"] and "index.html" in tables["report"]
    assert head in tables["rerun-lineage"] and "| ARML " in tables["report-table1"]


def test_a_failed_rerun_names_its_stage_and_the_next_one_goes_on(team: Workspace, tmp_path: Path) -> None:
    params = team.params()
    params["train"]["arml"]["max_iter"] = 51
    params["tighten"]["programs"] = 7
    params["datasets"] = {"toy": {}, "usps": {"source": "mirror"}}  # and no mirror
    team.set_params(params)
    team.commit("a data set that cannot be had")
    before, uncommitted = team.hashes("data", "reports"), "# a person's own change\n"
    team.path.joinpath("README.md").write_text(uncommitted)
    output = team.run(sys.executable, "-m", "flows.schedule", "--now", code=1)
    assert "error: stage download@usps: " in output and "ARML_MIRROR" in output
    failed = history(team)[-1]
    assert failed["failed"].startswith("stage download@usps: ") and failed["results"] == ""
    done = set(failed["stages"])

    params["datasets"] = {"toy": {}}
    team.set_params(params)
    team.commit("without it")
    output = team.run(sys.executable, "-m", "flows.schedule", "--now")
    last = history(team)[-1]
    assert not last["failed"]
    # what the failed one did is not done again; but inputs read the data sets, which have changed
    assert set(last["stages"]) & done <= {"inputs"}
    assert {"train@toy", "tighten@toy"} <= done | set(last["stages"])
    # results are a commit that follows the code and the results before
    parents = git("rev-list", "--parents", "-n1", "scheduled", cwd=team.path).split()
    assert parents[0] == last["results"] and parents[1] == git("rev-parse", "HEAD", cwd=team.path).strip()
    message = git("log", "-1", "--format=%B", "scheduled", cwd=team.path)
    assert "Scheduled rerun of" in message and "data: toy " in message
    # and nothing of the person's folder has moved
    assert team.hashes("data", "reports") == before
    assert team.path.joinpath("README.md").read_text() == uncommitted

    # a colleague takes results, code and data from there
    other = tmp_path / "colleague"
    git("clone", "-q", "-b", "scheduled", str(team.path), str(other), cwd=tmp_path)
    colleague = Workspace(other, team.environment)
    colleague.dvc("remote", "modify", "--local", "team", "url", str(tmp_path / "store"))
    colleague.dvc("pull", "-q")
    assert "nothing has changed" in colleague.repro()


def test_one_rerun_at_a_time_and_one_run_in_a_workspace(team: Workspace) -> None:
    from filelock import FileLock

    home = Path(team.environment["PREFECT_HOME"])
    home.mkdir(exist_ok=True)
    with FileLock(home / "rerun.lock"):
        output = team.run(sys.executable, "-m", "flows.schedule", "--now", code=1)
    assert "error: another scheduled rerun is at work here; this one does nothing" in output
    said = "error: another run is at work in "
    running = attacking(team, "flows.repro", steps=60)
    output = team.repro(code=2)
    assert said in output and f"process {running.pid}, since " in output
    assert said in team.stage("verify", "--dataset", "toy", code=1)  # as a plain `dvc repro` would run it
    told, _ = running.communicate(timeout=300)
    assert running.returncode == 0, told

    running = attacking(team, "dvc", "repro", steps=1000)
    holder = team.path / ".dvc" / "tmp" / "arml.pid"
    alive = {str(process.pid) for process in living_in(team.path)}
    assert wait_for(lambda: holder.read_text().partition(",")[0] in alive, 60)
    stage = int(holder.read_text().partition(",")[0])
    os.kill(stage, signal.SIGSTOP)  # it would be over before the other has come
    try:
        assert said in team.repro(code=2)
    finally:
        os.kill(stage, signal.SIGCONT)
    told, _ = running.communicate(timeout=300)
    assert running.returncode == 0, told


def attacking(team: Workspace, *module: str, steps: int) -> subprocess.Popen[str]:
    """A run of another person's, in the middle of its stage attack."""
    params = team.params()
    params["attack"]["steps"] = steps
    team.set_params(params)
    running = team.start(sys.executable, "-m", *module)
    assert wait_for(lambda: any("attack" in p.cmdline()[3:4] for p in living_in(team.path)), 120)
    return running


def test_bad_arguments_of_the_schedule(team: Workspace) -> None:
    assert "--every takes a positive number" in team.run(sys.executable, "-m", "flows.schedule", "--every", "0", code=2)
    params = team.params()
    params["schedule"]["cron"] = "daily"
    team.set_params(params)
    output = team.run(sys.executable, "-m", "flows.schedule", "--now", code=2)
    assert "error: schedule.cron must be minute, hour" in output


def test_the_deployment_is_made_from_prefect_yaml_and_params(team: Workspace, server: str) -> None:
    prefect = (sys.executable, "-m", "prefect", "--no-prompt")
    team.run(*prefect, "work-pool", "create", "--type", "process", "arml")
    team.run(*prefect, "deploy", "--all")
    made = asked(server, "/deployments/filter", {"deployments": {"name": {"any_": ["scheduled"]}}})
    made = [deployment for deployment in made if deployment["work_pool_name"] == "arml"]
    assert made[0]["schedules"][0]["schedule"]["cron"] == team.params()["schedule"]["cron"]
    assert made[0]["entrypoint"] == "flows.rerun.rerun"
    assert made[0]["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]["directory"] == str(team.path)
    worker = team.start(sys.executable, "-m", "prefect", "worker", "start", "--pool", "arml", "--run-once")
    asked(server, f"/deployments/{made[0]['id']}/create_flow_run", {})
    before = time.monotonic()
    assert wait_for(lambda: history(team), 180), worker.communicate(timeout=5)
    assert time.monotonic() - before < 180 and not history(team)[-1]["failed"]
    worker.terminate()
    worker.communicate(timeout=60)
