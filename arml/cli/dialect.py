"""Options that say how data files are read, the same for every command that reads some."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from arml.cli.inputs import reading

__all__ = ["reads_data"]

_PANEL = "Reading files (seen from the content where it leaves no doubt)"


def _option(name: str, metavar: str, about: str) -> Any:
    return typer.Option(f"--{name}", metavar=metavar, show_default=False, help=about, rich_help_panel=_PANEL)


_OPTIONS: dict[str, Any] = {
    "drop": Annotated[list[str] | None, _option("drop", "COL", "A column that is no feature; as often as needed.")],
    "format": Annotated[str | None, _option("format", "csv|parquet|arff|libsvm", "What the files are.")],
    "separator": Annotated[str | None, _option("separator", "CHAR", "Of CSV, between cells; *tab*, *space*.")],
    "decimal": Annotated[str | None, _option("decimal", "CHAR", "Before decimals.")],
    "thousands": Annotated[str | None, _option("thousands", "CHAR", "Between groups of three digits.")],
    "encoding": Annotated[str | None, _option("encoding", "NAME", "Of text: utf-8, cp1252, latin-1, utf-16")],
    "header": Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            show_default=False,
            help="Whether CSV's first line names the columns; else they are 1, 2 and so on.",
            rich_help_panel=_PANEL,
        ),
    ],
    "missing_marks": Annotated[
        list[str] | None, _option("missing-mark", "TEXT", "A cell that means nothing is known; as often as needed.")
    ],
    "zero_based": Annotated[
        bool | None,
        typer.Option(
            "--zero-based/--one-based",
            show_default=False,
            help="Whether LIBSVM's indices count from 0 or 1.",
            rich_help_panel=_PANEL,
        ),
    ],
    "encode": Annotated[str | None, _option("encode", "one-hot", "Text columns become a feature a value, 0 or 1.")],
    "missing": Annotated[
        str | None,
        _option("missing", "error|median|mean|drop", "Missing values: refused, TRAIN's median or mean, rows left out."),
    ],
}


def reads_data(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options above, which hold for the files that it reads."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name) for name in _OPTIONS if name in kwargs}
        drop = given.pop("drop", None) or ()
        given["missing_marks"] = given.get("missing_marks") or None
        with reading(drop, given):
            command(*args, **kwargs)

    signature = inspect.signature(command, eval_str=True)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    parameters = [*signature.parameters.values(), *added]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
