"""Cells of neighbour sets: what lies in one is misclassified, and the way into one is the shortest there is."""

from __future__ import annotations

import numpy as np
import pytest

from arml.geometry.order_k_cells import Cell, Neighborhood, nearest
from arml.knn.neighbors import predict_codes
from arml.knn.query import query_set
from arml.knn.reference import reference_set
from tests import oracles


def around(X, y, x, label, k, M=None, bounds=None):
    (batch,) = query_set(reference_set(X, y, M), [x], [label], k, bounds=bounds).batches()
    (query,) = batch
    return Neighborhood(query, 4.0)


def draw(rng, n_classes=3, n=14, d=3):
    X = rng.random((n, d))
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)]
    return X, y


def test_the_way_into_any_cell_ends_where_the_rival_has_the_votes():
    rng = np.random.default_rng(0)
    entered = 0
    for _ in range(150):
        X, y = draw(rng)
        k = int(rng.integers(1, 7))
        x, label = rng.random(3), int(rng.integers(3))
        space = around(X, y, x, label, k)
        for scale in (0.3, 1.0):
            cell = space.cell_at(scale * rng.standard_normal(3))
            if cell is None:
                continue
            entry = space.enter(cell)
            assert entry is not None
            where = (x + entry.delta)[None]
            assert predict_codes(space.reference, where, k)[0] != label
            assert entry.norm == pytest.approx(np.linalg.norm(entry.delta), rel=1e-9)
            entered += 1
    assert entered > 150


def test_a_perturbed_point_lies_in_its_own_cell():
    """So the way into the cell is never longer than the way to the point: descents only shorten."""
    rng = np.random.default_rng(1)
    compared = 0
    for trial in range(300):
        X, y = draw(rng, n_classes=2 + trial % 3)
        k, label = int(rng.integers(1, 9)), int(rng.integers(2))
        space = around(X, y, rng.random(3), label, k)
        delta = rng.uniform(0.2, 1.5) * rng.standard_normal(3)
        cell = space.cell_at(delta)
        where = (space.reference.center + space.x + delta)[None]
        assert (cell is None) == (predict_codes(space.reference, where, k)[0] == label)
        if cell is not None:
            entry = space.enter(cell)
            assert entry is not None and entry.norm <= np.linalg.norm(delta) * (1 + 1e-6)
            compared += 1
    assert compared > 120


def test_no_way_is_shorter_than_the_exact_radius_and_the_right_cell_attains_it():
    rng = np.random.default_rng(2)
    attained = 0
    for _ in range(40):
        X, y = draw(rng, n=9, d=2)
        k, x = 3, rng.random(2)
        label = oracles.predict_one(X, y, x, np.eye(2), k)
        exact = oracles.exact_knn(X, y, x, label, np.eye(2), k)
        space = around(X, y, x, label, k)
        norms = []
        for _ in range(60):
            cell = space.cell_at(0.7 * rng.standard_normal(2))
            entry = None if cell is None else space.enter(cell)
            if entry is not None:
                norms.append(entry.norm)
        if norms:
            assert min(norms) >= exact * (1 - 1e-9)
            attained += min(norms) <= exact * (1 + 1e-6)
    assert attained >= 20


def test_a_limit_and_an_empty_cell_give_no_way():
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), [0, 1, 1, 0]
    space = around(X, y, [0.2], 0, 1)
    row = {float(X[i, 0]): place for place, i in enumerate(space.reference.order)}
    none = np.zeros(0, dtype=np.intp)
    one = Cell(1, np.array([row[1.0]]), none, none)
    entry = space.enter(one)
    assert entry is not None and entry.norm == pytest.approx(0.3, rel=1e-6)
    assert entry.pairs == [(row[0.0], row[1.0])]
    assert space.enter(one, limit=0.29) is None
    assert around(X, y, [0.2], 0, 1, bounds=(0.0, 0.45)).enter(one) is None
    # with both of the class spared nothing has to stay behind, and there is no way to go
    assert space.enter(Cell(1, np.array([row[1.0], row[2.0]]), none, np.array([row[0.0], row[3.0]]))).norm == 0.0
    # 2 is nearer than 0 from 1 on, and nearer than 3 up to 2.5
    assert space.enter(Cell(1, np.array([row[2.0]]), none, none)).norm == pytest.approx(0.8, rel=1e-6)


def test_cells_of_the_same_sets_have_the_same_key():
    rows = np.array([4, 2])
    none = np.zeros(0, dtype=np.intp)
    assert Cell(1, rows, none, none).key == Cell(1, rows[::-1], none, none).key
    assert Cell(1, rows, none, none).key != Cell(1, none, rows, none).key


def test_nearest_orders_by_value_then_row():
    values = np.array([3.0, 1.0, 1.0, 0.5, 9.0])
    assert nearest(values, np.arange(5), 3).tolist() == [3, 1, 2]
    assert nearest(values, np.array([4, 2]), 5).tolist() == [2, 4]
    assert nearest(values, np.arange(5), 0).size == 0
