"""MahalanobisKNN as people use it: scaling, learned metrics, robustness methods, scikit-learn's tools."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

import arml
from arml import ARML, MahalanobisKNN, MahalanobisMetric
from arml.attacks import POINT_ATTACKS, boundary_attack, geometric_attack, hopskipjump_attack, pointwise_attack
from arml.curves import robust_error
from arml.estimator.scaling import fit_scaler

RNG = np.random.default_rng(7)
G = RNG.normal(size=(3, 3))
X = RNG.integers(0, 256, (60, 3)).astype(float)
X[0], X[1] = 0.0, 255.0  # every feature has the range 0 … 255
Y = np.where(X[:, 0] + 40 * RNG.normal(size=60) > 128, "far", "near")
Z, T = X[40:], Y[40:]
TRAIN, LABELS = X[:40], Y[:40]


@pytest.mark.parametrize("k", [1, 3, 4])
def test_without_scaling_the_methods_are_the_functions(k):
    bound = "plurality" if k == 4 else "theorem1"
    M = G.T @ G
    knn = MahalanobisKNN(k, M).fit(TRAIN, LABELS)
    given = (TRAIN, LABELS, Z, T, M)
    certified = arml.certified_radii(*given, n_neighbors=k, bound=bound)
    np.testing.assert_array_equal(knn.certify(Z, T, bound=bound), certified)
    found = knn.verify(Z, T, time_limit=60.0)
    expected = arml.exact_radii(*given) if k == 1 else arml.radius_intervals(*given, n_neighbors=k)
    for name in ("lower", "upper", "status"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    attacked = knn.attack(Z, T, programs=20)
    again = geometric_attack(*given, n_neighbors=k, programs=20)
    np.testing.assert_array_equal(attacked.norm, again.norm)
    np.testing.assert_array_equal(attacked.adversarial, again.adversarial)
    radii = [0.0, 5.0, 20.0, 60.0]
    np.testing.assert_array_equal(knn.robust_error(Z, T, radii, bound=bound), robust_error(certified, radii))
    np.testing.assert_array_equal(knn.robust_error(Z, T, radii, kind="exact"), robust_error(found.lower, radii))
    np.testing.assert_array_equal(
        knn.robust_error(Z, T, radii, kind="attacked", programs=20), robust_error(again.norm, radii)
    )


@pytest.mark.parametrize("algorithm", sorted(POINT_ATTACKS))
def test_every_attack_goes_by_its_name(algorithm):
    function = {
        "geometric": geometric_attack,
        "boundary": boundary_attack,
        "hopskipjump": hopskipjump_attack,
        "pointwise": pointwise_attack,
    }[algorithm]
    options = {"boundary": {"steps": 50}, "hopskipjump": {"steps": 1}}.get(algorithm, {})
    knn = MahalanobisKNN(3, scaling="image").fit(TRAIN, LABELS)
    found = knn.attack(Z[:6], T[:6], algorithm=algorithm, **options)
    expected = function(TRAIN / 255.0, LABELS, Z[:6] / 255.0, T[:6], n_neighbors=3, **options)
    np.testing.assert_allclose(found.norm, expected.norm, rtol=1e-9)
    some = np.isfinite(found.norm)
    assert some.any() and (knn.predict(found.adversarial[some]) != T[:6][some]).all()
    ways = np.linalg.norm(found.adversarial[some] - Z[:6][some], axis=1)
    raw = knn.attack(Z[:6], T[:6], algorithm=algorithm, units="raw", **options)
    np.testing.assert_allclose(raw.norm[some], ways, rtol=1e-12)
    np.testing.assert_allclose(raw.norm[some], 255.0 * found.norm[some], rtol=1e-9)


def first_crossing(point, label, train, labels, metric, direction):
    """How far to go in a direction until the nearest training point has another label: along a ray the difference of
    two squared distances is linear, so each rival's stretch of the ray is in closed form."""
    away = point - train
    constant = np.einsum("nd,de,ne->n", away, metric, away)
    slope = 2.0 * away @ metric @ direction
    own = labels == label
    gap = constant[~own][:, None] - constant[own]  # a rival is nearest where rate · t ≥ gap for all of the class
    rate = slope[own] - slope[~own][:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(rate > 0, gap / rate, 0.0).max(axis=1).clip(0.0)
        high = np.where(rate < 0, gap / rate, np.inf).min(axis=1)
    return low[low <= high].min(initial=np.inf)


def brute_force_radius(point, label, train, labels, metric):
    """The least of that over directions of the plane of raw features, ever denser around the best."""
    centre, width = 0.0, np.pi
    for _ in range(4):
        angles = centre + np.linspace(-width, width, 721)
        lengths = [
            first_crossing(point, label, train, labels, metric, np.array([np.cos(a), np.sin(a)])) for a in angles
        ]
        centre, width = angles[int(np.argmin(lengths))], width / 90
    return min(lengths)


@pytest.mark.parametrize("scaling", [None, "unit", "image", "minmax", MinMaxScaler((-1, 3)), MaxAbsScaler()])
def test_raw_radii_are_those_of_brute_force_on_raw_features(scaling):
    rng = np.random.default_rng(3)
    train = np.vstack([rng.uniform(0.0, 80.0, (14, 2)), [[0.0, 0.0], [80.0, 80.0]]])
    labels = (train[:, 1] > 40).astype(int)
    points = rng.uniform(0.0, 80.0, (6, 2))
    root = rng.normal(size=(2, 2))
    knn = MahalanobisKNN(1, root.T @ root, scaling).fit(train, labels)
    truth = knn.predict(points)
    expected = np.array([brute_force_radius(x, t, train, labels, root.T @ root) for x, t in zip(points, truth)])
    certified = knn.certify(points, truth, units="raw")
    exact = knn.verify(points, truth, units="raw")
    attacked = knn.attack(points, truth, units="raw")
    np.testing.assert_allclose(exact.lower, expected, rtol=1e-5)
    assert (exact.lower <= expected).all()
    assert (certified <= exact.upper).all() and (exact.lower <= attacked.norm).all()
    np.testing.assert_allclose(np.linalg.norm(exact.perturbation, axis=1), exact.upper, rtol=1e-9)
    factor = 1.0 if scaling is None else float(knn.scaler_.span[0])
    np.testing.assert_allclose(certified, factor * knn.certify(points, truth), rtol=1e-12, atol=1e-11)
    assert (certified <= factor * knn.certify(points, truth)).all()
    radii = np.quantile(exact.lower, [0.1, 0.5, 0.9])
    np.testing.assert_array_equal(
        knn.robust_error(points, truth, radii, kind="exact", units="raw"), robust_error(exact.lower, radii)
    )
    interval = clone(knn).set_params(n_neighbors=3).fit(train, labels)
    right = interval.predict(points)
    both = interval.verify(points, right, units="raw")
    np.testing.assert_allclose(both.upper, factor * interval.verify(points, right).upper, rtol=1e-9)
    assert (both.lower <= both.upper).all()
    assert (interval.predict(both.adversarial) != right).all()


def test_scaling_is_the_pipelines_and_the_preprocessings():
    uneven = TRAIN * [1.0, 0.1, 3.0] + [5.0, 0.0, -7.0]
    points = Z * [1.0, 0.1, 3.0] + [5.0, 0.0, -7.0]
    for scaler in (MinMaxScaler(), StandardScaler(), RobustScaler(), MaxAbsScaler()):
        within = MahalanobisKNN(3, scaling=scaler).fit(uneven, LABELS)
        before = Pipeline([("scale", clone(scaler)), ("knn", MahalanobisKNN(3))]).fit(uneven, LABELS)
        np.testing.assert_array_equal(within.predict(points), before.predict(points))
        np.testing.assert_array_equal(
            within.certify(points, T), before.named_steps["knn"].certify(before[:-1].transform(points), T)
        )
        fitted = clone(scaler).fit(uneven)
        again = MahalanobisKNN(3, scaling=fitted).fit(uneven[5:], LABELS[5:])
        np.testing.assert_array_equal(again.scaler_.transform(points), fitted.transform(points))
    low, high = uneven.min(axis=0), uneven.max(axis=0)
    for name, scaled in (
        ("minmax", (points - low) / (high - low)),
        ("unit", (points - uneven.min()) / (uneven.max() - uneven.min())),
        ("image", points / 255.0),
        ("none", points),
    ):
        scaler = fit_scaler(name, uneven)
        np.testing.assert_allclose(scaler.transform(points), scaled, rtol=1e-14)
        np.testing.assert_allclose(scaler.inverse(scaler.transform(points)), points, rtol=1e-12)


def test_raw_units_are_refused_with_the_ranges_named():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TRAIN * [1.0, 2.0, 1.0], columns=["height", "width", "depth"])
    knn = MahalanobisKNN(3, scaling="minmax").fit(frame, LABELS)
    calls = (knn.certify, knn.verify, knn.attack, lambda X, y, units: knn.robust_error(X, y, [0.0], units=units))
    for call in calls:
        with pytest.raises(ValueError, match=r"'height' by 255 and feature 'width' by 510.*use scaling='unit'"):
            call(frame, LABELS, units="raw")
    plain = MahalanobisKNN(3, scaling="minmax").fit(np.c_[TRAIN, np.ones(40)], LABELS)
    with pytest.raises(ValueError, match=r"a constant of 1 feature\(s\) \(feature 3\)"):
        plain.certify(np.c_[Z, np.ones(20)], T, units="raw")
    with pytest.raises(ValueError, match="units must be one of scaled, raw; got 'pixels'"):
        knn.certify(frame, LABELS, units="pixels")


