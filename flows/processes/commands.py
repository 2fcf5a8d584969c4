"""DVC's commands as processes: their environment, and their end when this process is told to end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import IO

from filelock import FileLock, Timeout

from flows import SOCKS, params
from flows.errors import BusyError
from flows.processes import watch


def dvc_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def outer_environment() -> dict[str, str]:
    """The environment as it was given to this process, proxies of the network included: for git, and for DVC."""
    return {**os.environ, **SOCKS}


def stage_environment() -> dict[str, str]:
    """The stages' environment: this interpreter first on the path, the workspace's own code before any other."""
    environment = {k: v for k, v in outer_environment().items() if k != params.CHECKED}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def own_turn(workspace: Path) -> contextlib.AbstractContextManager[None]:
    """`exclusive` for a stage that no main command runs: under a plain ``dvc repro``, or by hand."""
    return contextlib.nullcontext() if os.environ.get(watch.OWNER) else exclusive(workspace)


@contextlib.contextmanager
def exclusive(workspace: Path) -> Iterator[None]:
    """Hold a workspace for the length of the block: two runs in one would undo each other's work.

    Raises
    ------
    BusyError
        Another run holds it; the message names it.
    """
    lock = workspace / ".dvc" / "tmp" / "arml.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    holder = lock.with_suffix(".pid")
    try:
        with FileLock(lock, timeout=0):
            holder.write_text(f"{os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}", encoding="utf-8")
            yield
    except Timeout:
        known = holder.read_text(encoding="utf-8") if holder.is_file() else "unknown"
        raise BusyError(
            f"another run is at work in {workspace} (process {known}): wait for it, or stop it with Ctrl-C there. "
            "A second study, or a scheduled rerun, has a workspace of its own (--study, flows.schedule)"
        ) from None


class Stopped(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


@contextlib.contextmanager
def signals_as_exit() -> Iterator[None]:
    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_group(command: list[str], workspace: Path, environment: dict[str, str], output: IO[bytes] | None = None) -> int:
    """Run a command in its own process group; if this process is stopped, so is all of the group.

    What it prints goes to `output`, or to where this process prints.
    """
    process = subprocess.Popen(
        command,
        cwd=workspace,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
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
