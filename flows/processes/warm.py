"""Stages without their start-up: a process that has imported what stages import forks one whenever DVC asks.

Importing Prefect, scikit-learn and Arrow takes some seconds of CPU time, and a study has dozens of stages and twice as
many workers. So the main command runs ``dvc repro`` under ``python -m flows.processes.warm``, which starts Python's own
fork server with these modules in it and names it in the environment. ``python -m flows STAGE`` finds it there and has
the stage forked from it, with its own arguments, environment and streams; worker processes of a stage come from it too.

Where there is none (a plain ``dvc repro``, a system without fork, code that has changed since), everything runs as it
would without this module. The bytes are the same: nothing is computed before the fork.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Sequence

from arml.results.stages import TABLE
from flows import layout
from flows.processes import forkserver  # and nothing that a bare Python lacks: `python -m flows` says what to do there

VARIABLE = "ARML_WARM"  # in the environment of a run: where the fork server listens, and the code it holds
# every module that a stage's tasks import; and what all stages share
PRELOAD = (
    *("prefect.artifacts", "prefect.task_runners", "flows.tasks.shards", "flows.stage"),
    *dict.fromkeys(module for stage in TABLE for module in stage.preload),
)


def command(inner: Sequence[str]) -> list[str]:
    """`inner`, with a fork server beside it, where there can be one."""
    return [sys.executable, "-m", "flows.processes.warm", *inner] if forkserver.usable() else list(inner)


def main(inner: Sequence[str]) -> int:
    """Run a command with a fork server beside it; end both together."""
    from flows.processes import watch

    watch.die_with_owner()
    held = {"address": forkserver.start(PRELOAD), "code": _code()}
    return subprocess.call(list(inner), env={**os.environ, VARIABLE: json.dumps(held)})


def run(module: str, arguments: Sequence[str]) -> int | None:
    """Have ``main(arguments)`` of a module run in a process forked for it.

    Returns
    -------
    int or None
        Its exit code; None where it must run in this process. In the forked one `address` says where the server is.
    """
    try:
        held = json.loads(os.environ.get(VARIABLE, ""))
        if held["code"] != _code() or not forkserver.usable():
            return None
        address = held["address"]
    except (ValueError, KeyError, TypeError):
        return None
    return forkserver.call(address, _become, module, list(arguments), dict(os.environ))


def address() -> str | None:
    """Where the fork server is that this process was forked from; None where it was not."""
    return _address


_address: str | None = None


def _code() -> str:
    """What the fork server holds is this: sizes and times of all source files, under this very folder."""
    digest = hashlib.sha256()
    for package in ("arml", "flows"):
        for file in sorted((layout.ROOT / package).rglob("*.py")):
            stat = file.stat()
            digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _become(module: str, arguments: list[str], environment: dict[str, str]) -> None:
    """In the forked process: be the stage."""
    global _address
    os.environ.clear()
    os.environ.update(environment)
    threading.Thread(target=_end_with_parent, daemon=True, name="parent").start()
    _address = json.loads(environment[VARIABLE])["address"]
    sys.exit(importlib.import_module(module).main(arguments))


def _end_with_parent() -> None:
    """End as soon as ``python -m flows STAGE``, which stands for this process in DVC's eyes, is gone."""
    from flows.processes import watch

    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        watch.end()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
