"""``make bench-attacks``: the geometric attack beside the Boundary Attack, pruned forward passes beside plain ones.

Everything in one process; CPU seconds. Writes reports/benchmarks/attacks.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from arml.attacks import AttackResult, boundary_attack, decision, geometric_attack
from arml.attacks.forward import PlainForward, PrunedForward
from arml.datasets import load, paper_sample
from arml.learners import make_learner
from arml.report.markup import markdown_table
from arml.system.files import write_text

_ROOT = Path(__file__).resolve().parents[2]
_MIRROR = os.environ.get("ARML_MIRROR", str(_ROOT.parent / "shared" / "data"))
_K, _STEPS = 11, 25_000
_PROGRAMS = (20, 50, 100)
_NAMES = ("pendigits", "satimage", "usps")


def timed(run: Callable[[], AttackResult]) -> tuple[AttackResult, float]:
    """The result, and CPU seconds a point."""
    begun = time.process_time()
    result = run()
    return result, (time.process_time() - begun) / result.norm.size


def plain_forward(run: Callable[[], AttackResult]) -> AttackResult:
    """Run with the forward pass that asks the classifier about all training points."""
    decision.PrunedForward = PlainForward  # type: ignore[misc, assignment]
    try:
        return run()
    finally:
        decision.PrunedForward = PrunedForward  # type: ignore[misc]


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.attacks", description=__doc__)
    parser.add_argument("--points", type=int, default=1000, help="test points of each data set")
    parser.add_argument("--plain", type=int, default=3, help="of them with the plain forward pass")
    parser.add_argument("--steps", type=int, default=_STEPS, help="of the Boundary Attack")
    parser.add_argument("--output", type=Path, default=_ROOT / "reports" / "benchmarks", help="folder of the results")
    options = parser.parse_args()
    closer, passes = [], []
    for name in _NAMES:
        data = load(name, source="mirror", mirror=_MIRROR)
        X, y = (part[: options.points] for part in paper_sample(data))
        for method in ("euclidean", "arml"):
            metric = make_learner(method, random_state=42).fit(data.X_train, data.y_train)
            given: tuple[Any, ...] = (data.X_train, data.y_train, X, y, metric, _K)
            few = (*given[:2], X[: options.plain], y[: options.plain], metric, _K)
            boundary = partial(boundary_attack, bounds=None, steps=options.steps)
            theirs, seconds = timed(partial(boundary, *given))
            right = theirs.norm > 0
            same, pruned = timed(partial(boundary, *few))
            plain, slow = timed(partial(plain_forward, partial(boundary, *few)))
            if not np.array_equal(same.norm, plain.norm):
                raise SystemExit(f"{name}, {method}: the two forward passes took different paths")
            passes.append([name, method, f"{slow:.2f}", f"{pruned:.3f}", f"{slow / pruned:.1f} ×", str(options.plain)])
            for programs in _PROGRAMS:
                ours, cost = timed(partial(geometric_attack, *given, programs=programs))
                ratio = theirs.norm[right] / ours.norm[right]
                closer.append(
                    [
                        name, method, str(programs), f"{(ratio >= 1 - 1e-9).mean():.3f}", f"{np.median(ratio):.2f}",
                        f"{cost:.4f}", f"{seconds:.4f}", f"{cost / seconds:.2f}", f"{cost / slow:.3f}",
                    ]
                )  # fmt: skip
                print("[bench]", *closer[-1], flush=True)
    text = _page(closer, passes, options.points, options.steps)
    write_text(options.output / "attacks.md", text)
    print(text)
    return 0


def _page(closer: list[list[str]], passes: list[list[str]], points: int, steps: int) -> str:
    header = ["data set", "metric", "programs", "no farther", "norms", "CPU s", "Boundary, CPU s", "ratio", "plain"]
    lines = [
        "# Attacks",
        "",
        f"Made by `make bench-attacks`: {points} test points of the paper's sample, K = {_K}, no box, one process and "
        f"one thread. The Boundary Attack is foolbox's with {steps} steps.",
        "",
        "*no farther*: the share of rightly classified points on which the geometric attack, with so many quadratic "
        "programs a point, ends no farther away; *norms*: the median of Boundary norm over geometric norm. CPU seconds "
        "are a point's; *ratio* is geometric over Boundary with our pruned forward pass, *plain* over the same attack "
        "with a plain one (below), as foolbox's users have it.",
        "",
        *markdown_table(header, closer),
        "",
        "## The forward pass",
        "",
        "The Boundary Attack with the same seeds on a few points: all training points asked about every candidate, "
        "against those that can be neighbours within the current radius. Both took the same path to the last bit.",
        "",
        *markdown_table(["data set", "metric", "plain, CPU s", "pruned, CPU s", "faster", "points"], passes),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
