"""Prefect's pool of worker processes, forked from what the run holds ready where there is such a thing."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import Self

from prefect.task_runners import ProcessPoolTaskRunner

from flows import _warm


class ProcessRunner(ProcessPoolTaskRunner):
    """`ProcessPoolTaskRunner`, whose workers need not import everything anew (see `flows._warm`)."""

    def __enter__(self) -> Self:
        super().__enter__()
        context, spawning = _warm.worker_context(), self._executor
        if context is not None and spawning is not None:  # it has started no process yet
            self._executor = ProcessPoolExecutor(
                max_workers=self._max_workers,
                mp_context=context,
                initializer=spawning._initializer,
                initargs=spawning._initargs,
            )
            spawning.shutdown(wait=False)
        return self
