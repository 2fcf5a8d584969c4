"""Two people on one study: each changes a parameter, reruns, commits; the merge is one command and one rerun."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from injection import living_in, wait_for
from workspace import ROOT, Workspace, git


def driver() -> dict[str, str]:
    """What `make env` puts into git's configuration, read from the recipe itself."""
    recipe = (ROOT / "Makefile").read_text()
    return {f"merge.generated.{key}": value.strip('"') for key, value in
            re.findall(r'git config merge\.generated\.(\w+) ("[^"]+"|\w+)', recipe)}  # fmt: skip


@pytest.fixture
def colleagues(study: Workspace, tmp_path: Path) -> tuple[Workspace, Workspace]:
    """Two clones of one repository, with one DVC remote."""
    (tmp_path / "store").mkdir()
    git("remote", "remove", "origin", cwd=study.path)
    study.dvc("remote", "add", "-q", "-d", "team", str(tmp_path / "store"))
    study.commit("a remote")
    study.dvc("push", "-q")
    git("clone", "-q", "--bare", str(study.path), str(tmp_path / "shared.git"), cwd=tmp_path)
    found = []
    for name in ("ada", "bob"):
        git("clone", "-q", str(tmp_path / "shared.git"), str(tmp_path / name), cwd=tmp_path)
        clone = Workspace(tmp_path / name, study.environment)
        for key, value in driver().items():
            git("config", key, value, cwd=clone.path)
        clone.dvc("pull", "-q")
        found.append(clone)
    return found[0], found[1]


def change(workspace: Workspace, section: str, key: str, value: object, stage: str) -> None:
    """Set one parameter, rerun what follows from it, commit, share."""
    text = (workspace.path / "params.yaml").read_text()
    new, count = re.subn(rf"(?m)^({section}:\n(?:  .*\n)*?  {key}: )\S+", rf"\g<1>{value}", text)
    assert count == 1
    (workspace.path / "params.yaml").write_text(new)
    workspace.repro("-s", stage)
    workspace.repro("-s", "report")
    workspace.dvc("push", "-q")
    workspace.commit(f"{section}.{key}: {value}")


def test_two_changes_merge_without_a_conflict_and_one_rerun_makes_them_right(
    colleagues: tuple[Workspace, Workspace],
) -> None:
    ada, bob = colleagues
    assert driver()["merge.generated.driver"] == "true"
    change(ada, "certify", "bound", "plurality", "certify@toy")
    git("push", "-q", "origin", "HEAD", cwd=ada.path)
    change(bob, "tighten", "nodes", 50, "tighten@toy")
    git("pull", "-q", "--no-rebase", "--no-edit", "origin", "HEAD", cwd=bob.path)  # fails on a conflict
    params = bob.params()
    assert (params["certify"]["bound"], params["tighten"]["nodes"]) == ("plurality", 50)
    bob.dvc("pull", "-q", "--run-cache", "--allow-missing")
    bob.repro()
    assert "nothing has changed" in bob.repro()
    assert not subprocess.run(["git", "grep", "-l", "<<<<<<<", "--", "dvc.lock", "reports"], cwd=bob.path,
                              capture_output=True, text=True).stdout  # fmt: skip
    lock = (bob.path / "dvc.lock").read_text()
    assert "plurality" in lock and "nodes: 50" in lock
    report = (bob.path / "reports" / "index.md").read_text()
    assert report != git("show", "HEAD:reports/index.md", cwd=bob.path)
    assert report.count("lurality")


@pytest.mark.long
def test_two_experiments_side_by_side_end_well_and_reach_a_colleague(
    colleagues: tuple[Workspace, Workspace],
) -> None:
    """Each with a server and a port of its own; what a colleague pulls can be shown, compared and applied."""
    ada, bob = (Workspace(person.path, alone(person.environment)) for person in colleagues)
    ada.dvc("exp", "run", "-q", "--queue", "-n", "few", "-S", "check.sample=5")
    ada.dvc("exp", "run", "-q", "--queue", "-n", "more", "-S", "check.sample=10")
    queue, servers = ada.start(sys.executable, "-m", "dvc", "queue", "start", "-j", "2"), set[str]()
    try:
        over = wait_for(lambda: ended(ada, servers), 300)
    finally:
        ada.dvc("queue", "stop", "--kill")
        queue.communicate(timeout=60)
    said = ada.dvc("queue", "status")
    assert over and said.count("Success") == 2, (said, *(ada.dvc("queue", "logs", name) for name in ("few", "more")))
    assert len(servers) == 2

    ada.dvc("exp", "push", "-q", "origin", "few", "more")
    bob.dvc("exp", "pull", "-q", "origin", "few", "more")
    shown = bob.dvc("exp", "show", "--md", "--drop", ".*", "--keep", r"(Experiment|check.sample|certificates.checked)$")
    rows = {name: cells for name, *cells in re.findall(r"\[(\w+)\] +\| (\d+) +\| (\d+) ", shown)}
    assert rows == {"few": ["90", "5"], "more": ["180", "10"]}, shown
    assert re.search(r"certificates\.checked +90 +180 +90", bob.dvc("metrics", "diff", "few", "more"))
    page = bob.dvc("plots", "diff", "few", "more").strip().removeprefix("file://")
    assert {"few", "more"} <= set(re.findall(r'"rev": ?"(\w+)"', Path(page).read_text()))
    bob.dvc("exp", "apply", "more")
    assert "nothing has changed" in bob.repro()


def alone(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a person who has no Prefect server yet, and keeps Prefect's files where each workspace is."""
    return {name: value for name, value in environment.items() if not name.startswith("PREFECT_")}


def ended(study: Workspace, servers: set[str]) -> bool:
    """Whether no experiment of the queue is left; notes the servers of those that are at work."""
    for file in study.path.glob(".dvc/tmp/exps/*/.prefect/server.json"):
        with contextlib.suppress(OSError, ValueError):
            servers.add(json.loads(file.read_text())["url"])
    return not living_in(study.path)


def test_generated_files_and_nothing_else_are_kept_whole() -> None:
    asked = ("dvc.lock", "reports/index.html", "reports/tables/table1.md", "params.yaml", "dvc.yaml", "README.md")
    said = subprocess.run(["git", "check-attr", "merge", *asked], cwd=ROOT, check=True, capture_output=True, text=True)
    found = dict(line.split(": merge: ") for line in said.stdout.splitlines())
    assert found == {name: "generated" if name == "dvc.lock" or name.startswith("reports/") else "unspecified"
                     for name in asked}  # fmt: skip
