"""A checker of stored certificates that shares no code with the solvers: a few lines of linear algebra in float64.

**The lower bound.** It accepts a certificate only if it can prove the claimed radius from the training points that the
certificate names, its own rounding subtracted (a true certificate of the last digit may be rejected, a false one is not
accepted). With 1/p + 1/q = 1 for the norm ‖·‖_p of the perturbation:

* closed form: j cannot come before i within e_ij = (d_j − d_i) / (2 ‖w_i − w_j‖_q) (eq. 9), where the bound
  ‖w_i − w_j‖₂ ≤ σ_max(G) (√d_i + √d_j) of the triangle inequality is tried first, since it costs next to nothing;
* weak duality: j cannot come before *all* of i₁ … i_m within [−bᵀλ]₊ / ‖Aᵀλ‖_q for any λ ≥ 0, where the rows of A
  are w_i − w_j and b_i = (d_i − d_j) / 2 (Hölder); the faces ±δ_k ≤ b of a box are rows like any other;
* disjoint groups of which j cannot come before all of any one leave j behind as many points as there are groups;
* what is farther than the farthest corner of the box is nowhere: then the bound is infinite.

**The upper bound**, of K = 1, is a δ no longer than claimed and in the box, with some training point of another class
as near to x + δ as all of the true class. Ties are lost, and what the classifier counts as a tie (see
:mod:`arml.knn.reference`) is one: accepted is a squared distance that is larger by no more than that. The tie belongs
to the two points compared and to x + δ; no other point of the training set, however far, has a part in it. A lower
bound has to keep clear of every such tie within its radius, so that no two claims about a point that are accepted
contradict each other.

Features and metric are first scaled by powers of two, which rounds nothing, so that their squares neither overflow nor
vanish.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from arml.certificate import Certificate, Malformed, Proof, Verdict, read_claim
from arml.knn.mahalanobis import as_metric
from arml.validation import as_array, check_features, check_training_set

__all__ = ["Certificate", "CertificateChecker", "Proof", "Verdict", "check_certificate"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]

_EPS = 2.0**-52
_UNIT = 2.0**-53
# The classifier's ties end at 4 of its steps (arml.knn.reference); lower bounds keep clear of a little more.
_TIED, _CLEAR, _FLOOR = 4.2, 4.4, 16.0
# How much of a radius may be open where it is called exact, and how many roundings of x.
_CLOSE, _SPECK = 1e-6, 256.0
_ROWS = 4096
_SAMPLE = 1024
# Far above what underflow loses of a length or of a squared one, far below the features as they are scaled.
_TINY, _TINY_SQUARED = 1e-150, 1e-300
_HUGE_SQUARED = 1e270
_DUAL = {1.0: np.inf, 2.0: 2.0, np.inf: 1.0}
_DISTANCE = {1.0: "cityblock", 2.0: "euclidean", np.inf: "chebyshev"}


class _Point(NamedTuple):
    """One test point (z, scaled) and what is claimed about it (scaled too).

    ``lowest`` and ``highest`` hold the squared distances to the training set, rounding and ties within the claimed
    radius counted; ``roots`` their roots from above, which may be too large by ``blur``.
    """

    x: Vector
    z: Vector
    lowest: Vector
    highest: Vector
    roots: Vector
    label: Any
    claim: Certificate
    q: float
    low: Vector
    high: Vector
    corner: float
    size: float
    blur: Vector

    def proves(self, bounds: Vector) -> NDArray[np.bool_]:
        """Whether each lower bound reaches the claimed radius, or is beyond the farthest corner of the box."""
        return np.asarray((bounds >= self.claim.radius) | (bounds > self.corner))


class CertificateChecker:
    """Checks many certificates against one training set and metric.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D), (N,)
        In the units and the order of rows in which the certificates were made: they name training points by index.
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner
        The metric of the certificates; None is Euclidean.

    Raises
    ------
    ValueError
        Non-finite features, labels of another number, one class only, an M that is no metric or of another width.
    NotFittedError
        M is a learner that has not been fitted.

    Notes
    -----
    Cost of a check: O(N D) for the distances and the nearest of the pool, and O(p D) for each rival that those do not
    keep away. Memory: one matrix like the training set, or two with another metric than the Euclidean; one more while
    it is made.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from arml.certify import certificates
    >>> from arml.check import CertificateChecker
    >>> X_train, y_train = [[0.0], [0.5], [4.0], [5.0]], [0, 0, 1, 1]
    >>> proof = certificates(X_train, y_train, [[1.0]], [0], n_neighbors=3)[0]  # of radius 1.5
    >>> checker = CertificateChecker(X_train, y_train)
    >>> checker.check([1.0], 0, proof)
    Verdict(accepted=True, reason='')
    >>> checker.check([1.0], 0, replace(proof, radius=1.6)).accepted
    False
    """

    def __init__(self, X_train: ArrayLike, y_train: ArrayLike, M: Any = None) -> None:
        X, self.y = check_training_set(X_train, y_train)
        metric = as_metric(M, X.shape[1])
        self.classes = np.unique(self.y)
        self.rank, self.width = metric.components.shape
        sample = X[:: -(-X.shape[0] // _SAMPLE)]
        center = np.median(sample, axis=0)
        self.exponent = _exponent(max(np.abs(X / 2.0 - center / 2.0).max() * 2.0, 2.0**-1000 * np.abs(center).max()))
        self.X: Vector = np.ldexp(X, -self.exponent)
        self.center: Vector = np.ldexp(center, -self.exponent)
        centered = self.X - self.center
        self.away: Vector = np.sqrt(np.einsum("ij,ij->i", centered, centered)) * (1.0 + 1e-9)
        self.typical = float(np.median(self.away[:: -(-X.shape[0] // _SAMPLE)]))
        self.identity = metric.is_identity
        self.G: Vector = np.ldexp(metric.components, -_exponent(float(np.abs(metric.components).max())))
        self.sigma = 1.0 if self.identity else float(np.linalg.norm(self.G, 2))
        spread = 0.0 if self.identity else float(np.sqrt(np.prod([np.abs(self.G).sum(a).max() for a in (0, 1)])))
        self.u: Vector = self.X if self.identity else centered @ self.G.T
        self.w: Vector = self.X if self.identity else self.u @ self.G
        # what rounding does: to G times a vector and to a row of w, relative to the length of the vector
        self.u_error = _UNIT * (self.width + 4) * spread
        w_error = 0.0 if self.identity else _UNIT * (2 * self.sigma + (self.rank + self.width + 8) * spread)
        self.w_error: Vector = w_error * self.sigma * self.away
        terms = 4.0 * (self.rank + 4) + (8.0 * self.width * spread / self.sigma if self.sigma > 0.0 else 0.0)
        self.resolution = float(2.0 ** np.ceil(np.log2(2.0 * _UNIT * terms)))
        self._last: tuple[Vector | None, tuple[Vector, Vector, float, float, Vector] | None] = None, None

    def check(self, x: ArrayLike, label: Any, certificate: Certificate) -> Verdict:
        """Accept or reject ``certificate``: ``x`` has shape (D,), ``label`` is its true class.

        Returns
        -------
        Verdict
            ``accepted`` (bool) and ``reason`` (str, "" where accepted). What is wrong with a certificate, or with its
            label, is a rejection.

        Raises
        ------
        ValueError
            x is not finite or not of shape (D,).
        """
        point = check_features(as_array(x, "x")[None], name="x", n_features=self.width)[0]
        try:
            c = read_claim(certificate, *self.X.shape)
        except Malformed as flaw:
            return Verdict(False, str(flaw))
        if not _among(label, self.classes):
            return Verdict(False, f"label {label!r} is unknown to the training set")
        with np.errstate(over="ignore", invalid="ignore"):
            return self._verdict(self._point(point, label, c))

    def _verdict(self, at: _Point) -> Verdict:
        c = at.claim
        if not at.roots.max() ** 2 < _HUGE_SQUARED:
            return Verdict(False, "squares of the features overflow")
        flaw = self._upper_flaw(at) if c.upper < np.inf else ""
        if flaw or c.radius == 0:
            return Verdict(not flaw, flaw)
        pool = np.unique(c.pool)
        pool = pool[np.argsort(at.roots[pool])]
        if c.bound == "exact" and c.n_neighbors == 1:
            return self._check_exact(at, pool)
        if c.bound == "theorem1" and c.n_neighbors % 2 == 1:
            k, negatives = (c.n_neighbors + 1) // 2, np.flatnonzero(self.y != at.label)
            kept = _few(self._ahead(at, pool[self.y[pool] == at.label], negatives, k)[negatives], k, k)
            return Verdict(kept, "" if kept else f"{k} negatives or more are within the claimed radius {c.radius}")
        if c.bound in ("plurality", "packing"):
            return self._check_plurality(at, pool)
        return Verdict(False, f"no rule proves bound {c.bound!r} with {c.n_neighbors} neighbours")

    def _point(self, x: Vector, label: Any, c: Certificate) -> _Point:
        """The claim in the checker's scale, and distances from x with what rounding and ties can do to them."""
        bounds = c.bounds if c.bounds is not None else (-np.inf, np.inf)
        low, high = (np.ldexp(side, -self.exponent) for side in (bounds[0] - x, bounds[1] - x))
        low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
        c = replace(
            c,
            radius=float(np.ldexp(c.radius, -self.exponent)),
            upper=float(np.ldexp(c.upper, -self.exponent)),
            perturbation=np.ldexp(c.perturbation, -self.exponent),
        )
        x, z, away, size, d = self._seen(x)
        corner = float(np.linalg.norm(np.maximum(-low, high), c.norm)) * (1.0 + 1e-10)
        reach = min(c.radius, corner) * (1.0 if c.norm == 2.0 else float(np.sqrt(self.width)))
        reach = reach * (1.0 + 1e-9) if reach < np.inf else 0.0  # an infinite radius is a matter of counting
        error = self._rounding(d, self.away + away)
        roots = np.sqrt(d + error)
        # at any point within reach the classifier may count as tied what is that near, its own rounding included
        farther = roots + self.sigma * reach
        there = 2.0 * self._rounding(farther * farther, self.away + away + reach)
        tie = _CLEAR * self._step(farther, size + reach)
        blur = 3.0 * self.u_error * (self.away + away) + _TINY
        lowest, highest = d - error - there, d + error + there + tie
        q = _DUAL[c.norm]
        return _Point(x, z, lowest, highest, roots, label, c, q, low, high, corner, size, blur)

    def _seen(self, x: Vector) -> tuple[Vector, Vector, float, float, Vector]:
        """x in the checker's scale, its image, its length from the center, its size, and its squared distances."""
        known, seen = self._last
        if known is None or not np.array_equal(known, x):
            scaled = np.ldexp(x, -self.exponent)
            z = scaled if self.identity else self.G @ (scaled - self.center)
            away = float(np.linalg.norm(scaled - self.center)) * (1.0 + 1e-9)
            size = min(float(np.linalg.norm(scaled)), away + self.typical) * (1.0 + 1e-9)
            d = np.asarray(cdist(z[None], self.u, "sqeuclidean")[0], dtype=np.float64)
            seen = (scaled, z, away, size, d)
            self._last = x.copy(), seen
        assert seen is not None
        return seen

    def predicts(self, x: ArrayLike, label: Any, n_neighbors: int) -> bool:
        """Whether K-NN may say ``label`` at ``x`` of shape (D,), in whatever way distance ties are broken.

        Raises
        ------
        ValueError
            x is not finite or not of shape (D,).
        """
        point = check_features(as_array(x, "x")[None], name="x", n_features=self.width)[0]
        if not (_among(label, self.classes) and 1 <= n_neighbors <= self.y.size):
            return False
        _, _, away, size, d = self._seen(point)
        kth = float(np.partition(d, n_neighbors - 1)[n_neighbors - 1])
        tie = 2.0 * float(_CLEAR * self._step(np.sqrt(np.array(kth)), size))
        blur = 2.0 * self._rounding(d, self.away + away)
        blur += 2.0 * self._rounding(np.array(kth), self.away + away).max(where=d <= kth, initial=0.0)
        sure, perhaps = d + blur + tie < kth, d - blur - tie <= kth
        codes = np.searchsorted(self.classes, self.y)
        votes, tied = (np.bincount(codes[rows], minlength=self.classes.size) for rows in (sure, perhaps & ~sure))
        return _may_win(votes, tied, int(np.flatnonzero(self.classes == label)[0]), n_neighbors)

    def closed(self, x: ArrayLike, lower: float, upper: float) -> bool:
        """Whether what lies between two bounds on a radius at ``x`` is small against it, or all rounding."""
        if lower == upper:
            return True
        size = self._seen(np.asarray(x, dtype=np.float64))[3]
        return bool(upper - lower <= _CLOSE * upper + np.ldexp(_SPECK * self.resolution * size, self.exponent))

    def _rounding(self, d: Vector, away: Vector) -> Vector:
        """What rounding does to squared distances, of points whose lengths from the center add up to ``away``."""
        off = self.u_error * away
        return np.asarray(1.01 * (off * (2.0 * np.sqrt(d) + off) + _UNIT * (self.rank + 6) * d) + _TINY_SQUARED)

    def _step(self, roots: Vector, size: float) -> Vector:
        """The step of the classifier's ties at the distance ``roots``, from a point of that size."""
        roots = roots + _FLOOR * self.resolution * self.sigma * size
        return np.asarray(self.resolution * roots * (roots + self.sigma * size))

    def _upper_flaw(self, at: _Point) -> str:
        """Why the perturbation does not prove the upper bound, "" if it does."""
        c, delta = at.claim, at.claim.perturbation
        if c.n_neighbors != 1:
            return f"no rule proves an upper bound with {c.n_neighbors} neighbours"
        if np.linalg.norm(delta, c.norm) > c.upper * (1.0 + (self.width + 4) * _EPS):
            return f"the perturbation is longer than the upper bound {c.upper}"
        if (delta < at.low * (1.0 + 4.0 * _EPS)).any() or (delta > at.high * (1.0 + 4.0 * _EPS)).any():
            return "the perturbation leaves the box"
        length = float(np.linalg.norm(delta))
        own = self.y == at.label
        # what can be nearest at x + δ, by the triangle inequality
        way = self.sigma * length * (1.0 + 1e-9)
        rows = np.flatnonzero(at.roots - at.blur - way <= (at.roots[own].min() + way) * (1.0 + 1e-6))
        moved = self.X[rows] - at.x - delta
        off = np.sqrt(np.einsum("ij,ij->i", moved, moved))
        u = moved if self.identity else moved @ self.G.T
        d = np.einsum("ij,ij->i", u, u)
        error = self._rounding(d, off)
        size = at.size + length
        positives = own[rows]
        nearest = float((d + error)[positives].min()) if positives.any() else np.inf
        tie = _TIED * self._step(np.sqrt(np.array(nearest)), size)
        wins = ~positives & (d - error <= nearest + tie)
        if not wins.any():
            return "the perturbation brings no point of another class as near as the true class"
        if c.negative >= 0 and c.negative not in rows[wins]:
            return f"point {c.negative} does not win at the perturbed point"
        return ""

    def _widen(self, q: float) -> float:
        """What an ℓ2 error may amount to in ‖·‖_q."""
        return float(np.sqrt(self.width)) if q == 1.0 else 1.0

    def _ahead(self, at: _Point, pool: Indices, rivals: Indices, enough: int) -> Indices:
        """How many points of the pool each rival provably cannot come before, counted up to ``enough``; shape (N,)."""
        counts = np.zeros(self.y.size, dtype=np.intp)
        for group in np.split(pool, range(enough, pool.size, 8)):  # most rivals need only the nearest
            gaps = at.lowest[rivals] - at.highest[group][:, None]
            apart = at.roots[rivals] + at.roots[group][:, None]
            widths = self._widen(at.q) * self.sigma * apart * (1.0 + 1e-9) + _TINY
            kept = at.proves(gaps / (2.0 * widths))
            doubtful = np.flatnonzero(counts[rivals] + kept.sum(axis=0) < enough)
            for some in np.array_split(doubtful, 1 + doubtful.size // _ROWS):
                widths = cdist(self.w[group], self.w[rivals[some]], _DISTANCE[at.q]) * (1.0 + (self.width + 4) * _EPS)
                blur = self.w_error[group][:, None] + self.w_error[rivals[some]]
                widths += self._widen(at.q) * blur + _TINY
                kept[:, some] |= at.proves(gaps[:, some] / (2.0 * widths))
            counts[rivals] += kept.sum(axis=0)
            rivals = rivals[counts[rivals] < enough]
        return counts

    def _check_exact(self, at: _Point, pool: Indices) -> Verdict:
        positives, negatives = pool[self.y[pool] == at.label], np.flatnonzero(self.y != at.label)
        if not positives.size:
            return Verdict(False, "the pool holds no point of the true class")
        kept = self._ahead(at, positives, negatives, 1) > 0
        for proof in at.claim.proofs:
            flaw = self._proof_flaw(at, proof)
            if flaw:
                return Verdict(False, flaw)
            kept[proof.negative] |= self._proves(at, proof)
        loose = negatives[~kept[negatives]]
        if loose.size:
            return Verdict(False, f"negative {loose[0]} is not kept away up to {at.claim.radius} ({loose.size} such)")
        return Verdict(True, "")

    def _proof_flaw(self, at: _Point, proof: Proof) -> str:
        """Why a proof proves nothing, "" if it may."""
        if (self.y[proof.positives] != at.label).any():
            return f"the proof for negative {proof.negative} uses a point of a wrong class"
        return ""

    def _proves(self, at: _Point, proof: Proof) -> bool:
        """Whether the negative cannot come before all of the proof's positives within the claimed radius."""
        weights = np.concatenate([proof.multipliers, proof.face_multipliers])
        return bool(at.proves(np.array(self._dual_bound(at, proof, weights))))

    def _dual_bound(self, at: _Point, proof: Proof, weights: Vector) -> float:
        """[−bᵀλ]₊ / ‖Aᵀλ‖_q, rounding subtracted from the numerator and added to the denominator."""
        if not (weights.size and 0.0 < weights.max() < np.inf):
            return 0.0
        weights = weights / weights.max()
        width, pairs = self.width, proof.positives.size
        faces = np.zeros((proof.faces.size, width))
        faces[np.arange(proof.faces.size), proof.faces % width] = np.where(proof.faces < width, -1.0, 1.0)
        A = np.vstack([self.w[proof.positives] - self.w[proof.negative], faces])
        pairs_b = (at.highest[proof.positives] - at.lowest[proof.negative]) / 2.0
        b = np.concatenate([pairs_b, np.concatenate([-at.low, at.high])[proof.faces]])
        count = weights.size + 4
        gain = -float(b @ weights) - count * _EPS * float(abs(b) @ weights)
        blur = float(weights[:pairs] @ (self.w_error[proof.positives] + self.w_error[proof.negative]))
        blur = blur * (1.0 + 1e-9) * self._widen(at.q) + _TINY
        blur += (count + width) * _EPS * float(np.linalg.norm(abs(A).T @ weights, at.q))
        return float(max(0.0, gain) / (np.linalg.norm(weights @ A, at.q) + blur))

    def _check_plurality(self, at: _Point, pool: Indices) -> Verdict:
        K, r, label = at.claim.n_neighbors, at.claim.radius, at.label
        outside = np.flatnonzero(self.y != label)
        own = self._ahead(at, pool[self.y[pool] == label], outside, K)
        groups: dict[int, list[Proof]] = {}
        for proof in at.claim.proofs:
            flaw = self._proof_flaw(at, proof)
            if flaw:
                return Verdict(False, flaw)
            groups.setdefault(proof.negative, []).append(proof)
        for negative, proofs in groups.items():
            named = np.concatenate([proof.positives for proof in proofs])
            if np.unique(named).size < named.size:
                return Verdict(False, f"the groups of positives for negative {negative} are not disjoint")
            # of disjoint groups that j cannot come before, each holds a point that j is not before
            own[negative] = max(own[negative], sum(self._proves(at, proof) for proof in proofs))
        everyone = self._ahead(at, pool, outside, K)
        for rival in self.classes[self.classes != label]:
            members = np.flatnonzero(self.y == rival)
            for m in range(1, K + 1):
                q = min(m if rival < label else m - 1, K - m)
                if K - m - q > (self.classes.size - 2) * m:
                    continue
                if not (
                    _few(own[outside], q + 1, K - q) or _few(own[members], q + 1, m) or _few(everyone[members], K, m)
                ):
                    return Verdict(False, f"class {rival!r} may win with {m} votes within the claimed radius {r}")
        return Verdict(True, "")


def _exponent(size: float) -> int:
    """The power of two above ``size``; 0 for 0."""
    return int(np.frexp(size)[1]) if size > 0.0 else 0


def _among(label: Any, classes: NDArray[Any]) -> bool:
    """Whether a label is one of the training set, whatever it is."""
    return isinstance(label, str | int | float | np.generic) and bool(label in classes.tolist())


def _may_win(votes: Indices, tied: Indices, code: int, n_neighbors: int) -> bool:
    """Whether a class may have most of K votes (tied votes: the smallest) when some are certain and some are tied."""
    places = n_neighbors - int(votes.sum())
    own = int(votes[code]) + min(places, int(tied[code]))
    most = np.where(np.arange(votes.size) < code, own - 1, own) - votes
    room = np.minimum(most, tied)
    room[code] = 0
    return bool((np.delete(most, code) >= 0).all() and room.sum() >= places - min(places, int(tied[code])))


def _few(ahead: Indices, row_rank: int, column_rank: int) -> bool:
    """Whether fewer than ``column_rank`` rivals can come before all but ``row_rank`` − 1 of the pool."""
    return bool((ahead < row_rank).sum() < column_rank)


def check_certificate(
    X_train: ArrayLike, y_train: ArrayLike, x: ArrayLike, label: Any, certificate: Certificate, M: Any = None
) -> Verdict:
    """Check one certificate; for many against the same training set use :class:`CertificateChecker`.

    Parameters
    ----------
    X_train, y_train : array-likes of shape (N, D), (N,)
    x : array-like of shape (D,)
    label : int, str or bool
        The true class of ``x``.
    certificate : Certificate
    M : None, ndarray of shape (D, D), MahalanobisMetric or fitted learner

    Returns
    -------
    Verdict
        ``accepted`` and the reason where not.

    Raises
    ------
    ValueError
        Non-finite features, wrong dimension, one class only, an unusable M.
    NotFittedError
        M is a learner that has not been fitted.
    """
    return CertificateChecker(X_train, y_train, M).check(x, label, certificate)
