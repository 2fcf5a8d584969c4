"""Peak memory of one computation in a process of its own: ``python -m tests.benchmarks.memory FOLDER TASK WHO``."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.benchmarks.cases import Arrays, solve

NOTHING = "nothing"


def save(arrays: Arrays, folder: Path) -> None:
    """Write the arrays for the processes to load; loading a data set itself takes more memory than its arrays."""
    for name, array in arrays._asdict().items():
        np.save(folder / f"{name}.npy", array)


def peak_mib(folder: Path, task: str, who: str) -> float:
    """MiB of a new process that loads the arrays and solves; ``who`` "nothing" only loads."""
    command = [sys.executable, "-m", "tests.benchmarks.memory", str(folder), task, who]
    root = Path(__file__).resolve().parents[2]
    out = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
    return float(out.split()[-1])


def _peak_kib() -> float:
    """This process's peak resident set. Linux keeps ru_maxrss over exec: a larger parent's would be read."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else float(peak)


def _main(folder: str, task: str, who: str) -> None:
    arrays = Arrays(*(np.load(Path(folder) / f"{name}.npy") for name in Arrays._fields))
    if who != NOTHING:
        solve(task, who, arrays)
    print(_peak_kib() / 1024)


if __name__ == "__main__":
    _main(*sys.argv[1:])
