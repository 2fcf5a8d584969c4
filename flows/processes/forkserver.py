"""Python's own fork server, started by one process and used by others.

multiprocessing starts a fork server for the process that asks for one, and keeps to itself where it listens: joining
one that runs elsewhere needs four of its private names. They are used here alone, on versions of Python on which that
was tried; on any other (or where a name is missing) `usable` is False, and whoever asks goes the plain way, which is
slower by some seconds a stage and gives the same bytes. tests/flows/test_private_interfaces.py holds the contract.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import DupFd
from typing import Any

TRIED = ((3, 11), (3, 12))  # versions of Python
_LONGEST = 70  # letters of a folder for sockets, whose names have at most 107, of which Python takes some 30
_PRIVATE = ("_forkserver_address", "_forkserver_alive_fd", "ensure_running")  # what is used of the server's handle


def usable() -> bool:
    """Whether a fork server can be shared here. Only on Linux are processes forked safely: macOS's libraries mind."""
    handle = getattr(forkserver, "_forkserver", None)
    known = all(hasattr(handle, name) for name in _PRIVATE) and hasattr(atexit, "_run_exitfuncs")
    return sys.platform == "linux" and sys.version_info[:2] in TRIED and known


def start(preload: Sequence[str]) -> str:
    """Start a server that has imported these modules; where it listens. It ends with this process."""
    multiprocessing.set_forkserver_preload(list(preload))
    handle: Any = forkserver._forkserver
    usual = tempfile.tempdir
    if len(tempfile.gettempdir()) > _LONGEST:
        tempfile.tempdir = "/tmp"  # for the server's socket alone
    try:
        handle.ensure_running()
    finally:
        tempfile.tempdir = usual
    return str(handle._forkserver_address)


def attach(address: str) -> ForkServerContext:
    """multiprocessing's context of processes by fork server, with the one that listens at `address`."""
    handle: Any = forkserver._forkserver
    handle.ensure_running = lambda: None  # it would start its own: that one runs is known
    handle._forkserver_address = address
    if handle._forkserver_alive_fd is None:  # its life is that of the process that started it, not of who uses it
        handle._forkserver_alive_fd = os.open(os.devnull, os.O_RDONLY)
    return multiprocessing.get_context("forkserver")


def call(address: str, target: Callable[..., None], *arguments: Any) -> int | None:
    """Have a process forked there call `target`, with this process's streams; its exit code, None if there is none.

    `target` gets the arguments, and has to be importable by name.
    """
    streams = [_Stream(number) for number in range(3)]
    process = attach(address).Process(target=_called, args=(target, arguments, streams))
    try:
        process.start()
    except (OSError, EOFError):  # the server has ended
        return None
    process.join()
    code = int(process.exitcode or 0)
    return code if code >= 0 else 128 - code


def _called(target: Callable[..., None], arguments: Sequence[Any], _streams: list[None]) -> None:
    """In the forked process, whose streams have arrived with the arguments."""
    try:
        target(*arguments)
    finally:
        atexit._run_exitfuncs()  # as an interpreter of its own would; a forked one skips them


class _Stream:
    """One of this process's streams, which goes along to the process that is forked."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple[Any, ...]:
        return _Stream._arrive, (self.number, DupFd(self.number))

    @staticmethod
    def _arrive(number: int, sent: Any) -> None:
        handle = sent.detach()
        os.dup2(handle, number)
        os.close(handle)
