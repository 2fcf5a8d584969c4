"""What a sweep of experiments shows: its table, its figure, and two checks of the learned metric.

A point of a sweep is (axis, label, curves): curves map each data set to what :func:`robust_errors` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from arml.curves import robust_curves
from arml.figures import PAGE_WIDTH, house_style, save_figure, style
from arml.files import write_text
from arml.paper import dataset_rank, paper_value
from arml.study import method_label, middle_radius
from arml.tables import csv_text, markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["headline", "robust_errors", "write_report"]

Point = tuple[str, str, Mapping[str, Any]]
WITHIN_PAPER, WITHIN_EUCLIDEAN = 0.015, 0.005
LEARNED, REFERENCE = "arml", "euclidean"
_SAMPLE = 1000  # the paper's


def robust_errors(table: pa.Table, radii: Sequence[float], costs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Errors of every method of one data set's exact 1-NN results, JSON-able.

    Parameters
    ----------
    table : Table
        Results of one data set.
    radii : sequence of float
    costs : sequence of dict
        Rows of the timings of its fits.
    """
    methods: dict[str, Any] = {}
    for curve in robust_curves(table):
        methods[curve.method] = {
            "clean": curve.clean_error,
            "errors": curve.errors(radii).tolist(),
            "n_points": curve.n_points,
        }
    for row in costs:
        if row["method"] in methods:
            methods[row["method"]] |= {"seconds": row["seconds"], "peak_memory_mib": row["peak_memory_mib"]}
    return {"radii": [float(radius) for radius in radii], "middle": middle_radius(radii), "methods": methods}


def headline(curves: Mapping[str, Any]) -> dict[str, Any]:
    """The learned metric's clean error and error at the middle radius, by data set."""
    found = {}
    for dataset, one in curves.items():
        learned = one["methods"][LEARNED]
        found[dataset] = {"clean": learned["clean"], f"r={one['middle']:g}": _at_middle(one, LEARNED)}
    return found


def _at_middle(one: Mapping[str, Any], method: str) -> float:
    return float(one["methods"][method]["errors"][one["radii"].index(one["middle"])])


def write_report(name: str, points: Sequence[Point], folder: Path) -> None:
    """Write index.md, points.csv and the figure of a sweep into ``folder``.

    A sweep over the one axis "seed" is reported as mean and spread beside the paper's row; any other as a table and
    a panel an axis.
    """
    axes = list(dict.fromkeys(axis for axis, _, _ in points))
    seeds = axes == ["seed"]
    lines, alt, draw = _seed_lines(points) if seeds else _axis_lines(points)
    with house_style():
        save_figure(draw(), folder, name)
    text = [f"# {name.capitalize()}", "", *lines, "", f"![{alt}]({name}.svg)"]
    write_text(folder / "index.md", "\n".join(text) + "\n")
    write_text(folder / "points.csv", csv_text(_CSV, _rows(points)))


_CSV = (
    "axis",
    "value",
    "dataset",
    "method",
    "radius",
    "error",
    "clean_error",
    "n_points",
    "seconds",
    "peak_memory_mib",
)


def _rows(points: Sequence[Point]) -> Iterable[tuple[Any, ...]]:
    for axis, label, curves in points:
        for dataset in sorted(curves, key=dataset_rank):
            one = curves[dataset]
            for method, found in one["methods"].items():
                cost = found.get("seconds"), found.get("peak_memory_mib")
                for radius, error in zip(one["radii"], found["errors"]):
                    yield axis, label, dataset, method, radius, error, found["clean"], found["n_points"], *cost


# --- one parameter at a time ---------------------------------------------------------------------


def _axis_lines(points: Sequence[Point]) -> tuple[list[str], str, Any]:
    datasets = sorted(points[0][2], key=dataset_rank)
    middle = {name: points[0][2][name]["middle"] for name in datasets}
    header = ["value"]
    for name in datasets:
        header += [f"{name}: clean", f"r = {middle[name]:g}", "s"]
    sizes = sorted({found["n_points"] for _, _, c in points for one in c.values() for found in one["methods"].values()})
    lines = [
        "Exact robust error of 1-NN under ARML's metric, one parameter changed at a time, the others as in "
        f"params.yaml; {' or '.join(map(str, sizes))} test points. s: seconds of the fit, on the machine at hand and "
        "beside what else it did. Euclidean stands in the first row of each table.",
    ]
    for axis in dict.fromkeys(axis for axis, _, _ in points):
        own = [(label, curves) for a, label, curves in points if a == axis]
        body = [[method_label(REFERENCE), *_cells(own[0][1], datasets, REFERENCE)]]
        body += [[label, *_cells(curves, datasets, LEARNED)] for label, curves in own]
        lines += ["", f"## {axis.capitalize()}", "", *markdown_table(header, body)]
    names = ", ".join(dict.fromkeys(axis for axis, _, _ in points))
    alt = f"Robust error at the middle radius and clean error against {names}, a panel each, a line a data set."
    return lines, alt, lambda: axis_figure(points)


