"""Calls of metric-learn's NCA, LMNN, ITML and LFDA, with their failures made visible. Its only importer.

Where the library works, its result is unchanged. Each function returns the facts that the library keeps to
itself (convergence) and takes the fallbacks that it lacks, each with a note. Class codes must be 0 … C − 1:
the library takes a label of −1 for "unknown".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import metric_learn
import numpy as np
from metric_learn import lfda as lfda_module
from metric_learn import nca as nca_module
from metric_learn._util import _initialize_components

from arml.learners.base import Floats, Indices, LearnedMetric, LearningError
from arml.learners.subsets import affordable_targets, drop_single_members, opposed_twins
from arml.system.rebuilt import rebuilt

__all__ = ["initial_components", "run_itml", "run_lfda", "run_lmnn", "run_nca"]


@contextmanager
def library_errors(method: str, X: Floats, codes: Indices) -> Iterator[None]:
    """Turn whatever the library raises on data that it cannot handle into a LearningError with advice."""
    try:
        yield
    except (ValueError, AssertionError, IndexError, ArithmeticError, np.linalg.LinAlgError) as err:
        raise LearningError(
            f"metric-learn's {method} failed on {X.shape[0]} points with {X.shape[1]} features in "
            f"{np.unique(codes).size} classes: {type(err).__name__}: {err}. Check for duplicate, constant or "
            "dependent features and very small classes, change its parameters, or use another method"
        ) from err


def initial_components(
    method: str, X: Floats, codes: Indices, n_components: int | None, init: str | Floats, random_state: int | None
) -> Floats:
    """Where the library's NCA and LMNN start, shape (r, D), for these parameters of theirs."""
    with library_errors(method, X, codes):
        start = _initialize_components(n_components or X.shape[1], X, codes, init, random_state=random_state)
    return np.ascontiguousarray(start, dtype=np.float64)


def run_nca(X: Floats, codes: Indices, **params: Any) -> LearnedMetric:
    """NCA by L-BFGS; convergence is scipy's own verdict, which the library only prints."""
    results: list[Any] = []

    def minimize(**arguments: Any) -> Any:
        results.append(nca_module.minimize(**arguments))
        return results[-1]

    learner = metric_learn.NCA(**params)
    with library_errors("nca", X, codes):
        rebuilt(metric_learn.NCA.fit, minimize=minimize)(learner, X, codes)
    result = results[-1]
    notes = () if result.success else (f"the optimizer stopped: {result.message}",)
    return LearnedMetric(learner.components_, int(result.nit), bool(result.success), X.shape[0], notes=notes)


class RecordedLMNN(metric_learn.LMNN):  # type: ignore[misc]
    """LMNN that keeps the objective of each accepted step, by the library's own rule: it must not grow."""

    objectives: list[float]

    def _loss_grad(self, *args: Any) -> Any:
        step = super()._loss_grad(*args)
        if not self.objectives or not step[1] - self.objectives[-1] > 0:
            self.objectives.append(float(step[1]))
        return step


def run_lmnn(X: Floats, codes: Indices, *, n_neighbors: int, **params: Any) -> LearnedMetric:
    """LMNN by gradient descent; convergence is the criterion that ends the library's loop, evaluated here.

    ``n_neighbors`` must be below the size of the smallest class: at equality the library silently takes a
    point for its own target. Here it is lowered, and classes of one member are left out, with notes.
    """
    notes: list[str] = []
    X, codes = drop_single_members(X, codes, notes)
    learner = RecordedLMNN(n_neighbors=affordable_targets(codes, n_neighbors, notes), **params)
    learner.objectives = []
    with library_errors("lmnn", X, codes):
        learner.fit(X, codes)
    history = np.array(learner.objectives)
    change = float(np.abs(np.diff(history[-2:])).sum())
    converged = bool(learner.n_iter_ > learner.min_iter and change < learner.convergence_tol)
    if not converged:
        notes.append(f"the objective still moves by {change:.3g} an iteration")
    return LearnedMetric(
        learner.components_, int(learner.n_iter_), converged, X.shape[0], notes=tuple(notes), history=history
    )


