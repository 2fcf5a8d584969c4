"""The measured running times as a table and a figure beside the paper's, in reports/runtime."""

from __future__ import annotations

from prefect import flow, task

from flows import layout, params


@task
def write_reports(dataset: str) -> None:
    from arml.report.running_times import write_report
    from arml.results.parquet import read_table

    folder = layout.REPORTS / "runtime" / dataset
    write_report(
        read_table(layout.trials(dataset), "trials"), params.current_params()["runtime"][dataset]["fits"], folder
    )
    print(f"runtime: {layout.relative(folder / 'index.md')}", flush=True)


@flow(name="runtime_report", flow_run_name="runtime report {dataset}")
def flow_(dataset: str) -> None:
    write_reports.with_options(persist_result=False)(dataset)
