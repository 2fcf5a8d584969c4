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
as near to x + δ as all of the true class. Ties are lost, and distances that rounding cannot tell apart are ties (see
:mod:`arml.knn.reference`): accepted is a squared distance that is larger by at most ``_TIES`` ω of the two compared.
Here ω is the rounding bound of a distance from differences of features, relative to itself: other points are of no
account. A lower bound is proved only if within it no difference comes as near as that, ``_LOST`` ω: a longer lower and
a shorter upper bound are never both accepted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from arml.certificate import Certificate, Malformed, Proof, Verdict, read_claim, shown
from arml.check_distances import Distances, length, row_lengths
from arml.knn.mahalanobis import as_metric
from arml.validation import as_array, check_features, check_training_set

__all__ = ["Certificate", "CertificateChecker", "Proof", "Verdict", "check_certificate"]

Vector = NDArray[np.float64]
Indices = NDArray[np.intp]

# Soundness: the checker's own numbers, none of them the solvers'. ε is twice the unit roundoff; a sum of m products is
# off by m ε / 2 times what it would be of absolute values, to first order.
_EPS = 2.0**-52
_TERMS = 4  # for the few operations around a sum
_TIES = 6.0  # the predictor takes for ties what differs by 5 (ωᵢ + ωⱼ) at most
_LOST = 8.0  # that, ω for what is computed at x + δ, and ω for what is computed at x
_UP, _CORNER_UP = 1.0 + 1e-12, 1.0 + 1e-10  # two roots and their sum; a length of D numbers
_BOX_ULPS = 4.0  # faces are off by one rounding, δ by one more, for each side of the comparison
_CLOSE = 1e-6  # what "exact" may leave open, of the upper bound: a hundred times the solvers' tolerance
_ROWS = 4096  # effort: rows of one matrix of distances
_TINY = 1e-300  # far above what underflow loses of a length
_HUGE = 1e151  # lengths of images whose squares would overflow
_DUAL = {1.0: np.inf, 2.0: 2.0, np.inf: 1.0}


