"""What the parts of a stage cost: workers' notes gathered into the stage's timings, and told to the main command."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flows import layout
from flows.tasks.artifacts import publish_costs
from flows.tasks.parts import Part


def collect_timings(dataset: str, stage: str, parts: Sequence[Part]) -> None:
    """Write the stage's timings: this run's figures, and the kept ones of parts that were not computed again."""
    from arml.results.parquet import provenance, read_table, timings_table, write_table

    target = layout.timings(dataset, stage)
    rows: dict[tuple[str, int, int], dict[str, Any]] = {}
    try:
        for row in read_table(target, "timings").to_pylist():
            rows[row["method"], row["n_neighbors"], row["start"]] = row
    except ValueError:
        pass  # none yet, or not readable: it only holds figures of cost
    for part, row in _measured(dataset, stage, parts):
        rows[part.method, part.n_neighbors, part.start] = row
    wanted = [(p.method, p.n_neighbors, p.start) for p in parts]
    write_table(
        target,
        timings_table([rows[w] for w in wanted if w in rows]),
        "timings",
        provenance(dataset=dataset, stage=stage),
    )
    forget_measured(dataset, stage, parts)
    publish_costs(dataset, stage, [rows[w] for w in wanted if w in rows])


def _measured(dataset: str, stage: str, parts: Sequence[Part]) -> Iterator[tuple[Part, dict[str, Any]]]:
    """What `record_costs` noted in this run, part by part; tells the main command when they worked."""
    for part in parts:
        file = layout.scratch(dataset, stage) / f"{part.name}.json"
        if file.is_file():
            row = json.loads(file.read_text())
            log_run(row)
            yield part, {k: v for k, v in row.items() if k not in ("begun", "ended")}


def forget_measured(dataset: str, stage: str, parts: Sequence[Part]) -> None:
    """Remove the notes of `record_costs`, once they are in a table or where none is wanted."""
    for part in parts:
        (layout.scratch(dataset, stage) / f"{part.name}.json").unlink(missing_ok=True)


def log_run(row: Mapping[str, Any]) -> None:
    """Tell the main command when this part or stage worked, for its summary at the end."""
    log = os.environ.get("ARML_RUN_LOG")
    if log:
        with open(log, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({k: row[k] for k in ("stage", "dataset", "begun", "ended")}) + "\n")
