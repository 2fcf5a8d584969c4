"""RobustPrototypes as its users meet it: what it learns, proves, keeps, refuses, and goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import arml.prototypes.training as training
from arml import DataError, MahalanobisKNN, RobustPrototypes
from arml.check import check_certificate
from arml.prototypes import load_prototypes

Array = NDArray[Any]
FAST: dict[str, Any] = {"n_prototypes": 4, "max_iter": 200, "target_radius": 0.5, "batch_size": 40}


def moons(n: int = 200, seed: int = 0) -> tuple[Array, Array]:
    """Two half circles, with noise: no two prototypes are enough."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    angle = rng.uniform(0, np.pi, n)
    X = np.stack([np.cos(angle) + y, np.where(y == 1, -1, 1) * np.sin(angle) + 0.4 * y], axis=1)
    return X + 0.1 * rng.normal(size=X.shape), y


@pytest.fixture(scope="module")
def data() -> tuple[Array, Array, Array, Array]:
    return (*moons(), *moons(100, seed=1))


@pytest.mark.parametrize(
    "params",
    [{}, {"objective": "exact"}, {"n_components": 2}, {"objective": "exact", "temperature": 0.02, "n_rivals": 3}],
)
def test_learning_raises_the_radii_of_new_points(data: tuple[Array, ...], params: dict[str, Any]) -> None:
    X, y, X_test, y_test = data
    begun = RobustPrototypes(**FAST, **params).set_params(max_iter=1, learning_rate=1e-9).fit(X, y)
    learned = RobustPrototypes(**FAST, **params).fit(X, y)
    before, after = (model.verify(X_test, y_test).lower.mean() for model in (begun, learned))
    assert after > 1.1 * before
    assert learned.score(X_test, y_test) > 0.95
    assert learned.history_[-20:].mean() < learned.history_[:20].mean()


def test_the_sandwich_holds_and_certificates_are_accepted(data: tuple[Array, ...]) -> None:
    X, y, X_test, y_test = data
    model = RobustPrototypes(**FAST).fit(X, y)
    certified, exact, attacked = (
        model.certify(X_test, y_test),
        model.verify(X_test, y_test),
        model.attack(X_test, y_test),
    )
    assert (certified <= exact.upper).all() and (exact.lower <= exact.upper).all()
    assert (exact.lower <= attacked.norm).all()
    assert (model.predict(attacked.adversarial) != y_test).all()
    assert ((exact.status == "misclassified") == (model.predict(X_test) != y_test)).all()
    reference = (model.prototypes_, model.prototype_labels_)
    for row in range(10):
        check_certificate(*reference, X_test[row], y_test[row], exact.certificates[row])


def test_it_is_one_nearest_neighbour_on_its_prototypes(data: tuple[Array, ...]) -> None:
    X, y, X_test, y_test = data
    model = RobustPrototypes(n_components=2, **FAST).fit(X, y)
    knn = MahalanobisKNN(1, metric=model.metric_).fit(model.prototypes_, model.prototype_labels_)
    np.testing.assert_array_equal(model.predict(X_test), knn.predict(X_test))
    np.testing.assert_array_equal(model.certify(X_test, y_test), knn.certify(X_test, y_test))
    assert not model.metric_.is_identity and model.metric_.sigma_max == pytest.approx(1.0)


def test_small_classes_get_their_members_and_tied_ones_are_lost() -> None:
    X = np.array([[0.0, 0.0], [0.0, 1.0], [0.1, 0.5], [4.0, 0.0], [0.0, 0.0]])
    y = np.array(["a", "a", "a", "b", "c"])
    model = RobustPrototypes(n_prototypes=3, max_iter=20, learning_rate=1e-9).fit(X, y)
    assert model.prototype_labels_.tolist() == ["a", "a", "a", "b", "c"]
    np.testing.assert_allclose(np.sort(model.prototypes_, axis=0), np.sort(X, axis=0), atol=1e-6)
    exact = RobustPrototypes(n_prototypes=3, max_iter=1, learning_rate=1e-30).fit(X[3:], y[3:])
    assert exact.verify([[2.0, 0.0]], ["b"]).lower.tolist() == [0.0]  # as far from either


def test_the_same_seed_gives_the_same_bytes_in_any_order_of_points(data: tuple[Array, ...]) -> None:
    X, y = data[:2]
    order = np.random.default_rng(0).permutation(len(X))
    first, second, other = (
        RobustPrototypes(random_state=seed, **FAST).fit(*points).prototypes_.tobytes()
        for seed, points in ((0, (X, y)), (0, (X[order], y[order])), (1, (X, y)))
    )
    assert first == second and first != other


@pytest.mark.parametrize("params", [{}, {"n_components": 2, "average": True}, {"early_stopping": True}])
def test_a_killed_fit_goes_on_to_the_same_bytes(
    data: tuple[Array, ...], params: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = data[:2]
    settings = FAST | {"max_iter": 350} | params
    whole = RobustPrototypes(**settings).fit(X, y)
    monkeypatch.setattr(training, "_CHECKPOINT_SECONDS", 0.0)
    step, path = training.Training._round, tmp_path / "state.npz"

    def killed(self: training.Training, state: training.State) -> str:
        if state.step >= 200:
            raise KeyboardInterrupt
        return step(self, state)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Training, "_round", killed)
        RobustPrototypes(checkpoint=path, **settings).fit(X, y)
    assert path.exists()
    with pytest.raises(DataError, match="another fit"):
        RobustPrototypes(checkpoint=path, **settings | {"learning_rate": 0.02}).fit(X, y)
    steps: list[int] = []
    monkeypatch.setattr(training.Training, "_round", lambda self, state: steps.append(state.step) or step(self, state))
    resumed = RobustPrototypes(checkpoint=path, **settings).fit(X, y)
    assert steps[0] == 200
    for name in ("prototypes_", "history_", "validation_history_"):
        assert getattr(resumed, name).tobytes() == getattr(whole, name).tobytes(), name
    assert resumed.metric_.components.tobytes() == whole.metric_.components.tobytes()
    assert not path.exists()


