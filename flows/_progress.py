"""How far a stage is, in plain lines."""

from __future__ import annotations

import time


class Progress:
    """Plain lines about a long stage: parts, share, rate, time left; at most one in two seconds."""

    def __init__(self, title: str, parts: int, points: int) -> None:
        self.title, self.parts, self.points = title, parts, points
        self.done = self.cached = self.done_points = self.fresh_points = 0
        self.begun = time.monotonic()
        self.told = 0.0

    def add(self, points: int, cached: bool) -> None:
        self.done += 1
        self.done_points += points
        self.cached += cached
        self.fresh_points += 0 if cached else points
        now = time.monotonic()
        if self.done == self.parts or now - self.told >= 2:
            self.told = now
            print(self.line(now - self.begun), flush=True)

    def line(self, elapsed: float) -> str:
        share = self.done_points / self.points if self.points else self.done / self.parts
        words = [f"{self.title}: {self.done}/{self.parts} parts", f"{100 * share:.0f} %"]
        if self.cached:
            words.append(f"{self.cached} reused")
        if self.fresh_points and elapsed > 0:
            words.append(f"{self.fresh_points / elapsed:.0f} points/s")
        if self.done == self.parts:
            words.append(f"{_clock(elapsed)} taken")
        elif self.done > self.cached:
            fresh = self.done - self.cached
            words.append(f"{_clock(elapsed / fresh * (self.parts - self.done))} left")
        return ", ".join(words)


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
