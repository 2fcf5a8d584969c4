"""What can go wrong in a run. Each of these ends it with one clear line for whoever started it."""

from __future__ import annotations


class FlowError(Exception):
    """Base class: what the main command and the stages print as one line, without a traceback."""


class ParamsError(FlowError, ValueError):
    """params.yaml, a study or a sweep says something that cannot be run."""


class StageError(FlowError, RuntimeError):
    """Some parts of a stage failed; those that ended well are kept and will not be computed again."""


class TimeUpError(FlowError, TimeoutError):
    """The run was given a time, and it is up: what was computed is kept, and the next run goes on from there."""


class BusyError(FlowError, RuntimeError):
    """Another run is at work in this workspace."""


class ServerError(FlowError, RuntimeError):
    """The local Prefect server could not be started."""


class ClusterError(FlowError, ConnectionError):
    """A cluster cannot be reached, or its workers cannot run this project's tasks."""


class CheckoutError(FlowError, RuntimeError):
    """git or DVC cannot do what a rerun needs; the message says what was asked and what it answered."""


class RerunError(FlowError, RuntimeError):
    """A scheduled rerun failed. The message says at which stage and why."""
