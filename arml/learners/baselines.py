"""The paper's baselines NCA, LMNN, ITML and LFDA as learners, with metric-learn's defaults.

Each can be fitted on a stratified subset (``max_train``), always or only where the full set would be beyond limits of
memory and time (``max_memory``, ``max_minutes``; see :mod:`arml.learners.guards`). Subsets and their reason, fallbacks,
non-convergence and warnings end up in ``fit_summary_``, not on the screen. Fewer points than features are fitted and
kept in the m < N dimensions that they span: G has m rows, and what it predicts and proves on these points is what the
metric of all features would (:mod:`arml.learners.span`).

NCA and LMNN are metric-learn's algorithms in blocks, which any number of points fits (``engine="blocked"``), or the
library's own code, which holds matrices of all pairs (``engine="metric-learn"``); ITML and LFDA are the library's.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from arml.learners.base import Floats, Indices, LearnedMetric
from arml.learners.baseline import Baseline, BlockedBaseline
from arml.learners.guards import (
    Estimate,
    estimate_blocked_lmnn,
    estimate_blocked_nca,
    estimate_itml,
    estimate_lfda,
    estimate_lmnn,
    estimate_nca,
)
from arml.learners.subsets import drop_single_members
from arml.validation import check_choice, check_int, check_positive

__all__ = ["ITML", "LFDA", "LMNN", "NCA"]


class NCA(BlockedBaseline):
    """Neighbourhood components analysis (Goldberger et al. 2004), by L-BFGS.

    Cost: O(N² D) an iteration, in O(N D) memory, O(N²) with metric-learn's engine; ``max_train`` bounds N. The history
    is the objective of each evaluation ("blocked" only).

    Parameters
    ----------
    n_components : int, optional
        Rows of G; None is D, of fewer points than features the number of dimensions that they span.
    init : str
        "auto", "pca", "lda", "identity" or "random"; "auto" is the identity for a square G in all but sets
        with more classes than features (then "lda").
    max_iter : int
    tol : float, optional
    max_train : int, optional
        Fit on a stratified subset of this many training points.
    max_memory, max_minutes : float, optional
        Fit on all points unless that would take more GiB or minutes than these, by the documented estimate; then on
        ``max_train`` of them.
    engine : str
        "blocked" (the algorithm in float64, in blocks of rows) or "metric-learn" (the library's own code: equal
        results up to rounding; ``device`` and ``checkpoint`` mean nothing to it).
    device : str
        "cpu", a CUDA device as torch names it, or "auto": CUDA where there is one.
    checkpoint : str or path, optional
        A file for the state, written at most every 10 s and deleted at the end. Where it exists, the fit
        goes on from there and ends with the same bytes as if never stopped.
    verbose : bool
        Show how the fit proceeds.
    random_state : int or None

    Raises
    ------
    DataError
        In ``fit``: the checkpoint belongs to other data or parameters, or cannot be read.
    """

    method = "nca"

    def __init__(
        self,
        n_components: int | None = None,
        init: str = "auto",
        max_iter: int = 100,
        tol: float | None = None,
        max_train: int | None = None,
        max_memory: float | None = None,
        max_minutes: float | None = None,
        engine: str = "blocked",
        device: str = "cpu",
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: bool = False,
        random_state: int | None = 42,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.max_train = max_train
        self.max_memory = max_memory
        self.max_minutes = max_minutes
        self.engine = engine
        self.device = device
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_int("max_iter", self.max_iter, 1)
        check_positive("tol", self.tol, optional=True)

    def _blocked_runner(self) -> Callable[..., LearnedMetric]:
        from arml.learners.blocked_nca import run_blocked_nca

        return run_blocked_nca

    def _estimate(self, n: int, width: int, sizes: Indices) -> Estimate:
        estimate = estimate_blocked_nca if self.engine == "blocked" else estimate_nca
        return estimate(n, width, sizes, self.max_iter)


class LMNN(BlockedBaseline):
    """Large margin nearest neighbours (Weinberger and Saul 2009), by gradient descent.

    Cost: at most O(N² D) an iteration, and far less where few pairs of different classes are near each other's margins;
    O(N D) memory and a list of such pairs, O(N²) with metric-learn's engine; ``max_train`` bounds N. The history is the
    objective.

    Parameters
    ----------
    n_neighbors : int
        Target neighbours. Lowered to the size of the smallest class less one; classes of one member are left
        out of the fit; both are noted.
    min_iter, max_iter : int
    learn_rate, regularization, convergence_tol : float
    n_components : int, optional
    init : str
        As for :class:`NCA`.
    max_train : int, optional
    max_memory, max_minutes : float, optional
    engine, device, checkpoint, verbose
        As for :class:`NCA`.
    random_state : int or None

    Raises
    ------
    ValueError
        In ``fit``, also: fewer than two classes with two members.
    """

    method = "lmnn"

    def __init__(
        self,
        n_neighbors: int = 3,
        min_iter: int = 50,
        max_iter: int = 1000,
        learn_rate: float = 1e-7,
        regularization: float = 0.5,
        convergence_tol: float = 1e-3,
        n_components: int | None = None,
        init: str = "auto",
        max_train: int | None = None,
        max_memory: float | None = None,
        max_minutes: float | None = None,
        engine: str = "blocked",
        device: str = "cpu",
        checkpoint: str | os.PathLike[str] | None = None,
        verbose: bool = False,
        random_state: int | None = 42,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.min_iter = min_iter
        self.max_iter = max_iter
        self.learn_rate = learn_rate
        self.regularization = regularization
        self.convergence_tol = convergence_tol
        self.n_components = n_components
        self.init = init
        self.max_train = max_train
        self.max_memory = max_memory
        self.max_minutes = max_minutes
        self.engine = engine
        self.device = device
        self.checkpoint = checkpoint
        self.verbose = verbose
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_int("n_neighbors", self.n_neighbors, 1)
        check_int("min_iter", self.min_iter, 0)
        check_int("max_iter", self.max_iter, 3)
        for name in ("learn_rate", "regularization", "convergence_tol"):
            check_positive(name, getattr(self, name))

    def _start(self, X: Floats, codes: Indices) -> Floats:
        return super()._start(*drop_single_members(X, codes, []))

    def _blocked_runner(self) -> Callable[..., LearnedMetric]:
        from arml.learners.blocked_lmnn import run_blocked_lmnn

        return run_blocked_lmnn

    def _estimate(self, n: int, width: int, sizes: Indices) -> Estimate:
        estimate = estimate_blocked_lmnn if self.engine == "blocked" else estimate_lmnn
        return estimate(n, width, sizes, self.max_iter, self.n_neighbors)


class ITML(Baseline):
    """Information-theoretic metric learning (Davis et al. 2007), by cyclic projections.

    Cost: O(n_constraints D²) an iteration; the library holds all distances between the constrained points.

    Parameters
    ----------
    gamma : float
        Weight of the slack.
    max_iter : int
    tol : float
    n_constraints : int, optional
        Pairs of each kind; None is 20 C².
    prior : str
        "identity", "covariance" or "random".
    max_train : int, optional
    max_memory, max_minutes : float, optional
        As for :class:`NCA`.
    random_state : int or None
    """

    method = "itml"

    def __init__(
        self,
        gamma: float = 1.0,
        max_iter: int = 1000,
        tol: float = 1e-3,
        n_constraints: int | None = None,
        prior: str = "identity",
        max_train: int | None = None,
        max_memory: float | None = None,
        max_minutes: float | None = None,
        random_state: int | None = 42,
    ) -> None:
        self.gamma = gamma
        self.max_iter = max_iter
        self.tol = tol
        self.n_constraints = n_constraints
        self.prior = prior
        self.max_train = max_train
        self.max_memory = max_memory
        self.max_minutes = max_minutes
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_positive("gamma", self.gamma)
        check_positive("tol", self.tol)
        check_int("max_iter", self.max_iter, 1)
        check_int("n_constraints", self.n_constraints, 1, optional=True)
        check_choice("prior", self.prior, ("identity", "covariance", "random"))

    def _stays_in_span(self) -> bool:
        return self.prior == "identity"

    def _estimate(self, n: int, width: int, sizes: Indices) -> Estimate:
        return estimate_itml(n, width, sizes, self.max_iter, self.n_constraints)


class LFDA(Baseline):
    """Local Fisher discriminant analysis (Sugiyama 2007), in closed form.

    Cost: O(Σ n_c²) time and the square of the largest class in memory. Constant columns are dropped and noted. Where
    the features that are left depend on each other (the library's eigenproblem is singular and its result complex or
    infinite), the fit is repeated on the principal components of non-zero variance, which lose nothing, and if the
    within-class scatter is singular even there, with a ridge on it; both are noted.

    Parameters
    ----------
    n_components : int, optional
    k : int, optional
        Neighbour of the local scaling; None is min(7, D − 1).
    embedding_type : str
        "weighted", "orthonormalized" or "plain".
    max_train : int, optional
    max_memory, max_minutes : float, optional
        As for :class:`NCA`.
    random_state : int or None
        For the subset only.
    """

    method = "lfda"
    seeded = False
    identity_start = False

    def __init__(
        self,
        n_components: int | None = None,
        k: int | None = None,
        embedding_type: str = "weighted",
        max_train: int | None = None,
        max_memory: float | None = None,
        max_minutes: float | None = None,
        random_state: int | None = 42,
    ) -> None:
        self.n_components = n_components
        self.k = k
        self.embedding_type = embedding_type
        self.max_train = max_train
        self.max_memory = max_memory
        self.max_minutes = max_minutes
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_int("k", self.k, 1, optional=True)
        check_choice("embedding_type", self.embedding_type, ("weighted", "orthonormalized", "plain"))

    def _stays_in_span(self) -> bool:
        return True

    def _estimate(self, n: int, width: int, sizes: Indices) -> Estimate:
        return estimate_lfda(n, width, sizes)
