"""The measured running times as a table and a figure beside the paper's, in reports/runtime."""

from __future__ import annotations

from prefect import flow, task

from flows import _layout, _params


@task
def write_reports(dataset: str) -> None:
    from arml.results import read_table
    from arml.speed import write_report

    folder = _layout.REPORTS / "runtime" / dataset
    write_report(read_table(_layout.trials(dataset), "trials"), _params.current()["runtime"][dataset]["fits"], folder)
    print(f"runtime: {_layout.relative(folder / 'index.md')}", flush=True)


@flow(name="runtime_report", flow_run_name="runtime report {dataset}")
def flow_(dataset: str) -> None:
    write_reports.with_options(persist_result=False)(dataset)
