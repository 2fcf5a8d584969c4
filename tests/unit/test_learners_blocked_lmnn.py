"""LMNN in blocks: metric-learn's descent, bit by bit almost, whichever pairs are skipped."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import metric_learn
import numpy as np
import pytest
import torch
from sklearn.base import clone

from arml.errors import DataError
from arml.learners import blocked_lmnn, impostors, margins, targets
from arml.learners.base import LearningError
from arml.learners.baselines import LMNN, NCA
from arml.learners.impostors import Impostors
from arml.learners.targets import close_calls, target_neighbours


def blobs(n: int = 120, width: int = 4, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.sort(np.arange(n) % classes)
    return rng.uniform(0.2, 0.8, size=(classes, width))[y] + 0.3 * rng.normal(size=(n, width)), y


def lattice(n: int = 150, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tenths: a distance agrees with a margin to rounding time and again, and points are equal."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 11, size=(n, 5)) / 10, np.sort(np.arange(n) % 3)


DATA = {"blobs": blobs, "lattice": lattice}


def starts_of(y: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(np.bincount(y))])


def librarys(X: np.ndarray, y: np.ndarray, k: int = 3) -> metric_learn.LMNN:
    learner = metric_learn.LMNN(n_neighbors=k)
    learner.labels_ = np.unique(y)
    return learner


def plain(X: np.ndarray, y: np.ndarray, chosen: np.ndarray, L: np.ndarray) -> tuple[int, np.ndarray]:
    """Triples and their gradient, one by one as they are defined."""
    active, gradient = 0, np.zeros((X.shape[1],) * 2)
    for i in range(len(X)):
        for t in chosen[i]:
            pull = X[i] - X[t]
            margin = 1 + ((L @ pull) ** 2).sum()
            for j in np.flatnonzero(y != y[i]):
                push = X[i] - X[j]
                if ((L @ push) ** 2).sum() < margin:
                    active += 1
                    gradient += np.outer(pull, pull) - np.outer(push, push)
    return active, gradient


@pytest.mark.parametrize("entries", [1, 1000, 1 << 22])
@pytest.mark.parametrize("name", sorted(DATA))
def test_targets_are_the_librarys(name: str, entries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets, "_ENTRIES", entries)
    X, y = DATA[name]()
    for k in (1, 3, 49 if name == "lattice" else 39):
        expected = librarys(X, y, k)._select_targets(X, y)
        found = target_neighbours(X, starts_of(y), k)
        if entries == 1 << 22 or name == "blobs":
            assert np.array_equal(found, expected)
        else:  # other sums of the same squares may order ties in another way
            distance = [np.linalg.norm(X[:, None] - X[rows], axis=2) for rows in (found, expected)]
            np.testing.assert_allclose(*distance, atol=1e-7)


@pytest.mark.parametrize("L", [np.eye(5), np.diag([1.0, 0.5, 2.0, 1.0, 3.0]), 2 * np.eye(5)[:2]])
def test_close_calls_are_the_librarys(L: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = lattice()
    learner, chosen = librarys(X, y), target_neighbours(X, starts_of(y), 3)
    _, _, active = learner._loss_grad(X, L, np.zeros((5, 5)), 3, 0.5, chosen, y)
    i, j = np.nonzero(y[:, None] < y)
    told = close_calls(X, L, chosen, starts_of(y), i, j)
    assert told.shape == (len(i), 6) and told.sum() == active > 0
    some = np.random.default_rng(0).permutation(len(i))[:500]
    assert np.array_equal(close_calls(X, L, chosen, starts_of(y), i[some], j[some]), told[some])
    monkeypatch.setattr(targets, "_ENTRIES", 1)  # products of other shapes: what is not close stays as it was
    mapped = X @ L.T
    margins = 1 + np.square(mapped[chosen] - mapped[:, None]).sum(axis=2)
    excess = np.square(mapped[i] - mapped[j]).sum(axis=1)[:, None] - np.hstack([margins[i], margins[j]])
    again = close_calls(X, L, chosen, starts_of(y), i, j)
    clear = np.abs(excess) > 1e-9
    assert np.array_equal(again[clear], excess[clear] < 0) and not clear.all()


@pytest.mark.parametrize("entries", [64, 1 << 19])
@pytest.mark.parametrize("listed", [100, 600, 1 << 22])
@pytest.mark.parametrize("rank", [2, 5])
def test_what_is_skipped_changes_nothing(entries: int, listed: int, rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Along a wandering path, pair lists and all, the sums are those over all triples."""
    monkeypatch.setitem(margins.ENTRIES, "cpu", entries)
    monkeypatch.setitem(impostors._LISTED, "cpu", listed)
    looks = {"all": 0, "again": 0}
    run, crowds = impostors._Search.run, list[float]()
    monkeypatch.setattr(impostors._Search, "run", lambda *a: crowds.append(run(*a)) or crowds[-1])
    for name, method in (("all", "_refer"), ("again", "_look_again")):
        whole = getattr(Impostors, method)

        def counted(self: Impostors, *args: object, name: str = name, whole: object = whole) -> object:
            looks[name] += 1
            return whole(self, *args)  # type: ignore[operator]

        monkeypatch.setattr(Impostors, method, counted)
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(70, 5)), np.sort(np.arange(70) % 4)
    chosen = target_neighbours(X, starts_of(y), 2)
    evaluate = Impostors(X, starts_of(y), chosen)
    L, step = 0.5 * np.eye(rank, 5), np.zeros((rank, 5))
    drift = 0.01 * rng.normal(size=(rank, 5))
    for _ in range(40):
        active, gradient = evaluate(torch.from_numpy(L), torch.from_numpy(step))
        expected, slope = plain(X, y, chosen, L)
        assert active == expected > 0
        np.testing.assert_allclose(gradient.numpy(), slope, atol=1e-9)
        step = drift + 0.002 * rng.normal(size=(rank, 5))
        L = L + step
    assert looks["all"] >= 2 and looks["again"] >= {100: 0, 600: 3, 1 << 22: 20}[listed]
    # where budgets take in far more pairs than can be listed, it does not look at them all to say so
    assert (max(crowds) > impostors._CROWDED) == (listed == 100)


