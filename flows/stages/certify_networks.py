"""Certified radii of the networks, by CROWN or by randomized smoothing, into data/results."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.params import current_params
from flows.tasks.job import Job, Record, execute
from flows.tasks.networks import read_network, smoothed
from flows.tasks.parts import run_parts
from flows.tasks.shards import compute_shard, join, shards
from flows.tasks.timings import collect_timings


def _table(X: Any, y: Any, rows: list[int], job: Job) -> Any:
    from arml.networks.bounds import certified_radii
    from arml.results.parquet import certified_table
    from arml.results.schemas import NETWORK

    network, options = read_network(job), job.params
    certificate = options["network"]["certificate"]
    if certificate == "smoothing":
        found = smoothed(network, job).certified_radii(X, rows)
        prediction, radius = found.prediction, found.radius * (found.prediction == y)
    else:
        prediction = network.predict(X)
        radius = certified_radii(network, X, y, method=certificate, tolerance=options["tolerance"])
    return certified_table(
        dataset=job.dataset,
        method=job.method,
        n_neighbors=NETWORK,
        index=rows,
        label=y,
        prediction=prediction,
        radius=radius,
        algorithm=certificate,
    )


@task
def certify_points_of(job: Job) -> Record:
    return execute(job, lambda job: compute_shard(job, _table))


@flow(name="certify_networks", flow_run_name="certify_networks {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    options = {key: value for key, value in params["networks"]["certify"].items() if key != "sample"}
    parts = shards(dataset, "certify_networks", params, [0], options)
    join(dataset, "certify_networks", run_parts(certify_points_of, dataset, "certify_networks", parts, params), params)
    collect_timings(dataset, "certify_networks", parts)
