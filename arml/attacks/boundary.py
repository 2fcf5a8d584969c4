"""The Boundary Attack (Brendel, Rauber and Bethge 2018) on Mahalanobis K-NN: foolbox's, one result a point.

foolbox's loop is run as it is, with its defaults, in float64; what is put
in from outside is the classifier, the starting points and the proposals. foolbox draws one Gaussian for the whole
batch from global state; here every row has its own generator and its own bounds, and stops by itself once it has
converged. So a point's result is the same, bit for bit, in any batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from arml.attacks.arrays import Arrays, arrays_on
from arml.attacks.decision import Queries, attack_from_starts
from arml.attacks.forward import Floats
from arml.attacks.model import decision_model, load_foolbox
from arml.attacks.options import check_count
from arml.attacks.proposals import CONVERGED_BELOW, Proposals
from arml.attacks.result import AttackResult
from arml.knn.reference import ReferenceSet, reference_set
from arml.system.rebuilt import rebuilt

__all__ = ["boundary_attack", "boundary_points"]

_BATCH, _BATCH_ON_DEVICE = 256, 1024


def boundary_attack(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    *,
    steps: int = 25_000,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    batch_size: int | None = None,
    init: str = "noise",
    device: str = "cpu",
) -> AttackResult:
    """Attack Mahalanobis K-NN by foolbox's Boundary Attack and verify every point found with the classifier.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D) and (N,)
    X, y : array-likes of shape (n, D) and (n,)
        Test points and their true labels.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    n_neighbors : int
        K.
    steps : int
        At most so many steps a point (foolbox's default, and the paper's, is 25 000); 0 keeps the start.
    seeds : int or array-like of shape (n,)
        One seed for the run, combined with each point's index, or one seed a point.
    indices : array-like of shape (n,), optional
        The points' indices, for an int in ``seeds``; by default 0 … n − 1. Pass rows of the test file, and a
        point's result is the same whichever other points are attacked with it.
    bounds : pair of floats or None
        The box that candidates stay in. A point outside it is attacked in the box widened, feature by feature,
        just enough to hold it, and marked ``out_of_bounds``; training points outside serve as starts clipped to
        the box. None is no box.
    batch_size : int, optional
        Points that foolbox runs together; does not change results. By default 256, and 1024 on another device.
    init : {"noise", "nearest"}
        "noise": foolbox's default, uniform noise blended with the point, at most 100 draws; then, and with
        "nearest" at once, the nearest training point of another class that the classifier gives another label.
        "noise" is the paper's protocol and gives its figures. "nearest" ends closer (measured, Euclidean, K = 11,
        25 000 steps: median norm 0.33 against 0.46 on pendigits, 0.25 against 0.33 on satimage).
    device : str
        Where foolbox's loop and the distances run, in float64: "cpu" by NumPy, others by torch ("cuda", "cuda:1", …;
        "cpu:0" is torch on the CPU). Random numbers and decisions are the same, sums may differ in the last digit;
        norms agree to some 1e-9 as long as no candidate is within such a difference of the decision boundary.

    Returns
    -------
    AttackResult
        ``norm`` is the distance from the point as given to a float64 point that ``MahalanobisKNN.predict``
        misclassifies; inf with status "unsolved" where not even a start was found.

    Raises
    ------
    ValueError
        NaN or infinite features, fewer than two classes, labels unseen in training, K > N, an M that is no
        metric, steps or batch_size out of range, seeds or indices negative or of the wrong length, bounds that
        are not finite with low < high, an unknown init, a device that is not there.
    NotFittedError
        M is a learner that has not been fitted.

    Notes
    -----
    Cost a step and point: about O((2K + 26 + D) r) (see :class:`arml.attacks.forward.PrunedForward`), twice in
    every tenth step. Global random state is neither read nor changed.

    Examples
    --------
    >>> from arml.attacks import boundary_attack
    >>> found = boundary_attack([[0.1], [0.2], [0.8], [0.9]], [0, 0, 1, 1], [[0.3]], [0], n_neighbors=3, steps=100)
    >>> found.status.tolist(), bool(0.2 <= found.norm[0] < 0.25), found.adversarial.shape  # the exact radius is 0.2
    (['bounded'], True, (1, 1))
    """
    return boundary_points(
        reference_set(X_train, y_train, M, queries=True),
        X,
        y,
        n_neighbors,
        steps=steps,
        seeds=seeds,
        indices=indices,
        bounds=bounds,
        batch_size=batch_size,
        init=init,
        device=device,
    )


def boundary_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int = 11,
    *,
    steps: int = 25_000,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    batch_size: int | None = None,
    init: str = "noise",
    device: str = "cpu",
) -> AttackResult:
    """:func:`boundary_attack` against a prepared training set, ``reference_set(X_train, y_train, M, queries=True)``.

    The other parameters, the result and the errors are those of :func:`boundary_attack`.
    """
    check_count("steps", steps, 0)
    if init not in ("noise", "nearest"):
        raise ValueError(f"init must be one of noise, nearest; got {init!r}")

    arrays = arrays_on(device)
    if batch_size is None:
        batch_size = _BATCH if arrays.device is None else _BATCH_ON_DEVICE

    def run(queries: Queries) -> Floats:
        proposals = Proposals(queries.low, queries.high, queries.generators, arrays)
        try:
            return _run_foolbox(queries, proposals, arrays, steps)
        finally:
            proposals.close()

    return attack_from_starts(
        reference,
        X,
        y,
        n_neighbors,
        run,
        seeds=seeds,
        indices=indices,
        bounds=bounds,
        batch_size=batch_size,
        noise=init == "noise",
        device=arrays.device,
    )


def _run_foolbox(queries: Queries, proposals: Proposals, arrays: Arrays, steps: int) -> Floats:
    """Run foolbox's own loop from misclassified starts; returns its best points, shape (n, D)."""
    load_foolbox()
    from eagerpy.astensor import astensor
    from foolbox.attacks import boundary_attack as module

    forward = queries.forward()
    model, criterion = decision_model(lambda Z: forward(Z, proposals.active))  # a converged row is left where it is

    def draw_proposals(bounds: Any, *state: Any) -> tuple[Any, Any]:
        candidates, spherical = proposals(*(tensor.raw for tensor in state))
        return astensor(candidates), astensor(spherical)

    run = rebuilt(module.BoundaryAttack.run, draw_proposals=draw_proposals)
    attack = module.BoundaryAttack(steps=steps, source_step_convergance=CONVERGED_BELOW)
    points, starts = arrays.put(queries.points), arrays.put(queries.starts)
    return np.asarray(arrays.take(run(attack, model, points, criterion, starting_points=starts)), dtype=np.float64)
