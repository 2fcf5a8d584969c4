"""Faults put into a running study: which process of it is killed, how, and at which moment of which stage."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
from workspace import Workspace

VICTIMS = ("main", "holder", "dvc", "stage", "fork server", "flow", "worker", "server")
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
STAGES = (
    *("download@toy", "preprocess@toy", "train@toy", "verify@toy", "certify@toy", "check@toy", "attack@toy"),
    *("tighten@toy", "train_networks@toy", "certify_networks@toy", "attack_networks@toy", "report"),
)


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
        "holder": lambda: next((p for p in below if "flows._warm" in _words(p)[1:4]), None),
        "dvc": lambda: next((p for p in below if "dvc" in _words(p)[1:4]), None),
        "stage": lambda: next((p for p in below if _words(p)[1:3] == ["-m", "flows"]), None),
        "server": lambda: next((p for p in below if "flows._server" in _words(p)[1:4]), None),
        "fork server": lambda: forks[0] if forks else None,
        "flow": lambda: forks[1] if len(forks) > 1 else None,
        "worker": lambda: forks[-1] if len(forks) > 2 else None,
    }
    return named[victim]()


@dataclass
class Fault:
    """What was done, and to what."""

    aimed: str
    victim: str
    signal: str
    stage: str  # that ran at that moment; "" before the first and between two
    code: int

    def __str__(self) -> str:
        return f"{self.signal} to {self.victim} during {self.stage or 'no stage'}: exit code {self.code}"


class Running:
    """The main command at work; knows which stage runs."""

    def __init__(self, study: Workspace, **changes: str) -> None:
        import sys

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

    def end(self, limit: float) -> int:
        """Wait for its exit code."""
        code = self.process.wait(limit)
        self.reader.join(10)
        return code


def inject(study: Workspace, stage: str, chance: random.Random, own_server: bool) -> Fault | None:
    """Run the study until `stage` runs, kill one of its processes at a random moment; None if it was over by then.

    Raises
    ------
    AssertionError
        The run did not end after it, or left a process behind.
    """
    changes = {"PREFECT_API_URL": ""} if own_server else {}
    running = Running(study, **changes)
    assert wait_for(lambda: running.over() or running.stage == stage, 300), running.lines
    time.sleep(chance.uniform(0, 3))
    parts = [victim for victim in VICTIMS if victim != "server" or own_server]
    chance.shuffle(parts)
    number = chance.choice(SIGNALS)
    victim = None
    for part in parts:
        if running.over():
            break
        victim, at = part_of(running.process.pid, part), running.stage
        if victim is not None:
            victim.send_signal(number)
            break
    code = running.end(180)
    assert wait_for(lambda: not living_in(study.path), 90), living_in(study.path)
    if victim is None:
        assert code == 0, running.lines
        return None
    return Fault(stage, part, number.name, at, code)


def campaign(study: Workspace, stages: list[str], seed: int) -> Iterator[Fault]:
    """A fault for each of the stages named, in order; each run goes on from what the one before has left."""
    chance = random.Random(seed)
    for stage in stages:
        fault = inject(study, stage, chance, own_server=chance.random() < 0.25)
        if fault is not None:
            yield fault


def told(faults: list[Fault]) -> str:
    """How many of which kind."""
    counts = {
        "victims": Counter(fault.victim for fault in faults),
        "signals": Counter(fault.signal for fault in faults),
        "stages": Counter(fault.stage or "between" for fault in faults),
    }
    lines = [f"{name}: " + ", ".join(f"{k} {n}" for k, n in sorted(found.items())) for name, found in counts.items()]
    return f"{len(faults)} faults\n" + "\n".join(lines)
