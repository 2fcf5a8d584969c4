"""Which process a number of the system means: its pid and when it began, by a clock that nobody sets."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil


def stamp(process: psutil.Process) -> str:
    """A name for the process that no later one with the same pid has."""
    return f"{process.pid}-{_birth(process)}"


def alive(name: str) -> bool:
    """Whether the process of a `stamp` still lives (a zombie does not)."""
    try:
        process = psutil.Process(int(name.partition("-")[0]))
        return stamp(process) == name and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError):
        return False


def _birth(process: psutil.Process) -> str:
    """When it began: ticks since the system started where it says so, since the wall clock may jump meanwhile."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    return f"{process.create_time():.0f}"
