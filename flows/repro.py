"""The main command: bring a study up to date with ``dvc repro`` under one local Prefect server.

Without arguments the study of params.yaml; ``--study NAME`` one of flows/studies, in a workspace of its own.
Further arguments go to ``dvc repro``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arml.system.files import write_text
from flows import costs, layout
from flows.errors import BusyError, ParamsError, ServerError
from flows.params import completed, load_params, yaml12
from flows.processes import deadline, server, sidebyside, warm, watch
from flows.processes.commands import (
    Stopped,
    exclusive,
    run_group,
    signals_as_exit,
    stage_environment,
)
from flows.runners.choice import stages_at_once
from flows.tasks import summary
from flows.workspaces import commit, own
from flows.workspaces.study import available, make_rooms, prepare

READ_BY_REPORT = ("processed", "metrics", "results")


def say(line: str) -> None:
    print(f"[arml] {line}", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.repro", description=__doc__)
    parser.add_argument("--study", choices=available(), help="run this study instead of the default")
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument(
        "--for", type=deadline.minutes, dest="until", metavar="MINUTES", help="begin no further part after so long"
    )
    ends.add_argument("--until", type=deadline.clock, metavar="TIME", help="the same by the clock, as in 18:30")
    options, dvc_arguments = parser.parse_known_args(argv)
    begun = time.time()
    watch.die_with_owner()
    workspace = layout.WORKSPACES / options.study if options.study else layout.ROOT
    try:
        with exclusive(workspace):
            if options.until:
                os.environ[deadline.VARIABLE] = str(options.until)
            return bring_up_to_date(workspace, options.study, dvc_arguments, begun)
    except (ParamsError, BusyError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def bring_up_to_date(workspace: Path, study: str | None, dvc_arguments: list[str], begun: float) -> int:
    """Look what has changed, say what it will cost, and run it."""
    if study:
        prepare(study)
    for line in () if study else complete(workspace / "params.yaml"):
        say(line)
    params = load_params(workspace / "params.yaml")
    say(f"study{f' {study}' if study else ''}: {', '.join(params['datasets'])}; methods {', '.join(params['methods'])}")
    drop_removed(workspace, params)
    make_rooms(workspace)
    if study is None:
        for line in own.track(params):
            say(line)
    if not dvc_arguments:
        say("looking for what has changed")
        changed = costs.changed_stages(workspace)
        if changed == {}:
            say(f"nothing has changed: all results are up to date ({time.time() - begun:.1f} s)")
            return 0
        for line in costs.lines(params, changed, study) if changed else ():
            say(line)
    return reproduce(workspace, dvc_arguments, begun, stages_at_once(params["run"]))


def complete(path: Path) -> Iterator[str]:
    """Write into params.yaml what it leaves out and DVC has to know, and say so."""
    text = yaml12.text_of(path)
    full, told = completed(text)
    if full != text:
        write_text(path, full)
    yield from told


def drop_removed(workspace: Path, params: dict[str, Any]) -> None:
    """Remove what the report would read of data sets no longer in params; DVC's cache keeps it."""
    lock = workspace / "dvc.lock"
    known = lock.read_text(encoding="utf-8") if lock.is_file() else ""
    for room in READ_BY_REPORT:
        for folder in sorted((workspace / "data" / room).glob("*/")):
            stale = folder.is_dir() and folder.name not in params["datasets"]
            if stale and f"path: data/{room}/{folder.name}" in known:
                say(f"{folder.name} is no longer in params.yaml: removing data/{room}/{folder.name}")
                shutil.rmtree(folder)


def reproduce(workspace: Path, dvc_arguments: list[str], begun: float, at_once: int) -> int:
    """Start the server, run dvc repro in a process group of its own, end both whatever happens."""
    environment = stage_environment()
    runs = layout.PREFECT_HOME / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    log = runs / f"{int(begun)}-{os.getpid()}.jsonl"
    environment["ARML_RUN_LOG"] = str(log)
    environment[watch.OWNER] = str(os.getpid())
    environment[sidebyside.VARIABLE] = str(at_once)
    environment[commit.VARIABLE] = commit.of_code()
    code, stopped_by = 1, 0
    try:
        with signals_as_exit():
            say("starting the local Prefect server (6 s; the first time about 20 s)")
            started = time.time()
            environment["PREFECT_API_URL"] = server.ensure_server(say)
            waited = time.time() - started
            say(f"Prefect at {environment['PREFECT_API_URL'].removesuffix('/api')} after {waited:.1f} s")
            command = sidebyside.command(at_once, "repro", *dvc_arguments)
            code = run_group(warm.command(command), workspace, environment)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
    except Stopped as stopped:
        say("stopped; what was computed is kept, and the next run goes on from there")
        code = stopped_by = 128 + stopped.signal
    finally:
        server.release()
    if code == 0:
        say(summary.summary(log, time.time() - begun, begun))
        say(f"reports: {os.path.relpath(workspace / 'reports' / 'index.html')}")
        if (workspace / "reports" / layout.RUN_PAGE).is_file():
            say(f"what it took: {os.path.relpath(workspace / 'reports' / layout.RUN_PAGE)}")
    elif not stopped_by and time.time() >= deadline.from_environment():
        left = costs.changed_stages(workspace) or {}
        say(f"the time is up; what was computed is kept, and the next run goes on from there: {', '.join(left)} and on")
        code = deadline.TIME_UP
    elif not stopped_by:
        say("failed: see above; what was computed is kept, and the next run goes on from there")
    log.unlink(missing_ok=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
