"""Where the noise comes from: generators of torch by name, so that nothing depends on batches or workers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

__all__ = ["gaussian_blocks", "generator"]

_BLOCK = 500  # vectors drawn at a time; a change gives other draws


def generator(*key: int) -> torch.Generator:
    """torch's generator (CPU) of a few whole numbers of at least 0, such as seed, point and purpose."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def gaussian_blocks(n: int, width: int, *key: int) -> Iterator[Tensor]:
    """n standard normal vectors of this width, float32, some at a time; the same whenever the key is."""
    draws = generator(*key)
    for first in range(0, n, _BLOCK):
        yield torch.randn((_BLOCK, width), generator=draws, device="cpu")[: n - first]
