"""Arguments and options that several commands share: one name and one explanation each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "Box",
    "Force",
    "Json",
    "K",
    "Label",
    "Limit",
    "Metric",
    "Name",
    "Out",
    "Scaling",
    "Seed",
    "Test",
    "Train",
    "about_data",
    "output_file",
]

_DATA, _RESULT = "Data and metric", "Results"


def about_data(flag: str, metavar: str, help: str, **more: Any) -> Any:
    """An option that says what the data are or how they are read, without a default worth showing."""
    return typer.Option(flag, metavar=metavar, show_default=False, help=help, rich_help_panel=_DATA, **more)


def output_file(flag: str, help: str) -> Any:
    """An option that names a file to write."""
    return typer.Option(flag, metavar="FILE", show_default=False, help=help, rich_help_panel=_RESULT)


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
    about_data(
        "--metric", "FILE", "A metric of `arml fit` (.npz) or of the pipeline (.parquet). Without it: Euclidean."
    ),
]
Scaling = Annotated[
    str | None,
    about_data(
        "--scaling",
        "none|minmax|unit|standard",
        (
            "*none*: features as given (the default, or what the metric was fitted with). *minmax*: each feature to "
            "[0, 1] by TRAIN's least and largest value. *unit*: all features by one common shift and factor. "
            "*standard*: each to mean 0 and variance 1. "
            "Radii are lengths in the scaled features."
        ),
    ),
]
Name = Annotated[str | None, about_data("--name", "NAME", "What result rows call the data; otherwise TEST's name.")]
Limit = Annotated[int | None, about_data("--limit", "N", "Only the first N test points.", min=1)]
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
Out = Annotated[Path | None, output_file("--out", "Write the rows, one a test point, to this Parquet file.")]
Certificates = Annotated[
    Path | None,
    output_file("--certificates", "Write the rows with what proves them to this Parquet file, for `arml check`."),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json", help="Print the answer as JSON, and nothing else; infinite is null.", rich_help_panel=_RESULT
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace output files that exist.", rich_help_panel=_RESULT)]
