"""Fit every method's metric on the training set, side by side, into data/metrics."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import flow, task

from flows import layout
from flows.params import current_params
from flows.tasks.cache import code_hash
from flows.tasks.fitting import fit_estimator
from flows.tasks.job import Job, Record, execute
from flows.tasks.parts import Part, run_parts
from flows.tasks.timings import collect_timings


def _fit(job: Job) -> Mapping[str, float]:
    from arml.learners import make_learner
    from arml.results.parquet import provenance, read_provenance, read_split, write_identity, write_metric

    dataset, options = job.dataset, dict(job.params)
    split = layout.train_split(dataset)
    X, y = read_split(split)
    learner = make_learner(job.method, **options)
    device, costs = fit_estimator(learner, X, y, job)
    known = read_provenance(split)
    facts = provenance(
        dataset=dataset,
        method=job.method,
        fit=learner.fit_summary_,
        params=job.params,
        device=device,
        source=known["source"],
        fingerprint=known["fingerprint"],
        code=code_hash(*job.entries),
    )
    if getattr(learner, "is_identity_", False):
        write_identity(layout.ROOT / job.output, learner.n_features_in_, facts)
    else:
        write_metric(layout.ROOT / job.output, learner.components_, facts)
    return costs


@task
def fit_metric(job: Job) -> Record:
    return execute(job, _fit)


@flow(name="train", flow_run_name="train {dataset}")
def flow_(dataset: str) -> None:
    from arml.learners import make_learner

    params = current_params()
    parts = [
        Part(
            method=method,
            output=layout.metric(dataset, method),
            inputs=(layout.train_split(dataset),),
            params={"random_state": params["seed"], **params["train"][method]},
            entries=(type(make_learner(method)).__module__,),
        )
        for method in params["methods"]
    ]
    run_parts(fit_metric, dataset, "train", parts, params)
    collect_timings(dataset, "train", parts)
