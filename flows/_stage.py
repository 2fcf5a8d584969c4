"""The command line of a stage: ``python -m flows.<stage> [--dataset NAME]``, under DVC or alone."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from typing import Any

from flows import _layout, _params, _server, _watch


def main(stage: str, argv: list[str] | None = None) -> int:
    """Run one stage; 0 if it ended well, else 1 (failed) or 2 (params or arguments) with one clear line."""
    per_dataset = stage != "report"
    parser = argparse.ArgumentParser(
        prog=f"python -m flows.{stage}", description=importlib.import_module(f"flows.{stage}").__doc__
    )
    if per_dataset:
        parser.add_argument("--dataset", default=_dataset_of_dvc(stage), help="a name under datasets in params.yaml")
    arguments = parser.parse_args(argv)
    if per_dataset and arguments.dataset is None:
        parser.error("say which data set: --dataset NAME")
    try:
        params = _params.current()
        if per_dataset:
            _params.require_dataset(params, arguments.dataset)
    except _params.ParamsError as error:
        return _fail(error, 2)
    os.chdir(_layout.ROOT)
    above = [process.pid for process in (_server.dvc_ancestor(),) if process is not None]
    owner = os.environ.get(_watch.OWNER, "")
    _watch.die_with(*above, *([int(owner)] if owner.isdigit() else []))
    return _run(stage, params, {"dataset": arguments.dataset} if per_dataset else {})


def _dataset_of_dvc(stage: str) -> str | None:
    """The data set of the DVC stage that runs this, e.g. of ``verify@pendigits``; None outside of DVC."""
    name, _, dataset = os.environ.get("DVC_STAGE", "").partition("@")
    return dataset if name == stage and dataset else None


def _run(stage: str, params: dict[str, Any], arguments: dict[str, str]) -> int:
    from arml.errors import ArmlError
    from flows import _runner

    _runner.set_thread_variables(params["run"]["threads_per_task"])
    try:
        url = _server.ensure_server(lambda line: print(line, flush=True))
    except _server.ServerError as error:
        return _fail(error, 1)
    os.environ["PREFECT_API_URL"] = url
    from prefect.settings import PREFECT_API_URL, temporary_settings

    module = importlib.import_module(f"flows.{stage}")
    try:
        with temporary_settings({PREFECT_API_URL: url}):
            flow = module.flow_.with_options(task_runner=_runner.make_task_runner(params["run"], stage, **arguments))
            flow(**arguments)
    except (_runner.StageError, ArmlError, _params.ParamsError, OSError) as error:
        return _fail(error, 1)
    finally:
        _server.release()
    return 0


def _fail(error: BaseException, code: int) -> int:
    print(f"error: {error}", file=sys.stderr, flush=True)
    return code
