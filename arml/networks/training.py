"""The training of a network: Adam on the cross-entropy, epoch by epoch, from a seed or a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from arml.networks.layers import Network
from arml.networks.noise import generator
from arml.system.checkpoint import fingerprint, read_checkpoint, write_checkpoint

__all__ = ["Schedule", "train"]

_CHECKPOINT_SECONDS = 10.0
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Schedule:
    """What of `NetworkClassifier`'s parameters the training needs."""

    noise: float
    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    device: str


def train(
    network: Network,
    X: NDArray[np.float32],
    codes: NDArray[np.int64],
    schedule: Schedule,
    checkpoint: Path | None = None,
    advance: Callable[[float], None] = lambda loss: None,
) -> tuple[Network, list[float]]:
    """Return the trained network, on the CPU, and the mean loss of every epoch.

    Parameters
    ----------
    network : Network
        Its weights are where the training begins.
    X, codes : ndarrays of shapes (N, D) and (N,)
        Points and their classes as 0 … C − 1.
    checkpoint : Path, optional
        Kept up to date while the training runs, and removed at its end.
    advance : callable
        Told the loss after each epoch.

    Raises
    ------
    DataError
        The checkpoint is of another training or cannot be read or written.
    ValueError
        The loss is not finite.
    """
    weights = [tensor.to(schedule.device).clone().requires_grad_() for tensor in network.tensors()]
    optimiser = torch.optim.Adam(weights, lr=schedule.learning_rate, foreach=False)
    history: list[float] = []
    mark = fingerprint(asdict(schedule), X, codes, *network.arrays()) if checkpoint else ""
    if checkpoint and checkpoint.exists():
        history = _resume(checkpoint, mark, weights, optimiser)
    points, labels = (torch.from_numpy(array).to(schedule.device) for array in (X, codes))
    saved = time.monotonic()
    while len(history) < schedule.epochs:
        history.append(_epoch(network.with_tensors(weights), optimiser, points, labels, schedule, len(history)))
        advance(history[-1])
        if checkpoint and time.monotonic() - saved >= _CHECKPOINT_SECONDS and len(history) < schedule.epochs:
            _save(checkpoint, mark, weights, optimiser, history)
            saved = time.monotonic()
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return network.with_tensors([weight.detach().cpu() for weight in weights]), history


def _epoch(
    network: Network, optimiser: torch.optim.Adam, points: Tensor, labels: Tensor, schedule: Schedule, number: int
) -> float:
    """One pass over the points in random order; the mean loss."""
    steps = math.ceil(len(points) / schedule.batch_size)
    order = torch.from_numpy(np.random.default_rng([schedule.seed, 1, number]).permutation(len(points)))
    draws = generator(schedule.seed, 2, number)
    total = 0.0
    for step in range(steps):
        rows = order[step * schedule.batch_size : (step + 1) * schedule.batch_size].to(points.device)
        batch = points[rows]
        if schedule.noise:
            batch = batch + schedule.noise * torch.randn(batch.shape, generator=draws).to(batch.device)
        share = (number * steps + step) / (schedule.epochs * steps)
        optimiser.param_groups[0]["lr"] = schedule.learning_rate * (1 + math.cos(math.pi * share)) / 2
        optimiser.zero_grad()
        loss = F.cross_entropy(network(batch), labels[rows])
        loss.backward()
        optimiser.step()
        total += float(loss.detach()) * len(rows)
    if not math.isfinite(total):
        raise ValueError(f"the loss is {total} in epoch {number + 1}: lower learning_rate ({schedule.learning_rate:g})")
    return total / len(points)


def _save(path: Path, mark: str, weights: list[Tensor], optimiser: torch.optim.Adam, history: list[float]) -> None:
    arrays: dict[str, NDArray[Any]] = {"history": np.array(history)}
    for place, weight in enumerate(weights):
        state = optimiser.state[weight]
        arrays[f"weight{place}"], arrays[f"step{place}"] = weight.detach().cpu().numpy(), state["step"].numpy()
        arrays |= {f"{name}{place}": state[name].cpu().numpy() for name in _MOMENTS}
    write_checkpoint(path, mark, arrays)


def _resume(path: Path, mark: str, weights: list[Tensor], optimiser: torch.optim.Adam) -> list[float]:
    names = [f"{name}{place}" for name in ("weight", "step", *_MOMENTS) for place in range(len(weights))]
    arrays = read_checkpoint(path, mark, ("history", *names))
    with torch.no_grad():
        for place, weight in enumerate(weights):
            weight.copy_(torch.from_numpy(arrays[f"weight{place}"]))
            moments = {name: torch.from_numpy(arrays[f"{name}{place}"]).to(weight.device) for name in _MOMENTS}
            optimiser.state[weight] = {"step": torch.tensor(float(arrays[f"step{place}"])), **moments}
    history: list[float] = arrays["history"].tolist()
    return history
