"""What must hold on any data: ties, duplicates, tiny classes, constant features, singular M, K odd and even."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from arml import MahalanobisKNN
from arml.certify import certified_radii
from arml.check import CertificateChecker
from arml.verify import exact_radii


@st.composite
def studies(draw, max_neighbors=12):
    """A training set with 2–5 classes, some of 1–3 members, often on a lattice, with a metric and test points."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    n_classes, D = draw(st.integers(2, 5)), draw(st.integers(1, 6))
    sizes = [draw(st.sampled_from([1, 2, 3, 8, 15])) for _ in range(n_classes)]
    y = np.repeat(np.arange(n_classes), sizes)
    X = rng.random((y.size, D))
    if draw(st.booleans()):
        X = np.round(2 * X) / 3.0
    if draw(st.booleans()):
        X[:, 0] = 0.5
    if draw(st.booleans()):
        X[-1] = X[0]
    kind = draw(st.sampled_from(["euclidean", "full", "low-rank", "near-singular", "zero"]))
    G = {
        "euclidean": np.eye(D),
        "full": rng.normal(size=(D, D)),
        "low-rank": rng.normal(size=(max(1, D // 2), D)),
        "near-singular": np.diag(10.0 ** -np.arange(D)) @ rng.normal(size=(D, D)),
        "zero": np.zeros((1, D)),
    }[kind]
    order = rng.permutation(y.size)
    points = np.vstack([X[rng.integers(y.size, size=3)], rng.random((3, D))])
    K = draw(st.integers(1, min(max_neighbors, y.size)))
    labels = MahalanobisKNN(K, G.T @ G).fit(X[order], y[order]).predict(points)
    return X[order], y[order], points, labels, G.T @ G, K, rng


@settings(max_examples=80, deadline=None)
@given(studies(max_neighbors=1))
def test_exact_radii_bracket_the_boundary(study):
    X, y, points, labels, M, _, rng = study
    result = exact_radii(X, y, points, labels, M)
    assert (result.lower <= result.upper).all()
    assert np.isfinite(result.upper).all()
    assert "misclassified" not in result.status
    knn = MahalanobisKNN(1, M).fit(X, y)
    flips = _predictions_inside(X, knn, points, result.lower, rng) != labels[:, None]
    assert not flips.any()
    assert (certified_radii(X, y, points, labels, M, 1) <= result.upper).all()
    ends = points + result.perturbation
    for t in np.flatnonzero(result.upper > 1e-6):
        nudged = ends[t] + 1e-5 * (X[result.negative[t]] - ends[t])
        assert knn.predict(nudged[None])[0] != labels[t] or _coincides(X, y, M, result.negative[t], labels[t])


@settings(max_examples=40, deadline=None)
@given(studies(max_neighbors=1), st.sampled_from([1, 2, np.inf]), st.sampled_from([(0.0, 1.0), (0.3, 0.6)]))
def test_exact_radii_in_a_box_and_in_other_norms(study, norm, box):
    X, y, points, labels, M, _, rng = study
    free = exact_radii(X, y, points, labels, M, norm=norm)
    boxed = exact_radii(X, y, points, labels, M, norm=norm, bounds=box)
    assert (free.lower <= free.upper).all()
    assert (boxed.lower <= boxed.upper).all()
    assert (boxed.upper >= free.lower).all()
    assert (certified_radii(X, y, points, labels, M, 1, norm=norm) <= free.upper).all()
    checker, knn = CertificateChecker(X, y, M), MahalanobisKNN(1, M).fit(X, y)
    for result in (free, boxed):
        for x, label, certificate in zip(points, labels, result.certificates):
            assert checker.check(x, label, certificate) == (True, "")
    assert not (_predictions_inside(X, knn, points, free.lower, rng, norm=norm) != labels[:, None]).any()
    low, high = np.minimum(box[0], points), np.maximum(box[1], points)
    reach = np.where(np.isfinite(boxed.lower), boxed.lower, 3.0)
    inside = _predictions_inside(X, knn, points, reach, rng, norm=norm, box=(low, high))
    assert not (inside != labels[:, None]).any()
    found = np.isfinite(boxed.upper)
    ends = (points + boxed.perturbation)[found]
    assert ((ends >= low[found]) & (ends <= high[found])).all()


@settings(max_examples=60, deadline=None)
@given(studies())
def test_no_perturbation_inside_a_certificate_flips_a_prediction(study):
    X, y, points, labels, M, K, rng = study
    bounds = ["plurality", "theorem1"] if K % 2 else ["plurality"]
    knn = MahalanobisKNN(K, M).fit(X, y)
    for norm in (2, 1, np.inf):
        radii = {bound: certified_radii(X, y, points, labels, M, K, bound, norm=norm) for bound in bounds}
        for radius in radii.values():
            assert (radius >= 0).all()
            reach = np.where(np.isfinite(radius), radius, 3.0)
            assert not (_predictions_inside(X, knn, points, reach, rng, norm=norm) != labels[:, None]).any()
        if K % 2:
            assert (radii["theorem1"] <= radii["plurality"] * (1 + 1e-9) + 1e-9).all()


@settings(max_examples=40, deadline=None)
@given(studies(max_neighbors=5), st.floats(1e-3, 1e3))
def test_scaling_the_metric_or_renaming_labels_in_order_changes_nothing(study, factor):
    X, y, points, labels, M, K, _ = study
    assume(M.any())
    one = certified_radii(X, y, points, labels, M, K, "plurality")
    two = certified_radii(X, 7 * y - 3, points, 7 * labels - 3, factor * M, K, "plurality")
    finite = np.isfinite(one)
    assert (finite == np.isfinite(two)).all()
    np.testing.assert_allclose(one[finite], two[finite], rtol=1e-5, atol=1e-6)


def _predictions_inside(X, knn, points, radii, rng, count=40, norm=2, box=None):
    """Predictions at points no farther than the radii, half of them towards training points."""
    directions = rng.normal(size=(points.shape[0], count, points.shape[1]))
    rivals = X[rng.integers(len(X), size=(points.shape[0], count // 2))]
    directions[:, : count // 2] = rivals - points[:, None]
    if norm == np.inf:
        directions[:, ::4] = np.sign(directions[:, ::4])
    norms = np.linalg.norm(directions, norm, axis=2, keepdims=True)
    directions = directions / np.where(norms > 0, norms, 1.0)
    share = rng.choice([0.0, 0.5, 0.99, 1 - 1e-9], size=(points.shape[0], count, 1))
    moved = points[:, None] + directions * radii[:, None, None] * share
    if box is not None:
        moved = np.clip(moved, box[0][:, None], box[1][:, None])
    return knn.predict(moved.reshape(-1, points.shape[1])).reshape(points.shape[0], count)


def _coincides(X, y, M, negative, label):
    """The negative has a positive twin in the metric: beyond the boundary they still tie."""
    differences = X[y == label] - X[negative]
    return bool((np.einsum("ij,jk,ik->i", differences, M, differences) < 1e-9 * max(np.trace(M), 1e-300)).any())
