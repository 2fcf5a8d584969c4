"""Standard normals for many steps of many rows, each row's from its own generator, drawn ahead."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from arml.attacks.arrays import Arrays
from arml.attacks.forward import Ints

__all__ = ["Normals"]

_BYTES = {False: 16 * 2**20, True: 512 * 2**20}  # of a block: what a cache holds; what a device asks for at a time
_STEPS = 1024
_THREADS = 16


class Normals:
    """Blocks of standard normals, shape (rows, steps, D); how many are drawn at a time does not change them.

    With torch, threads draw the next block while the device works on this one.

    Parameters
    ----------
    generators : one a row
    width : int
        D.
    arrays : Arrays
        Where the blocks go.
    """

    def __init__(self, generators: Sequence[np.random.Generator], width: int, arrays: Arrays) -> None:
        self._generators, self._arrays = generators, arrays
        self._ahead = arrays.device is not None
        row = 8 * width * len(generators)
        self._shape = int(np.clip(_BYTES[self._ahead] // row, 1, _STEPS)), width
        self._pool = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1)) if self._ahead else None
        self._buffer = arrays.buffer(len(generators), *self._shape)
        self._pending: list[Future[None]] = []
        self._drawn: Ints = np.zeros(0, dtype=np.intp)

    def block(self, rows: Ints) -> Any:
        """The next block of these rows, which were all in the one before, if there was one."""
        if not self._pending:
            self._start(rows)
        for drawn in self._pending:
            drawn.result()
        places = np.searchsorted(self._drawn, rows)
        filled = self._buffer[: self._drawn.size]
        block = self._arrays.put(filled if rows.size == self._drawn.size else filled[places])
        self._pending = []
        if self._ahead:
            # on the CPU a tensor is the buffer itself
            if not str(self._arrays.device).startswith("cuda"):
                self._buffer = self._arrays.buffer(*self._buffer.shape)
            self._start(rows)
        return block

    def close(self) -> None:
        """End the threads; what they have drawn ahead is lost."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def _start(self, rows: Ints) -> None:
        """Draw for these rows, in the background where there are threads."""
        self._drawn = rows
        if self._pool is None:
            self._fill(range(rows.size), rows)
            return
        share = -(-rows.size // (4 * _THREADS))
        for begin in range(0, rows.size, share):
            places = range(begin, min(begin + share, rows.size))
            self._pending.append(self._pool.submit(self._fill, places, rows))

    def _fill(self, places: range, rows: Ints) -> None:
        for place in places:
            self._generators[int(rows[place])].standard_normal(out=self._buffer[place])
