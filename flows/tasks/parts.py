"""Runs the parts of a stage as Prefect tasks: side by side, each at most once, with progress and clear failure.

A part is what one task computes: one file, named by (method, K, first row). Its result is reused as long as its
key holds and its file is unaltered (see `flows.tasks.cache`); whatever else lies in the stage's folder is removed at
the end, so that the folder's bytes do not depend on history.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from prefect.futures import as_completed
from prefect.tasks import Task

from flows import layout
from flows.errors import StageError, TimeUpError
from flows.processes import deadline
from flows.runners.choice import runner_kind, worker_count
from flows.tasks.artifacts import LiveShare
from flows.tasks.cache import RecordStorage, cache_key, read_record
from flows.tasks.job import Identity, Job, Record
from flows.tasks.progress import Progress


@dataclass(frozen=True)
class Part:
    """One task's work: what it reads, its parameters, the file it writes.

    The code it runs is its stage's module with all that imports from arml; `entries` names further modules.
    """

    method: str
    output: Path
    inputs: Sequence[Path]
    params: Mapping[str, Any]
    entries: Sequence[str] = ()
    n_neighbors: int = 0
    start: int = 0
    n_points: int = 0

    @property
    def name(self) -> str:
        return f"{self.method}-{self.n_neighbors}-{self.start}"

    def job(self, dataset: str, stage: str, run: Mapping[str, Any]) -> Job:
        """What its task is told, in a run as the params' section `run` has it."""
        identity = Identity(dataset, stage, self.method, self.n_neighbors, self.start, self.n_points)
        entries = (f"flows.stages.{stage}", *self.entries)
        return Job(
            identity=identity,
            name=self.name,
            params=dict(self.params),
            scratch=str(layout.scratch(dataset, stage)),
            threads=run["threads_per_task"],
            output=layout.relative(self.output),
            entries=entries,
            key=cache_key(asdict(identity), self.inputs, self.params, entries),
            devices=run["devices"],
            root=str(layout.ROOT),
            until=deadline.from_environment(),
        )


def _cache_key_of(context: Any, parameters: dict[str, Any]) -> str:
    return f"{parameters['job'].name}:{parameters['job'].key}"


def run_parts(
    task: Task[[Job], Record],
    dataset: str,
    stage: str,
    parts: Sequence[Part],
    params: Mapping[str, Any],
    **options: Any,
) -> list[Path]:
    """Submit the parts whose result is not there yet as tasks, wait, tidy; return the parts' files in order.

    Raises
    ------
    StageError
        A part failed. All others were given the chance to end, and are kept.
    TimeUpError
        The run's time was up before all parts had begun; those that had are ended, and kept.
    """
    folder = layout.work(dataset, stage)
    records = folder / "records"
    prepared = task.with_options(
        task_run_name=f"{stage} {dataset} {{job.name}}",
        cache_key_fn=_cache_key_of,
        persist_result=True,
        result_serializer="json",
        cache_result_in_memory=False,
        **options,
    )
    # set, not passed: Prefect takes a block only once it is saved on its server, where nothing would read it
    prepared.result_storage = RecordStorage(folder=str(records))
    run = params["run"]
    jobs = [part.job(dataset, stage, run) for part in parts]
    weights = expected_costs(dataset, stage, parts)
    progress = Progress(
        f"{stage} {dataset}",
        len(parts),
        sum(p.n_points for p in parts),
        even=len({p.method for p in parts}) < 2,
        weights=list(weights.values()) if weights else None,
    )
    print(f"{progress.title}: {len(parts)} parts, {_place(run, runner_kind(run, stage, dataset))}", flush=True)
    live = LiveShare(stage, dataset)
    futures = {prepared.submit(job): part for job, part in zip(jobs, parts, strict=True)}
    failures: dict[str, BaseException] = {}
    for future in as_completed(list(futures)):
        future.wait()  # sets the final state from the run itself, not from what its server has heard by now
        part, state = futures[future], future.state
        if state.is_completed():
            progress.add(part.n_points, state.name == "Cached", weights[part.name] if weights else 0.0)
            live.show(progress.share, progress.line(time.monotonic() - progress.begun))
        else:
            failures[part.name] = _cause(future)
    progress.close()
    words = f"{len(failures)} of {len(parts)} parts failed, or were left" if failures else "ended"
    live.end(progress.share, f"{progress.line(time.monotonic() - progress.begun)}; {words}")
    require_all(f"{stage} {dataset}", len(parts), failures)
    for job in jobs:
        read_record(records / f"{job.name}.json", job.key)
    records.mkdir(parents=True, exist_ok=True)  # there is nothing in it where a stage is switched off
    kept = [p.output for p in parts] + [records / f"{p.name}.json" for p in parts]
    for written in {folder, *(p.output.parent for p in parts)}:
        prune(written, kept)
    return [part.output for part in parts]


def require_all(stage: str, number: int, missing: Mapping[str, BaseException]) -> None:
    """StageError where one of `number` parts failed, else TimeUpError where some were left: `missing`, by name."""
    failed = {name: cause for name, cause in missing.items() if not isinstance(cause, TimeUpError)}
    if failed:
        name, cause = next(iter(failed.items()))
        sort = "" if isinstance(cause, ValueError) else f"{type(cause).__name__}: "
        raise StageError(f"{stage}: {len(failed)} of {number} parts failed; {name}: {sort}{cause}") from cause
    if missing:
        raise TimeUpError(f"{stage}: the time is up, and {len(missing)} of {number} parts are left")


_LEAST = 1.0  # seconds: what is done in a moment says nothing about the rest


def expected_costs(dataset: str, stage: str, parts: Sequence[Part]) -> dict[str, float] | None:
    """CPU seconds of each part by name, as the same stage took them here before; None unless all are known."""
    from arml.results.parquet import read_table

    try:
        rows = read_table(layout.timings(dataset, stage), "timings").to_pylist()
    except ValueError:  # never measured here
        return None
    spent: dict[tuple[str, int], tuple[float, int]] = {}
    for row in rows:
        seconds, points = spent.get((row["method"], row["n_neighbors"]), (0.0, 0))
        spent[row["method"], row["n_neighbors"]] = seconds + row["cpu_seconds"], points + max(row["n_points"], 1)
    if not all((part.method, part.n_neighbors) in spent for part in parts):
        return None
    known = ((part, *spent[part.method, part.n_neighbors]) for part in parts)
    return {part.name: max(_LEAST, max(part.n_points, 1) * s / points) for part, s, points in known}


def _place(run: Mapping[str, Any], kind: str) -> str:
    """Where the tasks run, in words."""
    if kind in ("dask", "ray"):
        return f"{kind} at {run['cluster']}" if run["cluster"] else f"{worker_count(run)} workers of {kind}"
    return f"{worker_count(run)} {kind}"


def _cause(future: Any) -> BaseException:
    """Why a part failed, also where its worker did before the task could."""
    try:
        found = future.result(raise_on_failure=False)
    except BaseException as error:
        return error
    return found if isinstance(found, BaseException) else RuntimeError(str(future.state))


def prune(folder: Path, keep: Sequence[Path]) -> None:
    """Remove every file of a folder that is not in `keep`, half-written ones included."""
    kept = {p.resolve() for p in keep}
    for file in sorted(folder.rglob("*"), reverse=True):
        if file.is_dir() and not file.is_symlink():
            if not any(file.iterdir()):
                file.rmdir()
        elif file.resolve() not in kept:
            file.unlink()
