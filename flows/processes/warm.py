"""Stages without their start-up: a process that has imported what stages import forks one whenever DVC asks.

Importing Prefect, scikit-learn and Arrow takes some seconds of CPU time, and a study has dozens of stages and twice as
many workers. So the main command runs ``dvc repro`` under ``python -m flows.processes.warm``, which starts Python's own
fork server with these modules in it and names it in the environment. ``python -m flows STAGE`` finds it there and has
the stage forked from it, with its own arguments, environment and streams; worker processes of a stage come from it too.

Where there is none (a plain ``dvc repro``, a system without fork, code that has changed since), everything runs as it
would without this module. The bytes are the same: nothing is computed before the fork.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import DupFd
from typing import Any

from arml.results.stages import TABLE
from flows import layout

VARIABLE = "ARML_WARM"  # in the environment of a run: where the fork server listens, and the code it holds
# every module that a stage's tasks import; and what all stages share
PRELOAD = (
    *("prefect.artifacts", "prefect.task_runners", "flows.tasks.shards", "flows.stage"),
    *dict.fromkeys(module for stage in TABLE for module in stage.preload),
)


def supported() -> bool:
    """Whether processes are forked safely here; macOS's own libraries do not bear it."""
    return sys.platform == "linux"


def command(inner: Sequence[str]) -> list[str]:
    """`inner`, with a fork server beside it."""
    return [sys.executable, "-m", "flows.processes.warm", *inner] if supported() else list(inner)


def main(inner: Sequence[str]) -> int:
    """Run a command with a fork server beside it; end both together."""
    from flows.processes import watch

    watch.die_with_owner()
    multiprocessing.set_forkserver_preload(list(PRELOAD))
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    server.ensure_running()
    held = {"address": server._forkserver_address, "code": _code()}
    return subprocess.call(list(inner), env={**os.environ, VARIABLE: json.dumps(held)})


def run(arguments: Sequence[str]) -> int | None:
    """Have a stage run in a process forked for it; its exit code, or None where it must run in this one."""
    try:
        held = json.loads(os.environ.get(VARIABLE, ""))
        if held["code"] != _code():
            return None
    except (ValueError, KeyError, TypeError):
        return None
    streams = [Stream(number) for number in range(3)]
    process = _attach(held["address"]).Process(target=_become, args=(list(arguments), dict(os.environ), streams))
    try:
        process.start()
    except (OSError, EOFError):  # it has ended
        return None
    process.join()
    code = int(process.exitcode or 0)
    return code if code >= 0 else 128 - code


class Stream:
    """One of this process's streams, which goes along to the process that is forked."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return Stream._arrive, (self.number, DupFd(self.number))

    @staticmethod
    def _arrive(number: int, sent: Any) -> None:
        handle = sent.detach()
        os.dup2(handle, number)
        os.close(handle)


def _code() -> str:
    """What the fork server holds is this: sizes and times of all source files, under this very folder."""
    digest = hashlib.sha256()
    for package in ("arml", "flows"):
        for file in sorted((layout.ROOT / package).rglob("*.py")):
            stat = file.stat()
            digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _attach(address: str) -> ForkServerContext:
    """Python's context of processes by fork server, with the one that listens at `address`."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    server.ensure_running = lambda: None  # it would start its own: that one runs is known
    server._forkserver_address = address
    if server._forkserver_alive_fd is None:  # its life is that of ``flows.processes.warm``, not of who uses it
        server._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)
    return multiprocessing.get_context("forkserver")


def _become(arguments: list[str], environment: dict[str, str], _streams: list[None]) -> None:
    """In the forked process, whose streams have arrived with the arguments: be the stage."""
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    from flows import stage
    from flows.runners import processes

    processes.fork_from(_attach(json.loads(environment[VARIABLE])["address"]))
    code = stage.main(arguments)
    atexit._run_exitfuncs()  # as an interpreter of its own would; a forked one skips them
    sys.exit(code)


def _end_with_parent() -> None:
    """End as soon as ``python -m flows STAGE``, which stands for this process in DVC's eyes, is gone."""
    from flows.processes import watch

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        watch.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
