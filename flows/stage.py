"""A stage as a process: its arguments, its Prefect server, its flow, and one clear line if it fails."""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from arml.results.stages import STAGES, STUDY
from flows import layout
from flows.errors import BusyError, FlowError, ParamsError, ServerError, TimeUpError
from flows.params import current_params, require_dataset
from flows.processes import deadline, server, sidebyside, watch
from flows.processes.commands import own_turn
from flows.workspaces import study


def main(argv: list[str]) -> int:
    """Run the stage that `argv` names; 0 if it ended well, else 1 (failed) or 2 (params, arguments), with a line."""
    sidebyside.whole_lines()
    parser = argparse.ArgumentParser(prog="python -m flows", description="Run one stage of the study.")
    stages = parser.add_subparsers(dest="stage", required=True, metavar="STAGE")
    for name in STAGES:
        about = _about(name)
        own = stages.add_parser(name, help=about, description=about)
        if STAGES[name].of != STUDY:
            own.add_argument("--dataset", default=_dataset_of_dvc(name), help="a name under datasets in params.yaml")
    arguments = parser.parse_args(argv)
    stage, per_dataset = arguments.stage, STAGES[arguments.stage].of != STUDY
    if per_dataset and arguments.dataset is None:
        parser.error("say which data set: --dataset NAME")
    try:
        params = current_params()
        if per_dataset:
            require_dataset(params, arguments.dataset)
    except ParamsError as error:
        return _fail(error, 2)
    os.chdir(layout.ROOT)
    study.make_rooms(layout.ROOT)  # by now, where `dvc exp run` works in a folder of its own
    try:
        with own_turn(layout.ROOT):
            return _turn(stage, params, getattr(arguments, "dataset", None))
    except BusyError as error:
        return _fail(error, 1)


def _turn(stage: str, params: dict[str, Any], dataset: str | None) -> int:
    """The stage's work, while the workspace is this run's."""
    if stage == "inputs":  # hashes of some files: nothing to orchestrate
        from flows.stages.inputs import write_inputs

        write_inputs(params)
        return 0
    if time.time() >= deadline.from_environment():
        return _fail(TimeUpError(f"{stage} {dataset or ''}".rstrip() + ": the time is up before it begins"), 1)
    above = [process.pid for process in (server.dvc_ancestor(),) if process is not None]
    watch.die_with(*above)
    watch.die_with_owner()
    return _run(stage, params, {} if dataset is None else {"dataset": dataset})


def _about(stage: str) -> str:
    """What the stage's module says of itself, without importing it."""
    source = (Path(__file__).with_name("stages") / f"{stage}.py").read_bytes()
    return (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]


def _dataset_of_dvc(stage: str) -> str | None:
    """The data set of the DVC stage that runs this, e.g. of ``verify@pendigits``; None outside of DVC."""
    name, _, dataset = os.environ.get("DVC_STAGE", "").partition("@")
    return dataset if name == stage and dataset else None


def _run(stage: str, params: dict[str, Any], arguments: dict[str, str]) -> int:
    from arml.errors import ArmlError
    from flows.runners.choice import make_task_runner, set_thread_variables

    set_thread_variables(params["run"]["threads_per_task"])
    try:
        url = server.ensure_server(lambda line: print(line, flush=True))
    except ServerError as error:
        return _fail(error, 1)
    os.environ["PREFECT_API_URL"] = url
    import httpx
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows.tasks import artifacts

    module = importlib.import_module(f"flows.stages.{stage}")
    lost = f"{stage}: the Prefect server at {url} is gone; what was computed is kept, the next run goes on from there"
    try:
        with temporary_settings({PREFECT_API_URL: url}), watch.needing(server.pid_of(url), lost):
            runner = make_task_runner(params["run"], stage, **arguments)
            told = artifacts.describe(stage, arguments, params)
            module.flow_.with_options(task_runner=runner, on_running=[told])(**arguments)
    except (FlowError, ArmlError, OSError) as error:
        return _fail(error, 1)
    except httpx.TransportError as error:
        watch.give_up(f"{lost} ({error})")
    finally:
        server.release()
    return 0


def _fail(error: BaseException, code: int) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    return code
