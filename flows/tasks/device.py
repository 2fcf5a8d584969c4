"""One task a GPU: a lease that needs no server and holds across threads and processes.

A device is a lock file in a folder of the machine's own, since a GPU belongs to a machine: on a cluster each node
leases its own, and no lock on a shared file system is trusted. All projects of a user on a machine share the folder.
A task that wants a device takes the first that is free and waits while none is. The operating system frees the lock
when its holder dies, however it dies. ``cpu`` is not leased: the number of workers limits it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout


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


def _identity(device: str) -> str:
    """What names a device in every process of this machine: ``cuda:0`` is another GPU where CUDA_VISIBLE_DEVICES is."""
    if not device.startswith("cuda"):
        return device.replace(":", "-")
    import torch

    return f"cuda-{torch.cuda.get_device_properties(device).uuid}"


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
    folder = folder or Path(tempfile.gettempdir(), f"arml-devices-{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = {device: folder / f"{_identity(device)}.lock" for device in devices}
    while True:
        for device, file in files.items():
            lock = FileLock(file, thread_local=False)
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
