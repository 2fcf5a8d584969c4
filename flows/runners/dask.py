"""Tasks on Dask: a cluster of this machine's that lives as long as a stage, or one that is there already."""

from __future__ import annotations

import contextlib
import logging

import dask
from distributed import Client, WorkerPlugin
from prefect_dask.task_runners import DaskTaskRunner

from flows import layout
from flows.errors import ClusterError
from flows.runners import cluster
from flows.runners.cluster import Facts

_SETTINGS = {
    "distributed.comm.timeouts.connect": f"{cluster.LIMIT}s",  # a busy machine is not a broken one
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


def make_runner(address: str | None, workers: int, server: str) -> DaskTaskRunner:
    """The task runner of a stage.

    Parameters
    ----------
    address : str or None
        Of a scheduler, ``tcp://host:port``; None starts a cluster here, with the first task.
    workers : int
        Processes of the cluster started here, of one thread each.
    server : str
        URL of the Prefect API.

    Raises
    ------
    ClusterError
        The scheduler does not answer, or its workers cannot run this project's tasks.
    """
    if address is None:
        dask.config.set(_SETTINGS)
        local = {
            "n_workers": workers,
            "threads_per_worker": 1,
            "processes": True,
            "host": "127.0.0.1",
            "security": True,  # certificates of this cluster's own: other users of this machine do not get in
            "protocol": "tls://",
            "dashboard_address": "127.0.0.1:0",  # without pages; a fixed port would be another run's
            "memory_limit": 0,  # no task is paused or killed for its size
            "silence_logs": logging.CRITICAL,
        }
        return DaskTaskRunner(cluster_kwargs=local)
    cluster.require_reachable(address)
    try:
        with Client(address, timeout=cluster.LIMIT, set_as_default=False) as client:
            cluster.require_fit(_ask(client, server), server)
    except ClusterError:
        raise
    except (OSError, TimeoutError, RuntimeError) as error:
        raise ClusterError(f"run.cluster: the Dask cluster at {address} does not answer: {error}") from error
    return DaskTaskRunner(address=address, client_kwargs={"timeout": cluster.LIMIT})


def _ask(client: Client, server: str) -> list[Facts]:
    """What all workers tell of themselves; those with other code loaded are restarted first, and asked again.

    The scheduler is asked too: it reads tasks, to pass them on, and so has to find what they name, but runs none.
    """
    client.register_plugin(_guide(str(layout.ROOT)), name="arml")
    with cluster.visitor(server) as visit:
        scheduler: Facts = client.run_on_scheduler(visit)
        with contextlib.suppress(TimeoutError):  # they may be starting; require_fit says it if none comes
            client.wait_for_workers(1, timeout=cluster.LIMIT)
        found: dict[str, Facts] = client.run(visit)
        stale = [address for address, facts in found.items() if cluster.is_stale(facts)]
        if stale:
            # where no nanny can restart it, a worker is still stale, and require_fit says what to do
            with contextlib.suppress(ValueError, TimeoutError):
                client.restart_workers(stale, timeout=cluster.LIMIT)
                client.wait_for_workers(len(found), timeout=cluster.LIMIT)
                found = client.run(visit)
    return [*found.values(), cluster.as_reader(scheduler)] if found else []


def _guide(root: str) -> WorkerPlugin:
    """What leads workers to this project that nobody has asked: those that come later, in the place of killed ones.

    Its class is made here, inside of a function, so that it travels as code.
    """

    class Guide(WorkerPlugin):
        def setup(self, worker: object) -> None:
            import sys

            sys.path[:] = [root, *(path for path in sys.path if path != root)]

    return Guide()
