"""How a file gets onto disk: the only place of the package that writes one.

Every write goes to a temporary name in the folder of its target, is flushed to the disk and then renamed, so
that a reader sees the old file or the new one and a killed process leaves no half file under a real name.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from arml.errors import DataError

TEMPORARY_SUFFIX = ".tmp"
_CHUNK = 1 << 20


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path to write to; rename it to `path` when the block ends well.

    Parameters
    ----------
    path : path
        The file to create or replace. Missing parent folders are made.

    Yields
    ------
    Path
        A name in the same folder (``.<name>.<random>.tmp``) that does not exist yet; the block creates it.

    Raises
    ------
    DataError
        The folder cannot be made or written to, or the block ended without creating the file.

    Notes
    -----
    The file is fsynced before the rename and its folder after it. If the block raises, the temporary file is
    removed and `path` keeps what it had.
    """
    target = Path(path)
    _prepare_folder(target)
    temporary = target.parent / f".{target.name[:80]}.{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"
    try:
        yield temporary
        if not temporary.is_file():
            raise DataError(f"nothing was written for {target}: the temporary file was not created")
        try:
            _fsync(temporary)
            os.replace(temporary, target)
            _fsync_folder(target.parent)
        except OSError as error:
            raise DataError(f"cannot write {target}: {error.strerror or error}; check the folder") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to `path` atomically.

    Raises
    ------
    DataError
        The folder cannot be written to or the disk is full.
    """
    with atomic_path(path) as temporary:
        try:
            temporary.write_bytes(data)
        except OSError as error:
            raise DataError(f"cannot write {path}: {error.strerror or error}; check the folder") from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8 and with its line ends as they are."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Write `obj` to `path` atomically as JSON: sorted keys, two spaces, newline at the end.

    Raises
    ------
    ValueError
        `obj` holds NaN or an infinity, which JSON has no word for.
    TypeError
        `obj` holds something JSON cannot express.
    """
    write_text(path, json.dumps(obj, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits.

    Raises
    ------
    DataError
        The file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return digest.hexdigest()


def _prepare_folder(target: Path) -> None:
    folder = target.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder} for {target.name}: {error.strerror or error}") from error
    if target.is_dir():
        raise DataError(f"cannot write the file {target}: a folder of that name exists; remove or rename it")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise DataError(f"cannot write {target.name}: the folder {folder} is not writable; change its permissions")


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_folder(folder: Path) -> None:
    """Make the rename itself durable where the file system can sync a folder."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