def _cells(curves: Mapping[str, Any], datasets: Sequence[str], method: str) -> list[str]:
    cells = []
    for name in datasets:
        found = curves[name]["methods"][method]
        seconds = f"{found['seconds']:.1f}" if found.get("seconds") is not None and method == LEARNED else ""
        cells += [f"{found['clean']:.3f}", f"{_at_middle(curves[name], method):.3f}", seconds]
    return cells


_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")


def axis_figure(points: Sequence[Point]) -> Figure:
    """A panel an axis: error at the middle radius against the value, thin the clean error, dotted Euclidean."""
    from matplotlib.figure import Figure

    axes_of = list(dict.fromkeys(axis for axis, _, _ in points))
    datasets = sorted(points[0][2], key=dataset_rank)
    columns = min(3, len(axes_of))
    rows = -(-len(axes_of) // columns)
    figure = Figure(figsize=(PAGE_WIDTH, 2.4 * rows + 0.35), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, axis in zip(panels, axes_of):
        own = [(label, curves) for a, label, curves in points if a == axis]
        _axis_panel(axes, axis, own, datasets)
    for axes in panels[len(axes_of) :]:
        axes.set_axis_off()
    handles: list[Any] = []
    for i, name in enumerate(datasets):
        middle = points[0][2][name]["middle"]
        handles += panels[0].plot(
            [], [], color=_COLOURS[i], marker=_MARKERS[i], ms=4, lw=1.4, label=f"{name}, r = {middle:g}"
        )
    handles += panels[0].plot([], [], color="0.35", lw=0.7, label="clean error")
    handles += panels[0].plot([], [], color="0.35", lw=0.9, ls=":", label="Euclidean, same radius")
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False)
    return figure


def _axis_panel(axes: Axes, axis: str, own: Sequence[tuple[str, Mapping[str, Any]]], datasets: Sequence[str]) -> None:
    places = np.arange(len(own))
    for i, name in enumerate(datasets):
        middle = [_at_middle(curves[name], LEARNED) for _, curves in own]
        clean = [curves[name]["methods"][LEARNED]["clean"] for _, curves in own]
        axes.axhline(_at_middle(own[0][1][name], REFERENCE), color=_COLOURS[i], lw=0.9, ls=":")
        axes.plot(places, middle, color=_COLOURS[i], marker=_MARKERS[i], ms=4, lw=1.4, clip_on=False)
        axes.plot(places, clean, color=_COLOURS[i], lw=0.7)
    long = max(len(label) for label, _ in own) > 6
    axes.set_xticks(places, [label for label, _ in own], rotation=40 if long else 0, ha="right" if long else "center")
    axes.set_title(axis)
    axes.set_ylim(0, 1)
    axes.set_ylabel("error")


# --- seeds ---------------------------------------------------------------------------------------


def _seed_lines(points: Sequence[Point]) -> tuple[list[str], str, Any]:
    datasets = sorted(points[0][2], key=dataset_rank)
    labels = [label for _, label, _ in points]
    lines = [
        "Exact robust error of 1-NN on the first test points of the paper's shuffle; ARML with the seeds "
        f"{', '.join(labels)}: mean and, in brackets, lowest and highest. Splice: the order of its test rows, and with "
        "it the sample, differs from the authors'.",
        "",
        *_verdict(points, datasets),
    ]
    for name in datasets:
        one = points[0][2][name]
        errors = np.array([curves[name]["methods"][LEARNED]["errors"] for _, _, curves in points])
        paper = [_paper(name, radius) for radius in one["radii"]]
        header = ["method", *(f"r = {radius:g}" for radius in one["radii"])]
        body = [
            ["ARML", *(f"{e.mean():.3f} ({e.min():.3f} to {e.max():.3f})" for e in errors.T)],
            ["ARML, the paper", *("" if value is None else f"{value:.3f}" for value in paper)],
            ["Euclidean", *(f"{error:.3f}" for error in one["methods"][REFERENCE]["errors"])],
        ]
        costs = [curves[name]["methods"][LEARNED] for _, _, curves in points]
        seconds, memory = [c.get("seconds") or 0.0 for c in costs], [c.get("peak_memory_mib") or 0.0 for c in costs]
        lines += ["", f"## {name}", "", *markdown_table(header, body), ""]
        lines += [
            f"{one['methods'][LEARNED]['n_points']} test points. Fits took {min(seconds):.0f} to {max(seconds):.0f} s, "
            f"at most {max(memory):.0f} MiB in its process."
        ]
    alt = "ARML's robust error less the paper's at each radius, a panel a data set, a mark a seed, beside Euclidean's."
    return lines, alt, lambda: seed_figure(points)


def _paper(dataset: str, radius: float) -> float | None:
    value = paper_value(dataset, LEARNED, "exact", 1, radius)
    return None if value is None or not value.same_split else value.error


def _verdict(points: Sequence[Point], datasets: Sequence[str]) -> list[str]:
    """The two checks, on the mean and on every single seed."""
    checks = (
        (f"within {WITHIN_PAPER:g} of the paper's ARML row, or better", WITHIN_PAPER, _paper),
        (f"at most {WITHIN_EUCLIDEAN:g} worse than Euclidean", WITHIN_EUCLIDEAN, None),
    )
    lines = []
    for what, slack, published in checks:
        beyond, single, cells = [], 0, 0
        for name in datasets:
            one = points[0][2][name]
            errors = np.array([curves[name]["methods"][LEARNED]["errors"] for _, _, curves in points])
            for i, radius in enumerate(one["radii"]):
                limit = published(name, radius) if published else one["methods"][REFERENCE]["errors"][i]
                if limit is None:
                    continue
                over = errors[:, i] - limit
                cells += 1
                single += int((over > slack + 1e-9).sum())
                if over.mean() > slack + 1e-9:
                    beyond.append(f"{name} r = {radius:g} ({over.mean():+.3f})")
        lines.append(
            f"- Mean {what}: {cells - len(beyond)} of {cells} cells"
            + (f"; not at {', '.join(beyond)}" if beyond else "")
            + f". Of single seeds, {cells * len(points) - single} of {cells * len(points)}."
        )
    return lines


def seed_figure(points: Sequence[Point]) -> Figure:
    """A panel a data set: error less the paper's ARML, at each radius; a mark a seed, a line Euclidean."""
    from matplotlib.figure import Figure

    datasets = sorted(points[0][2], key=dataset_rank)
    figure = Figure(figsize=(PAGE_WIDTH, 2.1 * -(-len(datasets) // 3) + 0.35), layout="constrained")
    panels = figure.subplots(-(-len(datasets) // 3), min(3, len(datasets)), squeeze=False).ravel()
    colour, marker = style(LEARNED, [LEARNED])
    for axes, name in zip(panels, datasets):
        one = points[0][2][name]
        paper = [_paper(name, radius) for radius in one["radii"]]
        base = np.array([np.nan if value is None else value for value in paper])
        axes.axhspan(-WITHIN_PAPER, WITHIN_PAPER, color="0.92", lw=0)
        axes.axhline(0, color="0.5", lw=0.6)
        euclidean = np.array(one["methods"][REFERENCE]["errors"]) - base
        axes.plot(one["radii"], euclidean, color=style(REFERENCE, [])[0], lw=1.0, marker="o", ms=3)
        for _, _, curves in points:
            errors = np.array(curves[name]["methods"][LEARNED]["errors"]) - base
            axes.plot(one["radii"], errors, color=colour, marker=marker, ms=5, lw=0.5, mew=0.4, mec="white")
        axes.set_title(name)
        axes.set_xlabel("radius")
        axes.set_ylabel("error − paper's ARML")
    for axes in panels[len(datasets) :]:
        axes.set_axis_off()
    handles = panels[0].plot([], [], color=colour, marker=marker, ms=5, lw=0.5, label="ARML, a line a seed")
    handles += panels[0].plot([], [], color=style(REFERENCE, [])[0], marker="o", ms=3, lw=1, label="Euclidean")
    handles.append(panels[0].fill_between([], [], color="0.92", label=f"within {WITHIN_PAPER:g} of the paper's ARML"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    return figure
