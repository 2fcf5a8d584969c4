"""``python -m tests.benchmarks.gpu``: NCA and LMNN on all training points, on a GPU or a CPU, as a table.

Each fit is checked too: on a sample of points both engines must give the same metric, or the run fails.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
import torch

from arml.datasets import load
from arml.learners import make_learner
from arml.learners.subsets import stratified_subset
from arml.report.markup import markdown_table
from arml.system.files import write_text

_ROOT = Path(__file__).resolve().parents[2]
_MIRROR = os.environ.get("ARML_MIRROR", str(_ROOT.parent / "shared" / "data"))
_CHECKED = 400  # points on which the engines are compared
_CHECK_ITERATIONS = 12
_HEADER = ["data set", "points", "features", "method", "iterations", "converged", "seconds", "difference"]


def timed_fit(name: str, method: str, size: int | None, max_iter: int | None, device: str, mirror: str) -> list[str]:
    """A row of the table: one fit, and how far the two engines are apart on a sample."""
    data = load(name, source="mirror", mirror=mirror)
    X, y = data.X_train, np.unique(data.y_train, return_inverse=True)[1]
    rows = stratified_subset(y, min(_CHECKED, len(y)), 0)
    few = [
        make_learner(method, max_iter=_CHECK_ITERATIONS, **options).fit(X[rows], y[rows]).get_mahalanobis_matrix()
        for options in ({"device": device}, {"engine": "metric-learn"})
    ]
    difference = float(np.abs(few[0] - few[1]).max())
    if difference > 1e-6:
        raise SystemExit(f"{method} on {name}: {device} and metric-learn differ by {difference:.1e} on a sample")
    if size is not None:
        rows = stratified_subset(y, min(size, len(y)), 0)
        X, y = X[rows], y[rows]
    learner = make_learner(method, device=device, **({} if max_iter is None else {"max_iter": max_iter})).fit(X, y)
    converged = "yes" if learner.converged_ else "no"
    counts = [str(len(X)), str(X.shape[1]), method.upper(), str(learner.n_iter_), converged]
    return [name, *counts, f"{learner.seconds_:.1f}", f"{difference:.0e}"]


def page(rows: list[list[str]], device: str) -> str:
    """The table as Markdown, with what it was made on."""
    card = torch.cuda.get_device_name(device) if device.startswith("cuda") else "the CPU, one thread"
    lines = [
        "# NCA and LMNN on all points",
        "",
        f"Made by `python -m tests.benchmarks.gpu --device {device}` on {card}, torch {torch.__version__}, float64.",
        "Seconds are of the wall, from the first look at the data to the metric. *difference*: the largest between the",
        f"entries of M, by this device and by metric-learn, after {_CHECK_ITERATIONS} iterations on {_CHECKED} points.",
        "",
        *markdown_table(_HEADER, rows),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="a torch device")
    parser.add_argument("--data", nargs="+", default=["usps", "mnist"], help="data sets of the mirror")
    parser.add_argument("--methods", nargs="+", default=["nca", "lmnn"], choices=["nca", "lmnn"])
    parser.add_argument("--sizes", type=int, nargs="+", help="training points of each data set; all, where left out")
    parser.add_argument("--max-iter", type=int, help="of every fit; the learners' own, where left out")
    parser.add_argument("--mirror", default=_MIRROR, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=_ROOT / "reports" / "benchmarks" / "gpu.md", help="the page")
    options = parser.parse_args(arguments)
    sizes = options.sizes or [None] * len(options.data)
    if len(sizes) != len(options.data):
        parser.error(f"--sizes: {len(options.data)} numbers expected, one a data set, got {len(sizes)}")
    rows: list[list[str]] = []
    for name, size in zip(options.data, sizes, strict=True):
        for method in options.methods:
            rows.append(timed_fit(name, method, size, options.max_iter, options.device, options.mirror))
            print("[bench]", *rows[-1], flush=True)
            write_text(options.out, page(rows, options.device))  # what is done is kept
    return 0


if __name__ == "__main__":
    sys.exit(main())
