"""``python -m tests.benchmarks.prototypes``: learned prototypes on MNIST and Fashion-MNIST, all test points exactly.

Settings are trained on 90 % of the training set and compared on the rest, one change after another, each kept where it
helps: where the exact error at the radius looked at, plus ten times what the clean error is above its limit, gets
less. Those kept are trained on the whole training set, and the test points are verified exactly, by processes on the
CPU. Test points choose nothing. What is known is on disk after every step, so that a run that is cut off leaves what
it had. Writes prototypes.md, radii and prototypes (.npz).
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from arml.certify import certify_points
from arml.curves import robust_error
from arml.datasets import load
from arml.learners.subsets import stratified_subset
from arml.prototypes import RobustPrototypes, load_prototypes
from arml.prototypes.start import start_prototypes
from arml.report.markup import markdown_table
from arml.system.files import write_text
from arml.verify import verify_points

_MIRROR = Path(__file__).resolve().parents[3] / "shared" / "data"
_RADII = (0.0, 0.5, 1.0, 1.5, 1.58, 2.0, 2.5)
_SEED = 42
_HELD = 0.1
_CHUNK = 25
_TRY = (20, 120)  # steps of the two short fits that measure how fast the machine is
_READY = 2.0  # seconds before the first step of 60,000 points: they are put in order
_VERIFYING = 15.0  # seconds kept for verification
_SEARCH = 0.5  # share of the rest that goes into comparing settings
_GRID = 4096.0  # steps of a grey value
_EXCESS = 10.0  # what one clean error too many costs, in errors at the radius

Params = dict[str, Any]
Job = tuple[Path, Path, int, int]


class Task(NamedTuple):
    """A data set, the radius it is judged at, its largest clean error, what is tried, and when it has to end.

    ``changes`` are tried in this order, each on top of those kept so far. ``until`` is a share of all seconds.
    """

    name: str
    radius: float
    clean: float
    base: Params
    changes: dict[str, Params]
    until: float


_BASE: Params = {
    "image_shape": (28, 28),
    "max_shift": 1,
    "n_prototypes": 400,
    "batch_size": 1000,
    "objective": "exact",
    "n_own": 12,
    "n_others": 48,
    "n_rivals": 3,
    "target_radius": 2.5,
    "learning_rate": 0.01,
}
_MOTIONS: Params = {"max_rotation": 10.0, "max_zoom": 0.1}
_TASKS = (
    Task(
        "mnist",
        1.58,
        0.03,
        _BASE | _MOTIONS,
        {
            "more of turns and zooms": {"max_rotation": 15.0, "max_zoom": 0.15},
            "without turns and zooms": {"max_rotation": 0.0, "max_zoom": 0.0},
            "eq. (9)": {"objective": "bisector", "n_rivals": 1},
            "learning rate 0.03": {"learning_rate": 0.03},
            "800 prototypes a class": {"n_prototypes": 800},
            "target 2.1": {"target_radius": 2.1},
            "target 3": {"target_radius": 3.0},
            "learning rate 0.004": {"learning_rate": 0.004},
        },
        0.66,
    ),
    Task(
        "fashion-mnist",
        1.5,
        0.13,
        _BASE,
        {
            "turns and zooms": {"max_rotation": 5.0, "max_zoom": 0.05},
            "eq. (9)": {"objective": "bisector", "n_rivals": 1},
            "800 prototypes a class": {"n_prototypes": 800},
            "target 2": {"target_radius": 2.0},
            "learning rate 0.004": {"learning_rate": 0.004},
        },
        1.0,
    ),
)


_SMALL = Task(
    "optdigits",
    0.6,
    0.1,
    {"image_shape": (8, 8), "n_prototypes": 5, "batch_size": 50, "objective": "exact", "target_radius": 1.0},
    {"shifts": {"max_shift": 1}, "learning rate 0.03": {"learning_rate": 0.03}},
    1.0,
)


@dataclass
class Page:
    """The page of results, written anew whenever something is added."""

    path: Path
    trials: list[list[str]] = field(default_factory=list)
    tests: list[list[str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def write(self) -> None:
        """To the disk."""
        errors = [f"exact {radius:g}" for radius in _RADII]
        header = ["data set", "prototypes", "test points", "clean", *errors, "eq. (9) 1.5", "eq. (9) 1.58",
                  "training s", "µs a point, exact", "µs a point, eq. (9)"]  # fmt: skip
        lines = [
            "# Learned prototypes",
            "",
            "Errors on the test set (shares of points whose radius is at most so):",
            "",
        ]
        lines += markdown_table(header, self.tests) if self.tests else ["(not yet)"]
        columns = ["data set", "change", "steps", "training s", "train loss", "clean", "exact 1.5",
                   "exact 1.58", ""]  # fmt: skip
        lines += ["", "Errors on the tenth of the training set held out, by which settings are chosen:", ""]
        lines += markdown_table(columns, self.trials) if self.trials else ["(not yet)"]
        lines += ["", *(f"- {note}" for note in self.notes)]
        write_text(self.path, "\n".join(lines) + "\n")


class Bench:
    """One run: its clock, its folder, its processes."""

    def __init__(self, options: argparse.Namespace, pool: ProcessPoolExecutor, work: Path, begun: float) -> None:
        self.options, self.pool, self.work, self.begun = options, pool, work, begun
        self.page = Page(options.out / "prototypes.md")
        self.starts: dict[int, NDArray[Any]] = {}

    def left(self) -> float:
        """Seconds until the end."""
        return float(self.options.seconds - (time.monotonic() - self.begun))

    def say(self, *words: object) -> None:
        """To the terminal, at once."""
        print(f"[{time.monotonic() - self.begun:6.1f} s]", *words, flush=True)

    def run(self, task: Task) -> None:
        """Settings compared, the best trained on everything, its test points verified."""
        end = self.options.seconds * (1 - task.until)  # of this data set, in seconds left
        X, y, X_test, y_test = self._arrays(task.name)
        fitted = stratified_subset(y, round((1 - _HELD) * len(y)), _SEED)
        held = np.setdiff1d(np.arange(len(y)), fitted)
        held_path, test_path = self._store("held", X[held], y[held]), self._store("test", X_test, y_test)
        params = task.base | self.options.settings | {"device": self.options.device}
        changes = {} if self.options.no_search else task.changes
        self.starts = {}
        self._start(X[fitted], y[fitted], params["n_prototypes"])
        few = 5 * params["batch_size"]
        RobustPrototypes(max_iter=10, init="sample", random_state=_SEED, **params).fit(X[:few], y[:few])
        self.say(task.name, "begins with", len(y), "points, k-means made and the device warm")
        each = _SEARCH * (self.left() - end - _VERIFYING) / (1 + len(changes))
        best = np.inf
        for name, change in {"base": {}, **changes}.items():
            if np.isfinite(best) and self.left() - end < _VERIFYING + 2 * each:
                self.page.notes.append(f"{task.name}: no time for {name!r}")
                continue
            tried = params | change
            model = _rounded(self._fit(X[fitted], y[fitted], tried, each))
            path = self.work / f"{task.name}-tried.npz"
            model.save(path)
            radii = self._radii(path, held_path, len(held), exact=True)[0]
            value = merit(radii, task.radius, task.clean)
            self._trial(task.name, name, model, radii, value < best)
            if value < best:
                best, params = value, tried
                shutil.copy(path, self.options.out / f"{task.name}.npz")
        self.page.notes.append(f"{task.name}: chosen on the held-out points: {params}")
        self.page.write()
        model = _rounded(self._fit(X, y, params, self.left() - end - _VERIFYING))
        path = self.options.out / f"{task.name}.npz"
        model.save(path)
        for count in sorted({min(1000, len(y_test)), len(y_test)}):
            self._test(task.name, model, path, test_path, count)

    def _arrays(self, name: str) -> tuple[NDArray[Any], ...]:
        """Training and test points; some of a data set that comes with a package, for a small run."""
        if self.options.small:
            data = load(name, source="package")
            return data.X_train[:600], data.y_train[:600], data.X_test[:60], data.y_test[:60]
        data = load(name, source="mirror", mirror=str(self._mirror(name)))
        return data.X_train, data.y_train, data.X_test, data.y_test

    def _mirror(self, name: str) -> Path:
        """The folder of the data; files that it has as .xz, which is smaller, become the .gz that the reader knows."""
        packed = sorted((self.options.data / name).glob("*.xz"))
        if not packed:
            return Path(self.options.data)
        mirror = self.work / "mirror"
        (mirror / name).mkdir(parents=True, exist_ok=True)
        for path in packed:
            (mirror / name / f"{path.stem}.gz").write_bytes(gzip.compress(lzma.decompress(path.read_bytes()), 1))
        for path in (self.options.data / name).glob("*.gz"):
            (mirror / name / path.name).write_bytes(path.read_bytes())
        return mirror

    def _store(self, name: str, X: NDArray[Any], y: NDArray[Any]) -> Path:
        np.save(self.work / f"{name}-X.npy", X)
        np.save(self.work / f"{name}-y.npy", y)
        return self.work / name

    def _start(self, X: NDArray[Any], y: NDArray[Any], size: int) -> NDArray[Any]:
        """k-means of each class by a process of its own, made once for a number of prototypes."""
        if size not in self.starts:
            jobs = [(X[y == c].astype(np.float32), size, _SEED + int(c)) for c in np.unique(y)]
            self.starts[size] = np.stack(list(self.pool.map(_centres, jobs)))
        return self.starts[size]

    def _fit(self, X: NDArray[Any], y: NDArray[Any], params: Params, seconds: float) -> RobustPrototypes:
        """As many steps as the seconds allow: two short fits tell how long one takes."""
        begun = time.monotonic()
        start = self._start(X, y, params["n_prototypes"])
        model = RobustPrototypes(init=start, random_state=_SEED, **params)
        if self.options.small:
            model.set_params(max_iter=20)
            return model.fit(X, y)
        few = 5 * model.batch_size
        model.set_params(max_iter=10).fit(X[:few], y[:few])  # a device's first steps are slow
        took = [model.set_params(max_iter=steps).fit(X[:few], y[:few]).seconds_ for steps in _TRY]
        a_step = max((took[1] - took[0]) / (_TRY[1] - _TRY[0]), 1e-4)
        left = seconds - (time.monotonic() - begun) - _READY
        model.set_params(max_iter=max(_TRY[1], int(0.95 * left / a_step)))
        return model.fit(X, y)

    def _radii(self, model: Path, points: Path, count: int, *, exact: bool) -> tuple[NDArray[np.float64], float]:
        """Radii of the first points, and the CPU seconds they took in all."""
        jobs = [(model, points, first, min(first + _CHUNK, count)) for first in range(0, count, _CHUNK)]
        results = list(self.pool.map(_exact if exact else _certified, jobs, chunksize=4))
        return np.concatenate([radii for radii, _ in results]), sum(seconds for _, seconds in results)

    def _trial(self, data: str, name: str, model: RobustPrototypes, radii: NDArray[np.float64], better: bool) -> None:
        errors = [f"{value:.4f}" for value in robust_error(radii, (0.0, 1.5, 1.58))]
        loss, kept = f"{model.history_[-50:].mean():.4f}", "kept" if better else ""
        self.page.trials.append([data, name, str(model.n_iter_), f"{model.seconds_:.1f}", loss, *errors, kept])
        self.page.write()
        self.say("held out:", *self.page.trials[-1])

    def _test(self, data: str, model: RobustPrototypes, path: Path, points: Path, count: int) -> None:
        exact, exact_seconds = self._radii(path, points, count, exact=True)
        certified, seconds = self._radii(path, points, count, exact=False)
        if (certified > exact * (1 + 1e-9) + 1e-9).any():
            raise AssertionError("a certificate exceeds the exact radius")
        clean = 1 - model.score(np.load(f"{points}-X.npy")[:count], np.load(f"{points}-y.npy")[:count])
        cells = [
            f"{value:.4f}" for value in (clean, *robust_error(exact, _RADII), *robust_error(certified, (1.5, 1.58)))
        ]
        costs = [f"{model.seconds_:.1f}", *(f"{1e6 * total / count:.0f}" for total in (exact_seconds, seconds))]
        self.page.tests.append([data, str(len(model.prototypes_)), str(count), *cells, *costs])
        self.page.write()
        self.say("test:", *self.page.tests[-1])
        np.savez_compressed(self.options.out / f"{data}-radii.npz", exact=exact, certified=certified)


def merit(radii: NDArray[np.float64], radius: float, clean: float) -> float:
    """What settings are chosen by, less being better: see the module's docstring."""
    at_zero, at_radius = robust_error(radii, (0.0, radius))
    return float(at_radius + _EXCESS * max(0.0, at_zero - clean))


