"""Where an attack's arithmetic runs: NumPy, or torch on a device, by the few names that both have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.validation import check_device

__all__ = ["Arrays", "arrays_on"]


@dataclass(frozen=True)
class Arrays:
    """NumPy's arrays, or torch's tensors on one device.

    Attributes
    ----------
    xp : module
        numpy or torch; only what has one meaning in both is asked of it.
    device : str or None
        torch's; None is NumPy.
    """

    xp: Any
    device: str | None

    def put(self, array: NDArray[Any]) -> Any:
        """The array here: itself, or a tensor that shares no memory with it, except on the CPU."""
        return array if self.device is None else self.xp.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def take(self, array: Any) -> NDArray[Any]:
        """The array as NumPy's."""
        return np.asarray(array if self.device is None else array.cpu().numpy())

    def copy(self, array: Any) -> Any:
        """A copy here."""
        return array.copy() if self.device is None else array.clone()

    def flags(self, n: int) -> Any:
        """n times True."""
        return self.put(np.ones(n, dtype=bool))

    def buffer(self, *shape: int) -> NDArray[np.float64]:
        """A NumPy array to fill and to put here, in memory that a GPU reads by itself where there is one."""
        if self.device is None or not self.device.startswith("cuda"):
            return np.empty(shape)
        memory: NDArray[np.float64] = self.xp.empty(shape, dtype=self.xp.float64, pin_memory=True).numpy()
        return memory


def arrays_on(device: str) -> Arrays:
    """The arithmetic of ``device``: "cpu" is NumPy's, all others torch's ("cpu:0" is torch on the CPU).

    Raises
    ------
    ValueError
        torch knows no such device, or this machine does not have it.
    """
    if device == "cpu":
        return Arrays(np, None)
    check_device(device)
    import torch

    return Arrays(torch, device)
