"""The published numbers (`paper_tables.csv`) and how to find the one beside a measured one."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources
from typing import NamedTuple

DATASET_ORDER = ("mnist", "fashion-mnist", "splice", "pendigits", "satimage", "usps")
# Same data and radii as a data set of the paper, but another split: its values stand beside, with a mark.
OTHER_SPLIT_OF = {"splice-keel": "splice"}
# Whose test rows come in another order than the authors had them, so that the same shuffle takes other points.
OTHER_ORDER = ("splice",)
# Protocol of the published tables.
N_NEIGHBORS = 11
N_POINTS = 1000
ATTACK_STEPS = 25_000

# §4.4: seconds of 100 iterations on usps, mean of 5 trials, on the paper's CPU (Xeon E5-2620 v4) and GPU (Titan Xp).
RUNTIMES = {("usps", "lmnn"): 66.4, ("usps", "itml"): 95.2, ("usps", "nca"): 480.9, ("usps", "arml"): 146.1}
RUNTIMES_GPU = {("usps", "arml"): 10.6}

# The algorithm behind the paper's values of each kind, and what the paper's file calls the kind.
ALGORITHMS = {"exact": "qp", "certified": "theorem1", "attacked": "boundary"}
_PUBLISHED_KINDS = {"exact": "exact", "certified": "certified", "attacked": "empirical"}


class PaperValue(NamedTuple):
    """A published error, and whether it was measured on the same split as the data set asked for."""

    error: float
    same_split: bool


def dataset_rank(name: str) -> tuple[int, str]:
    """Sort key: the paper's order of data sets (another split beside its twin), then any other by name."""
    twin = OTHER_SPLIT_OF.get(name, name)
    return (DATASET_ORDER.index(twin) if twin in DATASET_ORDER else len(DATASET_ORDER)), name


def paper_value(dataset: str, method: str, kind: str, n_neighbors: int, radius: float) -> PaperValue | None:
    """Return the published error for this cell, by ``ALGORITHMS[kind]``, or None where the paper has none."""
    twin = OTHER_SPLIT_OF.get(dataset, dataset)
    error = _published().get((twin, n_neighbors, method, _PUBLISHED_KINDS[kind], round(radius, 9)))
    return None if error is None else PaperValue(error, twin == dataset)


@cache
def _published() -> dict[tuple[str, int, str, str, float], float]:
    text = resources.files("arml.report").joinpath("paper_tables.csv").read_text(encoding="utf-8")
    return {
        (row["dataset"], int(row["k"]), row["method"], row["kind"], round(float(row["radius"]), 9)): float(row["error"])
        for row in csv.DictReader(text.splitlines())
    }
