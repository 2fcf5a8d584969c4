"""What a fit costs and how it is kept apart from its neighbours: timing, memory, threads, warnings.

Learners run side by side as threads of one process, and each of these touches state of the whole process; the
two context managers below therefore count their users, so that the first one in sets the state and the last
one out restores it.
"""

from __future__ import annotations

import importlib
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from threadpoolctl import threadpool_limits

from arml.errors import DataError

__all__ = ["Meter", "available_memory", "check_memory", "gibibytes", "recorded_warnings", "single_threaded"]

_SAMPLING_INTERVAL = 0.02
_PROCESS_STATUS = Path("/proc/self/status")


def resident_mib() -> float:
    """Resident memory of this process now, in MiB (its lifetime peak where /proc is missing)."""
    try:
        text = _PROCESS_STATUS.read_text(encoding="ascii")
        return float(text.split("VmRSS:")[1].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        import resource

        unit = 1024 * 1024 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def available_memory() -> float:
    """Bytes that this process may still take: what the machine says is free, and no more than its group is allowed."""
    found = []
    with suppress(OSError, IndexError, ValueError):
        told = Path("/proc/meminfo").read_text(encoding="ascii")
        found.append(1024 * float(told.split("MemAvailable:")[1].split()[0]))
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # "max" where there is no limit
        limit = float((group / "memory.max").read_text(encoding="ascii"))
        found.append(limit - float((group / "memory.current").read_text(encoding="ascii")))
    return max(min(found), 0.0) if found else float("inf")


def check_memory(needed: float, what: str, advice: str) -> None:
    """Refuse what would not fit this machine's memory, before it is tried.

    Parameters
    ----------
    needed : float
        Bytes.
    what, advice : str
        What needs them, and what to do instead, for the message.

    Raises
    ------
    DataError
    """
    free = available_memory()
    if needed > free:
        raise DataError(f"{what} would take {gibibytes(needed)} of memory, {gibibytes(free)} are free: {advice}")


def gibibytes(size: float) -> str:
    """A number of bytes for people."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"


class Meter:
    """Measure a block: wall seconds, CPU seconds and peak resident memory.

    Attributes
    ----------
    seconds : float
        Wall-clock time.
    cpu_seconds : float
        CPU time of the calling thread. Helper threads of BLAS are not in it: run with one BLAS thread where
        the number matters.
    peak_memory_mib : float
        Highest resident memory of the whole process, sampled every 20 ms. It includes what other threads of
        the process held meanwhile.
    """

    def __init__(self) -> None:
        self.seconds = self.cpu_seconds = self.peak_memory_mib = 0.0
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, name="arml-memory", daemon=True)

    def _sample(self) -> None:
        while not self._done.wait(_SAMPLING_INTERVAL):
            self.peak_memory_mib = max(self.peak_memory_mib, resident_mib())

    def __enter__(self) -> Meter:
        self.peak_memory_mib = resident_mib()
        self._sampler.start()
        self._wall, self._cpu = time.perf_counter(), time.thread_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds, self.cpu_seconds = time.perf_counter() - self._wall, time.thread_time() - self._cpu
        self._done.set()
        self._sampler.join()
        self.peak_memory_mib = max(self.peak_memory_mib, resident_mib())


class _Shared:
    """State of the process that several threads hold at once: how many do, and how to undo it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.undo: list[Any] = []


_threads = _Shared()


@contextmanager
def single_threaded() -> Iterator[None]:
    """Run the block with one BLAS, OpenMP and torch thread, so that sums are taken in one fixed order.

    The same input then gives the same bytes whatever OMP_NUM_THREADS or ``torch.set_num_threads`` say. The
    number of threads is restored when the last of the blocks that run at the same time ends.
    """
    # import_module waits for a thread that is importing torch just now; what is in sys.modules may be half of it
    torch = importlib.import_module("torch") if "torch" in sys.modules else None
    with _threads.lock:
        if _threads.users == 0:
            _threads.undo = [(torch.set_num_threads, torch.get_num_threads())] if torch else []
            limits = threadpool_limits(limits=1)
            _threads.undo.append((lambda _: limits.restore_original_limits(), None))
        _threads.users += 1
        if torch:  # the OpenMP setting belongs to the calling thread: every user sets its own
            torch.set_num_threads(1)
    try:
        yield
    finally:
        with _threads.lock:
            _threads.users -= 1
            if _threads.users == 0:
                for restore, value in reversed(_threads.undo):
                    restore(value)


_warnings = _Shared()
_logs: dict[int, list[str]] = {}


@contextmanager
def recorded_warnings() -> Iterator[list[str]]:
    """Collect the warnings that this thread raises in the block, each once, as "Category: message".

    ``warnings.catch_warnings`` alone is not safe between threads: two overlapping uses leave the filters of
    the first for good. Warnings of other threads go where they went before, by the filters that held before.
    """
    ident = threading.get_ident()
    with _warnings.lock:
        if _warnings.users == 0:
            catcher, filters = warnings.catch_warnings(), list(warnings.filters)
            catcher.__enter__()
            _warnings.undo = [catcher]
            warnings.simplefilter("always")
            warnings.showwarning = _dispatcher(warnings.showwarning, filters)
        _warnings.users += 1
        outer, _logs[ident] = _logs.get(ident), []
    try:
        yield _logs[ident]
    finally:
        with _warnings.lock:
            if outer is None:
                del _logs[ident]
            else:
                _logs[ident] = outer
            _warnings.users -= 1
            if _warnings.users == 0:
                _warnings.undo.pop().__exit__(None, None, None)


def _dispatcher(before: Any, filters: list[Any]) -> Any:
    def show(message: Warning, category: type[Warning], filename: str, lineno: int, *rest: Any, **named: Any) -> None:
        log = _logs.get(threading.get_ident())
        if log is not None:
            if (entry := f"{category.__name__}: {message}") not in log:
                log.append(entry)
            return
        action = _action(filters, message, category, Path(filename).stem, lineno)
        if action == "error":
            raise message
        if action != "ignore":
            before(message, category, filename, lineno, *rest, **named)

    return show


def _action(filters: list[Any], message: Warning, category: type[Warning], module: str, lineno: int) -> str:
    """What the first of the filters that fits says; a module goes by its file's name, which is all that is known."""
    for action, text, kind, where, line in filters:
        if issubclass(category, kind) and line in (0, lineno) and _fits(text, str(message)) and _fits(where, module):
            return str(action)
    return "default"


def _fits(pattern: Any, value: str) -> bool:
    """Whether a filter's pattern (None, a regular expression, or of Python's own filters a text) is met."""
    return pattern is None or bool(value == pattern if isinstance(pattern, str) else pattern.match(value))
