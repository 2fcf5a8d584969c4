"""A trained network as a task takes it up again."""

from __future__ import annotations

from typing import Any

from flows import layout, params
from flows.tasks.job import Job


def read_network(job: Job) -> Any:
    """The classifier that `train_networks` left for the job's method."""
    from arml.networks.classifier import NetworkClassifier
    from arml.results.parquet import read_weights

    arrays, facts = read_weights(layout.network(job.dataset, job.method))
    options = params.network_options(job.params["network"])
    return NetworkClassifier(**options).restored(facts["n_features"], facts["classes"], arrays)


def smoothed(network: Any, job: Job) -> Any:
    """The network behind the noise that it was trained with."""
    from arml.networks.smoothing import SmoothedClassifier

    options = job.params
    return SmoothedClassifier(
        network,
        options["network"]["noise"],
        n0=options["n0"],
        n=options["n"],
        alpha=options["alpha"],
        random_state=options["seed"],
    )
