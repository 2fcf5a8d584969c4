"""Malformed certificates are rejections with a reason, never tracebacks, and never accepted by a number that wraps."""

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from arml.certificate import Certificate, Proof
from arml.check import CertificateChecker

X = np.linspace(0.0, 1.0, 130)[:, None]
Y = (X[:, 0] > 0.5).astype(int)
GOOD = Certificate(0.1, 1, "exact", np.array([0, 39]), upper=0.4, negative=65, perturbation=np.array([0.4]))
PROOF = Proof(65, np.array([39]), np.array([1.0]))
WHOLE, NUMBER, ARRAY = "must be a whole number", "must be a number", "must be a one-dimensional array of"
TABLE: list[tuple[dict[str, Any], str]] = [
    # radius
    (dict(radius=None), NUMBER),
    (dict(radius="0.1"), NUMBER),
    (dict(radius=True), NUMBER),
    (dict(radius=0.1j), NUMBER),
    (dict(radius=[0.1]), NUMBER),
    (dict(radius=np.array(0.1)), NUMBER),
    (dict(radius=np.array([0.1])), NUMBER),
    (dict(radius=float("nan")), "at least 0"),
    (dict(radius=-1e-300), "at least 0"),
    (dict(radius=-np.inf), "at least 0"),
    (dict(radius=np.float32("nan")), "at least 0"),
    (dict(radius=10**400), "float64"),
    (dict(radius=np.datetime64("2020-01-01")), NUMBER),
    (dict(radius=10**5000), "float64"),
    (dict(radius=10**17 + 1, upper=np.inf), "float64"),
    (dict(radius=np.timedelta64(1, "D")), NUMBER),
    (dict(radius=np.inf, upper=np.inf), "not kept away"),
    # upper
    (dict(upper=None), NUMBER),
    (dict(upper="inf"), NUMBER),
    (dict(upper=False), NUMBER),
    (dict(upper=float("nan")), "no smaller than the radius"),
    (dict(upper=0.09), "no smaller than the radius"),
    (dict(upper=np.array([0.4])), NUMBER),
    # K: a number of eight bits would wrap at K + 1 and leave nothing to prove
    (dict(radius=np.inf, upper=np.inf, n_neighbors=np.int8(127), bound="plurality", pool=[]), ARRAY),
    (dict(radius=np.inf, upper=np.inf, n_neighbors=np.int8(127), bound="plurality"), "may win"),
    (dict(radius=np.inf, upper=np.inf, n_neighbors=np.int8(127), bound="packing"), "may win"),
    (dict(radius=np.inf, upper=np.inf, n_neighbors=np.int8(127), bound="theorem1"), "are within"),
    (dict(radius=np.inf, upper=np.inf, n_neighbors=np.uint8(255), bound="plurality"), "must lie in"),
    (dict(radius=np.inf, upper=np.inf, n_neighbors=np.uint8(255), bound="packing"), "must lie in"),
    (dict(n_neighbors=1.0), WHOLE),
    (dict(n_neighbors=np.float64(1.0)), WHOLE),
    (dict(n_neighbors="1"), WHOLE),
    (dict(n_neighbors=None), WHOLE),
    (dict(n_neighbors=True), WHOLE),
    (dict(n_neighbors=np.array(1)), WHOLE),
    (dict(n_neighbors=0), "must lie in"),
    (dict(n_neighbors=-1), "must lie in"),
    (dict(n_neighbors=131), "must lie in"),
    (dict(n_neighbors=2**70), "must lie in"),
    (dict(n_neighbors=3.0, bound="plurality"), WHOLE),
    (dict(n_neighbors=np.timedelta64(1, "s")), WHOLE),
    # bound
    (dict(bound=None), "must be a name"),
    (dict(bound=1), "must be a name"),
    (dict(bound=["exact"]), "must be a name"),
    (dict(bound="Exact"), "no rule proves"),
    (dict(bound=""), "no rule proves"),
    (dict(bound="word of honour", radius=0.0), "no rule proves"),
    (dict(bound="x" * 10**6), "no rule proves"),
    # pool
    (dict(pool=None), ARRAY),
    (dict(pool=[0, 39]), ARRAY),
    (dict(pool=(0, 39)), ARRAY),
    (dict(pool=np.array([[0, 39]])), ARRAY),
    (dict(pool=np.array(39)), ARRAY),
    (dict(pool=np.array([0.0, 39.0])), ARRAY),
    (dict(pool=np.array([np.nan])), ARRAY),
    (dict(pool=np.array([3.4])), ARRAY),
    (dict(pool=np.array([True, False])), ARRAY),
    (dict(pool=np.array(["0"])), ARRAY),
    (dict(pool=np.array([0, None])), ARRAY),
    (dict(pool=np.array([130])), "must lie in"),
    (dict(pool=np.array([-1])), "must lie in"),
    (dict(pool=np.array([2**64 - 1], dtype=np.uint64)), "must lie in"),
    (dict(pool=np.zeros(0)), ARRAY),
    (dict(pool=np.array([39, 0, 39])), "twice"),
    (dict(pool=np.ma.array([0, 200], mask=[False, True])), "must lie in"),
    (dict(pool=np.array([0, 39], dtype="m8[s]")), ARRAY),
    # norm
    (dict(norm=None), NUMBER),
    (dict(norm="2"), NUMBER),
    (dict(norm=True), NUMBER),
    (dict(norm=3.0), "norm must be"),
    (dict(norm=0), "norm must be"),
    (dict(norm=float("nan")), "norm must be"),
    (dict(norm=-np.inf), "norm must be"),
    # box
    (dict(bounds=(0.0, 0.5, 1.0)), "a pair"),
    (dict(bounds=(0.0,)), "a pair"),
    (dict(bounds=1.0), "a pair"),
    (dict(bounds="01"), "a pair"),
    (dict(bounds=np.array([0.0, 1.0])), "a pair"),
    (dict(bounds=(None, 1.0)), NUMBER),
    (dict(bounds=(0.0, "1")), NUMBER),
    (dict(bounds=(0.0, np.inf)), "finite"),
    (dict(bounds=(0.0, float("nan"))), "finite"),
    (dict(bounds=(1.0, 1.0)), "low < high"),
    # the winner and the way
    (dict(negative=None), WHOLE),
    (dict(negative=65.0), WHOLE),
    (dict(negative=True), WHOLE),
    (dict(negative=-2), "must lie in"),
    (dict(negative=130), "must lie in"),
    (dict(perturbation=None), "finite perturbation of shape"),
    (dict(perturbation=0.4), "finite perturbation of shape"),
    (dict(perturbation=[0.4]), "finite perturbation of shape"),
    (dict(perturbation=np.array([0.4], dtype=object)), "finite perturbation of shape"),
    (dict(perturbation=np.array(["0.4"])), "finite perturbation of shape"),
    (dict(perturbation=np.array([0.4j])), "finite perturbation of shape"),
    (dict(perturbation=np.array([np.nan])), "finite perturbation of shape"),
    (dict(perturbation=np.zeros((1, 1))), "finite perturbation of shape"),
    (dict(perturbation=np.array([np.longdouble("1e400")])), "finite perturbation of shape"),
    (dict(perturbation=np.ma.array([np.nan], mask=[True])), "finite perturbation of shape"),
    # proofs
    (dict(proofs=None), "tuple of Proof"),
    (dict(proofs=PROOF), "tuple of Proof"),
    (dict(proofs=(None,)), "must be a Proof"),
    (dict(proofs=((65, [39], [1.0]),)), "must be a Proof"),
    (dict(proofs=(replace(PROOF, negative=65.0),)), WHOLE),
    (dict(proofs=(replace(PROOF, negative=-1),)), "must lie in"),
    (dict(proofs=(replace(PROOF, negative=130),)), "must lie in"),
    (dict(proofs=(replace(PROOF, positives=[39]),)), ARRAY),
    (dict(proofs=(replace(PROOF, positives=np.array([39.0])),)), ARRAY),
    (dict(proofs=(replace(PROOF, positives=np.array([130])),)), "must lie in"),
    (dict(proofs=(replace(PROOF, multipliers=[1.0]),)), ARRAY),
    (dict(proofs=(replace(PROOF, multipliers=np.array(["1"])),)), ARRAY),
    (dict(proofs=(replace(PROOF, multipliers=np.ones(2)),)), "one multiplier for each"),
    (dict(proofs=(replace(PROOF, multipliers=np.array([np.nan])),)), "negative weight"),
    (dict(proofs=(replace(PROOF, multipliers=np.array([np.inf])),)), "not finite"),
    (dict(proofs=(replace(PROOF, multipliers=np.array([-1.0])),)), "negative weight"),
    (dict(proofs=(replace(PROOF, faces=np.array([0]), face_multipliers=np.ones(1)),)), "faces that the box has"),
    (dict(bounds=(0.0, 1.0), proofs=(replace(PROOF, faces=np.array([2]), face_multipliers=np.ones(1)),)), "faces"),
    (dict(bounds=(0.0, 1.0), proofs=(replace(PROOF, faces=np.array([0])),)), "one multiplier for each"),
    (dict(proofs=(replace(PROOF, positives=np.array([66])),)), "wrong class"),
]


