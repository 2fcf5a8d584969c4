"""Every baseline on every data set of the paper: a metric, and a record that says how it came about."""

import numpy as np
import pytest

from arml.learners import make_learner
from tests.golden.mirror import load_sample, needs_mirror, one_worker

pytestmark = needs_mirror

# few points and steps: what is tested is that they run and say what they did
QUICK = {
    "nca": {"max_iter": 4},
    "lmnn": {"max_iter": 8, "min_iter": 4},
    "itml": {"max_iter": 3, "n_constraints": 60},
    "lfda": {},
}
SIZE = 300


@pytest.mark.parametrize("name", one_worker("pendigits", "satimage", "splice", "usps", "mnist", "fashion-mnist"))
@pytest.mark.parametrize("method", sorted(QUICK))
def test_baseline_gives_a_metric_and_says_how(name, method):
    data, _, _ = load_sample(name)
    learner = make_learner(method, max_train=SIZE, max_minutes=1e-9, **QUICK[method])
    learner.fit(data.X_train, data.y_train)
    summary, M = learner.fit_summary_, learner.get_mahalanobis_matrix()
    assert np.isfinite(M).all() and np.linalg.eigvalsh(M)[0] > -1e-9
    assert summary["n_fit_samples"] == SIZE and summary["n_train"] == len(data.X_train)
    assert any(f"on all {len(data.X_train)} points would need about" in note for note in summary["notes"])
    if method == "lfda":
        assert summary["converged"] is None
    elif method == "nca":
        assert summary["converged"] is False and any("optimizer stopped" in note for note in summary["notes"])
    elif method == "lmnn":
        assert summary["converged"] == (not any("still moves" in note for note in summary["notes"]))
    else:
        assert summary["converged"] == (summary["n_iter"] < 3)
    if method == "lfda":  # no more directions than the subset has, constant columns left out
        seen = np.count_nonzero(np.ptp(data.X_train, axis=0))
        assert 2 <= summary["rank"] < min(SIZE, seen + 1)
        assert all(not M[column].any() for column in summary["dropped_features"])
