"""scikit-learn's own checks of every estimator, with the exceptions and their reasons."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from arml import ARML, ITML, LFDA, LMNN, NCA, Euclidean, MahalanobisKNN, RobustPrototypes
from arml.networks import NetworkClassifier

_SCORES = (
    "decision_function gives the score of every class, also of two: certificates and attacks of networks need both, "
    "where scikit-learn wants the difference"
)

EXPECTED = {
    "LFDA": {
        # a LearningError, not a ValueError: the data are in order, the method has nothing to do with one feature
        "check_fit2d_1feature": "metric-learn's LFDA scales locally by the D − 1 nearest, and one feature has none",
    },
    "NetworkClassifier": {"check_classifiers_classes": _SCORES, "check_classifiers_train": _SCORES},
}


def expected(estimator):
    return EXPECTED.get(type(estimator).__name__, {})


@parametrize_with_checks(
    [
        MahalanobisKNN(),
        MahalanobisKNN(n_neighbors=3, scaling="minmax"),
        MahalanobisKNN(metric=ARML(max_iter=3), scaling="unit"),
        Euclidean(),
        NCA(max_iter=20),
        LMNN(max_iter=60),
        ITML(n_constraints=40, max_iter=50),
        LFDA(),
        ARML(max_iter=10),
        RobustPrototypes(n_prototypes=5, max_iter=100),
        NetworkClassifier(hidden=(16,), epochs=30, learning_rate=0.02),
    ],
    expected_failed_checks=expected,
)
def test_scikit_learn_contract(estimator, check):
    check(estimator)
