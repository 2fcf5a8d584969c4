"""Say what each data set is brought from, own files by their content, so that only a change of that brings it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows import layout

KEYS = ("source", "file", "test_file", "id", "label")  # of an entry, what decides which bytes come


def write_inputs(params: Mapping[str, Any]) -> None:
    """Write data/inputs: a file a data set, which its stage download depends on.

    An own file that is not here, as in a colleague's clone, keeps the content that was noted where it was.
    """
    from arml.system.files import write_json

    for name, entry in params["datasets"].items():
        write_json(layout.inputs(name), _input(layout.inputs(name), dict(entry or {})))
    for file in layout.inputs("").parent.glob("*"):
        if file.stem not in params["datasets"]:
            file.unlink()


def _input(path: Path, entry: Mapping[str, Any]) -> dict[str, Any]:
    from arml.system.files import sha256_file

    told: dict[str, Any] = {key: entry[key] for key in KEYS if entry.get(key) is not None}
    if entry.get("source") != "file":
        return told
    told.pop("label", None)  # a column of the table, chosen when it is parsed
    files = [told[key] for key in ("file", "test_file") if key in told]
    places = {file: layout.own_file(file) for file in files}
    known = _known(path, told)
    told["content"] = {
        file: sha256_file(place) if place is not None else known.get(file) for file, place in places.items()
    }
    return told


def _known(path: Path, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of the same files as an earlier run noted it."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    content = before.pop("content", {})
    return content if isinstance(content, dict) and before == told else {}
