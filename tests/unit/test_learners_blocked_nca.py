"""NCA in blocks: metric-learn's fits, and gradients by plain sums, whatever the size of a block."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from arml.errors import DataError
from arml.learners import blocked_nca
from arml.learners.baselines import NCA
from arml.learners.blocked_nca import Neighbourhoods


def blobs(n: int = 120, width: int = 4, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    return rng.uniform(0.2, 0.8, size=(classes, width))[y] + 0.15 * rng.normal(size=(n, width)), y


def plain(A: np.ndarray, X: np.ndarray, y: np.ndarray) -> tuple[float, np.ndarray]:
    """The objective and its gradient, pair by pair as they are defined, in long double."""
    X, A = X.astype(np.longdouble), A.astype(np.longdouble)
    value, gradient = np.longdouble(0), np.zeros_like(A)
    for i in range(len(X)):
        v = np.delete(X, i, axis=0) - X[i]
        same = np.delete(y, i) == y[i]
        d = ((v @ A.T) ** 2).sum(axis=1)
        P = np.exp(-(d - d.min()))
        P /= P.sum()
        p = P[same].sum()
        value += p
        gradient += 2 * A @ (v.T @ ((p * P - P * same)[:, None] * v))
    return float(value), gradient.astype(float)


@pytest.mark.parametrize("entries", [1, 700, 1 << 19])
@pytest.mark.parametrize("rank", [2, 4])
@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_objective_and_gradient_are_the_plain_sums(
    entries: int, rank: int, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(blocked_nca._ENTRIES, "cpu", entries)
    X, y = blobs(61)
    X[7] = X[3]
    y[5] = 3  # alone in its class: no pair of it counts
    A = scale * np.random.default_rng(1).normal(size=(rank, 4))
    value, gradient = Neighbourhoods(X + 5, y)(A)
    expected, slope = plain(A, X, y)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=1e-10 * np.abs(slope).max())


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"n_components": 2},
        {"init": "pca", "n_components": 3},
        {"init": "random"},
        {"init": "lda", "n_components": 2},
        {"tol": 1e-3},
    ],
)
def test_both_engines_give_the_same_metric(params: dict[str, object]) -> None:
    X, y = blobs(seed=3)
    ours, library = NCA(max_iter=30, **params).fit(X, y), NCA(max_iter=30, engine="metric-learn", **params).fit(X, y)
    M = library.get_mahalanobis_matrix()
    np.testing.assert_allclose(ours.get_mahalanobis_matrix(), M, rtol=0, atol=1e-6)
    assert (ours.n_iter_, ours.converged_) == (library.n_iter_, library.converged_)
    assert ours.fit_summary_["notes"] == library.fit_summary_["notes"]
    assert len(ours.history_) > ours.n_iter_ and library.history_.size == 0


def test_the_order_of_the_points_and_their_labels_say_nothing() -> None:
    X, y = blobs()
    shuffled = np.random.default_rng(5).permutation(len(X))
    first, second = NCA().fit(X, y), NCA().fit(X[shuffled], np.array(["b", "c", "a"])[y][shuffled])
    np.testing.assert_allclose(first.get_mahalanobis_matrix(), second.get_mahalanobis_matrix(), rtol=0, atol=1e-6)


def test_an_interrupted_fit_goes_on_to_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs()
    expected, file = NCA().fit(X, y), tmp_path / "state"
    monkeypatch.setattr(blocked_nca, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(blocked_nca, "_PATIENCE", 0)
    evaluate, calls = Neighbourhoods.__call__, []

    def dying(self: Neighbourhoods, A: np.ndarray) -> tuple[float, np.ndarray]:
        calls.append(A)
        if len(calls) % 5 == 0:
            raise KeyboardInterrupt
        return evaluate(self, A)

    monkeypatch.setattr(Neighbourhoods, "__call__", dying)
    runs = 0
    while True:
        runs += 1
        try:
            learner = NCA(checkpoint=file).fit(X, y)
            break
        except KeyboardInterrupt:
            assert file.exists() is (len(calls) > 1)
    assert runs > 3 and not file.exists()
    assert learner.components_.tobytes() == expected.components_.tobytes()
    assert learner.history_.tobytes() == expected.history_.tobytes() and learner.n_iter_ == expected.n_iter_


def test_a_checkpoint_of_another_fit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs()
    file = tmp_path / "state"
    monkeypatch.setattr(blocked_nca, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(blocked_nca, "_PATIENCE", 0)
    with monkeypatch.context() as patch:
        patch.setattr(blocked_nca._Record, "discard", lambda self: None)
        NCA(checkpoint=file).fit(X, y)
    for learner, data in ((NCA(checkpoint=file, tol=1e-3), X), (NCA(checkpoint=file), X + 1e-9)):
        with pytest.raises(DataError, match="is of another fit"):
            learner.fit(data, y)
    with np.load(file) as stored:
        arrays = dict(stored)
    with open(file, "wb") as stream:
        np.savez(stream, **{**arrays, "gradients": -arrays["gradients"]})
    with pytest.raises(DataError, match="takes another path"):
        NCA(checkpoint=file).fit(X, y)
    file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="cannot read the checkpoint"):
        NCA(checkpoint=file).fit(X, y)


def test_parameters_of_the_engines_are_checked(tmp_path: Path) -> None:
    X, y = blobs()
    for params, words in (
        ({"engine": "gpu"}, "blocked, metric-learn"),
        ({"device": "abacus"}, "'cpu' always can"),
        ({"device": "meta"}, "or a CUDA device .float64., got 'meta'"),
        ({"checkpoint": tmp_path / "x", "random_state": None}, "checkpoint needs a random_state"),
        ({"verbose": "yes"}, "verbose must be True or False"),
    ):
        with pytest.raises(ValueError, match=words):
            NCA(**params).fit(X, y)
    theirs = NCA(engine="metric-learn", checkpoint=tmp_path / "x", max_iter=3).fit(X, y)  # as a pipeline asks for it
    assert theirs.n_iter_ == 3 and not (tmp_path / "x").exists()


def test_the_fit_shows_its_progress_where_it_is_asked_to(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = blobs()
    NCA(max_iter=3, verbose=True, device="auto").fit(X, y)
    assert "NCA" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_and_time_stay_within_the_estimate() -> None:
    """12,000 points: a matrix of all pairs alone would be 1.07 GiB."""
    code = (
        "import numpy as np, resource; from arml import NCA; X = np.random.default_rng(0).random((12000, 8));"
        "y = (X[:, 0] > 0.5).astype(int); NCA(max_iter=1).fit(X[:100], y[:100]);"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; fit = NCA(max_iter=2).fit(X, y);"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before;"
        "print(peak / 2**20, fit.fit_summary_['estimated_gib'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, estimated = map(float, done.stdout.split())
    assert peak < 2 * estimated + 0.05 < 0.2
