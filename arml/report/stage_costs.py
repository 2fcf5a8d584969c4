"""What a study took, as Markdown and CSV: seconds, CPU seconds, rate and memory of every stage and method.

Rates are of CPU seconds, which are a task's own: its wall-clock seconds grow with what runs beside it.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from arml.report import published
from arml.report.markup import csv_text, markdown_table
from arml.report.study import method_label, stage_rank
from arml.results.schemas import method_rank

_COLUMNS = (
    "dataset", "stage", "method", "n_neighbors", "seconds", "cpu_seconds", "n_points", "points_per_cpu_second",
    "peak_memory_mib",
)  # fmt: skip


_MEMORY = "Peak memory is the whole process's, other tasks beside it included."


def cost_rows(timings: pa.Table) -> list[tuple[Any, ...]]:
    """Return costs (schema "timings") summed over the parts of a stage's work; memory is the largest process's."""
    sums: dict[tuple[str, str, str, int], list[float]] = {}
    for row in timings.to_pylist():
        key = (row["dataset"], row["stage"], row["method"], row["n_neighbors"])
        total = sums.setdefault(key, [0.0, 0.0, 0.0, 0.0])
        for i, name in enumerate(("seconds", "cpu_seconds", "n_points")):
            total[i] += row[name]
        total[3] = max(total[3], row["peak_memory_mib"])
    ordered = sorted(
        sums.items(),
        key=lambda item: (
            published.dataset_rank(item[0][0]),
            stage_rank(item[0][1]),
            method_rank(item[0][2]),
            item[0][3],
        ),
    )
    return [
        (*key, seconds, cpu, int(n), n / cpu if n and cpu > 0 else None, memory)
        for key, (seconds, cpu, n, memory) in ordered
    ]


def costs_csv(timings: pa.Table) -> str:
    """Costs as CSV."""
    return csv_text(_COLUMNS, cost_rows(timings))


def costs_markdown(timings: pa.Table) -> str:
    """Costs as Markdown: a table a data set."""
    lines = [
        "Seconds are those of the tasks themselves, summed over their parts, also where parts ran side by side, and "
        "then longer than alone; CPU seconds are a task's own, and points/CPU s rests on them.",
    ]
    rows = cost_rows(timings)
    for dataset in dict.fromkeys(row[0] for row in rows):
        own = [row for row in rows if row[0] == dataset]
        header = ["stage", "method", "K", "seconds", "CPU seconds", "points", "points/CPU s", "peak MiB"]
        body = [
            [
                stage,
                method_label(method) if method else "",
                str(k) if k else "",
                f"{seconds:.2f}",
                f"{cpu:.2f}",
                str(n) if n else "",
                "" if rate is None else f"{rate:.3g}" if rate < 100 else f"{rate:.0f}",
                f"{memory:.0f}",
            ]
            for _, stage, method, k, seconds, cpu, n, rate, memory in own
        ]
        total = f"Together {sum(row[4] for row in own):.1f} s, {sum(row[5] for row in own):.1f} CPU seconds."
        lines += ["", f"## {dataset}", "", *markdown_table(header, body), "", f"{total} {_MEMORY}"]
    return "\n".join(lines) + "\n"
