"""Reruns of the study by the clock: ``python -m flows.schedule`` serves them until it is stopped.

When, of which revision and whether to push is said in params.yaml under ``schedule``. It starts a Prefect server on
loopback, or takes the one at PREFECT_API_URL. ``prefect.yaml`` deploys the same flow to a work pool instead.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from flows import layout, params
from flows.errors import CheckoutError, ParamsError, RerunError, ServerError
from flows.processes import server

DEPLOYMENT = "scheduled"


def deployment_settings() -> dict[str, str]:
    """A step of ``prefect deploy`` (prefect.yaml): what only params.yaml and the machine know."""
    schedule = params.load_params()["schedule"]
    return {"cron": schedule["cron"], "timezone": schedule["timezone"], "directory": str(layout.ROOT)}


def main(argv: list[str] | None = None) -> int:
    """Serve reruns, or run one; 0 if stopped in order or the one ended well, 1 if it failed, 2 for bad params."""
    parser = argparse.ArgumentParser(prog="python -m flows.schedule", description=__doc__)
    parser.add_argument("--now", action="store_true", help="one rerun at once, and no schedule")
    parser.add_argument("--every", type=float, metavar="SECONDS", help="this often, instead of schedule.cron")
    options = parser.parse_args(argv)
    if options.every is not None and options.every <= 0:
        parser.error(f"--every takes a positive number of seconds, got {options.every:g}")
    try:
        schedule = params.load_params()["schedule"]
        os.chdir(layout.ROOT)
        url = os.environ["PREFECT_API_URL"] = server.ensure_server(lambda line: print(f"[arml] {line}", flush=True))
        return _once() if options.now else _serve(schedule, options.every, url)
    except (ParamsError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        server.release()


def _once() -> int:
    from flows.rerun import rerun

    try:
        rerun()
    except (RerunError, CheckoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(schedule: dict[str, Any], every: float | None, url: str) -> int:
    import warnings

    from prefect.types.entrypoint import EntrypointType

    # Prefect's own, when it is told to end
    warnings.filterwarnings("ignore", message="coroutine 'Runner.astop' was never awaited", category=RuntimeWarning)
    from flows.rerun import rerun

    when = f"every {every:g} s" if every else f"at {schedule['cron']!r} {schedule['timezone']}"
    print(f"[arml] reruns of {schedule['revision']} {when}; pages at {url.removesuffix('/api')}", flush=True)
    rerun.serve(
        name=DEPLOYMENT,
        **_clock(schedule, every),
        limit=1,
        pause_on_shutdown=False,
        print_starting_message=False,
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    return 0


def _clock(schedule: dict[str, Any], every: float | None) -> dict[str, Any]:
    from prefect.client.schemas.schedules import CronSchedule

    if every:
        return {"interval": every}
    return {"schedule": CronSchedule(cron=schedule["cron"], timezone=schedule["timezone"])}


if __name__ == "__main__":
    sys.exit(main())
