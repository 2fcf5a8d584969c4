"""Exact radii of 200 real points of each data set against an independent float64 quadratic program.

For a point, the oracle has to solve one program a negative, each over all positives: 54,000 programs of 6,000
half-spaces on MNIST. Two arguments, proved from the data alone, spare most of it, and neither uses anything of arml:

* a minimum over some half-spaces that satisfies all of them is the minimum over all (:func:`Oracle.shortest_way`);
* eq. (9) of a negative and any one positive bounds its program from below. A negative is left out only where this
  bound, from the nearest positive (by a Gram matrix, rounding subtracted) or from one of the 10 nearest (by
  differences), is not below a radius already reached. All others are solved, least bound first: one or two a point.

So the oracle's value is the minimum over all negatives, not over a choice of them.
"""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from arml.check import CertificateChecker
from arml.verify import exact_radii
from tests import oracles
from tests.golden.mirror import exact_sample, load_sample, needs_mirror, one_worker

pytestmark = needs_mirror

N_POINTS = 200
SLACK = 1e-9  # far above the rounding of a Gram matrix of features in [0, 1]


class Oracle:
    """Exact 1-NN radii under M = GᵀG by NNLS; training rows sorted by class, so that a class is a slice."""

    def __init__(self, X, y, G=None):
        order = np.argsort(y, kind="stable")
        self.y, self.G = y[order], G
        self.U = X[order] if G is None else X[order] @ G.T
        self.W = self.U if G is None else self.U @ G
        self.W_sq = np.einsum("ij,ij->i", self.W, self.W)

    def radii(self, X, labels):
        d = cdist(X if self.G is None else X @ self.G.T, self.U, "sqeuclidean")
        own = [slice(*np.searchsorted(self.y, [label, label + 1])) for label in labels]
        nearest = [mine.start + int(row[mine].argmin()) for row, mine in zip(d, own)]
        widths_sq = self.W_sq[nearest][:, None] + self.W_sq - 2 * self.W[nearest] @ self.W.T
        closed = (d - d[np.arange(len(X)), nearest][:, None] - SLACK) / (2 * np.sqrt(np.maximum(widths_sq, 0) + SLACK))
        for row, mine in zip(closed, own):
            row[mine] = np.inf
        return np.array([self.radius(*each) for each in zip(d, own, nearest, closed)])

    def radius(self, d, own, nearest, closed):
        if np.delete(d, np.r_[own]).min() <= d[nearest]:
            return 0.0
        near = own.start + np.argsort(d[own], kind="stable")[:10]
        best, first = np.inf, np.argpartition(closed, 63)[:64]
        for candidates in (first, None):
            if candidates is None:
                candidates = np.setdiff1d(np.flatnonzero(closed < best), first)
            widths = cdist(self.W[near], self.W[candidates])
            sharper = ((d[candidates] - d[near][:, None]) / (2 * np.maximum(widths, 1e-300))).max(axis=0)
            for place in np.argsort(sharper, kind="stable"):
                if sharper[place] >= best:
                    break
                best = min(best, self.shortest_way(d, own, candidates[place]))
        return best

    def shortest_way(self, d, own, j):
        """The minimum-norm δ that makes j no farther than every positive: half-spaces added until none is violated."""
        W, offsets = self.W[own], (d[own] - d[j]) / 2
        working = np.argsort(d[own], kind="stable")[:60]
        while True:
            delta = oracles.min_norm_point(W[working] - self.W[j], offsets[working])
            excess = W @ delta - self.W[j] @ delta - offsets
            excess[working] = -np.inf
            more = np.flatnonzero(excess > 1e-12)
            if not more.size:
                return float(np.linalg.norm(delta))
            working = np.concatenate([working, more[np.argsort(-excess[more])][:40]])


def learned_low_rank(X):
    """G of half as many rows as features, 32 at most: leading principal components, partly whitened."""
    values, vectors = np.linalg.eigh(np.cov(X[:5000].T))
    rank = min(32, X.shape[1] // 2)
    return vectors[:, -rank:].T / values[-rank:, None] ** 0.25


# under the low-rank metric, by place in the sample: the only radii (below a thousandth) of which rounding is over 1e-8
BOUNDED = {"mnist": {174}, "fashion-mnist": {119}}


def agree(result, expected, floor, bounded=()):
    """To 1e-7 relative. What arml subtracts from ``lower`` for rounding may show below floor / 1e-7, as ``floor``.

    Misclassified points and ties have radius 0 (the oracle's ties, up to rounding).
    """
    assert (expected > floor / 1e-7).sum() > N_POINTS / 2
    for t, value in enumerate(expected):
        status = "bounded" if t in bounded else "exact"
        assert result.status[t] == status or (result.status[t] == "misclassified" and value < 1e-12), t
        assert result.lower[t] == pytest.approx(value, rel=1e-7, abs=floor), t
        assert result.upper[t] == pytest.approx(value, rel=1e-7, abs=1e-12), t


@pytest.mark.parametrize("name", one_worker("pendigits", "satimage", "usps", "splice", "mnist", "fashion-mnist"))
def test_equals_an_independent_solver(name):
    data, X, y = load_sample(name)
    expected = Oracle(data.X_train, data.y_train).radii(X[:N_POINTS], y[:N_POINTS])
    agree(exact_sample(name), expected, floor=1e-9)


@pytest.mark.parametrize("name", one_worker("pendigits", "satimage", "usps", "splice", "mnist", "fashion-mnist"))
def test_equals_an_independent_solver_under_a_learned_low_rank_metric(name):
    data, X, y = load_sample(name)
    X, y, G = X[:N_POINTS], y[:N_POINTS], learned_low_rank(data.X_train)
    expected = Oracle(data.X_train, data.y_train, G).radii(X, y)
    floor = 1e-8 if G.shape[1] > 500 else 1e-9
    agree(exact_radii(data.X_train, data.y_train, X, y, G.T @ G), expected, floor, BOUNDED.get(name, ()))


@pytest.mark.xdist_group("golden usps")
@pytest.mark.parametrize(("norm", "bounds"), [(2, (0.0, 1.0)), (1, None), (np.inf, (0.0, 1.0))])
def test_boxed_and_other_norms_are_proved_and_ordered(norm, bounds):
    data, X, y = load_sample("usps")
    X, y = X[:8], y[:8]
    free = exact_radii(data.X_train, data.y_train, X, y, norm=norm)
    result = exact_radii(data.X_train, data.y_train, X, y, norm=norm, bounds=bounds)
    assert set(result.status) <= {"exact", "misclassified"}
    assert (result.upper >= free.lower).all()
    checker = CertificateChecker(data.X_train, data.y_train)
    for x, label, certificate in zip(X, y, result.certificates):
        assert checker.check(x, label, certificate) == (True, "")
