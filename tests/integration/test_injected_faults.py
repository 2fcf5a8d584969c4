"""Kills at random moments of every stage, and a clock that jumps: always the same bytes (all of it: make faults)."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from injection import STAGES, VICTIMS, Fault, campaign, told, wait_for
from workspace import Workspace, git

FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def dealt(chance: random.Random) -> Iterator[str]:
    """Victims in an order by chance, each as often as the others."""
    while True:
        yield from chance.sample(VICTIMS, len(VICTIMS))


def test_killed_at_random_moments_the_study_ends_with_the_same_bytes(
    finished: tuple[Workspace, str], study: Workspace, home_of_its_own: Path, request: pytest.FixtureRequest
) -> None:
    number, seed = request.config.getoption("--faults"), request.config.getoption("--fault-seed")
    chance = random.Random(seed)
    victims = dealt(chance)
    params = study.params()
    params["run"]["runner"] = "auto"  # worker processes too
    study.set_params(params)
    faults: list[Fault] = []
    while len(faults) < number:
        study.empty()
        stages = chance.sample(STAGES, min(len(STAGES), number - len(faults)))
        for fault in campaign(study, stages, victims, chance.randrange(2**32), home_of_its_own):
            print(fault, flush=True)
            faults.append(fault)
        study.repro()
        assert study.computed_hashes() == finished[0].computed_hashes()
        # reports and dvc.lock are as committed
        assert git("status", "--porcelain", cwd=study.path) == " M params.yaml\n"
        assert not list((study.path / "data").rglob("*.tmp"))
        assert "nothing has changed" in study.repro()
    print(told(faults), flush=True)
    if number >= 3 * len(STAGES):
        assert {fault.stage for fault in faults} >= set(STAGES)
        assert {fault.victim for fault in faults} == set(VICTIMS)


@pytest.mark.skipif(FAKETIME is None, reason="Debian's package libfaketime sets another clock")
@pytest.mark.parametrize("jump", ["-3d", "+400d"])
def test_a_clock_that_jumps_changes_nothing(
    finished: tuple[Workspace, str], study: Workspace, tmp_path: Path, jump: str
) -> None:
    """Not to what the stage knows of its server either: it finds it by its record, as its owner."""
    params = study.params()
    params["run"]["shard_size"] = 2  # 90 parts, so that the jump comes among them
    study.set_params(params)
    work = study.path / "data" / "work" / "toy" / "verify"
    shutil.rmtree(work)
    (study.path / "data/results/toy/exact.parquet").unlink()
    clock, log = tmp_path / "clock", tmp_path / "log"
    clock.write_text("+0")
    running = study.start(
        *(sys.executable, "-m", "flows", "verify", "--dataset", "toy"),
        LD_PRELOAD=str(FAKETIME),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_CACHE_DURATION="1",  # seconds between two looks at that file
        DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
        PREFECT_API_URL="",
        ARML_RUN_LOG=str(log),
    )
    assert wait_for(lambda: list(work.glob("records/*.json")) or running.poll() is not None, 120)
    clock.write_text(jump)
    output, _ = running.communicate(timeout=180)
    assert running.returncode == 0, output
    begun = [json.loads(line)["begun"] for line in log.read_text().splitlines()]
    assert len(begun) == 90 and max(begun) - min(begun) > 2 * 24 * 3600  # the stage has seen it
    assert study.study_hashes() == finished[0].study_hashes()
