"""NCA, LMNN, ITML, LFDA: the library's own results, and its silent failures made visible."""

from __future__ import annotations

import tracemalloc
import warnings

import metric_learn
import numpy as np
import pytest

from arml.learners import LearningError, make_learner
from arml.learners.baselines import ITML, LFDA, LMNN, NCA
from arml.learners.classical import run_lfda
from arml.learners.span import into_span
from arml.learners.subsets import stratified_subset


def blobs(n: int = 120, width: int = 4, classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    centres = rng.uniform(0.2, 0.8, size=(classes, width))
    return centres[y] + 0.15 * rng.normal(size=(n, width)), y


def scaled(M: np.ndarray) -> np.ndarray:
    return M / np.linalg.eigvalsh(M)[-1]


@pytest.mark.parametrize("method", ["nca", "lmnn", "itml", "lfda"])
def test_result_is_the_librarys_with_its_defaults(method: str) -> None:
    X, y = blobs(60)
    direct = {
        "nca": lambda: metric_learn.NCA(random_state=42),
        "lmnn": lambda: metric_learn.LMNN(random_state=42),
        "itml": lambda: metric_learn.ITML_Supervised(random_state=42),
        "lfda": lambda: metric_learn.LFDA(),
    }[method]()
    learner = make_learner(method)
    for name, value in direct.get_params().items():
        assert learner.get_params().get(name, value) == value, name
    if method in ("lmnn", "itml"):  # as far as the test's time goes
        direct.set_params(max_iter=100)
        learner.set_params(max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = scaled(direct.fit(X, y).get_mahalanobis_matrix())
    np.testing.assert_allclose(learner.fit(X, y).get_mahalanobis_matrix(), expected, atol=1e-10)


def notes(learner: object) -> str:
    return " | ".join(learner.fit_summary_["notes"])  # type: ignore[attr-defined]


def test_nca_reports_scipys_verdict() -> None:
    X, y = blobs()
    stopped = NCA(max_iter=2).fit(X, y)
    assert stopped.converged_ is False and stopped.n_iter_ == 2
    assert "the optimizer stopped: STOP" in notes(stopped)
    finished = NCA(max_iter=2000, tol=1e-4).fit(X, y)
    assert finished.converged_ is True and finished.n_iter_ < 2000 and notes(finished) == ""


@pytest.mark.filterwarnings("ignore:'force_all_finite' was renamed")
def test_lmnn_convergence_is_the_librarys_own_criterion(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = blobs(45)
    outcomes = set()
    for max_iter, rate in ((60, 1e-7), (300, 1e-3)):
        learner = LMNN(max_iter=max_iter, learn_rate=rate).fit(X, y)
        metric_learn.LMNN(max_iter=max_iter, learn_rate=rate, verbose=True, random_state=42).fit(X, y)
        printed = capsys.readouterr().out
        assert learner.converged_ is ("LMNN converged" in printed)
        assert ("still moves" in notes(learner)) is ("didn't converge" in printed)
        assert (np.diff(learner.history_) <= 0).all()
        outcomes.add(learner.converged_)
    assert outcomes == {True, False}


def test_itml_at_max_iter_is_not_converged() -> None:
    X, y = blobs()
    stopped = ITML(max_iter=3).fit(X, y)
    assert stopped.converged_ is False and stopped.n_iter_ == 3
    finished = ITML(max_iter=3000, n_constraints=10, tol=0.05).fit(X, y)
    assert finished.converged_ is True and finished.n_iter_ < 3000 and notes(finished) == ""


def test_lmnn_lowers_its_neighbours_to_what_classes_have() -> None:
    X, y = blobs(40)
    y = y.copy()
    y[:3] = 5  # three members: the library would accept three targets and take each point for its own
    learner = LMNN(max_iter=20).fit(X, y)
    assert "n_neighbors lowered from 3 to 2 (smallest class: 3)" in notes(learner)
    y[1:3] = 1
    learner = LMNN(max_iter=20).fit(X, y)
    assert "left out 1 points" in notes(learner) and "lowered" not in notes(learner)
    assert learner.n_fit_samples_ == 39
    y[:] = np.r_[[0], np.full(39, 1)]
    with pytest.raises(ValueError, match="two classes with at least two members"):
        LMNN().fit(X, y)


@pytest.mark.parametrize("method", ["nca", "lmnn", "itml", "lfda"])
@pytest.mark.parametrize("tiny", [1, 2, 3])
def test_small_classes_give_a_metric(method: str, tiny: int) -> None:
    X, y = blobs(60, classes=2)
    y = y.copy()
    y[:tiny] = 7
    learner = make_learner(method, **({"max_iter": 60} if method != "lfda" else {})).fit(X, y)
    assert np.isfinite(learner.components_).all()


def test_lfda_drops_constant_columns_and_says_so() -> None:
    X, y = blobs(width=5)
    X[:, 1], X[:, 3] = 0.0, 0.25
    learner = LFDA().fit(X, y)
    assert learner.fit_summary_["dropped_features"] == [1, 3]
    assert learner.components_.shape == (3, 5) and not learner.components_[:, [1, 3]].any()
    assert learner.fit_summary_["lambda_min"] == 0.0 and learner.fit_summary_["rank"] == 3
    rest = LFDA().fit(X[:, [0, 2, 4]], y)
    np.testing.assert_allclose(rest.components_, learner.components_[:, [0, 2, 4]], rtol=1e-12)
    with pytest.raises(LearningError, match="two features that vary, got 1"):
        LFDA().fit(X[:, :2], y)


@pytest.mark.parametrize("method", ["nca", "lmnn", "itml"])
def test_others_cope_with_constant_columns(method: str) -> None:
    X, y = blobs()
    X[:, 2] = 0.5
    learner = make_learner(method, max_iter=60).fit(X, y)
    assert np.isfinite(learner.components_).all() and learner.fit_summary_["dropped_features"] == []


@pytest.mark.parametrize("embedding_type", ["weighted", "orthonormalized", "plain"])
def test_lfda_is_the_librarys_to_the_last_bit_where_that_works(embedding_type: str) -> None:
    X, y = blobs(width=6)
    selected = X[
        :, np.full(6, True)
    ]  # in Fortran order, as the selection of the columns that vary is: sums round alike
    direct = metric_learn.LFDA(embedding_type=embedding_type).fit(selected, y).components_
    learned = run_lfda(X, y, n_components=None, k=None, embedding_type=embedding_type)
    assert learned.components.tobytes() == direct.tobytes() and learned.notes == ()


def test_lfda_on_dependent_columns_is_the_one_without_them() -> None:
    """A combination of features adds nothing: the same distances as on an orthonormal basis of what is there."""
    X, y = blobs(width=3)
    wide = np.column_stack([X, X @ [1.0, -2.0, 0.5], 3 * X[:, 1] - X[:, 2]])
    learner = LFDA(k=2).fit(wide, y)
    assert learner.fit_summary_["rank"] == 3 and learner.components_.shape[1] == 5
    assert "fitted on 3 principal components" in notes(learner)
    centred = wide - wide.mean(axis=0)
    basis = np.linalg.svd(centred, full_matrices=False)[2][:3]
    direct = metric_learn.LFDA(k=2).fit(centred @ basis.T, y).get_mahalanobis_matrix()
    np.testing.assert_allclose(learner.get_mahalanobis_matrix(), scaled(basis.T @ direct @ basis), atol=1e-8)


def test_lfda_with_a_singular_within_class_scatter_takes_a_ridge() -> None:
    X, y = blobs(width=3)
    X = np.column_stack([X, y == 0, y == 1]).astype(float)  # constant within every class
    learner = LFDA().fit(X, y)
    assert np.isfinite(learner.components_).all()
    assert "within-class scatter singular: ridge of 1e-" in notes(learner)


def test_lfda_complex_result_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = blobs()

    def fit(self: object, X: np.ndarray, y: np.ndarray) -> object:
        assert _eigh  # type: ignore[name-defined]  # noqa: F821  # what the library's own looks up
        self.components_ = np.eye(4) * (1 + 0j)  # type: ignore[attr-defined]
        return self

    monkeypatch.setattr(metric_learn.LFDA, "fit", fit)
    with pytest.raises(LearningError, match="lfda gave a complex transformation"):
        LFDA().fit(X, y)


def test_lfda_of_lower_rank_keeps_the_leading_rows() -> None:
    X, y = blobs(width=6)
    whole, part = LFDA().fit(X, y), LFDA(n_components=2).fit(X, y)
    assert part.components_.shape == (2, 6)
    ratio = whole.components_[:2] / part.components_
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-9)


def test_itml_survives_twins_of_other_classes() -> None:
    rng = np.random.default_rng(0)
    X, y = blobs(60, classes=2)
    X[1] = X[0]  # neighbours in the list have different labels
    X[3] = X[2]
    X[2:20:2] = X[2]
    X[3:21:2] = X[2]
    learner = ITML(n_constraints=400, max_iter=50, random_state=int(rng.integers(100))).fit(X, y)
    assert np.isfinite(learner.components_).all()
    assert "points equal to a point of another class" in notes(learner)
    assert learner.n_fit_samples_ == 40


def test_library_errors_carry_advice() -> None:
    X, y = blobs(6, width=3, classes=2)
    X[:] = X[0]
    with pytest.raises(LearningError, match=r"itml.*|lfda.*"):
        LFDA().fit(X, y)
    with pytest.raises(LearningError, match="metric-learn's itml failed on 6 points"):
        ITML().fit(X, y)


@pytest.mark.parametrize("method", ["nca", "lmnn", "itml", "lfda"])
def test_fit_on_a_stratified_subset_says_so(method: str) -> None:
    X, y = blobs(120)
    params = {} if method == "lfda" else {"max_iter": 60}
    learner = make_learner(method, max_train=45, **params).fit(X, y)
    assert learner.n_fit_samples_ == learner.fit_summary_["n_fit_samples"] == 45
    assert learner.fit_summary_["n_train"] == 120
    rows = stratified_subset(y, 45, 42)
    assert np.bincount(y[rows]).tolist() == [15, 15, 15]
    direct = make_learner(method, **params).fit(X[rows], y[rows])
    assert direct.components_.tobytes() == learner.components_.tobytes()
    roomy = make_learner(method, max_train=500, **params).fit(X, y)
    assert roomy.n_fit_samples_ == 120 and "subset" not in notes(roomy)


@pytest.mark.parametrize("method", ["nca", "lmnn", "itml", "lfda"])
def test_limits_decide_between_all_points_and_a_subset(method: str) -> None:
    X, y = blobs(120)
    params = {} if method == "lfda" else {"max_iter": 60}
    whole = make_learner(method, max_train=45, max_memory=4.0, max_minutes=60.0, **params).fit(X, y)
    assert whole.n_fit_samples_ == 120 and "limit" not in notes(whole)
    facts = whole.fit_summary_
    assert 0 < facts["estimated_gib"] < 4 and 0 < facts["estimated_minutes"] < 60
    assert (facts["limit_gib"], facts["limit_minutes"], facts["on_subset"]) == (4.0, 60.0, False)
    plain = make_learner(method, max_train=45, **params).fit(X, y)
    assert plain.fit_summary_["on_subset"] is True and "would need" not in notes(plain)
    for limit, unit in (({"max_memory": 1e-9}, "GiB (limit 1e-09)"), ({"max_minutes": 1e-12}, "minutes (limit 1e-12)")):
        learner = make_learner(method, max_train=45, **limit, **params).fit(X, y)
        assert learner.n_fit_samples_ == 45 and learner.fit_summary_["on_subset"] is True
        reason, still = learner.fit_summary_["notes"][:2]
        assert reason.startswith(f"{method} on all 120 points would need about ") and reason.endswith(unit)
        assert still.startswith("on the 45 points used still about ") and still.endswith(unit)
        assert plain.components_.tobytes() == learner.components_.tobytes()
        with pytest.raises(LearningError, match="set max_train to fit it on a stratified subset, or raise the limit"):
            make_learner(method, **limit, **params).fit(X, y)


def test_a_subset_within_the_limit_is_no_further_note() -> None:
    X, y = blobs(120)
    between = [NCA(max_iter=2)._estimate(n, 4, np.full(3, n // 3)).memory for n in (45, 120)]
    learner = NCA(max_iter=2, max_train=45, max_memory=sum(between) / 2).fit(X, y)
    assert learner.n_fit_samples_ == 45
    assert [note.split(" would")[0] for note in learner.fit_summary_["notes"][:-1]] == ["nca on all 120 points"]


def test_a_limit_exceeded_with_a_roomy_max_train_is_on_record() -> None:
    X, y = blobs(60)
    learner = LFDA(max_train=60, max_minutes=1e-12).fit(X, y)
    assert learner.n_fit_samples_ == 60 and learner.fit_summary_["on_subset"] is False
    assert "lfda on all 60 points would need about" in notes(learner)
    assert "fitted on all points even so: max_train is 60" in notes(learner)


@pytest.mark.parametrize("name", ["max_memory", "max_minutes"])
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), "4", True])
def test_limits_are_checked(name: str, value: object) -> None:
    X, y = blobs(30)
    with pytest.raises(ValueError, match=f"{name} must be a finite number above 0 or None, got"):
        LFDA(**{name: value}).fit(X, y)


@pytest.mark.parametrize(
    ("name", "params"), [("nca", {"engine": "metric-learn"}), ("lmnn", {"engine": "metric-learn"}), ("lfda", {})]
)
def test_estimates_grow_with_the_square_of_the_points(name: str, params: dict[str, object]) -> None:
    learner = make_learner(name, **params)
    costs = [learner._estimate(n, 20, np.full(10, n // 10)) for n in (2000, 8000)]  # type: ignore[attr-defined]
    assert costs[1].memory > 8 * costs[0].memory and costs[1].minutes > 10 * costs[0].minutes


@pytest.mark.parametrize("name", ["nca", "lmnn"])
def test_in_blocks_only_the_time_grows_with_the_square_of_the_points(name: str) -> None:
    learner = make_learner(name)
    costs = [learner._estimate(n, 20, np.full(10, n // 10)) for n in (2000, 8000)]  # type: ignore[attr-defined]
    assert costs[1].memory < 4 * costs[0].memory and costs[1].minutes > 10 * costs[0].minutes
    whole = learner._estimate(60_000, 784, np.full(10, 6000))  # type: ignore[attr-defined]
    assert whole.memory < 4


@pytest.mark.parametrize(
    ("method", "params", "shape", "most"),
    [
        ("nca", {"max_iter": 2, "engine": "metric-learn"}, (1000, 6), 1.1),
        ("nca", {"max_iter": 2, "engine": "metric-learn"}, (200, 300), 1.2),
        ("itml", {"max_iter": 1}, (1000, 6), 1.2),
        ("itml", {"max_iter": 1}, (300, 150), 1.3),
        ("lfda", {}, (1500, 6), 1.3),
        ("lmnn", {"max_iter": 3, "engine": "metric-learn"}, (300, 6), 15),  # an upper bound
    ],
)
def test_estimate_of_memory_is_what_the_fit_allocates(
    method: str, params: dict[str, object], shape: tuple[int, int], most: float
) -> None:
    X, y = blobs(*shape)
    learner = make_learner(method, **params).fit(X[:60], y[:60])  # imports
    tracemalloc.start()
    try:
        learner.fit(X, y)
        peak = tracemalloc.get_traced_memory()[1] / 2**30
    finally:
        tracemalloc.stop()
    assert 0.85 * peak < learner.fit_summary_["estimated_gib"] < most * peak


def test_warnings_end_up_in_the_summary() -> None:
    X, y = blobs(12, classes=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner = ITML(n_constraints=500, max_iter=20).fit(X, y)
    assert "UserWarning: Only generated" in notes(learner)
    assert "force_all_finite" not in notes(learner)


def wide(n=24, width=40):
    rng = np.random.default_rng(0)
    X, y = rng.random((n, width)), np.arange(n) % 3
    X[:, :3] += 0.4 * y[:, None]
    X[:, 7] = 0.5
    return X, y


@pytest.mark.parametrize(("method", "tolerance"), [("nca", 1e-2), ("lmnn", 1e-12), ("itml", 1e-12), ("lfda", 1e-5)])
def test_fewer_points_than_features_give_the_metric_of_all_features(method, tolerance, monkeypatch):
    """In the span. NCA's optimizer judges its gradient entry by entry, so that it may end a step earlier or later."""
    X, y = wide()
    narrow = make_learner(method).fit(X, y)
    monkeypatch.setattr(type(narrow), "_stays_in_span", lambda self: False)
    whole = make_learner(method).fit(X, y)
    basis = into_span(X)[1]
    inside, wanted = (basis @ learner.get_mahalanobis_matrix() @ basis.T for learner in (narrow, whole))
    inside, wanted = inside / np.linalg.norm(inside, 2), wanted / np.linalg.norm(wanted, 2)
    np.testing.assert_allclose(inside, wanted, rtol=0, atol=tolerance)
    assert "23 dimensions that the points span" in narrow.fit_summary_["notes"][0]
    assert narrow.fit_summary_["dropped_features"] == whole.fit_summary_["dropped_features"]
    assert abs(narrow.n_iter_ - whole.n_iter_) <= 1


def test_guards_count_the_dimensions_of_the_span():
    X, y = wide(30, 2000)
    limited = make_learner("nca", max_memory=0.5, max_iter=3).fit(X, y)  # 320 D² bytes would be 1.2 GiB
    assert limited.fit_summary_["estimated_gib"] < 0.01 and limited.components_.shape == (29, 2000)
    assert limited.fit_summary_["rank"] == 29


def test_a_start_outside_the_span_is_fitted_with_all_features():
    X, y = wide()
    notes = make_learner("nca", init="random", max_iter=2).fit(X, y).fit_summary_["notes"]
    assert notes[0].startswith("the optimizer")
    many = make_learner("nca", n_components=30, max_iter=2).fit(X, y)
    assert many.components_.shape == (30, 40) and many.fit_summary_["notes"][0].startswith("the optimizer")
    assert make_learner("itml", prior="covariance", max_iter=2)._stays_in_span() is False