@pytest.mark.parametrize("params", [{}, {"n_components": 1}, {"image_shape": (1, 2), "max_rotation": 10.0}])
def test_save_and_load_give_the_same_classifier(
    data: tuple[Array, ...], params: dict[str, Any], tmp_path: Path
) -> None:
    X, y, X_test, y_test = data
    names = np.array(["left", "right"])
    model = RobustPrototypes(**FAST | {"max_iter": 20} | params).fit(X, names[y])
    path = tmp_path / "prototypes.npz"
    model.save(path)
    read = RobustPrototypes.load(path)
    assert read.get_params() == model.get_params() and read.n_iter_ == 20
    np.testing.assert_array_equal(read.predict(X_test), model.predict(X_test))
    np.testing.assert_array_equal(read.certify(X_test, names[y_test]), model.certify(X_test, names[y_test]))
    clone(read).fit(X, y)


def test_loading_says_what_is_wrong(data: tuple[Array, ...], tmp_path: Path) -> None:
    from arml import Euclidean

    with pytest.raises(DataError, match="cannot read"):
        load_prototypes(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("prototypes")
    with pytest.raises(DataError, match="cannot read"):
        load_prototypes(tmp_path / "text.npz")
    Euclidean().fit(*data[:2]).save(tmp_path / "metric.npz")
    with pytest.raises(DataError, match="load_learner"):
        load_prototypes(tmp_path / "metric.npz")
    with pytest.raises(NotFittedError):
        RobustPrototypes().save(tmp_path / "new.npz")


def test_early_stopping_gives_the_best_iterate_on_points_held_out(data: tuple[Array, ...]) -> None:
    X, y = data[:2]
    model = RobustPrototypes(**FAST | {"max_iter": 3000}, early_stopping=True, n_iter_no_change=3, learning_rate=0.1)
    model.fit(X, y)
    losses = model.validation_history_
    assert model.converged_ is True and model.n_iter_ < 3000
    assert losses.argmin() == len(losses) - 4 and model.n_iter_ == 100 * len(losses)


def test_given_prototypes_are_where_it_begins(data: tuple[Array, ...]) -> None:
    X, y = data[:2]
    given = np.stack([X[y == c][:4] for c in (0, 1)])
    model = RobustPrototypes(**FAST | {"max_iter": 1, "learning_rate": 1e-9, "init": given}).fit(X, y)
    np.testing.assert_allclose(model.prototypes_, given.reshape(-1, 2), atol=1e-5)
    with pytest.raises(ValueError, match=r"shape \(2, 4, 2\)"):
        RobustPrototypes(**FAST | {"init": given[:1]}).fit(X, y)


def test_shifts_teach_what_the_points_do_not_show() -> None:
    """A stroke in the middle column against none: on new images the stroke is one column off."""
    rng = np.random.default_rng(0)
    images, y = 0.05 * rng.random((60, 5, 5)), np.arange(60) % 2
    images[y == 1, 1:4, 2] += 1.0
    new = np.roll(images, 1, axis=2).reshape(60, -1)
    scores = [
        RobustPrototypes(n_prototypes=3, max_iter=300, image_shape=(5, 5), max_shift=shift, batch_size=30)
        .fit(images.reshape(60, -1), y)
        .verify(new, y)
        .lower.mean()
        for shift in (0, 1)
    ]
    assert scores[1] > scores[0] + 0.1


def test_divergence_keeps_the_last_finite_prototypes_and_says_so(data: tuple[Array, ...]) -> None:
    X, y = data[:2]
    with pytest.warns(ConvergenceWarning, match="learning_rate"):
        model = RobustPrototypes(**FAST | {"learning_rate": 1e30}).fit(X, y)
    assert model.converged_ is False and np.isfinite(model.prototypes_).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_prototypes": 0}, "n_prototypes"),
        ({"objective": "soft"}, "bisector, exact"),
        ({"target_radius": 0.0}, "target_radius"),
        ({"temperature": -1.0}, "temperature"),
        ({"max_shift": 1}, "image_shape"),
        ({"max_zoom": 1.0, "image_shape": (1, 2)}, "max_zoom"),
        ({"image_shape": (3, 1)}, "3 x 1"),
        ({"image_shape": (2,)}, "height"),
        ({"n_components": 3}, "n_components"),
        ({"n_rivals": 40}, "n_others"),
        ({"init": "zeros"}, "kmeans, sample"),
        ({"device": "nowhere"}, "nowhere"),
        ({"early_stopping": True, "validation_fraction": 0.999}, "validation_fraction"),
        ({"checkpoint": "state.npz", "random_state": None}, "random_state"),
    ],
)
def test_bad_parameters_are_refused_by_name(data: tuple[Array, ...], params: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RobustPrototypes(**params).fit(*data[:2])
