"""Parse, check, scale and split the raw files of a data set into data/processed."""

from __future__ import annotations

from typing import Any

from prefect import flow, task

from flows import layout
from flows.params import current_params
from flows.tasks.job import Job
from flows.tasks.parts import prune
from flows.tasks.single import run_single


@task
def make_splits(job: Job) -> dict[str, Any]:
    from arml.datasets import preprocess, spec_from_entry
    from arml.results.parquet import provenance, write_split

    name = job.dataset
    data = preprocess(spec_from_entry(name, job.params), layout.raw(name))
    facts = provenance(
        dataset=name,
        source=data.source,
        fingerprint=data.fingerprint,
        n_train=len(data.y_train),
        n_test=len(data.y_test),
        n_features=data.X_train.shape[1],
        n_classes=len(data.classes),
        classes=data.classes,
        class_names=data.class_names,
        raw=data.provenance,
    )
    train, test = layout.train_split(name), layout.test_split(name)
    write_split(train, data.X_train, data.y_train, facts)
    write_split(test, data.X_test, data.y_test, facts)
    prune(train.parent, [train, test])
    for told in data.notes:
        print(f"preprocess {name}: {told}", flush=True)
    print(
        f"preprocess {name}: {len(data.y_train)} training and {len(data.y_test)} test points, "
        f"{data.X_train.shape[1]} features, {len(data.classes)} classes",
        flush=True,
    )
    return {"fingerprint": data.fingerprint}


@flow(name="preprocess", flow_run_name="preprocess {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    run_single(make_splits, dataset, "preprocess", dict(params["datasets"][dataset] or {}), params)
