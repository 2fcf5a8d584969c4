"""Results through S3 and SSH: pushed from one clone, pulled in another; damaged and missing objects."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from remotes import s3, ssh
from workspace import Workspace, git

DAMAGED, MISSING = "data/results/toy/exact.parquet", "data/results/toy/tightened.parquet"


def md5_of(study: Workspace, name: str) -> str:
    stages = yaml.safe_load((study.path / "dvc.lock").read_text())["stages"].values()
    return str(next(out["md5"] for stage in stages for out in stage.get("outs", ()) if out["path"] == name))


def forget(study: Workspace, name: str) -> None:
    md5 = md5_of(study, name)
    (study.path / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    (study.path / name).unlink()


@pytest.mark.parametrize("remote", [s3, ssh])
def test_results_travel_and_what_a_remote_has_lost_or_damaged_is_told_and_made_again(
    study: Workspace, tmp_path: Path, remote: object
) -> None:
    with remote(study, tmp_path) as store:  # type: ignore[operator]
        study.dvc("remote", "modify", "-q", "team", "verify", "true")
        study.commit("a remote")
        study.dvc("push", "-q")
        git("clone", "-q", str(study.path), str(tmp_path / "colleague"), cwd=tmp_path)
        colleague = Workspace(tmp_path / "colleague", study.environment)
        if (study.path / ".dvc" / "config.local").is_file():  # a person's own key
            shutil.copy(study.path / ".dvc" / "config.local", colleague.path / ".dvc")
        colleague.dvc("pull", "-q")
        assert colleague.computed_hashes() == study.computed_hashes()
        assert "nothing has changed" in colleague.repro()

        md5 = {name: md5_of(study, name) for name in (DAMAGED, MISSING)}
        whole = {name: store.read(md5[name]) for name in md5}
        store.write(md5[DAMAGED], whole[DAMAGED][:-1] + b"\0")
        store.remove(md5[MISSING])
        for name in md5:
            forget(colleague, name)
        output = colleague.dvc("pull", code=1)
        named = output.partition("Checkout failed for following targets:\n")[2].splitlines()[:3]
        assert set(named) == {DAMAGED, MISSING, "Is your cache up to date?"} and "Traceback" not in output, output
        assert f"Missing cache files:\nmd5: {md5[MISSING]}" in output
        assert not (colleague.path / DAMAGED).exists() and not (colleague.path / MISSING).exists()
        # made again from the finished parts, and brought where they were; the damaged one once it is taken away
        colleague.repro()
        assert colleague.computed_hashes() == study.computed_hashes()
        store.remove(md5[DAMAGED])
        colleague.dvc("push", "-q")
        assert {name: store.read(md5[name]) for name in md5} == whole
