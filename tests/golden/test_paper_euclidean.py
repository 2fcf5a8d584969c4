"""The Euclidean rows of Tables 1 and 2, which the protocol makes deterministic: equal to the last digit."""

import numpy as np
import pytest

from arml import MahalanobisKNN
from arml.certify import certified_radii
from arml.verify import exact_radii
from tests.golden.mirror import exact_sample, load_sample, needs_mirror, one_worker, paper_row, radii

pytestmark = needs_mirror


@pytest.mark.parametrize("name", one_worker("pendigits", "satimage", "usps", "mnist", "fashion-mnist"))
def test_exact_and_certified_rows(name):
    """About a minute of one core for each image set."""
    data, X, y = load_sample(name)
    assert len(y) == 1000
    exact = exact_sample(name)
    assert set(exact.status) <= {"exact", "misclassified"}
    certified = certified_radii(data.X_train, data.y_train, X, y, n_neighbors=11)
    for values, kind in ((exact.lower, "exact"), (exact.upper, "exact"), (certified, "certified")):
        measured = [round(float((values <= r).mean()), 3) for r in radii(name)]
        assert measured == paper_row(name, kind)


@pytest.mark.parametrize("name", one_worker("pendigits", "satimage", "usps", "mnist", "fashion-mnist"))
def test_clean_errors(name):
    """The table's K-NN columns start with them: 1-NN's exact one, 11-NN's empirical one."""
    data, X, y = load_sample(name)
    for K, kind in ((1, "exact"), (11, "empirical")):
        error = (MahalanobisKNN(K).fit(data.X_train, data.y_train).predict(X) != y).mean()
        assert round(float(error), 3) == paper_row(name, kind)[0]


@pytest.mark.xdist_group("golden splice")
def test_splice_on_the_whole_test_set_with_ties_as_errors():
    """Splice's test rows come in another order than the authors', and it is a lattice full of ties."""
    data, _, _ = load_sample("splice")
    exact = exact_radii(data.X_train, data.y_train, data.X_test, data.y_test)
    measured = [float((exact.lower <= r).mean()) for r in radii("splice")]
    np.testing.assert_allclose(measured, [0.315, 0.488, 0.668, 0.785, 0.844, 0.869], atol=0.00101)
