"""The subsets that the studies' baselines are fitted on, by params.yaml and the library's limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from arml.learners import make_learner
from arml.learners.guards import Estimate, Limits


def test_the_default_study_fits_every_learner_on_all_points() -> None:
    """Which points a baseline is fitted on may not move when an estimate is calibrated again."""
    params = yaml.safe_load((Path(__file__).resolve().parents[2] / "params.yaml").read_text())["train"]
    shapes = {
        "pendigits": (7494, 16, 10),
        "satimage": (4435, 36, 6),
        "splice-keel": (1000, 60, 2),
        "optdigits": (3823, 64, 10),
    }
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
    methods = ("nca", "lmnn", "itml", "lfda")
    assert sizes == {(method, name): n for method in methods for name, (n, _, _) in shapes.items()}
