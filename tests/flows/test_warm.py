"""Stages forked from a process that holds their imports: the same streams, arguments and exit codes, or none at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows.processes import warm as warm_module

ROOT = Path(__file__).resolve().parents[2]
# the command of a stage, told to say in which process it ends up
STAGE = """
import os, sys
from flows.processes import warm as _warm
print("asked by", os.getpid(), flush=True)
code = _warm.run("flows.stage", ["verify"])
print("code", code, flush=True)
"""


def warm(*command: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.processes.warm", *command],
        cwd=ROOT,
        env={**os.environ, **changes},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_forked_stage_has_the_streams_and_the_exit_code_of_its_own() -> None:
    done = warm(sys.executable, "-m", "flows", "verify")  # without a data set: usage, and 2
    assert done.returncode == 2 and "say which data set: --dataset NAME" in done.stderr and not done.stdout
    done = warm(sys.executable, "-c", STAGE)
    assert "code 2" in done.stdout and "say which data set" in done.stderr


def test_arguments_environment_and_folder_go_along() -> None:
    done = warm(sys.executable, "-m", "flows", "verify", "--dataset", "nowhere")
    assert done.returncode == 2 and "error: unknown data set 'nowhere'" in done.stderr
    # the variable that DVC sets for a stage is set after the fork server has started
    code = "import os, runpy, sys; os.environ['DVC_STAGE'] = 'verify@nowhere'; sys.argv[1:] = ['verify']; " \
           "runpy.run_module('flows', run_name='__main__')"  # fmt: skip
    done = warm(sys.executable, "-c", code)
    assert done.returncode == 2 and "error: unknown data set 'nowhere'" in done.stderr


def test_nothing_is_forked_for_other_code_or_from_what_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(warm_module.VARIABLE, raising=False)
    assert warm_module.run("flows.stage", ["verify"]) is None
    monkeypatch.setenv(warm_module.VARIABLE, json.dumps({"address": "nowhere", "code": "of another checkout"}))
    assert warm_module.run("flows.stage", ["verify"]) is None
    code = (
        "import json, os; from flows.processes import warm as _warm; "
        "os.environ[_warm.VARIABLE] = json.dumps({'address': 'nowhere', 'code': _warm._code()}); "
        "print(_warm.run('flows.stage', ['verify']))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "None\n", done.stderr


def test_a_command_without_a_fork_server_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_module.forkserver, "usable", lambda: False)
    assert warm_module.command(["dvc", "repro"]) == ["dvc", "repro"]


def test_the_exit_code_of_the_inner_command_is_told() -> None:
    assert warm(sys.executable, "-c", "raise SystemExit(7)").returncode == 7


def test_a_long_folder_for_temporary_files_is_no_obstacle(tmp_path: Path) -> None:
    """The name of a socket has at most 107 bytes."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    done = warm(sys.executable, "-c", STAGE, TMPDIR=str(folder))
    assert "code 2" in done.stdout, done.stderr
