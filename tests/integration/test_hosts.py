"""Clusters of two hosts that share a folder: the bytes of threads, also where workers die; unfit workers are named."""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hosts import Host, below, end, relay, two_hosts
from injection import living_in, wait_for
from workspace import BIN, Workspace

from arml.results.stages import TABLE

STAGES = [stage.name for stage in TABLE if stage.models]
MADE = ("data/metrics/toy", "data/networks/toy", "data/certificates/toy", "data/results/toy", "data/work/toy")


@pytest.fixture(scope="module")
def hosts() -> Iterator[tuple[Host, Host]]:
    with two_hosts() as pair:
        yield pair


@contextlib.contextmanager
def dask_cluster(
    near: Host, far: Host, environment: dict[str, str], hidden: tuple[Path, ...] = ()
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address of a Dask cluster whose workers are both on the far host, and the process above them."""
    port, dask = near.free_port(), BIN / "dask"
    address, quiet = f"tcp://{near.address}:{port}", ("--no-dashboard", "--host")
    scheduler = near.start(dask, "scheduler", *quiet, near.address, "--port", str(port), env=environment, cwd="/")
    worker = far.start(
        *(dask, "worker", address, *quiet, far.address, "--nworkers", "2", "--nthreads", "1"),
        hidden=hidden,
        env=environment,
        cwd="/",
    )
    try:
        yield address, worker
    finally:
        end(worker, scheduler)


@contextlib.contextmanager
def ray_cluster(near: Host, far: Host, environment: dict[str, str]) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Address of a Ray cluster whose only CPUs are the far host's, and the process above the workers there."""
    port, client = near.free_port(), near.free_port()
    folder = tempfile.mkdtemp(prefix="arml-ray-", dir="/tmp")  # short: it is part of the names of sockets
    environment = {**environment, "RAY_USAGE_STATS_ENABLED": "0"}
    start = (BIN / "ray", "start", "--block", "--object-store-memory", str(100 * 2**20), "--node-ip-address")
    heads = ("--head", "--port", str(port), "--ray-client-server-port", str(client), "--include-dashboard", "false")
    node = None
    head = near.start(*start, near.address, *heads, "--num-cpus", "0", "--temp-dir", folder, env=environment, cwd="/")
    try:
        assert wait_for(lambda: answers(near.address, client), 60)
        joined = ("--address", f"{near.address}:{port}", "--num-cpus", "2")
        node = far.start(*start, far.address, *joined, env=environment, cwd="/")
        assert wait_for(lambda: any("raylet" in process.name() for process in below(node)), 60)
        yield f"ray://{near.address}:{client}", node
    finally:
        end(*(process for process in (node, head) if process is not None))
        shutil.rmtree(folder, ignore_errors=True)


def answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection((address, port), timeout=5).close()
        return True
    return False


CLUSTERS: dict[str, Callable[..., contextlib.AbstractContextManager[tuple[str, subprocess.Popen[bytes]]]]] = {
    "dask": dask_cluster,
    "ray": ray_cluster,
}


def by(study: Workspace, runner: str, address: str, **run: object) -> None:
    """Have the study's tasks run by a cluster."""
    params = study.params()
    study.set_params(params | {"run": params["run"] | {"runner": runner, "cluster": address} | run})


def at_work(node: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of a host in which tasks run: Dask's are spawned, Ray's are called after what they do."""
    found = []
    for process in below(node):
        with contextlib.suppress(psutil.Error):
            words = " ".join(process.cmdline())
            if "spawn_main" in words or (words.startswith("ray::") and "Agent" not in words):
                found.append(process)
    return found


def stages_with_a_fault(request: pytest.FixtureRequest) -> set[str]:
    number = request.config.getoption("--faults")
    chance = random.Random(request.config.getoption("--fault-seed"))
    return {"attack"} if number < 60 else set(chance.sample(STAGES, len(STAGES) - 2))


def run_with_a_fault(study: Workspace, stage: str, node: subprocess.Popen[bytes], **environment: str) -> str:
    """Run a stage, and kill a worker of it when the first of its parts is there; what it printed."""
    records = study.path / "data/work/toy" / stage / "records"
    command = study.start(sys.executable, "-m", "flows", stage, "--dataset", "toy", **environment)
    assert wait_for(lambda: command.poll() is not None or list(records.glob("*.json")), 180)
    victims = at_work(node)
    assert victims
    victims[-1].kill()
    output, _ = command.communicate(timeout=180)
    assert command.returncode == 0, output
    return output


@pytest.mark.parametrize(("runner", "shard_size"), [("dask", 11), pytest.param("ray", 16, marks=pytest.mark.long)])
def test_two_hosts_run_the_study_with_the_bytes_of_threads_also_where_a_worker_dies(
    finished: tuple[Workspace, str],
    study: Workspace,
    server: str,
    hosts: tuple[Host, Host],
    runner: str,
    shard_size: int,
    request: pytest.FixtureRequest,
) -> None:
    """Also with other parts than those of the threads. In one stage a worker is killed (make faults: in most)."""
    near, far = hosts
    same_parts = study.params()["run"]["shard_size"] == shard_size
    for name in MADE:
        shutil.rmtree(study.path / name)
    faults, port = stages_with_a_fault(request), port_of(server)
    reached = {"PREFECT_API_URL": f"http://{near.address}:{port}/api"}
    with relay(near.address, port), CLUSTERS[runner](near, far, study.environment) as (address, node):
        by(study, runner, address, shard_size=shard_size)
        for stage in STAGES:
            if stage in faults:
                output = run_with_a_fault(study, stage, node, **reached)
            else:
                output = study.stage(stage, "--dataset", "toy", **reached)
            assert f"{runner} at {address}" in output
    study.stage("report")
    assert study.study_hashes() == finished[0].study_hashes()
    assert same_parts == (study.computed_hashes() == finished[0].computed_hashes())
    reports, expected = study.hashes("reports"), finished[0].hashes("reports")
    assert reports.keys() == expected.keys()
    assert {n for n in reports if reports[n] != expected[n]} <= {"reports/run.html"}
    assert wait_for(lambda: not living_in(study.path), 60), living_in(study.path)


def port_of(server: str) -> int:
    return int(server.rpartition(":")[2].partition("/")[0])


def test_a_worker_that_cannot_run_the_study_is_named_in_one_line(
    study: Workspace, server: str, hosts: tuple[Host, Host]
) -> None:
    near, far = hosts
    if far.missing:
        pytest.skip(f"no host with mounts and a loopback of its own: {far.missing}")
    packages = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
    no_prefect = (packages / "prefect", *packages.glob("prefect-[0-9]*.dist-info"))
    port = port_of(server)
    reached = {"PREFECT_API_URL": f"http://{near.address}:{port}/api"}
    cases = {
        "does not see this project's folder": ((study.path,), reached),
        "has no prefect, this machine 3.": (no_prefect, reached),
        "has loaded other code": ((study.path / "arml" / "cli",), reached),
        "does not reach the Prefect server": ((), {}),  # which listens on this host's loopback alone
    }
    with relay(near.address, port):
        for said, (hidden, environment) in cases.items():
            with dask_cluster(near, far, study.environment, hidden=hidden) as (address, _):
                by(study, "dask", address)
                output = study.stage("verify", "--dataset", "toy", code=1, **environment)
            last = output.splitlines()[-1]
            assert last.startswith("error: run.cluster: the worker on ") and said in last, output
            assert "Traceback" not in output
