"""Stages side by side: when each begins, and a small pipeline of DVC's with the bytes of plain ``dvc repro``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from flows.processes import sidebyside
from flows.runners import choice

NEEDS = {"a": [], "b": ["a"], "c": ["a"], "d": [], "e": ["b", "c", "d"]}


class Run:
    """Notes when steps begin and end, and fails those it is told to."""

    def __init__(self, fails: dict[str, Exception] | None = None, seconds: dict[str, float] | None = None) -> None:
        self.fails, self.seconds = fails or {}, seconds or {}
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.seen: dict[str, set[str]] = {}  # what had ended when a step began
        self.most = 0
        self.lock = threading.Lock()

    def __call__(self, step: str) -> None:
        with self.lock:
            self.begun.append(step)
            self.seen[step] = set(self.ended)
            self.most = max(self.most, len(self.begun) - len(self.ended))
        time.sleep(self.seconds.get(step, 0.02))
        with self.lock:
            self.ended.append(step)
        if step in self.fails:
            raise self.fails[step]


@pytest.mark.parametrize(("at_once", "most"), [(1, 1), (2, 2), (4, 3)])
def test_steps_begin_in_order_after_what_they_need_and_so_many_at_once(at_once: int, most: int) -> None:
    run = Run(seconds={"d": 0.3})
    assert sidebyside.schedule(list(NEEDS), NEEDS, run, at_once) == []
    assert sorted(run.begun) == list(NEEDS) and run.begun[0] == "a" and run.begun[-1] == "e"
    assert all(set(NEEDS[step]) <= run.seen[step] for step in NEEDS)
    assert run.most == most
    if at_once == 1:
        assert run.begun == list(NEEDS)


def test_what_is_needed_and_no_step_of_this_run_is_not_waited_for() -> None:
    run = Run()
    assert sidebyside.schedule(["b", "e"], NEEDS, run, 2) == [] and run.begun == ["b", "e"]


def test_after_a_failure_nothing_begins_and_what_runs_ends() -> None:
    fault = ValueError("no")
    run = Run({"a": fault}, {"d": 0.2})
    assert sidebyside.schedule(list(NEEDS), NEEDS, run, 2) == [("a", fault)]
    assert run.begun == ["a", "d"] and run.ended == ["a", "d"]


def test_all_failures_are_told_in_their_order() -> None:
    first, last = ValueError("first"), ValueError("last")
    run = Run({"a": last, "d": first}, {"a": 0.2})
    assert sidebyside.schedule(list(NEEDS), NEEDS, run, 2) == [("d", first), ("a", last)]


def test_nothing_runs_beside_what_is_timed() -> None:
    steps = {name: [] for name in "abcd"}
    run = Run()
    assert sidebyside.schedule(list(steps), steps, run, 4, "b".__eq__) == []
    others = set(steps) - {"b"}
    assert run.seen["b"] >= others or all("b" in run.seen[step] for step in others - run.seen["b"])


@pytest.mark.parametrize(
    ("cores", "changes", "expected"),
    [
        (1, {}, 1),
        (2, {}, 2),
        (3, {}, 2),
        (8, {}, 4),
        (64, {}, 4),
        (8, {"workers": 1}, 1),
        (2, {"threads_per_task": 2}, 1),
    ],
)
def test_stages_at_once(monkeypatch: pytest.MonkeyPatch, cores: int, changes: dict[str, int], expected: int) -> None:
    monkeypatch.setattr(choice, "_cores", lambda: cores)
    assert choice.stages_at_once({"workers": "auto", "threads_per_task": 1, **changes}) == expected


# --- under DVC -----------------------------------------------------------------------------------

PIPELINE = """\
stages:
  split:
    foreach: [x, y]
    do:
      cmd: python step.py split ${item} {{slow}}
      deps: [step.py, common]
      outs: ["split-${item}"]
  fit:
    foreach: [x, y]
    do:
      cmd: python step.py fit ${item}
      deps: [step.py, common, "split-${item}"]
      outs: ["fit-${item}"]
  report:
    cmd: python step.py report all
    deps: [step.py, fit-x, fit-y]
    outs: [report-all]
"""
STEP = """\
import pathlib, sys, time
what, item, *rest = sys.argv[1:]
running = pathlib.Path(f"{what}-{item}.running")
running.touch()
while pathlib.Path("hold").exists():
    time.sleep(0.02)
time.sleep(1.0 if rest == [item] else 0.3)
if pathlib.Path("broken").exists() and pathlib.Path("broken").read_text() == f"{what}-{item}":
    sys.exit(f"error: {what} {item} is broken")
beside = sorted(path.stem for path in pathlib.Path(".").glob("*.running") if path != running)
print(f"{what} {item}: beside {' '.join(beside) or 'nothing'}", flush=True)
running.unlink()
pathlib.Path(f"{what}-{item}").write_text(f"{what} of {item}\\n")
"""


def dvc(folder: Path, *arguments: str, at_once: int = 2, code: int = 0) -> str:
    changes = {sidebyside.VARIABLE: str(at_once), "DVC_NO_ANALYTICS": "1"}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        sidebyside.command(at_once, *arguments),
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[2]), **changes},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def pipeline(folder: Path, slow: str = "x") -> Path:
    """A repository of DVC's with two independent chains, that of `slow` the slower one."""
    folder.mkdir()
    (folder / "dvc.yaml").write_text(PIPELINE.replace("{{slow}}", slow))
    (folder / "step.py").write_text(STEP)
    (folder / "common").write_text("read by stages side by side\n")
    dvc(folder, "init", "--no-scm", "-q", at_once=1)
    return folder


def kept(folder: Path) -> dict[str, bytes]:
    names = ("split-x", "split-y", "fit-x", "fit-y", "report-all", "dvc.lock")
    return {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}


@pytest.mark.pipeline
def test_bytes_and_lock_are_those_of_plain_dvc_also_after_a_failure(tmp_path: Path) -> None:
    plain, side = pipeline(tmp_path / "plain"), pipeline(tmp_path / "side")
    dvc(plain, "repro", at_once=1)
    (side / "broken").write_text("fit-y")
    told = dvc(side, "repro", code=255)
    assert "error: fit y is broken" in told and "ERROR: failed to reproduce 'fit@y'" in told.splitlines()[-1], told
    assert "split y: beside split-x" in told
    stages = (side / "dvc.lock").read_text()
    assert "split@x" in stages and "fit@y" not in stages  # the slower one was saved, after the failure
    (side / "broken").unlink()
    told = dvc(side, "repro")
    assert "Running stage 'split@" not in told and "Running stage 'report'" in told
    assert kept(side) == kept(plain)
    assert dvc(side, "status", at_once=1).strip() == "Data and pipelines are up to date."
    assert not (side / ".dvc/tmp/arml.lock-order.json").exists()
    assert not any(json.loads((side / ".dvc/tmp/rwlock").read_text()).values())


@pytest.mark.pipeline
def test_another_dvc_works_while_stages_run_and_hears_which_stage_holds_a_file(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "side")
    (folder / "hold").touch()
    told: list[str] = []
    run = threading.Thread(target=lambda: told.append(dvc(folder, "repro")))
    run.start()
    while len(list(folder.glob("split-*.running"))) < 2:
        time.sleep(0.02)
    free, held = dvc(folder, "status", "report", at_once=1), dvc(folder, "status", "split@y", at_once=1, code=1)
    (folder / "hold").unlink()
    run.join()
    assert "report:" in free and "dvc repro (split@y)" in held
    assert len(told) == 1 and "Running stage 'report'" in told[0]
