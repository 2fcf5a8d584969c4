"""One task a GPU: a lease that needs no server and holds across threads and processes.

A device is a lock file under PREFECT_HOME/devices; a task that wants one takes the first that is free and waits
while none is. The operating system frees the lock when its holder dies, however it dies. ``cpu`` is not leased:
the number of workers limits it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from flows import _layout


def available_devices(wanted: str | Sequence[str]) -> tuple[str, ...]:
    """The devices `run.devices` means on this machine: ``auto`` is every CUDA device, else the CPU.

    Raises
    ------
    ValueError
        A named CUDA device is not there.
    """
    named = () if wanted == "auto" else tuple(wanted)
    if wanted != "auto" and not any(d.startswith("cuda") for d in named):
        return named
    import torch

    present = tuple(f"cuda:{i}" for i in range(torch.cuda.device_count()))
    if wanted == "auto":
        return present or ("cpu",)
    missing = [d for d in named if d.startswith("cuda") and d not in present]
    if missing:
        raise ValueError(
            f"run.devices names {missing[0]}, but this machine has {', '.join(present) or 'no CUDA device'}: "
            "use auto or [cpu]"
        )
    return named


@contextlib.contextmanager
def lease_device(devices: Sequence[str], folder: Path | None = None, poll: float = 0.05) -> Iterator[str]:
    """Hold one of `devices` for the length of the block; wait until one is free.

    Yields
    ------
    str
        The device's name, as torch understands it.
    """
    if not devices:
        raise ValueError("lease_device needs at least one device, got none")
    if "cpu" in devices:
        yield "cpu"
        return
    folder = folder or _layout.PREFECT_HOME / "devices"
    folder.mkdir(parents=True, exist_ok=True)
    while True:
        for device in devices:
            lock = FileLock(folder / (device.replace(":", "-") + ".lock"), thread_local=False)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue
            try:
                yield device
            finally:
                lock.release()
            return
        time.sleep(poll)
