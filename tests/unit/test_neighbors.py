"""The classifier and its tie rule."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import check_estimator

from arml import MahalanobisKNN
from arml.knn.neighbors import vote
from tests import oracles


@pytest.mark.parametrize("n_neighbors", [1, 2, 3, 4, 11])
def test_agrees_with_scikit_learn_where_nothing_ties(n_neighbors):
    rng = np.random.default_rng(n_neighbors)
    X, y, Z = rng.random((300, 5)), rng.integers(0, 4, 300), rng.random((200, 5))
    G = rng.normal(size=(5, 5))
    ours = MahalanobisKNN(n_neighbors, G.T @ G).fit(X, y)
    theirs = KNeighborsClassifier(n_neighbors, algorithm="brute").fit(X @ G.T, y)
    np.testing.assert_array_equal(ours.predict(Z), theirs.predict(Z @ G.T))
    distances, indices = ours.kneighbors(Z)
    expected, where = theirs.kneighbors(Z @ G.T)
    np.testing.assert_array_equal(indices, where)
    np.testing.assert_allclose(distances, expected**2, rtol=1e-9, atol=1e-11)


def test_distance_ties_go_to_the_smaller_training_index():
    X = [[1.0], [-1.0], [3.0]]
    assert MahalanobisKNN(1).fit(X, [1, 0, 0]).predict([[0.0]]) == [1]
    assert MahalanobisKNN(1).fit(X, [0, 1, 0]).predict([[0.0]]) == [0]


def test_ties_survive_rounding_of_thirds():
    """On a lattice of thirds equal distances differ in their last bits; they still count as ties."""
    rng = np.random.default_rng(3)
    lattice = rng.integers(0, 4, (60, 12)) / 3.0
    y = rng.integers(0, 3, 60)
    knn = MahalanobisKNN(5).fit(lattice, y)
    queries = rng.integers(0, 4, (80, 12)) / 3.0
    expected = [oracles.predict_one(lattice, y, q, np.eye(12), 5) for q in queries]
    np.testing.assert_array_equal(knn.predict(queries), expected)


def test_vote_ties_go_to_the_smallest_label():
    np.testing.assert_array_equal(vote(np.array([[2, 1, 2, 1], [0, 2, 2, 1]]), 3), [1, 2])
    knn = MahalanobisKNN(2).fit([[0.0], [0.3], [5.0]], ["z", "a", "a"])
    assert knn.predict([[0.1]]) == ["a"]


def test_a_prediction_does_not_depend_on_its_batch():
    rng = np.random.default_rng(5)
    X, y = rng.random((500, 7)), rng.integers(0, 3, 500)
    G = rng.normal(size=(7, 7))
    knn = MahalanobisKNN(4, G.T @ G).fit(X, y)
    Z = rng.random((64, 7))
    together, _ = knn.kneighbors(Z)
    alone = np.vstack([knn.kneighbors(Z[t : t + 1])[0] for t in range(64)])
    np.testing.assert_array_equal(together, alone)


def test_scikit_learn_contract():
    check_estimator(MahalanobisKNN(n_neighbors=1))


def test_grid_search_chooses_k():
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(0, 1, (40, 2)), rng.normal(1.5, 1, (40, 2))])
    search = GridSearchCV(MahalanobisKNN(), {"n_neighbors": [1, 3, 9]}, cv=4).fit(X, [0] * 40 + [1] * 40)
    assert search.best_params_["n_neighbors"] in (1, 3, 9)
    assert search.best_score_ > 0.7


@pytest.mark.parametrize(
    ("X", "y", "options", "message"),
    [
        ([[0.0], [np.nan]], [0, 1], {}, "NaN"),
        ([[0.0], [np.inf]], [0, 1], {}, "infinity"),
        ([[0.0], [1.0]], [0, 0], {}, "at least two classes"),
        ([[0.0], [1.0]], [0, 1], {"n_neighbors": 3}, "larger than the training set"),
        ([[0.0], [1.0]], [0, 1], {"n_neighbors": 0}, "at least 1"),
        ([[0.0], [1.0]], [0, 1], {"metric": np.eye(2)}, "2 features"),
        ([[0.0, 1.0], [1.0, 1.0]], [0, 1], {"metric": -np.eye(2)}, "positive semi-definite"),
    ],
)
def test_bad_input_is_refused_at_fit(X, y, options, message):
    with pytest.raises(ValueError, match=message):
        MahalanobisKNN(**options).fit(X, y)


def test_wrong_width_is_refused_at_predict():
    with pytest.raises(ValueError, match="2 features"):
        MahalanobisKNN().fit([[0.0], [1.0]], [0, 1]).predict([[0.0, 1.0]])
