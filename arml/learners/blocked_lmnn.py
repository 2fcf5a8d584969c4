"""LMNN without N² numbers: metric-learn's algorithm, with its impostors found in blocks and only where it may matter.

The objective is that of the library: the weighted sum of the targets' squared distances and of the violations of the
margin, each triple counted with 1 + d(i, t) − d(i, j). A step that does not lower it is tried again with half the
learning rate; after one that does, the rate grows by a hundredth.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from arml.learners.base import Floats, Indices, LearnedMetric, LearningError
from arml.learners.classical import initial_components
from arml.learners.impostors import Impostors
from arml.learners.progress import progress
from arml.learners.subsets import affordable_targets, drop_single_members
from arml.learners.targets import target_neighbours
from arml.system.checkpoint import CHECKPOINT_SECONDS, fingerprint, read_checkpoint, write_checkpoint
from arml.system.resources import single_threaded

__all__ = ["run_blocked_lmnn"]

_GROWTH = 1.01


@dataclass
class _State:
    """Where the descent is: L and the gradient there, both (r, D), and the library's own counters."""

    L: Tensor
    gradient: Tensor
    rate: float
    iteration: int = 1
    objectives: list[float] = field(default_factory=list)


class _Descent:
    """The library's loop on points ordered by class."""

    def __init__(self, impostors: Impostors, regularization: float, tol: float, min_iter: int, max_iter: int) -> None:
        self._impostors, self._regularization, self._tol = impostors, regularization, tol
        self._min_iter, self._max_iter = min_iter, max_iter
        self._pull = impostors.pulled() * regularization

    def start(self, L: Tensor, rate: float) -> _State:
        """The state before the first step."""
        gradient, objective = self._evaluate(L, torch.zeros_like(L))
        return _State(L, gradient, rate, objectives=[objective])

    def finished(self, state: _State) -> bool:
        """Whether the library's loop would have ended."""
        return state.iteration >= self._max_iter - 1 or self.converged(state)

    def converged(self, state: _State) -> bool:
        """Whether the objective has stopped moving, by the library's criterion."""
        return state.iteration > self._min_iter and self.change(state) < self._tol

    def change(self, state: _State) -> float:
        """How much the last step lowered the objective."""
        return float(np.abs(np.diff(state.objectives[-2:])).sum())

    def step(self, state: _State) -> None:
        """One iteration: a step that does not raise the objective."""
        while True:
            L = state.L - state.rate * state.gradient
            if torch.equal(L, state.L):
                gradient, objective = state.gradient, state.objectives[-1]
            else:
                gradient, objective = self._evaluate(L, L - state.L)
            if not objective - state.objectives[-1] > 0:
                break
            state.rate /= 2
        state.L, state.gradient, state.rate = L, gradient, state.rate * _GROWTH
        state.objectives.append(objective)
        state.iteration += 1

    def _evaluate(self, L: Tensor, step: Tensor) -> tuple[Tensor, float]:
        active, pushed = self._impostors(L, step)
        gradient = L @ (self._pull + pushed * (1 - self._regularization))
        objective = active * (1 - self._regularization) + float((gradient * L).sum())
        if not np.isfinite(objective):
            raise LearningError(
                f"lmnn's objective became {objective}: lower learn_rate, or scale the features to [0, 1]"
            )
        return 2 * gradient, objective


def run_blocked_lmnn(
    X: Floats,
    codes: Indices,
    *,
    n_neighbors: int,
    min_iter: int,
    max_iter: int,
    learn_rate: float,
    regularization: float,
    convergence_tol: float,
    n_components: int | None,
    init: str | Floats,
    random_state: int | None,
    device: str,
    checkpoint: str | os.PathLike[str] | None,
    verbose: bool,
) -> LearnedMetric:
    """LMNN by the gradient descent of metric-learn.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    codes : ndarray of shape (N,)
        Class codes 0 … C − 1. Classes of one member are left out, and ``n_neighbors`` is lowered to what every class
        has, with notes.
    checkpoint : path, optional
        Holds L, its gradient and where pairs were looked at last.
    n_neighbors, min_iter, max_iter, learn_rate, regularization, convergence_tol, n_components, init, random_state, \
device, verbose
        As for :class:`arml.LMNN`.

    Returns
    -------
    LearnedMetric
        Converged is the library's criterion; the history is the objective of the start and of every step.

    Raises
    ------
    DataError
        The checkpoint is of another fit, or cannot be read or written.
    LearningError
        The objective became NaN or infinite.
    """
    notes: list[str] = []
    X, codes = drop_single_members(X, codes, notes)
    size = affordable_targets(codes, n_neighbors, notes)
    settings = {"method": "lmnn", "n_neighbors": size, "learn_rate": learn_rate, "regularization": regularization}
    settings |= {"min_iter": min_iter, "max_iter": max_iter, "convergence_tol": convergence_tol, "device": device}
    path = Path(checkpoint) if checkpoint else None
    with single_threaded():
        start = initial_components("lmnn", X, codes, n_components, init, random_state)
        mark = fingerprint(settings, X, codes, start) if path else ""
        order = np.argsort(codes, kind="stable")
        points = np.ascontiguousarray(X[order])
        starts = np.concatenate([[0], np.cumsum(np.unique(codes, return_counts=True)[1])])
        impostors = Impostors(points, starts, target_neighbours(points, starts, size), device)
        descent = _Descent(impostors, regularization, convergence_tol, min_iter, max_iter)
        if path and path.exists():
            state = _read(path, mark, impostors, device)
        else:
            state = descent.start(torch.from_numpy(start).to(device), learn_rate)
        saved = time.monotonic()
        with progress("LMNN", "step", max_iter - 1, state.iteration, shown=verbose) as advance:
            while not descent.finished(state):
                if path and time.monotonic() - saved >= CHECKPOINT_SECONDS:
                    _write(path, mark, impostors, state)
                    saved = time.monotonic()
                descent.step(state)
                advance(state.objectives[-1])
    if path:
        path.unlink(missing_ok=True)
    converged = descent.converged(state)
    if not converged:
        notes.append(f"the objective still moves by {descent.change(state):.3g} an iteration")
    components, history = state.L.cpu().numpy(), np.array(state.objectives)
    return LearnedMetric(components, state.iteration, converged, len(X), notes=tuple(notes), history=history)


_REFERENCE = ("reference", "reference_step", "steps")


def _write(path: Path, mark: str, impostors: Impostors, state: _State) -> None:
    arrays: dict[str, Any] = {"L": state.L.cpu().numpy(), "gradient": state.gradient.cpu().numpy()}
    arrays |= {"rate": np.array(state.rate), "objectives": np.array(state.objectives), **impostors.state()}
    write_checkpoint(path, mark, arrays)


def _read(path: Path, mark: str, impostors: Impostors, device: str) -> _State:
    arrays = read_checkpoint(path, mark, ("L", "gradient", "rate", "objectives", *_REFERENCE))
    impostors.restore({name: arrays[name] for name in _REFERENCE})
    L, gradient = (torch.from_numpy(arrays[name]).to(device) for name in ("L", "gradient"))
    objectives = arrays["objectives"].tolist()
    return _State(L, gradient, float(arrays["rate"]), len(objectives), objectives)
