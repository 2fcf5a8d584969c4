"""``python -m tests.benchmarks.devices``: radii, the Boundary Attack, smoothing and CROWN on images, on a GPU machine.

Exact radii and Theorem 1 take the cores beside the GPU; the checker must accept a sample of them. The other parts are
checked against the CPU on a few points, or the run fails. Each has a budget of seconds: a short trial says how long
the whole would take, and where that is too long the effort is cut, which the table shows.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from arml.attacks.boundary import boundary_points
from arml.datasets import Dataset, load
from arml.knn.neighbors import Predictor
from arml.knn.reference import reference_set
from arml.networks import NetworkClassifier, SmoothedClassifier, certified_radii
from arml.report.markup import markdown_table
from arml.system.files import write_text
from tests.benchmarks.radii_on_cores import RADII, timed_radii

_ROOT = Path(__file__).resolve().parents[2]
_MIRROR = os.environ.get("ARML_MIRROR", str(_ROOT.parent / "shared" / "data"))
_K, _SIGMA = 11, 0.25
_TRIAL = 200  # steps
_OTHERS = 0.2  # of the budget: what smoothing and CROWN may take each
_HEADER = ["what", "training points", "points", "effort", "seconds", "checked on a few points"]


def radii(data: Dataset, options: argparse.Namespace) -> Iterator[list[str]]:
    """Exact 1-NN radii and Theorem 1, on all cores."""
    for kind in RADII:
        found = timed_radii(kind, data, None, options.radii)
        checked = f"{found.checked} accepted by the checker"
        effort = f"{found.processes} processes"
        yield [kind, str(len(data.X_train)), str(found.points), effort, f"{found.seconds:.1f}", checked]


def attacked(data: Dataset, options: argparse.Namespace) -> list[str]:
    """The Boundary Attack: steps as asked for, or as many as the budget allows."""
    reference = reference_set(data.X_train, data.y_train, queries=True)
    X, y = data.X_test[: options.points], data.y_test[: options.points]

    def run(rows: slice, steps: int, device: str) -> tuple[np.ndarray, np.ndarray, float]:
        begin = time.perf_counter()
        found = boundary_points(reference, X[rows], y[rows], _K, steps=steps, device=device)
        return found.norm, found.adversarial, time.perf_counter() - begin

    few, trial = slice(0, 2), min(_TRIAL, options.attack_steps)
    ours, theirs = run(few, trial, options.device)[0], run(few, trial, "cpu")[0]
    difference = float(np.max(np.abs(ours - theirs) / np.maximum(theirs, 1e-300), initial=0.0, where=theirs > 0))
    if not difference < 1e-6:
        raise SystemExit(
            f"Boundary Attack: {options.device} and the CPU differ by {difference:.1e} after {trial} steps"
        )
    everything = slice(None)
    start = run(everything, 0, options.device)[2]
    each = max(run(everything, trial, options.device)[2] - start, 0.0) / trial
    steps = int(min(options.attack_steps, max((options.budget - start) / max(each, 1e-9), trial)))
    norm, adversarial, seconds = run(everything, steps, options.device)
    right = norm > 0
    if (Predictor(reference, _K).predict(adversarial[right]) == y[right]).any():
        raise SystemExit("Boundary Attack: a point is classified rightly")
    what = f"Boundary Attack, K = {_K}"
    return [what, str(len(data.X_train)), str(len(X)), f"{steps} steps", f"{seconds:.1f}", f"{difference:.0e}"]


def smoothed(network: NetworkClassifier, data: Dataset, options: argparse.Namespace) -> list[str]:
    """Randomized smoothing: as many points as the budget allows."""
    here = SmoothedClassifier(network, _SIGMA, n=options.samples, device=options.device)
    there = SmoothedClassifier(network, _SIGMA, n=options.samples)
    votes = [some.counts(data.X_test[0], min(options.samples, 10_000), 0, 1) for some in (here, there)]
    difference = int(np.abs(votes[0] - votes[1]).max())
    if difference > 10:
        raise SystemExit(f"smoothing: {options.device} and the CPU differ by {difference} votes")
    trial = min(options.points, 16)
    begin = time.perf_counter()
    here.certified_radii(data.X_test[:trial])
    each = (time.perf_counter() - begin) / trial
    count = int(min(options.points, max(_OTHERS * options.budget / each, trial)))
    begin = time.perf_counter()
    here.certified_radii(data.X_test[:count])
    seconds = time.perf_counter() - begin
    return ["smoothing, cnn", "", str(count), f"n = {options.samples}", f"{seconds:.1f}", f"{difference} votes"]


def crown(network: NetworkClassifier, data: Dataset, options: argparse.Namespace) -> list[str]:
    """CROWN's radii: as many points as the budget allows."""
    X, y = data.X_test, data.y_test
    trial = min(options.points, 4)
    certified_radii(network, X[:1], y[:1], device=options.device)  # loads kernels
    begin = time.perf_counter()
    ours = certified_radii(network, X[:trial], y[:trial], device=options.device)
    each = (time.perf_counter() - begin) / trial
    theirs = certified_radii(network, X[:trial], y[:trial])
    difference = float(np.max(np.abs(ours - theirs) / np.maximum(theirs, 1e-300), initial=0.0, where=ours > 0))
    if difference > 0.0051:
        raise SystemExit(f"CROWN: {options.device} and the CPU differ by {difference:.1e}")
    count = int(min(options.points, max(_OTHERS * options.budget / each, trial)))
    begin = time.perf_counter()
    certified_radii(network, X[:count], y[:count], device=options.device)
    seconds = time.perf_counter() - begin
    return ["CROWN, cnn", "", str(count), "tolerance 0.005", f"{seconds:.1f}", f"{difference:.0e}"]


