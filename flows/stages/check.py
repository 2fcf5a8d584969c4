"""Check stored certificates without the solvers that made them; one that proves nothing fails the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import flow, task

from arml.results.stages import TABLE
from flows import layout
from flows.errors import StageError
from flows.params import current_params, sample_of
from flows.tasks.job import Job, Record, execute
from flows.tasks.parts import Part, run_parts
from flows.tasks.prepared import prepared
from flows.tasks.shards import digest, evaluated_rows
from flows.tasks.timings import collect_timings

PROVED = tuple(stage.name for stage in TABLE if stage.proofs)


def _audit(job: Job) -> Any:
    from arml.check import CertificateChecker
    from arml.results.audit import audit
    from arml.results.parquet import read_split

    X, y = read_split(layout.test_split(job.dataset))
    rows = evaluated_rows(len(y), job.params["sample"], job.params["seed"])
    with prepared(job.dataset, job.method, CertificateChecker) as checker:
        return audit(checker, [layout.ROOT / file for file in job.params["files"]], X, y, rows)


def _check(job: Job) -> None:
    from arml.results.parquet import provenance, write_table

    facts = provenance(dataset=job.dataset, stage="check")
    write_table(layout.ROOT / job.output, _audit(job), "checks", facts)


@task
def check_certificates(job: Job) -> Record:
    return execute(job, _check)


def _files(dataset: str) -> list[Path]:
    """Everything that verify and certify have proved."""
    found = [file for stage in PROVED for file in layout.certificates(dataset, stage).glob("*.parquet")]
    if not found:
        raise StageError(f"check {dataset}: there are no certificates; run verify and certify first")
    return sorted(found)


def _parts(dataset: str, files: list[Path], options: dict[str, Any]) -> Iterator[Part]:
    """One for every method and first row, whatever was proved there."""
    from arml.results.schemas import method_rank

    groups: dict[tuple[str, int], list[Path]] = {}
    for file in files:
        method, _, start = file.stem.rsplit("-", 2)
        groups.setdefault((method, int(start)), []).append(file)
    splits = (layout.train_split(dataset), layout.test_split(dataset))
    for (method, first), group in sorted(groups.items(), key=lambda item: (method_rank(item[0][0]), item[0][1])):
        yield Part(
            method=method,
            start=first,
            output=layout.work(dataset, "check") / f"{method}-{first}.parquet",
            inputs=(*splits, layout.metric(dataset, method), *group),
            params={**options, "files": [layout.relative(file) for file in group]},
        )


@flow(name="check", flow_run_name="check {dataset}")
def flow_(dataset: str) -> None:
    from arml.results.audit import join_audits
    from arml.results.evidence import rejections
    from arml.results.parquet import provenance, read_provenance, write_table

    params, target, files = current_params(), layout.checked(dataset), _files(dataset)
    sample, seed = sample_of(params["check"], dataset), params["seed"]
    rows = evaluated_rows(read_provenance(layout.test_split(dataset))["n_test"], sample, seed)
    parts = list(_parts(dataset, files, {"sample": sample, "seed": seed, "rows": digest(rows)}))
    audits = run_parts(check_certificates, dataset, "check", parts, params)
    verdicts = join_audits(audits, files, [layout.result(dataset, stage) for stage in PROVED], rows)
    facts = provenance(dataset=dataset, stage="check", params={"sample": sample}, seed=seed)
    write_table(target, verdicts, "checks", facts)
    collect_timings(dataset, "check", parts)
    rejected = rejections(verdicts)
    if rejected:
        raise StageError(
            f"check: {len(rejected)} of {verdicts.num_rows} certificates are rejected: do not use these results; "
            f"{layout.relative(target)} names them; the first: {rejected[0]}"
        )
    print(f"check {dataset}: {verdicts.num_rows} certificates accepted", flush=True)
