"""Where a run's time went: the stages' own work, and what orchestrating it cost.

Both are wall time, also where stages run side by side: own work is the time in which at least one part of any stage was
at work, orchestration the time in which none was. A stage's figure is the time in which one of its own parts was; with
stages side by side these add up to more than the whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def busy(intervals: Iterable[tuple[float, float]]) -> float:
    """Seconds covered by at least one of the intervals (tasks and stages side by side count once)."""
    total, reached = 0.0, float("-inf")
    for begun, ended in sorted(intervals):
        if ended > reached:
            total += ended - max(begun, reached)
            reached = ended
    return total


def summary(log: Path, wall: float, since: float = 0.0) -> str:
    """One line a stage and the total, from the run's log of task intervals.

    What ended before `since` was computed by a run that was stopped, and is counted nowhere.
    """
    intervals: dict[str, list[tuple[float, float]]] = {}
    if log.is_file():
        for line in log.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["ended"] < since:
                continue
            intervals.setdefault(row["stage"], []).append((row["begun"], row["ended"]))
    work = busy(pair for pairs in intervals.values() for pair in pairs)
    stages = ", ".join(f"{stage} {busy(pairs):.1f}" for stage, pairs in intervals.items())
    return (
        f"done in {wall:.1f} s: stages' own work {work:.1f} s ({stages or 'none'}), "
        f"orchestration {wall - work:.1f} s (DVC, Prefect, start-up, server included)"
    )
