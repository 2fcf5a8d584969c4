"""Runs the parts of a stage as Prefect tasks: side by side, each at most once, with progress and clear failure.

A part is what one task computes: one file, named by (method, K, first row). Its result is reused as long as its
key holds and its file is unaltered (see `flows.tasks.cache`); whatever else lies in the stage's folder is removed at
the end, so that the folder's bytes do not depend on history.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.futures import as_completed
from prefect.tasks import Task

from arml.system.files import write_json
from flows import layout
from flows.errors import StageError
from flows.runners import cluster
from flows.runners.choice import limit_threads, runner_kind, worker_count
from flows.tasks.artifacts import LiveShare, publish_costs
from flows.tasks.cache import RecordStorage, cache_key, make_record, read_record
from flows.tasks.progress import Progress

Job = dict[str, Any]
Record = dict[str, str]


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

    def job(self, dataset: str, stage: str) -> Job:
        identity = {
            "dataset": dataset,
            "stage": stage,
            "method": self.method,
            "n_neighbors": self.n_neighbors,
            "start": self.start,
            "n_points": self.n_points,
        }
        entries = (f"flows.stages.{stage}", *self.entries)
        return {
            **identity,
            "name": self.name,
            "params": dict(self.params),
            "output": layout.relative(self.output),
            "scratch": str(layout.scratch(dataset, stage)),
            "entries": entries,
            "key": cache_key(identity, self.inputs, self.params, entries),
        }


# --- in the task ---------------------------------------------------------------------------------


@contextlib.contextmanager
def record_costs(job: Job) -> Iterator[dict[str, float]]:
    """Measure the block and note it for `collect_timings`; the dict given takes better figures, if any."""
    from arml.system.resources import Meter

    better: dict[str, float] = {}
    begun = time.time()
    with Meter() as meter:
        yield better
    row = {k: job[k] for k in ("dataset", "method", "stage", "n_neighbors", "start", "n_points")}
    costs = {k: getattr(meter, k) for k in ("seconds", "cpu_seconds", "peak_memory_mib")}
    times = {"begun": begun, "ended": time.time()}
    write_json(Path(job["scratch"]) / f"{job['name']}.json", {**row, **costs, **better, **times})


def execute(job: Job, compute: Callable[[Job], Mapping[str, float] | None]) -> Record:
    """Run `compute` for one part: it writes job["output"] and may return better figures of its cost."""
    cluster.require_root(job["root"])
    limit_threads(int(job["threads"]))
    with record_costs(job) as better:
        better.update(compute(job) or {})
    return make_record(job["key"], layout.ROOT / job["output"])


def _cache_key_of(context: Any, parameters: dict[str, Any]) -> str:
    return f"{parameters['job']['name']}:{parameters['job']['key']}"


# --- in the flow ---------------------------------------------------------------------------------


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
    """
    folder = layout.work(dataset, stage)
    records = folder / "records"
    prepared = task.with_options(
        task_run_name=f"{stage} {dataset} {{job[name]}}",
        cache_key_fn=_cache_key_of,
        persist_result=True,
        result_serializer="json",
        cache_result_in_memory=False,
        **options,
    )
    # set, not passed: Prefect takes a block only once it is saved on its server, where nothing would read it
    prepared.result_storage = RecordStorage(folder=str(records))
    run = params["run"]
    shared = {"threads": run["threads_per_task"], "devices": run["devices"], "root": str(layout.ROOT)}
    jobs = [{**part.job(dataset, stage), **shared} for part in parts]
    progress = Progress(f"{stage} {dataset}", len(parts), sum(p.n_points for p in parts))
    print(f"{progress.title}: {len(parts)} parts, {_place(run, runner_kind(run, stage, dataset))}", flush=True)
    live = LiveShare(stage, dataset)
    futures = {prepared.submit(job): part for job, part in zip(jobs, parts, strict=True)}
    failures: dict[str, BaseException] = {}
    for future in as_completed(list(futures)):
        future.wait()  # sets the final state from the run itself, not from what its server has heard by now
        part, state = futures[future], future.state
        if state.is_completed():
            progress.add(part.n_points, cached=state.name == "Cached")
            live.show(progress.share, progress.line(time.monotonic() - progress.begun))
        else:
            failures[part.name] = _cause(future)
    progress.close()
    if failures:
        name, cause = next(iter(failures.items()))
        sort = "" if isinstance(cause, ValueError) else f"{type(cause).__name__}: "
        raise StageError(
            f"{stage} {dataset}: {len(failures)} of {len(parts)} parts failed; {name}: {sort}{cause}"
        ) from cause
    for job in jobs:
        read_record(records / f"{job['name']}.json", job["key"])
    records.mkdir(parents=True, exist_ok=True)  # there is nothing in it where a stage is switched off
    kept = [p.output for p in parts] + [records / f"{p.name}.json" for p in parts]
    for written in {folder, *(p.output.parent for p in parts)}:
        prune(written, kept)
    return [part.output for part in parts]


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


# --- what it cost --------------------------------------------------------------------------------


def collect_timings(dataset: str, stage: str, parts: Sequence[Part]) -> None:
    """Write the stage's timings: this run's figures, and the kept ones of parts that were not computed again."""
    from arml.results.parquet import provenance, read_table, timings_table, write_table

    target = layout.timings(dataset, stage)
    rows: dict[tuple[str, int, int], dict[str, Any]] = {}
    try:
        for row in read_table(target, "timings").to_pylist():
            rows[row["method"], row["n_neighbors"], row["start"]] = row
    except ValueError:
        pass  # none yet, or not readable: it only holds figures of cost
    for part, row in _measured(dataset, stage, parts):
        rows[part.method, part.n_neighbors, part.start] = row
    wanted = [(p.method, p.n_neighbors, p.start) for p in parts]
    write_table(
        target,
        timings_table([rows[w] for w in wanted if w in rows]),
        "timings",
        provenance(dataset=dataset, stage=stage),
    )
    forget_measured(dataset, stage, parts)
    publish_costs(dataset, stage, [rows[w] for w in wanted if w in rows])


def _measured(dataset: str, stage: str, parts: Sequence[Part]) -> Iterator[tuple[Part, dict[str, Any]]]:
    """What `record_costs` noted in this run, part by part; tells the main command when they worked."""
    for part in parts:
        file = layout.scratch(dataset, stage) / f"{part.name}.json"
        if file.is_file():
            row = json.loads(file.read_text())
            log_run(row)
            yield part, {k: v for k, v in row.items() if k not in ("begun", "ended")}


def forget_measured(dataset: str, stage: str, parts: Sequence[Part]) -> None:
    """Remove the notes of `record_costs`, once they are in a table or where none is wanted."""
    for part in parts:
        (layout.scratch(dataset, stage) / f"{part.name}.json").unlink(missing_ok=True)


def log_run(row: Mapping[str, Any]) -> None:
    """Tell the main command when this part or stage worked, for its summary at the end."""
    log = os.environ.get("ARML_RUN_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({k: row[k] for k in ("stage", "dataset", "begun", "ended")}) + "\n")


__all__ = [
    "Part",
    "collect_timings",
    "execute",
    "forget_measured",
    "log_run",
    "prune",
    "record_costs",
    "run_parts",
]
