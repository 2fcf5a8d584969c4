"""No orphans: a process that serves a run ends when those above it are gone, however they went.

Processes of ours end themselves (`die_with`). ``python -m flows.processes.watch PID FOLDER`` is a process that sees to
those of others: it ends all that PID has started and left behind, and removes the folder they shared.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import psutil

OWNER = "ARML_RUN_OWNER"  # in the environment of a run: pid of its main command
_started: set[int] = set()


def die_with(*pids: int, poll: float = 1.0, grace: float = 10.0) -> None:
    """End this process (SIGTERM, then for good) as soon as one of `pids` no longer lives."""
    watched = []
    for pid in pids:
        if pid in _started:
            continue
        _started.add(pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            watched.append(psutil.Process(pid))
            continue
        end(grace)
    if watched:
        thread = threading.Thread(target=_watch, args=(watched, poll, grace), name="watch", daemon=True)
        thread.start()


def die_with_owner() -> None:
    """`die_with` the command that this process works for, if it works for one."""
    owner = os.environ.get(OWNER, "")
    if owner.isdigit():
        die_with(int(owner))


@contextlib.contextmanager
def needing(pid: int | None, line: str, poll: float = 1.0) -> Iterator[None]:
    """While inside, `give_up` with `line` as soon as the process `pid` no longer lives; None is none to look at."""
    left = threading.Event()

    def look() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            while _lives(process):
                if left.wait(poll):
                    return
        give_up(line)

    if pid is not None:
        threading.Thread(target=look, name="needed", daemon=True).start()
    try:
        yield
    finally:
        left.set()


def _lives(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def give_up(line: str) -> NoReturn:
    """End this process at once with an error of one line: nothing that it still wants to do can be done."""
    print(f"error: {line}", file=sys.stderr, flush=True)
    os._exit(1)


def _watch(processes: Sequence[psutil.Process], poll: float, grace: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        while all(_lives(p) for p in processes):
            time.sleep(poll)
    end(grace)


def end(grace: float = 10.0) -> None:
    """End this process: SIGTERM, and for good if it does not follow within `grace` seconds."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.kill(os.getpid(), signal.SIGKILL)


# --- of others -----------------------------------------------------------------------------------


def leave_nothing(folder: Path) -> None:
    """Start the process that, when this one is gone, ends what this one started and removes `folder`."""
    subprocess.Popen(
        [sys.executable, "-m", "flows.processes.watch", str(os.getpid()), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is not for it
    )


def sweep_up(pid: int, folder: Path, poll: float = 0.5, grace: float = 5.0) -> None:
    """Follow a process and all below it until it is gone; then end those that still live after `grace` seconds."""
    seen: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while _lives(process):
            seen |= {child.pid: child for child in process.children(recursive=True) if child.pid != os.getpid()}
            time.sleep(poll)
    _, alive = psutil.wait_procs(seen.values(), timeout=grace)
    for left in alive:
        with contextlib.suppress(psutil.Error):
            left.kill()  # a process of the same number that came later is not taken for it
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sweep_up(int(sys.argv[1]), Path(sys.argv[2]))
