"""ARML (Algorithm 1): learn M = GᵀG by pushing the certified radii of the training points outwards."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from arml.learners.base import Floats, Indices, LearnedMetric, MetricLearner
from arml.learners.checks import check_has_pairs, check_rank
from arml.learners.span import into_span, span_note
from arml.system.resources import single_threaded
from arml.validation import check_choice, check_device, check_flag, check_int, check_positive

if TYPE_CHECKING:
    from arml.learners.descent import Outcome, Settings

__all__ = ["ARML"]

LOSS_NAMES = ("negative", "hinge", "exponential", "logistic")
OBJECTIVES = ("sampled", "order", "soft", "dual")
_MOST_HELD_OUT = 1000
_BLOCK = 4096
DEFAULT_REFRESH = 20


class ARML(MetricLearner):
    """Adversarially robust metric learning (eq. 12, Algorithm 1) with Adam.

    Every ``refresh`` steps the nearest positives and negatives of a pool of anchors are found under the current
    M; each step takes a batch of the pool and follows the gradient of the mean loss of their (estimated) radii
    through G. Who is in the lists is a constant there. Everything random comes from ``random_state``, sums are
    taken by one thread and the training points are put into an order of their own first: the same data, in
    whatever order, with the same seed give the same bytes, whatever ``n_jobs`` is.

    Parameters
    ----------
    n_components : int, optional
        Rows r of G; None is D. Of fewer points than features, no more than the m < N dimensions that they span, in
        which G is then learned and kept, unless its start is given or is some rows of the identity
        (:mod:`arml.learners.span`).
    objective : str
        What stands for an anchor's radius:

        "sampled"
            eq. (9) for one random positive and one random negative of its lists: eq. (12), the paper's.
        "order"
            the kth smallest over negatives of the kth largest over positives, k = (n_neighbors + 1) / 2: eq. (11)
            over the lists, Theorem 1's certificate for K = ``n_neighbors``.
        "soft"
            the same for K = 1 with both extremes softened by ``temperature``.
        "dual"
            the exact radius (eq. 13) against the decisive negative and the listed positives, by its dual with
            frozen multipliers.
    n_neighbors : int
        K of "order", odd; the others have K = 1.
    temperature : float
        Of "soft", in units of the radius.
    loss : str
        "negative", "hinge", "exponential" or "logistic".
    loss_scale : float
        s in ℓ(ε/s), in units of the radius. The hinge is flat beyond s: s is its target radius.
    n_candidates : int
        Length of the lists of nearest positives and negatives; 10 in the paper. Smaller classes have shorter
        lists.
    learning_rate : float
        Of Adam; 0.001 in the paper.
    max_iter : int
        Steps ("minibatch") or epochs of one step each ("full").
    schedule : str
        "minibatch" or "full": every anchor in every step and lists renewed every step, the paper's protocol.
    batch_size : int, optional
        Anchors a step under "minibatch"; None takes the whole pool.
    refresh : int, optional
        Steps between renewals; None is 20 under "minibatch" and 1 under "full".
    pool_size : int, optional
        Anchors whose lists one renewal makes, under "minibatch"; the next pool takes the next ones. None: all.
    average : bool
        Give the mean of the iterates, weighted by the cube of the step number (Shamir and Zhang 2013), instead
        of the last: less of the sampling noise.
    early_stopping : bool
        Hold out points, and stop when the loss of their "order" radii has not fallen for ``n_iter_no_change``
        renewals; the best iterate is given.
    validation_fraction : float
        Share held out, of each class alike, at most 1000 points.
    n_iter_no_change : int
    init : str or ndarray of shape (r, D)
        "identity" (the first r rows of it), "pca" (r leading principal directions), a G to start from, or
        "auto": identity for a square G, else "pca".
    warm_start : bool
        Start from ``components_`` of the last fit, where there is one of the right shape, instead of ``init``.
    checkpoint : str or path, optional
        A file for the state, written at renewals (at most every 10 s) and deleted at the end. Where it exists,
        the fit goes on from there and ends with the same bytes as if never stopped.
    device : str
        A torch device; the lists and the gradient live there.
    n_jobs : int
        Threads that find neighbours.
    verbose : bool
        Show a progress bar.
    random_state : int or None

    Attributes
    ----------
    history_ : ndarray of shape (n_iter_,)
        Mean loss of each step's batch, before the step.
    validation_history_ : ndarray
        Loss on the held-out points after each renewal's steps; empty without ``early_stopping``.
    converged_ : None or bool
        None: the number of steps is fixed. With ``early_stopping``, whether it stopped the fit. False also where
        the loss or G became NaN or infinite; G is the last finite one, and a ConvergenceWarning says so.

    Raises
    ------
    ValueError
        In ``fit``: a parameter out of range or of another kind (the message names it), a device that is not there, no
        class with two members, bad data (:meth:`MetricLearner.fit`).
    DataError
        In ``fit``: the checkpoint belongs to other data or parameters, or cannot be read.
    NotFittedError
        Anything else before ``fit``.

    Notes
    -----
    Cost of a renewal: O(N D r + P N r) for a pool of P; of a step: O(B D r), and about 2 ``n_candidates`` / 3
    times that for the objectives that take whole lists. Memory: O(N (D + r)) floats and one block of distances a
    thread, never N².

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(60, 2)) * [0.1, 1.0]
    >>> y = np.arange(60) % 2
    >>> X[:, 0] += y
    >>> M = ARML(max_iter=200, learning_rate=0.01).fit(X, y).get_mahalanobis_matrix()
    >>> bool(M[0, 0] > M[1, 1])  # only the first feature tells the classes apart
    True
    """

    method = "arml"

    def __init__(
        self,
        n_components: int | None = None,
        objective: str = "sampled",
        n_neighbors: int = 1,
        temperature: float = 0.05,
        loss: str = "negative",
        loss_scale: float = 1.0,
        n_candidates: int = 20,
        learning_rate: float = 1e-3,
        max_iter: int = 1000,
        schedule: str = "minibatch",
        batch_size: int | None = 500,
        refresh: int | None = None,
        pool_size: int | None = 2000,
        average: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        init: str | NDArray[Any] = "auto",
        warm_start: bool = False,
        checkpoint: str | os.PathLike[str] | None = None,
        device: str = "cpu",
        n_jobs: int = 1,
        verbose: bool = False,
        random_state: int | None = 42,
    ) -> None:
        self.n_components = n_components
        self.objective = objective
        self.n_neighbors = n_neighbors
        self.temperature = temperature
        self.loss = loss
        self.loss_scale = loss_scale
        self.n_candidates = n_candidates
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.schedule = schedule
        self.batch_size = batch_size
        self.refresh = refresh
        self.pool_size = pool_size
        self.average = average
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.init = init
        self.warm_start = warm_start
        self.checkpoint = checkpoint
        self.device = device
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    def _check_params(self) -> None:
        check_int("n_components", self.n_components, 1, optional=True)
        check_choice("objective", self.objective, OBJECTIVES)
        check_int("n_neighbors", self.n_neighbors, 1)
        self._check_neighbors()
        check_positive("temperature", self.temperature)
        check_choice("loss", self.loss, LOSS_NAMES)
        check_positive("loss_scale", self.loss_scale)
        check_int("n_candidates", self.n_candidates, 1)
        check_positive("learning_rate", self.learning_rate)
        check_int("max_iter", self.max_iter, 1)
        check_choice("schedule", self.schedule, ("minibatch", "full"))
        for name in ("batch_size", "refresh", "pool_size"):
            check_int(name, getattr(self, name), 1, optional=True)
        for name in ("average", "early_stopping", "warm_start", "verbose"):
            check_flag(name, getattr(self, name))
        check_positive("validation_fraction", self.validation_fraction)
        if self.validation_fraction >= 1:
            raise ValueError(f"validation_fraction must be below 1, got {self.validation_fraction!r}")
        check_int("n_iter_no_change", self.n_iter_no_change, 1)
        check_int("n_jobs", self.n_jobs, 1)
        check_int("random_state", self.random_state, 0, optional=True)
        if isinstance(self.init, str):
            check_choice("init", self.init, ("auto", "identity", "pca"))

    def _check_neighbors(self) -> None:
        if self.n_neighbors > 1 and self.objective != "order":
            raise ValueError(
                f"objective {self.objective!r} has n_neighbors = 1, got {self.n_neighbors}: take objective='order'"
            )
        if self.n_neighbors % 2 == 0:
            raise ValueError(f"n_neighbors must be odd (Theorem 1), got {self.n_neighbors}")
        if self.objective == "order" and (self.n_neighbors + 1) // 2 > self.n_candidates:
            raise ValueError(
                f"n_candidates must be at least (n_neighbors + 1) / 2 = {(self.n_neighbors + 1) // 2}, "
                f"got {self.n_candidates}"
            )

    def _prepare(self) -> None:
        check_device(self.device)

    def _learn(self, X: Floats, codes: Indices) -> LearnedMetric:
        check_has_pairs(codes, self.method)
        check_rank(self.n_components, X)
        from arml.learners.descent import Descent

        with single_threaded():
            order, basis = canonical_order(X, codes), None
            if self._stays_in_span(*X.shape):
                inside, basis = into_span(X[order])
                X = np.empty_like(inside)
                X[order] = inside
            seed = self._seed()
            rows, held = self._split(codes[order], seed)
            train = order[rows]
            mean = X[train].mean(axis=0) if held.size else X.mean(axis=0)
            points = _centred(X, train, mean)
            sizes = np.bincount(codes)
            starts = _class_starts(codes[train], sizes.size)
            extra = (_centred(X, order[held], mean), _class_starts(codes[order[held]], sizes.size))
            descent = Descent(points, starts, self._settings(seed), *(extra if held.size else ()))
            start = self._initial(points, basis)
            outcome = descent.run(start, Path(self.checkpoint) if self.checkpoint else None)
        self.validation_history_ = np.array(outcome.validation)
        learned = self._report(outcome, train.size, descent.anchors.size)
        if basis is None:
            return learned
        return replace(learned, components=learned.components @ basis, notes=(span_note(basis), *learned.notes))

    def _stays_in_span(self, n: int, width: int) -> bool:
        """Whether G is learned in the span of n points: fewer than features, and the start has nothing beyond it."""
        square = self.n_components in (None, width)
        return n < width and isinstance(self.init, str) and (square or self.init != "identity")

    def _seed(self) -> int:
        if self.random_state is not None:
            return self.random_state
        if self.checkpoint:
            raise ValueError("checkpoint needs a random_state: what is random must be the same after a resume")
        return int(np.random.SeedSequence().generate_state(1)[0])

    def _split(self, codes: Indices, seed: int) -> tuple[Indices, Indices]:
        """Places (ascending) to fit on and to hold out; classes of fewer than three members are not split."""
        everything = np.arange(codes.size)
        if not self.early_stopping:
            return everything, everything[:0]
        splittable = everything[np.bincount(codes)[codes] >= 3]
        size = min(_MOST_HELD_OUT, round(self.validation_fraction * codes.size))
        counts = np.bincount(codes[splittable])
        if splittable.size == 0 or size < np.count_nonzero(counts):
            raise ValueError(
                f"early_stopping holds out {size} points, fewer than there are classes of 3 or more members "
                f"({np.count_nonzero(counts)}): raise validation_fraction or set early_stopping=False"
            )
        rng = np.random.default_rng((seed, 0))
        share = np.minimum(np.maximum(1, np.round(counts * (size / splittable.size)).astype(np.intp)), counts - 2)
        chosen = [
            rng.permutation(splittable[codes[splittable] == label])[: share[label]] for label in np.flatnonzero(counts)
        ]
        held = np.sort(np.concatenate(chosen))
        return np.setdiff1d(everything, held), held

    def _settings(self, seed: int) -> Settings:
        from arml.learners.descent import Settings

        full = self.schedule == "full"
        return Settings(
            objective=self.objective,
            loss=self.loss,
            loss_scale=float(self.loss_scale),
            temperature=float(self.temperature),
            n_neighbors=self.n_neighbors,
            n_candidates=self.n_candidates,
            learning_rate=float(self.learning_rate),
            max_iter=self.max_iter,
            batch_size=None if full else self.batch_size,
            pool_size=None if full else self.pool_size,
            refresh=self.refresh or (1 if full else DEFAULT_REFRESH),
            average=self.average,
            n_iter_no_change=self.n_iter_no_change if self.early_stopping else None,
            seed=seed,
            device=self.device,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def _initial(self, X: NDArray[np.float32], basis: Floats | None) -> Floats:
        """G to start from, for points in the basis, where there is one."""
        width = X.shape[1]
        rank = min(self.n_components or width, width)
        last = getattr(self, "components_", np.empty(0))
        if self.warm_start and last.shape == (rank, width if basis is None else basis.shape[1]):
            return np.array(last) if basis is None else last @ basis.T
        if not isinstance(self.init, str):
            given = np.asarray(self.init, dtype=np.float64)
            rows = self.n_components or (given.shape[0] if given.ndim == 2 else width)
            if given.shape != (rows, width) or not np.isfinite(given).all() or not given.any():
                raise ValueError(
                    f"init must be a finite non-zero ({rows}, {width}) matrix, got one of shape {given.shape}"
                )
            return given / np.linalg.norm(given, 2)
        if self.init == "identity" or (self.init == "auto" and rank == width):
            return np.eye(rank, width)
        vectors = np.linalg.eigh(X.T.astype(np.float64) @ X)[1]
        return np.ascontiguousarray(vectors[:, ::-1][:, :rank].T)

    def _report(self, outcome: Outcome, n_fit: int, n_anchors: int) -> LearnedMetric:
        notes = []
        if n_anchors < n_fit:
            notes.append(f"{n_fit - n_anchors} points alone in their class have no positive: not anchors")
        if outcome.failure:
            notes.append(f"diverged: {outcome.failure}; kept the last finite G")
            warnings.warn(
                f"ARML stopped after {len(outcome.history)} of {self.max_iter} steps: {outcome.failure}. The last "
                f"finite G is kept; lower learning_rate ({self.learning_rate:g}) or raise loss_scale "
                f"({self.loss_scale:g})",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif outcome.converged is False:
            notes.append(f"still improving on the held-out points after {len(outcome.history)} steps")
        return LearnedMetric(
            outcome.G,
            n_iter=len(outcome.history),
            converged=outcome.converged,
            n_fit_samples=n_fit,
            notes=tuple(notes),
            history=np.array(outcome.history),
            facts={"n_anchors": n_anchors, "final_loss": outcome.history[-1] if outcome.history else None},
        )


def _centred(X: Floats, rows: Indices, mean: Floats) -> NDArray[np.float32]:
    """X[rows] − mean in float32, made block by block; eq. (9) does not see the shift, float32 does."""
    points = np.empty((rows.size, X.shape[1]), dtype=np.float32)
    for first in range(0, rows.size, _BLOCK):
        points[first : first + _BLOCK] = X[rows[first : first + _BLOCK]] - mean
    return points


def _class_starts(codes: Indices, n_classes: int) -> Indices:
    return np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=n_classes))]).astype(np.intp)


def canonical_order(X: Floats, codes: Indices) -> Indices:
    """Rows by class, then by the bytes of their features: equal for every order the rows may come in."""
    keys = np.ascontiguousarray(X + 0.0)  # −0.0 and 0.0 are the same value
    row = np.dtype((np.void, keys.dtype.itemsize * keys.shape[1]))
    rank = np.argsort(keys.view(row).ravel(), kind="stable")
    order: Indices = rank[np.argsort(codes[rank], kind="stable")]
    return order
