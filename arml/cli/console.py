"""What a command says, where, and with which exit code it ends.

Standard output holds the answer: tables, or with ``--json`` one JSON document and nothing else. Errors, notes and
progress go to standard error, progress only where that is a terminal.
"""

from __future__ import annotations

import codecs
import functools
import io
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ParamSpec

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from arml.errors import ArmlError
from arml.system.extras import MissingExtraError

__all__ = [
    "BAD_INPUT",
    "DOES_NOT_HOLD",
    "INTERRUPTED",
    "note",
    "print_json",
    "print_table",
    "progress",
    "reported",
    "speak_its_encoding",
]

DOES_NOT_HOLD, BAD_INPUT, INTERRUPTED = 1, 2, 130

_PLAIN_WIDTH = 120
P = ParamSpec("P")
# what stands for signs that a terminal's encoding lacks
_SPELT = {
    "≤": "<=",
    "≥": ">=",
    "…": "...",
    "ℓ": "l",
    "₂": "2",
    "–": "-",
    "—": "-",
    "−": "-",
    "·": ".",
    "×": "x",
    "ε": "eps",
}


def reported(command: Callable[P, None]) -> Callable[P, None]:
    """Let a command end with one line and an exit code where the library raises: never with a traceback.

    :class:`ValueError` (:class:`arml.errors.DataError` is one), :class:`OSError` and a missing extra are bad input;
    arml's other exceptions say that what was asked does not hold.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt:
            raise _ended("interrupted; no output file was left half written", INTERRUPTED) from None
        except BrokenPipeError:  # the reader of our output has gone: nothing to say, and nobody to say it to
            raise
        except (ValueError, OSError, MissingExtraError) as error:
            raise _ended(f"error: {error}", BAD_INPUT) from None
        except ArmlError as error:
            raise _ended(f"error: {error}", DOES_NOT_HOLD) from None

    return run


def speak_its_encoding() -> None:
    """Have standard output and error spell out, or leave out with "?", what their encoding has no sign for."""

    def spelt(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        return "".join(_SPELT.get(sign, "?") for sign in error.object[error.start : error.end]), error.end

    codecs.register_error("arml.spelt", spelt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="arml.spelt")


def _ended(message: str, code: int) -> typer.Exit:
    note(message)
    return typer.Exit(code)


def note(message: str) -> None:
    """One line on standard error."""
    typer.echo(" ".join(message.split()), err=True)


def print_json(document: Mapping[str, Any]) -> None:
    """The answer as JSON on standard output. Infinite and undefined numbers, which JSON has not, become null."""
    typer.echo(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """A table on standard output, between two lines of text; its first column is text, the others are numbers."""
    table = Table()
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # names of people's own are no markup
    console = Console()
    if not console.is_terminal:
        console = Console(width=_PLAIN_WIDTH)
    console.print(Text(title, style="bold"), soft_wrap=True)
    console.print(table)
    if caption:
        console.print(Text(caption), soft_wrap=True)


@contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while the block runs; it yields what to call with the number of points just done.

    Parameters
    ----------
    total : int or None
        Points in all; None for work of unknown length.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    left = [] if total is None else [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    columns = [SpinnerColumn(), TextColumn("{task.description}"), *left]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.advance(task, done)
