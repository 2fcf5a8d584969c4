"""The common course of the baselines: how much of the training set, by which engine, and what is noted on the way."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from arml.learners.base import Floats, Indices, LearnedMetric, MetricLearner
from arml.learners.checks import check_has_pairs, check_rank
from arml.learners.guards import Estimate, Limits
from arml.learners.span import identity_beyond, into_span, span_note
from arml.system.resources import recorded_warnings, single_threaded
from arml.validation import check_choice, check_device, check_flag, check_int, check_positive

__all__ = ["Baseline", "BlockedBaseline"]

_LIMITS = ("max_train", "max_memory", "max_minutes")
ENGINES = ("blocked", "metric-learn")
INITS = ("auto", "pca", "lda", "identity", "random")

# metric-learn 0.7 uses a name that scikit-learn 1.8 removes, and asks ARPACK for all eigenpairs: neither says
# anything about the data
_LIBRARY_NOISE = ("'force_all_finite' was renamed", "Attempting to use scipy.linalg.eigh instead")


class Baseline(MetricLearner):
    """Take a subset where limits ask for it, learn with warnings recorded, gather notes."""

    max_train: int | None
    max_memory: float | None
    max_minutes: float | None
    random_state: int | None
    seeded: ClassVar[bool] = True
    identity_start: ClassVar[bool] = True

    def _check_params(self) -> None:
        check_int("max_train", self.max_train, 2, optional=True)
        check_positive("max_memory", self.max_memory, optional=True)
        check_positive("max_minutes", self.max_minutes, optional=True)
        check_int("random_state", self.random_state, 0, optional=True)
        check_int("n_components", getattr(self, "n_components", None), 1, optional=True)

    def _prepare(self) -> None:
        with recorded_warnings():
            import arml.learners.classical  # noqa: F401

    def _learn(self, X: Floats, codes: Indices) -> LearnedMetric:
        check_has_pairs(codes, self.method)
        check_rank(getattr(self, "n_components", None), X)
        limits = Limits(self.max_train, self.max_memory, self.max_minutes)
        narrow = X.shape[0] < X.shape[1] and self._stays_in_span()

        def estimate(some: Indices) -> Estimate:
            width = min(X.shape[1], some.size - 1) if narrow else X.shape[1]
            return self._estimate(some.size, width, np.bincount(some))

        rows, reasons, facts = limits.choose(self.method, codes, estimate, self.random_state)
        with recorded_warnings() as warned:
            if narrow:
                learned = self._learn_in_span(X, codes, rows)
            else:
                learned = self._run(*((X, codes) if rows is None else (X[rows], codes[rows])))
        telling = [warning for warning in warned if not any(noise in warning for noise in _LIBRARY_NOISE)]
        return replace(learned, notes=(*reasons, *learned.notes, *telling), facts={**learned.facts, **facts})

    def _run(self, X: Floats, codes: Indices, **changed: Any) -> LearnedMetric:
        """The algorithm with this learner's parameters, but for those changed."""
        return self._runner()(X, codes, **{**self._options(), **changed})

    def _learn_in_span(self, X: Floats, codes: Indices, rows: Indices | None) -> LearnedMetric:
        """The fit of fewer points than features, in the dimensions that the points span; on some of them only, in
        those that these span, with the identity (of LFDA zero) in the others."""
        # what "auto" is for a square G
        changed = {"init": "identity", "n_components": None} if hasattr(self, "init") else {}
        points, basis = into_span(X)
        if rows is None:
            learned = self._run(points, codes, **changed)
            components = learned.components
        else:
            fewer, own = into_span(points[rows])
            learned = self._run(fewer, codes[rows], **changed)
            components = identity_beyond(learned.components, own) if self.identity_start else learned.components @ own
        constant = () if self.identity_start else tuple(np.flatnonzero(np.ptp(X, axis=0) == 0).tolist())
        notes = (span_note(basis), *learned.notes)
        return replace(learned, components=components @ basis, notes=notes, dropped_features=constant)

    def _options(self) -> dict[str, Any]:
        """The parameters that the algorithm is run with."""
        left_out = _LIMITS if self.seeded else (*_LIMITS, "random_state")
        return {name: value for name, value in self.get_params().items() if name not in left_out}

    @abstractmethod
    def _stays_in_span(self) -> bool:
        """Whether a fit with these parameters can be done in the span of the points (see arml.learners.span)."""

    @abstractmethod
    def _estimate(self, n: int, width: int, sizes: Indices) -> Estimate:
        """What a fit on n points would take."""

    def _runner(self) -> Callable[..., LearnedMetric]:
        from arml.learners import classical

        run: Callable[..., LearnedMetric] = getattr(classical, f"run_{self.method}")
        return run


class BlockedBaseline(Baseline):
    """A baseline by one of two engines: ours, which goes through the points in blocks, or metric-learn's own."""

    n_components: int | None
    init: str
    engine: str
    device: str
    checkpoint: str | os.PathLike[str] | None
    verbose: bool

    def _check_params(self) -> None:
        super()._check_params()
        check_choice("init", self.init, INITS)
        check_choice("engine", self.engine, ENGINES)
        check_flag("verbose", self.verbose)
        if self.checkpoint is not None and self.random_state is None:
            raise ValueError("checkpoint needs a random_state: what is random must be the same after a resume")

    def _prepare(self) -> None:
        super()._prepare()
        if self.engine == "blocked":
            self._blocked_runner()
            check_device(self._device())
            if self._device().split(":")[0] not in ("cpu", "cuda"):
                raise ValueError(f"device must be 'cpu', 'auto' or a CUDA device (float64), got {self.device!r}")

    def _device(self) -> str:
        import torch

        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device

    def _options(self) -> dict[str, Any]:
        options = super()._options()
        if options.pop("engine") == "blocked":
            return {**options, "device": self._device()}
        return {name: value for name, value in options.items() if name not in ("device", "checkpoint")}

    def _runner(self) -> Callable[..., LearnedMetric]:
        return self._blocked_runner() if self.engine == "blocked" else super()._runner()

    @abstractmethod
    def _blocked_runner(self) -> Callable[..., LearnedMetric]:
        """Our engine; imported when it is asked for."""

    def _stays_in_span(self) -> bool:
        return self.n_components is not None or self.init in ("auto", "identity")

    def _learn_in_span(self, X: Floats, codes: Indices, rows: Indices | None) -> LearnedMetric:
        if self.n_components in (None, X.shape[1]) and self.init in ("auto", "identity"):
            return super()._learn_in_span(X, codes, rows)
        if rows is not None:
            X, codes = X[rows], codes[rows]
        points, basis = into_span(X)
        if self.n_components is None or self.n_components > basis.shape[0]:
            return self._run(X, codes)
        start = self._start(X, codes)
        learned = self._run(points, codes, init=start @ basis.T)
        components = learned.components @ basis + (start - (start @ basis.T) @ basis)
        return replace(learned, components=components, notes=(span_note(basis), *learned.notes))

    def _start(self, X: Floats, codes: Indices) -> Floats:
        """Where the algorithm starts, shape (n_components, D)."""
        from arml.learners.classical import initial_components

        with single_threaded():
            return initial_components(self.method, X, codes, self.n_components, self.init, self.random_state)
