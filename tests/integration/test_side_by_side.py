"""Stages of two data sets side by side under the main command: bytes and dvc.lock as one by one, also after a stop."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from conftest import toy_params
from injection import living_in, wait_for
from workspace import Workspace, base_environment, clone

TARGETS = ("train@toy", "train@mine")


def stages_at_work(folder: Path) -> int:
    return sum(p.cmdline()[1:3] == ["-m", "flows"] for p in living_in(folder))


def test_two_data_sets_are_computed_side_by_side_with_the_bytes_of_one_by_one(
    tmp_path: Path, home: Path, server: str
) -> None:
    params = toy_params() | {"methods": ["euclidean"]}
    params["datasets"]["mine"] = {
        "source": "file", "file": "mine.csv", "label": "kind", "test_fraction": 0.25, "radii": [0, 0.1],
    }  # fmt: skip
    # where only some stages are asked for, their order in DVC is that of a set
    environment = {**base_environment(home), "PREFECT_API_URL": server, "PYTHONHASHSEED": "0"}
    study = clone(tmp_path / "side", environment, params)
    rows = [f"{i % 2},{i % 7},{(i * i) % 5 + 3 * (i % 2)}" for i in range(60)]
    (study.path / "data" / "own" / "mine.csv").write_text("\n".join(["kind,a,b", *rows]) + "\n")
    plain = study.copy(tmp_path / "plain")
    stopped = study.start(sys.executable, "-m", "flows.repro", *TARGETS)
    assert wait_for(lambda: stages_at_work(study.path) > 1, 120)
    stopped.terminate()
    told, _ = stopped.communicate(timeout=60)
    assert stopped.returncode == 128 + signal.SIGTERM and "the next run goes on from there" in told
    assert wait_for(lambda: not living_in(study.path), 60), living_in(study.path)
    study.repro(*TARGETS)
    one_by_one(plain)
    assert study.computed_hashes() == plain.computed_hashes()
    assert (study.path / "dvc.lock").read_bytes() == (plain.path / "dvc.lock").read_bytes()


def one_by_one(study: Workspace) -> None:
    """By ``dvc repro`` itself, as a run of one worker does."""
    params = study.params()
    params["run"]["workers"] = 1
    study.set_params(params)
    told = study.repro(*TARGETS)
    said = [line.split(" ")[0] for line in told.splitlines() if line.startswith(("Running stage", "Updating lock"))]
    assert said == ["Running", "Updating"] * 7  # each is saved before the next begins
