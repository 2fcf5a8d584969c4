"""What a run will cost, said before it starts: rates that studies have measured, times sizes in params.

And the most memory that one of its processes took there. Rates are those of this workspace's own runs, then those
kept in git (reports/costs), which ``python -m flows.costs`` writes, and no run: times differ from run to run.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from arml.results.stages import METRICS, NETWORKS, STAGES, TABLE
from flows import layout
from flows.params import dataset_spec, methods_of, sample_of, section_of
from flows.processes.commands import dvc_command, stage_environment
from flows.runners.choice import worker_count

DEFAULT = "default"  # the study of params.yaml


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
    expected = expected_cost([list(_rates(text)) for text in _sources(study)], tasks)
    workers = worker_count(params["run"])
    if expected.cpu_seconds:
        told = [f"{stage} {_time(seconds)}" for stage, seconds in expected.cpu_seconds.items() if seconds >= 1]
        yield (
            f"expected: {_time(expected.total)} of CPU time, at best {_time(expected.total / workers)} with {workers} "
            f"workers, as it was measured, here or where the study was last run ({', '.join(told)})"
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
        for stage in (stage.name for stage in TABLE if stage.measured):
            if STAGES[stage].of == NETWORKS and dataset not in params["networks"]["datasets"]:
                continue
            begun = begun or f"{stage}@{dataset}" in changed
            for method in _methods(params, stage, dataset) if begun else ():
                yield Task(dataset, stage, method, _sizes(params, stage, dataset))


def _methods(params: Mapping[str, Any], stage: str, dataset: str) -> list[str]:
    if STAGES[stage].alone:
        return [""]
    if STAGES[stage].pointwise and section_of(params, stage).get("n_neighbors") == []:  # switched off
        return []
    return methods_of(params, stage, dataset)


def _sizes(params: Mapping[str, Any], stage: str, dataset: str) -> dict[int, int]:
    if not STAGES[stage].pointwise or STAGES[stage].models != METRICS:
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


def _sources(study: str | None) -> list[str]:
    """Measured costs as CSV: of this workspace's own runs, of this study, of others."""
    measured = measured_costs(layout.WORKSPACES / study if study else layout.ROOT)
    own = layout.COSTS / f"{study or DEFAULT}.csv"
    others = [path for path in sorted(layout.COSTS.glob("*.csv")) if path != own]
    kept = [path.read_text(encoding="utf-8") for path in (own, *others) if path.is_file()]
    return [measured, *kept] if measured else kept


def measured_costs(workspace: Path) -> str:
    """What the stages in a workspace took when they were last computed there, as CSV; "" where none was."""
    from arml.report.run_page import read_timings
    from arml.report.stage_costs import costs_csv

    files = sorted((workspace / layout.DATA.relative_to(layout.ROOT) / "timings").glob("*/*.parquet"))
    timings = read_timings(file for file in files if file.stem != "runtime")
    return "" if timings is None else costs_csv(timings)


def _rates(text: str) -> Iterator[Any]:
    from arml.report.forecast import Rate

    with io.StringIO(text) as stream:
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


def main(argv: list[str] | None = None) -> int:
    """Keep in git what a finished study took here."""
    parser = argparse.ArgumentParser(prog="python -m flows.costs", description=main.__doc__)
    parser.add_argument("--study", help="one of flows/studies; without it the study of params.yaml")
    study = parser.parse_args(argv).study
    text = measured_costs(layout.WORKSPACES / study if study else layout.ROOT)
    if not text:
        print("error: nothing was computed here yet: run the study first (make repro)", file=sys.stderr)
        return 1
    target = layout.COSTS / f"{study or DEFAULT}.csv"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(f"{layout.relative(target)}: {len(text.splitlines()) - 1} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