class _Point(NamedTuple):
    """One test point (x, and z less the center) and what is claimed about it.

    ``d`` are squared distances, ``lengths`` what ω asks for, ``known`` where both are from differences of features;
    ``reach`` is σ times how far the claim goes in ℓ2.
    """

    x: Vector
    z: Vector
    d: Vector
    lengths: Vector
    known: NDArray[np.bool_]
    reach: float
    label: Any
    claim: Certificate
    q: float
    low: Vector
    high: Vector
    corner: float

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
    keep away. Memory: one matrix like the training set beside the set itself, or two with another metric than the
    Euclidean.

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
        self.distances = Distances(X, as_metric(M, X.shape[1]))
        self.width, self.sigma = X.shape[1], self.distances.sigma
        self.classes = np.unique(self.y)

    def check(self, x: ArrayLike, label: Any, certificate: Certificate) -> Verdict:
        """Accept or reject ``certificate``: ``x`` has shape (D,), ``label`` is its true class.

        Returns
        -------
        Verdict
            ``accepted`` (bool) and ``reason`` (str, "" where accepted). Whatever is wrong with a certificate, fields of
            other types than :class:`arml.certificate.Certificate` says too, or with its label, is a rejection.

        Raises
        ------
        ValueError
            x is not finite or not of shape (D,).
        """
        point = check_features(as_array(x, "x")[None], name="x", n_features=self.width)[0]
        try:
            c = read_claim(certificate, self.y.size, self.width)
        except Malformed as flaw_of_form:
            return Verdict(False, str(flaw_of_form))
        if not _among(label, self.classes):
            return Verdict(False, f"label {shown(label)} is unknown to the training set")
        at = self._point(point, label, c)
        if not max(float(at.lengths.max()), at.reach) < _HUGE:
            return Verdict(False, "squares of the features overflow")
        flaw = self._upper_flaw(at) if c.upper < np.inf else ""
        if flaw or c.radius == 0:
            return Verdict(not flaw, flaw)
        self._measure(at, c.pool)
        pool = c.pool[np.argsort(at.d[c.pool])]
        if c.bound == "exact" and c.n_neighbors == 1:
            return self._check_exact(at, pool)
        if c.bound == "theorem1" and c.n_neighbors % 2 == 1:
            k, negatives = (c.n_neighbors + 1) // 2, np.flatnonzero(self.y != label)
            kept = _few(self._ahead(at, pool[self.y[pool] == label], negatives, k)[negatives], k, k)
            return Verdict(kept, "" if kept else f"{k} negatives or more are within the claimed radius {c.radius}")
        if c.bound in ("plurality", "packing"):
            return self._check_plurality(at, pool)
        return Verdict(False, f"no rule proves bound {c.bound!r} with {c.n_neighbors} neighbours")

    def predicts(self, x: ArrayLike, label: Any, n_neighbors: int) -> bool:
        """Whether K-NN may say a label, in whatever way distance ties are broken.

        Parameters
        ----------
        x : array-like of shape (D,)
        label : int, str or bool
        n_neighbors : int
            K.

        Returns
        -------
        bool
            False too where there is no such label, or K.

        Raises
        ------
        ValueError
            x is not finite or not of shape (D,).
        """
        point = check_features(as_array(x, "x")[None], name="x", n_features=self.width)[0]
        if not (_among(label, self.classes) and 1 <= n_neighbors <= self.y.size):
            return False
        # who may be one of the K nearest, as far as distances from the center tell; they are measured
        z, distances = point - self.distances.center, self.distances
        d, lengths = distances.screened(z), distances.sizes + distances.size_of(z[None])
        doubt = (1.0 + _TIES) * distances.rounding(np.sqrt(d), lengths)
        rows = np.flatnonzero(d - doubt <= np.partition(d + doubt, n_neighbors - 1)[n_neighbors - 1])
        d, lengths = distances.measured(point, np.zeros(self.width), rows)
        doubt = (1.0 + _TIES) * distances.rounding(np.sqrt(d), lengths)
        low, high = (np.partition(ends, n_neighbors - 1)[n_neighbors - 1] for ends in (d - doubt, d + doubt))
        sure, perhaps = d + doubt < low, d - doubt <= high
        codes = np.searchsorted(self.classes, self.y[rows])
        votes, tied = (np.bincount(codes[some], minlength=self.classes.size) for some in (sure, perhaps & ~sure))
        return _may_win(votes, tied, int(np.flatnonzero(self.classes == label)[0]), n_neighbors)

    def closed(self, lower: float, upper: float) -> bool:
        """Whether what two bounds on a radius leave open is next to nothing beside it.

        Parameters
        ----------
        lower, upper : float
            ``lower`` ≤ ``upper``, in the units of the features.

        Returns
        -------
        bool
        """
        return bool(lower == upper or upper - lower <= _CLOSE * upper < np.inf)

    def _point(self, x: Vector, label: Any, c: Certificate) -> _Point:
        """Distances, and the box as seen from x."""
        z = x - self.distances.center
        bounds = c.bounds if c.bounds is not None else (-np.inf, np.inf)
        low, high = np.minimum(bounds[0] - x, 0.0), np.maximum(bounds[1] - x, 0.0)
        corner = length(np.maximum(-low, high), c.norm) * _CORNER_UP
        reach = min(c.radius, corner) * (float(np.sqrt(self.width)) if c.norm == np.inf else 1.0)
        reach = self.sigma * reach if np.isfinite(reach) else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            d, lengths = self.distances.screened(z), self.distances.sizes + self.distances.size_of(z[None])
        return _Point(x, z, d, lengths, np.zeros(d.size, bool), reach, label, c, _DUAL[c.norm], low, high, corner)

    def _measure(self, at: _Point, rows: Indices) -> None:
        """Take distances to some rows from differences."""
        rows = rows[~at.known[rows]]
        at.d[rows], at.lengths[rows] = self.distances.measured(at.x, np.zeros(self.width), rows)
        at.known[rows] = True

    def _slack(self, at: _Point, rows: Indices) -> Vector:
        """What is subtracted from the distances' sides of a lower bound, as far as the claim goes."""
        return _LOST * self.distances.rounding(np.sqrt(at.d[rows]) + at.reach, at.lengths[rows] + 2.0 * at.reach)

    def _upper_flaw(self, at: _Point) -> str:
        """Why the perturbation does not prove the upper bound, "" if it does."""
        c, delta = at.claim, at.claim.perturbation
        if c.n_neighbors != 1:
            return f"no rule proves an upper bound with {c.n_neighbors} neighbours"
        if length(delta, c.norm) > c.upper * (1.0 + (self.width + _TERMS) * _EPS):
            return f"the perturbation is longer than the upper bound {c.upper}"
        moved = at.z + delta
        far = self.distances.sizes + self.distances.size_of(np.stack([moved, delta])).sum()
        if not far.max() < _HUGE:
            return "squares of the features overflow at the perturbed point"
        if (delta < at.low * (1.0 + _BOX_ULPS * _EPS)).any() or (delta > at.high * (1.0 + _BOX_ULPS * _EPS)).any():
            return "the perturbation leaves the box"
        # who can be the nearest at x + δ, as far as distances from the center tell; they are measured
        positive, d = self.y == at.label, self.distances.screened(moved)
        doubt = (1.0 + _TIES) * self.distances.rounding(np.sqrt(d), far)
        rows = np.flatnonzero(d - doubt <= (d + doubt)[positive].min())
        if c.negative >= 0:
            rows = np.union1d(rows, [c.negative])
        d, lengths = self.distances.measured(at.x, delta, rows)
        tie, own = _TIES * self.distances.rounding(np.sqrt(d), lengths), positive[rows]
        wins = rows[~own & (d - tie <= (d + tie)[own].min())]
        if not wins.size:
            return "the perturbation brings no point of another class as near as the true class"
        if c.negative >= 0 and c.negative not in wins:
            return f"point {c.negative} does not win at the perturbed point"
        return ""

    @np.errstate(over="ignore")  # a width of nothing
    def _ahead(self, at: _Point, pool: Indices, rivals: Indices, enough: int) -> Indices:
        """How many points of the pool each rival provably cannot come before, counted up to ``enough``; shape (N,)."""
        counts = np.zeros(self.y.size, dtype=np.intp)
        for group in np.split(pool, range(enough, pool.size, 8)):  # most rivals need only the nearest
            gaps, widths = self._gaps(at, group, rivals)
            kept = at.proves(gaps / (2.0 * widths))
            doubtful = np.flatnonzero(counts[rivals] + kept.sum(axis=0) < enough)
            for some in np.array_split(doubtful, 1 + doubtful.size // _ROWS):
                widths, blur = self.distances.widths(group, rivals[some], at.q)
                kept[:, some] |= at.proves(gaps[:, some] / (2.0 * (widths + blur)))
                # what rounding of points less the center may have spoilt is measured from differences
                room = 2.0 * (self._slack(at, group)[:, None] + self._slack(at, rivals[some]))
                hoped = at.proves((gaps[:, some] + room) / (2.0 * np.maximum(widths - blur, _TINY)))
                self._measure_pairs(at, group, rivals[some], kept, some, hoped)
            counts[rivals] += kept.sum(axis=0)
            rivals = rivals[counts[rivals] < enough]
        return counts

    def _gaps(self, at: _Point, group: Indices, rivals: Indices) -> tuple[Vector, Vector]:
        """d_j − d_i less what rounding and ties take, and widths by the triangle inequality; a row each of group."""
        here, there = self._slack(at, group), self._slack(at, rivals)
        gaps = (at.d[rivals] - there) - (at.d[group] + here)[:, None]
        roots = np.sqrt(at.d[rivals] + there) + np.sqrt(at.d[group] + here)[:, None]
        stretch = float(np.sqrt(self.width)) if at.q == 1.0 else 1.0
        return gaps, stretch * self.sigma * roots * _UP + _TINY

    def _measure_pairs(
        self,
        at: _Point,
        group: Indices,
        rivals: Indices,
        kept: NDArray[np.bool_],
        some: Indices,
        hoped: NDArray[np.bool_],
    ) -> None:
        """Set ``kept`` of the pairs that may be kept by widths and distances from differences."""
        i, j = np.nonzero(hoped & ~kept[:, some])
        self._measure(at, np.unique(rivals[j]))
        for first in range(0, i.size, _ROWS):
            part = slice(first, first + _ROWS)
            rows, others = group[i[part]], rivals[j[part]]
            normals, errors = self.distances.normals(rows, others, at.q)
            widths = row_lengths(normals, at.q) * (1.0 + (self.width + _TERMS) * _EPS) + errors
            gaps = (at.d[others] - self._slack(at, others)) - (at.d[rows] + self._slack(at, rows))
            kept[i[part], some[j[part]]] |= at.proves(gaps / (2.0 * (widths + _TINY)))

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
        named = np.append(proof.positives, proof.negative).astype(np.intp)
        self._measure(at, np.unique(named))
        normals, errors = self.distances.normals(named[:-1], named[-1:], at.q)
        slack = self._slack(at, named)
        A = np.vstack([normals, faces])
        b = np.concatenate(
            [
                (at.d[proof.positives] - at.d[proof.negative]) / 2.0,
                np.concatenate([-at.low, at.high])[proof.faces],
            ]
        )
        count = weights.size + _TERMS
        on_pairs = weights[:pairs]
        gain = -float(b @ weights) - float((slack[:-1] + slack[-1]) @ on_pairs) / 2.0
        gain -= count * _EPS * float(abs(b) @ weights)
        blur = float(errors @ on_pairs) + _TINY
        blur += (count + width) * _EPS * length(abs(A).T @ weights, at.q)
        return float(max(0.0, gain) / (length(weights @ A, at.q) + blur))

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


def _among(label: Any, classes: NDArray[Any]) -> bool:
    """Whether a label, whatever it is, is one of the training set's."""
    return isinstance(label, str | int | float | np.generic) and bool(label in classes.tolist())


def _may_win(votes: Indices, tied: Indices, code: int, n_neighbors: int) -> bool:
    """Whether a class may have most of K votes, tied ones to the smallest, when some are certain and some are tied."""
    places = n_neighbors - int(votes.sum())
    taken = min(places, int(tied[code]))
    own = int(votes[code]) + taken
    # how many more each other class may get without winning, and how many the tied points can give it
    more = np.where(np.arange(votes.size) < code, own - 1, own) - votes
    room = np.minimum(more, tied)
    room[code] = 0
    return bool((np.delete(more, code) >= 0).all() and room.sum() >= places - taken)


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
