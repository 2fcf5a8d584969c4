"""The baselines in blocks beside metric-learn's own code, on up to 1000 points of every data set of the paper.

Rounding is all that differs, and L-BFGS makes much of it where it goes on for long: the library's metric moves by
2e-5 on 1000 points of satimage when their mean is subtracted, and by 1e-3 after 30 iterations on 1000 points of
fashion-mnist when their order is changed. Sizes and iterations here are such that it agrees with itself.
"""

import os

import numpy as np
import pytest

from arml.learners import make_learner
from arml.learners.subsets import stratified_subset
from arml.verify import exact_radii
from tests.golden.mirror import load_sample, needs_mirror, paper_row, radii

pytestmark = needs_mirror


def cases(*rows):
    return [pytest.param(*row, marks=pytest.mark.xdist_group(f"golden {row[0]}")) for row in rows]


def both(method, name, size, **params):
    """Fits of the two engines on the same stratified subset."""
    data, _, _ = load_sample(name)
    codes = np.unique(data.y_train, return_inverse=True)[1]
    rows = stratified_subset(codes, size, 0)
    fits = [
        make_learner(method, engine=engine, **params).fit(data.X_train[rows], codes[rows])
        for engine in ("blocked", "metric-learn")
    ]
    difference = np.abs(fits[0].get_mahalanobis_matrix() - fits[1].get_mahalanobis_matrix()).max()
    return (*fits, difference)


@pytest.mark.parametrize(
    ("name", "size", "max_iter"),
    cases(
        ("pendigits", 1000, 100),
        ("satimage", 800, 100),
        ("splice", 800, 100),
        ("usps", 1000, 100),
        ("mnist", 1000, 20),
        ("fashion-mnist", 1000, 15),
    ),
)
def test_nca_is_metric_learns(name, size, max_iter):
    ours, library, difference = both("nca", name, size, max_iter=max_iter)
    assert difference < 1e-6
    assert (ours.n_iter_, ours.converged_) == (library.n_iter_, library.converged_)


@pytest.mark.parametrize(
    ("name", "max_iter"),
    cases(("pendigits", 101), ("satimage", 101), ("splice", 101), ("usps", 101), ("mnist", 31), ("fashion-mnist", 31)),
)
def test_lmnn_is_metric_learns(name, max_iter):
    ours, library, difference = both("lmnn", name, 1000, max_iter=max_iter)
    assert difference < 1e-6
    assert (ours.n_iter_, ours.converged_) == (library.n_iter_, library.converged_)
    np.testing.assert_allclose(ours.history_, library.history_, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(("pendigits",), ("satimage",)))
def test_lmnn_on_all_points_gives_the_papers_row(name):
    """About a minute of one core each."""
    data, X, y = load_sample(name)
    learner = make_learner("lmnn").fit(data.X_train, data.y_train)
    assert learner.n_fit_samples_ == len(data.X_train)
    exact = exact_radii(data.X_train, data.y_train, X, y, learner)
    assert set(exact.status) <= {"exact", "misclassified"}
    measured = [round(float((exact.lower <= r).mean()), 3) for r in radii(name)]
    assert measured == paper_row(name, "exact", "lmnn")


@pytest.mark.xdist_group("golden usps")
def test_the_benchmark_of_devices_writes_its_table(tmp_path):
    from tests.benchmarks.gpu import main

    sizes = ["--sizes", "200", "500", "--max-iter", "5"]
    assert main(["--device", "cpu", "--data", "pendigits", "usps", "--out", str(tmp_path / "gpu.md"), *sizes]) == 0
    lines = (tmp_path / "gpu.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][1:]
    rows = [row for row in rows if row[0] in ("pendigits", "usps")]
    assert [row[:5] for row in rows] == [
        ["pendigits", "200", "16", "NCA", "5"],
        ["pendigits", "200", "16", "LMNN", "4"],
        ["usps", "500", "256", "NCA", "5"],
        ["usps", "500", "256", "LMNN", "4"],
    ]
    assert all(float(row[6]) >= 0 and float(row[7]) < 1e-6 for row in rows)
    with pytest.raises(SystemExit):
        main(["--data", "usps", "--sizes", "1", "2"])


@pytest.mark.xdist_group("golden usps")
def test_the_benchmark_of_attacks_and_certificates_writes_its_table(tmp_path):
    from tests.benchmarks.devices import main

    effort = [
        "--data",
        "usps",
        "--size",
        "300",
        "--points",
        "1",
        "--attack-steps",
        "30",
        "--samples",
        "300",
        "--budget",
        "20",
        "--radii",
        "4",
    ]
    assert main(["--device", "cpu:0", "--out", str(tmp_path / "devices.md"), *effort]) == 0
    lines = (tmp_path / "devices.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")]
    rows = [row for row in rows[1:] if not row[0].startswith("-")]
    processes = f"{len(os.sched_getaffinity(0))} processes"
    assert [row[:4] for row in rows] == [
        ["exact 1-NN", "300", "4", processes],
        ["Theorem 1, K = 11", "300", "4", processes],
        ["Boundary Attack, K = 11", "300", "1", "30 steps"],
        ["smoothing, cnn", "", "1", "n = 300"],
        ["CROWN, cnn", "", rows[-1][2], "tolerance 0.005"],
    ]
    assert all(float(row[4]) >= 0 for row in rows)
