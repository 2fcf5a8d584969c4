"""Faults put into a running study: which process of it is killed, how, and at which moment of which stage."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from workspace import Workspace

from flows import stage as stage_module

VICTIMS = ("main", "holder", "dvc", "stage", "fork server", "flow", "worker", "server")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
# as DVC names those of the toy study
OUTSIDE = ("runtime", "inputs")  # that no flow runs in the toy study
STAGES = tuple(s if s == "report" else f"{s}@toy" for s in stage_module.STAGES if not s.startswith(OUTSIDE))


def wait_for(condition: Callable[[], object], limit: float) -> bool:
    """Poll until the condition holds; say whether it did within the limit."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def living_in(folder: Path) -> list[psutil.Process]:
    """Processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def part_of(main: int, victim: str) -> psutil.Process | None:
    """A process of a run by its part in it, if there is one just now; `main` is the command that people start."""
    root = psutil.Process(main)
    if victim == "main":
        return root
    below = root.children(recursive=True)
    forks = [p for p in below if "multiprocessing.forkserver" in " ".join(_words(p)[:4])]
    # the server of forks comes first, then the flow of the stage, then the workers that it asks for
    forks.sort(key=lambda process: (process.create_time(), process.pid))
    named: dict[str, Callable[[], psutil.Process | None]] = {
        "holder": lambda: next((p for p in below if "flows.processes.warm" in _words(p)[1:4]), None),
        "dvc": lambda: next((p for p in below if "dvc" in _words(p)[1:4]), None),
        "stage": lambda: next((p for p in below if _words(p)[1:3] == ["-m", "flows"]), None),
        "server": lambda: next((p for p in below if "flows.processes.server" in _words(p)[1:4]), None),
        "fork server": lambda: forks[0] if forks else None,
        "flow": lambda: forks[1] if len(forks) > 1 else None,
        "worker": lambda: forks[-1] if len(forks) > 2 else None,
    }
    return named[victim]()


@dataclass
class Fault:
    """What was done, and to what."""

    victim: str
    signal: str
    stage: str  # that ran at that moment; "" between two

    def __str__(self) -> str:
        return f"{self.signal} to {self.victim} during {self.stage or 'no stage'}"


class Running:
    """The main command at work; knows which stage runs."""

    def __init__(self, study: Workspace, **changes: str) -> None:
        self.process: subprocess.Popen[str] = study.start(sys.executable, "-m", "flows.repro", **changes)
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def stage(self) -> str:
        for line in reversed(self.lines):
            if line.startswith("Running stage '"):
                return line.split("'")[1]
            if line.startswith("Updating lock file"):
                return ""
        return ""

    def over(self) -> bool:
        return self.process.poll() is not None

    def until(self, wanted: Callable[[str], bool], limit: float) -> bool:
        """Wait for a stage that is wanted, or for the end of the run; say whether it came within the limit."""
        return wait_for(lambda: self.over() or wanted(self.stage), limit)

    def end(self, limit: float) -> int:
        """Wait for its exit code."""
        code = self.process.wait(limit)
        self.reader.join(10)
        return code


def inject(running: Running, victim: str, chance: random.Random) -> Fault | None:
    """Kill a process of the run, `victim` or another one if there is no such just then; None if it was over."""
    number = chance.choice(SIGNALS)
    wait_for(lambda: running.over() or part_of(running.process.pid, victim), 2)  # workers come late in a stage
    for part in (victim, *chance.sample(VICTIMS, len(VICTIMS))):
        stage = running.stage
        process = None if running.over() else part_of(running.process.pid, part)
        if process is not None:
            process.send_signal(number)
            return Fault(part, number.name, stage)
    return None


def campaign(study: Workspace, stages: list[str], victims: Iterator[str], seed: int, home: Path) -> Iterator[Fault]:
    """A fault in each of the stages; a run goes on from what the one before has left, or survives its fault.

    A stage that a late signal has passed over is left out. `home` is PREFECT_HOME of runs with a server of their own.

    Raises
    ------
    AssertionError
        A run did not end after a fault, failed without one, or left a process behind.
    """
    chance, left = random.Random(seed), set(stages)
    while left:
        victim = next(victims)
        running = Running(study, **({"PREFECT_API_URL": "", "PREFECT_HOME": str(home)} if victim == "server" else {}))
        faults = 0
        while not running.over():
            assert running.until(left.__contains__, 300), running.lines
            time.sleep(3 * chance.random() ** 2)  # early moments more often: some stages last a second
            fault = inject(running, victim, chance)
            if fault is None:
                break
            faults += 1
            left.discard(fault.stage)
            yield fault
            assert running.until(fault.stage.__ne__, 180), running.lines
            victim = next(victims)
        code = running.end(180)
        assert wait_for(lambda: not living_in(study.path), 90), living_in(study.path)
        assert code == 0 or faults, running.lines
        if code == 0:
            return


def told(faults: list[Fault]) -> str:
    """How many of which kind."""
    counts = {
        "victims": Counter(fault.victim for fault in faults),
        "signals": Counter(fault.signal for fault in faults),
        "stages": Counter(fault.stage or "between" for fault in faults),
    }
    lines = [f"{name}: " + ", ".join(f"{k} {n}" for k, n in sorted(found.items())) for name, found in counts.items()]
    return f"{len(faults)} faults\n" + "\n".join(lines)
