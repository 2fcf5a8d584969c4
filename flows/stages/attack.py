"""Attacks on the K-NN classifiers under every metric, on a sample of test points, into data/results."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows.params import current_params
from flows.tasks.job import Job, Record, execute
from flows.tasks.parts import run_parts
from flows.tasks.prepared import prepared
from flows.tasks.shards import compute_shard, join, shards
from flows.tasks.timings import collect_timings

OPTIONS = ("steps", "batch_size")  # null: as the attack has it, or not one of its own


def _for_queries(X: Any, y: Any, metric: Any) -> Any:
    from arml.knn.reference import reference_set

    return reference_set(X, y, metric, queries=True)


def _table(X: Any, y: Any, rows: list[int], job: Job) -> Any:
    from arml.attacks import POINT_ATTACKS
    from arml.results.found import Asked, attacked_rows

    k, options = job.n_neighbors, job.params
    algorithm, bounds = options["algorithm"], options["bounds"]
    given = {name: options[name] for name in OPTIONS if options[name] is not None}
    with prepared(job.dataset, job.method, _for_queries) as reference:
        found = POINT_ATTACKS[algorithm](
            reference,
            X,
            y,
            n_neighbors=k,
            seeds=options["seed"],
            indices=rows,
            bounds=None if bounds is None else tuple(bounds),
            **given,
        )
        return attacked_rows(Asked(job.dataset, job.method, reference, k, X, y, rows), found, algorithm)


@task
def attack_points(job: Job) -> Record:
    return execute(job, lambda job: compute_shard(job, _table))


@flow(name="attack", flow_run_name="attack {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    section = params["attack"]
    options = {name: section[name] for name in ("algorithm", "bounds", *OPTIONS)}
    parts = shards(dataset, "attack", params, section["n_neighbors"], options)
    join(dataset, "attack", run_parts(attack_points, dataset, "attack", parts, params), params)
    collect_timings(dataset, "attack", parts)
