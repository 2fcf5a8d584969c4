"""Prefect's pool of worker processes, forked from what the run holds ready where there is such a thing."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing.context import ForkServerContext
from typing import Self

from prefect.task_runners import ProcessPoolTaskRunner

_ready: ForkServerContext | None = None


def fork_from(context: ForkServerContext) -> None:
    """From now on, have workers of this process come from there."""
    global _ready
    _ready = context


class ProcessRunner(ProcessPoolTaskRunner):
    """`ProcessPoolTaskRunner`, whose workers need not import everything anew (see `flows.processes.warm`)."""

    def __enter__(self) -> Self:
        super().__enter__()
        spawning = self._executor
        if _ready is not None and spawning is not None:  # it has started no process yet
            self._executor = ProcessPoolExecutor(
                max_workers=self._max_workers,
                mp_context=_ready,
                initializer=spawning._initializer,
                initargs=spawning._initargs,
            )
            spawning.shutdown(wait=False)
        return self
