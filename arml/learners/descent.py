"""Algorithm 1 as a loop: renew the candidate lists, take some Adam steps on them, and again.

The state at a renewal is a few matrices and a step number, since whatever is random follows from the seed and that
number: a fit that was killed goes on from its checkpoint and ends with the same bytes.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arml.learners.candidates import CandidateLists, anchor_pool, batches, candidate_lists, map_points
from arml.learners.objective import (
    dual_radius,
    order_radius,
    pair_perturbations,
    pointwise_loss,
    signed_perturbation,
    soft_radius,
)
from arml.learners.progress import progress
from arml.system.checkpoint import CHECKPOINT_SECONDS as _CHECKPOINT_SECONDS
from arml.system.checkpoint import fingerprint, read_checkpoint, write_checkpoint

__all__ = ["Descent", "Outcome", "Settings"]

Indices = NDArray[np.intp]

_ENTRIES = 1 << 23  # of the candidates gathered at once: 32 MB
_AVERAGING = 3  # weights of the averaged iterates grow as the step number to this power


@dataclass(frozen=True)
class Settings:
    """What of ARML's parameters the descent needs; see :class:`arml.ARML`."""

    objective: str
    loss: str
    loss_scale: float
    temperature: float
    n_neighbors: int
    n_candidates: int
    learning_rate: float
    max_iter: int
    batch_size: int | None
    pool_size: int | None
    refresh: int
    average: bool
    n_iter_no_change: int | None
    seed: int
    device: str = "cpu"
    n_jobs: int = 1
    verbose: bool = False

    def digest(self, *arrays: NDArray[Any]) -> str:
        """A fingerprint of the data and of what decides the result on them."""
        return fingerprint(asdict(replace(self, n_jobs=1, verbose=False)), *arrays)


@dataclass
class State:
    """Where the descent is. Tensors of shape (r, D): G, the mean of the iterates, the best on validation, Adam's."""

    G: Tensor
    mean: Tensor
    best: Tensor
    first: Tensor
    second: Tensor
    step: int = 0
    best_loss: float = float("inf")
    best_round: int = 0
    history: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    @classmethod
    def initial(cls, G: Tensor) -> State:
        return cls(G, G.clone(), G.clone(), torch.zeros_like(G), torch.zeros_like(G))


@dataclass(frozen=True)
class Outcome:
    """What a descent gives: G (r, D), the loss of every step, of every validation, and how it ended."""

    G: NDArray[np.float64]
    history: list[float]
    validation: list[float]
    converged: bool | None
    failure: str


