"""Exact 1-NN radii and Theorem 1 of many points on all cores: what stands beside a GPU, and need not wait for it.

One process a core, each with a share of the points, and the training set prepared once for all of them. Of what comes
out, the checker must accept a sample.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from arml.certify import certify_points
from arml.check import CertificateChecker
from arml.knn.reference import ReferenceSet, reference_set
from arml.verify import verify_points

__all__ = ["RADII", "timed_radii"]

_CHECKED = 10  # certificates of each kind, checked one by one
_SHARES = 8  # of each process: points differ in time
_asked: dict[str, Any] = {}  # what the processes were forked with


def _exact(reference: ReferenceSet, X: Any, y: Any) -> tuple[list[float], list[Any]]:
    found = verify_points(reference, X, y)
    return found.lower.tolist(), list(found.certificates)


def _theorem1(reference: ReferenceSet, X: Any, y: Any) -> tuple[list[float], list[Any]]:
    found = certify_points(reference, X, y, 11, "theorem1")
    return [one.radius for one in found], found


RADII = {"exact 1-NN": _exact, "Theorem 1, K = 11": _theorem1}


@dataclass(frozen=True)
class Timed:
    """Seconds of the wall for so many points by so many processes, the set's preparation with them."""

    points: int
    processes: int
    seconds: float
    checked: int


def _share(rows: Any) -> tuple[list[float], list[Any]]:
    with threadpool_limits(1):
        return RADII[_asked["kind"]](_asked["reference"], _asked["X"][rows], _asked["y"][rows])


def timed_radii(kind: str, data: Any, metric: Any, size: int | None = None) -> Timed:
    """Radii of the first ``size`` test points under a metric; SystemExit where the checker rejects one of a sample."""
    X, y = data.X_test[:size], data.y_test[:size]
    processes = len(os.sched_getaffinity(0))
    begun = time.perf_counter()
    _asked.update(kind=kind, reference=reference_set(data.X_train, data.y_train, metric), X=X, y=y)
    shares = np.array_split(np.arange(len(y)), min(len(y), _SHARES * processes))
    with get_context("fork").Pool(processes) as pool:
        parts = pool.map(_share, shares, chunksize=1)
    seconds = time.perf_counter() - begun
    proofs = [proof for _, found in parts for proof in found]
    checker = CertificateChecker(data.X_train, data.y_train, metric)
    sample = np.linspace(0, len(y) - 1, min(_CHECKED, len(y))).astype(int)
    for row in sample:
        verdict = checker.check(X[row], y[row], proofs[row])
        if not verdict.accepted:
            raise SystemExit(f"{kind}: the checker rejects point {row}: {verdict.reason}")
    return Timed(len(y), processes, seconds, len(sample))
