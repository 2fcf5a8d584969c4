"""The command line: ``arml fit | certify | verify | attack | curve | check`` on your own files.

One module a command, each thin: it reads files (:mod:`arml.cli.inputs`), calls the library some points at a time
(:mod:`arml.cli.points`), writes the pipeline's Parquet files (:mod:`arml.cli.outputs`) and says what came out
(:mod:`arml.cli.console`, which also owns the exit codes). Asking for help imports neither NumPy nor torch.
"""

from __future__ import annotations

from arml.cli.program import app, main

__all__ = ["app", "main"]
