"""Two people on one study: each changes a parameter, reruns, commits; the merge is one command and one rerun."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
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


def test_generated_files_and_nothing_else_are_kept_whole() -> None:
    asked = ("dvc.lock", "reports/index.html", "reports/tables/table1.md", "params.yaml", "dvc.yaml", "README.md")
    said = subprocess.run(["git", "check-attr", "merge", *asked], cwd=ROOT, check=True, capture_output=True, text=True)
    found = dict(line.split(": merge: ") for line in said.stdout.splitlines())
    assert found == {name: "generated" if name == "dvc.lock" or name.startswith("reports/") else "unspecified"
                     for name in asked}  # fmt: skip
