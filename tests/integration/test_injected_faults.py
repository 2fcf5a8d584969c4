"""Kills at random moments of every stage: the next run always ends with the bytes of an undisturbed one."""

from __future__ import annotations

import shutil

import pytest
from injection import STAGES, campaign, told
from workspace import Workspace

ROOMS = ("raw", "processed", "metrics", "networks", "certificates", "results", "work")


def test_killed_at_random_moments_the_study_ends_with_the_same_bytes(
    finished: tuple[Workspace, str], study: Workspace, request: pytest.FixtureRequest
) -> None:
    number, seed = request.config.getoption("--faults"), request.config.getoption("--fault-seed")
    params = study.params()
    params["run"]["runner"] = "auto"  # worker processes too
    study.set_params(params)
    for room in (*(f"data/{room}" for room in (*ROOMS, "timings")), "reports", ".dvc/cache", ".dvc/tmp"):
        shutil.rmtree(study.path / room)
    (study.path / "dvc.lock").unlink()
    each, more = divmod(number, len(STAGES))
    aimed = [stage for i, stage in enumerate(STAGES) for _ in range(each + ((i * more) % len(STAGES) < more))]
    faults = []
    for fault in campaign(study, aimed, seed):
        print(fault, flush=True)
        faults.append(fault)
    print(told(faults), flush=True)
    assert len(faults) >= 0.8 * number
    study.repro()
    rooms = [f"data/{room}" for room in ROOMS]
    assert study.hashes(*rooms) == finished[0].hashes(*rooms)
    assert not list((study.path / "data").rglob("*.tmp"))
    assert "nothing has changed" in study.repro()
