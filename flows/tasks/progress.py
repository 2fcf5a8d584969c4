"""How far a stage is: a bar with rate and time left in a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from tqdm import tqdm

from flows.processes import sidebyside

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Progress of a long stage over its parts: share, rate of test points, time left.

    Parameters
    ----------
    title : str
    parts, points : int
        How many there are; without points the share is that of the parts.
    even : bool
        Whether a part costs about what another does, by its points. Where it does not, and `weights` are not known, the
        time left is a lower bound, and says so.
    weights : sequence of float, optional
        What each part is expected to cost, in any unit; the time left follows them.
    """

    def __init__(
        self, title: str, parts: int, points: int, even: bool = True, weights: Sequence[float] | None = None
    ) -> None:
        self.title, self.parts, self.points, self.even = title, parts, points, even
        self.weight = None if weights is None else sum(weights)
        self.done_weight = self.fresh_weight = 0.0
        self.done = self.cached = self.done_points = self.fresh_points = 0
        self.begun = time.monotonic()
        self.told = 0.0
        self.bar = None
        if sys.stdout.isatty() and not sidebyside.several():  # bars of two stages would write over each other
            whole, unit = (points, " points") if points else (parts, " parts")
            self.bar = tqdm(total=whole, desc=title, unit=unit, file=sys.stdout, dynamic_ncols=True)

    @property
    def share(self) -> float:
        """Of the points, or else of the parts."""
        return self.done_points / self.points if self.points else self.done / self.parts if self.parts else 1.0

    def add(self, points: int, cached: bool, weight: float = 0.0) -> None:
        """Another part is there, of so many points and such a weight; `cached` if nothing had to be computed."""
        self.done_weight += weight
        self.fresh_weight += 0.0 if cached else weight
        self.done += 1
        self.done_points += points
        self.cached += cached
        self.fresh_points += 0 if cached else points
        if self.bar is not None:
            self._move(points, cached)
            return
        now = time.monotonic()
        if self.done == self.parts or now - self.told >= _SECONDS_BETWEEN_LINES:
            self.told = now
            print(self.line(now - self.begun), flush=True)

    def _move(self, points: int, cached: bool) -> None:
        assert self.bar is not None
        step = points if self.points else 1
        if cached:  # no part of the rate
            self.bar.initial += step
        self.bar.set_postfix_str(f"{self.done}/{self.parts} parts", refresh=False)
        self.bar.update(step)
        if self.done == self.parts:
            self.close()

    def close(self) -> None:
        """Leave the bar as it stands; also where a part failed."""
        if self.bar is not None:
            self.bar.close()

    def line(self, elapsed: float) -> str:
        words = [f"{self.title}: {self.done}/{self.parts} parts", f"{100 * self.share:.0f} %"]
        if self.cached:
            words.append(f"{self.cached} reused")
        if self.fresh_points and elapsed > 0:
            words.append(f"{_rate(self.fresh_points / elapsed)} points/s")
        if self.done == self.parts:
            words.append(f"{_clock(elapsed)} taken")
        elif self.done > self.cached:
            words.append(self._left(elapsed))
        return ", ".join(words)

    def _left(self, elapsed: float) -> str:
        """The time left: by expected costs, where they are known, else as if all parts cost the same."""
        if self.weight is not None and self.fresh_weight > 0:
            return f"{_clock(elapsed / self.fresh_weight * (self.weight - self.done_weight))} left"
        left = _clock(elapsed / (self.done - self.cached) * (self.parts - self.done))
        return f"{left} left" if self.even else f"at least {left} left"


def _rate(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