def run_itml(X: Floats, codes: Indices, **params: Any) -> LearnedMetric:
    """ITML by cyclic projections; without points that equal one of another class where those break it."""
    try:
        return _project(X, codes, **params)
    except LearningError:
        twins = opposed_twins(X, codes)
        rest = codes[~twins]
        if not twins.any() or np.unique(rest).size < 2 or np.bincount(rest).max() < 2:
            raise
        note = f"left out {int(twins.sum())} points equal to a point of another class: itml fails with them"
        learned = _project(X[~twins], rest, **params)
        return replace(learned, notes=(note, *learned.notes))


def _project(X: Floats, codes: Indices, **params: Any) -> LearnedMetric:
    learner = metric_learn.ITML_Supervised(**params)
    with library_errors("itml", X, codes):
        learner.fit(X, np.unique(codes, return_inverse=True)[1])
        if not np.isfinite(learner.components_).all():
            raise ArithmeticError("its matrix became NaN or infinite")
    # n_iter_ is the index of the last iteration, whether that met the tolerance or was merely the last one
    # allowed; an iteration that was both counts as not converged
    n_iter = int(learner.n_iter_) + 1
    converged = n_iter < learner.max_iter
    return LearnedMetric(learner.components_, n_iter, converged, X.shape[0])


def run_lfda(X: Floats, codes: Indices, *, n_components: int | None, **params: Any) -> LearnedMetric:
    """LFDA in closed form, on the columns that vary; the others get zero columns of G.

    Constant columns make the library's eigenproblem singular and its result complex. All components are
    computed and the first ``n_components`` kept: the library's own route to fewer is iterative, starts at
    random, and was seen to return useless metrics without a word. Where the result is no real metric still, the
    features depend on each other within the classes: on their principal components of non-zero variance, and
    then with the smallest ridge of ``_RIDGES`` (times the mean within-class scatter) that gives one.
    """
    varies = np.ptp(X, axis=0) > 0
    dropped = np.flatnonzero(~varies)
    if varies.sum() < 2:
        raise LearningError(f"lfda needs at least two features that vary, got {int(varies.sum())}")
    points, basis, notes = X[:, varies], None, []
    found = _scatter_metric(points, codes, 0.0, params)
    if not _is_real(found):
        basis = _principal_components(points)
        notes.append(f"features depend on each other: fitted on {basis.shape[0]} principal components")
        points = (points - points.mean(axis=0)) @ basis.T
        for ridge in (0.0, *_RIDGES):
            found = _scatter_metric(points, codes, ridge, params)
            if _is_real(found):
                break
        if ridge:
            notes.append(f"within-class scatter singular: ridge of {ridge:g} times its mean eigenvalue added")
    found = found[:n_components]
    if basis is not None:
        found = found @ basis
    components = np.zeros((found.shape[0], X.shape[1]), dtype=found.dtype)
    components[:, varies] = found
    return LearnedMetric(components, 1, None, X.shape[0], dropped_features=tuple(dropped), notes=tuple(notes))


_RIDGES = (1e-10, 1e-8, 1e-6, 1e-4)


def _scatter_metric(X: Floats, codes: Indices, ridge: float, params: dict[str, Any]) -> Any:
    """The library's components, with ``ridge`` times its mean eigenvalue on the within-class scatter's diagonal.

    NaN where even LAPACK's general eigensolver gives up.
    """

    def eigh(between: Floats, within: Floats, size: int) -> Any:
        shift = ridge * np.trace(within) / within.shape[0]
        return lfda_module._eigh(between, within + shift * np.eye(within.shape[0]) if ridge else within, size)

    learner = metric_learn.LFDA(**params)
    with library_errors("lfda", X, codes), np.errstate(invalid="ignore"):
        try:
            rebuilt(metric_learn.LFDA.fit, _eigh=eigh)(learner, X, codes)
        except np.linalg.LinAlgError:
            return np.full((X.shape[1], X.shape[1]), np.nan)
    return learner.components_


def _is_real(components: Any) -> bool:
    return bool(not np.iscomplexobj(components) and np.isfinite(components).all() and np.abs(components).max() > 0)


def _principal_components(X: Floats) -> Floats:
    """Orthonormal directions in which the points vary, by numpy's own threshold of numerical rank; (m, D)."""
    centred = X - X.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    threshold = values[-1] * max(X.shape) * np.finfo(np.float64).eps
    return np.ascontiguousarray(vectors[:, values > threshold].T[::-1])