class Descent:
    """Algorithm 1 on points ordered by class.

    Parameters
    ----------
    X : ndarray of shape (N, D), float32
        Ordered by class.
    starts : ndarray of shape (C + 1,)
        Class c is ``starts[c]:starts[c + 1]``.
    settings : Settings
    held, held_starts : ndarrays of shapes (V, D) and (C + 1,), optional
        Points to validate on, ordered by class likewise; for ``n_iter_no_change``.
    """

    def __init__(
        self,
        X: NDArray[np.float32],
        starts: Indices,
        settings: Settings,
        held: NDArray[np.float32] | None = None,
        held_starts: Indices | None = None,
    ) -> None:
        self.settings, self.starts = settings, starts
        self.points = torch.from_numpy(X).to(settings.device)
        sizes = np.diff(starts)
        self.anchors: Indices = np.flatnonzero(np.repeat(sizes > 1, sizes))
        self._held, self._held_starts = held, held_starts
        self._data = [X, starts, *(a for a in (held, held_starts) if a is not None)]

    def run(self, start: NDArray[np.float64], checkpoint: Path | None = None) -> Outcome:
        """Descend from G = ``start``, or from where ``checkpoint`` says that the same descent was.

        Raises
        ------
        DataError
            The checkpoint is of another descent or cannot be read or written.
        """
        G = torch.as_tensor(start, dtype=torch.float32).to(self.settings.device).clone()
        digest = self.settings.digest(*self._data, start) if checkpoint else ""
        state = State.initial(G)
        if checkpoint and checkpoint.exists():
            state = _read(checkpoint, digest, self.settings.device)
        failure, saved = "", time.monotonic()
        with progress("ARML", "step", self.settings.max_iter, state.step, shown=self.settings.verbose) as advance:
            while state.step < self.settings.max_iter and not self._settled(state):
                if checkpoint and time.monotonic() - saved >= _CHECKPOINT_SECONDS:
                    _write(checkpoint, digest, state)
                    saved = time.monotonic()
                failure = self._round(state, advance)
                if failure:
                    break
                if self.settings.n_iter_no_change is not None:
                    self._validate(state)
        if checkpoint:
            checkpoint.unlink(missing_ok=True)
        return self._outcome(state, failure)

    def _outcome(self, state: State, failure: str) -> Outcome:
        early = self.settings.n_iter_no_change is not None
        converged = False if failure else self._settled(state) if early else None
        G = state.G if failure else state.best if early else self._current(state)
        return Outcome(G.cpu().double().numpy(), state.history, state.validation, converged, failure)

    def _current(self, state: State) -> Tensor:
        return state.mean if self.settings.average else state.G

    def _settled(self, state: State) -> bool:
        patience = self.settings.n_iter_no_change
        return patience is not None and len(state.validation) - state.best_round >= patience

    def _lists(self, G: Tensor, anchors: Indices) -> CandidateLists:
        """The lists of training points under the current metric."""
        mapped = map_points(self.points, G, self.settings.n_jobs)
        where = np.searchsorted(anchors, self.starts)
        queries = mapped[torch.from_numpy(anchors).to(mapped.device)]
        size, jobs = self.settings.n_candidates, self.settings.n_jobs
        return candidate_lists(mapped, self.starts, queries, where, anchors, size, jobs)

    def _round(self, state: State, advance: Any) -> str:
        """The steps between two renewals; what went wrong, or nothing."""
        settings = self.settings
        number = state.step // settings.refresh
        pool = anchor_pool(self.anchors, settings.pool_size, settings.seed, number)
        lists = self._lists(state.G, pool)
        G = state.G.clone().requires_grad_()
        optimiser = torch.optim.Adam([G], lr=settings.learning_rate, foreach=False)
        moments = {"step": torch.tensor(float(state.step)), "exp_avg": state.first, "exp_avg_sq": state.second}
        optimiser.state[G] = moments
        draws = batches(pool.size, settings.batch_size, settings.seed, number)
        for _ in range(min(settings.refresh, settings.max_iter - state.step)):
            places, rng = next(draws)
            loss = self._gradient(G, pool, lists, places, rng)
            if not (np.isfinite(loss) and bool(torch.isfinite(G.grad).all())):
                return f"loss {loss} or its gradient is not finite at step {state.step}"
            optimiser.step()
            if not bool(torch.isfinite(G).all()):
                return f"G is not finite after step {state.step}"
            state.step += 1
            state.history.append(loss)
            state.G.copy_(G.detach())
            state.mean.lerp_(state.G, (_AVERAGING + 1) / (state.step + _AVERAGING))
            advance(loss)
        return ""

    def _gradient(
        self, G: Tensor, pool: Indices, lists: CandidateLists, places: Indices, rng: np.random.Generator
    ) -> float:
        """Set G.grad to the gradient of the batch's mean loss and return that loss; memory is one chunk."""
        G.grad = None
        sampled = self.settings.objective == "sampled"
        drawn = lists.draw(places, rng) if sampled else None
        width = self.points.shape[1] * (3 if sampled else 2 * self.settings.n_candidates)
        rows = max(1, _ENTRIES // width)
        total = 0.0
        for first in range(0, places.size, rows):
            part = slice(first, first + rows)
            if drawn is not None:
                x, positive, negative = (self._take(r[part]) for r in (torch.from_numpy(pool[places]), *drawn))
                epsilon = signed_perturbation(G, x, positive, negative)
            else:
                x = self._take(torch.from_numpy(pool[places[part]]))
                epsilon = self._radius(self.settings.objective, G, x, lists, places[part])
            loss = pointwise_loss(epsilon, self.settings.loss, self.settings.loss_scale).sum() / places.size
            loss.backward()
            total += float(loss.detach())
        return total

    def _take(self, rows: Tensor) -> Tensor:
        return self.points[rows.to(self.points.device)]

    def _radius(self, objective: str, G: Tensor, x: Tensor, lists: CandidateLists, places: Indices) -> Tensor:
        """What an objective takes for the radius of each x, from its whole lists; shape (B,)."""
        settings, device = self.settings, self.points.device
        n_positives, n_negatives = (
            torch.from_numpy(c[places]).to(device) for c in (lists.n_positives, lists.n_negatives)
        )
        positives, negatives = (
            self._take(chosen[places].long().clamp(min=0)) - x[:, None] for chosen in (lists.positives, lists.negatives)
        )
        if objective == "dual":
            return dual_radius(G, positives, negatives, n_positives, n_negatives)
        epsilon = pair_perturbations(G, positives, negatives)
        if objective == "soft":
            return soft_radius(epsilon, n_positives, n_negatives, settings.temperature)
        return order_radius(epsilon, n_positives, n_negatives, (settings.n_neighbors + 1) // 2)

    def _validate(self, state: State) -> None:
        """The mean loss of the order-statistics radius over the held-out points, under the current metric."""
        assert self._held is not None and self._held_starts is not None
        settings, G = self.settings, self._current(state)
        held = torch.from_numpy(self._held).to(settings.device)
        mapped = map_points(self.points, G, settings.n_jobs)
        lists = candidate_lists(
            mapped, self.starts, held @ G.T, self._held_starts, None, settings.n_candidates, settings.n_jobs
        )
        total, rows = 0.0, max(1, _ENTRIES // (2 * settings.n_candidates * held.shape[1]))
        for first in range(0, held.shape[0], rows):
            places = np.arange(first, min(first + rows, held.shape[0]))
            epsilon = self._radius("order", G, held[places], lists, places)
            total += float(pointwise_loss(epsilon, settings.loss, settings.loss_scale).sum())
        state.validation.append(total / held.shape[0])
        if state.validation[-1] < state.best_loss:
            state.best_loss, state.best_round = state.validation[-1], len(state.validation)
            state.best.copy_(G)


_TENSORS = ("G", "mean", "best", "first", "second")
_LISTS = ("history", "validation")
_NUMBERS = ("step", "best_loss", "best_round")


def _write(path: Path, digest: str, state: State) -> None:
    arrays = {name: getattr(state, name).cpu().numpy() for name in _TENSORS}
    arrays |= {name: np.array(getattr(state, name), dtype=np.float64) for name in (*_LISTS, *_NUMBERS)}
    write_checkpoint(path, digest, arrays)


def _read(path: Path, digest: str, device: str) -> State:
    arrays = read_checkpoint(path, digest, (*_TENSORS, *_LISTS, *_NUMBERS))
    tensors = {name: torch.from_numpy(arrays[name]).to(device) for name in _TENSORS}
    lists = {name: arrays[name].tolist() for name in _LISTS}
    step, best_round = (int(arrays[name]) for name in ("step", "best_round"))
    return State(**tensors, **lists, step=step, best_loss=float(arrays["best_loss"]), best_round=best_round)
