"""Where the tasks of a stage run: threads, processes, Dask or Ray, how many at once, and with how many threads each."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from arml.results.stages import ALWAYS, SMALL, STAGES
from flows.errors import StageError
from flows.processes import watch
from flows.runners.size import is_large

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def worker_count(run: Mapping[str, Any]) -> int:
    """Tasks side by side on this machine: as `run.workers` says; ``auto`` gives each thread of a task a core."""
    if run["workers"] != "auto":
        return int(run["workers"])
    return max(1, _cores() // int(run.get("threads_per_task", 1)))


def stages_at_once(run: Mapping[str, Any]) -> int:
    """Stages side by side under the main command, each with `worker_count` tasks: as many as half the cores, from 2
    to 4, but one on a single core or where one task at a time is asked for."""
    if _cores() == 1 or worker_count(run) == 1:
        return 1
    return min(max(2, _cores() // 2), 4)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def runner_kind(run: Mapping[str, Any], stage: str, dataset: str) -> str:
    """What `run.runner` means for a stage. ``auto``: processes where Python itself is what takes the time, threads
    elsewhere, since starting processes costs some seconds a stage; threads too, to verify and certify, where the
    training set is so large that they had better share one copy. A stage of one task at a time is never sent to a
    cluster."""
    if run["runner"] in ("dask", "ray") and STAGES[stage].alone:
        return "threads"
    if run["runner"] != "auto":
        return str(run["runner"])
    wanted = STAGES[stage].processes
    pays = wanted == ALWAYS or (wanted == SMALL and not is_large(dataset))
    return "processes" if pays and worker_count(run) > 1 else "threads"


def make_task_runner(run: Mapping[str, Any], stage: str, dataset: str = "") -> TaskRunner[Any]:
    """The Prefect task runner of a stage, as `run.runner` says."""
    workers, kind = worker_count(run), runner_kind(run, stage, dataset)
    runner: TaskRunner[Any]
    if kind == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    if kind == "processes":
        from flows.runners.processes import ProcessRunner

        return ProcessRunner(max_workers=workers, initializer=watch.die_with, initargs=(os.getpid(),))
    server, threads = os.environ.get("PREFECT_API_URL", ""), int(run["threads_per_task"])
    try:
        if kind == "dask":
            from flows.runners import dask

            runner = dask.make_runner(run["cluster"], workers, server)
        else:
            from flows.runners import ray

            runner = ray.make_runner(run["cluster"], workers, threads, server)
    except ImportError as error:
        raise StageError(
            f"run.runner is {kind}, but {error.name} is not installed: pip install -c constraints.txt "
            f"'.[{kind}]', or choose threads or processes"
        ) from error
    return runner


def set_thread_variables(threads: int) -> None:
    """Before a BLAS is loaded: the number of threads it may use, in this process and its children."""
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)


def limit_threads(threads: int) -> None:
    """The same for libraries that are loaded already. Fixed, so that sums do not depend on the workers."""
    import threadpoolctl

    set_thread_variables(threads)
    threadpoolctl.threadpool_limits(limits=threads)
    if "torch" in sys.modules:  # import_module waits for a thread that is importing it just now
        importlib.import_module("torch").set_num_threads(threads)