def parts(options: argparse.Namespace) -> Iterator[list[str]]:
    """The rows of the table, one at a time."""
    data = load(options.data, source="mirror", mirror=options.mirror)
    data = replace(data, X_train=data.X_train[: options.size], y_train=data.y_train[: options.size])
    yield from radii(data, options)
    yield attacked(data, options)
    network = NetworkClassifier("cnn", noise=_SIGMA, epochs=2, device=options.device).fit(data.X_train, data.y_train)
    yield smoothed(network, data, options)
    yield crown(network, data, options)


def page(rows: list[list[str]], name: str, device: str) -> str:
    """The table as Markdown, with what it was made on."""
    card = torch.cuda.get_device_name(device) if device.startswith("cuda") else "the CPU"
    lines = [
        f"# Radii, attacks and networks' certificates on {name}",
        "",
        f"Made by `python -m tests.benchmarks.devices --device {device}` on {card}, {os.cpu_count()} cores beside it,",
        f"torch {torch.__version__}. Seconds are of the wall. Radii are the cores' work, the rest the device's.",
        "*Checked*: by the checker of certificates; or the largest relative difference from the CPU's of a radius,",
        f"or of a norm after {_TRIAL} steps, and the difference of votes.",
        "",
        *markdown_table(_HEADER, rows),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.devices", description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="a torch device")
    parser.add_argument("--data", default="mnist", help="a data set of square images in the mirror")
    parser.add_argument("--points", type=int, default=1000, help="test points; fewer where the budget ends")
    parser.add_argument("--radii", type=int, help="test points of the radii; all, where left out")
    parser.add_argument("--size", type=int, help="training points; all, where left out")
    parser.add_argument("--attack-steps", type=int, default=25_000, help="fewer where the budget ends")
    parser.add_argument("--samples", type=int, default=100_000, help="noise vectors a point")
    parser.add_argument("--budget", type=float, default=200.0, help="seconds of the attack")
    parser.add_argument("--mirror", default=_MIRROR, help="folder of the data sets")
    parser.add_argument("--out", type=Path, default=_ROOT / "reports" / "benchmarks" / "devices.md", help="the page")
    options = parser.parse_args(arguments)
    rows: list[list[str]] = []
    for row in parts(options):
        rows.append(row)
        print("[bench]", *row, flush=True)
        write_text(options.out, page(rows, options.data, options.device))  # what is done is kept
    return 0


if __name__ == "__main__":
    sys.exit(main())
