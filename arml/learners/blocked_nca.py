"""NCA without N² numbers: metric-learn's objective, gradient, optimizer and stopping rule, a block of rows at a time.

With P the softmax of −‖A xᵢ − A xⱼ‖² over j ≠ i, and pᵢ = Σ P over i's class, the objective is Σ pᵢ. For
W = P ∘ [same class] − pᵢ P, whose rows sum to 0, its gradient is −2 A Σᵢⱼ Wᵢⱼ (xᵢ − xⱼ)(xᵢ − xⱼ)ᵀ, and the sum is
Xᵀ diag(Wᵀ1) X − Xᵀ(WX) − (WX)ᵀX: a block of W gives its rows of WX and its share of Wᵀ1, and is forgotten.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from scipy.optimize import minimize
from torch import Tensor

from arml.errors import DataError
from arml.learners.base import Floats, Indices, LearnedMetric
from arml.learners.classical import initial_components
from arml.learners.progress import progress
from arml.system.checkpoint import CHECKPOINT_SECONDS, fingerprint, read_checkpoint, write_checkpoint
from arml.system.resources import single_threaded

__all__ = ["Neighbourhoods", "run_blocked_nca"]

# entries of P held at once: what a core's cache keeps, what fills a GPU
_ENTRIES = {"cpu": 1 << 19, "cuda": 1 << 27}
# exponents below are as good as this one: numbers that underflow would make the processor crawl
_LEAST = -500.0
_PATIENCE = 20  # between two writes of the record, which grows, in units of the time that one takes


class Neighbourhoods:
    """The objective of NCA on some points.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    codes : ndarray of shape (N,)
        Class codes 0 … C − 1.
    device : str
        Where blocks live, in float64.
    """

    def __init__(self, X: Floats, codes: Indices, device: str = "cpu") -> None:
        order = np.argsort(codes, kind="stable")
        points = X[order] - X.mean(axis=0)
        self.shape = X.shape
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(codes))]).tolist()
        ones = np.ones((len(X), 1))
        self._points = torch.from_numpy(np.hstack([points, ones])).to(device)  # the column of ones gives sums
        entries = _ENTRIES[torch.device(device).type]
        self._rows = min(len(X), max(1, entries // len(X)))
        self._block = torch.empty(self._rows * len(X), dtype=torch.float64, device=device)

    def __call__(self, A: Floats) -> tuple[float, Floats]:
        """The objective Σ pᵢ, to be made large, and its gradient.

        Parameters
        ----------
        A : ndarray of shape (r, D)

        Returns
        -------
        value : float
        gradient : ndarray of shape (r, D)

        Notes
        -----
        Cost: three products of N² r or N² D multiplications and N² exponentials; memory O(N (D + r)) and one block.
        """
        points, width = self._points, self.shape[1]
        G = torch.from_numpy(np.ascontiguousarray(A)).to(points.device)
        mapped = points[:, :-1] @ G.T
        squares = mapped.square().sum(dim=1, keepdim=True)
        left, right = torch.hstack([2 * mapped, -torch.ones_like(squares)]), torch.hstack([mapped, squares]).T
        value = torch.zeros((), dtype=torch.float64, device=points.device)
        moment = torch.zeros((width, width), dtype=torch.float64, device=points.device)
        columns = torch.zeros(len(points), dtype=torch.float64, device=points.device)
        for first, last in zip(self._starts, self._starts[1:], strict=False):
            for a in range(first, last, self._rows):
                b = min(a + self._rows, last)
                share, weighted = self._block_sums(left, right, a, b, first, last, columns)
                value += share
                moment += points[a:b, :-1].T @ weighted
        scatter = points[:, :-1].T @ (columns[:, None] * points[:, :-1]) - moment - moment.T
        return float(value), (-2 * (G @ scatter)).cpu().numpy()

    def _block_sums(
        self, left: Tensor, right: Tensor, a: int, b: int, first: int, last: int, columns: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Σ pᵢ over the rows a … b of the class first … last, and their WX; adds their share to Wᵀ1 in `columns`."""
        n = right.shape[1]
        kernel = self._block[: (b - a) * n].view(b - a, n)
        torch.mm(left[a:b], right, out=kernel)  # −d up to a constant of the row, which the softmax does not see
        kernel[:, a:b].fill_diagonal_(-torch.inf)
        kernel.sub_(kernel.amax(dim=1, keepdim=True)).clamp_(min=_LEAST).exp_()
        everyone, own = kernel @ self._points, kernel[:, first:last] @ self._points[first:last]
        scale = 1 / everyone[:, -1]
        p = own[:, -1] * scale
        columns -= (p * scale) @ kernel
        columns[first:last] += scale @ kernel[:, first:last]
        return p.sum(), scale[:, None] * (own[:, :-1] - p[:, None] * everyone[:, :-1])


