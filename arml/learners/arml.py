"""ARML (Algorithm 1): learn M = GᵀG by pushing the certified radii of the training points outwards."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from arml.learners.base import Floats, Indices, LearnedMetric, MetricLearner
from arml.learners.checks import check_choice, check_has_pairs, check_int, check_positive, check_rank
from arml.learners.resources import single_threaded

__all__ = ["ARML"]

LOSS_NAMES = ("negative", "hinge", "exponential", "logistic")
DEFAULT_REFRESH = 20
_CHUNK = 8192


class ARML(MetricLearner):
    """Adversarially robust metric learning (eq. 12, Algorithm 1) with Adam.

    Each step takes anchors x, draws for each one of its nearest positives and one of its nearest negatives
    under the current M, and follows the gradient of the mean loss of eq. (9) through G; the drawing itself is
    a constant. Everything random comes from one generator seeded with ``random_state``, training runs on one
    CPU thread and the training points are put into an order of their own first: the same data, in whatever
    order, with the same seed give the same bytes.

    Parameters
    ----------
    n_components : int, optional
        Rows r of G; None is D.
    loss : str
        "negative", "hinge", "exponential" or "logistic".
    loss_scale : float
        s in ℓ(ε/s), in units of the radius.
    n_candidates : int
        Length of the lists of nearest positives and negatives; 10 in the paper. Smaller classes have shorter
        lists.
    learning_rate : float
    max_iter : int
        Steps ("minibatch") or epochs of one step each ("full").
    schedule : str
        "minibatch" or "full": every anchor in every step and lists renewed every step, the paper's protocol.
    batch_size : int, optional
        Anchors a step under "minibatch"; None takes all.
    refresh : int, optional
        Steps a candidate list may serve; None is 20 under "minibatch" and 1 under "full".
    init : str or ndarray of shape (r, D)
        "identity" (the first r rows of it), "pca" (r leading principal directions), a G to start from, or
        "auto": identity for a square G, else "pca".
    device : str
        A torch device; the lists and the gradient live there.
    random_state : int or None

    Attributes
    ----------
    history_ : ndarray of shape (n_iter_,)
        Mean loss of each step's batch, before the step.
    converged_ : None or False
        None: the number of steps is fixed. False: the loss or G became NaN or infinite; G is the last finite
        one, and a ConvergenceWarning says so.

    Notes
    -----
    Cost: O(B N r / refresh + B D r) a step at best, O(B N r) at worst; memory O(N (D + n_candidates)) and one
    block of distances, never N².

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
        loss: str = "negative",
        loss_scale: float = 1.0,
        n_candidates: int = 10,
        learning_rate: float = 1e-3,
        max_iter: int = 1000,
        schedule: str = "minibatch",
        batch_size: int | None = 500,
        refresh: int | None = None,
        init: str | NDArray[Any] = "auto",
        device: str = "cpu",
        random_state: int | None = 42,
    ) -> None:
        self.n_components = n_components
        self.loss = loss
        self.loss_scale = loss_scale
        self.n_candidates = n_candidates
        self.learning_rate = learning_rate
        self.max_iter = max_iter
        self.schedule = schedule
        self.batch_size = batch_size
        self.refresh = refresh
        self.init = init
        self.device = device
        self.random_state = random_state

    def _check_params(self) -> None:
        check_int("n_components", self.n_components, 1, optional=True)
        check_choice("loss", self.loss, LOSS_NAMES)
        check_positive("loss_scale", self.loss_scale)
        check_int("n_candidates", self.n_candidates, 1)
        check_positive("learning_rate", self.learning_rate)
        check_int("max_iter", self.max_iter, 1)
        check_choice("schedule", self.schedule, ("minibatch", "full"))
        check_int("batch_size", self.batch_size, 1, optional=True)
        check_int("refresh", self.refresh, 1, optional=True)
        check_int("random_state", self.random_state, 0, optional=True)
        if isinstance(self.init, str):
            check_choice("init", self.init, ("auto", "identity", "pca"))

    def _prepare(self) -> None:
        import torch

        try:
            torch.empty(0, device=torch.device(self.device))
        except (RuntimeError, AssertionError) as err:
            raise ValueError(f"device {self.device!r} cannot be used here: {err}; 'cpu' always can") from err

    def _learn(self, X: Floats, codes: Indices) -> LearnedMetric:
        check_has_pairs(codes, self.method)
        check_rank(self.n_components, X)
        with single_threaded():
            order = canonical_order(X, codes)
            points = X[order] - X[order].mean(axis=0)  # eq. (9) does not see the shift; float32 does
            start = self._initial(points)
            starts = np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.intp)
            return self._descend(points, starts, start)

    def _initial(self, X: Floats) -> Floats:
        width = X.shape[1]
        if not isinstance(self.init, str):
            given = np.asarray(self.init, dtype=np.float64)
            rows = self.n_components or (given.shape[0] if given.ndim == 2 else width)
            if given.shape != (rows, width) or not np.isfinite(given).all() or not given.any():
                raise ValueError(
                    f"init must be a finite non-zero ({rows}, {width}) matrix, got one of shape {given.shape}"
                )
            return given / np.linalg.norm(given, 2)
        rank = self.n_components or width
        if self.init == "identity" or (self.init == "auto" and rank == width):
            return np.eye(rank, width)
        vectors = np.linalg.eigh(X.T @ X)[1]
        return np.ascontiguousarray(vectors[:, ::-1][:, :rank].T)

    def _descend(self, X: Floats, starts: Indices, start: Floats) -> LearnedMetric:
        """Algorithm 1 on centred points ordered by class, from G = ``start``."""
        import torch

        from arml.learners.candidates import CandidateLists, anchor_batches

        full = self.schedule == "full"
        refresh = self.refresh or (1 if full else DEFAULT_REFRESH)
        points = torch.as_tensor(X, dtype=torch.float32, device=self.device)
        G = torch.as_tensor(start, dtype=torch.float32, device=self.device).clone().requires_grad_()
        optimiser = torch.optim.Adam([G], lr=self.learning_rate, foreach=False)
        rng = np.random.default_rng(self.random_state)
        lists = CandidateLists(points, starts, self.n_candidates, refresh)
        anchors = lists.anchors
        batches = anchor_batches(anchors, None if full else self.batch_size, rng)
        history: list[float] = []
        failure = ""
        last_good = G.detach().clone()
        for step in range(self.max_iter):
            batch = next(batches)
            lists.renew(G, batch, step)
            loss = self._gradient(G, points, batch, lists.draw(batch, rng))
            if not (np.isfinite(loss) and bool(torch.isfinite(G.grad).all())):
                failure = f"loss {loss} or its gradient is not finite at step {step}"
                break
            optimiser.step()
            if not bool(torch.isfinite(G).all()):
                failure = f"G is not finite after step {step}"
                break
            history.append(loss)
            last_good.copy_(G.detach())
        return self._report(last_good.cpu().double().numpy(), history, failure, X.shape[0], anchors.size)

    def _gradient(self, G: Any, points: Any, batch: Indices, drawn: tuple[Any, Any]) -> float:
        """Set G.grad to the gradient of the batch's mean loss and return that loss; memory is one chunk."""
        import torch

        from arml.learners.objective import training_loss

        G.grad = None
        total = 0.0
        anchors = torch.from_numpy(batch)
        for part in torch.arange(batch.size).split(_CHUNK):
            x, positive, negative = (points[rows[part].to(points.device)] for rows in (anchors, drawn[0], drawn[1]))
            share = part.numel() / batch.size
            loss = training_loss(G, x, positive, negative, self.loss, self.loss_scale) * share
            loss.backward()
            total += float(loss.detach())
        return total

    def _report(self, G: Floats, history: list[float], failure: str, n_train: int, n_anchors: int) -> LearnedMetric:
        notes = []
        if n_anchors < n_train:
            notes.append(f"{n_train - n_anchors} points alone in their class have no positive: not anchors")
        if failure:
            notes.append(f"diverged: {failure}; kept the last finite G")
            warnings.warn(
                f"ARML stopped after {len(history)} of {self.max_iter} steps: {failure}. The last finite G "
                f"is kept; lower learning_rate ({self.learning_rate:g}) or raise loss_scale "
                f"({self.loss_scale:g})",
                ConvergenceWarning,
                stacklevel=5,
            )
        return LearnedMetric(
            G,
            n_iter=len(history),
            converged=False if failure else None,
            n_fit_samples=n_train,
            notes=tuple(notes),
            history=np.array(history),
            facts={"n_anchors": n_anchors, "final_loss": history[-1] if history else None},
        )


def canonical_order(X: Floats, codes: Indices) -> Indices:
    """Rows by class, then by the bytes of their features: equal for every order the rows may come in."""
    keys = np.ascontiguousarray(X + 0.0)  # −0.0 and 0.0 are the same value
    row = np.dtype((np.void, keys.dtype.itemsize * keys.shape[1]))
    rank = np.argsort(keys.view(row).ravel(), kind="stable")
    order: Indices = rank[np.argsort(codes[rank], kind="stable")]
    return order
