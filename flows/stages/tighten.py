"""Robust radii of K-NN from both sides, K > 1: branch and bound against the geometric attack, into data/results."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.params import current_params
from flows.tasks.job import Job, Record, execute
from flows.tasks.parts import run_parts
from flows.tasks.prepared import prepared
from flows.tasks.shards import compute_shard, join, shards
from flows.tasks.timings import collect_timings

OPTIONS = ("programs", "nodes", "time_limit")


def _table(X: Any, y: Any, rows: list[int], job: Job) -> Any:
    from arml.intervals.radii import interval_points
    from arml.knn.reference import reference_set
    from arml.results.found import Asked, radii_rows

    k, options = job.n_neighbors, job.params
    given = {name: options[name] for name in OPTIONS}
    with prepared(job.dataset, job.method, reference_set) as reference:
        found = interval_points(reference, X, y, k, seeds=options["seed"], indices=rows, **given)
        return radii_rows(Asked(job.dataset, job.method, reference, k, X, y, rows), found)


@task
def tighten_points(job: Job) -> Record:
    return execute(job, lambda job: compute_shard(job, _table))


@flow(name="tighten", flow_run_name="tighten {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    section = params["tighten"]
    options = {name: section[name] for name in OPTIONS}
    parts = shards(dataset, "tighten", params, section["n_neighbors"], options)
    join(dataset, "tighten", run_parts(tighten_points, dataset, "tighten", parts, params), params)
    collect_timings(dataset, "tighten", parts)