def run_blocked_nca(
    X: Floats,
    codes: Indices,
    *,
    n_components: int | None,
    init: str | Floats,
    max_iter: int,
    tol: float | None,
    random_state: int | None,
    device: str,
    checkpoint: str | os.PathLike[str] | None,
    verbose: bool,
) -> LearnedMetric:
    """Maximise the objective by scipy's L-BFGS-B, as metric-learn does.

    Parameters
    ----------
    X : ndarray of shape (N, D)
    codes : ndarray of shape (N,)
        Class codes 0 … C − 1.
    checkpoint : path, optional
        Holds what the objective gave, evaluation by evaluation (r D numbers each). A fit that goes on from it gives
        them to the optimizer again, which then asks for the same points as it did.
    n_components, init, max_iter, tol, random_state, device, verbose
        As for :class:`arml.NCA`.

    Returns
    -------
    LearnedMetric
        Converged is scipy's own verdict; the history is the objective of each evaluation.

    Raises
    ------
    DataError
        The checkpoint is of another fit, or cannot be read or written.
    """
    with single_threaded():
        start = initial_components("nca", X, codes, n_components, init, random_state)
        objective = Neighbourhoods(X, codes, device)
        settings = {"method": "nca", "max_iter": max_iter, "tol": tol, "device": device, "scipy": scipy.__version__}
        mark = fingerprint(settings, X, codes, start) if checkpoint else ""
        record = _Record(Path(checkpoint) if checkpoint else None, mark)
        with progress("NCA", "evaluation", None, len(record.values), shown=verbose) as advance:

            def loss(flat: Floats) -> tuple[float, Floats]:
                known = record.known(flat)
                if known is None:
                    value, gradient = objective(flat.reshape(start.shape))
                    known = (-value, -gradient.ravel())
                    record.add(flat, *known)
                    advance(known[0])
                return known

            result = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", tol=tol, options={"maxiter": max_iter})
        record.discard()
    return LearnedMetric(
        result.x.reshape(start.shape),
        int(result.nit),
        bool(result.success),
        len(X),
        notes=() if result.success else (f"the optimizer stopped: {result.message}",),
        history=-np.array(record.values),
    )


class _Record:
    """What the objective gave so far, kept in a file where there is one: point by point, each known by its digest."""

    def __init__(self, path: Path | None, mark: str) -> None:
        self._path, self._mark = path, mark
        self.values: list[float] = []
        self._gradients: list[Floats] = []
        self._digests: list[str] = []
        self._given, self._pause, self._saved = 0, CHECKPOINT_SECONDS, time.monotonic()
        if path and path.exists():
            arrays = read_checkpoint(path, mark, ("values", "gradients", "digests"))
            self.values, self._digests = arrays["values"].tolist(), arrays["digests"].tolist()
            self._gradients = list(arrays["gradients"])

    def known(self, flat: Floats) -> tuple[float, Floats] | None:
        """The next value and gradient on record; None at its end."""
        if self._given == len(self.values):
            return None
        at, self._given = self._given, self._given + 1
        if self._digests[at] != _digest(flat):
            raise DataError(f"the optimizer takes another path than in the checkpoint {self._path}: delete it")
        return self.values[at], self._gradients[at]

    def add(self, flat: Floats, value: float, gradient: Floats) -> None:
        """Put down one more evaluation; write the file where it is time to."""
        self.values.append(value)
        self._given += 1
        if self._path is None:
            return
        self._gradients.append(gradient)
        self._digests.append(_digest(flat))
        if (now := time.monotonic()) - self._saved >= self._pause:
            arrays: dict[str, Any] = {"values": np.array(self.values), "digests": np.array(self._digests)}
            write_checkpoint(self._path, self._mark, {**arrays, "gradients": np.array(self._gradients)})
            self._saved = time.monotonic()
            self._pause = max(CHECKPOINT_SECONDS, _PATIENCE * (self._saved - now))

    def discard(self) -> None:
        """Delete the file: the fit is done."""
        if self._path:
            self._path.unlink(missing_ok=True)


def _digest(flat: Floats) -> str:
    return hashlib.sha256(np.ascontiguousarray(flat).data).hexdigest()
