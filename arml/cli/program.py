"""The commands put together, and what ``arml --help`` says."""

from __future__ import annotations

from typing import Annotated

import typer

from arml import __version__
from arml.cli.attack import attack
from arml.cli.certify import certify
from arml.cli.check import check
from arml.cli.console import reported, speak_its_encoding
from arml.cli.curve import curve
from arml.cli.dialect import reads_data
from arml.cli.fit import fit
from arml.cli.verify import verify

__all__ = ["app", "main"]

app = typer.Typer(name="arml", no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)
for _command in (fit, certify, verify, attack, curve, check):
    app.command(no_args_is_help=True)(reported(_command if _command is curve else reads_data(_command)))


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"arml {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """Nearest neighbours whose robustness is proved, on your own files.

    A *radius* belongs to one test point: however the point's features move by less than that (Euclidean length), the
    classifier's answer stays right. **fit** learns a metric that makes radii larger, **certify** proves radii for any
    K, **verify** finds the exact ones, **attack** finds changes that break the answer, **curve** counts how many points
    each length breaks, and **check** proves stored certificates again without the code that made them.

    A first session:

    1. `arml fit train.csv --label kind --scaling minmax --out metric.npz`

    2. `arml certify train.csv test.csv --label kind --metric metric.npz --certificates proofs.parquet`

    3. `arml check train.csv test.csv proofs.parquet --label kind --metric metric.npz`

    4. `arml curve proofs.parquet --plot curve.svg`

    **Files.** CSV, Parquet, ARFF or LIBSVM text, compressed (.gz, .bz2, .xz) or not, told by content and suffix.
    Features are numbers; --encode and --missing make such of text and of gaps. Labels are whole numbers or text.
    Results are Parquet, one row a test point; pandas, polars and DuckDB read them.

    **Units.** Radii are lengths in the features as given, unless --scaling says otherwise.

    **Exit codes.** 0: done. 1: what was asked does not hold (a certificate is rejected, a learner finds no metric).
    2: bad usage or input; one line on stderr says what. 130: interrupted. Whatever happens, an output file is the old
    one or the new one, never half of it.
    """


def main() -> None:
    """Run the command line; ends the process with one of the exit codes above."""
    speak_its_encoding()
    app()
