"""The sampler never returns a wrong-class positive, a same-class negative or the point itself."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arml.learners import candidates
from arml.learners.candidates import CandidateLists, anchor_batches, nearest_candidates
from arml.learners.subsets import opposed_twins, stratified_subset

sizes_of_classes = st.lists(st.integers(1, 9), min_size=2, max_size=5)


def layout(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([[0], np.cumsum(sizes)]), np.repeat(np.arange(len(sizes)), sizes)


@settings(max_examples=60, deadline=None)
@given(sizes_of_classes, st.integers(1, 12), st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([1, 40, 2000]))
def test_lists_equal_brute_force(sizes: list[int], n: int, seed: int, rank: int, block: int) -> None:
    starts, codes = layout(sizes)
    total = codes.size
    rng = np.random.default_rng(seed)
    U = rng.normal(size=(total, rank))
    anchors = np.sort(rng.permutation(total)[: rng.integers(1, total + 1)])
    saved = dict(candidates._BLOCK)
    candidates._BLOCK["cpu"] = block
    try:
        positives, negatives = nearest_candidates(torch.tensor(U), starts, anchors, n)
    finally:
        candidates._BLOCK.update(saved)
    squared = np.square(U[:, None] - U[None]).sum(axis=2)
    for row, anchor in enumerate(anchors):
        same = [i for i in range(total) if codes[i] == codes[anchor] and i != anchor]
        other = [i for i in range(total) if codes[i] != codes[anchor]]
        for pool, found in ((same, positives[row]), (other, negatives[row])):
            length = min(n, len(pool))
            assert (found[length:] == -1).all() or pool is other
            got = found[:length].tolist()
            assert len(set(got)) == length and set(got) <= set(pool)
            wanted = np.sort(squared[anchor, pool])[:length]
            np.testing.assert_allclose(squared[anchor, got], wanted, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(sizes_of_classes, st.integers(1, 12), st.integers(0, 10**6), st.booleans(), st.integers(1, 4))
def test_draws_come_from_the_right_class(
    sizes: list[int], n: int, seed: int, lattice: bool, refresh: int
) -> None:
    starts, codes = layout(sizes)
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, size=(codes.size, 2)) if lattice else rng.normal(size=(codes.size, 2))
    lists = CandidateLists(torch.tensor(X, dtype=torch.float32), starts, n, refresh)
    anchors = lists.anchors
    assert set(anchors) == {i for i in range(codes.size) if sizes[codes[i]] > 1}
    if not anchors.size:
        return
    batches = anchor_batches(anchors, max(1, anchors.size // 2), rng)
    for step in range(6):
        batch = next(batches)
        lists.renew(torch.tensor(rng.normal(size=(2, 2)), dtype=torch.float32), batch, step)
        positive, negative = (drawn.numpy() for drawn in lists.draw(batch, rng))
        assert ((positive >= 0) & (negative >= 0)).all()
        assert (positive != batch).all()
        assert (codes[positive] == codes[batch]).all() and (codes[negative] != codes[batch]).all()


def test_draws_are_uniform_over_the_list() -> None:
    starts, _ = layout([6, 4])
    X = torch.tensor(np.random.default_rng(0).normal(size=(10, 2)), dtype=torch.float32)
    lists = CandidateLists(X, starts, 3, 1)
    rng = np.random.default_rng(1)
    lists.renew(torch.eye(2), np.arange(10), 0)
    drawn = np.stack([lists.draw(np.arange(10), rng)[0].numpy() for _ in range(3000)])
    for anchor in range(10):
        counts = np.unique(drawn[:, anchor], return_counts=True)[1]
        assert counts.size == 3 and counts.min() > 850


def test_a_list_is_renewed_when_it_has_served() -> None:
    starts, _ = layout([3, 3])
    X = torch.tensor([[0.0, 0], [1, 0], [0, 2], [3, 0], [0, 4], [9, 9]])
    lists = CandidateLists(X, starts, 1, 3)
    rng = np.random.default_rng(0)
    first, second = torch.tensor([[1.0, 0], [0, 0.01]]), torch.tensor([[0.01, 0], [0, 1.0]])
    seen = []
    for step in range(5):
        lists.renew(first if step == 0 else second, np.array([0]), step)
        seen.append(int(lists.draw(np.array([0]), rng)[0][0]))
    assert seen == [2, 2, 2, 1, 1]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 10**6))
def test_every_anchor_comes_equally_often(total: int, size: int, seed: int) -> None:
    anchors = np.arange(total) * 3
    batches = anchor_batches(anchors, size, np.random.default_rng(seed))
    passes = 4
    drawn = np.concatenate([next(batches) for _ in range(passes * total)])
    counts = np.bincount(drawn // 3, minlength=total)
    assert set(drawn) <= set(anchors) and counts.max() - counts.min() <= 1
    assert (np.diff(next(batches)) >= 0).all()


@settings(max_examples=80, deadline=None)
@given(sizes_of_classes, st.integers(0, 60), st.integers(0, 10**6))
def test_stratified_subset_keeps_the_shares(sizes: list[int], extra: int, seed: int) -> None:
    codes = np.random.default_rng(seed).permutation(layout(sizes)[1])
    floor = sum(min(2, s) for s in sizes)
    size = floor + extra
    rows = stratified_subset(codes, size, seed)
    assert rows.size == min(size, codes.size) and (np.diff(rows) > 0).all()
    assert np.array_equal(rows, stratified_subset(codes, size, seed))
    kept = np.bincount(codes[rows], minlength=len(sizes))
    for got, have in zip(kept, sizes):
        assert min(2, have) <= got <= have
        if size < codes.size:
            # the floor of two can only take from the others
            assert got <= max(2, int(np.ceil(have * size / codes.size)))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=15))
def test_opposed_twins_by_definition(points: list[tuple[int, int, int]]) -> None:
    X, codes = np.array([p[:2] for p in points], dtype=float), np.array([p[2] for p in points])
    wanted = [any((X[i] == X[j]).all() and codes[i] != codes[j] for j in range(len(X))) for i in range(len(X))]
    assert opposed_twins(X, codes).tolist() == wanted
