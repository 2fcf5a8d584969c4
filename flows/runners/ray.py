"""Tasks on Ray: a cluster of this machine's that lives as long as a stage, or one that is there already."""

from __future__ import annotations

import logging
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from prefect_ray import RayTaskRunner
from prefect_ray.context import remote_options

from flows import layout
from flows.errors import ClusterError
from flows.processes import watch
from flows.runners import cluster
from flows.runners.cluster import Facts

# Ray reads its settings when it is imported: every function here that needs it imports it after these are made
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # devices are leased (`flows.tasks.device`): Ray must not hide them from tasks that ask it for none
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # no task is killed because the machine's memory is nearly full
    "RAY_memory_monitor_refresh_ms": "0",
}
_OWN = {  # of a Ray of this process
    # to listen on loopback only, whatever the system
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # other users of this machine do not get in; given, so that Ray leaves no token in the home folder
    "RAY_AUTH_MODE": "token",
}
_STORE = 100 * 2**20  # bytes: tasks pass ids and paths
_FORWARDED = ("PREFECT_", "OMP_", "OPENBLAS_", "MKL_", "VECLIB_")


class Runner(RayTaskRunner[Any]):
    """Prefect's runner on the Ray that `make_runner` started or joined; a task takes as many CPUs as it has threads."""

    threads = 1

    def duplicate(self) -> Runner:
        twin = Runner()
        twin.threads = self.threads
        return twin

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        with remote_options(num_cpus=self.threads):
            return super().submit(*args, **kwargs)


def make_runner(address: str | None, workers: int, threads: int, server: str) -> Runner:
    """The task runner of a stage.

    Parameters
    ----------
    address : str or None
        ``ray://host:port``, or ``auto`` for the cluster that this machine is a node of; None starts one here.
    workers, threads : int
        Tasks side by side in a cluster started here, and threads of each.
    server : str
        URL of the Prefect API.

    Raises
    ------
    ClusterError
        The cluster does not answer, or its workers cannot run this project's tasks.
    """
    runner = Runner()
    runner.threads = threads
    os.environ.update(_SETTINGS)
    if address is None:
        _start(workers * threads)
        return runner
    import ray

    cluster.require_reachable(address if address != "auto" else _found())
    kept = {name: value for name, value in os.environ.items() if name.startswith(_FORWARDED)}
    variables = {**kept, **_SETTINGS, "PYTHONPATH": str(layout.ROOT)}
    try:
        ray.init(address, runtime_env={"env_vars": variables}, namespace="prefect", **_quiet())
        cluster.require_fit(_ask(server), server)
    except ClusterError:
        raise
    except Exception as error:  # Ray has many, of no common base
        raise ClusterError(
            f"run.cluster: the Ray cluster at {address} does not answer: {error}; if it asks for a token, "
            "export RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN where the token is not in ~/.ray"
        ) from error
    return runner


def _found() -> str:
    """Where the cluster is that ``auto`` means: Ray itself would wait for it without end.

    Ray has no public way to ask; where its private one is gone, RAY_ADDRESS has to say.
    """
    try:
        from ray._private.services import canonicalize_bootstrap_address as bootstrap_address
    except ImportError:
        return _named()
    try:
        return f"ray://{bootstrap_address('auto')}"
    except ConnectionError as error:
        raise ClusterError(
            "run.cluster is auto, but this machine is no node of a Ray cluster: start one on it ('ray start'), export "
            "RAY_ADDRESS, or set run.cluster to null"
        ) from error


def _named() -> str:
    """The cluster that RAY_ADDRESS names."""
    named = os.environ.get("RAY_ADDRESS", "")
    if not named:
        raise ClusterError(
            "run.cluster is auto, and this version of Ray does not tell where a cluster is: export RAY_ADDRESS, or "
            "install the version that constraints.txt names"
        )
    return named if "://" in named else f"ray://{named}"


def _quiet() -> dict[str, Any]:
    return {"logging_level": logging.CRITICAL, "log_to_driver": False}


def _start(cpus: int) -> None:
    """A Ray of this process: on loopback, without its pages, its files in a folder that goes with it."""
    os.environ.update(_OWN, RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    # under /tmp, whatever TMPDIR says: the name of a socket has at most 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="arml-ray-", dir="/tmp"))
    watch.leave_nothing(folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(layout.ROOT), os.environ.get("PYTHONPATH")]))
    ray.init(
        "local",
        num_cpus=cpus,
        include_dashboard=False,
        object_store_memory=_STORE,
        namespace="prefect",
        _temp_dir=str(folder),
        **_quiet(),
    )


def _ask(server: str) -> list[Facts]:
    """What a worker on every node that takes tasks tells of itself."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    with cluster.visitor(server) as visit:
        calls = [
            ray.remote(visit)
            .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False))
            .remote()
            for node in ray.nodes()
            if node["Alive"] and node["Resources"].get("CPU")
        ]
        return list(ray.get(calls, timeout=cluster.LIMIT))
