"""A full disk, a folder that cannot be written to: told clearly, and nothing is lost."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from workspace import Workspace

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root; CI has it")


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def small_disk(study: Workspace) -> Iterator[Workspace]:
    """The finished study without its attacks, data/work on a disk of its own that is full."""
    work = study.path / "data" / "work"
    kept = study.path.parent / "kept"
    shutil.copytree(work, kept)
    for name in ("attacked", "tightened"):
        (study.path / f"data/results/toy/{name}.parquet").unlink()
    shutil.rmtree(study.path / ".dvc" / "cache")
    for name in ("attack", "tighten"):
        shutil.rmtree(kept / "toy" / name)
    mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", str(work))
    try:
        shutil.copytree(kept, work, dirs_exist_ok=True)
        yield study
    finally:
        subprocess.run(["umount", str(work)], check=True)


@needs_root
def test_a_full_disk_is_told_and_a_larger_one_goes_on(finished: tuple[Workspace, str], small_disk: Workspace) -> None:
    work = small_disk.path / "data" / "work"
    filler = work / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"0" * 4096)
    output = small_disk.stage("attack", "--dataset", "toy", code=1)
    last = output.splitlines()[-1]
    assert last.startswith("error: attack toy: ") and "No space left on device" in last and "Traceback" not in output
    assert not list(work.rglob("*.parquet.tmp")) and not list((work / "toy" / "attack").glob("*.parquet"))
    mount("-o", "remount,size=64m", str(work))
    filler.unlink()
    small_disk.stage("attack", "--dataset", "toy")
    small_disk.stage("tighten", "--dataset", "toy")
    assert small_disk.computed_hashes() == finished[0].computed_hashes()


@needs_root
def test_a_read_only_folder_is_told_and_nothing_is_lost(finished: tuple[Workspace, str], small_disk: Workspace) -> None:
    work = small_disk.path / "data" / "work"
    mount("-o", "remount,ro", str(work))
    output = small_disk.stage("attack", "--dataset", "toy", code=1)
    last = output.splitlines()[-1]
    assert last.startswith("error: ") and "Read-only file system" in last and "Traceback" not in output
    mount("-o", "remount,rw,size=64m", str(work))
    small_disk.stage("attack", "--dataset", "toy")
    small_disk.stage("tighten", "--dataset", "toy")
    assert small_disk.computed_hashes() == finished[0].computed_hashes()


def test_a_run_whose_time_is_up_says_what_is_left_and_the_next_goes_on(
    finished: tuple[Workspace, str], study: Workspace
) -> None:
    (study.path / "data/results/toy/attacked.parquet").unlink()
    shutil.rmtree(study.path / "data/work/toy/attack")
    shutil.rmtree(study.path / ".dvc" / "cache")
    output = study.repro("--for", "0.02", code=75)
    assert ": the time is up before it begins" in output
    assert "[arml] the time is up; what was computed is kept" in output and "attack@toy" in output
    study.repro("--until", "2999-01-01T00:00")
    assert study.computed_hashes() == finished[0].computed_hashes()
    assert "takes a positive number of minutes" in study.repro("--for", "-1", code=2)
