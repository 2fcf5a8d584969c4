"""The page of results and its figure, made from the JSON that pytest-benchmark writes."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from arml.system.files import write_text
from tests.benchmarks.cases import EXACT, OURS, OURS_SAME, STRAIGHTFORWARD, TASKS, THEOREM1
from tests.benchmarks.figure import draw

# CPU seconds a point and peak GB of the authors' public code, measured once on a machine like this, not by this run
AUTHORS = {
    ("pendigits", EXACT): (0.145, None),
    ("satimage", EXACT): (0.13, None),
    ("usps", EXACT): (0.62, None),
    ("mnist", EXACT): (17.8, 4.0),
    ("pendigits", THEOREM1): (0.245, None),
    ("satimage", THEOREM1): (0.208, None),
    ("usps", THEOREM1): (1.93, None),
    ("mnist", THEOREM1): (571.0, 2.6),
}

Entry = dict[str, Any]


def write(results: dict[str, Any], folder: Path) -> str:
    """Write index.md, growth.svg into ``folder``; return the tables for the terminal."""
    entries = [_entry(benchmark) for benchmark in results["benchmarks"]]
    data = [entry for entry in entries if entry["kind"] == "data"]
    growth = [entry for entry in entries if entry["kind"] == "growth"]
    draw(growth, folder)
    tables = [_data_table(data), _growth_table(growth)]
    write_text(folder / "index.md", _page(results, entries, *tables))
    return "\n\n".join(["", *tables, f"Written to {os.path.relpath(folder)}: index.md, growth.svg"])


def _entry(benchmark: dict[str, Any]) -> Entry:
    info = dict(benchmark["extra_info"])
    info["seconds"] = benchmark["stats"]["median"] / info["n_points"]
    info["rounds"] = benchmark["stats"]["rounds"]
    return info


def _one(entries: Iterable[Entry], **wanted: Any) -> Entry | None:
    return next((entry for entry in entries if all(entry.get(key) == value for key, value in wanted.items())), None)


def _data_table(entries: Sequence[Entry]) -> str:
    rows = []
    for task in TASKS:
        for name in dict.fromkeys(entry["name"] for entry in entries):
            ours, same, plain = (
                _one(entries, name=name, task=task, who=who) for who in (OURS, OURS_SAME, STRAIGHTFORWARD)
            )
            if ours is None or same is None or plain is None:
                continue
            seconds, gigabytes = AUTHORS.get((name, task), (None, None))
            rows.append(
                [
                    f"{task}, K = {ours['n_neighbors']}" if task == THEOREM1 else task,
                    name,
                    f"{ours['n_train']:,}",
                    str(ours["n_features"]),
                    f"{_seconds(ours['seconds'])} ({ours['n_points']})",
                    f"{_seconds(plain['seconds'])} ({plain['n_points']})",
                    _ratio(plain["seconds"] / ours["seconds"]),
                    f"{_seconds(same['seconds'])}: {_ratio(plain['seconds'] / same['seconds'])}",
                    f"{ours['peak_mib']:.0f} ({ours['loaded_mib']:.0f})",
                    f"{plain['peak_mib']:.0f}",
                    "" if seconds is None else f"{seconds:g}" + (f" ({gigabytes} GB)" if gigabytes else ""),
                ]
            )
    header = [
        "radius",
        "data set",
        "N",
        "D",
        "ours, CPU s/point (points)",
        "straightforward, CPU s/point (points)",
        "ratio",
        "ours on the same few points, CPU s/point: ratio",
        "ours, peak MiB (data and imports alone)",
        "straightforward, peak MiB",
        "authors' code, measured on a machine like this, CPU s/point",
    ]
    return _table(header, rows, left=2)


def _growth_table(entries: Sequence[Entry]) -> str:
    rows = []
    for axis in dict.fromkeys(entry["axis"] for entry in entries):
        own = [entry for entry in entries if entry["axis"] == axis]
        series = {(task, who): _series(own, task, who) for task in TASKS for who in (OURS, STRAIGHTFORWARD)}
        for size in dict.fromkeys(entry["size"] for entry in own):
            first = next(entry for entry in own if entry["size"] == size)
            k = next(entry["n_neighbors"] for entry in own if entry["size"] == size and entry["task"] == THEOREM1)
            cells = [f"{first['n_train']:,}", str(first["n_features"]), str(k)]
            for task in TASKS:
                values = [series[task, who].get(size) for who in (OURS, STRAIGHTFORWARD)]
                ours, plain = values
                cells += ["" if value is None else _seconds(value) for value in values]
                cells.append("" if ours is None or plain is None else _ratio(plain / ours))
            rows.append([axis, *cells])
        rows.append([f"{axis}: exponent", "", "", ""])
        for task in TASKS:
            rows[-1] += [_exponent(series[task, who]) for who in (OURS, STRAIGHTFORWARD)] + [""]
    header = ["grows", "N", "D", "K"]
    for task in TASKS:
        header += [f"{task}: ours", f"{task}: straightforward", "ratio"]
    return _table(header, rows, left=1)


def _series(entries: Iterable[Entry], task: str, who: str) -> dict[int, float]:
    return {entry["size"]: entry["seconds"] for entry in entries if (entry["task"], entry["who"]) == (task, who)}


def _exponent(series: dict[int, float]) -> str:
    """The slope of the log-log line over the upper half of the sizes, where what does not grow weighs less."""
    if len(series) < 2:
        return ""
    upper = sorted(series)[-max(2, (len(series) + 1) // 2) :]
    slope = np.polyfit(np.log(upper), np.log([series[size] for size in upper]), 1)[0]
    return f"{slope:.2f}"


def _page(results: dict[str, Any], entries: Sequence[Entry], data_table: str, growth_table: str) -> str:
    rounds = max(entry["rounds"] for entry in entries)
    difference = max(entry["difference"] for entry in entries if "difference" in entry)
    compared = sum(entry["n_points"] for entry in entries if "difference" in entry)
    batch = next(entry["n_points"] for entry in entries if entry["kind"] == "growth" and entry["who"] == OURS)
    few = {
        task: next(
            entry["n_points"]
            for entry in entries
            if (entry["kind"], entry["who"], entry["task"]) == ("growth", STRAIGHTFORWARD, task)
        )
        for task in TASKS
    }
    return f"""# Benchmarks

