"""The main command: bring a study up to date with ``dvc repro`` under one local Prefect server.

Without arguments the study of params.yaml; ``--study NAME`` one of flows/studies, in a workspace of its own.
Further arguments go to ``dvc repro``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from flows import _layout, _params, _server, _study, _summary, _watch

READ_BY_REPORT = ("processed", "metrics", "results", "timings")


def say(line: str) -> None:
    print(f"[arml] {line}", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flows.repro", description=__doc__)
    parser.add_argument("--study", choices=_study.available(), help="run this study instead of the default")
    options, dvc_arguments = parser.parse_known_args(argv)
    begun = time.time()
    try:
        workspace = _study.prepare(options.study) if options.study else _layout.ROOT
        params = _params.load(workspace / "params.yaml")
    except _params.ParamsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    study = f"study {options.study}" if options.study else "study"
    say(f"{study}: {', '.join(params['datasets'])}; methods {', '.join(params['methods'])}")
    drop_removed(workspace, params)
    if not dvc_arguments:
        say("looking for what has changed")
        if up_to_date(workspace):
            say(f"nothing has changed: all results are up to date ({time.time() - begun:.1f} s)")
            return 0
    return reproduce(workspace, dvc_arguments, begun)


def _dvc(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment(workspace: Path) -> dict[str, str]:
    """The stages' environment: this interpreter first on the path, the workspace's own code before any other."""
    environment = {k: v for k, v in os.environ.items() if k != _params.CHECKED}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def up_to_date(workspace: Path) -> bool:
    """Whether ``dvc status`` finds nothing to do; if it cannot tell, dvc repro will say why."""
    done = subprocess.run(_dvc("status", "-q"), cwd=workspace, env=_environment(workspace), stdin=subprocess.DEVNULL)
    return done.returncode == 0


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


def reproduce(workspace: Path, dvc_arguments: list[str], begun: float) -> int:
    """Start the server, run dvc repro in a process group of its own, end both whatever happens."""
    environment = _environment(workspace)
    runs = _layout.PREFECT_HOME / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    log = runs / f"{int(begun)}-{os.getpid()}.jsonl"
    environment["ARML_RUN_LOG"] = str(log)
    environment[_watch.OWNER] = str(os.getpid())
    code, stopped_by = 1, 0
    try:
        with _signals_as_exit():
            say("starting the local Prefect server (6 s; the first time about 20 s)")
            started = time.time()
            environment["PREFECT_API_URL"] = _server.ensure_server(say)
            waited = time.time() - started
            say(f"Prefect at {environment['PREFECT_API_URL'].removesuffix('/api')} after {waited:.1f} s")
            code = _run_group(_dvc("repro", *dvc_arguments), workspace, environment)
    except _server.ServerError as error:
        print(f"error: {error}", file=sys.stderr)
    except _Stopped as stopped:
        say("stopped; what was computed is kept, and the next run goes on from there")
        code = stopped_by = 128 + stopped.signal
    finally:
        _server.release()
    if code == 0:
        say(_summary.summary(log, time.time() - begun))
        say(f"reports: {os.path.relpath(workspace / 'reports' / 'index.md')}")
    elif not stopped_by:
        say("failed: see above; what was computed is kept, and the next run goes on from there")
    log.unlink(missing_ok=True)
    return code


class _Stopped(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@contextlib.contextmanager
def _signals_as_exit() -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Stopped(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _run_group(command: list[str], workspace: Path, environment: dict[str, str]) -> int:
    """Run a command in its own process group; if this process is stopped, so is all of the group."""
    process = subprocess.Popen(
        command, cwd=workspace, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        return process.wait()
    finally:
        for number, grace in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 5.0)):
            if not _group_lives(process):
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            _wait_group(process, grace)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # reap the leader: a zombie would count as a member
    try:
        os.killpg(process.pid, 0)
        return True
    except ProcessLookupError:
        return False


def _wait_group(process: subprocess.Popen[bytes], grace: float) -> None:
    limit = time.monotonic() + grace
    while time.monotonic() < limit and _group_lives(process):
        time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
