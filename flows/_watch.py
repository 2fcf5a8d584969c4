"""No orphans: a process that serves a run ends when those above it are gone, however they went."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Sequence

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
        _end(grace)
    if watched:
        thread = threading.Thread(target=_watch, args=(watched, poll, grace), name="watch", daemon=True)
        thread.start()


def die_with_owner() -> None:
    """`die_with` the command that this process works for, if it works for one."""
    owner = os.environ.get(OWNER, "")
    if owner.isdigit():
        die_with(int(owner))


def _watch(processes: Sequence[psutil.Process], poll: float, grace: float) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        while all(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes):
            time.sleep(poll)
    _end(grace)


def _end(grace: float) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os.kill(os.getpid(), signal.SIGKILL)
