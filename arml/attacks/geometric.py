"""A geometric attack on Mahalanobis K-NN: descent over order-K cells by quadratic programs, verified by the classifier.

Around any misclassified point lies a cell (:mod:`arml.geometry.order_k_cells`) that holds it, so the shortest way into
that cell is no longer than the way to the point; there the neighbours may be others, which make another cell, and so on
until nothing changes. Descents start from several cells; then the best is compared with its neighbouring cells, in
which one of the points that bound it gives way to another; and what is left of the allowance goes into random restarts.
Among few training points, and where no way was found, the classifier is asked on rays too (:mod:`arml.attacks.probes`):
ties, which cells are not entered by, may be decided against the point, and small cells lie between others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.attacks.descents import Search
from arml.attacks.options import check_count, check_time_limit, deadline_after, point_generators
from arml.attacks.probes import Probes, tightened
from arml.attacks.result import AttackResult
from arml.geometry.order_k_cells import Neighborhood, nearest
from arml.knn.query import Query, query_set
from arml.knn.reference import ReferenceSet, reference_set

__all__ = ["around_point", "attack_points", "geometric_attack", "searched"]

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

# Effort: changes time, and how short a way is found.
_SMALL = 2000  # training points up to which the classifier is asked too
_EXTRA = 240  # programs for what it says
_SHORTER = 1.0 - 1e-9


def geometric_attack(
    X_train: ArrayLike,
    y_train: ArrayLike,
    X: ArrayLike,
    y: ArrayLike,
    M: Any = None,
    n_neighbors: int = 11,
    *,
    programs: int = 200,
    time_limit: float | None = None,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = None,
) -> AttackResult:
    """Short adversarial perturbations of Mahalanobis K-NN, any K and number of classes, each verified.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D) and (N,)
    X, y : array-likes of shape (n, D) and (n,)
        Test points and their true labels.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric; None is Euclidean.
    n_neighbors : int
        K.
    programs : int
        Quadratic programs a point may take. They go to starts, neighbouring cells and restarts, in this order; the
        result never gets worse with more. With up to 2,000 training points, and where no way was found, up to 240 more
        and some thousand predictions look elsewhere, whatever this number.
    time_limit : float, optional
        Seconds a point may take besides; what was found by then counts, and results may differ from run to run.
    seeds, indices
        As for :func:`arml.attacks.boundary_attack`; only restarts draw.
    bounds : pair of floats or None
        The box that perturbed points stay in, None for no box. For a point outside it the box is widened, feature by
        feature, just enough to hold it.

    Returns
    -------
    AttackResult
        ``norm`` is the distance from the point as given to a float64 point that ``MahalanobisKNN.predict``
        misclassifies; inf with status "unsolved" where none was found.

    Raises
    ------
    ValueError
        NaN or infinite features, fewer than two classes, labels unseen in training, K > N, an M that is no metric,
        programs or time limit not positive, seeds or indices negative or of the wrong length, bounds not finite with
        low < high.
    NotFittedError
        M is a learner that has not been fitted.

    Notes
    -----
    For K = 1 the way is the one of :func:`arml.verify.exact_radii`, and so the shortest there is. For K > 1 it is a
    local minimum. Ties are crossed, not counted: every half-space is entered by more than the tie step, but for that
    between coinciding points, which the classifier takes by index; where it breaks other ties against the point, it is
    found by asking. Cost: O(N (D +
    r)) a point and program, and about 0.1 ms for each half-space that a program adds.

    Examples
    --------
    >>> from arml.attacks import geometric_attack
    >>> found = geometric_attack([[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1], [[1.0]], [0], n_neighbors=3)
    >>> found.norm.round(6).tolist()
    [1.5]
    """
    return attack_points(
        reference_set(X_train, y_train, M),
        X,
        y,
        n_neighbors,
        programs=programs,
        time_limit=time_limit,
        seeds=seeds,
        indices=indices,
        bounds=bounds,
    )


def attack_points(
    reference: ReferenceSet,
    X: ArrayLike,
    y: ArrayLike,
    n_neighbors: int = 11,
    *,
    programs: int = 200,
    time_limit: float | None = None,
    seeds: int | ArrayLike = 0,
    indices: ArrayLike | None = None,
    bounds: tuple[float, float] | None = None,
) -> AttackResult:
    """:func:`geometric_attack` against a training set that :func:`arml.knn.reference.reference_set` has prepared.

    For one training set and many calls, in one thread or several: the set is transformed once and shared. The other
    parameters, the result and the errors are those of :func:`geometric_attack`.
    """
    queries = query_set(reference, X, y, n_neighbors, bounds=bounds)
    check_count("programs", programs, 1)
    check_time_limit(time_limit)
    generators = point_generators(seeds, indices, len(queries))
    norm = np.full(len(queries), np.inf)
    adversarial = np.full(queries.points.shape, np.nan)
    status = np.full(len(queries), "unsolved", dtype="<U13")
    for batch in queries.batches():
        for query, wrong in zip(batch, batch.wrong, strict=True):
            row = query.row
            if wrong:
                norm[row], adversarial[row], status[row] = 0.0, query.point, "misclassified"
                continue
            search = searched(around_point(query), programs, deadline_after(time_limit), generators[row])
            if search.adversarial is not None:
                norm[row], adversarial[row], status[row] = search.norm, search.adversarial, "bounded"
    return AttackResult(norm, adversarial, status, queries.out_of_bounds)


def searched(around: Neighborhood, programs: int, deadline: float, generator: np.random.Generator) -> Search:
    """All that is done for one point.

    Parameters
    ----------
    around : Neighborhood
    programs : int
    deadline : float
        On :func:`time.monotonic`.
    generator : numpy.random.Generator
        For restarts.

    Returns
    -------
    Search
        At its end: the shortest way found, none where ``adversarial`` is None.
    """
    search = Search(around, programs, deadline)
    search.run(generator)
    few = around.reference.n_train <= _SMALL
    if search.adversarial is None or (few and not search.shortest):
        # what the classifier says leads to cells: by itself, or more programs might end farther away
        probes, other = Probes(around, deadline), Search(around, _EXTRA, deadline)
        other.explore(probes.look(), probes.ways())
        if probes.norm < _SHORTER * other.norm:
            probes.refine()
            if probes.adversarial is not None:
                other.follow(around.cell_found(probes.adversarial))
        for z in (probes.adversarial, other.adversarial):
            if z is not None:
                search.propose(z)
    if search.adversarial is not None:
        search.propose(tightened(around, search.adversarial))
    return search


def around_point(query: Query) -> Neighborhood:
    """What surrounds a point; ties are told apart as far as the k-th nearest training point of another class."""
    far = nearest(query.distances, query.outside, min(query.n_neighbors, query.outside.size))[-1]
    return Neighborhood(query, float(np.linalg.norm(query.onto(int(far)))))
