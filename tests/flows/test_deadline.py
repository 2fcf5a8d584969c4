"""The time that a run is given: how it is said, and that no part begins once it is up."""

from __future__ import annotations

import argparse
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.errors import StageError, TimeUpError
from flows.processes import deadline
from flows.tasks.job import Identity, Job, execute
from flows.tasks.parts import require_all


def test_minutes_and_times_of_day(monkeypatch: pytest.MonkeyPatch) -> None:
    assert deadline.minutes("1.5") == pytest.approx(time.time() + 90, abs=5)
    later, earlier = (datetime.now() + timedelta(minutes=change) for change in (2, -2))
    day = 24 * 3600
    assert 0 < deadline.clock(f"{later:%H:%M}") - time.time() <= 120
    assert day - 300 < deadline.clock(f"{earlier:%H:%M}") - time.time() < day
    assert deadline.clock("2999-01-31T18:30") == datetime(2999, 1, 31, 18, 30).timestamp()
    monkeypatch.delenv(deadline.VARIABLE, raising=False)
    assert deadline.from_environment() == float("inf")
    monkeypatch.setenv(deadline.VARIABLE, "12.5")
    assert deadline.from_environment() == 12.5


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (deadline.minutes, "0"),
        (deadline.minutes, "soon"),
        (deadline.clock, "25:00"),
        (deadline.clock, "2001-01-01T00:00"),
    ],
)
def test_what_is_no_time_is_said(read: Any, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="takes a "):
        read(text)


def test_a_part_does_not_begin_once_the_time_is_up(tmp_path: Path) -> None:
    job = Job(Identity("toy", "verify"), "p", {}, str(tmp_path), 1, until=time.time() - 1)
    begun = []
    with pytest.raises(TimeUpError):
        execute(job, lambda job: begun.append(job))
    assert not begun and not list(tmp_path.iterdir())


def test_a_stage_whose_time_is_up_says_how_many_parts_are_left_and_one_that_failed_says_why() -> None:
    left = {"arml-1-0": TimeUpError("the time is up"), "nca-1-0": TimeUpError("the time is up")}
    require_all("verify toy", 9, {})
    with pytest.raises(TimeUpError, match=r"^verify toy: the time is up, and 2 of 9 parts are left$"):
        require_all("verify toy", 9, left)
    with pytest.raises(StageError, match=r"^verify toy: 1 of 9 parts failed; lmnn-1-0: KeyError: 'x'$"):
        require_all("verify toy", 9, {**left, "lmnn-1-0": KeyError("x")})
