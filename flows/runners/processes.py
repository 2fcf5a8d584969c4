"""Prefect's pool of worker processes, forked from what the run holds ready where there is such a thing."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from typing import Any, Self

from prefect.task_runners import ProcessPoolTaskRunner

from flows.processes import forkserver, warm


class ProcessRunner(ProcessPoolTaskRunner):
    """`ProcessPoolTaskRunner`, whose workers need not import everything anew (see `flows.processes.warm`)."""

    def __enter__(self) -> Self:
        super().__enter__()
        address = warm.address()
        spawning: Any = self._executor
        if address is not None and _replaceable(spawning):  # it has started no process yet
            self._executor = ProcessPoolExecutor(
                max_workers=self._max_workers,
                mp_context=forkserver.attach(address),
                initializer=spawning._initializer,
                initargs=spawning._initargs,
            )
            spawning.shutdown(wait=False)
        return self


def _replaceable(pool: Any) -> bool:
    """Whether the pool tells what its workers begin with, in private names; else Prefect's own is kept."""
    return all(hasattr(pool, name) for name in ("_initializer", "_initargs"))
