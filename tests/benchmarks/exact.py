"""``make bench-exact``: exact 3-NN radii of two classes, by the geometric attack and branch and bound run to the end.

Everything in one process; CPU seconds. Writes reports/benchmarks/exact.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets import load, paper_sample
from arml.intervals import IntervalResult, interval_points
from arml.knn.reference import reference_set
from arml.learners import make_learner
from arml.report.markup import markdown_table
from arml.system.files import write_text

_ROOT = Path(__file__).resolve().parents[2]
_MIRROR = os.environ.get("ARML_MIRROR", str(_ROOT.parent / "shared" / "data"))
_K = 3
_PAIRS: dict[str, tuple[int, int] | None] = {"splice": None, "pendigits": (3, 8), "satimage": (1, 3), "usps": (3, 8)}


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.exact", description=__doc__)
    parser.add_argument("--points", type=int, default=200, help="test points of each data set")
    parser.add_argument("--nodes", type=int, default=50_000, help="of branch and bound, a point")
    parser.add_argument("--output", type=Path, default=_ROOT / "reports" / "benchmarks", help="folder of the results")
    options = parser.parse_args()
    rows, rest = [], []
    for name, classes in _PAIRS.items():
        data = load(name, source="mirror", mirror=_MIRROR)
        train, test = (data.X_train, data.y_train), paper_sample(data, len(data.X_test))
        if classes is not None:
            train, test = _of(classes, *train), _of(classes, *test)
        X, y = (part[: options.points] for part in test)
        for method in ("euclidean", "arml"):
            metric = make_learner(method, random_state=42).fit(*train)
            reference = reference_set(*train, metric)
            found, seconds = [], []
            for row in range(len(X)):
                begun = time.process_time()
                one = slice(row, row + 1)
                found.append(interval_points(reference, X[one], y[one], _K, nodes=options.nodes))
                seconds.append(time.process_time() - begun)
            where = [name, method, "" if classes is None else " and ".join(map(str, classes))]
            rows.append([*where, str(len(train[0])), str(X.shape[1]), *_row(found, np.array(seconds))])
            rest += [
                f"- {name}, {method}, point {row}: {one.lower[0]:.3g} to {one.upper[0]:.3g}."
                for row, one in enumerate(found)
                if one.status[0] not in ("exact", "misclassified")
            ]
            print("[bench]", *rows[-1], flush=True)
    text = _page(rows, rest, options.nodes)
    write_text(options.output / "exact.md", text)
    print(text)
    return 0


def _of(classes: tuple[int, int], X: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    own = np.isin(y, classes)
    return X[own], y[own]


def _row(found: list[IntervalResult], seconds: NDArray[np.float64]) -> list[str]:
    """Points, those rightly classified, their share with an exact radius, nodes and CPU seconds a point."""
    status = np.array([one.status[0] for one in found])
    right = status != "misclassified"
    nodes = np.array([one.n_nodes[0] for one in found])
    return [
        str(len(found)), str(right.sum()), f"{(status[right] == 'exact').mean():.3f}",
        f"{np.median(nodes[right]):.0f}", f"{nodes.max()}",
        f"{np.median(seconds):.3f}", f"{seconds.mean():.3f}", f"{seconds.max():.2f}",
    ]  # fmt: skip


def _page(rows: list[list[str]], rest: list[str], nodes: int) -> str:
    header = ["data set", "metric", "classes", "N", "D", "points", "right", "exact", "nodes, median",
              "nodes, most", "CPU s, median", "CPU s, mean", "CPU s, most"]  # fmt: skip
    lines = [
        "# Exact radii of 3-NN",
        "",
        "Made by `make bench-exact`: K = 3 and two classes, test points in the order of the paper's shuffle, no box, "
        "one process and one thread. The geometric attack with 100 quadratic programs, then branch and bound until the "
        f"two meet, or {nodes} nodes are spent.",
        "",
        "*exact*: the share of the rightly classified points whose two bounds meet (to 1e-6 of their value); nodes and "
        "CPU seconds are a point's.",
        "",
        *markdown_table(header, rows),
        "",
        "Bounds of the points that are left open:" if rest else "No point is left open.",
        *(["", *rest] if rest else []),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
