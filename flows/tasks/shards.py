"""Which test points a stage evaluates, in which shards; and the way from shards to a result file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from arml.results.stages import NETWORK_MODELS, STAGES
from flows import layout
from flows.params import methods_of, sample_of, section_of
from flows.tasks.cache import code_hash, content_hash
from flows.tasks.job import Job
from flows.tasks.parts import Part


def evaluated_rows(n_test: int, sample: int | str, seed: int) -> list[int]:
    """Rows of the test file, ascending: all, or the first `sample` of the paper's shuffle."""
    if sample == "all":
        return list(range(n_test))
    from arml.datasets import paper_sample_indices

    return sorted(int(i) for i in paper_sample_indices(n_test, int(sample), seed))


def digest(rows: Sequence[int]) -> str:
    return hashlib.sha256(json.dumps(list(rows)).encode()).hexdigest()


def shards(
    dataset: str, stage: str, params: Mapping[str, Any], n_neighbors: Sequence[int], options: Mapping[str, Any]
) -> list[Part]:
    """The parts of a stage: every method (or network), number of neighbours and range of evaluated rows."""
    from arml.results.parquet import read_provenance

    methods, section = _section(stage, dataset, params)
    networks, size = params["networks"]["models"], params["run"]["shard_size"]
    n_test = read_provenance(layout.test_split(dataset))["n_test"]
    # a list gives each number of neighbours its own sample
    sample = sample_of(section, dataset)
    samples = sample if isinstance(sample, list) else [sample] * len(n_neighbors)
    parts = []
    for method in methods:
        own = {"network": networks[method]} if STAGES[stage].models == NETWORK_MODELS else {}
        for k, sample in zip(n_neighbors, samples, strict=True):
            rows = evaluated_rows(n_test, sample, params["seed"])
            for start in range(0, len(rows), size):
                name = f"{method}-{k}-{start}.parquet"
                parts.append(
                    Part(
                        method=method,
                        n_neighbors=k,
                        start=start,
                        n_points=len(rows[start : start + size]),
                        output=layout.parts(dataset, stage) / name,
                        inputs=(
                            layout.train_split(dataset),
                            layout.test_split(dataset),
                            layout.model(dataset, stage, method),
                        ),
                        params={
                            **options,
                            **own,
                            "sample": sample,
                            "seed": params["seed"],
                            "rows": digest(rows[start : start + size]),
                        },
                    )
                )
    return parts


def _section(stage: str, dataset: str, params: Mapping[str, Any]) -> tuple[list[str], Mapping[str, Any]]:
    """The methods that a stage goes over on a data set, and its own section of the params."""
    return methods_of(params, stage, dataset), section_of(params, stage)


def compute_shard(job: Job, make_table: Callable[..., Any]) -> None:
    """Load a shard's points, call ``make_table(X, y, rows, job)``, write its rows."""
    from arml.results.parquet import provenance, read_provenance, read_split, write_table

    dataset, stage, options = job.dataset, job.stage, job.params
    X, y = read_split(layout.test_split(dataset))
    rows = evaluated_rows(len(y), options["sample"], options["seed"])
    rows = rows[job.identity.start : job.identity.start + job.identity.n_points]
    table = make_table(X[rows], y[rows], rows, job)
    model, fingerprint = layout.model(dataset, stage, job.method), read_provenance(layout.train_split(dataset))
    facts = provenance(
        dataset=dataset, stage=stage, metric=content_hash(model), fingerprint=fingerprint["fingerprint"], rows=rows
    )
    write_table(layout.ROOT / job.output, table, _schema(stage), facts)


def _schema(stage: str) -> str:
    """What the parts of a stage hold."""
    return "evidence" if STAGES[stage].proofs else "results"


def join(dataset: str, stage: str, files: Sequence[Path], params: Mapping[str, Any]) -> None:
    """Write the stage's result file from its parts, in one order, whatever the shards were."""
    from arml.results.evidence import results_of
    from arml.results.parquet import RESULTS, concat, provenance, read_provenance, read_table, write_table

    train = layout.train_split(dataset)
    methods, section = _section(stage, dataset, params)
    facts = provenance(
        dataset=dataset,
        stage=stage,
        source=read_provenance(train)["source"],
        fingerprint=read_provenance(train)["fingerprint"],
        seed=params["seed"],
        methods=methods,
        params={**section, "sample": sample_of(section, dataset)},
        metrics={m: content_hash(layout.model(dataset, stage, m)) for m in methods},
        code=code_hash(f"flows.stages.{stage}"),
    )
    target = layout.result(dataset, stage)
    for leftover in target.parent.glob(f".{target.name}.*.tmp"):  # of a killed run
        leftover.unlink()
    rows = [results_of(read_table(file, _schema(stage))) for file in files]
    write_table(target, concat(rows) if rows else RESULTS.empty_table(), "results", facts)
