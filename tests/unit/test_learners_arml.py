"""ARML: Algorithm 1 as a whole, its options, and a fit that is killed and goes on."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from arml.errors import DataError
from arml.learners import descent
from arml.learners.arml import ARML, canonical_order


def stripes(n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two classes told apart by feature 0 only; features 1 and 2 are wide noise, feature 3 is constant."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    signal = 0.2 * y + 0.02 * rng.normal(size=n)
    return np.column_stack([signal, rng.uniform(size=(n, 2)), np.full(n, 0.5)]), y


@pytest.mark.parametrize("loss", ["negative", "hinge", "exponential", "logistic"])
@pytest.mark.parametrize("schedule", ["minibatch", "full"])
@pytest.mark.parametrize("objective", ["sampled", "order", "soft", "dual"])
def test_learns_what_separates_the_classes(loss: str, schedule: str, objective: str) -> None:
    X, y = stripes()
    learner = ARML(objective=objective, loss=loss, schedule=schedule, max_iter=150, batch_size=40, learning_rate=0.01)
    learner.fit(X, y)
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
    still = ARML(init=start, max_iter=1, learning_rate=1e-9, average=False).fit(X, y).components_
    np.testing.assert_allclose(still, start / np.linalg.norm(start, 2), atol=1e-6)
    far = ARML(init=1e3 * start, max_iter=20).fit(X, y).components_
    np.testing.assert_allclose(far, ARML(init=start, max_iter=20).fit(X, y).components_, atol=1e-6)
    np.testing.assert_array_equal(start, [[1.0, 0.2, 0.0, 0.0], [0.0, 0.5, 0.1, 0.0]])


def test_full_schedule_is_one_batch_of_everything() -> None:
    X, y = stripes()
    full = ARML(schedule="full", max_iter=15).fit(X, y)
    same = ARML(batch_size=None, refresh=1, pool_size=None, max_iter=15).fit(X, y)
    large = ARML(batch_size=10_000, refresh=1, pool_size=10_000, max_iter=15).fit(X, y)
    assert full.components_.tobytes() == same.components_.tobytes() == large.components_.tobytes()


def test_gradient_in_chunks_equals_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = stripes()
    whole = ARML(schedule="full", max_iter=10).fit(X, y)
    monkeypatch.setattr("arml.learners.descent._ENTRIES", 17 * 3 * X.shape[1])
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
    plain = ARML(max_iter=40, learning_rate=1e-3, loss="hinge", loss_scale=0.1).fit(X, y).components_
    moved = ARML(max_iter=40, learning_rate=1e-3, loss="hinge", loss_scale=0.1).fit(X + 1000.0, y).components_
    # the shift changes the rows' own order, so other pairs are drawn: the same up to sampling
    np.testing.assert_allclose(moved, plain, atol=0.02)
    units = ARML(max_iter=40, learning_rate=1e-3, loss="hinge", loss_scale=0.1 * 64).fit(64 * X, y).components_
    np.testing.assert_allclose(units, plain, atol=1e-4)


def test_no_warning_in_an_ordinary_fit() -> None:
    X, y = stripes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ARML(max_iter=3).fit(X, y)


@pytest.mark.parametrize("objective", ["sampled", "order", "soft", "dual"])
def test_threads_change_nothing(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("arml.learners.candidates", fromlist=["_BLOCK"])._BLOCK, "cpu", 700)
    monkeypatch.setattr("arml.learners.candidates._MAPPED_ROWS", 9)
    X, y = stripes()
    fits = [ARML(objective=objective, max_iter=45, pool_size=50, n_jobs=jobs).fit(X, y) for jobs in (1, 2, 5)]
    assert len({fit.components_.tobytes() for fit in fits}) == 1


def test_knn_objective_with_one_neighbour_is_the_one_nn_objective_and_with_more_is_not() -> None:
    X, y = stripes()
    one, three, eleven = (ARML(objective="order", n_neighbors=k, max_iter=30).fit(X, y).components_ for k in (1, 3, 11))
    assert not np.allclose(one, three, atol=1e-3) and not np.allclose(three, eleven, atol=1e-3)


def test_small_classes_serve_every_objective() -> None:
    X, y = stripes()
    y = y.copy()
    y[:2], y[2:5], y[5] = 7, 8, 9
    for objective, k in (("order", 1), ("order", 11), ("soft", 1), ("dual", 1)):
        learner = ARML(objective=objective, n_neighbors=k, max_iter=20).fit(X, y)
        assert np.isfinite(learner.components_).all() and np.isfinite(learner.history_).all()
        assert learner.fit_summary_["n_anchors"] == len(X) - 1


def test_a_small_pool_sees_every_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    plain = descent.Descent._lists

    def watched(self: descent.Descent, G: torch.Tensor, anchors: np.ndarray) -> object:
        seen.append(anchors)
        return plain(self, G, anchors)

    monkeypatch.setattr(descent.Descent, "_lists", watched)
    X, y = stripes()
    ARML(pool_size=30, refresh=5, max_iter=40).fit(X, y)
    assert [len(pool) for pool in seen] == [30] * 8
    assert (np.bincount(np.concatenate(seen), minlength=len(X)) == 2).all()


def test_averaging_weighs_iterates_by_the_cube_of_their_step(monkeypatch: pytest.MonkeyPatch) -> None:
    iterates: list[np.ndarray] = []

    class Recorded(torch.optim.Adam):
        def step(self) -> None:  # type: ignore[override]
            super().step()
            iterates.append(self.param_groups[0]["params"][0].detach().double().numpy().copy())

    monkeypatch.setattr("torch.optim.Adam", Recorded)
    X, y = stripes()
    averaged = ARML(max_iter=50, learning_rate=0.05).fit(X, y).components_
    last = ARML(max_iter=50, learning_rate=0.05, average=False).fit(X, y).components_
    np.testing.assert_allclose(last, iterates[-1] / np.linalg.norm(iterates[-1], 2), atol=1e-6)
    step = np.arange(1, 51)
    weights = step * (step + 1) * (step + 2) * (step + 3.0)  # t^(rising 4) − (t − 1)^(rising 4) grows as t³
    weights = np.diff(np.concatenate([[0.0], weights]))
    mean = np.tensordot(weights / weights.sum(), np.array(iterates[:50]), axes=1)
    np.testing.assert_allclose(averaged, mean / np.linalg.norm(mean, 2), atol=1e-6)
    assert not np.allclose(averaged, last, atol=1e-3)


class Killed(Exception):
    pass


@pytest.mark.parametrize("options", [{}, {"early_stopping": True, "average": False}, {"objective": "dual"}])
def test_a_killed_fit_goes_on_and_ends_with_the_same_bytes(
    options: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = stripes()
    file = tmp_path / "state.npz"
    params = {"max_iter": 90, "pool_size": 50, "batch_size": 20, "refresh": 10, **options}
    whole = ARML(**params).fit(X, y)
    monkeypatch.setattr(descent, "_CHECKPOINT_SECONDS", 0.0)
    plain = descent.Descent._round

    def killed(self: descent.Descent, state: descent.State, advance: object) -> str:
        if state.step >= 50:
            raise Killed
        return plain(self, state, advance)

    monkeypatch.setattr(descent.Descent, "_round", killed)
    with pytest.raises(Killed):
        ARML(checkpoint=file, **params).fit(X, y)
    assert file.exists()
    steps: list[int] = []

    def watched(self: descent.Descent, state: descent.State, advance: object) -> str:
        steps.append(state.step)
        return plain(self, state, advance)

    monkeypatch.setattr(descent.Descent, "_round", watched)
    with pytest.raises(DataError, match="of another fit"):
        ARML(checkpoint=file, **{**params, "loss": "hinge"}).fit(X, y)
    with pytest.raises(DataError, match="of another fit"):
        ARML(checkpoint=file, **params).fit(X + 0.25 * (X > 0.6), y)
    assert not steps
    resumed = ARML(checkpoint=file, n_jobs=2, **params).fit(X, y)
    assert steps[0] == 50 and not file.exists()
    assert resumed.components_.tobytes() == whole.components_.tobytes()
    assert resumed.history_.tobytes() == whole.history_.tobytes()
    assert resumed.validation_history_.tobytes() == whole.validation_history_.tobytes()


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut off"])
def test_a_broken_checkpoint_says_what_to_do(content: bytes, tmp_path: Path) -> None:
    X, y = stripes()
    file = tmp_path / "state.npz"
    file.write_bytes(content)
    with pytest.raises(DataError, match="delete it to start anew"):
        ARML(checkpoint=file, max_iter=5).fit(X, y)
    with pytest.raises(ValueError, match="needs a random_state"):
        ARML(checkpoint=file, random_state=None).fit(X, y)


def test_early_stopping_ends_where_nothing_improves() -> None:
    X, y = stripes(300)
    learner = ARML(early_stopping=True, n_iter_no_change=3, learning_rate=0.05, refresh=5, max_iter=2000).fit(X, y)
    assert learner.converged_ is True and learner.n_iter_ < 2000
    losses = learner.validation_history_
    assert len(losses) * 5 == learner.n_iter_ and losses.argmin() == len(losses) - 4
    assert learner.n_fit_samples_ == 270 and learner.fit_summary_["n_anchors"] == 270
    hurried = ARML(early_stopping=True, n_iter_no_change=50, refresh=5, max_iter=20).fit(X, y)
    assert hurried.converged_ is False and "still improving" in hurried.fit_summary_["notes"][-1]
    with pytest.raises(ValueError, match="raise validation_fraction"):
        ARML(early_stopping=True, validation_fraction=0.001).fit(X, y)


def test_held_out_points_never_teach() -> None:
    """Moving a point that is held out, without changing the order of the rows, changes the validation loss alone."""
    X, y = stripes(60)
    learner = ARML(early_stopping=True, max_iter=40, average=False)
    held = learner._split(y[canonical_order(X, y)], 42)[1]
    row = canonical_order(X, y)[held[0]]
    moved = X.copy()
    moved[row, 2] += 0.25  # rows are ordered by their first feature, which differs everywhere
    again = canonical_order(moved, y)
    assert np.array_equal(again, canonical_order(X, y))
    first, second = (ARML(early_stopping=True, max_iter=40, average=False).fit(data, y) for data in (X, moved))
    assert first.history_.tobytes() == second.history_.tobytes()
    assert first.validation_history_.tobytes() != second.validation_history_.tobytes()


def test_warm_start_goes_on_from_the_last_metric() -> None:
    X, y = stripes()
    learner = ARML(max_iter=60, learning_rate=0.01, warm_start=True, average=False).fit(X, y)
    first = learner.components_.copy()
    cold = ARML(max_iter=1, learning_rate=1e-9, average=False).fit(X, y).components_
    learner.set_params(max_iter=1, learning_rate=1e-9, average=False).fit(X, y)
    np.testing.assert_allclose(learner.components_, first, atol=1e-6)
    assert not np.allclose(cold, first, atol=1e-2)
    learner.set_params(n_components=2).fit(X, y)  # another shape: from init
    np.testing.assert_allclose(np.abs(learner.components_ @ learner.components_.T), np.eye(2), atol=1e-5)


def test_progress_bar_only_where_asked(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = stripes()
    ARML(max_iter=5).fit(X, y)
    assert capsys.readouterr().err == ""
    ARML(max_iter=5, verbose=True).fit(X, y)
    assert "5/5" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"objective": "max"}, "sampled, order, soft, dual"),
        ({"n_neighbors": 3}, "objective='order'"),
        ({"objective": "order", "n_neighbors": 4}, "odd"),
        ({"objective": "order", "n_neighbors": 51}, "n_candidates must be at least"),
        ({"temperature": 0}, "temperature"),
        ({"average": 1}, "average must be True or False"),
        ({"validation_fraction": 1.5}, "validation_fraction"),
        ({"n_jobs": 0}, "n_jobs"),
        ({"pool_size": 0}, "pool_size"),
    ],
)
def test_bad_options_are_refused(params: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        ARML(**params).fit(*stripes())


def test_full_schedule_is_the_papers_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Algorithm 1 written out: every epoch all distances in float64, one triple a point, eq. (9), Adam by hand."""
    rng = np.random.default_rng(5)
    X, y, n, steps, rate = rng.uniform(size=(30, 4)), np.repeat([0, 1, 2], 10), 4, 12, 0.01
    choose = np.random.default_rng(6).integers(0, n, size=(steps, 2, 30))  # which of its lists each point draws
    row = {point.tobytes(): place for place, point in enumerate(X)}
    place = [row[X[i].tobytes()] for i in canonical_order(X, y)]
    turn = iter(range(steps))

    def chosen(self: object, places: np.ndarray, _: object) -> tuple[torch.Tensor, torch.Tensor]:
        columns = choose[next(turn)][:, place]
        return tuple(  # type: ignore[return-value]
            lists[places, column].long() for lists, column in zip((self.positives, self.negatives), columns)
        )

    monkeypatch.setattr("arml.learners.candidates.CandidateLists.draw", chosen)
    options = {"schedule": "full", "average": False, "n_candidates": n, "learning_rate": rate, "max_iter": steps}
    found = ARML(**options).fit(X, y)

    G, first, second, losses = np.eye(4), np.zeros((4, 4)), np.zeros((4, 4)), []
    for step in range(steps):
        squared = np.square((X[:, None] - X[None]) @ G.T).sum(axis=2)
        matrix = torch.tensor(G, requires_grad=True)
        M, total = matrix.T @ matrix, 0.0
        for t in range(30):
            same = sorted((i for i in range(30) if y[i] == y[t] and i != t), key=lambda i: squared[t, i])
            other = sorted((j for j in range(30) if y[j] != y[t]), key=lambda j: squared[t, j])
            x, i, j = (torch.tensor(X[k]) for k in (t, same[choose[step, 0, t]], other[choose[step, 1, t]]))
            gap = (x - j) @ M @ (x - j) - (x - i) @ M @ (x - i)
            total = total - gap / (2 * torch.linalg.norm(M @ (i - j))) / 30
        total.backward()
        losses.append(float(total.detach()))
        gradient = matrix.grad.numpy()
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        G = G - rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    np.testing.assert_allclose(found.history_, losses, atol=1e-6)
    np.testing.assert_allclose(found.components_, G / np.linalg.norm(G, 2), atol=1e-5)