def test_adversarial_points_hold_where_a_feature_is_dropped():
    train = np.c_[TRAIN, np.full(40, 9.0)]
    points = np.c_[Z, RNG.normal(size=20)]
    root = RNG.normal(size=(4, 4))
    knn = MahalanobisKNN(3, root.T @ root, "minmax").fit(train, LABELS)
    found = knn.attack(points, T, algorithm="boundary", steps=30)
    some = np.isfinite(found.norm)
    assert (knn.predict(found.adversarial[some]) != T[some]).all()
    assert (found.status[~some] == "unsolved").all() and np.isnan(found.adversarial[~some]).all()


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ("zscore", "scaling must be one of minmax, unit, standard, image, none; got 'zscore'"),
        (MinMaxScaler, "scaling must be None"),
        (3, "scaling must be None"),
        (MinMaxScaler(clip=True), "clip=False"),
        (MinMaxScaler().fit(np.eye(2)), "fitted on 2 features, X has 3"),
    ],
)
def test_bad_scalings_are_refused(scaling, message):
    with pytest.raises(ValueError, match=message):
        MahalanobisKNN(scaling=scaling).fit(TRAIN, LABELS)


def test_a_scaler_fitted_on_other_names_is_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TRAIN, columns=["a", "b", "c"])
    MahalanobisKNN(scaling=MinMaxScaler().fit(frame)).fit(frame, LABELS)
    with pytest.raises(ValueError, match="was fitted on the features"):
        MahalanobisKNN(scaling=MinMaxScaler().fit(frame)).fit(frame[["c", "b", "a"]], LABELS)