@pytest.mark.parametrize("name", sorted(DATA))
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_neighbors": 1, "regularization": 0.2},
        {"n_components": 2},
        {"init": "pca", "n_components": 3},
        {"init": "random"},
        {"learn_rate": 1e-3, "min_iter": 5},
        {"learn_rate": 1e-3, "max_iter": 900, "convergence_tol": 1e-9, "min_iter": 2},
    ],
)
def test_both_engines_give_the_same_metric(name: str, params: dict[str, object]) -> None:
    X, y = DATA[name]()
    options = {"max_iter": 101, **params}
    ours, library = LMNN(**options).fit(X, y), LMNN(engine="metric-learn", **options).fit(X, y)
    M = library.get_mahalanobis_matrix()
    np.testing.assert_allclose(ours.get_mahalanobis_matrix(), M, rtol=0, atol=1e-6)
    assert (ours.n_iter_, ours.converged_) == (library.n_iter_, library.converged_)
    np.testing.assert_allclose(ours.history_, library.history_, rtol=1e-9)
    assert len(ours.fit_summary_["notes"]) == len(library.fit_summary_["notes"])


def test_the_order_of_the_points_and_their_labels_say_nothing() -> None:
    X, y = blobs()
    shuffled = np.random.default_rng(5).permutation(len(X))
    first = LMNN(max_iter=101, learn_rate=1e-4).fit(X, y)
    second = LMNN(max_iter=101, learn_rate=1e-4).fit(X[shuffled], np.array(["b", "c", "a"])[y][shuffled])
    np.testing.assert_allclose(first.get_mahalanobis_matrix(), second.get_mahalanobis_matrix(), rtol=0, atol=1e-6)


def test_an_interrupted_fit_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs()
    params = {"max_iter": 80, "learn_rate": 1e-4}
    expected, file = LMNN(**params).fit(X, y), tmp_path / "state"
    monkeypatch.setattr(blocked_lmnn, "CHECKPOINT_SECONDS", 0.0)
    step, calls = blocked_lmnn._Descent.step, []

    def dying(self: object, state: object) -> None:
        calls.append(state)
        if len(calls) % 17 == 0:
            raise KeyboardInterrupt
        step(self, state)  # type: ignore[arg-type]

    monkeypatch.setattr(blocked_lmnn._Descent, "step", dying)
    runs = 0
    while True:
        runs += 1
        try:
            learner = LMNN(checkpoint=file, **params).fit(X, y)
            break
        except KeyboardInterrupt:
            assert file.exists()
    assert runs > 3 and not file.exists()
    assert learner.components_.tobytes() == expected.components_.tobytes()
    assert learner.history_.tobytes() == expected.history_.tobytes() and learner.n_iter_ == expected.n_iter_


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs()
    file = tmp_path / "state"
    monkeypatch.setattr(blocked_lmnn, "CHECKPOINT_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(blocked_lmnn._Descent, "step", lambda self, state: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            LMNN(checkpoint=file).fit(X, y)
    for learner, data in ((LMNN(checkpoint=file, learn_rate=1e-6), X), (LMNN(checkpoint=file), X + 1e-9)):
        with pytest.raises(DataError, match="is of another fit"):
            learner.fit(data, y)
    file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        LMNN(checkpoint=file).fit(X, y)


def test_a_step_too_small_to_move_anything_ends_the_search_for_one() -> None:
    X, y = blobs(30)
    learner = LMNN(learn_rate=1e-30, max_iter=60).fit(X, y)
    np.testing.assert_allclose(learner.get_mahalanobis_matrix(), np.eye(4), atol=1e-20)
    assert learner.converged_ is True and learner.n_iter_ == 51


def test_a_step_beyond_all_bounds_is_an_error() -> None:
    X, y = blobs(30)
    with pytest.raises(LearningError, match="lower learn_rate"):
        LMNN(learn_rate=1e300, max_iter=10).fit(X, y)


def test_neither_warnings_nor_output_come_of_a_fit(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = blobs(60)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LMNN(max_iter=60).fit(X, y)
        assert capsys.readouterr() == ("", "")
        LMNN(max_iter=5, verbose=True).fit(X, y)
    assert "LMNN" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_stays_within_the_estimate() -> None:
    """12,000 points: distances of all pairs alone would be 1.07 GiB."""
    code = (
        "import numpy as np, resource; from arml import LMNN; X = np.random.default_rng(0).random((12000, 8));"
        "y = (X[:, 0] > 0.5).astype(int); LMNN(max_iter=4).fit(X[:100], y[:100]);"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; fit = LMNN(max_iter=8).fit(X, y);"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before;"
        "print(peak / 2**20, fit.fit_summary_['estimated_gib'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, estimated = map(float, done.stdout.split())
    assert peak < estimated < 0.6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", sorted(DATA))
@pytest.mark.parametrize("learner", [NCA(device="cuda"), LMNN(device="cuda", max_iter=101)], ids=["nca", "lmnn"])
def test_a_gpu_gives_the_same_metric(learner: NCA | LMNN, name: str) -> None:
    X, y = DATA[name]()
    M = learner.fit(X, y).get_mahalanobis_matrix()
    expected = clone(learner).set_params(device="cpu").fit(X, y).get_mahalanobis_matrix()
    np.testing.assert_allclose(M, expected, rtol=0, atol=1e-6)
