"""HopSkipJump (Chen, Jordan and Wainwright 2020) and the Pointwise attack (Schott et al. 2018) on Mahalanobis K-NN.

foolbox's, run as they are with their defaults, in float64. They draw from global random state, and HopSkipJump divides
by a norm over the whole batch; so here every point runs alone, with its own generator and in its own box, and its
result does not depend on the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MethodType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from arml.attacks.decision import Queries, attack_from_starts
from arml.attacks.forward import Bools, Floats
from arml.attacks.model import decision_model, load_foolbox
from arml.attacks.options import check_count
from arml.attacks.result import AttackResult
from arml.knn.reference import ReferenceSet, reference_set
from arml.system.rebuilt import rebuilt_methods

__all__ = ["hopskipjump_attack", "hopskipjump_points", "pointwise_attack", "pointwise_points"]


def hopskipjump_attack(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    *,
    steps: int = 64,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> AttackResult:
    """Attack Mahalanobis K-NN by foolbox's HopSkipJump and verify every point found with the classifier.

    Parameters
    ----------
    steps : int
        Gradient estimates (foolbox's default is 64); estimate t asks the classifier 100 √t times.

    Other parameters, the result, errors and starts are those of :func:`arml.attacks.boundary_attack`. Cost: about
    35 000 decisions a point with the default steps, one at a time.
    """
    return hopskipjump_points(
        reference_set(X_train, y_train, M, queries=True), X, y, n_neighbors,
        steps=steps, seeds=seeds, indices=indices, bounds=bounds,
    )  # fmt: skip


def hopskipjump_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int = 11,
    *,
    steps: int = 64,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> AttackResult:
    """:func:`hopskipjump_attack` against a training set prepared as for :func:`arml.attacks.boundary.boundary_points`.

    The other parameters, the result and the errors are those of :func:`hopskipjump_attack`.
    """
    check_count("steps", steps, 0)

    def run(queries: Queries) -> Floats:
        load_foolbox()
        from foolbox.attacks import hop_skip_jump as module

        return _one_by_one(queries, partial(module.HopSkipJumpAttack, steps=steps))

    return attack_from_starts(
        reference, X, y, n_neighbors, run,
        seeds=seeds, indices=indices, bounds=bounds, batch_size=1, noise=True,
    )  # fmt: skip


def pointwise_attack(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    *,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> AttackResult:
    """Attack Mahalanobis K-NN by foolbox's Pointwise attack and verify every point found with the classifier.

    It resets features to those of the point, one by one in random order, then moves each towards it by bisection, until
    no feature moves any more: a small number of changed features rather than a short way. Parameters, the result,
    errors and starts are those of :func:`arml.attacks.boundary_attack`.
    """
    return pointwise_points(
        reference_set(X_train, y_train, M, queries=True), X, y, n_neighbors,
        seeds=seeds, indices=indices, bounds=bounds,
    )  # fmt: skip


def pointwise_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int = 11,
    *,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> AttackResult:
    """:func:`pointwise_attack` against a training set prepared as for :func:`arml.attacks.boundary.boundary_points`.

    The other parameters, the result and the errors are those of :func:`pointwise_attack`.
    """

    def run(queries: Queries) -> Floats:
        load_foolbox()
        from foolbox.attacks import pointwise as module

        return _one_by_one(queries, module.PointwiseAttack)

    return attack_from_starts(
        reference, X, y, n_neighbors, run,
        seeds=seeds, indices=indices, bounds=bounds, batch_size=1, noise=True,
    )  # fmt: skip


def _one_by_one(queries: Queries, make: Callable[[], Any]) -> Floats:
    """Run an attack of foolbox for each row by itself; a row that it gives up on stays at its start."""
    ends = queries.starts.copy()
    for row in range(len(ends)):
        one = queries.alone(row)
        attack = _rebuilt_attack(make(), one.generators[0], one.low[0], one.high[0])
        model, criterion = decision_model(_always(one.forward()))
        try:
            ends[row] = attack.run(model, one.points, criterion, starting_points=one.starts)[0]
        except AssertionError:  # foolbox asserts that its last step is misclassified; rounding may undo that
            continue
    return ends


def _always(forward: Callable[[Floats, Bools], Bools]) -> Callable[[Floats], Bools]:
    """The forward pass of a row that never ends."""
    return lambda Z: forward(Z, np.ones(len(Z), dtype=bool))


def _rebuilt_attack(attack: Any, generator: np.random.Generator, low: Floats, high: Floats) -> Any:
    """The attack with the random numbers and the clipping of its module replaced: for this object only."""
    import eagerpy as ep
    from eagerpy.astensor import astensor

    class Tensors:
        """eagerpy with two of its functions replaced."""

        def __getattr__(self, name: str) -> Any:
            return getattr(ep, name)

        @staticmethod
        def normal(tensor: Any, shape: Any) -> Any:
            return astensor(generator.standard_normal(shape))

        @staticmethod
        def clip(tensor: Any, *_: float) -> Any:
            return astensor(np.clip(tensor.raw, low, high))

    class Numbers:
        """NumPy with its global random state replaced."""

        random = SimpleNamespace(permutation=generator.permutation)

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

    for name, function in rebuilt_methods(type(attack), ep=Tensors(), np=Numbers()).items():
        setattr(attack, name, MethodType(function, attack))
    return attack
