"""The training loop: minibatches, Adam on prototypes and metric, a checkpoint now and then.

Whatever is random follows from the seed and the number of the step or epoch, and the state is a few tensors: a fit that
was killed goes on from its checkpoint and ends with the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from arml.prototypes.images import shifted, turned
from arml.prototypes.objective import deciding, hinge, radii, soft_minimum
from arml.system.checkpoint import fingerprint, read_checkpoint, write_checkpoint

__all__ = ["Labelled", "Outcome", "Settings", "Training"]

Floats32 = NDArray[np.float32]

_ROUND = 100  # steps between looks at the clock, the losses and the held-out points
_AVERAGING = 3  # weights of the averaged iterates grow as the step number to this power
_CHECKPOINT_SECONDS = 10.0
_BLOCK = 500
_BATCHES, _MOTIONS = 0, 1  # streams of random numbers


@dataclass(frozen=True)
class Settings:
    """What of the parameters of :class:`arml.RobustPrototypes` the training needs."""

    objective: str
    target_radius: float
    temperature: float
    n_own: int
    n_others: int
    n_rivals: int
    learning_rate: float
    metric_learning_rate: float
    schedule: str
    max_iter: int
    batch_size: int
    image_shape: tuple[int, int] | None
    max_shift: int
    max_rotation: float
    max_zoom: float
    average: bool
    n_iter_no_change: int | None
    seed: int
    device: str = "cpu"
    verbose: bool = False

    def digest(self, *arrays: NDArray[Any]) -> str:
        """A fingerprint of the data and of what decides the result on them."""
        return fingerprint(asdict(replace(self, verbose=False)), *arrays)


@dataclass(frozen=True)
class Labelled:
    """Points (n, D) in float32 and their class codes (n,)."""

    X: Floats32
    codes: NDArray[np.intp]


@dataclass
class State:
    """Where the training is: for each learned tensor (P, and G where it is learned) its value, its mean over the
    steps, its best on held-out points, and Adam's two moments."""

    values: list[Tensor]
    means: list[Tensor]
    best: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    step: int = 0
    best_loss: float = math.inf
    best_round: int = 0
    history: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)

    @classmethod
    def initial(cls, values: list[Tensor]) -> State:
        """Before the first step."""
        means, best = ([value.clone() for value in values] for _ in range(2))
        first, second = ([torch.zeros_like(value) for value in values] for _ in range(2))
        return cls(values, means, best, first, second)


@dataclass(frozen=True)
class Outcome:
    """What a training gives: P (p, D), G (r, D) or None, losses of every step and validation, and how it ended."""

    prototypes: Floats32
    components: Floats32 | None
    history: list[float]
    validation: list[float]
    converged: bool | None
    failure: str


