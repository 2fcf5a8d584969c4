"""What makes a task's result reusable: its key, its record on disk, and the check of a hit.

A record is a small JSON file ``{"key": …, "path": …, "sha256": …}`` beside the part it stands for. It holds no
time, no machine and no version of Prefect, so that the same work gives the same bytes; it travels through DVC
with the part. Prefect's own record format is built from it in memory, always with the JSON serializer: whatever
a record file says, nothing is unpickled.
"""

from __future__ import annotations

import ast
import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from prefect.filesystems import WritableFileSystem
from prefect.serializers import JSONSerializer
from pydantic import Field

from arml.system.files import sha256_file, write_json
from flows import layout

FORMAT = 1
FIELDS = ("key", "path", "sha256")
_checked: dict[str, tuple[tuple[int, int, int], str]] = {}
_lock = threading.Lock()


def content_hash(path: Path) -> str:
    """SHA-256 of a file, computed once per state of the file (inode, size, mtime) in this process."""
    stat = path.stat()
    state = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    with _lock:
        known = _checked.get(str(path))
    if known is not None and known[0] == state:
        return known[1]
    digest = sha256_file(path)
    with _lock:
        _checked[str(path)] = (state, digest)
    return digest


# --- the code a task runs ------------------------------------------------------------------------


def _module_file(name: str, root: Path) -> Path | None:
    base = root.joinpath(*name.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _imports(path: Path, module: str, package: str) -> Iterable[str]:
    """Names of modules under `package` that a file imports anywhere, in functions too; not for type checkers alone."""
    inside = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in _running(ast.parse(path.read_bytes(), filename=str(path))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = inside.split(".")
            above = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            origin = ".".join(p for p in (above, node.module or "") if p)
            names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (n for n in names if n == package or n.startswith(package + "."))


def _running(tree: ast.AST) -> Iterable[ast.AST]:
    """All nodes but those under ``if TYPE_CHECKING:``."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            yield from _running(node)


def module_closure(entries: Iterable[str], root: Path = layout.ROOT, package: str = "arml") -> list[Path]:
    """Source files of the modules `entries` and of everything they import from the package, directly or not.

    The package's own ``__init__`` is left out: it only re-exports lazily.
    """
    found: dict[str, Path] = {}
    pending = list(entries)
    while pending:
        name = pending.pop()
        if name == package or name in found:
            continue
        path = _module_file(name, root)
        if path is None:  # an attribute of a module, not a module
            continue
        found[name] = path
        pending.extend(_imports(path, name, package))
    for name in entries:
        if name not in found:
            raise ValueError(f"no module {name!r} under {root}")
    return sorted(set(found.values()))


@cache
def code_hash(*entries: str) -> str:
    """Hash of the source of `entries` and of all they import from arml."""
    digest = hashlib.sha256()
    for path in module_closure(entries):
        digest.update(f"{path.relative_to(layout.ROOT).as_posix()} {sha256_file(path)}\n".encode())
    return digest.hexdigest()


def cache_key(
    identity: Mapping[str, Any], inputs: Iterable[Path], params: Mapping[str, Any], entries: Iterable[str]
) -> str:
    """Key of a task: who it is, the content of its inputs, its parameters, the code it runs."""
    facts = {
        "format": FORMAT,
        "identity": dict(identity),
        "inputs": {layout.relative(p): content_hash(p) for p in inputs},
        "params": dict(params),
        "code": code_hash(*entries),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True, allow_nan=False).encode()).hexdigest()


# --- the record ----------------------------------------------------------------------------------


def make_record(key: str, path: Path) -> dict[str, str]:
    return {"key": key, "path": layout.relative(path), "sha256": content_hash(path)}


def read_record(file: Path, key: str) -> dict[str, str]:
    """The record in `file` if it is for `key` and its part is there, unaltered; else ValueError says why not."""
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"no readable record {file.name}: {error}") from error
    if not isinstance(record, dict) or any(not isinstance(record.get(f), str) for f in FIELDS):
        raise ValueError(f"record {file.name} has not the fields {FIELDS}")
    if record["key"] != key:
        raise ValueError(f"record {file.name} is of other inputs, params or code")
    path = (layout.ROOT / record["path"]).resolve()
    if not path.is_relative_to(layout.DATA.resolve()):
        raise ValueError(f"record {file.name} names {record['path']}, which is not under data/")
    if not path.is_file() or content_hash(path) != record["sha256"]:
        raise ValueError(f"{record['path']} is missing or altered")
    return {f: record[f] for f in FIELDS}


class RecordStorage(WritableFileSystem):
    """Prefect's result storage over the records of one stage: ``<part>:<key>`` names ``<folder>/<part>.json``."""

    _block_type_name = "ARML task records"
    folder: str = Field(description="Folder of the records")

    def _resolve_path(self, path: str) -> Path:
        """Prefect asks for it to name an unsaved storage's records; the names stay as they are."""
        return Path(path)

    def _locate(self, path: str) -> tuple[Path, str]:
        part, _, key = Path(path).name.partition(":")
        return Path(self.folder) / f"{part}.json", key

    # Prefect calls these from plain code and, where it runs in an event loop, awaits what is awaitable
    def read_path(self, path: str, _sync: bool = True) -> bytes:  # type: ignore[override]
        file, key = self._locate(path)
        record = read_record(file, key)
        metadata = {"storage_key": path, "serializer": JSONSerializer().model_dump(mode="json")}
        return json.dumps({"metadata": metadata, "result": json.dumps(record)}).encode()

    def write_path(self, path: str, content: bytes, _sync: bool = True) -> None:  # type: ignore[override]
        file, key = self._locate(path)
        record = json.loads(json.loads(content)["result"])
        if record["key"] != key:
            raise ValueError(f"record of key {record['key']} offered for {key}")
        write_json(file, {f: record[f] for f in FIELDS})