def _rounded(model: RobustPrototypes) -> RobustPrototypes:
    """Its prototypes on a grid fine enough not to matter: a file of half the size, and what is verified is in it."""
    metric = None if model.metric_.is_identity else model.metric_.components
    model._set(np.round(model.prototypes_ * _GRID) / _GRID, model.prototype_labels_, metric)
    return model


def _centres(job: tuple[NDArray[np.float32], int, int]) -> NDArray[np.float32]:
    members, size, seed = job
    return start_prototypes(members, np.zeros(len(members), dtype=np.intp), size, "kmeans", seed)[0]


def _exact(job: Job) -> tuple[NDArray[np.float64], float]:
    model, X, y = _inputs(job)
    begun = time.process_time()
    result = verify_points(model.reference_, X, y)
    return result.lower, time.process_time() - begun


def _certified(job: Job) -> tuple[NDArray[np.float64], float]:
    model, X, y = _inputs(job)
    begun = time.process_time()
    found = certify_points(model.reference_, X, y, 1)
    return np.array([one.radius for one in found]), time.process_time() - begun


_LOADED: dict[Path, tuple[float, RobustPrototypes]] = {}


def _inputs(job: Job) -> tuple[RobustPrototypes, NDArray[Any], NDArray[Any]]:
    """The model, read once in a process, and the points of a job."""
    path, points, first, last = job
    written = path.stat().st_mtime
    if path not in _LOADED or _LOADED[path][0] != written:
        _LOADED.clear()
        _LOADED[path] = (written, load_prototypes(path))
        _LOADED[path][1].reference_.w_sq  # noqa: B018 - made now, not while the clock runs
    X, y = (np.load(f"{points}-{part}.npy", mmap_mode="r")[first:last] for part in ("X", "y"))
    return _LOADED[path][1], np.array(X), np.array(y)


