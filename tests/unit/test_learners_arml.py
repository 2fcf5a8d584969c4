"""ARML: Algorithm 1 as a whole."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from arml.learners.arml import ARML, canonical_order


def stripes(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes told apart by feature 0 only; features 1 and 2 are wide noise, feature 3 is constant."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    signal = 0.2 * y + 0.02 * rng.normal(size=n)
    return np.column_stack([signal, rng.uniform(size=(n, 2)), np.full(n, 0.5)]), y


@pytest.mark.parametrize("loss", ["negative", "hinge", "exponential", "logistic"])
@pytest.mark.parametrize("schedule", ["minibatch", "full"])
def test_learns_what_separates_the_classes(loss: str, schedule: str) -> None:
    X, y = stripes()
    learner = ARML(loss=loss, schedule=schedule, max_iter=150, batch_size=40, learning_rate=0.01).fit(X, y)
    M = learner.get_mahalanobis_matrix()
    assert M[0, 0] > 3 * max(M[1, 1], M[2, 2])
    assert learner.history_.shape == (150,) == (learner.n_iter_,)
    assert learner.history_[-20:].mean() < learner.history_[:20].mean()
    assert learner.converged_ is None and learner.fit_summary_["final_loss"] == learner.history_[-1]


def test_result_depends_on_the_seed_only() -> None:
    X, y = stripes()
    before = torch.get_num_threads()
    results = []
    try:
        for threads, draw in ((1, 0), (2, 5), (4, 9)):
            torch.set_num_threads(threads)
            torch.manual_seed(draw)
            results.append(ARML(max_iter=60, batch_size=50).fit(X, y).components_.tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(set(results)) == 1
    other = ARML(max_iter=60, batch_size=50, random_state=1).fit(X, y).components_
    assert other.tobytes() != results[0]


def test_global_torch_generator_is_untouched() -> None:
    X, y = stripes()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    ARML(max_iter=5).fit(X, y)
    assert torch.equal(torch.rand(3), expected)


def test_order_of_the_training_points_does_not_matter() -> None:
    X, y = stripes()
    X[7], X[9] = X[5], -0.0 * X[5]  # a duplicate, and signed zeros
    shuffled = np.random.default_rng(3).permutation(len(X))
    first = ARML(max_iter=40, batch_size=30).fit(X, y)
    second = ARML(max_iter=40, batch_size=30).fit(X[shuffled] + 0.0, y[shuffled])
    assert first.components_.tobytes() == second.components_.tobytes()
    assert first.history_.tobytes() == second.history_.tobytes()


def test_canonical_order_groups_classes_and_keeps_pairs() -> None:
    rng = np.random.default_rng(0)
    X, codes = rng.integers(-2, 3, size=(50, 2)).astype(float), rng.integers(0, 3, size=50)
    order = canonical_order(X, codes)
    assert sorted(order) == list(range(50)) and (np.diff(codes[order]) >= 0).all()
    mixed = rng.permutation(50)
    again = mixed[canonical_order(X[mixed], codes[mixed])]
    assert np.array_equal(X[order], X[again]) and np.array_equal(codes[order], codes[again])


@pytest.mark.parametrize("init", ["auto", "identity", "pca"])
def test_low_rank(init: str) -> None:
    X, y = stripes()
    learner = ARML(n_components=2, init=init, max_iter=50).fit(X, y)
    assert learner.components_.shape == (2, 4)
    assert learner.fit_summary_["rank"] == 2 and learner.fit_summary_["lambda_min"] == 0.0
    assert learner.transform(X).shape == (len(X), 2)


def test_starting_matrix_is_used_and_its_scale_is_not() -> None:
    X, y = stripes()
    start = np.array([[1.0, 0.2, 0.0, 0.0], [0.0, 0.5, 0.1, 0.0]])
    still = ARML(init=start, max_iter=1, learning_rate=1e-9).fit(X, y).components_
    np.testing.assert_allclose(still, start / np.linalg.norm(start, 2), atol=1e-6)
    far = ARML(init=1e3 * start, max_iter=20).fit(X, y).components_
    np.testing.assert_allclose(far, ARML(init=start, max_iter=20).fit(X, y).components_, atol=1e-6)
    np.testing.assert_array_equal(start, [[1.0, 0.2, 0.0, 0.0], [0.0, 0.5, 0.1, 0.0]])


def test_full_schedule_is_one_batch_of_everything() -> None:
    X, y = stripes()
    full = ARML(schedule="full", max_iter=15).fit(X, y)
    same = ARML(batch_size=None, refresh=1, max_iter=15).fit(X, y)
    large = ARML(batch_size=10_000, refresh=1, max_iter=15).fit(X, y)
    assert full.components_.tobytes() == same.components_.tobytes() == large.components_.tobytes()


def test_gradient_in_chunks_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = stripes()
    whole = ARML(schedule="full", max_iter=10).fit(X, y)
    monkeypatch.setattr("arml.learners.arml._CHUNK", 17)
    parts = ARML(schedule="full", max_iter=10).fit(X, y)
    np.testing.assert_allclose(parts.components_, whole.components_, atol=1e-5)
    np.testing.assert_allclose(parts.history_, whole.history_, atol=1e-5)


def test_points_alone_in_their_class_are_no_anchors() -> None:
    X, y = stripes()
    y = y.copy()
    y[[3, 8]] = [7, 9]
    y[[10, 12, 14]] = 11
    learner = ARML(max_iter=20).fit(X, y)
    assert learner.fit_summary_["n_anchors"] == len(X) - 2
    assert any("2 points alone in their class" in note for note in learner.fit_summary_["notes"])
    assert np.isfinite(learner.components_).all()


def test_duplicates_across_classes_do_not_spoil_the_gradient() -> None:
    rng = np.random.default_rng(1)
    X = rng.integers(0, 2, size=(80, 3)).astype(float)  # a lattice: most points have twins everywhere
    learner = ARML(max_iter=50).fit(X, rng.integers(0, 2, size=80))
    assert np.isfinite(learner.components_).all() and np.isfinite(learner.history_).all()
    assert learner.n_iter_ == 50


def test_divergence_keeps_the_last_good_metric_and_says_so() -> None:
    X, y = stripes()
    with pytest.warns(ConvergenceWarning, match=r"last finite G is kept; lower learning_rate \(1e\+30\)"):
        learner = ARML(learning_rate=1e30, max_iter=50).fit(X, y)
    assert learner.converged_ is False and learner.n_iter_ < 50 == learner.max_iter
    assert np.isfinite(learner.components_).all()
    assert any(note.startswith("diverged") for note in learner.fit_summary_["notes"])


def test_shift_and_unit_of_the_data() -> None:
    X, y = stripes()
    plain = ARML(max_iter=40, loss="hinge", loss_scale=0.1).fit(X, y).components_
    moved = ARML(max_iter=40, loss="hinge", loss_scale=0.1).fit(X + 1000.0, y).components_
    # the shift changes the rows' own order, so other pairs are drawn: the same up to sampling
    np.testing.assert_allclose(moved, plain, atol=0.02)
    units = ARML(max_iter=40, loss="hinge", loss_scale=0.1 * 64).fit(64 * X, y).components_
    np.testing.assert_allclose(units, plain, atol=1e-4)


def test_no_warning_in_an_ordinary_fit() -> None:
    X, y = stripes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ARML(max_iter=3).fit(X, y)
