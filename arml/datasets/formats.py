"""What a file of a user's is: compressed or not, and CSV, Parquet, ARFF or LIBSVM text, by content and by name."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from arml.datasets.parsing import looks_like_html, preview
from arml.errors import DataError

__all__ = [
    "FILE_LIMIT",
    "SUFFIXES",
    "check_name",
    "format_of",
    "format_of_name",
    "known_suffixes",
    "read_own",
]

SUFFIXES = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    ".arff": "arff",
    **dict.fromkeys((".libsvm", ".svm", ".svmlight"), "libsvm"),
}
FILE_LIMIT = 8 << 30  # bytes, decompressed
_OPENERS: dict[bytes, tuple[str, Callable[[Any], Any]]] = {
    b"\x1f\x8b": (".gz", gzip.open),
    b"BZh": (".bz2", bz2.open),
    b"\xfd7zXZ\x00": (".xz", lzma.open),
}
_COMPRESSED = tuple(suffix for suffix, _ in _OPENERS.values())
_OTHERS = {  # what people name, and no reader here reads
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "a spreadsheet"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "a pickle, which is never loaded"),
    **dict.fromkeys((".npy", ".npz"), "a NumPy array"),
    **dict.fromkeys((".mat", ".h5", ".hdf5", ".feather", ".json", ".zip", ".7z", ".rar"), "not among the formats"),
}
_NUMBER = rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LIBSVM = re.compile(rb"[ \t]*" + _NUMBER + rb"(?:[ \t]+(?:qid|\d+):\S+)*[ \t]*(?:#.*)?")


def known_suffixes(name: str) -> tuple[str, ...]:
    """The suffixes of a file's name that say what it is: ``X.CSV.gz`` → (".csv", ".gz"), ``a1a.t`` → ()."""
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSED else ""
    kind = suffixes[-1] if suffixes and suffixes[-1] in SUFFIXES else ""
    return tuple(filter(None, (kind, packed)))


def format_of_name(name: str) -> str | None:
    """The format that a file's name says; None where it says none."""
    return next((SUFFIXES[suffix] for suffix in known_suffixes(name) if suffix in SUFFIXES), None)


def check_name(name: str) -> None:
    """Refuse a file whose name says that it is something else than data in a format that is read.

    Raises
    ------
    DataError
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _OTHERS:
        raise DataError(
            f"{name}: is {_OTHERS[suffix]} ({suffix}); CSV, Parquet, ARFF and LIBSVM text are read, also as .gz, .bz2 "
            "or .xz: save it as one of them, or say which it is with format"
        )


def read_own(path: Path, name: str) -> bytes:
    """The content of a file, decompressed if it is compressed, whatever its name.

    Raises
    ------
    DataError
        It is missing, damaged, or larger than `FILE_LIMIT`.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
        opener = next((opener for magic, (_, opener) in _OPENERS.items() if head.startswith(magic)), None)
        with path.open("rb") if opener is None else opener(path) as stream:
            data: bytes = stream.read(FILE_LIMIT + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{name}: cannot be read ({reason})") from error
    if len(data) > FILE_LIMIT:
        raise DataError(f"{name}: holds more than {FILE_LIMIT >> 30} GiB; take a part of it")
    if head.startswith(b"PK\x03\x04"):
        raise DataError(f"{name}: is a zip archive or a spreadsheet; unpack it, or save the sheet as CSV")
    return data


def format_of(data: bytes, name: str, wanted: str | None = None) -> str:
    """The format of a file's content.

    Parameters
    ----------
    data : bytes
        Decompressed.
    name : str
        Its suffix decides where the content does not.
    wanted : str, optional
        One of :data:`arml.datasets.reading.FORMATS`: what the user says it is, which decides.

    Raises
    ------
    DataError
        A web page, or nothing at all.
    """
    if wanted is not None:
        return wanted
    if data.startswith(b"PAR1"):
        return "parquet"
    told = format_of_name(name)
    if told == "parquet":
        return told
    if looks_like_html(data):
        raise DataError(f"{name}: is a web page, not {(told or 'data').upper()} ({preview(data)})")
    lines = [line for line in data[: 1 << 16].splitlines()[:200] if line.strip(b"\xef\xbb\xbf \t")]
    plain = [line for line in lines if not line.lstrip(b"\xef\xbb\xbf \t").startswith((b"%", b"#"))]
    if plain and plain[0].lstrip(b"\xef\xbb\xbf \t").lower().startswith((b"@relation", b"@attribute")):
        return "arff"
    whole = plain[:-1] if len(data) > 1 << 16 else plain
    if whole and all(_LIBSVM.fullmatch(line) for line in whole) and any(b":" in line for line in whole):
        return "libsvm"
    return told or "csv"
