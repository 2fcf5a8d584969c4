"""A quick share of ``make fuzz``, and that it finds a claim that is false."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import fuzz

pytestmark = pytest.mark.filterwarnings("ignore:training row:UserWarning")


def test_every_claim_about_random_problems_holds() -> None:
    spent = fuzz.run(seed=7, wanted=400_000)
    assert spent["trials"] > 50 and spent["abstained"] < 0.3 * spent["probes"]


def test_a_radius_that_is_too_long_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def boastful(*arguments: Any) -> list[Any]:
        return [replace(proof, radius=1.1 * proof.radius) for proof in certificates(*arguments)]

    certificates = fuzz.certificates
    monkeypatch.setattr(fuzz, "certificates", boastful)
    with pytest.raises(AssertionError, match=r"trial \d+ .*radius"):
        fuzz.run(seed=7, wanted=400_000)


def test_an_upper_end_that_is_too_short_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*arguments: Any, **options: Any) -> Any:
        found = exact_radii(*arguments, **options)
        return replace(found, lower=0.9 * found.lower, upper=0.9 * found.upper, perturbation=0.9 * found.perturbation)

    exact_radii = fuzz.exact_radii
    monkeypatch.setattr(fuzz, "exact_radii", short)
    with pytest.raises(AssertionError, match=r"where the answer is still right"):
        fuzz.run(seed=7, wanted=400_000)
