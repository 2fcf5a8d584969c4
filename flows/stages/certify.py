"""Certified radii of the K-NN classifiers under every metric, with what proves them, into data/results."""

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
    from arml.certify.radii import certify_points
    from arml.knn.reference import reference_set
    from arml.results.found import Asked, certified_rows

    k, bound = job.n_neighbors, job.params["bound"]
    with prepared(job.dataset, job.method, reference_set) as reference:
        found = certify_points(reference, X, y, k, bound)
        return certified_rows(Asked(job.dataset, job.method, reference, k, X, y, rows), found, bound)


@task
def certify_points_of(job: Job) -> Record:
    return execute(job, lambda job: compute_shard(job, _table))


@flow(name="certify", flow_run_name="certify {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    section = params["certify"]
    parts = shards(dataset, "certify", params, section["n_neighbors"], {"bound": section["bound"]})
    join(dataset, "certify", run_parts(certify_points_of, dataset, "certify", parts, params), params)
    collect_timings(dataset, "certify", parts)
