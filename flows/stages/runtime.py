"""Measure the running times of fits (the paper's section 4.4), one after the other, into data/timings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prefect import flow, task

from flows import layout
from flows.errors import ParamsError, StageError
from flows.params import current_params
from flows.runners.choice import limit_threads, worker_count
from flows.tasks.job import Job, Record, execute
from flows.tasks.parts import Part, run_parts
from flows.tasks.timings import forget_measured


@dataclass(frozen=True)
class Trial(Part):
    """One fit: which, on how many threads, and the how manieth."""

    fit: str = ""
    threads: int = 1
    number: int = 0

    @property
    def name(self) -> str:
        return f"{self.fit}-{self.threads}-{self.number}"


def _measure(job: Job) -> Mapping[str, float]:
    from arml.learners import make_learner
    from arml.results.parquet import provenance, read_split, trials_table, write_table

    options = dict(job.params)
    row = {
        "dataset": job.dataset,
        "method": job.method,
        **{k: options.pop(k) for k in ("fit", "threads", "trial")},
    }
    limit_threads(row["threads"])
    X, y = read_split(layout.train_split(job.dataset))
    learner = make_learner(job.method, **options)
    if "n_jobs" in learner.get_params():
        learner.set_params(n_jobs=row["threads"])
    learner.fit(X, y)
    row |= {"n_points": learner.n_fit_samples_, "n_iter": learner.n_iter_}
    costs = {"seconds": learner.seconds_, "peak_memory_mib": learner.peak_memory_mib_}
    facts = provenance(dataset=job.dataset, params=job.params, cores=os.cpu_count())
    write_table(layout.ROOT / job.output, trials_table([{**row, **costs}]), "trials", facts)
    return costs


@task
def measure_fit(job: Job) -> Record:
    return execute(job, _measure)


def trials(params: Mapping[str, Any], dataset: str) -> Iterator[Trial]:
    """Every trial of every fit, the quick ones of all fits before the next number of threads."""
    entry = params["runtime"][dataset]
    cores = worker_count({"workers": "auto"})
    for threads in dict.fromkeys(cores if count == "all" else count for count in entry["threads"]):
        for name, fit in entry["fits"].items():
            options = {key: value for key, value in fit.items() if key not in ("method", "trials")}
            for number in range(fit.get("trials", entry["trials"])):
                known = {"fit": name, "threads": threads, "trial": number}
                part = Trial(
                    method=fit["method"],
                    output=layout.work(dataset, "runtime") / f"{name}-{threads}-{number}.parquet",
                    inputs=(layout.train_split(dataset),),
                    params={"random_state": params["seed"], **options, **known},
                    entries=(f"arml.learners.{_module(fit['method'])}",),
                    fit=name,
                    threads=threads,
                    number=number,
                )
                yield part


def _module(method: str) -> str:
    from arml.learners import make_learner

    return type(make_learner(method)).__module__.rpartition(".")[2]


@flow(name="runtime", flow_run_name="runtime {dataset}")
def flow_(dataset: str) -> None:
    from arml.results.parquet import provenance, read_table, trials_table, write_table

    params = current_params()
    if dataset not in params["runtime"]:
        raise ParamsError(f"runtime has no entry for {dataset!r}: see flows/studies/runtime.yaml")
    if worker_count(params["run"]) != 1:
        raise StageError("fits side by side cannot be timed: the runtime stage needs run.workers: 1")
    parts = list(trials(params, dataset))
    run_parts(measure_fit, dataset, "runtime", parts, params)
    rows = [row for part in parts for row in read_table(part.output, "trials").to_pylist()]
    facts = provenance(dataset=dataset, stage="runtime", cores=os.cpu_count())
    write_table(layout.trials(dataset), trials_table(rows), "trials", facts)
    forget_measured(dataset, "runtime", parts)
