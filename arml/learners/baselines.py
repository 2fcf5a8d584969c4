"""The paper's baselines NCA, LMNN, ITML and LFDA as learners, with metric-learn's defaults.

Each can be fitted on a stratified subset (``max_train``), always or only where the full set would be beyond limits of
memory and time (``max_memory``, ``max_minutes``; see :mod:`arml.learners.guards`). Subsets and their reason, fallbacks,
non-convergence and warnings end up in ``fit_summary_``, not on the screen. Fewer points than features are fitted in
the dimensions that they span, which changes no metric beyond rounding (:mod:`arml.learners.span`).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from arml.learners.base import Floats, Indices, LearnedMetric, MetricLearner
from arml.learners.checks import check_has_pairs, check_rank
from arml.learners.guards import Estimate, Limits, estimate_itml, estimate_lfda, estimate_lmnn, estimate_nca
from arml.learners.span import into_span, out_of_span
from arml.system.resources import recorded_warnings
from arml.validation import check_choice, check_int, check_positive

__all__ = ["ITML", "LFDA", "LMNN", "NCA"]

_LIMITS = ("max_train", "max_memory", "max_minutes")
INITS = ("auto", "pca", "lda", "identity", "random")

# metric-learn 0.7 uses a name that scikit-learn 1.8 removes, and asks ARPACK for all eigenpairs: neither says
# anything about the data
_LIBRARY_NOISE = ("'force_all_finite' was renamed", "Attempting to use scipy.linalg.eigh instead")


class _Baseline(MetricLearner):
    """The common course: subset, library call with warnings recorded, notes gathered."""

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
        if rows is not None:
            X, codes = X[rows], codes[rows]
        params = {name: value for name, value in self.get_params().items() if name not in _LIMITS}
        if not self.seeded:
            del params["random_state"]
        with recorded_warnings() as warned:
            learned = (self._learn_in_span if narrow else self._runner())(X, codes, **params)
        telling = [warning for warning in warned if not any(noise in warning for noise in _LIBRARY_NOISE)]
        return replace(learned, notes=(*reasons, *learned.notes, *telling), facts={**learned.facts, **facts})

    def _learn_in_span(self, X: Floats, codes: Indices, **params: Any) -> LearnedMetric:
        """The library's fit of fewer points than features, in the dimensions that the points span."""
        points, basis = into_span(X)
        if "init" in params:
            params["init"] = "identity"  # what "auto" is for a square G, there as here
        learned = self._runner()(points, codes, **params)
        whole = out_of_span(learned, basis, identity_beyond=self.identity_start)
        constant = [] if self.identity_start else np.flatnonzero(np.ptp(X, axis=0) == 0).tolist()
        return replace(whole, dropped_features=tuple(constant))

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


class NCA(_Baseline):
    """Neighbourhood components analysis (Goldberger et al. 2004), by L-BFGS.

    Cost: O(N² D) an iteration and O(N²) memory; ``max_train`` bounds N.

    Parameters
    ----------
    n_components : int, optional
        Rows of G; None is D.
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
    random_state : int or None
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
        random_state: int | None = 42,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.max_train = max_train
        self.max_memory = max_memory
        self.max_minutes = max_minutes
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_choice("init", self.init, INITS)
        check_int("max_iter", self.max_iter, 1)
        check_positive("tol", self.tol, optional=True)

    def _stays_in_span(self) -> bool:
        return self.n_components is None and self.init in ("auto", "identity")

    def _estimate(self, n: int, width: int, sizes: Indices) -> Estimate:
        return estimate_nca(n, width, sizes, self.max_iter)


class LMNN(_Baseline):
    """Large margin nearest neighbours (Weinberger and Saul 2009), by gradient descent.

    Cost: O(N²) an iteration and O(N²) memory; ``max_train`` bounds N. The history is the objective.

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
        self.random_state = random_state

    def _check_params(self) -> None:
        super()._check_params()
        check_choice("init", self.init, INITS)
        check_int("n_neighbors", self.n_neighbors, 1)
        check_int("min_iter", self.min_iter, 0)
        check_int("max_iter", self.max_iter, 3)
        for name in ("learn_rate", "regularization", "convergence_tol"):
            check_positive(name, getattr(self, name))

    def _stays_in_span(self) -> bool:
        return self.n_components is None and self.init in ("auto", "identity")

    def _estimate(self, n: int, width: int, sizes: Indices) -> Estimate:
        return estimate_lmnn(n, width, sizes, self.max_iter, self.n_neighbors)


class ITML(_Baseline):
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


class LFDA(_Baseline):
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
