"""The classifier's robustness methods: the functions' values, in order, whatever K, ties, duplicates and scaling."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from arml import MahalanobisKNN, certified_radii, geometric_attack

SCALINGS: tuple[Any, ...] = (None, "unit", "image", "minmax")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n_train=st.integers(4, 14),
    n_classes=st.integers(2, 3),
    k=st.integers(1, 6),
    lattice=st.booleans(),
    rank=st.integers(1, 3),
    scaling=st.sampled_from(SCALINGS),
)
def test_certificate_below_verified_below_attack_and_errors_grow(
    seed: int, n_train: int, n_classes: int, k: int, lattice: bool, rank: int, scaling: Any
) -> None:
    rng = np.random.default_rng(seed)
    train: Any = rng.integers(0, 3, (n_train, 3)) * 10.0 if lattice else rng.uniform(-20.0, 50.0, (n_train, 3))
    train[n_train // 2] = train[0]
    labels = np.r_[0, 1, rng.integers(0, n_classes, n_train - 2)]
    points, truth = rng.permutation(np.r_[train, rng.uniform(-20.0, 50.0, (3, 3))])[:5], rng.integers(0, 2, 5)
    G = np.eye(3) if rank == 3 else rng.integers(-1, 2, (rank, 3)) + np.eye(rank, 3)
    k = min(k, n_train)
    knn = MahalanobisKNN(k, G.T @ G, scaling).fit(train, labels)
    proved = knn.certify(points, truth, bound="plurality")
    verified = knn.verify(points, truth)
    attacked = knn.attack(points, truth, programs=20)
    assert (proved <= verified.upper * (1 + 1e-9)).all()
    assert (verified.lower <= attacked.norm * (1 + 1e-9)).all()
    wrong = knn.predict(points) != truth
    assert (attacked.norm[wrong] == 0).all() and (proved[wrong] == 0).all()
    found = np.isfinite(attacked.norm)
    if found.any():
        assert (knn.predict(attacked.adversarial[found]) != truth[found]).all()
    if scaling is None:
        given = (train, labels, points, truth, G.T @ G)
        np.testing.assert_array_equal(proved, certified_radii(*given, n_neighbors=k, bound="plurality"))
        np.testing.assert_array_equal(attacked.norm, geometric_attack(*given, n_neighbors=k, programs=20).norm)
    radii = np.r_[0.0, np.sort(rng.uniform(0.0, 20.0, 6)), attacked.norm[found]]
    radii.sort()
    errors = knn.robust_error(points, truth, radii, bound="plurality")
    assert errors.shape == radii.shape and (np.diff(errors) >= 0).all()
    np.testing.assert_array_equal(errors, [(proved <= radius).mean() for radius in radii])
    broken = knn.robust_error(points, truth, radii, kind="attacked", programs=20)
    np.testing.assert_array_equal(broken, [(attacked.norm <= radius).mean() for radius in radii])
    if scaling in ("unit", "image"):
        span = float(knn.scaler_.span[0])
        assert (knn.certify(points, truth, bound="plurality", units="raw") <= span * proved).all()
        ways = np.linalg.norm(attacked.adversarial - points, axis=1)[found]
        np.testing.assert_allclose(span * attacked.norm[found], ways, rtol=1e-9, atol=1e-9)
