"""What a sweep of experiments shows: its table, its figure, and two checks of the learned metric.

A point of a sweep is (axis, label, curves): curves map each data set to what :func:`robust_errors` gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from arml.curves import robust_curves
from arml.report.figures import PAGE_WIDTH, save_figure
from arml.report.markup import csv_text, markdown_table
from arml.report.published import dataset_rank, paper_value
from arml.report.study import method_label, middle_radius
from arml.report.styles import house_style, style
from arml.system.files import write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["headline", "robust_errors", "write_report"]

Point = tuple[str, str, Mapping[str, Any]]
Floats = NDArray[np.float64]
WITHIN_PAPER, WITHIN_EUCLIDEAN = 0.015, 0.005
LEARNED, REFERENCE = "arml", "euclidean"
KINDS = ("exact", "certified")
_SLACK = 1e-9  # errors are multiples of one test point


def robust_errors(
    tables: Iterable[pa.Table], radii: Sequence[float], costs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Errors of every method of one data set, exact 1-NN and certified K-NN, JSON-able.

    Parameters
    ----------
    tables : iterable of Table
        Results of one data set.
    radii : sequence of float
    costs : sequence of dict
        Rows of the timings of its fits.

    Returns
    -------
    dict
        ``radii``, ``middle`` and ``n_neighbors`` (of the certificates), and ``methods``: for each the errors of both
        kinds at the radii, and what its fit cost.
    """
    methods: dict[str, Any] = {}
    certified_k = 0
    for curve in (curve for table in tables for curve in robust_curves(table)):
        if curve.kind not in KINDS:
            continue
        if curve.kind == "certified":
            certified_k = curve.n_neighbors
        methods.setdefault(curve.method, {})[curve.kind] = {
            "clean": curve.clean_error,
            "errors": curve.errors(radii).tolist(),
            "n_points": curve.n_points,
        }
    for row in costs:
        if row["method"] in methods:
            methods[row["method"]] |= {"seconds": row["seconds"], "peak_memory_mib": row["peak_memory_mib"]}
    return {
        "radii": [float(radius) for radius in radii],
        "middle": middle_radius(radii),
        "n_neighbors": certified_k,
        "methods": methods,
    }


def headline(curves: Mapping[str, Any]) -> dict[str, Any]:
    """The learned metric's clean error and errors at the middle radius, by data set."""
    found = {}
    for dataset, one in curves.items():
        found[dataset] = {
            "clean": one["methods"][LEARNED]["exact"]["clean"],
            **{kind: _at_middle(one, LEARNED, kind) for kind in KINDS},
        }
    return found


def _at_middle(one: Mapping[str, Any], method: str, kind: str) -> float:
    return float(one["methods"][method][kind]["errors"][one["radii"].index(one["middle"])])


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
    "kind",
    "n_neighbors",
    "radius",
    "error",
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
                for kind in KINDS:
                    k = 1 if kind == "exact" else one["n_neighbors"]
                    for radius, error in zip(one["radii"], found[kind]["errors"]):
                        yield axis, label, dataset, method, kind, k, radius, error, found[kind]["n_points"], *cost


# --- one parameter at a time ---------------------------------------------------------------------


def _axis_lines(points: Sequence[Point]) -> tuple[list[str], str, Any]:
    datasets = sorted(points[0][2], key=dataset_rank)
    middle = {name: points[0][2][name]["middle"] for name in datasets}
    header = ["value"]
    for name in datasets:
        header += [f"{name}: clean", f"r = {middle[name]:g}", "certified", "s"]
    one = points[0][2][datasets[0]]
    sizes = sorted({one["methods"][LEARNED]["exact"]["n_points"] for _, _, c in points for one in c.values()})
    lines = [
        "Robust error under ARML's metric, one parameter changed at a time, the others as in params.yaml: clean and "
        f"exact error of 1-NN, then certified error of {one['n_neighbors']}-NN (Theorem 1) at the same radius; "
        f"{' or '.join(map(str, sizes))} test points. s: seconds of the fit, on the machine at hand and beside what "
        "else it did. Euclidean stands in the first row of each table.",
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
        errors = [found["exact"]["clean"], *(_at_middle(curves[name], method, kind) for kind in KINDS)]
        cells += [*(f"{error:.3f}" for error in errors)]
        cells += [f"{found['seconds']:.1f}" if found.get("seconds") is not None and method == LEARNED else ""]
    return cells


_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "D", "v", "P")


