"""Where the golden tests find the mirror of the paper's data sets, and the published rows."""

import csv
import functools
import os
from pathlib import Path

import pytest

from arml.datasets import load, paper_sample
from arml.verify import exact_radii

ROOT = Path(__file__).resolve().parents[2]
MIRROR = Path(os.environ.get("ARML_MIRROR", ROOT.parent / "shared" / "data"))
needs_mirror = pytest.mark.skipif(not MIRROR.is_dir(), reason="needs the mirror: set ARML_MIRROR")


def one_worker(*names):
    """Names of data sets as parameters; all tests of a data set share a worker, which loads it once."""
    slow = {"mnist": [pytest.mark.slow], "fashion-mnist": [pytest.mark.slow]}
    return [
        pytest.param(name, marks=[pytest.mark.xdist_group(f"golden {name}"), *slow.get(name, [])]) for name in names
    ]


@functools.cache
def load_sample(name):
    """The data set from the mirror and the paper's 1000 test points."""
    data = load(name, source="mirror", mirror=str(MIRROR))
    return (data, *paper_sample(data))


@functools.cache
def exact_sample(name):
    """Euclidean exact radii of the paper's 1000 test points."""
    data, X, y = load_sample(name)
    return exact_radii(data.X_train, data.y_train, X, y)


@functools.cache
def _published():
    with open(ROOT / "arml" / "report" / "paper_tables.csv", newline="") as stream:
        return list(csv.DictReader(stream))


def paper_row(name, kind, method="euclidean"):
    rows = [r for r in _published() if (r["dataset"], r["kind"], r["method"]) == (name, kind, method)]
    return [float(r["error"]) for r in sorted(rows, key=lambda r: float(r["radius"]))]


def radii(name):
    return sorted({float(r["radius"]) for r in _published() if r["dataset"] == name})
