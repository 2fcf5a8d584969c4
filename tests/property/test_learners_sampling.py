"""The sampler never returns a wrong-class positive, a same-class negative or the point itself."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from arml.learners import candidates
from arml.learners.candidates import anchor_pool, batches, candidate_lists
from arml.learners.subsets import opposed_twins, stratified_subset

sizes_of_classes = st.lists(st.integers(1, 9), min_size=2, max_size=5)


def layout(sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([[0], np.cumsum(sizes)]), np.repeat(np.arange(len(sizes)), sizes)


def brute_force(U: np.ndarray, codes: np.ndarray, query: np.ndarray, label: int, itself: int) -> list[np.ndarray]:
    """Squared distances to the same class and to the others, sorted."""
    squared = np.square(U - query).sum(axis=1)
    same = [i for i in range(codes.size) if codes[i] == label and i != itself]
    return [np.sort(squared[same]), np.sort(squared[codes != label])]


@settings(max_examples=60, deadline=None)
@given(
    sizes_of_classes, st.integers(1, 12), st.integers(0, 10**6), st.integers(1, 4), st.sampled_from([1, 40, 2000]),
    st.booleans(), st.integers(1, 3),
)  # fmt: skip
def test_lists_equal_brute_force(
    sizes: list[int], n: int, seed: int, rank: int, block: int, own: bool, jobs: int
) -> None:
    starts, codes = layout(sizes)
    total = codes.size
    rng = np.random.default_rng(seed)
    U = rng.normal(size=(total, rank))
    anchors = np.sort(rng.permutation(total)[: rng.integers(1, total + 1)])
    queries = U[anchors] if own else rng.normal(size=(anchors.size, rank))
    where = np.searchsorted(anchors, starts)
    saved = dict(candidates._BLOCK)
    candidates._BLOCK["cpu"] = block
    try:
        lists = candidate_lists(
            torch.tensor(U), starts, torch.tensor(queries), where, anchors if own else None, n, jobs
        )
    finally:
        candidates._BLOCK.update(saved)
    for row, anchor in enumerate(anchors):
        label, itself = codes[anchor], anchor if own else -1
        wanted = brute_force(U, codes, queries[row], label, itself)
        found = (lists.positives[row], lists.n_positives[row]), (lists.negatives[row], lists.n_negatives[row])
        for right, (chosen, length), distances in zip((True, False), found, wanted):
            assert length == min(n, distances.size) and (chosen[length:] == -1).all()
            got = chosen[:length].tolist()
            assert len(set(got)) == length and itself not in got
            assert ((codes[got] == label) == right).all()
            squared = np.square(U[got] - queries[row]).sum(axis=1)
            np.testing.assert_allclose(squared, distances[:length], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(sizes_of_classes, st.integers(1, 12), st.integers(0, 10**6), st.booleans(), st.integers(1, 30))
def test_draws_come_from_the_right_class(sizes: list[int], n: int, seed: int, lattice: bool, pool: int) -> None:
    starts, codes = layout(sizes)
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, size=(codes.size, 2)) if lattice else rng.normal(size=(codes.size, 2))
    mapped = torch.tensor(X, dtype=torch.float32)
    anchors = np.flatnonzero(np.array(sizes)[codes] > 1)
    if not anchors.size:
        return
    for number in range(3):
        chosen = anchor_pool(anchors, pool, seed, number)
        assert (np.diff(chosen) >= 0).all() and set(chosen) <= set(anchors)
        queries = mapped[torch.from_numpy(chosen)]
        lists = candidate_lists(mapped, starts, queries, np.searchsorted(chosen, starts), chosen, n)
        places, generator = next(batches(chosen.size, max(1, chosen.size // 2), seed, number))
        positive, negative = (drawn.numpy() for drawn in lists.draw(places, generator))
        batch = chosen[places]
        assert ((positive >= 0) & (negative >= 0)).all()
        assert (positive != batch).all()
        assert (codes[positive] == codes[batch]).all() and (codes[negative] != codes[batch]).all()


def test_draws_are_uniform_over_the_list() -> None:
    starts, _ = layout([6, 4])
    mapped = torch.tensor(np.random.default_rng(0).normal(size=(10, 2)), dtype=torch.float32)
    lists = candidate_lists(mapped, starts, mapped, starts, np.arange(10), 3)
    rng = np.random.default_rng(1)
    drawn = np.stack([lists.draw(np.arange(10), rng)[0].numpy() for _ in range(3000)])
    for anchor in range(10):
        counts = np.unique(drawn[:, anchor], return_counts=True)[1]
        assert counts.size == 3 and counts.min() > 850


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 10**6))
def test_every_anchor_comes_equally_often(total: int, size: int, seed: int) -> None:
    anchors = np.arange(total) * 3
    pools = [anchor_pool(anchors, size, seed, number) for number in range(2 * total)]
    assert all(pool.size == min(size, total) and (np.diff(pool) >= 0).all() for pool in pools)
    counts = np.bincount(np.concatenate(pools) // 3, minlength=total)
    assert counts.max() - counts.min() <= 1
    assert np.array_equal(pools[-1], anchor_pool(anchors, size, seed, 2 * total - 1))  # any one at once
    draws = batches(total, size, seed, 0)
    places = np.concatenate([next(draws)[0] for _ in range(2 * total)])
    counts = np.bincount(places, minlength=total)
    assert counts.max() - counts.min() <= 1


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