def axis_figure(points: Sequence[Point]) -> Figure:
    """A panel an axis: error at the middle radius against the value, small marks the clean error, dotted Euclidean."""
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
    handles += panels[0].plot([], [], color="0.35", lw=0.7, marker="o", ms=2, label="clean error")
    handles += panels[0].plot([], [], color="0.35", lw=0.9, ls=":", label="Euclidean, same radius")
    figure.legend(handles=handles, loc="outside upper center", ncols=min(4, len(handles)), frameon=False)
    return figure


def _axis_panel(axes: Axes, axis: str, own: Sequence[tuple[str, Mapping[str, Any]]], datasets: Sequence[str]) -> None:
    places = np.arange(len(own))
    ordered = all(_is_number(label) for label, _ in own)  # between names there is no line to draw
    for i, name in enumerate(datasets):
        middle = [_at_middle(curves[name], LEARNED, "exact") for _, curves in own]
        clean = [curves[name]["methods"][LEARNED]["exact"]["clean"] for _, curves in own]
        axes.axhline(_at_middle(own[0][1][name], REFERENCE, "exact"), color=_COLOURS[i], lw=0.9, ls=":")
        marks: Any = {"color": _COLOURS[i], "marker": _MARKERS[i], "ls": "-" if ordered else "", "clip_on": False}
        axes.plot(places, middle, ms=4, lw=1.4, **marks)
        axes.plot(places, clean, ms=2, lw=0.7, **marks)
    long = max(len(label) for label, _ in own) > 6
    axes.set_xticks(places, [label for label, _ in own], rotation=40 if long else 0, ha="right" if long else "center")
    axes.set_title(axis)
    axes.set_ylim(0, 1)
    axes.set_ylabel("error")


def _is_number(label: str) -> bool:
    try:
        return bool(np.isfinite(float(label)))
    except ValueError:
        return False


# --- seeds ---------------------------------------------------------------------------------------


def _seed_lines(points: Sequence[Point]) -> tuple[list[str], str, Any]:
    datasets = sorted(points[0][2], key=dataset_rank)
    labels = [label for _, label, _ in points]
    k = points[0][2][datasets[0]]["n_neighbors"]
    lines = [
        f"ARML with the seeds {', '.join(labels)}, beside the paper's rows: exact robust error of 1-NN and certified "
        f"error of {k}-NN (Theorem 1), mean and, in brackets, lowest and highest, on the first test points of the "
        "paper's shuffle. Splice: the order of its test rows, and with it the sample, differs from the authors'.",
        "",
        *_verdict(points, datasets),
    ]
    for name in datasets:
        one = points[0][2][name]
        header = ["", "method", *(f"r = {radius:g}" for radius in one["radii"])]
        body = []
        for kind, title in zip(KINDS, ("exact, 1-NN", f"certified, {k}-NN")):
            errors = _errors(points, name, kind)
            paper = _paper(one, name, kind)
            body += [
                [title, "ARML", *(f"{e.mean():.3f} ({e.min():.3f} to {e.max():.3f})" for e in errors.T)],
                ["", "ARML, the paper", *("" if np.isnan(value) else f"{value:.3f}" for value in paper)],
                ["", "Euclidean", *(f"{error:.3f}" for error in one["methods"][REFERENCE][kind]["errors"])],
            ]
        costs = [curves[name]["methods"][LEARNED] for _, _, curves in points]
        seconds, memory = [c.get("seconds") or 0.0 for c in costs], [c.get("peak_memory_mib") or 0.0 for c in costs]
        lines += ["", f"## {name}", "", *markdown_table(header, body), ""]
        lines += [
            f"{one['methods'][LEARNED]['exact']['n_points']} test points. Fits took {min(seconds):.0f} to "
            f"{max(seconds):.0f} s, at most {max(memory):.0f} MiB in their process."
        ]
    alt = "ARML's robust error less the paper's at each radius, a panel a data set, a line a seed, beside Euclidean's."
    return lines, alt, lambda: seed_figure(points)