def main(arguments: list[str] | None = None) -> int:
    """Run; return the exit status."""
    begun = time.monotonic()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.prototypes", description=__doc__)
    parser.add_argument("--data", type=Path, default=_MIRROR, help="mirror of the data sets, as ../shared/data is one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--device", default="cpu", help="torch device of the training")
    parser.add_argument("--seconds", type=float, default=240.0, help="for everything")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="for k-means and verification")
    parser.add_argument("--only", choices=[task.name for task in _TASKS], help="of the data sets")
    parser.add_argument("--settings", type=json.loads, default={}, help="in the place of the base's: a JSON object")
    parser.add_argument("--no-search", action="store_true", help="these settings and no others")
    parser.add_argument("--small", action="store_true", help="a few points and steps, to try the script itself")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ |= {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}  # in the processes
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool,
    ):
        bench = Bench(options, pool, Path(folder), begun)
        bench.page.write()
        tasks = [task._replace(until=1.0) for task in _TASKS if task.name == options.only] or _TASKS
        for task in (_SMALL,) if options.small else tasks:
            if bench.left() < 3 * _VERIFYING and not options.small:
                bench.page.notes.append(f"no time for {task.name}")
                continue
            bench.run(task)
        bench.say("done")
        bench.page.write()
    return 0


if __name__ == "__main__":
    sys.exit(main())
