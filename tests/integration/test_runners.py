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
from injection import living_in, wait_for
from workspace import BIN, Workspace

VERIFIED = ("data/certificates/toy/exact", "data/work/toy/verify", "data/results/toy/exact.parquet")
# run inside the project: six tasks that want one of two devices, two threads each, three at a time
PROBE = """
import json, sys, time
from pathlib import Path
from prefect import flow, task
from flows import layout as _layout
from flows.runners import choice as _choice
from flows.tasks import job as _job

def look(job):
    import numpy, sklearn.metrics, threadpoolctl, torch
    from flows.tasks.device import lease_device
    torch.ones(64, 64) @ torch.ones(64, 64), numpy.ones((64, 64)) @ numpy.ones((64, 64))
    with lease_device(["fake:0", "fake:1"], Path(job.params["locks"])) as device:
        begun = time.monotonic()
        Path(job.params["locks"], device).touch()
        while len(list(Path(job.params["locks"]).glob("fake:*"))) < 2:  # ends only where both are held at the same time
            time.sleep(0.05)
        time.sleep(0.1)
        ended = time.monotonic()
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    facts = {"device": device, "begun": begun, "ended": ended, "pools": pools, "torch": torch.get_num_threads()}
    (_layout.ROOT / job.output).write_text(json.dumps(facts))

@task
def probe(job):
    return _job.execute(job, look)

@flow
def flow_(jobs):
    return [probe.submit(job) for job in jobs]

def main(runner, locks):
    run = {"runner": runner, "cluster": None, "workers": 3, "threads_per_task": 2, "devices": "auto"}
    _choice.set_thread_variables(2)
    known = {"identity": _job.Identity("toy", "probe"), "params": {"locks": locks}, "threads": 2,
             "root": str(_layout.ROOT), "scratch": str(_layout.scratch("toy", "probe"))}
    jobs = [_job.Job(name=f"p{i}", output=f"data/p{i}.json", **known) for i in range(6)]
    flow_.with_options(task_runner=_choice.make_task_runner(run, "train", "toy"))(jobs)
"""


def without(study: Workspace, *made: str, **run: object) -> Workspace:
    """The finished study without some of what it made, to be made in another way."""
    for name in made:
        path = study.path / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    params = study.params()
    study.set_params(params | {"run": params["run"] | {"workers": 2} | run})
    return study


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
def test_a_killed_stage_leaves_nothing_of_its_cluster_and_the_next_one_goes_on(
    finished: tuple[Workspace, str], study: Workspace, runner: str
) -> None:
    """To the bytes of threads, which had other parts; test_hosts.py has clusters run all stages."""
    without(study, *VERIFIED, runner=runner, shard_size=2)  # 90 parts: time to be killed among them
    records = study.path / "data/work/toy/verify/records"
    process = study.start(sys.executable, "-m", "flows", "verify", "--dataset", "toy")
    assert wait_for(lambda: records.is_dir() and list(records.glob("*.json")), 180)
    assert len(living_in(study.path)) > 2  # workers too
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert wait_for(lambda: not living_in(study.path), 60), living_in(study.path)
    output = study.stage("verify", "--dataset", "toy")
    assert f"90 parts, 2 workers of {runner}" in output and 1 <= int(output.split(" reused")[0].split()[-1]) < 90
    assert study.study_hashes() == finished[0].study_hashes()
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
    without(study, *VERIFIED, runner="dask", cluster=dask_cluster)
    assert f"12 parts, dask at {dask_cluster}" in study.stage("verify", "--dataset", "toy")
    assert study.computed_hashes() == finished[0].computed_hashes()
    code, line = study.path / "flows" / "stages" / "verify.py", "    with prepared("
    code.write_text(code.read_text().replace(line, f"    (layout.ROOT / 'witness').touch()\n{line}"))
    code.write_text(code.read_text().replace("from flows.params", "from flows import layout\nfrom flows.params"))
    study.stage("verify", "--dataset", "toy")  # by workers that had loaded the code as it was before
    assert (study.path / "witness").is_file()


@pytest.mark.parametrize(("runner", "scheme"), [("dask", "tcp"), ("ray", "ray")])
def test_a_cluster_out_of_reach_is_told_at_once(study: Workspace, runner: str, scheme: str) -> None:
    address = f"{scheme}://127.0.0.1:{free_port()}"
    without(study, runner=runner, cluster=address)
    output = study.stage("train", "--dataset", "toy", code=1)
    last = output.splitlines()[-1]
    assert last.startswith(f"error: run.cluster: nothing answers at {address}") and "Traceback" not in output
