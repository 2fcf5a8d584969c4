"""The geometric attack beside duplicates, on lattices, with outliers: it breaks what can be broken, and no farther."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.attacks import geometric_attack, hopskipjump_attack, pointwise_attack
from tests.oracles import min_norm_point
from tests.property.test_attacks_sound import radius_1d

Floats = np.ndarray
KINDS = ("plain", "lattice", "duplicates", "outlier", "lattice, outlier", "duplicates, outlier")


class Problem:
    """A small training set of some kind, with points that it classifies as ``said``."""

    def __init__(self, kind: str, seed: int) -> None:
        rng = np.random.default_rng([KINDS.index(kind), seed])
        n, self.D, C = int(rng.integers(4, 24)), int(rng.integers(1, 4)), int(rng.integers(2, 4))
        lattice = "lattice" in kind
        self.X = rng.integers(0, 4, (n, self.D)).astype(float) if lattice else rng.uniform(size=(n, self.D))
        self.y = np.append(np.arange(C), rng.integers(0, C, n - C))
        if "duplicates" in kind:
            self.X[-(n // 3) :] = self.X[: n // 3]
            self.y[-(n // 3) :] = (self.y[: n // 3] + 1) % C
            self.y[:C] = np.arange(C)
        if "outlier" in kind:
            self.X[rng.integers(n)] = 10.0 ** rng.integers(1, 4) * rng.choice([-1.0, 1.0], self.D)
        self.K = int(rng.integers(1, min(n, 7) + 1))
        self.Z = np.vstack([self.X[rng.integers(n, size=2)], rng.uniform(size=(2, self.D)) * (3 if lattice else 1)])
        if lattice:
            self.Z[2:] = np.round(self.Z[2:] * 2) / 2
        self.knn = MahalanobisKNN(self.K).fit(self.X, self.y)
        self.said = self.knn.predict(self.Z)

    def attack(self, **options: Any) -> Any:
        return geometric_attack(self.X, self.y, self.Z, self.said, n_neighbors=self.K, **options)

    def first_on_rays(self, row: int) -> float:
        """The length of the shortest way that breaks, on many rays: dense steps, then bisection."""
        x, rng = self.Z[row], np.random.default_rng(row)
        rays = np.vstack([self.X - x, rng.standard_normal((50, self.D)), np.eye(self.D), -np.eye(self.D)])
        lengths = np.sqrt(np.square(rays).sum(axis=1))
        rays, far = rays[lengths > 0] / lengths[lengths > 0, None], 3.0 * float(np.median(lengths))
        steps = np.sort(
            np.concatenate([np.geomspace(1e-9, far, 40), np.linspace(0.0, far, 41)[1:], np.arange(1, 17) / 4])
        )
        wrong = (self.knn.predict((x + rays[:, None] * steps[:, None]).reshape(-1, self.D)) != self.said[row]).reshape(
            len(rays), -1
        )
        rays, wrong = rays[wrong.any(axis=1)], wrong[wrong.any(axis=1)]
        if not len(rays):
            return np.inf
        first = wrong.argmax(axis=1)
        high, low = steps[first], np.where(first > 0, steps[np.maximum(first - 1, 0)], 0.0)
        for _ in range(45):
            middle = (low + high) / 2
            nearer = self.knn.predict(x + middle[:, None] * rays) != self.said[row]
            high, low = np.where(nearer, middle, high), np.where(nearer, low, middle)
        return float(high.min())


def broken(problem: Problem, found: Any) -> None:
    """What was found is misclassified, at the length that is said."""
    there = np.isfinite(found.norm)
    if there.any():
        assert (problem.knn.predict(found.adversarial[there]) != problem.said[there]).all()
        lengths = np.sqrt(np.square(found.adversarial - problem.Z).sum(axis=1))
        np.testing.assert_array_equal(found.norm[there], lengths[there])


@pytest.mark.parametrize("kind", KINDS)
def test_no_ray_breaks_a_point_sooner(kind: str) -> None:
    for seed in range(6):
        problem = Problem(kind, seed)
        found = problem.attack()
        broken(problem, found)
        for row, norm in enumerate(found.norm):
            ray = problem.first_on_rays(row)
            assert norm <= ray * (1 + 1e-6) + 1e-9, (kind, seed, row, norm, ray)


@pytest.mark.parametrize("kind", KINDS)
def test_no_other_attack_breaks_a_point_sooner(kind: str) -> None:
    for seed in range(20, 24):
        problem = Problem(kind, seed)
        found = problem.attack()
        for attack, options in ((pointwise_attack, {}), (hopskipjump_attack, {"steps": 10})):
            other = attack(problem.X, problem.y, problem.Z, problem.said, n_neighbors=problem.K, bounds=None, **options)
            assert (found.norm <= other.norm * (1 + 1e-6) + 1e-9).all(), (kind, seed, attack, found.norm, other.norm)


def test_a_box_is_kept_where_ties_decide() -> None:
    for seed in range(6):
        problem = Problem("lattice", seed)
        low, high = np.minimum(problem.Z, 0.0), np.maximum(problem.Z, 2.0)
        found, free = problem.attack(bounds=(0.0, 2.0)), problem.attack()
        broken(problem, found)
        there = np.isfinite(found.norm)
        assert ((found.adversarial >= low) & (found.adversarial <= high))[there].all()
        assert (found.norm >= free.norm * (1 - 1e-6) - 1e-9).all()


@pytest.mark.parametrize("seed", range(80))
def test_on_a_line_it_is_exact_points_of_ties_included(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 9))
    k, lattice = min(int(rng.integers(1, 6)), n), seed % 2 == 0
    train: Any = rng.integers(0, 5, (n, 1)) / 4 if lattice else rng.uniform(size=(n, 1))
    if seed % 4 >= 2:
        train[-(n // 3) :] = train[: n // 3]
    labels = np.r_[0, 1, rng.integers(0, 3, n - 2)]
    x = rng.integers(0, 9, 1) / 8 if lattice else rng.uniform(size=1)
    said = MahalanobisKNN(k).fit(train, labels).predict([x])
    radius = radius_1d(train, labels, float(x[0]), int(said[0]), k)
    found = geometric_attack(train, labels, [x], said, n_neighbors=k).norm[0]
    assert radius - 1e-9 <= found <= radius + 1e-7


def test_contradicting_duplicates_do_not_end_the_search() -> None:
    """Point 1 of class 0: of the twins at 0 the first wins, and 4 of class 1 is nearer from 2 on."""
    found = geometric_attack([[0.0], [0.0], [4.0], [5.0]], [0, 1, 1, 1], [[1.0]], [0], n_neighbors=1)
    assert found.status[0] == "bounded" and 1.0 < found.norm[0] < 1.0 + 1e-6
    # the other twin first: then class 1 has both
    assert geometric_attack([[0.0], [0.0], [4.0]], [1, 0, 1], [[1.0]], [1], n_neighbors=1).status[0] == "unsolved"


def test_iris_with_a_tenth_of_its_rows_under_another_label_is_broken_everywhere() -> None:
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(150)
    test, train = order[:48], order[48:]
    again = train[rng.permutation(train.size)[: train.size // 10]]
    X_train, y_train = np.vstack([X[train], X[again]]), np.concatenate([y[train], (y[again] + 1) % 3])
    for k in (1, 3):
        said = MahalanobisKNN(k).fit(X_train, y_train).predict(X[test])
        found = geometric_attack(X_train, y_train, X[test], said, n_neighbors=k)
        assert np.isfinite(found.norm).all()
        other = pointwise_attack(X_train, y_train, X[test][:12], said[:12], n_neighbors=k, bounds=None)
        assert (found.norm[:12] <= other.norm * (1 + 1e-6)).all()


def shortest(X: Floats, y: Floats, x: Floats, label: int, K: int) -> float:
    """Over all sets of K neighbours with which x is misclassified, the shortest way to where they are the nearest."""
    best, d = np.inf, np.square(X - x).sum(axis=1)
    for inside in map(list, combinations(range(len(X)), K)):
        votes = np.bincount(y[inside], minlength=3)
        if votes.argmax() == label:
            continue
        outside = [j for j in range(len(X)) if j not in inside]
        pairs = np.array(list(product(outside, inside)))
        A, b = X[pairs[:, 0]] - X[pairs[:, 1]], (d[pairs[:, 0]] - d[pairs[:, 1]]) / 2
        if (b >= 0).all():
            return 0.0
        if (-b / np.maximum(np.sqrt(np.square(A).sum(axis=1)), 1e-300)).max() >= best:
            continue  # one half-space alone is farther
        delta = min_norm_point(A, b)
        if delta is not None:
            best = min(best, float(np.sqrt(np.square(delta).sum())))
    return best


def test_of_few_points_with_default_effort_nearly_every_way_is_the_shortest_and_none_is_lost() -> None:
    ratios = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, y, Z = rng.normal(size=(9, 3)), np.append(np.arange(3), rng.integers(0, 3, 6)), rng.normal(size=(2, 3))
        K = 4 + seed % 2
        said = MahalanobisKNN(K).fit(X, y).predict(Z)
        found = geometric_attack(X, y, Z, said, n_neighbors=K).norm
        ratios += [a / shortest(X, y, z, int(t), K) for a, z, t in zip(found, Z, said, strict=True)]
    assert min(ratios) >= 1 - 1e-9 and np.mean(np.array(ratios) <= 1 + 1e-6) >= 0.9 and max(ratios) < 1.3
