"""What a run will cost, said before it starts: rates that committed reports have measured, times sizes in params.

And the most memory that one of its processes took there.
"""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows import layout
from flows.params import dataset_spec, methods_of, sample_of
from flows.processes.commands import dvc_command, stage_environment
from flows.runners.choice import worker_count

POINTWISE = ("verify", "certify", "check", "attack", "tighten")
ORDER = ("download", "preprocess", "train", *POINTWISE, "train_networks", "certify_networks", "attack_networks")


def changed_stages(workspace: Path) -> dict[str, Any] | None:
    """What ``dvc status`` finds to do, by stage; None if it cannot tell (dvc repro will say why)."""
    done = subprocess.run(
        dvc_command("status", "--json"),
        cwd=workspace,
        env=stage_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        return dict(json.loads(done.stdout)) if done.returncode == 0 else None
    except ValueError:
        return None


def lines(params: Mapping[str, Any], changed: Mapping[str, Any], study: str | None) -> Iterator[str]:
    """Say what is to do and what it cost when it was last measured; and which fits are of subsets."""
    from arml.report.forecast import expected_cost

    tasks = list(_tasks(params, changed))
    expected = expected_cost([list(_rates(path)) for path in _sources(study)], tasks)
    workers = worker_count(params["run"])
    if expected.cpu_seconds:
        told = [f"{stage} {_time(seconds)}" for stage, seconds in expected.cpu_seconds.items() if seconds >= 1]
        yield (
            f"expected: {_time(expected.total)} of CPU time, at best {_time(expected.total / workers)} with {workers} "
            f"workers, as reports measured it on their machines ({', '.join(told)})"
        )
    if expected.largest:
        one = expected.largest
        yield (
            f"expected: {one.peak_memory_mib / 1024:.1f} GiB of memory in the largest process ({one.stage} on "
            f"{one.dataset}, {one.method or 'all'}; what ran beside it there included)"
        )
    unknown: dict[str, int] = {}
    for task in expected.unknown:
        unknown[task.stage] = unknown.get(task.stage, 0) + 1
    if unknown:
        counted = ", ".join(f"{stage} {n}" for stage, n in unknown.items())
        yield f"not counted, since never measured: {len(expected.unknown)} of {len(tasks)} tasks ({counted})"
    subsets = list(_subsets(params))
    if subsets and any(task.stage == "train" for task in tasks):
        yield "fitted on subsets: " + "; ".join(subsets)


def _tasks(params: Mapping[str, Any], changed: Mapping[str, Any]) -> Iterator[Any]:
    """The tasks of stages that have changed or follow one that has."""
    from arml.report.forecast import Task

    for dataset in params["datasets"]:
        begun = False
        for stage in ORDER:
            if stage.endswith("_networks") and dataset not in params["networks"]["datasets"]:
                continue
            begun = begun or f"{stage}@{dataset}" in changed
            for method in _methods(params, stage, dataset) if begun else ():
                yield Task(dataset, stage, method, _sizes(params, stage, dataset))


def _methods(params: Mapping[str, Any], stage: str, dataset: str) -> list[str]:
    if stage in ("download", "preprocess"):
        return [""]
    if stage.endswith("_networks"):
        return list(params["networks"]["models"])
    if stage in ("attack", "tighten") and not params[stage]["n_neighbors"]:
        return []
    return methods_of(params, stage, dataset)


def _sizes(params: Mapping[str, Any], stage: str, dataset: str) -> dict[int, int]:
    if stage not in POINTWISE:
        return {}
    neighbors = {"verify": [1], "check": sorted({1, *params["certify"]["n_neighbors"]})}.get(stage)
    neighbors = neighbors or params[stage]["n_neighbors"]
    sample = sample_of(params[stage], dataset)
    samples = sample if isinstance(sample, list) else [sample] * len(neighbors)
    whole = sum(dataset_spec(params, dataset).test_counts or ())
    return {k: whole if size == "all" else min(int(size), whole or int(size)) for k, size in zip(neighbors, samples)}


def _subsets(params: Mapping[str, Any]) -> Iterator[str]:
    from arml.report.forecast import fitted_points

    for method in params["methods"]:
        found = []
        for dataset in params["datasets"]:
            spec = dataset_spec(params, dataset)
            if spec.train_counts and spec.n_features:
                used = fitted_points(method, params["train"].get(method, {}), spec.train_counts, spec.n_features)
                if used < sum(spec.train_counts):
                    found.append(f"{dataset} {used} of {sum(spec.train_counts)}")
        if found:
            yield f"{method} on {', '.join(found)}"


def _sources(study: str | None) -> list[Path]:
    """Files of measured costs: this study's own first."""
    own = layout.REPORTS / (study or "") / "tables" / "runtime.csv"
    others = sorted(layout.REPORTS.glob("**/tables/runtime.csv"))
    return [path for path in (own, *others) if path.is_file()]


def _rates(path: Path) -> Iterator[Any]:
    from arml.report.forecast import Rate

    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield Rate(
                row["dataset"],
                row["stage"],
                row["method"],
                int(row["n_neighbors"]),
                float(row["cpu_seconds"]),
                int(row["n_points"]),
                float(row["peak_memory_mib"]),
            )


def _time(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min" if minutes else f"{whole} s"
