"""What every learner promises, whatever the method."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

import arml.learners as learners
from arml.errors import DataError
from arml.learners import METHODS, LearningError, MetricLearner, make_learner
from arml.learners.base import normalise
from arml.system.resources import recorded_warnings, single_threaded

QUICK = {"arml": {"max_iter": 30}, "lmnn": {"max_iter": 60}, "itml": {"n_constraints": 40, "max_iter": 50}}


def blobs(n: int = 90, width: int = 4, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = rng.uniform(0.2, 0.8, size=(classes, width))
    return np.clip(centres[y] + 0.12 * rng.normal(size=(n, width)), 0, 1), y


def quick(method: str, **params: object) -> MetricLearner:
    return make_learner(method, **{**QUICK.get(method, {}), **params})


@pytest.mark.parametrize("method", METHODS)
def test_metric_is_real_finite_psd_and_normalised(method: str) -> None:
    X, y = blobs()
    learner = quick(method).fit(X, y)
    M = learner.get_mahalanobis_matrix()
    assert learner.components_.dtype == np.float64 and learner.components_.shape[1] == X.shape[1]
    assert np.isfinite(M).all() and np.array_equal(M, M.T)
    assert np.linalg.eigvalsh(M)[0] > -1e-12
    assert np.linalg.norm(learner.components_, 2) == pytest.approx(1, abs=1e-12)
    np.testing.assert_allclose(learner.transform(X), X @ learner.components_.T)
    assert learner.seconds_ >= 0 and learner.cpu_seconds_ >= 0 and learner.peak_memory_mib_ > 1


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_bytes_and_global_random_state_untouched(method: str) -> None:
    X, y = blobs()
    np.random.seed(3)  # noqa: NPY002 - the global state is what is tested
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    first, second = quick(method, random_state=7).fit(X, y), quick(method, random_state=7).fit(X, y)
    assert first.components_.tobytes() == second.components_.tobytes()
    assert json.dumps(first.fit_summary_, sort_keys=True) == json.dumps(second.fit_summary_, sort_keys=True)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("method", METHODS)
def test_summary_holds_the_facts_and_no_time(method: str) -> None:
    X, y = blobs()
    summary = quick(method).fit(X, y).fit_summary_
    assert summary["method"] == method and summary["n_train"] == summary["n_fit_samples"] == len(X)
    assert summary["rank"] == 4 and 0 < summary["lambda_min"] <= summary["lambda_max"]
    assert summary["lambda_max"] == pytest.approx(1)
    assert summary["converged"] in (True, False, None) and summary["dropped_features"] == []
    assert not any("second" in key or "memory" in key for key in summary)


@pytest.mark.parametrize("method", METHODS)
def test_estimator_contract(method: str) -> None:
    pandas = pytest.importorskip("pandas")
    X, y = blobs()
    learner = quick(method)
    copy = clone(learner)
    assert copy is not learner and copy.get_params() == learner.get_params()
    assert copy.set_params(random_state=5).random_state == 5
    with pytest.raises(NotFittedError):
        copy.transform(X)
    frame = pandas.DataFrame(X, columns=list("abcd"))
    assert copy.fit(frame, y) is copy
    assert copy.n_features_in_ == 4 and list(copy.feature_names_in_) == list("abcd")
    assert list(copy.classes_) == [0, 1, 2]
    assert len(copy.get_feature_names_out()) == copy.components_.shape[0]
    with pytest.raises(ValueError, match="feature names"):
        copy.transform(frame[list("dcba")])
    with pytest.raises(ValueError, match="expecting 4"):
        copy.transform(X[:, :3])


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_is_the_same(method: str, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    X, y = blobs()
    frame = pandas.DataFrame(X, columns=["a", "b", "ç", "d"])
    learner = quick(method, random_state=3).fit(frame, np.array(["x", "y", "z"])[y])
    learner.save(tmp_path / "metric")
    again = learners.load_learner(tmp_path / "metric")
    assert type(again) is type(learner) and again.get_params() == learner.get_params()
    assert again.transform(frame).tobytes() == learner.transform(frame).tobytes()
    assert again.fit_summary_ == learner.fit_summary_ and again.converged_ is learner.converged_
    assert again.history_.tobytes() == learner.history_.tobytes()
    assert list(again.classes_) == ["x", "y", "z"] and list(again.feature_names_in_) == ["a", "b", "ç", "d"]
    assert again.seconds_ == learner.seconds_
    with pytest.raises(ValueError, match="feature names"):
        again.transform(frame[["d", "ç", "b", "a"]])


def test_saving_keeps_arrays_among_the_parameters_and_refuses_what_needs_pickle(tmp_path: Path) -> None:
    X, y = blobs()
    start = np.diag([1.0, 2.0, 3.0, 4.0])
    file = tmp_path / "metric.npz"
    quick("arml", init=start, checkpoint=tmp_path / "state").fit(X, y).save(file)
    assert np.array_equal(learners.load_learner(file).init, start)
    with pytest.raises(NotFittedError):
        quick("arml").save(file)
    before = file.read_bytes()
    odd = quick("arml").fit(X, y)
    odd.classes_ = np.array([("a", 1), None, {}], dtype=object)
    with pytest.raises(ValueError, match="only pickle could store"):
        odd.save(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", None])
def test_loading_what_is_no_learner_says_so(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "metric"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match="cannot read a learner"):
        learners.load_learner(file)
    with open(file, "wb") as stream:
        np.savez(stream, header=np.array([object()]))
    with pytest.raises(DataError, match="cannot read a learner"):  # pickled content is not opened
        learners.load_learner(file)


@pytest.mark.parametrize("method", METHODS)
def test_labels_of_any_kind_mean_the_same(method: str) -> None:
    X, y = blobs(classes=2)
    plain = quick(method).fit(X, y).components_
    for labels in (np.array([-1, 1])[y], np.array(["a", "b"])[y], np.array([False, True])[y]):
        assert quick(method).fit(X, labels).components_.tobytes() == plain.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_bad_data_is_refused(method: str) -> None:
    X, y = blobs()
    spoilt = X.copy()
    spoilt[4, 2] = np.nan
    with pytest.raises(ValueError, match="finite, got nan at row 4, column 2"):
        quick(method).fit(spoilt, y)
    spoilt[4, 2] = np.inf
    with pytest.raises(ValueError, match="finite"):
        quick(method).fit(spoilt, y)
    with pytest.raises(ValueError, match="two classes"):
        quick(method).fit(X, np.zeros(len(X), dtype=int))
    with pytest.raises(ValueError, match="labels for"):
        quick(method).fit(X, y[:-1])
    if method != "euclidean":
        with pytest.raises(ValueError, match="two members"):
            quick(method).fit(X[:5], np.arange(5))


@pytest.mark.parametrize(
    ("method", "params", "word"),
    [
        ("arml", {"loss": "squared"}, "negative, hinge, exponential, logistic"),
        ("arml", {"loss_scale": 0}, "loss_scale"),
        ("arml", {"learning_rate": float("nan")}, "learning_rate"),
        ("arml", {"n_candidates": 0}, "n_candidates"),
        ("arml", {"max_iter": 2.5}, "max_iter"),
        ("arml", {"schedule": "sometimes"}, "minibatch, full"),
        ("arml", {"batch_size": -1}, "batch_size"),
        ("arml", {"n_components": 5}, "n_components = 5"),
        ("arml", {"init": "zero"}, "init"),
        ("arml", {"init": np.zeros((4, 4))}, "non-zero"),
        ("arml", {"init": np.eye(3)}, r"\(3, 4\)"),
        ("arml", {"device": "abacus"}, "'cpu' always can"),
        ("arml", {"random_state": "x"}, "random_state"),
        ("nca", {"max_iter": 0}, "max_iter"),
        ("nca", {"n_components": 9}, "n_components = 9"),
        ("nca", {"init": "x"}, "auto, pca"),
        ("nca", {"max_train": 4}, "max_train = 4 is too small"),
        ("lmnn", {"n_neighbors": 0}, "n_neighbors"),
        ("lmnn", {"learn_rate": -1.0}, "learn_rate"),
        ("itml", {"prior": "x"}, "covariance"),
        ("itml", {"gamma": 0.0}, "gamma"),
        ("lfda", {"embedding_type": "x"}, "weighted"),
        ("lfda", {"max_train": 1}, "max_train"),
    ],
)
def test_bad_parameters_are_refused(method: str, params: dict[str, object], word: str) -> None:
    X, y = blobs()
    with pytest.raises(ValueError, match=word):
        make_learner(method, **params).fit(X, y)


def test_unknown_method_and_parameter_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown method 'mmc'; known: euclidean, nca, lmnn, itml, lfda, arml"):
        make_learner("mmc")
    with pytest.raises(ValueError, match=r"of lmnn: k; known: .*n_neighbors"):
        make_learner("lmnn", k=3)
    with pytest.raises(AttributeError, match="MMC"):
        learners.MMC  # noqa: B018
    assert [make_learner(m).method for m in METHODS] == list(METHODS)
    assert learners.NCA is type(make_learner("nca"))


def test_euclidean_is_exactly_the_identity() -> None:
    X, y = blobs()
    learner = make_learner("euclidean").fit(X, y)
    assert np.array_equal(learner.components_, np.eye(4)) and learner.n_iter_ == 0 and learner.converged_ is None
    assert np.array_equal(learner.transform(X), X)


def test_normalise_refuses_what_is_no_metric() -> None:
    with pytest.raises(LearningError, match=r"lfda gave a complex transformation.*principal components"):
        normalise(np.eye(2) * (1 + 1e-9j), "lfda")
    with pytest.raises(LearningError, match="2 NaN or infinite"):
        normalise(np.array([[np.nan, 1.0], [0.0, np.inf]]), "itml")
    with pytest.raises(LearningError, match="M = 0"):
        normalise(np.zeros((2, 2)), "nca")
    components, eigenvalues = normalise(np.array([[1e200, 0.0, 0.0], [0.0, 1e199, 0.0]]), "nca")
    np.testing.assert_allclose(components, [[1, 0, 0], [0, 0.1, 0]])
    np.testing.assert_allclose(eigenvalues, [1, 0.01])


def test_importing_the_package_imports_no_learning_library() -> None:
    code = (
        "import sys, arml.learners as l; l.make_learner('arml'); l.make_learner('nca');"
        "print([m for m in ('torch', 'metric_learn', 'prefect', 'dvc', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fits_do_not_leak_warnings_or_print(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = blobs()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for method in METHODS:
            quick(method).fit(X, y)
    assert capsys.readouterr() == ("", "")


def test_recorded_warnings_are_kept_apart_between_threads() -> None:
    barrier, logs = threading.Barrier(3), {}

    def work(name: str, rounds: int) -> None:
        with recorded_warnings() as log:
            barrier.wait(timeout=60)
            for _ in range(rounds):
                warnings.warn(name, RuntimeWarning, stacklevel=1)
        logs[name] = log

    before = warnings.showwarning, list(warnings.filters)
    threads = [threading.Thread(target=work, args=(name, 5)) for name in ("a", "b")]
    with pytest.warns(UserWarning, match="outside"):
        for thread in threads:
            thread.start()
        warnings.warn("outside", UserWarning, stacklevel=1)
        barrier.wait(timeout=60)
        for thread in threads:
            thread.join()
    assert logs == {"a": ["RuntimeWarning: a"], "b": ["RuntimeWarning: b"]}
    assert (warnings.showwarning, list(warnings.filters)) == before


def test_other_threads_keep_their_filters_while_one_records() -> None:
    inside, outside, told = threading.Event(), threading.Event(), []

    def record() -> None:
        with recorded_warnings():
            inside.set()
            outside.wait(timeout=60)

    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.filterwarnings("error", "loud", category=UserWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.showwarning = lambda message, *args, **named: told.append(str(message))
        thread = threading.Thread(target=record)
        thread.start()
        inside.wait(timeout=60)
        try:
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            warnings.warn("told", UserWarning, stacklevel=1)
            with pytest.raises(UserWarning, match="loud"):
                warnings.warn("loud", UserWarning, stacklevel=1)
        finally:
            outside.set()
            thread.join()
    assert told == ["told"]


def test_single_threaded_pins_and_restores() -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with single_threaded():
            assert torch.get_num_threads() == 1
            with single_threaded():
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_base_class_learns_nothing_by_itself() -> None:
    with pytest.raises(TypeError, match="abstract"):
        MetricLearner()  # type: ignore[abstract]
