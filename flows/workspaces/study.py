"""A study other than the default one: its own workspace, its own params, the same DVC cache.

The workspace ``.studies/<name>`` is a copy of the code as it stands, with params.yaml merged from this
project's and the study's overlay ``flows/studies/<name>.yaml``. Nobody's params.yaml is edited, and what the
workspace has computed stays there for the next run.
"""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows import layout
from flows.errors import ParamsError
from flows.params import check_params, yaml12

CODE = ("arml", "flows")
FILES = ("dvc.yaml", ".dvcignore", "data/.gitignore", ".dvc/plots/robust_error.json")
# named wholly by the overlay, not entry by entry
REPLACED = {"datasets", "methods"}


def available() -> tuple[str, ...]:
    return tuple(sorted(p.stem for p in layout.STUDIES.glob("*.yaml")))


def merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the overlay's values: mappings merge key by key, all else replaces; so do REPLACED and learners."""
    merged = dict(base)
    for key, value in overlay.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = {**merged[key], **value} if both and key not in REPLACED else value
    return merged


def prepare(name: str) -> Path:
    """Bring the study's workspace up to date and return it.

    Raises
    ------
    ParamsError
        There is no such study, or its merged params cannot be run.
    """
    if name not in available():
        raise ParamsError(f"unknown study {name!r}; there are {', '.join(available())}")
    base = yaml12.read(layout.PARAMS)
    header = f"# params.yaml and flows/studies/{name}.yaml, merged; edit those\n"
    workspace = lay_out(name, check_params(merge(base, overlay(name))), header)
    write(workspace / ".dvc" / "config", f"[core]\n    analytics = false\n    no_scm = true\n{cache_section()}")
    return workspace


def overlay(name: str) -> dict[str, Any]:
    """What a study changes in params.yaml, over what the study that it extends does."""
    found = dict(yaml12.read(layout.STUDIES / f"{name}.yaml"))
    extended = found.pop("extends", None)
    return merge(overlay(extended), found) if extended else found


def lay_out(name: str, params: Mapping[str, Any], header: str) -> Path:
    """Bring the workspace ``.studies/<name>`` to this project's code and these params; return it."""
    workspace = layout.WORKSPACES / name
    for folder in CODE:
        _mirror(layout.ROOT / folder, workspace / folder)
    for file in FILES:
        _copy(layout.ROOT / file, workspace / file)
    own, link = layout.own(), workspace / "data" / "own"
    if own.is_dir() and not link.exists():
        link.symlink_to(own, target_is_directory=True)
    make_rooms(workspace)
    for appendix in layout.APPENDICES.values():
        if not (params["runtime"] and "runtime" in appendix.parts):  # which the study makes itself
            _mirror(appendix, workspace / appendix.relative_to(layout.ROOT))
    write(workspace / "params.yaml", header + yaml12.dump(dict(params)))
    (workspace / ".dvc" / "tmp").mkdir(parents=True, exist_ok=True)
    return workspace


def make_rooms(workspace: Path) -> None:
    """Make what stages read and the study may not have (own files, appendices, networks): DVC wants it, if empty."""
    for folder in (layout.own(), *layout.APPENDICES.values(), layout.DATA / "networks"):
        (workspace / folder.relative_to(layout.ROOT)).mkdir(parents=True, exist_ok=True)


def cache_section() -> str:
    """DVC's configuration of a workspace: the cache is this project's."""
    return f"[cache]\n    dir = {layout.ROOT / '.dvc' / 'cache'}\n"


def _mirror(source: Path, target: Path) -> None:
    """Make `target` hold the sources of `source` and nothing else; untouched files keep their times."""
    wanted = {p.relative_to(source) for p in source.rglob("*") if p.is_file() and _is_source(p)}
    for relative in wanted:
        _copy(source / relative, target / relative)
    for file in list(target.rglob("*")):
        if file.is_file() and _is_source(file) and file.relative_to(target) not in wanted:
            file.unlink()


def _is_source(path: Path) -> bool:
    return "__pycache__" not in path.parts and path.suffix != ".pyc"


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_file() or not filecmp.cmp(source, target, shallow=False):
        shutil.copyfile(source, target)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