def test_an_unfitted_learner_is_fitted_on_the_scaled_training_set():
    learner = ARML(max_iter=5, learning_rate=0.05)
    knn = MahalanobisKNN(3, learner, "unit").fit(TRAIN, LABELS)
    assert not hasattr(learner, "components_") and knn.metric is learner
    alone = clone(learner).fit(TRAIN / 255.0, LABELS)
    np.testing.assert_array_equal(knn.metric_.components_, alone.components_)
    fixed = MahalanobisKNN(3, alone, "unit").fit(TRAIN[:30], LABELS[:30])
    assert fixed.metric_ is alone
    frozen = clone(MahalanobisKNN(3, FrozenEstimator(alone), "unit")).fit(TRAIN[:30], LABELS[:30])
    np.testing.assert_array_equal(frozen.certify(Z, T), fixed.certify(Z, T))
    assert not hasattr(clone(fixed).metric, "components_")
    assert isinstance(MahalanobisKNN(metric="euclidean").fit(TRAIN, LABELS).metric_, MahalanobisMetric)
    with pytest.raises(ValueError, match="class ARML: pass an instance"):
        MahalanobisKNN(metric=ARML).fit(TRAIN, LABELS)


def test_searches_and_pipelines():
    pipeline = Pipeline([("scale", MinMaxScaler()), ("knn", MahalanobisKNN(metric=ARML(max_iter=3)))])
    grid = {"knn__n_neighbors": [1, 3], "knn__metric__learning_rate": [0.1, 0.01]}
    search = GridSearchCV(pipeline, grid, cv=3, scoring="roc_auc").fit(X, Y)
    assert search.best_estimator_.named_steps["knn"].metric_.components_.shape == (3, 3)
    assert len(search.cv_results_["mean_test_score"]) == 4 and search.best_score_ > 0.7
    over = GridSearchCV(MahalanobisKNN(3), {"scaling": [None, "unit", StandardScaler()]}, cv=3).fit(X, Y)
    assert over.best_score_ > 0.6
    scores = cross_val_score(MahalanobisKNN(3, scaling="minmax"), X, Y, cv=3)
    assert scores.shape == (3,) and (scores > 0.5).all()
    assert MahalanobisKNN(scaling=MinMaxScaler()).set_params(scaling__feature_range=(0, 2)).scaling.feature_range == (
        0,
        2,
    )


