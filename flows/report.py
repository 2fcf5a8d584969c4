"""Gate and report: certificate <= exact <= attack on every shared point, then tables, figures, metrics and the page."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, task

from flows import _artifacts, _commit, _layout, _params
from flows._runner import log_run

NETWORK_STAGES = ("train_networks", "certify_networks", "attack_networks")
MEASURED = ("download", "preprocess", "train", "verify", "certify", "check", "attack", "tighten")


@task
def write_reports(params: dict[str, Any]) -> int:
    from arml.boundaries import fit_toy
    from arml.report import write_report
    from arml.sections import read_appendix
    from arml.study import load_study

    names, compared = list(params["datasets"]), params["networks"]["datasets"]
    study = load_study(
        results=[
            *(_layout.result(name, stage) for name in names for stage in _layout.RESULT_FILES),
            *(_layout.result(name, stage) for name in compared for stage in _layout.NETWORK_RESULT_FILES),
        ],
        metrics=[_layout.metric(name, method) for name in names for method in params["methods"]],
        checks=[_layout.checked(name) for name in names],
        splits={name: _layout.train_split(name) for name in names},
        timings=[
            *(_layout.timings(name, stage) for name in names for stage in MEASURED),
            *(_layout.timings(name, stage) for name in compared for stage in NETWORK_STAGES),
        ],
        networks=[_layout.network(name, model) for name in compared for model in params["networks"]["models"]],
        radii={name: _params.dataset_spec(params, name).radii for name in names},
        params={key: value for key, value in params.items() if key not in _params.SETTINGS},
        commit=_commit.of_code(),
    )
    there = {name: folder for name, folder in _layout.APPENDICES.items() if (folder / "index.md").is_file()}
    appendices = [read_appendix(folder, name) for name, folder in there.items()]
    written = write_report(
        study, _layout.REPORTS, toy=fit_toy(params["methods"], params["seed"]), appendices=appendices
    )
    _artifacts.publish_report(_layout.REPORTS, written)
    print(
        f"report: {study.sandwich.n_comparisons} comparisons certificate <= exact <= attack hold; "
        f"{study.checked} certificates checked; "
        f"{len(written)} files in {_layout.relative(_layout.REPORTS)}/",
        flush=True,
    )
    return len(written)


@flow(name="report")
def flow_() -> None:
    begun = time.time()
    write_reports.with_options(persist_result=False)(_params.current())
    log_run({"stage": "report", "dataset": "", "begun": begun, "ended": time.time()})
