"""Robust-error curves and their intervals."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from arml.curves import robust_curves, robust_error, wilson_interval
from arml.results import attacked_table, certified_table, concat, exact_table


def test_error_counts_values_equal_to_the_radius() -> None:
    values = [0.0, 0.1, np.nextafter(0.1, 1), 0.3, np.inf]
    np.testing.assert_array_equal(robust_error(values, [0.0, 0.1, 0.2, 0.3, 1e9]), [0.2, 0.4, 0.6, 0.8, 0.8])


def test_error_follows_the_order_of_the_radii_given() -> None:
    np.testing.assert_array_equal(robust_error([0.2, 0.6], [1.0, 0.0, 0.3]), [1.0, 0.0, 0.5])


@pytest.mark.parametrize(
    ("values", "radii", "message"),
    [
        ([0.1, np.nan], [0.1], "neither NaN nor negative"),
        ([0.1, -0.1], [0.1], "neither NaN nor negative"),
        ([0.1], [-0.1], "radii must be finite"),
        ([0.1], [np.nan], "radii must be finite"),
        ([], [0.1], "at least one value"),
    ],
)
def test_inadmissible_values_are_refused(values: list[float], radii: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        robust_error(values, radii)


def test_wilson_interval_solves_its_defining_equation() -> None:
    """The ends p of the interval satisfy |p̂ − p| = z √(p (1 − p) / n)."""
    z, n = 1.959963984540054, 150
    errors = np.arange(1, n)
    for end in wilson_interval(errors, n):
        np.testing.assert_allclose(np.abs(errors / n - end), z * np.sqrt(end * (1 - end) / n), rtol=1e-12)


def test_wilson_interval_known_values_and_edges() -> None:
    low, high = wilson_interval([0, 10, 20], 20)
    np.testing.assert_allclose(low, [0.0, 0.299298, 0.838875], atol=1e-6)
    np.testing.assert_allclose(high, [0.161125, 0.700702, 1.0], atol=1e-6)
    narrow, wide = wilson_interval(10, 20, level=0.5), wilson_interval(10, 20, level=0.99)
    assert wide[0] < narrow[0] < 0.5 < narrow[1] < wide[1]


def test_wilson_interval_covers_as_often_as_it_says() -> None:
    """Averaged over rates, the exact binomial coverage of the 95 % interval is 95 %."""
    n = 60
    low, high = wilson_interval(np.arange(n + 1), n)
    rates = np.linspace(0.02, 0.98, 97)
    coverage = [
        sum(comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1) if low[c] <= p <= high[c]) for p in rates
    ]
    assert abs(np.mean(coverage) - 0.95) < 0.01


@pytest.mark.parametrize(("errors", "n", "level"), [(3, 2, 0.95), (-1, 2, 0.95), (0, 0, 0.95), (1, 2, 1.0)])
def test_wilson_interval_refuses_what_is_no_rate(errors: int, n: int, level: float) -> None:
    with pytest.raises(ValueError):
        wilson_interval(errors, n, level)


def test_curves_count_lower_bounds_attack_norms_and_unsolved_points() -> None:
    point = {"dataset": "toy", "method": "arml", "label": [0, 0, 0, 0, 0], "prediction": [0, 0, 0, 0, 1]}
    exact = exact_table(
        **point,  # type: ignore[arg-type]
        lower=[0.3, 0.2, 0.3, 0.0, 0.0],
        upper=[0.3, 0.5, 0.9, 0.0, 0.0],
        status=["exact", "bounded", "unsolved", "exact", "misclassified"],
    )
    certified = certified_table(**point, n_neighbors=1, radius=[0.25, 0.0, 0.1, 0.0, 0.0])  # type: ignore[arg-type]
    attacked = attacked_table(
        **point,  # type: ignore[arg-type]
        n_neighbors=1,
        index=range(5),
        norm=[0.3, np.inf, np.nan, 0.25, 0.0],
        status=["bounded", "unsolved", "unattacked", "bounded", "misclassified"],
    )
    curves = {curve.kind: curve for curve in robust_curves(concat([exact, certified, attacked]))}
    radii = [0.0, 0.1, 0.25, 0.3]
    assert list(curves) == ["exact", "certified", "attacked"]
    np.testing.assert_array_equal(curves["exact"].counts(radii), [3, 3, 4, 5])  # unsolved counts from radius 0
    np.testing.assert_array_equal(curves["certified"].counts(radii), [3, 4, 5, 5])
    np.testing.assert_array_equal(curves["attacked"].counts(radii), [1, 1, 2, 3])
    assert [curve.n_points for curve in curves.values()] == [5, 5, 5]
    assert [curve.n_unsolved for curve in curves.values()] == [1, 2, 2]
    assert curves["exact"].clean_error == 0.2
    assert curves["exact"].errors([0.0])[0] == 0.6  # a distance tie and an unsolved point beside the wrong one
    np.testing.assert_allclose(curves["exact"].gaps, [0, 0.3, 0, 0, 0])
    part = curves["exact"].restricted([1, 4])
    assert (part.n_points, part.clean_error, part.n_unsolved) == (2, 0.5, 0)
    np.testing.assert_array_equal(part.counts(radii), [1, 1, 2, 2])
