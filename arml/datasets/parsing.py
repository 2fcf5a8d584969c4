"""Raw bytes to arrays: LIBSVM text (bz2 or not), IDX (gz), KEEL rows. Nothing is unpickled or evaluated.

Every function raises :class:`DataError` that names the file, what was expected and what came.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets.spec import FloatArray, IntArray
from arml.errors import DataError
from arml.system.resources import check_memory, recorded_warnings

__all__ = [
    "LABEL_LIMIT",
    "digest",
    "integer_labels",
    "looks_like_html",
    "parse_idx",
    "parse_keel",
    "parse_libsvm",
    "parse_sparse",
    "preview",
    "read_bytes",
]

_IDX_UINT8 = 0x08
LABEL_LIMIT = 2**31 - 1


def preview(data: bytes, length: int = 48) -> str:
    """First bytes of `data` for an error message, printable."""
    cut = repr(data[:length].decode("utf-8", "replace"))
    return cut + ("…" if len(data) > length else "")


def looks_like_html(data: bytes) -> bool:
    """Whether the bytes start like a web page rather than like data."""
    return data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html", b"<?xml", b"<head"))


def _open(path: Path, suffix: str) -> Any:
    if suffix == ".gz":
        return gzip.open(path, "rb")
    if suffix == ".bz2":
        return bz2.open(path, "rb")
    return path.open("rb")


def read_bytes(path: Path, limit: int, name: str | None = None) -> bytes:
    """Read a raw file, decompressed if its name ends in .gz or .bz2, never more than `limit` bytes.

    Parameters
    ----------
    path : Path
    limit : int
        Most bytes that may come out.
    name : str, optional
        The file's real name, where `path` is a temporary one.

    Raises
    ------
    DataError
        The file is missing, truncated, not compressed as its name says, or decompresses to more than `limit`.
    """
    name = name or path.name
    suffix = Path(name).suffix
    try:
        with _open(path, suffix) as stream:
            data: bytes = stream.read(limit + 1)
    except FileNotFoundError:
        raise DataError(f"{name}: no such file in {path.parent}") from None
    except (OSError, EOFError, zlib.error, ValueError) as error:
        kind = f"a {suffix.lstrip('.')} file" if suffix in (".gz", ".bz2") else "a file"
        raise DataError(f"{name}: cannot be read as {kind} ({error}): {_what_came(path)}") from error
    if len(data) > limit:
        raise DataError(f"{name}: holds more than the {limit} bytes that the right file can have")
    return data


def _what_came(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
        size = path.stat().st_size
    except OSError:
        return "the file cannot be opened"
    if looks_like_html(head):
        return f"it is a web page, not data ({preview(head)})"
    return f"{size} bytes came, starting {preview(head, 16)}; the file is damaged or cut short"


def digest(data: bytes) -> str:
    """SHA-256 of `data`, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def parse_libsvm(data: bytes, n_features: int | None, name: str) -> tuple[FloatArray, IntArray]:
    """Parse LIBSVM text: a label, then ascending 1-based ``index:value`` pairs; absent features are 0.

    Parameters
    ----------
    data : bytes
        Text, uncompressed.
    n_features : int or None
        D; None takes the greatest index in the file.
    name : str
        File name for messages.

    Returns
    -------
    X : ndarray of shape (n, D)
    y : ndarray of shape (n,), int64
    """
    sparse, labels, _ = parse_sparse(data, n_features, name, False)
    told = f"{name}: {sparse.shape[0]} rows of {sparse.shape[1]} features, made dense,"
    check_memory(8.0 * sparse.shape[0] * sparse.shape[1], told, "is its largest index right?")
    X = np.ascontiguousarray(sparse.toarray(), dtype=np.float64)
    return X, integer_labels(labels, name)


