"""What goes wrong, and how the study takes it: kills, orphans, bad params, an unwritable folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from injection import living_in, part_of, wait_for
from workspace import Workspace


def without(study: Workspace, *paths: str) -> Workspace:
    """The finished study without some of its outputs."""
    for path in paths:
        target = study.path / path
        target.unlink() if target.is_file() else shutil.rmtree(target)
    shutil.rmtree(study.path / ".dvc/cache")  # dvc would bring them back from it
    return study


@pytest.fixture
def unattacked(study: Workspace) -> Workspace:
    """The finished study without its attacks."""
    return without(study, "data/work/toy/attack", "data/results/toy/attacked.parquet")


def kill_and_go_on(study: Workspace, stage: str, victim: str) -> int:
    """Kill a process of a run of one stage when its first part is done, run it again; how many parts were kept."""
    records = study.path / "data/work/toy" / stage / "records"
    process = study.start(sys.executable, "-m", "flows.repro", "-s", f"{stage}@toy")
    assert wait_for(lambda: records.is_dir() and list(records.glob("*.json")), 120)
    killed = part_of(process.pid, victim)
    assert killed is not None
    killed.kill()
    output, _ = process.communicate(timeout=180)
    assert process.returncode != 0, output
    assert wait_for(lambda: not living_in(study.path), 60), living_in(study.path)
    return int(study.repro("-s", f"{stage}@toy").split(" reused")[0].split()[-1])


@pytest.mark.parametrize("victim", ["main", "dvc", "stage", "holder", "fork server", "flow"])
def test_a_killed_run_leaves_no_process_and_the_next_one_goes_on(
    finished: tuple[Workspace, str], unattacked: Workspace, victim: str
) -> None:
    assert 1 <= kill_and_go_on(unattacked, "attack", victim) < 12
    rooms = ("data/work/toy/attack", "data/results")
    assert unattacked.hashes(*rooms) == finished[0].hashes(*rooms)


def test_killed_verification_goes_on_and_ends_with_the_same_bytes(
    finished: tuple[Workspace, str], study: Workspace
) -> None:
    params = study.params()
    params["run"]["shard_size"] = 2  # 90 parts: time to be killed among them
    study.set_params(params)
    rooms = ("data/certificates/toy/exact", "data/work/toy/verify")
    without(study, *rooms, "data/results/toy/exact.parquet")
    assert 1 <= kill_and_go_on(study, "verify", "flow") < 90
    killed = study.hashes(*rooms)
    assert len([name for name in killed if name.endswith("parquet")]) == 90
    assert study.hashes("data/results") == finished[0].hashes("data/results")
    for room in rooms:
        shutil.rmtree(study.path / room)
    study.stage("verify", "--dataset", "toy")
    assert study.hashes(*rooms) == killed


def test_a_lost_server_is_told_at_once(
    finished: tuple[Workspace, str], unattacked: Workspace, home_of_its_own: Path
) -> None:
    changes = {"PREFECT_API_URL": "", "PREFECT_HOME": str(home_of_its_own)}
    records = unattacked.path / "data/work/toy/attack/records"
    process = unattacked.start(sys.executable, "-m", "flows", "attack", "--dataset", "toy", **changes)
    assert wait_for(lambda: list(records.glob("*.json")), 120)
    os.kill(json.loads((home_of_its_own / "server.json").read_text())["pid"], signal.SIGKILL)
    output, _ = process.communicate(timeout=20)
    last = output.splitlines()[-1]
    assert process.returncode == 1 and "Traceback" not in output
    assert last.startswith("error: attack: the Prefect server at ") and "the next run goes on" in last
    assert wait_for(lambda: not living_in(unattacked.path), 30), living_in(unattacked.path)
    assert 1 <= int(unattacked.stage("attack", "--dataset", "toy").split(" reused")[0].split()[-1]) <= 12
    assert unattacked.study_hashes() == finished[0].study_hashes()


def test_sigterm_ends_the_run_in_order(unattacked: Workspace) -> None:
    process = unattacked.start(sys.executable, "-m", "flows.repro", "-s", "attack@toy")
    assert wait_for(lambda: any(p.cmdline()[2:4] == ["flows", "attack"] for p in living_in(unattacked.path)), 120)
    process.terminate()
    output, _ = process.communicate(timeout=180)
    assert process.returncode == 128 + signal.SIGTERM and "the next run goes on from there" in output
    assert wait_for(lambda: not living_in(unattacked.path), 60)


def test_plain_dvc_repro_starts_one_server_that_ends_with_it(
    finished: tuple[Workspace, str], unattacked: Workspace, home_of_its_own: Path
) -> None:
    study, home = unattacked, home_of_its_own
    changes = {"PREFECT_API_URL": "", "PREFECT_HOME": str(home)}
    output = study.dvc("repro", "-s", "attack@toy", "certify@toy", "-f", **changes)
    assert "Running stage 'attack@toy'" in output and "Running stage 'certify@toy'" in output
    assert wait_for(lambda: not (home / "server.json").exists(), 60)
    assert wait_for(lambda: not living_in(study.path), 60), living_in(study.path)
    assert study.study_hashes() == finished[0].study_hashes()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("methods", ["euclidean", "magic"], "'magic' is unknown; choose from euclidean"),
        ("datasets", {"nowhere": {}}, "nowhere"),
        ("certify", {"sample": "all", "n_neighbors": [4], "bound": "theorem1"}, "even 4"),
    ],
)
def test_bad_params_are_told_before_any_work(study: Workspace, key: str, value: object, said: str) -> None:
    study.set_params(study.params() | {key: value})
    before = study.hashes("data")
    output = study.repro(code=2)
    assert output.startswith("error: ") and said in output and len(output.splitlines()) == 1
    assert study.hashes("data") == before


def test_a_stage_names_the_known_data_sets(study: Workspace) -> None:
    output = study.stage("verify", "--dataset", "toi", code=2)
    assert output == "error: unknown data set 'toi': datasets in params.yaml has toy\n"


def test_an_unwritable_data_folder_is_a_clear_error(study: Workspace) -> None:
    shutil.rmtree(study.path / "data" / "raw")
    (study.path / "data" / "raw").write_text("a file where the folder should be")
    output = study.stage("download", "--dataset", "toy", code=1)
    last = output.splitlines()[-1]
    assert last.startswith("error: download toy: ") and "data/raw" in last and "Traceback" not in output


def test_a_missing_mirror_says_what_to_set(study: Workspace) -> None:
    params = study.params()
    params["datasets"] = {"usps": {"source": "mirror"}}
    params["networks"]["datasets"] = []
    study.set_params(params)
    output = study.stage("download", "--dataset", "usps", code=1)
    assert "usps" in output and "ARML_MIRROR" in output and "Traceback" not in output


def test_no_shell_sees_a_name_from_params(study: Workspace) -> None:
    study.set_params(study.params() | {"datasets": {"x; touch sprung; echo": {"source": "file"}}})
    output = study.dvc("repro", code=255)
    assert "use letters, digits" in output
    assert not (study.path / "sprung").exists()
