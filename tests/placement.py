"""Devices that tests of torch code run on, and a CPU's look at whether tensors would be where they should."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))
DEVICES = ["cpu:0", CUDA]
_MADE = {
    getattr(torch, name) for name in ("arange", "empty", "eye", "full", "ones", "rand", "randn", "tensor", "zeros")
}


class Placed(TorchFunctionMode):
    """Fails where a tensor is made without a word about its device: it would be on the CPU, whatever is asked for."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in _MADE and not kwargs.get("pin_memory"):
            assert kwargs.get("device") is not None, f"{function.__name__} without a device"
        return function(*args, **kwargs)
