"""Certified radii of the K-NN classifiers under every metric, with what proves them, into data/results."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.params import current_params
from flows.tasks.parts import Job, Record, collect_timings, execute, run_parts
from flows.tasks.prepared import prepared
from flows.tasks.shards import compute_shard, join, shards


def _find(X: Any, y: Any, job: Job) -> Any:
    from arml.certify.radii import certify_points
    from arml.knn.neighbors import predict_labels
    from arml.knn.reference import reference_set

    k = job["n_neighbors"]
    with prepared(job["dataset"], job["method"], reference_set) as reference:
        return certify_points(reference, X, y, k, job["params"]["bound"]), predict_labels(reference, X, k)


def _table(X: Any, y: Any, rows: list[int], job: Job) -> Any:
    from arml.results.evidence import evidence_table
    from arml.results.parquet import certified_table

    found, prediction = _find(X, y, job)
    table = certified_table(
        dataset=job["dataset"],
        method=job["method"],
        n_neighbors=job["n_neighbors"],
        index=rows,
        label=y,
        prediction=prediction,
        radius=[certificate.radius for certificate in found],
        algorithm=job["params"]["bound"],
    )
    return evidence_table(table, found)


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