def test_probabilities_are_shares_of_votes_and_agree_with_the_tie_rule():
    knn = MahalanobisKNN(4).fit([[0.0], [1.0], [2.0], [3.0], [9.0]], ["z", "z", "a", "a", "b"])
    shares = knn.predict_proba([[1.5], [9.0]])
    np.testing.assert_array_equal(shares, [[0.5, 0.0, 0.5], [0.5, 0.25, 0.25]])
    np.testing.assert_array_equal(knn.classes_[shares.argmax(axis=1)], knn.predict([[1.5], [9.0]]))


def test_the_training_set_is_a_copy():
    train = TRAIN.copy()
    knn = MahalanobisKNN(1, G.T @ G).fit(train, LABELS)
    before = knn.certify(Z, T)
    train[:] = 0.0
    np.testing.assert_array_equal(knn.certify(Z, T), before)
    found = knn.attack(Z, T, algorithm="boundary", steps=5, bounds=(0.0, 255.0))
    assert np.isfinite(found.norm).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda knn: knn.verify(Z, T, norm=1),
            TypeError,
            "has no option norm; it has: programs, nodes",
        ),
        (lambda knn: knn.attack(Z, T, step=1), TypeError, "attack by 'geometric' has no option step; it has: programs"),
        (
            lambda knn: knn.robust_error(Z, T, [0], nodes=1),
            TypeError,
            "no option nodes; it has: bound, norm",
        ),
        (lambda knn: knn.attack(Z, T, algorithm="x"), ValueError, "algorithm must be one of geometric, boundary"),
        (
            lambda knn: knn.robust_error(Z, T, [0], kind="x"),
            ValueError,
            "must be one of certified, exact, attacked",
        ),
        (lambda knn: knn.robust_error(Z, T, [-1.0]), ValueError, "radii must be finite and not negative"),
        (
            lambda knn: knn.certify(Z, T, bound="x"),
            ValueError,
            "must be one of theorem1, plurality, packing; got",
        ),
        (lambda knn: knn.certify(Z, ["else"] * 20), ValueError, "unseen in training"),
        (lambda knn: knn.certify(Z, np.zeros(20)), ValueError, "labels of the same kind"),
        (lambda knn: knn.certify(Z[:, :2], T), ValueError, "X has 2 features, but MahalanobisKNN is expecting 3"),
        (lambda knn: knn.certify(Z, T[:3]), ValueError, "y has 3 labels for 20 points"),
        (lambda knn: knn.set_params(n_neighbors=41).predict(Z), ValueError, "larger than the training set"),
        (lambda knn: knn.set_params(n_neighbors=2).certify(Z, T), ValueError, "odd K only"),
    ],
)
def test_mistakes_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call(MahalanobisKNN(3).fit(TRAIN, LABELS))


@pytest.mark.parametrize("name", ["predict", "kneighbors", "predict_proba"])
def test_nothing_is_said_before_fit(name):
    with pytest.raises(NotFittedError):
        getattr(MahalanobisKNN(), name)(Z)


@pytest.mark.parametrize("name", ["certify", "verify", "attack", "score"])
def test_nothing_is_said_of_robustness_before_fit(name):
    with pytest.raises(NotFittedError):
        getattr(MahalanobisKNN(), name)(Z, T)


def test_a_classifier_needs_no_torch():
    code = (
        "import sys, arml; knn = arml.MahalanobisKNN(scaling='unit').fit([[0.0], [2.0]], [0, 1]);"
        "knn.predict([[0.5]]); knn.certify([[0.5]], [0]); knn.verify([[0.5]], [0]); knn.attack([[0.5]], [0]);"
        "print([m for m in ('torch', 'polars', 'metric_learn', 'foolbox') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("units", ["scaled", "raw"])
def test_radii_of_any_number_of_neighbours_are_told_alike(units):
    rng = np.random.default_rng(4)
    X, y = 5.0 * rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    Z, T = X[:6] + 0.1, y[:6]
    one, three = (MahalanobisKNN(k, scaling="unit").fit(X, y).verify(Z, T, units=units) for k in (1, 3))
    assert type(one) is type(three)
    for found in (one, three):
        right = found.status != "misclassified"
        assert (
            right.any() and len(found.lower) == len(found.negative) == len(found.n_problems) == len(found.n_nodes) == 6
        )
        np.testing.assert_allclose(np.linalg.norm(found.perturbation, axis=1)[right], found.upper[right], rtol=1e-9)
        np.testing.assert_array_equal(found.perturbation[~right], 0.0)
    assert len(one.certificates) == 6 and not three.certificates
    assert np.isnan(one.adversarial).all() and np.isfinite(three.adversarial).all()
    if units == "raw":
        np.testing.assert_allclose(Z + three.perturbation, three.adversarial, atol=1e-9)
