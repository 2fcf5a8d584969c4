"""What a command leaves behind: files that are never half written, and never replaced without being told to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arml.errors import DataError

if TYPE_CHECKING:
    from arml.cli.inputs import Problem

__all__ = ["check_targets", "facts"]


def check_targets(
    targets: Iterable[Path | None],
    inputs: Iterable[Path | None],
    force: bool,
    suffixes: tuple[str, ...] = (".parquet",),
) -> None:
    """Refuse, before any work, to write what cannot or should not be written.

    Parameters
    ----------
    targets, inputs : iterables of Path or None
        Files to write and files that are read; None stands for one that is not asked for.
    force : bool
        Existing targets may be replaced; inputs never.
    suffixes : tuple of str
        What names of targets may end with.

    Raises
    ------
    DataError
        A target exists, is an input or another target, has another suffix, or its folder cannot be written to.
    """
    taken = {path.resolve() for path in inputs if path is not None}
    for target in targets:
        if target is None:
            continue
        if target.suffix not in suffixes:
            raise DataError(f"{target}: the name of this output must end with {' or '.join(suffixes)}")
        if target.resolve() in taken:
            raise DataError(f"{target}: is already an input or another output of this command; use another name")
        taken.add(target.resolve())
        if target.exists() and not force:
            raise DataError(f"{target}: exists; give --force to replace it, or use another name")
        folder = next(folder for folder in target.absolute().parents if folder.exists())
        if target.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise DataError(f"{target}: cannot be written there; check the folder's permissions, or use another name")


def facts(problem: Problem, command: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of results: what was asked, of which data, under which metric, by which versions."""
    from arml import __version__
    from arml.results.parquet import provenance

    return provenance(dataset=problem.name, stage=command, params=dict(options), arml=__version__, **problem.facts)
