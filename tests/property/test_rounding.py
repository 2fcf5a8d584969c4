"""What rounding does to distances is within its bounds, by rational arithmetic: stiff metrics, offsets, any scale."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arml.knn.mahalanobis import MahalanobisMetric
from arml.knn.reference import ReferenceSet


def exactly(matrix):
    """Entries as fractions: a double is one."""
    return [[Fraction(float(value)) for value in row] for row in np.atleast_2d(matrix)]


def times(G, v):
    return [sum((g * a for g, a in zip(row, v, strict=True)), Fraction(0)) for row in G]


@st.composite
def problems(draw):
    """A factor with rows and columns of very different sizes, and points that differ less where it is large."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width, n = draw(st.integers(1, 6)), draw(st.integers(3, 8))
    stiff = 10.0 ** rng.uniform(0, draw(st.sampled_from([0, 3, 7])), size=width)
    G = rng.normal(size=(draw(st.integers(1, width)), width)) * stiff * 10.0 ** draw(st.sampled_from([-60, 0, 60]))
    X = rng.normal(size=(n + 2, width)) / (stiff if draw(st.booleans()) else 1.0)
    X += draw(st.sampled_from([0.0, 1.0, 1e6]))
    y = np.r_[0, 1, rng.integers(0, 2, n - 2)]
    return ReferenceSet(X[:n], y, MahalanobisMetric(G)), X[n:], exactly(G)


@settings(max_examples=60, deadline=None)
@given(problems())
def test_measured_and_screened_distances_and_rows_are_as_near_as_their_bounds_say(problem):
    reference, Z, G = problem
    at, rows = reference.located(Z), np.arange(reference.n_train)
    screened, errors = reference.distances(at), np.broadcast_to(reference.screen_errors(at), (len(Z), rows.size))
    X, (x, shift) = exactly(reference.points[reference.order]), exactly(np.stack([Z[0], (Z[1] - Z[0]) / 3]))
    center = exactly(reference.center)[0]
    for moved in (False, True):
        given_shift = (Z[1] - Z[0]) / 3 if moved else None
        found, sizes = reference.measured(Z[:1], rows, shift=given_shift)
        bounds = reference.rounding.measured(np.sqrt(found), sizes, shifted=moved)
        for row in rows:
            way = [a - b - (c if moved else 0) for a, b, c in zip(X[row], x, shift, strict=True)]
            true = sum((image**2 for image in times(G, way)), Fraction(0))
            assert abs(Fraction(float(found[row])) - true) <= Fraction(float(bounds[row]))
            if not moved:
                assert abs(Fraction(float(screened[0, row])) - true) <= Fraction(float(errors[0, row]))
    for row in rows:
        centered = [a - c for a, c in zip(X[row], center, strict=True)]
        w = times(list(zip(*G, strict=True)), times(G, centered))
        off = sum(((Fraction(float(a)) - b) ** 2 for a, b in zip(reference.w[row], w, strict=True)), Fraction(0))
        assert off <= Fraction(float(reference.row_errors(row))) ** 2


@settings(max_examples=60, deadline=None)
@given(problems())
def test_sizes_lie_between_the_image_and_the_length_along_the_stiffest_direction(problem):
    reference, Z, _ = problem
    at = reference.located(Z)
    slack = 1.0 + 1e-12
    assert (at.sizes * slack >= np.sqrt(np.square(at.images).sum(axis=1))).all()
    assert (at.sizes <= reference.metric.sigma_max * np.linalg.norm(at.centered, axis=1) * slack).all()
    parts = reference.located(Z[:1]).sizes, reference.located(Z[1:]).sizes
    assert np.array_equal(np.concatenate(parts), at.sizes), "no size depends on the batch"


def test_of_a_metric_that_is_stiff_where_points_are_alike_sizes_are_small():
    rng = np.random.default_rng(0)
    X = rng.random((50, 4)) * [1e-6, 1.0, 1.0, 1.0]
    reference = ReferenceSet(X, np.r_[0, np.ones(49, int)], MahalanobisMetric(np.diag([1e5, 1.0, 1.0, 1.0])))
    assert reference.sizes.max() < 3.0 < 1e4 < reference.metric.sigma_max * reference.radius
    with pytest.raises(ValueError, match="overflow"):
        reference.located(np.full((1, 4), 1e160))
