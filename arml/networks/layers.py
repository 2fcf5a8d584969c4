"""Feed-forward networks as what certificates need: affine layers with ReLU between them, on flat vectors."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["ARCHITECTURES", "Convolution", "Dense", "Layer", "Network", "build_network", "plain_sums"]

ARCHITECTURES = ("mlp", "cnn")
_KERNEL, _STRIDE, _PADDING = 4, 2, 1


@dataclass(frozen=True, eq=False)
class Dense:
    """x ↦ Wx + b, W of shape (out, in)."""

    weight: Tensor
    bias: Tensor

    @property
    def fan_in(self) -> int:
        """How many products a sum has."""
        return int(self.weight.shape[1])

    @property
    def n_outputs(self) -> int:
        """Length of an output vector."""
        return int(self.weight.shape[0])

    def __call__(self, x: Tensor) -> Tensor:
        """Map rows, shape (n, in) to (n, out)."""
        return F.linear(x, self.weight, self.bias)

    def transposed(self, a: Tensor) -> Tensor:
        """A ↦ AW: rows that act on the output as rows that act on the input; shape (n, out) to (n, in)."""
        return a @ self.weight

    def constant(self, a: Tensor) -> Tensor:
        """Ab, shape (n,)."""
        return a @ self.bias

    def absolute(self) -> Dense:
        """The layer with |W| and |b|."""
        return Dense(self.weight.abs(), self.bias.abs())

    def without_bias(self) -> Dense:
        """The layer with b = 0."""
        return Dense(self.weight, torch.zeros_like(self.bias))


@dataclass(frozen=True, eq=False)
class Convolution:
    """A two-dimensional convolution with bias, W of shape (out, in, k, k), between flattened (channel, row, column)."""

    weight: Tensor
    bias: Tensor
    shape: tuple[int, int, int]

    @property
    def fan_in(self) -> int:
        """How many products a sum has."""
        return int(self.weight[0].numel())

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(channels, rows, columns) of an output."""
        rows, columns = ((side + 2 * _PADDING - _KERNEL) // _STRIDE + 1 for side in self.shape[1:])
        return int(self.weight.shape[0]), rows, columns

    @property
    def n_outputs(self) -> int:
        """Length of an output vector."""
        return math.prod(self.output_shape)

    def __call__(self, x: Tensor) -> Tensor:
        """Map rows, shape (n, in) to (n, out)."""
        return F.conv2d(x.view(-1, *self.shape), self.weight, self.bias, _STRIDE, _PADDING).flatten(1)

    def transposed(self, a: Tensor) -> Tensor:
        """A ↦ AW, as :meth:`Dense.transposed`."""
        lost = [(side + 2 * _PADDING - _KERNEL) % _STRIDE for side in self.shape[1:]]
        images = a.reshape(-1, *self.output_shape)
        return F.conv_transpose2d(images, self.weight, None, _STRIDE, _PADDING, lost).flatten(1)

    def constant(self, a: Tensor) -> Tensor:
        """Ab, shape (n,)."""
        return a.reshape(-1, *self.output_shape).sum(dim=(2, 3)) @ self.bias

    def filter_norms(self) -> Tensor:
        """ℓ2 norm of the filter behind each output, shape (out,)."""
        _, rows, columns = self.output_shape
        return self.weight.flatten(1).norm(dim=1).repeat_interleave(rows * columns)

    def windows(self, x: Tensor) -> Tensor:
        """What each filter is laid upon, shape (n, places, inputs of a filter); 0 beyond the borders."""
        return F.unfold(x.view(-1, *self.shape), _KERNEL, padding=_PADDING, stride=_STRIDE).mT

    def windows_through(self, second: Convolution, x: Tensor) -> Tensor:
        """What each filter of the next convolution sees of this one's input, shape (n, places, pixels of a window)."""
        size, step, margin = self._through()
        rows, columns = second.output_shape[1:]
        low, high = margin, margin + size  # wide enough; what is too much is cut off
        images = F.pad(x.view(-1, *self.shape), (low, high, low, high))
        found = F.unfold(images, size, stride=step)
        across = (images.shape[3] - size) // step + 1
        places = torch.arange(rows, device=x.device)[:, None] * across + torch.arange(columns, device=x.device)
        return found[:, :, places.flatten()].mT

    def from_window(self, second: Convolution) -> Tensor:
        """This convolution's W where only one filter of the next looks, shape (inputs of the filter, pixels)."""
        inputs = second.weight[0].numel()
        unit = torch.eye(inputs, dtype=self.weight.dtype, device=self.weight.device).view(-1, *second.weight.shape[1:])
        return F.conv_transpose2d(unit, self.weight, None, _STRIDE).flatten(1)

    def _through(self) -> tuple[int, int, int]:
        """Side of a window behind two convolutions, the step from one to the next, and the margin."""
        return _KERNEL + _STRIDE * (_KERNEL - 1), _STRIDE * _STRIDE, _PADDING + _STRIDE * _PADDING

    def absolute(self) -> Convolution:
        """The layer with |W| and |b|."""
        return replace(self, weight=self.weight.abs(), bias=self.bias.abs())

    def without_bias(self) -> Convolution:
        """The layer with b = 0."""
        return replace(self, bias=torch.zeros_like(self.bias))


Layer = Dense | Convolution


@dataclass(frozen=True, eq=False)
class Network:
    """Layers with ReLU between them; the last one gives a score (logit) a class."""

    layers: tuple[Layer, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Scores of rows, shape (n, D) to (n, C)."""
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)

    def tensors(self) -> list[Tensor]:
        """Weight and bias of each layer in turn."""
        return [tensor for layer in self.layers for tensor in (layer.weight, layer.bias)]

    def with_tensors(self, tensors: Sequence[Tensor]) -> Network:
        """The same network with other weights and biases, in the order of :meth:`tensors`."""
        pairs = zip(self.layers, tensors[::2], tensors[1::2], strict=True)
        return Network(tuple(replace(layer, weight=weight, bias=bias) for layer, weight, bias in pairs))

    def to(self, device: str, dtype: torch.dtype) -> Network:
        """The same network elsewhere, or in another precision."""
        return self.with_tensors([tensor.to(device, dtype) for tensor in self.tensors()])

    def arrays(self) -> list[NDArray[Any]]:
        """Weights and biases as NumPy arrays, in the order of :meth:`tensors`."""
        return [tensor.detach().cpu().numpy() for tensor in self.tensors()]


class _PlainSums:
    """Who wants cuDNN off: a setting of the process, so the first to come turns it off and the last turns it back."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = threading.Lock(), 0, True

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """While it lasts, convolutions on a GPU are sums of products of all digits, in any order.

        cuDNN rounds float32 to TF32's 10 bits by default, and may transform before it multiplies.
        """
        backend: Any = torch.backends.cudnn
        with self._lock:
            if not self._users:
                self._before, backend.enabled = backend.enabled, False
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    backend.enabled = self._before


plain_sums = _PlainSums()


def build_network(
    architecture: str,
    n_features: int,
    n_classes: int,
    hidden: Sequence[int],
    channels: Sequence[int],
    seed: int,
) -> Network:
    """Return an untrained network in float32.

    Parameters
    ----------
    architecture : {"mlp", "cnn"}
        "mlp": dense layers of widths `hidden`. "cnn": first convolutions with `channels` filters of 4 × 4, stride 2,
        padding 1, each of which halves the sides of the image.
    n_features, n_classes : int
        D (for "cnn" the square of the image's side, one channel) and C.
    seed : int
        Of the weights: normal with variance 2 / fan-in (He et al. 2015); biases are 0.

    Raises
    ------
    ValueError
        "cnn" for features that are no square image, or one too small for the convolutions.
    """
    rng = np.random.default_rng([seed, 0])
    layers: list[Layer] = []
    width = n_features
    if architecture == "cnn":
        side = math.isqrt(n_features)
        if side * side != n_features or side < 2 ** (len(channels) + 1):
            raise ValueError(
                f"architecture 'cnn' with {len(channels)} convolutions needs square images of at least "
                f"{4 ** (len(channels) + 1)} pixels, got {n_features} features: take 'mlp'"
            )
        shape = (1, side, side)
        for count in channels:
            weight = _normal(rng, (count, shape[0], _KERNEL, _KERNEL))
            layer = Convolution(weight, torch.zeros(count), shape)
            layers.append(layer)
            shape = layer.output_shape
        width = math.prod(shape)
    for size in (*hidden, n_classes):
        layers.append(Dense(_normal(rng, (size, width)), torch.zeros(size)))
        width = size
    return Network(tuple(layers))


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    scale = math.sqrt(2.0 / math.prod(shape[1:]))
    return torch.from_numpy((rng.standard_normal(shape) * scale).astype(np.float32))