def _errors(points: Sequence[Point], dataset: str, kind: str) -> Floats:
    """The learned metric's errors, a row a seed."""
    return np.array([curves[dataset]["methods"][LEARNED][kind]["errors"] for _, _, curves in points])


def _paper(one: Mapping[str, Any], dataset: str, kind: str) -> Floats:
    """The published ARML row, NaN where there is none of this split."""
    k = 1 if kind == "exact" else one["n_neighbors"]
    values = (paper_value(dataset, LEARNED, kind, k, radius) for radius in one["radii"])
    return np.array([np.nan if value is None or not value.same_split else value.error for value in values])


def _verdict(points: Sequence[Point], datasets: Sequence[str]) -> list[str]:
    """How the means, and every single seed, stand to the paper's rows and to Euclidean."""
    first = points[0][2]
    near = {name: _errors(points, name, "exact") - _paper(first[name], name, "exact") for name in datasets}
    plain = {
        name: _errors(points, name, "exact") - np.array(first[name]["methods"][REFERENCE]["exact"]["errors"])
        for name in datasets
    }
    lines = [
        _counted(f"within {WITHIN_PAPER:g} of the paper's ARML, or better", near, WITHIN_PAPER, first),
        _counted(f"at most {WITHIN_EUCLIDEAN:g} worse than Euclidean", plain, WITHIN_EUCLIDEAN, first),
    ]
    for kind, what, middle in (
        ("exact", "clean error of 1-NN", False),
        ("exact", "exact error of 1-NN at the middle radius", True),
        ("certified", "certified error of K-NN at the middle radius", True),
    ):
        told = []
        for name in datasets:
            one = first[name]
            over = (_errors(points, name, kind) - _paper(one, name, kind)).mean(axis=0)
            told.append((name, float(over[one["radii"].index(one["middle"] if middle else 0.0)])))
        lower = sum(difference < -_SLACK for _, difference in told)
        each = ", ".join(f"{name} {difference:+.4f}" for name, difference in told)
        lines.append(f"- Mean {what}, less the paper's ARML: {each}: lower on {lower} of {len(told)}.")
    return lines


def _counted(what: str, over: Mapping[str, Floats], slack: float, first: Mapping[str, Any]) -> str:
    beyond, good, single, cells, values = [], 0, 0, 0, 0
    for name, errors in over.items():
        for radius, column in zip(first[name]["radii"], errors.T):
            if np.isnan(column).any():
                continue
            cells, values, single = cells + 1, values + column.size, single + int((column <= slack + _SLACK).sum())
            good += int(column.mean() <= slack + _SLACK)
            if column.mean() > slack + _SLACK:
                beyond.append(f"{name} r = {radius:g} ({column.mean():+.3f})")
    rest = f"; not at {', '.join(beyond)}" if beyond else ""
    return f"- Exact error of 1-NN, mean {what}: {good} of {cells} cells{rest}; single seeds: {single} of {values}."


def seed_figure(points: Sequence[Point]) -> Figure:
    """A panel a data set: error less the paper's ARML, at each radius; a line a seed, one for Euclidean."""
    from matplotlib.figure import Figure

    datasets = sorted(points[0][2], key=dataset_rank)
    figure = Figure(figsize=(PAGE_WIDTH, 2.1 * -(-len(datasets) // 3) + 0.35), layout="constrained")
    panels = figure.subplots(-(-len(datasets) // 3), min(3, len(datasets)), squeeze=False).ravel()
    colour, marker = style(LEARNED, [LEARNED])
    for axes, name in zip(panels, datasets):
        one = points[0][2][name]
        paper = _paper(one, name, "exact")
        axes.axhspan(-WITHIN_PAPER, WITHIN_PAPER, color="0.92", lw=0)
        axes.axhline(0, color="0.5", lw=0.6)
        euclidean = np.array(one["methods"][REFERENCE]["exact"]["errors"]) - paper
        axes.plot(one["radii"], euclidean, color=style(REFERENCE, [])[0], lw=1.0, marker="o", ms=3)
        for errors in _errors(points, name, "exact"):
            axes.plot(one["radii"], errors - paper, color=colour, marker=marker, ms=5, lw=0.5, mew=0.4, mec="white")
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
