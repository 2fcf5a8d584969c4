"""Train the networks that K-NN is compared with, side by side, into data/networks."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import flow, task

from flows import layout
from flows.params import current_params, network_options
from flows.tasks.cache import code_hash
from flows.tasks.fitting import fit_estimator
from flows.tasks.job import Job, Record, execute
from flows.tasks.parts import Part, run_parts
from flows.tasks.timings import collect_timings


def _train(job: Job) -> Mapping[str, float]:
    from arml.networks.classifier import NetworkClassifier
    from arml.results.parquet import provenance, read_provenance, read_split, write_weights

    dataset = job.dataset
    split = layout.train_split(dataset)
    X, y = read_split(split)
    network = NetworkClassifier(**job.params)
    device, costs = fit_estimator(network, X, y, job)
    known = read_provenance(split)
    facts = provenance(
        dataset=dataset,
        method=job.method,
        fit=network.fit_summary_,
        params=job.params,
        classes=network.classes_,
        n_features=network.n_features_in_,
        device=device,
        source=known["source"],
        fingerprint=known["fingerprint"],
        code=code_hash(*job.entries),
    )
    write_weights(layout.ROOT / job.output, network.network_.arrays(), facts)
    return costs


@task
def train_network(job: Job) -> Record:
    return execute(job, _train)


@flow(name="train_networks", flow_run_name="train_networks {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    parts = [
        Part(
            method=name,
            output=layout.network(dataset, name),
            inputs=(layout.train_split(dataset),),
            params={"random_state": params["seed"], **network_options(model)},
        )
        for name, model in params["networks"]["models"].items()
    ]
    run_parts(train_network, dataset, "train_networks", parts, params)
    collect_timings(dataset, "train_networks", parts)
