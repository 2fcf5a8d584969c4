"""The packing bound, and what the checker of its certificates insists on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from arml.certificate import Certificate, Proof
from arml.certify import certificates, certified_radii
from arml.certify.packing import Packing
from arml.check import CertificateChecker
from tests.unit.test_attacks_boundary import blobs


def test_groups_of_one_are_the_closed_form_and_larger_groups_gain() -> None:
    """1-NN in the plane: the way to j at (0, 1) is cut off by two positives, each of which alone leaves it open."""
    train = np.array([[-1.0, 0.1], [1.0, 0.1], [0.0, 1.5]])
    labels = [0, 0, 1]
    plain = certified_radii(train, labels, [[0.0, 0.0]], [0], n_neighbors=1, bound="plurality")
    (packed,) = certificates(train, labels, [[0.0, 0.0]], [0], n_neighbors=1, bound="packing")
    # nearer to j than to both: 2·1.4·δ₂ ≥ 1.5² − 1.01 on the axis
    assert packed.radius == pytest.approx((1.5**2 - 1.01) / (2 * 1.4), rel=1e-9)
    assert plain[0] < 0.9 * packed.radius
    assert [proof.positives.size for proof in packed.proofs] == [2]


@pytest.mark.parametrize("k", [1, 2, 3, 5, 8])
def test_certificates_are_believed_and_never_below_plurality(k: int) -> None:
    train, train_y, X, y = blobs(n_test=30, n_classes=3)
    checker = CertificateChecker(train, train_y)
    plain = certified_radii(train, train_y, X, y, n_neighbors=k, bound="plurality")
    packed = certificates(train, train_y, X, y, n_neighbors=k, bound="packing")
    radii = np.array([c.radius for c in packed])
    assert (radii >= plain).all() and (radii > plain * 1.001).sum() >= 3
    for x, label, certificate in zip(X, y, packed):
        verdict = checker.check(x, label, certificate)
        assert verdict.accepted, verdict.reason


def tampered() -> tuple[CertificateChecker, np.ndarray, int, Certificate]:
    train, train_y, X, y = blobs(n_test=30, n_classes=2)
    packed = certificates(train, train_y, X, y, n_neighbors=3, bound="packing")
    plain = certified_radii(train, train_y, X, y, n_neighbors=3, bound="plurality")
    gains = np.array([c.radius for c in packed]) / np.maximum(plain, 1e-9) * (plain > 0)
    best = int(gains.argmax())
    assert gains[best] > 1.01
    return CertificateChecker(train, train_y), X[best], int(y[best]), packed[best]


def test_checker_rejects_a_longer_radius_and_missing_proofs() -> None:
    checker, x, label, certificate = tampered()
    assert checker.check(x, label, certificate).accepted
    assert not checker.check(x, label, replace(certificate, radius=certificate.radius * 1.01)).accepted
    assert not checker.check(x, label, replace(certificate, proofs=())).accepted


def test_checker_rejects_groups_that_share_a_positive() -> None:
    """One good group given twice would count for two."""
    checker, x, label, certificate = tampered()
    again = (*certificate.proofs, certificate.proofs[0])
    verdict = checker.check(x, label, replace(certificate, proofs=again))
    assert not verdict.accepted and "not disjoint" in verdict.reason


def test_checker_rejects_a_positive_of_another_class_and_negative_multipliers() -> None:
    checker, x, label, certificate = tampered()
    first, *others = certificate.proofs
    stranger = int(np.flatnonzero(checker.y != label)[0])
    for bad, said in (
        (replace(first, positives=np.array([stranger]), multipliers=np.array([1.0])), "uses a point of a wrong class"),
        (Proof(first.negative, first.positives, -first.multipliers), "a negative weight, or one that is not finite"),
    ):
        verdict = checker.check(x, label, replace(certificate, proofs=(bad, *others)))
        assert not verdict.accepted and verdict.reason.endswith(said)


@pytest.mark.parametrize("norm", [1, np.inf])
def test_other_norms_are_refused(norm: float) -> None:
    with pytest.raises(ValueError, match="bound 'packing' is for norm 2, got"):
        certified_radii([[0.0], [1.0]], [0, 1], [[0.1]], [0], n_neighbors=1, bound="packing", norm=norm)


@pytest.mark.parametrize("k", [2, 3, 5, 8])
def test_what_is_left_unpacked_would_not_have_raised_the_radius(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packings end where they no longer decide: without that, and with none remembered, the radii are the same."""
    rng = np.random.default_rng(k)
    X, y = rng.normal(size=(90, 4)), np.arange(90) % 4
    X += 0.8 * np.eye(4)[y]
    Z, labels = X[:25] + 0.3 * rng.normal(size=(25, 4)), y[:25]
    found = certified_radii(X, y, Z, labels, None, k, "packing")
    order = Packing.order

    def whole(self: Packing, *arguments: object) -> float:
        self._known.clear()
        return order(self, *arguments[:-1], np.inf)  # type: ignore[arg-type]

    monkeypatch.setattr(Packing, "order", whole)
    np.testing.assert_array_equal(found, certified_radii(X, y, Z, labels, None, k, "packing"))
    monkeypatch.undo()
    assert (found > certified_radii(X, y, Z, labels, None, k, "plurality") * (1 + 1e-6)).any()
