"""Threads, processes, Dask and Ray: the same bytes, the threads asked for, one task a device, nothing left behind."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from test_faults import living_in, wait_for
from workspace import BIN, Workspace

STAGES = ("train", "verify", "attack")
MADE = ("metrics/toy", "certificates/toy/exact", *(f"work/toy/{stage}" for stage in STAGES))  # by them
ROOMS = ("data/metrics", "data/certificates", "data/work", "data/results")
# run inside the project: six tasks that want one of two devices, two threads each, three at a time
PROBE = """
import json, sys, time
from pathlib import Path
from prefect import flow, task
from flows import _layout, _runner

def look(job):
    import numpy, sklearn.metrics, threadpoolctl, torch
    from flows._device import lease_device
    torch.ones(64, 64) @ torch.ones(64, 64), numpy.ones((64, 64)) @ numpy.ones((64, 64))
    with lease_device(["fake:0", "fake:1"], Path(job["locks"])) as device:
        begun = time.monotonic()
        Path(job["locks"], device).touch()
        while len(list(Path(job["locks"]).glob("fake:*"))) < 2:  # ends only where both are held at the same time
            time.sleep(0.05)
        time.sleep(0.1)
        ended = time.monotonic()
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    facts = {"device": device, "begun": begun, "ended": ended, "pools": pools, "torch": torch.get_num_threads()}
    (_layout.ROOT / job["output"]).write_text(json.dumps(facts))

@task
def probe(job):
    return _runner.execute(job, look)

@flow
def flow_(jobs):
    return [probe.submit(job) for job in jobs]

def main(runner, locks):
    run = {"runner": runner, "cluster": None, "workers": 3, "threads_per_task": 2, "devices": "auto"}
    _runner.set_thread_variables(2)
    job = {"dataset": "toy", "method": "", "stage": "probe", "n_neighbors": 0, "start": 0, "n_points": 0, "key": "",
           "threads": 2, "root": str(_layout.ROOT), "scratch": str(_layout.scratch("toy", "probe")), "locks": locks}
    jobs = [job | {"name": f"p{i}", "output": f"data/p{i}.json"} for i in range(6)]
    flow_.with_options(task_runner=_runner.make_task_runner(run, "train", "toy"))(jobs)
"""


def emptied(study: Workspace, **run: object) -> Workspace:
    """The finished study without what its stages of many tasks made, to be run in another way."""
    for folder in MADE:
        shutil.rmtree(study.path / "data" / folder)
    for file in ("exact.parquet", "attacked.parquet"):
        (study.path / "data" / "results" / "toy" / file).unlink()
    study.set_params(study.params() | {"run": study.params()["run"] | {"workers": 2} | run})
    return study


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_cluster_of_this_machine_gives_the_same_bytes(
    finished: tuple[Workspace, str], study: Workspace, runner: str
) -> None:
    emptied(study, runner=runner)
    for stage in STAGES:
        assert f"2 workers of {runner}" in study.stage(stage, "--dataset", "toy")
    assert study.hashes(*ROOMS) == finished[0].hashes(*ROOMS)
    assert wait_for(lambda: not living_in(study.path), 60), living_in(study.path)


@pytest.mark.parametrize("runner", ["threads", "processes", "dask", "ray"])
def test_tasks_have_their_threads_and_a_device_to_themselves(study: Workspace, tmp_path: Path, runner: str) -> None:
    (study.path / "probing.py").write_text(PROBE)
    study.run(sys.executable, "-c", f"import probing; probing.main({runner!r}, {str(tmp_path / 'locks')!r})")
    found = [json.loads(file.read_text()) for file in sorted((study.path / "data").glob("p*.json"))]
    assert len(found) == 6
    for facts in found:
        assert facts["torch"] == 2 and facts["pools"] and set(facts["pools"]) == {2}
    for device in ("fake:0", "fake:1"):
        spans = sorted((facts["begun"], facts["ended"]) for facts in found if facts["device"] == device)
        assert spans and all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(spans))


@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_a_killed_stage_leaves_nothing_of_its_cluster(study: Workspace, runner: str) -> None:
    emptied(study, runner=runner)
    records = study.path / "data/work/toy/train/records"
    process = study.start(sys.executable, "-m", "flows.train", "--dataset", "toy")
    assert wait_for(lambda: records.is_dir() and list(records.glob("*.json")), 180)
    assert len(living_in(study.path)) > 2  # workers too
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert wait_for(lambda: not living_in(study.path), 60), living_in(study.path)


# --- a cluster that is there already -------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def dask_cluster(tmp_path: Path) -> Iterator[str]:
    """Address of a Dask cluster as people start one, elsewhere than in the project."""
    address = f"tcp://127.0.0.1:{free_port()}"
    port = address.rpartition(":")[2]
    here = ("--host", "127.0.0.1", "--no-dashboard")
    commands = [
        [BIN / "dask", "scheduler", "--port", port, *here],
        [BIN / "dask", "worker", address, "--nworkers", "2", "--nthreads", "1", *here],
    ]
    started = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    yield address
    for process in reversed(started):
        below = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(60)
        _, left = psutil.wait_procs(below, timeout=60)
        assert not left


def test_an_existing_dask_cluster_follows_the_code(
    finished: tuple[Workspace, str], study: Workspace, dask_cluster: str
) -> None:
    emptied(study, runner="dask", cluster=dask_cluster)
    assert f"6 parts, dask at {dask_cluster}" in study.stage("train", "--dataset", "toy")
    assert study.hashes("data/metrics") == finished[0].hashes("data/metrics")
    code, line = study.path / "flows" / "train.py", '    dataset, options = job["dataset"], '
    code.write_text(code.read_text().replace(line, f"    (_layout.ROOT / 'witness').touch()\n{line}"))
    study.stage("train", "--dataset", "toy")  # by workers that had loaded the code as it was before
    assert (study.path / "witness").is_file()


@pytest.mark.parametrize(("runner", "scheme"), [("dask", "tcp"), ("ray", "ray")])
def test_a_cluster_out_of_reach_is_told_at_once(study: Workspace, runner: str, scheme: str) -> None:
    address = f"{scheme}://127.0.0.1:{free_port()}"
    emptied(study, runner=runner, cluster=address)
    output = study.stage("train", "--dataset", "toy", code=1)
    last = output.splitlines()[-1]
    assert last.startswith(f"error: run.cluster: nothing answers at {address}") and "Traceback" not in output
