"""Gate and report: certificate <= exact <= attack on every shared point, then tables, figures, metrics and the page."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, task

from arml.results.stages import DATASETS, NETWORKS, stages_of
from flows import layout
from flows.params import SETTINGS, current_params, dataset_spec
from flows.tasks import artifacts
from flows.tasks.timings import log_run
from flows.workspaces import commit


@task
def write_reports(params: dict[str, Any]) -> int:
    from arml.report.run_page import read_timings, write_run_page
    from arml.report.sections import read_appendix
    from arml.report.study import load_study
    from arml.report.toy_figure import fit_toy
    from arml.report.writer import write_report
    from arml.results.parquet import read_provenance

    names, compared = list(params["datasets"]), params["networks"]["datasets"]
    study = load_study(
        results=[
            *(layout.result(name, stage.name) for name in names for stage in stages_of(DATASETS) if stage.result),
            *(layout.result(name, stage.name) for name in compared for stage in stages_of(NETWORKS) if stage.result),
        ],
        metrics=[layout.metric(name, method) for name in names for method in params["methods"]],
        checks=[layout.checked(name) for name in names],
        splits={name: layout.train_split(name) for name in names},
        networks=[layout.network(name, model) for name in compared for model in params["networks"]["models"]],
        radii={name: dataset_spec(params, name).radii for name in names},
        params={key: value for key, value in params.items() if key not in SETTINGS},
    )
    for name in names:
        if not dataset_spec(params, name).radii:
            told = ", ".join(f"{radius:g}" for radius in study.radii[name])
            print(f"report: radii of {name}, by quantiles of its exact radii: [{told}]", flush=True)
    there = {name: folder for name, folder in layout.APPENDICES.items() if (folder / "index.md").is_file()}
    appendices = [read_appendix(folder, name) for name, folder in there.items()]
    written = write_report(study, layout.REPORTS, toy=fit_toy(params["methods"], params["seed"]), appendices=appendices)
    took = [
        *(layout.timings(name, stage.name) for name in names for stage in stages_of(DATASETS) if stage.measured),
        *(layout.timings(name, stage.name) for name in compared for stage in stages_of(NETWORKS) if stage.measured),
    ]
    write_run_page(layout.REPORTS, read_timings(took), study.datasets, commit.of_code())
    artifacts.publish_report(layout.REPORTS, written)
    facts = {name: read_provenance(layout.train_split(name)) for name in names}
    artifacts.publish_lineage(commit.of_code(), params, facts)
    print(
        f"report: {study.sandwich.n_comparisons} comparisons certificate <= exact <= attack hold; "
        f"{study.checked} certificates checked; "
        f"{len(written)} files in {layout.relative(layout.REPORTS)}/",
        flush=True,
    )
    return len(written)


@flow(name="report")
def flow_() -> None:
    begun = time.time()
    write_reports.with_options(persist_result=False)(current_params())
    log_run({"stage": "report", "dataset": "", "begun": begun, "ended": time.time()})