class Training:
    """Gradient descent on the mean hinge of the radii of minibatches.

    Parameters
    ----------
    train : Labelled
    start : Labelled
        The prototypes to begin with; their classes do not change.
    settings : Settings
    components : ndarray of shape (r, D), optional
        G to begin with; None is the identity, which is not learned.
    held : Labelled, optional
        Points to choose the iterate by; for ``n_iter_no_change``.
    """

    def __init__(
        self,
        train: Labelled,
        start: Labelled,
        settings: Settings,
        components: Floats32 | None = None,
        held: Labelled | None = None,
    ) -> None:
        self.settings = settings
        self._size = len(train.codes)
        self._X, self._y = self._move(train.X), self._move(train.codes)
        self._epoch, self._order = -1, self._y[:0]
        self._codes = self._move(start.codes)
        self._start = [start.X] if components is None else [start.X, components]
        self._held = None if held is None else (self._move(held.X), self._move(held.codes))
        parts = (train, start) if held is None else (train, start, held)
        self._data: list[NDArray[Any]] = [array for part in parts for array in (part.X, part.codes)]
        self._data += self._start[1:]

    def _move(self, array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.settings.device)

    def run(self, checkpoint: Path | None = None) -> Outcome:
        """Train, or go on from where ``checkpoint`` says that the same training was.

        Parameters
        ----------
        checkpoint : Path, optional
            Where the state is kept meanwhile.

        Returns
        -------
        Outcome

        Raises
        ------
        DataError
            The checkpoint is of another training or cannot be read or written.
        """
        digest = self.settings.digest(*self._data) if checkpoint else ""
        state = State.initial([self._move(value) for value in self._start])
        if checkpoint and checkpoint.exists():
            state = _read(checkpoint, digest, self.settings.device, len(self._start))
        failure, saved = "", time.monotonic()
        with self._progress(state.step) as advance:
            while not failure and not self._finished(state):
                if checkpoint and time.monotonic() - saved >= _CHECKPOINT_SECONDS:
                    _write(checkpoint, digest, state)
                    saved = time.monotonic()
                failure = self._round(state)
                advance(state)
        if checkpoint:
            checkpoint.unlink(missing_ok=True)
        return self._outcome(state, failure)

    def _finished(self, state: State) -> bool:
        return state.step >= self.settings.max_iter or self._settled(state)

    def _settled(self, state: State) -> bool:
        patience = self.settings.n_iter_no_change
        return patience is not None and len(state.validation) - state.best_round >= patience

    def _outcome(self, state: State, failure: str) -> Outcome:
        early = self._held is not None
        converged = False if failure else self._settled(state) if early else None
        tensors = state.values if failure else state.best if early else self._current(state)
        P, *G = (tensor.cpu().numpy() for tensor in tensors)
        return Outcome(P, G[0] if G else None, state.history, state.validation, converged, failure)

    def _current(self, state: State) -> list[Tensor]:
        return state.means if self.settings.average else state.values

    def _round(self, state: State) -> str:
        """Some steps at one learning rate, then a look at what came out; what went wrong, or nothing."""
        before = [value.clone() for value in state.values]
        values = [value.clone().requires_grad_() for value in state.values]
        optimiser = self._optimiser(state, values)
        losses = []
        for _ in range(min(_ROUND, self.settings.max_iter - state.step)):
            loss = self._loss(values, *self._batch(state.step))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            state.step += 1
            losses.append(loss.detach())
            for mean, value in zip(state.means, values, strict=True):
                mean.lerp_(value.detach(), (_AVERAGING + 1) / (state.step + _AVERAGING))
        state.values = [value.detach() for value in values]
        found = torch.stack(losses).cpu()
        finite = bool(torch.isfinite(found).all()) and all(bool(torch.isfinite(v).all()) for v in state.values)
        if not finite:
            state.step -= len(losses)
            state.values = before
            return f"loss or prototypes became NaN or infinite within the {_ROUND} steps after step {state.step}"
        state.history += found.tolist()
        self._validate(state)
        return ""

    def _optimiser(self, state: State, values: list[Tensor]) -> torch.optim.Adam:
        fall = 0.5 * (1 + math.cos(math.pi * state.step / self.settings.max_iter))
        fall = fall if self.settings.schedule == "cosine" else 1.0
        rates = (self.settings.learning_rate, self.settings.metric_learning_rate)
        groups = [{"params": [value], "lr": fall * rate} for value, rate in zip(values, rates, strict=False)]
        optimiser = torch.optim.Adam(groups, foreach=False)
        for value, first, second in zip(values, state.first, state.second, strict=True):
            count = torch.tensor(float(state.step))
            optimiser.state[value] = {"step": count, "exp_avg": first, "exp_avg_sq": second}
        return optimiser

    def _batch(self, step: int) -> tuple[Tensor, Tensor]:
        """The points of a step: the next of a random order of all, anew in each epoch, moved where that is wanted."""
        settings = self.settings
        size = min(settings.batch_size, self._size)
        epoch, place = divmod(step, self._size // size)
        if self._epoch != epoch:
            order = np.random.default_rng((settings.seed, _BATCHES, epoch)).permutation(self._size)
            self._epoch, self._order = epoch, self._move(order)
        rows = self._order[place * size : (place + 1) * size]
        return self._moved(self._X[rows], step), self._y[rows]

    def _moved(self, x: Tensor, step: int) -> Tensor:
        """Images turned, zoomed and shifted at random."""
        settings, size = self.settings, len(x)
        if settings.image_shape is None:
            return x
        rng = np.random.default_rng((settings.seed, _MOTIONS, step))
        shifts = rng.integers(2 * settings.max_shift + 1, size=(size, 2))
        turns, zooms = rng.uniform(-1, 1, size=(2, size)).astype(np.float32)
        if settings.max_rotation or settings.max_zoom:
            angles = self._move(turns * np.float32(np.deg2rad(settings.max_rotation)))
            x = turned(x, angles, self._move(1 + zooms * np.float32(settings.max_zoom)), settings.image_shape)
        return shifted(x, self._move(shifts), settings.image_shape, settings.max_shift) if settings.max_shift else x

    def _loss(self, values: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
        settings = self.settings
        P, G = values[0], values[1] if len(values) > 1 else None
        who = deciding(
            P,
            self._codes,
            x,
            y,
            G,
            n_own=settings.n_own,
            n_others=settings.n_others,
            n_rivals=settings.n_rivals,
            exact=settings.objective == "exact",
        )
        radius = soft_minimum(radii(P, x, who, G), settings.temperature)
        return hinge(radius, settings.target_radius).mean()

    def _validate(self, state: State) -> None:
        """The mean hinge of eq. (9) over the held-out points, all prototypes looked at."""
        if self._held is None:
            return
        current = self._current(state)
        P, G = current[0], current[1] if len(current) > 1 else None
        total = 0.0
        with torch.no_grad():
            for x, y in zip(*(part.split(_BLOCK) for part in self._held), strict=True):
                who = deciding(P, self._codes, x, y, G, n_own=4 * self.settings.n_own)
                total += float(hinge(radii(P, x, who, G)[:, 0], self.settings.target_radius).sum())
        state.validation.append(total / len(self._held[0]))
        if state.validation[-1] < state.best_loss:
            state.best_loss, state.best_round = state.validation[-1], len(state.validation)
            state.best = [value.clone() for value in current]

    @contextmanager
    def _progress(self, done: int) -> Iterator[Any]:
        if not self.settings.verbose:
            yield lambda state: None
            return
        from tqdm.auto import tqdm

        with tqdm(total=self.settings.max_iter, initial=done, desc="prototypes", unit="step", mininterval=0.5) as bar:

            def advance(state: State) -> None:
                bar.update(state.step - bar.n)
                bar.set_postfix(loss=f"{np.mean(state.history[-_ROUND:]):.4g}", refresh=False)

            yield advance


_TENSORS = ("values", "means", "best", "first", "second")
_LISTS = ("history", "validation")
_NUMBERS = ("step", "best_loss", "best_round")


def _write(path: Path, digest: str, state: State) -> None:
    arrays = {f"{name}{i}": t.cpu().numpy() for name in _TENSORS for i, t in enumerate(getattr(state, name))}
    arrays |= {name: np.array(getattr(state, name), dtype=np.float64) for name in (*_LISTS, *_NUMBERS)}
    write_checkpoint(path, digest, arrays)


def _read(path: Path, digest: str, device: str, count: int) -> State:
    names = [f"{name}{i}" for name in _TENSORS for i in range(count)]
    arrays = read_checkpoint(path, digest, (*names, *_LISTS, *_NUMBERS))
    tensors = {name: [torch.from_numpy(arrays[f"{name}{i}"]).to(device) for i in range(count)] for name in _TENSORS}
    lists = {name: arrays[name].tolist() for name in _LISTS}
    step, best_round = (int(arrays[name]) for name in ("step", "best_round"))
    return State(**tensors, **lists, step=step, best_loss=float(arrays["best_loss"]), best_round=best_round)
