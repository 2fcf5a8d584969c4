"""Stored certificates: accepted where true, rejected where tampered with or false."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.certificate import Certificate, Proof
from arml.certify import certificates, certified_radii
from arml.check import CertificateChecker, check_certificate
from arml.verify import exact_radii


@pytest.fixture(scope="module", params=["euclidean", "learned", "low-rank"])
def study(request):
    rng = np.random.default_rng(7)
    X, y = rng.random((250, 5)), rng.integers(0, 3, 250)
    G = {"euclidean": np.eye(5), "learned": rng.normal(size=(5, 5)), "low-rank": rng.normal(size=(2, 5))}
    M = G[request.param].T @ G[request.param]
    points = rng.random((40, 5))
    return X, y, points, MahalanobisKNN(5, M).fit(X, y).predict(points), M


def issue(study, bound, K):
    X, y, points, labels, M = study
    if bound == "exact":
        return exact_radii(X, y, points, labels, M).certificates
    return certificates(X, y, points, labels, M, K, bound)


CASES = [("exact", 1), ("theorem1", 1), ("theorem1", 5), ("plurality", 4), ("plurality", 5)]


@pytest.mark.parametrize(("bound", "K"), CASES)
def test_issued_certificates_are_accepted_and_longer_radii_are_not(study, bound, K):
    X, y, points, labels, M = study
    checker = CertificateChecker(X, y, M)
    issued = issue(study, bound, K)
    longer = 0
    for x, label, certificate in zip(points, labels, issued):
        assert checker.check(x, label, certificate) == (True, "")
        if certificate.radius > 1e-6:
            tampered = replace(certificate, radius=certificate.radius * (1 + 1e-6))
            assert not checker.check(x, label, tampered).accepted
            longer += 1
    assert longer > 10


def test_certificates_carry_the_certified_radii(study):
    X, y, points, labels, M = study
    for bound, K in (("theorem1", 5), ("plurality", 4)):
        radii = certified_radii(X, y, points, labels, M, K, bound)
        np.testing.assert_array_equal([c.radius for c in certificates(X, y, points, labels, M, K, bound)], radii)


def test_changed_parts_are_rejected(study):
    X, y, points, labels, M = study
    checker = CertificateChecker(X, y, M)
    rejected = dict.fromkeys(["pool", "label", "multipliers", "negative", "sign", "range"], 0)
    for x, label, c in zip(points, labels, exact_radii(X, y, points, labels, M).certificates):
        if c.radius < 1e-6:
            continue
        other = next(v for v in np.unique(y) if v != label)
        few = replace(c, pool=c.pool[-1:], proofs=())
        rejected["pool"] += not checker.check(x, label, few).accepted
        rejected["label"] += not checker.check(x, other, c).accepted
        rejected["range"] += not checker.check(x, label, replace(c, pool=np.append(c.pool, 250))).accepted
        for proof in c.proofs[:1]:
            if proof.positives.size > 1:
                lost = replace(proof, multipliers=proof.multipliers * (np.arange(proof.positives.size) > 0))
                rejected["multipliers"] += not checker.check(
                    x, label, replace(c, proofs=(lost, *c.proofs[1:]))
                ).accepted
            negated = replace(proof, multipliers=-proof.multipliers)
            rejected["sign"] += not checker.check(x, label, replace(c, proofs=(negated, *c.proofs[1:]))).accepted
            moved = replace(proof, negative=int(c.pool[0]))
            rejected["negative"] += not checker.check(x, label, replace(c, proofs=(moved, *c.proofs[1:]))).accepted
    assert min(rejected.values()) >= 3, rejected


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict(radius=float("nan")), "at least 0"),
        (dict(radius=-1.0), "at least 0"),
        (dict(bound="theorem1", n_neighbors=2), "no rule proves"),
        (dict(bound="word of honour"), "no rule proves"),
        (dict(bound="exact", n_neighbors=2), "no rule proves"),
        (dict(bound="plurality", n_neighbors=0), "n_neighbors must lie in"),
        (dict(bound="plurality", n_neighbors=3), "n_neighbors must lie in"),
        (dict(norm=3.0), "norm must be"),
        (dict(bounds=(1.0, 0.0)), "low < high"),
        (dict(bounds=(0.0, np.inf)), "finite"),
        (dict(proofs=(Proof(1, np.array([0]), np.ones(2)),)), "one multiplier for each"),
        (dict(proofs=(Proof(1, np.array([0]), np.ones(1), np.array([0]), np.ones(1)),)), "faces that the box"),
        (dict(proofs=(Proof(1, np.array([0]), np.array([np.nan])),)), "negative weight"),
        (dict(pool=np.array([-1])), "must lie in"),
        (dict(pool=np.array([1])), "no point of the true class"),
    ],
)
def test_nonsense_is_rejected_with_a_reason(change, reason):
    good = Certificate(0.4, 1, "exact", np.array([0]))
    assert check_certificate([[0.0], [1.0]], [0, 1], [0.05], 0, good) == (True, "")
    verdict = check_certificate([[0.0], [1.0]], [0, 1], [0.05], 0, replace(good, **change))
    assert not verdict.accepted
    assert reason in verdict.reason


def test_a_false_radius_is_rejected_on_the_line():
    """The boundary between 0 and 1 is at 0.5."""
    X, y = [[0.0], [1.0]], [0, 1]
    assert check_certificate(X, y, [0.0], 0, Certificate(0.5 - 1e-12, 1, "exact", np.array([0]))).accepted
    assert not check_certificate(X, y, [0.0], 0, Certificate(0.5000001, 1, "exact", np.array([0]))).accepted
    assert not check_certificate(X, y, [0.0], 7, Certificate(0.1, 1, "exact", np.array([0]))).accepted


# ---------------------------------------------------------------- the upper side


class Problem:
    """A random training set, metric, norm and box, with the two-sided certificates of a dozen points."""

    def __init__(self, seed, lattice=True):
        rng = np.random.default_rng(seed)
        self.D, C, N = int(rng.integers(1, 9)), int(rng.integers(2, 5)), int(rng.integers(12, 60))
        self.X, self.y = rng.random((N, self.D)), np.append(np.arange(C), rng.integers(0, C, N - C))
        if lattice and seed % 4 == 0:
            self.X = np.round(3 * self.X) / 3
        if lattice and seed % 4 == 1:
            twin = rng.choice([0.0, 1e-10, 1e-7]) * rng.normal(size=(N // 2, self.D))
            self.X[-(N // 2) :] = self.X[: N // 2] + twin
        G = rng.normal(size=(int(rng.integers(1, self.D + 1)), self.D))
        self.M = None if seed % 3 == 0 else G.T @ G
        self.norm = (2, 1, np.inf)[rng.integers(3)]
        self.bounds = [None, None, (0.2, 0.8), (0.47, 0.53)][rng.integers(4)]
        self.Z = np.vstack([rng.random((8, self.D)), self.X[:2], (self.X[:2] + self.X[2:4]) / 2])
        if self.bounds is not None:
            self.Z[:4] = np.clip(self.Z[:4], *self.bounds)
        self.labels = MahalanobisKNN(1, self.M).fit(self.X, self.y).predict(self.Z)
        self.labels[::5] = (self.labels[::5] + 1) % C
        self.result = exact_radii(self.X, self.y, self.Z, self.labels, self.M, norm=self.norm, bounds=self.bounds)
        self.certificates = [
            replace(c, upper=upper, negative=int(j), perturbation=delta if np.isfinite(upper) else np.zeros(0))
            for c, upper, j, delta in zip(
                self.result.certificates,
                self.result.upper.tolist(),
                self.result.negative,
                self.result.perturbation,
            )
        ]
        self.checker = CertificateChecker(self.X, self.y, self.M)

    def check(self, t, **change):
        return self.checker.check(self.Z[t], self.labels[t], replace(self.certificates[t], **change))


def test_what_the_solver_finds_is_accepted_with_ties_twins_boxes_and_low_rank():
    seen = dict.fromkeys(["exact", "misclassified", "no attack", "tie"], 0)
    for seed in range(100):
        problem = Problem(seed)
        for t, (c, status) in enumerate(zip(problem.certificates, problem.result.status)):
            assert problem.check(t) == (True, ""), (seed, t)
            seen["misclassified"] += status == "misclassified"
            seen["no attack"] += c.upper == np.inf
            seen["tie"] += c.radius == 0 and status == "exact"
            seen["exact"] += 0 < c.radius <= c.upper < np.inf
    assert min(seen.values()) > 5, seen


def test_whatever_is_changed_on_the_upper_side_is_rejected_with_its_reason():
    tried = {}

    def expect(reason, problem, t, **change):
        verdict = problem.check(t, **change)
        assert not verdict.accepted and reason in verdict.reason, (change, verdict)
        tried[reason, *change] = tried.get((reason, *change), 0) + 1

    for seed in range(60):
        problem = Problem(seed, lattice=False)
        attacked = [t for t, c in enumerate(problem.certificates) if 1e-2 < c.radius <= c.upper < np.inf]
        for t in attacked:
            c, label = problem.certificates[t], problem.labels[t]
            delta, others = c.perturbation, np.flatnonzero(problem.y != label)
            expect("no smaller than the radius", problem, t, radius=c.upper * (1 + 1e-6))
            expect("no smaller than the radius", problem, t, radius=np.inf)
            expect("no smaller than the radius", problem, t, upper=float("nan"))
            expect("no smaller than the radius", problem, t, upper=c.radius * (1 - 1e-6))
            expect("longer than the upper", problem, t, upper=c.upper * (1 - 1e-6), radius=c.radius * (1 - 1e-6))
            expect("as near as the true class", problem, t, perturbation=delta * (1 - 1e-6))
            expect("as near as the true class", problem, t, perturbation=np.zeros(problem.D))
            expect("finite perturbation of shape", problem, t, perturbation=np.zeros(0))
            expect("finite perturbation of shape", problem, t, perturbation=np.append(delta, 0.0))
            expect("finite perturbation of shape", problem, t, perturbation=delta[None])
            expect("finite perturbation of shape", problem, t, perturbation=delta + np.nan)
            expect("finite perturbation of shape", problem, t, perturbation=np.append(delta[1:], np.inf))
            expect("longer than the upper", problem, t, perturbation=1e100 * delta)
            expect("does not win", problem, t, negative=int(np.flatnonzero(problem.y == label)[0]))
            expect("must lie in", problem, t, negative=problem.y.size)
            expect("must lie in", problem, t, negative=-2)
            expect("no rule proves an upper bound", problem, t, n_neighbors=3)
            farthest = others[np.square(problem.X[others] - problem.Z[t] - delta).sum(axis=1).argmax()]
            if problem.M is None and others.size > 2:
                expect("does not win", problem, t, negative=int(farthest))
            if len(set(problem.y)) > 2:
                assert not problem.checker.check(problem.Z[t], problem.y[c.negative], c).accepted
            for stolen in (problem.certificates[other].perturbation for other in attacked):
                length = np.linalg.norm(stolen, problem.norm)
                if length > c.upper * (1 + 1e-9):
                    expect("longer than the upper", problem, t, perturbation=stolen)
                elif length < c.radius * (1 - 1e-6) and problem.bounds is None:
                    expect("as near as the true class", problem, t, perturbation=stolen)
            assert problem.check(t, negative=-1).accepted
            assert problem.check(t, upper=np.inf, negative=-1, perturbation=np.zeros(0)).accepted
    assert min(tried.values()) > 10, tried


def test_a_perturbation_that_leaves_the_box_is_rejected():
    """The boundary between 0 and 1 is at 0.5. A point outside the box widens it as far as itself."""
    X, y = [[0.0], [1.0]], [0, 1]
    claim = Certificate(0.0, 1, "exact", np.array([0]), upper=0.45, negative=1, perturbation=np.array([0.45]))
    for bounds, x, accepted in [
        (None, 0.1, True),
        ((0.0, 0.55), 0.1, True),
        ((0.0, 0.5499), 0.1, False),
        ((0.2, 0.3), 0.1, False),
        ((-1.0, 0.0), 0.1, False),
        ((0.9, 1.0), 0.1, True),
    ]:
        verdict = check_certificate(X, y, [x], 0, replace(claim, bounds=bounds))
        assert verdict.accepted == accepted, (bounds, verdict)
        assert accepted or "leaves the box" in verdict.reason


def test_misclassified_points_need_no_perturbation_but_must_be_misclassified():
    X, y = [[0.0], [1.0]], [0, 1]
    claim = Certificate(0.0, 1, "exact", np.array([], dtype=int), upper=0.0, perturbation=np.zeros(1))
    assert check_certificate(X, y, [0.7], 0, claim).accepted
    assert check_certificate(X, y, [0.5], 0, claim).accepted  # a tie is lost
    assert not check_certificate(X, y, [0.3], 0, claim).accepted
    assert not check_certificate(X, y, [0.5 - 1e-12], 0, claim).accepted
    assert not check_certificate(X, y, [0.7], 0, replace(claim, radius=0.1)).accepted


def test_the_gap_is_what_the_two_sides_leave_open():
    claim = Certificate(0.25, 1, "exact", np.array([0]), upper=0.75)
    assert claim.gap == 0.5
    assert replace(claim, upper=np.inf).gap == np.inf
    assert replace(claim, radius=np.inf, upper=np.inf).gap == 0.0
    assert Certificate(0.25, 1, "exact", np.array([0])).upper == np.inf


# ---------------------------------------------------------------- what the classifier says


def answers(X, y, x, K):
    """All labels that K-NN may give at x, of whole numbers, by trying all ways to break ties."""
    d = np.square(X - x).sum(axis=1)
    kth = np.sort(d)[K - 1]
    near, tied = np.flatnonzero(d < kth), np.flatnonzero(d == kth)
    said = set()
    for some in combinations(tied.tolist(), K - near.size):
        votes = Counter(y[[*near.tolist(), *some]].tolist())
        said.add(min(label for label, count in votes.items() if count == max(votes.values())))
    return said


def test_what_the_classifier_may_say_is_known_on_lattices_with_duplicates_and_ties():
    rng = np.random.default_rng(3)
    several = 0
    for _ in range(400):
        N, D, C = int(rng.integers(4, 13)), int(rng.integers(1, 3)), int(rng.integers(2, 5))
        X, y = rng.integers(0, 4, (N, D)).astype(float), rng.integers(0, C, N)
        y[:2] = 0, 1
        checker = CertificateChecker(X, y)
        x, K = rng.integers(0, 4, D).astype(float), int(rng.integers(1, N + 1))
        truth = answers(X, y, x, K)
        assert {label for label in set(y.tolist()) if checker.predicts(x, label, K)} == truth
        assert MahalanobisKNN(K).fit(X, y).predict(x[None])[0] in truth
        assert not checker.predicts(x, 9, K) and not checker.predicts(x, 0, N + 1) and not checker.predicts(x, 0, 0)
        several += len(truth) > 1
    assert several > 50


def test_what_the_classifier_says_it_may_say_under_any_metric():
    rng = np.random.default_rng(4)
    for _ in range(40):
        D, K = int(rng.integers(1, 6)), int(rng.integers(1, 8))
        X, y, Z = rng.normal(size=(60, D)), rng.integers(0, 3, 60), rng.normal(size=(20, D))
        G = rng.normal(size=(D, D))
        said = MahalanobisKNN(K, G.T @ G).fit(X, y).predict(Z)
        checker = CertificateChecker(X, y, G.T @ G)
        for z, label in zip(Z, said.tolist()):
            assert [other for other in range(3) if checker.predicts(z, other, K)] == [label]


def test_an_interval_is_closed_where_next_to_nothing_is_left():
    checker = CertificateChecker([[0.0], [4.0]], [0, 1])
    assert checker.closed(1.0, 1.0 + 1e-8) and checker.closed(np.inf, np.inf) and checker.closed(0.0, 0.0)
    assert not checker.closed(1.0, 1.001) and not checker.closed(0.5, np.inf)
