"""From the raw files of one folder to the arrays that everything else works on.

The folder is self-describing: `fetch` leaves a `source.json` beside the raw files that says where they came
from and what their checksums are. Nothing outside the folder is read.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from arml.datasets import arrays
from arml.datasets.own import OwnArrays, read_one, read_own_files
from arml.datasets.parsing import (
    digest,
    looks_like_html,
    parse_idx,
    parse_keel,
    parse_libsvm,
    preview,
    read_bytes,
)
from arml.datasets.spec import Content, Dataset, DatasetSpec, FloatArray, IntArray, RawFile, Source
from arml.errors import DataError
from arml.system.files import sha256_file

__all__ = ["RECORD", "check_raw", "naming", "preprocess", "size_limit"]

RECORD = "source.json"

# rows of KEEL's files: (training, test) as ranges; they restore upstream's own split
_KEEL_SPLITS: dict[str, tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]] = {
    "optdigits.dat": (((0, 3823),), ((3823, 5620),)),
    "penbased.dat": (((0, 6728), (9892, 10658)), ((6728, 9892), (10658, 10992))),
    "satimage.dat": (((0, 3970), (5792, 6257)), ((3970, 5792), (6257, 6435))),
}
_KEEL_LABELS: dict[str, dict[str, int]] = {
    "satimage.dat": {"7": 6},  # UCI has no class 6; LIBSVM numbers its classes without the gap
    "splice.dat": {"EI": -1, "IE": -1, "N": 1},
}
_BASES = {"A": 1.0, "G": 2.0, "C": 3.0, "T": 4.0}

Parts = tuple[FloatArray, IntArray, FloatArray, IntArray]


def preprocess(spec: DatasetSpec, raw_dir: str | os.PathLike[str]) -> Dataset:
    """Parse, check and scale the raw files that `fetch` left in `raw_dir`.

    Parameters
    ----------
    spec : DatasetSpec
    raw_dir : path
        Folder with the raw files and `source.json`.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        A file is missing or changed since it was fetched; a checksum, the shape, the counts of the classes or
        the content differ from the registry; a value is NaN or infinite.

    Notes
    -----
    Deterministic to the bit. MNIST takes about 2 s and 0.7 GB at the peak.
    """
    folder = Path(raw_dir)
    record = _read_record(spec, folder)
    notes: tuple[str, ...] = ()
    origin = next((o for o in spec.origins if o.name == record["source"]), None)
    if origin is None:
        raise DataError(
            f"data set {spec.name!r}: {RECORD} says it came from {record['source']!r}, but its sources are "
            f"{', '.join(spec.sources)}; fetch it again"
        )
    if spec.own is not None:
        own = _own_arrays(spec, folder, record)
        parts, names, notes = (own.X_train, own.y_train, own.X_test, own.y_test), own.class_names, own.notes
        record |= {"reading": own.facts} if own.facts else {}
    else:
        raw = {f.name: _read_checked(spec, f, folder, record) for f in origin.files}
        with naming(spec):
            parts = _PARSERS[origin.layout](spec, origin, raw)
        del raw
        _check_counts(spec, parts)
        names = tuple(str(c) for c in spec.classes)
    X_train, y_train, X_test, y_test = parts
    with naming(spec):
        arrays.scale(X_train, X_test, spec.scaling)
    stamp = arrays.fingerprint(parts)
    _check_content(spec, origin, parts, stamp)
    return Dataset(
        name=spec.name,
        X_train=X_train,
        y_train=y_train,
        X_test=X_test,
        y_test=y_test,
        radii=spec.radii,
        source=origin.name,
        fingerprint=stamp,
        classes=spec.classes or tuple(int(c) for c in np.unique(y_train)),
        class_names=names,
        provenance=record,
        notes=notes,
    )


def _read_record(spec: DatasetSpec, folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["dataset"] != spec.name:
            raise DataError(f"data set {spec.name!r}: the raw folder {folder} holds {record['dataset']!r}")
        if not isinstance(record["source"], str) or not all(isinstance(f["name"], str) for f in record["files"]):
            raise TypeError("source and file names must be text")
    except FileNotFoundError:
        raise DataError(f"data set {spec.name!r}: there is no {RECORD} in {folder}; fetch the data first") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"data set {spec.name!r}: {path} is damaged ({error}); fetch the data again") from error
    return dict(record)


def size_limit(file: RawFile) -> int:
    """Most uncompressed bytes that a copy of `file` may have."""
    return file.size if file.exact else 2 * file.size + 65536


def check_raw(spec: DatasetSpec, file: RawFile, data: bytes, where: str) -> str:
    """Compare a raw file's uncompressed bytes with the registry; return their SHA-256.

    Raises
    ------
    DataError
        A web page came, or other bytes than the registry's (for `exact` files).
    """
    came = digest(data)
    if came == file.sha256:
        return came
    title = f"data set {spec.name!r}: {file.name} from {where}"
    if looks_like_html(data):
        raise DataError(f"{title} is a web page, not data ({preview(data)}); check the address or use another source")
    if file.exact:
        size = f"{len(data)} bytes" + (f" instead of {file.size}" if len(data) != file.size else "")
        raise DataError(
            f"{title} is not the expected file: {size}, SHA-256 {came} instead of {file.sha256} "
            f"(uncompressed); it starts {preview(data)}. Replace the file or use another source"
        )
    return came


@contextlib.contextmanager
def naming(spec: DatasetSpec, where: str = "") -> Iterator[None]:
    """Let every DataError of the block say which data set it is about, and where the file lies."""
    try:
        yield
    except DataError as error:
        if str(error).startswith("data set"):
            raise
        raise DataError(f"data set {spec.name!r}: {error}" + (f" (from {where})" if where else "")) from error


def _read_checked(spec: DatasetSpec, file: RawFile, folder: Path, record: dict[str, Any]) -> bytes:
    with naming(spec, str(folder)):
        data = read_bytes(folder / file.name, size_limit(file))
    came = check_raw(spec, file, data, str(folder))
    noted = {f["name"]: f.get("sha256") for f in record["files"]}.get(file.name)
    if noted != came:
        raise DataError(
            f"data set {spec.name!r}: {file.name} in {folder} was changed after it was fetched "
            f"(SHA-256 {came}, {RECORD} says {noted}); fetch it again"
        )
    return data


def _libsvm_parts(spec: DatasetSpec, origin: Source, raw: dict[str, bytes]) -> Parts:
    train, test = (f.name for f in origin.files)
    return (
        *parse_libsvm(raw[train], spec.n_features, train),
        *parse_libsvm(raw[test], spec.n_features, test),
    )


def _idx_parts(spec: DatasetSpec, origin: Source, raw: dict[str, bytes]) -> Parts:
    side = int(np.sqrt(spec.n_features or 0))
    parts: list[Any] = []
    for images, labels, n in zip(origin.files[::2], origin.files[1::2], (spec.n_train, spec.n_test), strict=True):
        pixels = parse_idx(raw[images.name], (int(n or 0), side, side), images.name)
        parts += [pixels.reshape(len(pixels), -1).astype(np.float64)]
        parts += [parse_idx(raw[labels.name], (int(n or 0),), labels.name).astype(np.int64)]
    return parts[0], parts[1], parts[2], parts[3]


def _keel_parts(spec: DatasetSpec, origin: Source, raw: dict[str, bytes]) -> Parts:
    name = origin.files[0].name
    rows = parse_keel(raw[name], int(spec.n_features or 0), name)
    if spec.split_seed is not None:  # splice: letters, some of them ambiguous
        rows = [row for row in rows if _BASES.keys() >= set(row[:-1])]
    codes = _KEEL_LABELS.get(name, {})
    try:
        X = np.array([[_BASES[v] if v in _BASES else float(v) for v in row[:-1]] for row in rows])
        y = np.array([codes[row[-1]] if row[-1] in codes else int(row[-1]) for row in rows], dtype=np.int64)
    except ValueError as error:
        raise DataError(f"data set {spec.name!r}: {name} holds a value that is not a number ({error})") from error
    if spec.split_seed is None:
        train, test = (np.concatenate([np.arange(a, b) for a, b in ranges]) for ranges in _KEEL_SPLITS[name])
    else:
        train, test = arrays.stratified_split(y, int(spec.n_test or 0), spec.split_seed)
    return X[train], y[train], X[test], y[test]


_PARSERS = {"libsvm": _libsvm_parts, "idx": _idx_parts, "keel": _keel_parts}


def _own_arrays(spec: DatasetSpec, folder: Path, record: dict[str, Any]) -> OwnArrays:
    own = spec.own
    assert own is not None
    title = f"data set {spec.name!r}"
    files = record["files"]
    for file in files:
        came = sha256_file(folder / file["name"])
        if came != file.get("sha256"):
            raise DataError(f"{title}: {file['name']} in {folder} was changed after it was fetched; fetch it again")
    told = record.get("openml", {})
    label, ignored = told.get("label", own.label), tuple(told.get("ignored", ()))
    how: dict[str, Any] = {"drop": own.drop, "ignored": ignored, "title": title}
    first = folder / files[0]["name"], f"{title}: {own.file}"
    if own.test_file is not None:
        return read_own_files(
            first, (folder / files[1]["name"], f"{title}: {own.test_file}"), label, own.reading, **how
        )

    def split(y: IntArray, names: tuple[str, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        _check_splittable(title, label, y, names)
        kept, held = arrays.stratified_split(y, round(float(own.test_fraction or 0.0) * len(y)), own.split_seed)
        if len(held) == 0:
            raise DataError(f"{title}: test_fraction {own.test_fraction} of {len(y)} rows leaves no test row; raise it")
        return kept, held

    return read_one(first, label, own.reading, split, **how)


def _check_splittable(title: str, label: str | None, y: IntArray, names: tuple[str, ...]) -> None:
    """Every class needs a row to learn from and one to test on."""
    counts = np.unique(y, return_counts=True)[1]
    if single := [name for name, count in zip(names, counts, strict=True) if count < 2]:
        more = f" and {len(single) - 12} more" if len(single) > 12 else ""
        column = f" of {label!r}" if label is not None else ""
        raise DataError(
            f"{title}: {len(single)} of {len(names)} classes{column} have one row only and cannot be split into "
            f"training and test: {', '.join(map(repr, single[:12]))}{more}. Drop those rows, merge small classes or "
            "give a test_file; is this the column of labels?"
        )


def _check_counts(spec: DatasetSpec, parts: Parts) -> None:
    for title, X, y, counts in (
        ("training", parts[0], parts[1], spec.train_counts),
        ("test", parts[2], parts[3], spec.test_counts),
    ):
        if X.shape != (sum(counts), spec.n_features):
            raise DataError(
                f"data set {spec.name!r}: the {title} set has shape {X.shape}, "
                f"({sum(counts)}, {spec.n_features}) was expected"
            )
        came = {int(c): int(n) for c, n in zip(*np.unique(y, return_counts=True), strict=True)}
        wanted = dict(zip(spec.classes, counts, strict=True))
        if came != wanted:
            raise DataError(f"data set {spec.name!r}: the {title} set has rows per class {came}, {wanted} was expected")


def _check_content(spec: DatasetSpec, origin: Source, parts: Parts, stamp: str) -> None:
    want: Content = origin.content
    X_train, y_train, X_test, y_test = parts
    title = f"data set {spec.name!r} from {origin.name!r} is not the data that was expected"
    if want.fingerprint not in (None, stamp):
        raise DataError(f"{title}: fingerprint {stamp} instead of {want.fingerprint}")
    if want.rows is not None and (came := arrays.rows_digest([(X_train, y_train), (X_test, y_test)])) != want.rows:
        raise DataError(f"{title}: digest of its rows {came} instead of {want.rows}")
    if want.labels is not None and (came := arrays.labels_digest(y_train, y_test)) != want.labels:
        raise DataError(f"{title}: digest of its labels {came} instead of {want.labels}")
    if want.moments is not None:
        means = arrays.moments(X_train, X_test)
        if not np.allclose(means, want.moments, rtol=0, atol=2e-6):
            raise DataError(f"{title}: means of x and x² {means} instead of {want.moments}")
