"""Attacks on the K-NN classifiers under every metric, on a sample of test points, into data/results."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows import layout
from flows.params import current_params
from flows.tasks.parts import Job, Record, collect_timings, execute, run_parts
from flows.tasks.shards import compute_shard, join, shards

OPTIONS = ("steps", "batch_size")  # null: as the attack has it, or not one of its own


def _table(X: Any, y: Any, rows: list[int], job: Job) -> Any:
    from arml.attacks import boundary, query
    from arml.knn.mahalanobis import MahalanobisMetric
    from arml.knn.neighbors import predict_labels
    from arml.knn.reference import reference_set
    from arml.results.parquet import attacked_table, read_metric, read_split

    X_train, y_train = read_split(layout.train_split(job["dataset"]))
    metric = MahalanobisMetric(read_metric(layout.metric(job["dataset"], job["method"]))[0])
    k, options = job["n_neighbors"], job["params"]
    home = boundary if options["algorithm"] == "boundary" else query
    run = getattr(home, f"{options['algorithm']}_attack")
    given = {name: options[name] for name in OPTIONS if options[name] is not None}
    bounds = options["bounds"]
    found = run(
        X_train,
        y_train,
        X,
        y,
        metric,
        n_neighbors=k,
        seeds=options["seed"],
        indices=rows,
        bounds=None if bounds is None else tuple(bounds),
        **given,
    )
    return attacked_table(
        dataset=job["dataset"],
        method=job["method"],
        n_neighbors=k,
        index=rows,
        label=y,
        prediction=predict_labels(reference_set(X_train, y_train, metric, queries=True), X, k),
        norm=found.norm,
        status=found.status,
        algorithm=options["algorithm"],
    )


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