@pytest.fixture(scope="module")
def checker() -> CertificateChecker:
    return CertificateChecker(X, Y)


@pytest.mark.parametrize(("change", "reason"), TABLE, ids=[str(i) for i in range(len(TABLE))])
def test_a_malformed_certificate_is_rejected_with_its_reason(
    checker: CertificateChecker, change: dict[str, Any], reason: str
) -> None:
    assert checker.check([0.15], 0, GOOD) == (True, "")
    verdict = checker.check([0.15], 0, replace(GOOD, **change))
    assert not verdict.accepted and reason in verdict.reason, verdict


@pytest.mark.parametrize("what", [None, 0.1, {"radius": 0.1}, "certificate", (0.1, 1, "exact", np.array([0]))])
def test_what_is_no_certificate_is_rejected(checker: CertificateChecker, what: Any) -> None:
    verdict = checker.check([0.15], 0, what)
    assert not verdict.accepted and "expected a Certificate" in verdict.reason


@pytest.mark.parametrize("label", [None, [0], np.array([0, 1]), float("nan"), "0", 7, {}, (0,), np.int8(7)])
def test_a_label_that_is_none_of_the_training_set_is_rejected(checker: CertificateChecker, label: Any) -> None:
    verdict = checker.check([0.15], label, GOOD)
    assert not verdict.accepted and "unknown to the training set" in verdict.reason


