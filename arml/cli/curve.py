"""``arml curve``: how many points a change of each length can break, from stored results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from arml.cli import options
from arml.cli.console import print_json, print_table
from arml.cli.inputs import check_parquet
from arml.cli.outputs import check_targets
from arml.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

    from arml.curves import Curve

__all__ = ["curve"]

_STEPS = 10


def curve(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULTS...",
            show_default=False,
            help="Rows of certify, verify or attack (also with certificates), or the pipeline's data/results.",
        ),
    ],
    radii: Annotated[
        str | None,
        typer.Option(
            "--radii",
            metavar="0,0.1,...",
            show_default=False,
            help="Lengths to count at; otherwise round ones that fit.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            show_default=False,
            help="Draw the curves: .svg, .pdf or .png. Needs `pip install 'arml[report]'`.",
        ),
    ] = None,
    as_json: options.Json = False,
    force: options.Force = False,
) -> None:
    """Count errors against the length of the change: robust error, with 95 % intervals.

    At radius r, a *certified* or *exact* curve counts the points whose proved radius is at most r: the true error of
    this test set is no higher. An *attacked* curve counts the points that changes of at most r were found to break: it
    is no lower. The interval (Wilson's) says how far a test set of this size may be from all data.

    `arml curve rows.parquet attacked.parquet --radii 0,0.1,0.2,0.3 --plot curve.svg`
    """
    check_parquet(files)
    check_targets((plot,), files, force, (".svg", ".pdf", ".png"))
    if plot is not None:
        from arml.system.extras import require

        require("--plot", "matplotlib")
    from arml.curves import robust_curves

    curves = robust_curves(_rows(files))
    if not curves:
        raise DataError("the files hold no row: there is nothing to count")
    at = _default_radii(curves) if radii is None else _parsed(radii)
    if plot is not None:
        from arml.cli.drawing import draw

        draw(curves, at, plot)
    answer = [_counted(one, at) for one in curves]
    if as_json:
        print_json({"command": "curve", "curves": answer, "files": {} if plot is None else {"plot": str(plot)}})
        return
    _print(answer, at)


def _print(answer: Sequence[dict[str, Any]], radii: Sequence[float]) -> None:
    """A table for each data set, K, kind and algorithm, with a column a method."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in answer:
        title = f"{one['dataset']}: K = {one['n_neighbors']}, {one['kind']} ({one['algorithm']}): error, 95 % interval"
        groups.setdefault(title, []).append(one)
    for title, group in groups.items():
        cells = [
            [
                f"{error:.3f} {_short(low)}–{_short(high)}"
                for error, low, high in zip(one["errors"], one["low"], one["high"])
            ]
            for one in group
        ]
        lines = [(f"{radius:.6g}", *row) for radius, row in zip(radii, zip(*cells))]
        told = [
            f"{one['method']}: {one['n_points']} points, clean error {one['clean_error']:.3f}"
            + (f", {one['n_unsolved']} undecided" if one["n_unsolved"] else "")
            for one in group
        ]
        print_table(title, ("radius", *(one["method"] for one in group)), lines, caption="; ".join(told))


def _short(share: float) -> str:
    return f"{share:.3f}".removeprefix("0")


def _rows(files: Sequence[Path]) -> pa.Table:
    """All rows, of results and of evidence, in one table. DataError where two are about the same point."""
    from arml.results.evidence import results_of
    from arml.results.parquet import concat, read_table, schema_of

    tables = [
        results_of(read_table(file, "evidence" if schema_of(file) == "evidence" else "results")) for file in files
    ]
    return concat(tables)


def _parsed(text: str) -> list[float]:
    try:
        found = sorted({float(word) for word in text.split(",")})
    except ValueError:
        found = []
    if not found or not all(math.isfinite(radius) and radius >= 0 for radius in found):
        raise ValueError(f"--radii takes numbers of at least 0, separated by commas, got {text!r}")
    return found


def _default_radii(curves: Sequence[Curve]) -> list[float]:
    """0 and ten steps of 1, 2 or 5 times a power of ten, up to where nine of ten lengths lie."""
    import numpy as np

    values = np.concatenate([one.values for one in curves])
    known = values[np.isfinite(values) & (values > 0)]
    if not known.size:
        return [0.0]
    step = float(np.quantile(known, 0.9)) / _STEPS
    unit = 10.0 ** math.floor(math.log10(step))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= step)
    return [float(f"{step * count:.12g}") for count in range(_STEPS + 1)]


def _counted(one: Curve, radii: Sequence[float]) -> dict[str, Any]:
    from arml.curves import wilson_interval

    low, high = wilson_interval(one.counts(radii), one.n_points)
    return {
        **{name: getattr(one, name) for name in ("dataset", "method", "kind", "algorithm", "n_neighbors")},
        **{name: getattr(one, name) for name in ("n_points", "n_unsolved", "clean_error")},
        "radii": list(radii),
        "errors": one.errors(radii).tolist(),
        "low": low.tolist(),
        "high": high.tolist(),
    }
