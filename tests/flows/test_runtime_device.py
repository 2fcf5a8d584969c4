"""The device lease: one task a device, across threads and processes, freed when its holder dies."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows.tasks.device import available_devices, lease_device

ROOT = Path(__file__).resolve().parents[2]
FAKES = ("fake:0", "fake:1")
HOLDER = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from flows.tasks.device import lease_device
with lease_device(["fake:0", "fake:1"], Path(sys.argv[1])) as device:
    begun = time.monotonic()
    time.sleep(0.15)
    print(device, begun, time.monotonic(), flush=True)
    time.sleep(float(sys.argv[2]))
"""


def overlaps(uses: list[tuple[str, float, float]]) -> bool:
    for device in FAKES:
        spans = sorted((b, e) for d, b, e in uses if d == device)
        if any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans)):
            return True
    return False


def test_six_tasks_in_threads_never_share_a_device(tmp_path: Path) -> None:
    uses: list[tuple[str, float, float]] = []
    pair = threading.Barrier(2, timeout=60)  # ends only where both devices are held at the same time

    def work(_: int) -> None:
        with lease_device(FAKES, tmp_path) as device:
            begun = time.monotonic()
            pair.wait()
            uses.append((device, begun, time.monotonic()))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    assert len(uses) == 6 and {d for d, _, _ in uses} == set(FAKES) and not overlaps(uses)


def holder(folder: Path, linger: float = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(folder), str(linger)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def test_six_processes_never_share_a_device(tmp_path: Path) -> None:
    uses = []
    for process in [holder(tmp_path) for _ in range(6)]:
        device, begun, ended = process.communicate(timeout=60)[0].split()
        uses.append((device, float(begun), float(ended)))
    assert not overlaps(uses)


def test_a_killed_holder_frees_its_device(tmp_path: Path) -> None:
    process = holder(tmp_path, 60)
    assert process.stdout is not None
    held = process.stdout.readline().split()[0]
    with lease_device(FAKES, tmp_path) as other:
        assert other != held
        process.kill()
        process.wait()
        process.stdout.close()
        with lease_device([held], tmp_path) as again:
            assert again == held


def test_an_error_in_the_task_frees_its_device(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lease_device(["fake:0"], tmp_path):
            raise ZeroDivisionError


def test_the_cpu_is_not_leased(tmp_path: Path) -> None:
    with lease_device(["cpu"], tmp_path) as first, lease_device(["cpu"], tmp_path) as second:
        assert first == second == "cpu"
    with pytest.raises(ValueError, match="at least one device"), lease_device([], tmp_path):
        pass


def test_devices_of_this_machine() -> None:
    assert available_devices(["cpu"]) == ("cpu",)
    assert available_devices("auto")
    with pytest.raises(ValueError, match="cuda:97"):
        available_devices(["cuda:97"])


def test_a_gpu_has_one_lock_whatever_its_number_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    boards = {"cuda:0": "a", "cuda:1": "b", "cuda:2": "a"}  # as two processes with other CUDA_VISIBLE_DEVICES see them
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid=boards[device]))
    with lease_device(["cuda:0"], tmp_path), lease_device(["cuda:2", "cuda:1"], tmp_path) as other:
        assert other == "cuda:1"


def test_locks_are_of_the_machine_and_not_of_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with lease_device(["fake:7"]):
        assert [file.name for file in tmp_path.glob("arml-devices-*/*")] == ["fake-7.lock"]
