"""Data sets of OpenML by number: the description says where the file is, what its MD5 is and which column to learn."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from arml.datasets.arff import ARFF_LIMIT
from arml.datasets.download import DownloadError, download
from arml.datasets.parsing import looks_like_html, preview
from arml.datasets.spec import DatasetSpec
from arml.errors import DataError
from arml.system.files import atomic_path, sha256_file

__all__ = ["OPENML_VARIABLE", "bring_openml"]

OPENML_VARIABLE = "ARML_OPENML"
_HOME = "https://www.openml.org"
_DESCRIPTION_LIMIT = 4 << 20
_FILE = "data.arff"


def bring_openml(spec: DatasetSpec, folder: Path) -> dict[str, Any]:
    """Put the ARFF file of an OpenML data set into `folder`, checked against OpenML's MD5.

    Parameters
    ----------
    spec : DatasetSpec
        Own data with `own.openml`, the data set's number.
    folder : Path
        A file that is there already and has the right MD5 is kept.

    Returns
    -------
    dict
        For the record: openml (id, name, version, label, ignored columns, MD5) and files (name, size, SHA-256 and the
        address that the description gives).

    Raises
    ------
    DownloadError
        No answer; a server's failure.
    DataError
        No such data set, one that is not active, not ARFF or has no single target, or a file with another MD5.

    Notes
    -----
    ARML_OPENML, an http(s) address, replaces OpenML's own host, in the description's address of the file too: that of a
    mirror which passes paths on.
    """
    own = spec.own
    assert own is not None and own.openml is not None
    told = _description(spec.name, own.openml)
    label = _label(spec.name, own.label, told)
    md5, url = str(told.get("md5_checksum", "")).lower(), str(told.get("url", ""))
    target = folder / _FILE
    if not (target.is_file() and _md5(target) == md5):
        with atomic_path(target) as temporary:
            _bring_file(spec.name, own.openml, _hosted(url), md5, temporary)
    facts = {
        "id": own.openml,
        "name": str(told.get("name", "")),
        "version": str(told.get("version", "")),
        "label": label,
        "ignored": _ignored(told),
        "md5": md5,
    }
    file = {"name": _FILE, "size": target.stat().st_size, "sha256": sha256_file(target), "url": url}
    return {"openml": facts, "files": [file]}


def _home() -> str:
    return (os.environ.get(OPENML_VARIABLE) or _HOME).rstrip("/")


def _hosted(url: str) -> str:
    """The address with ARML_OPENML's host, where that is set and the address is on one of OpenML's."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if _home() == _HOME or not (host == "openml.org" or host.endswith(".openml.org")):
        return url
    base = urlsplit(_home())
    return urlunsplit((base.scheme, base.netloc, base.path + parts.path, parts.query, ""))


def _advice(number: int) -> str:
    return (
        f"What to do: try again later; set {OPENML_VARIABLE} to the address of a mirror of openml.org that this "
        f"machine reaches; or download the ARFF file of data set {number} elsewhere, put it into the folder of own "
        "data and set source: file"
    )


def _description(name: str, number: int) -> dict[str, Any]:
    """What OpenML says about a data set."""
    url = f"{_home()}/api/v1/json/data/{number}"
    title = f"data set {name!r}: OpenML's description of {number}"
    with tempfile.TemporaryDirectory(prefix="arml-") as folder:
        path = Path(folder) / "description.json"
        try:
            download(url, path, _DESCRIPTION_LIMIT)
        except DownloadError as error:
            raise DownloadError(f"{title} could not be had: {error}. {_advice(number)}") from error
        except DataError as error:
            raise DataError(
                f"{title} could not be had: {error}. Check the id (openml.org/d/{number}) and {OPENML_VARIABLE}"
            ) from error
        data = path.read_bytes()
    try:
        told = json.loads(data)["data_set_description"]
        if int(told["id"]) != number or not told["url"] or not re.fullmatch("[0-9a-fA-F]{32}", told["md5_checksum"]):
            raise ValueError("id, url or md5_checksum is another or none")
    except (ValueError, KeyError, TypeError) as error:
        kind = "a web page" if looks_like_html(data) else f"not what was expected ({type(error).__name__}: {error})"
        raise DataError(f"{title} at {url} is {kind}: {preview(data)}. {_advice(number)}") from error
    if told.get("status", "active") != "active":
        raise DataError(
            f"data set {name!r}: OpenML says that {number} ({told.get('name')}, version {told.get('version')}) is "
            f"{told['status']}, as sets with faults are; choose an active version of it"
        )
    if str(told.get("format", "ARFF")).lower() not in ("arff", "sparse_arff"):
        raise DataError(
            f"data set {name!r}: OpenML holds {number} ({told.get('name')}) as {told['format']}, and only ARFF is "
            "read; bring it as LIBSVM text, CSV or Parquet with source: file"
        )
    return dict(told)


def _label(name: str, wanted: str | None, told: dict[str, Any]) -> str:
    label = wanted or told.get("default_target_attribute") or ""
    if not isinstance(label, str) or not label or (wanted is None and "," in label):
        raise DataError(
            f"data set {name!r}: OpenML names no single target for {told.get('name')} (it says {label!r}): name the "
            "column with label"
        )
    return label


def _ignored(told: dict[str, Any]) -> list[str]:
    """Columns that OpenML says are no features: row identifiers and ignored ones (a name, several, or a list)."""
    found: list[str] = []
    for key in ("row_id_attribute", "ignore_attribute"):
        value = told.get(key) or []
        found += value.split(",") if isinstance(value, str) else [str(v) for v in value]
    return sorted({column.strip() for column in found if column.strip()})


def _bring_file(name: str, number: int, url: str, md5: str, temporary: Path) -> None:
    title = f"data set {name!r}: OpenML's file of {number}"
    try:
        download(url, temporary, ARFF_LIMIT)
    except DataError as error:
        kind = DownloadError if isinstance(error, DownloadError) else DataError
        raise kind(f"{title} could not be had: {error}. {_advice(number)}") from error
    came = _md5(temporary)
    if came != md5:
        with temporary.open("rb") as stream:
            head = stream.read(512)
        size, page = temporary.stat().st_size, " (a web page)" if looks_like_html(head) else ""
        raise DataError(
            f"{title} from {url} is not the one it describes: {size} bytes with MD5 {came} instead of {md5}; it starts "
            f"{preview(head)}{page}. {_advice(number)}"
        )


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
