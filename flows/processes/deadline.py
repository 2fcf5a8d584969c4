"""The time that a run was given (``--for``, ``--until``), on its way to stages and their tasks."""

from __future__ import annotations

import argparse
import math
import os
import time
from datetime import datetime, timedelta

VARIABLE = "ARML_RUN_UNTIL"  # in the environment of a run: seconds since 1970
TIME_UP = 75  # exit code of a run that ended because its time was up: a temporary failure, as sysexits.h counts


def from_environment() -> float:
    """When the run's time is up; infinity where it was given none."""
    return float(os.environ.get(VARIABLE) or math.inf)


def minutes(text: str) -> float:
    """``--for``: so many minutes from now."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"takes a positive number of minutes, got {text!r}")
    return time.time() + 60 * value


def clock(text: str) -> float:
    """``--until``: a time of day such as 18:30, today or, where that has passed, tomorrow; or 2027-01-31T18:30."""
    now = datetime.now()
    try:
        moment = datetime.combine(now.date(), datetime.strptime(text, "%H:%M").time())
        moment += timedelta(days=int(moment <= now))
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"takes a time such as 18:30 or 2027-01-31T18:30, got {text!r}") from error
        if moment.timestamp() <= time.time():
            raise argparse.ArgumentTypeError(f"takes a time to come, got {text!r}") from None
    return moment.timestamp()
