"""The tensors of a reference set on a torch device, made once for each set and device.

Everything is float64. What :mod:`arml.knn.rounding` bounds holds for any order of summation, so what follows from
screened distances here holds as it does on the CPU. torch is imported at first use: prediction does without.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from arml.knn.reference import ReferenceSet

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Resident", "lengths", "resident"]

_making = threading.Lock()
_made: WeakKeyDictionary[ReferenceSet, dict[str, Resident]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Resident:
    """What :class:`arml.knn.reference.ReferenceSet` holds under the same names, on one device.

    Attributes
    ----------
    u : Tensor of shape (N, r)
    u_sq, sizes, codes : Tensors of shape (N,)
    caps : Tensor of shape (N,) or (1,)
    center : Tensor of shape (D,)
    components : Tensor of shape (r, D) or None
        G; None under the identity.
    magnitudes : Tensor of shape (r, D) or None
        |G| / s, see :class:`arml.knn.rounding.Rounding`.
    """

    u: Tensor
    u_sq: Tensor
    sizes: Tensor
    codes: Tensor
    caps: Tensor
    center: Tensor
    components: Tensor | None
    magnitudes: Tensor | None

    @property
    def device(self) -> Any:
        """The torch device."""
        return self.u.device

    def images(self, rows: Tensor) -> Tensor:
        """G times each row, shape (m, D) to (m, r)."""
        return rows if self.components is None else rows @ self.components.T

    def located(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Images under G of points X (m, D) less the center, shape (m, r), and their sizes (m,)."""
        centered = X - self.center
        images = self.images(centered)
        sizes = lengths(images)
        if self.magnitudes is not None:
            sizes = sizes.maximum(lengths(centered.abs() @ self.magnitudes.T))
        return images, sizes


def lengths(rows: Tensor) -> Tensor:
    """ℓ2 lengths of rows, shape (m, D) → (m,), also where their squares would not be numbers."""
    largest = rows.abs().amax(dim=1)
    safe = largest.where(largest > 0.0, 1.0)
    return (rows / safe[:, None]).square_().sum(dim=1).sqrt_() * safe


def resident(reference: ReferenceSet, device: str) -> Resident:
    """The tensors of ``reference`` on ``device``: made at the first call, kept as long as the reference set is.

    Any thread may ask. Memory: 8 N (r + 4) bytes on the device; on the CPU the arrays themselves are used.
    """
    import torch

    where = torch.device(device)
    if where.type == "cuda" and where.index is None:
        where = torch.device("cuda", torch.cuda.current_device())
    with _making:
        devices = _made.setdefault(reference, {})
        if str(where) not in devices:
            devices[str(where)] = _resident(reference, where)
        return devices[str(where)]


def _resident(reference: ReferenceSet, device: Any) -> Resident:
    import torch

    def put(array: Any) -> Tensor:
        return torch.from_numpy(np.require(array, requirements=["C", "W"])).to(device)

    def put_some(array: Any) -> Tensor | None:
        return None if array is None else put(array)

    return Resident(
        u=put(reference.u),
        u_sq=put(reference.u_sq),
        sizes=put(reference.sizes),
        codes=put(reference.codes),
        caps=put(reference.caps),
        center=put(reference.center),
        components=put_some(None if reference.metric.is_identity else reference.metric.components),
        magnitudes=put_some(reference.rounding.magnitudes),
    )