Made by `make bench`. Euclidean metric, the paper's sample of the test set in its order. CPU seconds of the process
on one thread, the median of {rounds} rounds, divided by the points; setting up the training set is included.

*Ours*: `exact_radii` and `certified_radii`. *Straightforward*: `tests/benchmarks/straightforward.py`, vectorised
NumPy in float64 that shares no code with ours: for Theorem 1 the closed form of every pair (in blocks, to fit in
memory); for the exact radius one quadratic program a negative over all positives, on the full Gram matrix,
negatives screened by the closed form of the nearest positive, then of all. It takes point after point and is slow,
so it gets the first few of our points. Both gave the same values on these {compared:,} radii, here and in the growth
series: the largest relative difference is {difference:.1e}.

{data_table}

The first ratio compares a point in our batch with a point of the straightforward implementation; the second gives
both the same few points, over which our setup is then spread. Peak memory is the resident set of a process of its
own with interpreter, imports and data: ours with all its points, the straightforward one with one point. The last
column is not of this run.

## Growth

![CPU seconds a point against N, D and K, log-log](growth.svg)

Synthetic data: ten classes of five Gaussian clouds each, eight intrinsic dimensions turned into D, with 2 % of noise.
One of N, D, K grows, the others stay. CPU seconds a point, over {batch} points (ours) and the first of them
(straightforward: {few[EXACT]} for the exact radius, {few[THEOREM1]} for Theorem 1). The exponent is the slope of the
log-log line over the upper half of the sizes.

{growth_table}

## Machine

{_machine(results)}
"""


def _machine(results: dict[str, Any]) -> str:
    info = results["machine_info"]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index, call-overload]
    facts = {
        "processor": info.get("cpu", {}).get("brand_raw") or platform.machine(),
        "cores": f"{os.cpu_count()}, of which one used",
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "NumPy": f"{np.__version__} with {blas['name']} {blas['version']}",
        "SciPy": version("scipy"),
    }
    return "\n".join(f"- {name}: {fact}" for name, fact in facts.items())


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: int) -> str:
    rule = [":--" if column < left else "--:" for column in range(len(header))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [header, rule, *rows])


def _seconds(value: float) -> str:
    """Two significant digits, and no exponent."""
    return f"{value:.{max(0, 1 - int(np.floor(np.log10(value))))}f}" if value < 10 else f"{value:.1f}"


def _ratio(value: float) -> str:
    return f"{value:.1f} ×" if value < 10 else f"{value:,.0f} ×"
