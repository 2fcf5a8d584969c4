"""Arguments and options that several commands share: one name and one explanation each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Box", "Force", "Json", "K", "Label", "Limit", "Metric", "Name", "Out", "Scaling", "Seed", "Test", "Train"]

_DATA, _RESULT = "Data and metric", "Results"

Train = Annotated[
    Path,
    typer.Argument(metavar="TRAIN", show_default=False, help="Training points: CSV, Parquet, ARFF or LIBSVM text."),
]
Test = Annotated[
    Path,
    typer.Argument(
        metavar="TEST",
        show_default=False,
        help="Test points with their true labels; the same columns as TRAIN, in any order.",
    ),
]
Label = Annotated[
    str,
    typer.Option(
        "--label",
        metavar="COL",
        help="The column of labels (whole numbers or text). Not used for LIBSVM. *first*, *last* without header.",
        rich_help_panel=_DATA,
    ),
]
Metric = Annotated[
    Path | None,
    typer.Option(
        "--metric",
        metavar="FILE",
        show_default=False,
        help="A metric of `arml fit` (.npz) or of the pipeline (.parquet). Without it: Euclidean.",
        rich_help_panel=_DATA,
    ),
]
Scaling = Annotated[
    str | None,
    typer.Option(
        "--scaling",
        metavar="none|minmax|unit|standard",
        show_default=False,
        help=(
            "*none*: features as given (the default, or what the metric was fitted with). *minmax*: each feature to "
            "[0, 1] by TRAIN's least and largest value. *unit*: all features by one common shift and factor. "
            "*standard*: each to mean 0 and variance 1. "
            "Radii are lengths in the scaled features."
        ),
        rich_help_panel=_DATA,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="NAME",
        show_default=False,
        help="What result rows call the data; otherwise TEST's name.",
        rich_help_panel=_DATA,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit",
        metavar="N",
        min=1,
        show_default=False,
        help="Only the first N test points.",
        rich_help_panel=_DATA,
    ),
]
K = Annotated[int, typer.Option("-k", "--neighbors", metavar="K", min=1, help="Neighbours that vote.")]
Box = Annotated[
    tuple[float, float] | None,
    typer.Option(
        "--box",
        metavar="LOW HIGH",
        show_default=False,
        help="Changed points stay in this range, in every (scaled) feature. Without it they go anywhere.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Equal seeds give equal results.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        show_default=False,
        help="Write the rows, one a test point, to this Parquet file.",
        rich_help_panel=_RESULT,
    ),
]
Certificates = Annotated[
    Path | None,
    typer.Option(
        "--certificates",
        metavar="FILE",
        show_default=False,
        help="Write the rows with what proves them to this Parquet file, for `arml check`.",
        rich_help_panel=_RESULT,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the answer as JSON, and nothing else; infinite is null.", rich_help_panel=_RESULT
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace output files that exist.", rich_help_panel=_RESULT)]
