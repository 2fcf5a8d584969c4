"""A made-up study with the shape of a real one: its curves look like robust errors, its bounds agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from arml.report.published import paper_value
from arml.report.study import Study, build_study
from arml.results import METHOD_ORDER, attacked_table, certified_table, exact_table, timings_table

RADII = {
    "pendigits": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "splice-keel": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "satimage": (0.0, 0.15, 0.3, 0.45, 0.6, 0.75),
}
N_POINTS = {"pendigits": 1200, "splice-keel": 635, "satimage": 900}
MEDIAN = {"euclidean": 0.26, "nca": 0.2, "lmnn": 0.16, "itml": 0.24, "lfda": 0.1, "arml": 0.29}
CLEAN = {"euclidean": 0.033, "nca": 0.026, "lmnn": 0.03, "itml": 0.034, "lfda": 0.05, "arml": 0.027}


def tables(datasets: tuple[str, ...] = tuple(RADII), sample: int = 150) -> list[pa.Table]:
    """Exact, certified (K = 1, 11), attacked (K = 1, 11) and tightened (K = 11) rows of every method."""
    made = []
    for d, dataset in enumerate(datasets):
        for m, method in enumerate(METHOD_ORDER):
            rng = np.random.default_rng([d, m])
            n, scale = N_POINTS[dataset], RADII[dataset][-1] / 0.5
            label = rng.integers(0, 3, n)
            prediction = np.where(rng.random(n) < CLEAN[method], (label + 1) % 3, label)
            right = prediction == label
            radius = np.where(right, scale * MEDIAN[method] * rng.gamma(6.0, 1 / 6.0, n), 0.0)
            tie = right & (np.arange(n) < 4) & (dataset == "splice-keel")
            radius[tie] = 0.0
            same: dict[str, Any] = {"dataset": dataset, "method": method}
            status = np.where(right, "exact", "misclassified")
            made.append(
                exact_table(**same, label=label, prediction=prediction, lower=radius, upper=radius, status=status)
            )
            picked = np.sort(rng.permutation(n)[:sample])
            some = picked[: sample // 2]
            closed = rng.random(some.size) < 0.4
            made.append(
                exact_table(
                    **same,
                    n_neighbors=11,
                    algorithm="branching",
                    index=some,
                    label=label[some],
                    prediction=prediction[some],
                    lower=radius[some] * np.where(closed, 1.0, 0.93),
                    upper=radius[some] * np.where(closed, 1.0, 1.02),
                    status=np.where(
                        right[some],
                        np.where(radius[some] > 0, np.where(closed, "exact", "bounded"), "unsolved"),
                        "misclassified",
                    ),
                )
            )
            for k, tight in ((1, 0.95), (11, 0.8)):
                certificate = np.where(rng.random(n) < 0.01, 0.0, radius * tight)
                made.append(
                    certified_table(**same, n_neighbors=k, label=label, prediction=prediction, radius=certificate)
                )
                norm = radius[picked] * (1.05 + 0.4 * rng.random(sample))
                norm[right[picked] & (rng.random(sample) < 0.02)] = np.inf
                found = np.where(np.isinf(norm), "unsolved", "bounded")
                made.append(
                    attacked_table(
                        **same,
                        n_neighbors=k,
                        index=picked,
                        label=label[picked],
                        prediction=prediction[picked],
                        norm=norm,
                        status=np.where(right[picked], found, "misclassified"),
                    )
                )
    return made


def network_tables(dataset: str = "pendigits", sample: int = 100, inside: int = 0) -> list[pa.Table]:
    """Certified and attacked rows of a network under CROWN and of a smoothed one, `inside` hit within their radii."""
    made = []
    rng = np.random.default_rng(9)
    n = N_POINTS[dataset]
    for name, algorithm in (("crown", "crown"), ("smoothing-0.2", "smoothing")):
        label = rng.integers(0, 3, n)
        prediction = np.where(rng.random(n) < 0.02, (label + 1) % 3, label)
        right = prediction == label
        radius = np.where(right, 0.2 * rng.gamma(6.0, 1 / 6.0, n), 0.0)
        if algorithm == "smoothing":
            radius[rng.random(n) < 0.05] = 0.0  # abstains
        norm = np.where(radius > 0, 1.5 * radius, 0.3)[:sample]
        norm[:inside] = 0.5 * radius[:inside]
        same: dict[str, Any] = {"dataset": dataset, "method": name, "n_neighbors": 0}
        made.append(certified_table(**same, label=label, prediction=prediction, radius=radius, algorithm=algorithm))
        status = np.where(right, "bounded", "misclassified")[:sample]
        made.append(
            attacked_table(
                **same,
                index=np.arange(sample),
                label=label[:sample],
                prediction=prediction[:sample],
                norm=norm,
                status=status,
                algorithm="ddn",
            )
        )
    return made


def network_facts(dataset: str = "pendigits") -> dict[str, Any]:
    """What the files of these networks say of themselves."""
    fit = {"architecture": "mlp", "layers": [[8, 16], [10, 8]], "n_parameters": 226, "n_iter": 60}
    return {dataset: {"crown": {"fit": {**fit, "noise": 0.0}}, "smoothing-0.2": {"fit": {**fit, "noise": 0.2}}}}


def timings() -> pa.Table:
    """Two parts of verification and one fit."""
    base = {"dataset": "pendigits", "method": "arml", "n_neighbors": 0, "start": 0, "peak_memory_mib": 310.4}
    fit = {**base, "stage": "train", "n_points": 7494, "seconds": 20.25, "cpu_seconds": 39.5}
    part = {**base, "stage": "verify", "n_neighbors": 1, "n_points": 600, "seconds": 1.5, "cpu_seconds": 1.25}
    return timings_table([{**part, "start": 600, "peak_memory_mib": 200.0}, part, fit])


def study(
    datasets: tuple[str, ...] = tuple(RADII), sample: int = 150, networks: bool = False, inside: int = 0
) -> Study:
    """The tables as a study, with fits worth a note."""
    subset = {"method": "nca", "n_fit_samples": 1500, "n_train": 7494, "n_iter": 30, "converged": False}
    whole = {"method": "arml", "n_fit_samples": 7494, "n_train": 7494, "n_iter": 1000, "converged": None}
    noted = {**whole, "dropped_features": [3], "notes": ["local scaling as the package does it"]}
    return build_study(
        [*tables(datasets, sample), *(network_tables(inside=inside) if networks else [])],
        radii=RADII,
        fits={name: {"nca": subset, "arml": whole, "lfda": noted} for name in datasets},
        datasets={name: {"source": "package", "fingerprint": "ab" * 32, "n_train": 7494} for name in datasets},
        params={
            "attack": {"steps": 800, "sample": sample},
            "networks": {"certify": {"alpha": 0.001}, "attack": {"bounds": [0, 1]}},
            "seed": 42,
        },
        network_facts=network_facts() if networks else {},
    )


def papers_errors(shift: int = 0, n: int = 1000, method: str = "euclidean", **more: object) -> Study:
    """A study whose exact errors on pendigits are the paper's, of `n` points, `shift` of them more at radius 0.3."""
    values = np.full(n, 9.0)
    for r in reversed(RADII["pendigits"]):
        found = paper_value("pendigits", method, "exact", 1, r)
        assert found is not None
        values[: round(found.error * n) + (shift if r == 0.3 else 0)] = r
    wrong = values == 0
    table = exact_table(
        dataset="pendigits", method=method, label=np.zeros(n, dtype=int), prediction=wrong.astype(int), lower=values,
        upper=values, status=np.where(wrong, "misclassified", "exact"),
    )  # fmt: skip
    weak = certified_table(
        dataset="pendigits", method=method, n_neighbors=1, label=np.zeros(n, dtype=int), prediction=wrong.astype(int),
        radius=values,
    )  # fmt: skip
    return build_study([table, weak], radii=RADII, **more)  # type: ignore[arg-type]