def parse_sparse(
    data: bytes, n_features: int | None, name: str, zero_based: bool | None
) -> tuple[Any, NDArray[np.float64], bool]:
    """Parse LIBSVM text as :func:`parse_libsvm`, and leave it sparse.

    Parameters
    ----------
    zero_based : bool or None
        Whether indices count from 0; None: they do where there is an index 0.

    Returns
    -------
    scipy.sparse.csr_matrix of shape (n, D)
    labels : ndarray of shape (n,)
    zero_based : bool
    """
    from sklearn.datasets import load_svmlight_file

    if looks_like_html(data):
        raise DataError(f"{name}: a web page came instead of LIBSVM text ({preview(data)})")
    if not data.strip():
        raise DataError(f"{name}: the file is empty")
    zero = _has_index_zero(data) if zero_based is None else zero_based
    try:
        with recorded_warnings():
            sparse, labels = load_svmlight_file(io.BytesIO(data), n_features=n_features, zero_based=zero)
    except Exception as error:  # the parser raises many kinds for malformed text
        raise DataError(
            f"{name}: is not LIBSVM text (label, then index:value with ascending indices from {0 if zero else 1} to "
            f"{n_features or 'D'}): {error}; it starts {preview(data)}"
        ) from error
    if sparse.shape[1] == 0:
        raise DataError(f"{name}: has no features; it starts {preview(data)}")
    odd = np.flatnonzero(~np.isfinite(sparse.data))
    if len(odd):
        row = int(np.searchsorted(sparse.indptr, odd[0], side="right"))
        raise DataError(
            f"{name}: {len(odd)} values are NaN or infinite, the first {sparse.data[odd[0]]} in data row {row}, "
            f"feature {sparse.indices[odd[0]] + 1}; fill or remove them"
        )
    return sparse, labels, zero


def _has_index_zero(data: bytes) -> bool:
    return re.search(rb"[ \t]0:", data) is not None


def integer_labels(labels: NDArray[np.generic], name: str) -> IntArray:
    """Labels as int64, refused if one is not a whole number or does not fit 32 bits."""
    values = np.asarray(labels)
    if values.dtype.kind == "f":
        odd = ~np.isfinite(values) | (values != np.rint(values))
        if odd.any():
            row = int(np.flatnonzero(odd)[0])
            raise DataError(f"{name}: label {values[row]} in data row {row + 1} is not a whole number")
    if len(values) and (int(values.max()) > LABEL_LIMIT or int(values.min()) < -LABEL_LIMIT):
        raise DataError(f"{name}: labels must fit 32 bits, they go from {values.min()} to {values.max()}")
    return np.ascontiguousarray(values, dtype=np.int64)


def parse_idx(data: bytes, shape: tuple[int, ...], name: str) -> NDArray[np.uint8]:
    """Parse an IDX file of unsigned bytes, checking its whole header against `shape`; no copy is made.

    Returns
    -------
    ndarray of shape `shape`, uint8, read-only
    """
    header = 4 + 4 * len(shape)
    if looks_like_html(data):
        raise DataError(f"{name}: a web page came instead of an IDX file ({preview(data)})")
    if len(data) < header:
        raise DataError(f"{name}: {len(data)} bytes came, an IDX header of {len(shape)} dimensions needs {header}")
    magic = bytes((0, 0, _IDX_UINT8, len(shape)))
    if data[:4] != magic:
        raise DataError(f"{name}: IDX magic {data[:4].hex()} came, {magic.hex()} was expected")
    came = tuple(int(v) for v in np.frombuffer(data, ">u4", len(shape), 4))
    if came != shape:
        raise DataError(f"{name}: the IDX header says shape {came}, {shape} was expected")
    expected = int(np.prod(shape, dtype=np.int64))
    if len(data) - header != expected:
        raise DataError(f"{name}: {len(data) - header} bytes follow the IDX header, shape {shape} needs {expected}")
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def parse_keel(data: bytes, n_features: int, name: str) -> list[list[str]]:
    """Split KEEL rows ``v, v, …, label`` into fields; every row must have `n_features` + 1 of them."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: is not ASCII text ({error})") from error
    rows = [[v.strip() for v in line.split(",")] for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, 1):
        if len(row) != n_features + 1:
            raise DataError(f"{name}: row {number} has {len(row)} fields, {n_features + 1} were expected")
    return rows
