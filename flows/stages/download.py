"""Bring a data set's raw files from its declared source into data/raw, checked, with a record of them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow, task

from flows import layout
from flows.params import current_params
from flows.tasks.job import Job
from flows.tasks.parts import prune
from flows.tasks.single import run_single

if TYPE_CHECKING:
    from arml.datasets import DatasetSpec


def _may_recover(_task: Any, _run: Any, state: Any) -> bool:
    """Only the network's failures are worth another try: a wrong checksum stays wrong."""
    from arml.datasets import DownloadError

    again = isinstance(state.result(raise_on_failure=False), DownloadError)
    if again:
        print("download: the network failed; trying again", flush=True)
    return again


@task(retries=3, retry_delay_seconds=[2, 10, 30], retry_condition_fn=_may_recover)
def fetch_files(job: Job) -> dict[str, Any]:
    from arml.datasets import fetch, spec_from_entry

    started = time.monotonic()
    spec = spec_from_entry(job.dataset, job.params)
    target = layout.raw(job.dataset)
    record = fetch(spec, job.params.get("source"), target, own_dir=own_folder(spec))
    prune(target, [target / "source.json", *(target / file["name"] for file in record["files"])])
    size = sum(file["size"] for file in record["files"])
    print(
        f"download {job.dataset}: {len(record['files'])} files, {size / 1e6:.1f} MB "
        f"from {record['source']}, {time.monotonic() - started:.1f} s",
        flush=True,
    )
    return record


def own_folder(spec: DatasetSpec) -> Path:
    """The folder of the data set's own file."""
    file = layout.own_file(spec.own.file) if spec.own is not None else None
    return layout.own() if file is None or spec.own is None else file.parents[len(Path(spec.own.file).parts) - 1]


@flow(name="download", flow_run_name="download {dataset}")
def flow_(dataset: str) -> None:
    params = current_params()
    run_single(fetch_files, dataset, "download", dict(params["datasets"][dataset] or {}), params)
