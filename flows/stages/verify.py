"""Exact robust radii of the 1-NN classifier under every metric, with what proves them, into data/results."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.params import current_params
from flows.tasks.job import Job, Record, execute
from flows.tasks.parts import run_parts
from flows.tasks.prepared import prepared
from flows.tasks.shards import compute_shard, join, shards
from flows.tasks.timings import collect_timings


def _table(X: Any, y: Any, rows: list[int], job: Job) -> Any:
    from arml.knn.reference import reference_set
    from arml.results.found import Asked, radii_rows
    from arml.verify.radii import verify_points

    with prepared(job.dataset, job.method, reference_set) as reference:
        found = verify_points(reference, X, y, time_limit=job.params["time_limit"])
        return radii_rows(Asked(job.dataset, job.method, reference, 1, X, y, rows), found)


@task
def verify_points_of(job: Job) -> Record:
    return execute(job, lambda job: compute_shard(job, _table))


@flow(name="verify", flow_run_name="verify {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    parts = shards(dataset, "verify", params, [1], {"time_limit": params["verify"]["time_limit"]})
    join(dataset, "verify", run_parts(verify_points_of, dataset, "verify", parts, params), params)
    collect_timings(dataset, "verify", parts)
