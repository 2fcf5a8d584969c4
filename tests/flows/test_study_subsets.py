"""The subsets that the studies' baselines are fitted on, by params.yaml and the library's limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from arml.learners import make_learner
from arml.learners.guards import Estimate, Limits


def test_the_study_fits_the_subsets_that_its_reports_name() -> None:
    """Which points a baseline is fitted on may not move when an estimate is calibrated again."""
    params = yaml.safe_load((Path(__file__).resolve().parents[2] / "params.yaml").read_text())["train"]
    shapes = {"pendigits": (7494, 16, 10), "satimage": (4435, 36, 6), "splice-keel": (1000, 60, 2)}
    sizes = {}
    for method in ("nca", "lmnn", "itml", "lfda"):
        learner = make_learner(method, **params[method])
        limits = Limits(learner.max_train, learner.max_memory, learner.max_minutes)  # type: ignore[attr-defined]
        for name, (n, width, classes) in shapes.items():

            def estimate(codes: np.ndarray, learner: Any = learner, width: int = width) -> Estimate:
                return learner._estimate(codes.size, width, np.bincount(codes))

            rows, said, _ = limits.choose(method, np.arange(n) % classes, estimate, 42)
            assert not any("still" in note or "even so" in note for note in said)
            sizes[method, name] = n if rows is None else rows.size
    assert {name: sizes["nca", name] for name in shapes} == {"pendigits": 1500, "satimage": 4435, "splice-keel": 1000}
    assert {name: sizes["lmnn", name] for name in shapes} == {"pendigits": 700, "satimage": 700, "splice-keel": 1000}
    assert all(sizes[method, name] == shapes[name][0] for method in ("itml", "lfda") for name in shapes)
