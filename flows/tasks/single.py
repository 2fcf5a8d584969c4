"""Stages that are one task: DVC's own cache is enough for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.tasks import Task

from flows import layout
from flows.errors import StageError
from flows.tasks.job import Identity, Job, record_costs
from flows.tasks.parts import Part
from flows.tasks.timings import collect_timings


def run_single(
    task: Task[..., Any], dataset: str, stage: str, options: Mapping[str, Any], params: Mapping[str, Any]
) -> None:
    """Run a stage's only task and note what it cost."""
    part = Part(method="", output=layout.DATA, inputs=(), params=options)
    job = Job(
        identity=Identity(dataset, stage),
        name=part.name,
        params=dict(options),
        scratch=str(layout.scratch(dataset, stage)),
        threads=params["run"]["threads_per_task"],
    )
    with record_costs(job):
        named = task.with_options(task_run_name=f"{stage} {dataset}", persist_result=False)
        state: Any = named(job, return_state=True)
    if not state.is_completed():
        cause = state.result(raise_on_failure=False)
        kind = "" if isinstance(cause, ValueError) else f"{type(cause).__name__}: "
        raise StageError(f"{stage} {dataset}: {kind}{cause}")
    collect_timings(dataset, stage, [part])
