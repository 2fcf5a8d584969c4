"""Running times of fits beside the paper's (§4.4): a table and a figure of measured trials."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from arml.report.figures import COLUMN_WIDTH, PAGE_WIDTH, save_figure
from arml.report.markup import csv_text, markdown_table
from arml.report.published import RUNTIMES, RUNTIMES_GPU
from arml.report.study import method_label
from arml.report.styles import house_style, style
from arml.results.parquet import table_provenance
from arml.system.files import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["write_report"]

Trials = dict[tuple[str, int], list[dict[str, Any]]]  # of a fit on so many threads


def write_report(table: pa.Table, fits: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    """Write index.md, trials.csv and the figure of one data set's trials into ``folder``.

    Parameters
    ----------
    table : Table
        Of the schema "trials".
    fits : mapping
        What params.yaml says of each fit, for its label.
    """
    rows = table.to_pylist()
    found: Trials = {}
    for row in rows:
        found.setdefault((row["fit"], row["threads"]), []).append(row)
    dataset, cores = rows[0]["dataset"], table_provenance(table).get("cores")
    counts = list(dict.fromkeys(row["threads"] for row in rows))
    header = ["fit", "points", "iterations"]
    for count in counts:
        header += [f"s, {_threads(count)}", "lowest to highest", "trials"]
    header.append("the paper's s")
    body = []
    for fit, count in found:
        if count != counts[0]:
            continue
        line = [_label(fit, fits), f"{found[fit, count][0]['n_points']:,}", str(found[fit, count][0]["n_iter"])]
        for threads in counts:
            seconds = [row["seconds"] for row in found.get((fit, threads), [])]
            mean = f"{sum(seconds) / len(seconds):.1f}" if seconds else ""
            line += [mean, f"{min(seconds):.1f} to {max(seconds):.1f}" if seconds else "", str(len(seconds))]
        published = RUNTIMES.get((dataset, found[fit, count][0]["method"]))
        body.append([*line, "" if published is None else f"{published:g}"])
    gpu = "; ".join(
        f"{method_label(method)} {s:g} s on its GPU" for (d, method), s in RUNTIMES_GPU.items() if d == dataset
    )
    lines = [
        f"# Running times on {dataset}",
        "",
        f"Seconds of a fit on all training points, mean over trials, one fit at a time on a machine of {cores} cores, "
        "set-up excluded. On more threads: BLAS for the baselines, the neighbour search for ARML.",
        *(
            [f"The paper's figures are its CPU's, 100 iterations of each method, means of 5 trials ({gpu})."]
            if gpu
            else []
        ),
        "ARML's steps take a batch of anchors each and renew their lists now and then; an epoch of schedule: full, the "
        "paper's, takes all of them and all distances.",
        "",
        *markdown_table(header, body),
        "",
        f"![Seconds of each fit on {dataset}, a mark a trial, on a logarithmic axis, beside the paper's.](runtime.svg)",
    ]
    with house_style():
        save_figure(_figure(dataset, found, fits), folder, "runtime")
    write_text(folder / "index.md", "\n".join(lines) + "\n")
    columns = tuple(name for name in table.column_names)
    write_text(folder / "trials.csv", csv_text(columns, ([row[name] for name in columns] for row in rows)))


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _label(fit: str, fits: Mapping[str, Mapping[str, Any]]) -> str:
    known = fits.get(fit, {})
    schedule = known.get("schedule")
    return method_label(known.get("method", fit)) + (f", schedule: {schedule}" if schedule else "")


def _figure(dataset: str, found: Trials, fits: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A row a fit and number of threads: a mark a trial, a bar at the paper's figure."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    order = sorted(found, key=lambda key: list(fits).index(key[0]) if key[0] in fits else len(fits))
    figure = Figure(figsize=((COLUMN_WIDTH + PAGE_WIDTH) / 2, 0.26 * len(order) + 0.8), layout="constrained")
    axes = figure.subplots()
    for place, key in enumerate(order):
        colour, marker = style(found[key][0]["method"], [])
        seconds = [row["seconds"] for row in found[key]]
        axes.plot(seconds, [place] * len(seconds), ls="", color=colour, marker=marker, ms=6, mew=0.4, mec="white")
        published = RUNTIMES.get((dataset, found[key][0]["method"]))
        if published is not None:
            axes.plot([published], [place], ls="", color="0.35", marker="|", ms=11, mew=1.4)
    axes.plot([], [], ls="", color="0.35", marker="|", ms=9, mew=1.4, label="the paper's, on its CPU")
    axes.plot([], [], ls="", color="0.35", marker="o", ms=4, label="measured, a mark a trial")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("seconds")
    axes.set_yticks(range(len(order)), [f"{_label(fit, fits)}, {_threads(count)}" for fit, count in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.grid(axis="x", color="0.9", lw=0.5)
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure
