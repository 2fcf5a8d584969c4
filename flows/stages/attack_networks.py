"""Attacks on the networks, on a sample of test points, into data/results."""

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
    from arml.attacks.gradient import gradient_attack
    from arml.results.parquet import attacked_table
    from arml.results.schemas import NETWORK

    network, options = read_network(job), job.params
    target = smoothed(network, job) if options["network"]["certificate"] == "smoothing" else network
    bounds = options["bounds"]
    found = gradient_attack(
        target,
        X,
        y,
        algorithm=options["algorithm"],
        steps=options["steps"],
        bounds=None if bounds is None else tuple(bounds),
        indices=rows,
    )
    prediction = target.predict(X, rows) if target is not network else network.predict(X)
    return attacked_table(
        dataset=job.dataset,
        method=job.method,
        n_neighbors=NETWORK,
        index=rows,
        label=y,
        prediction=prediction,
        norm=found.norm,
        status=found.status,
        algorithm=options["algorithm"],
    )


@task
def attack_points_of(job: Job) -> Record:
    return execute(job, lambda job: compute_shard(job, _table))


@flow(name="attack_networks", flow_run_name="attack_networks {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    section = params["networks"]
    options = {key: value for key, value in section["attack"].items() if key != "sample"}
    options |= {key: section["certify"][key] for key in ("n0", "n", "alpha")}  # what a smoothed prediction is
    parts = shards(dataset, "attack_networks", params, [0], options)
    join(dataset, "attack_networks", run_parts(attack_points_of, dataset, "attack_networks", parts, params), params)
    collect_timings(dataset, "attack_networks", parts)