def test_numbers_of_any_width_are_read_as_what_they_are(checker: CertificateChecker) -> None:
    narrow = replace(
        GOOD, radius=np.float32(0.09375), n_neighbors=np.int8(1), pool=np.array([0, 39], dtype=np.uint8),
        norm=2, negative=np.int16(65),
    )  # fmt: skip
    assert checker.check([0.15], np.int8(0), narrow) == (True, "")


def test_the_table_is_long_enough() -> None:
    assert len(TABLE) >= 60


@dataclass(frozen=True)
class Lookalike:
    radius: float = 0.1


def test_what_only_looks_like_a_certificate_is_none(checker: CertificateChecker) -> None:
    assert "expected a Certificate" in checker.check([0.15], 0, Lookalike()).reason  # type: ignore[arg-type]


def test_fields_of_all_kinds_at_random_are_never_a_traceback_and_never_a_false_radius(
    checker: CertificateChecker,
) -> None:
    """The radius of x = 0.15 of class 0 is 0.5 + 0.5/129 − 0.15 at most; what claims more is not accepted."""
    values: list[Any] = [
        None, True, 0, 1, -1, 3, 2**70, 0.0, 0.1, 3.4, 1e308, np.inf, -np.inf, float("nan"), 1j, "", "1", b"1", "exact",
        "theorem1", "plurality", "packing", np.int8(127), np.uint8(255), np.float16(2), np.array(1), np.arange(3),
        np.arange(3.0), np.zeros((2, 2), int), np.array([65]), np.array([np.nan]), np.array([2**63], np.uint64), [], (),
        (0.0, 1.0), (0.0, 0.5, 1.0), {}, {0}, PROOF, (PROOF,), [PROOF, PROOF], (None,), object(), np.array([PROOF]),
    ]  # fmt: skip
    fields = [field.name for field in dataclasses.fields(Certificate)]
    rng = np.random.default_rng(0)
    seen = [0, 0]
    for _ in range(4000):
        change = {name: values[rng.integers(len(values))] for name in rng.choice(fields, rng.integers(1, 4), False)}
        claim = replace(GOOD, **change)
        verdict = checker.check([0.15], 0, claim)
        seen[verdict.accepted] += 1
        assert verdict.accepted == (verdict.reason == ""), (change, verdict)
        if verdict.accepted:
            assert claim.radius < 0.36, (change, verdict)
    assert min(seen) > 50, seen
