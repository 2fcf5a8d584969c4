"""The page that a run writes for itself: what it took, stage by stage, by which code, with what, on which machine.

None of this is the same in two runs, so that no page of results has it, and git does not keep it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from arml.report.page import prose_html
from arml.report.stage_costs import costs_markdown
from arml.results.parquet import read_table
from arml.system.files import write_text

__all__ = ["read_timings", "run_markdown", "write_run_page"]


def read_timings(files: Iterable[str | os.PathLike[str]]) -> pa.Table | None:
    """Return the timings in `files` as one table; None where none of them is there, as after a ``dvc pull``.

    Raises
    ------
    DataError
        A file is damaged or of another kind.
    """
    tables = [read_table(file, "timings").replace_schema_metadata(None) for file in files if Path(file).is_file()]
    return pa.concat_tables(tables) if tables else None


def run_markdown(timings: pa.Table | None, datasets: Mapping[str, Mapping[str, Any]], commit: str = "") -> str:
    """Return the page's text.

    Parameters
    ----------
    timings : pyarrow.Table or None
        Schema "timings".
    datasets : mapping
        Data set → provenance of its processed split, which names versions and the machine.
    commit : str
        Of the code and the parameters, as git names it; "" where that is not known.
    """
    lines = ["# This run", ""]
    if commit:
        lines += [f"Code and parameters: commit {commit}.", ""]
    for stamp in sorted({_versions(facts) for facts in datasets.values()} - {""}):
        lines += [stamp, ""]
    if timings is None or not timings.num_rows:
        lines.append("Nothing was timed here: the results were pulled, not computed.")
        return "\n".join(lines) + "\n"
    return "\n".join(lines) + "\n" + costs_markdown(timings)


def write_run_page(
    folder: str | os.PathLike[str],
    timings: pa.Table | None,
    datasets: Mapping[str, Mapping[str, Any]],
    commit: str = "",
) -> Path:
    """Write ``run.html`` into `folder`, see :func:`run_markdown`; return its path.

    Raises
    ------
    DataError
        The folder cannot be written to.
    """
    path = Path(folder) / "run.html"
    write_text(path, prose_html("arml: this run", run_markdown(timings, datasets, commit)))
    return path


def _versions(facts: Mapping[str, Any]) -> str:
    versions = facts.get("versions")
    if not isinstance(versions, Mapping):
        return ""
    return f"Made with {', '.join(f'{name} {versions[name]}' for name in versions)} on {facts.get('machine', '?')}."
