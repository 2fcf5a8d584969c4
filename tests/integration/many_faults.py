"""Kills at random moments of every stage, and a clock that jumps: always the same bytes (make faults)."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from injection import STAGES, campaign, told, wait_for
from workspace import Workspace

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
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


@pytest.mark.skipif(not FAKETIME.is_file(), reason="Debian's package faketime sets another clock")
@pytest.mark.parametrize("jump", ["-3d", "+400d"])
def test_a_clock_that_jumps_changes_nothing(
    finished: tuple[Workspace, str], study: Workspace, tmp_path: Path, jump: str
) -> None:
    work = study.path / "data" / "work" / "toy" / "verify"
    shutil.rmtree(work)
    (study.path / "data/results/toy/exact.parquet").unlink()
    clock = tmp_path / "clock"
    clock.write_text("+0")
    running = study.start(
        *(sys.executable, "-m", "flows", "verify", "--dataset", "toy"),
        LD_PRELOAD=str(FAKETIME),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_CACHE_DURATION="1",  # seconds between two looks at that file
        DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
    )
    assert wait_for(lambda: list(work.glob("records/*.json")) or running.poll() is not None, 120)
    clock.write_text(jump)
    output, _ = running.communicate(timeout=180)
    assert running.returncode == 0, output
    assert study.study_hashes() == finished[0].study_hashes()
