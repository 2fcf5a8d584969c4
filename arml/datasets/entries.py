"""Entries of params.yaml to a DatasetSpec: the registry's sets and users' own data."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from arml.datasets.formats import check_name, format_of_name
from arml.datasets.reading import READING_KEYS, Reading, reading_from
from arml.datasets.registry import available, get_spec
from arml.datasets.spec import DatasetSpec, OwnData, Source
from arml.errors import DataError

__all__ = ["spec_from_entry"]

_KNOWN_SET_KEYS = ("source", "radii")
_OWN_KEYS = {
    "file": (
        "source",
        "file",
        "label",
        "drop",
        "test_file",
        "test_fraction",
        "split_seed",
        "scaling",
        "radii",
        *READING_KEYS,
    ),
    "openml": ("source", "id", "label", "drop", "test_fraction", "split_seed", "scaling", "radii", "encode", "missing"),
}
_OWN_SCALINGS = ("minmax", "unit", "standard", "none")
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def spec_from_entry(name: str, entry: Mapping[str, Any] | None) -> DatasetSpec:
    """Turn an entry of params.yaml's `datasets` into a spec.

    Parameters
    ----------
    name : str
        Key of the entry: a name of the registry, or a new one for own data.
    entry : mapping or None
        For a name of the registry: `source` (one of its sources; absent = the default) and `radii` (absent =
        the paper's). For own data: ``source: file``; `file` and optionally `test_file` (CSV, Parquet, ARFF or
        LIBSVM text, compressed or not, in the folder of own data); `label` (column; not for LIBSVM); `drop`
        (list of columns that are no features; not for LIBSVM); `test_fraction` in (0, 1) where there is no
        `test_file`, drawn class by class with `split_seed` (42); `scaling` "minmax" (default), "unit" (one
        common shift and scale), "standard" (zero mean, unit variance) or "none"; `radii` (absent: quantiles
        of the exact radii, chosen by the report); and how the files are read, as
        :class:`arml.datasets.reading.Reading` explains it: `format`, `separator`, `decimal`, `thousands`,
        `encoding`, `header`, `missing_marks`, `zero_based`, `encode`, `missing`. For a data set of OpenML:
        ``source: openml`` and its `id`; the same keys without those of files, and `label` only where it is
        not OpenML's default target.

    Returns
    -------
    DatasetSpec
        With the entry's source as its only one, where the entry names it.

    Raises
    ------
    DataError
        Unknown data set or key, or a value that does not fit; the message names the data set and the key.
    """
    title = f"data set {name!r}"
    if entry is not None and not isinstance(entry, Mapping):
        raise DataError(f"{title}: its entry must be a mapping of keys to values, got {entry!r}")
    values = dict(entry or {})
    if name in available():
        return _known_set(title, get_spec(name), values)
    if values.get("source") not in _OWN_KEYS:
        get_spec(name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise DataError(f"{title}: a name is made of small letters, digits, '-' and '_' (it becomes a folder)")
    return _own_set(title, name, values)


def _refuse_unknown(title: str, values: dict[str, Any], known: tuple[str, ...]) -> None:
    odd = sorted(str(key) for key in values if key not in known)
    if odd:
        raise DataError(f"{title}: unknown keys {', '.join(odd)}; known are {', '.join(known)}")


def _known_set(title: str, spec: DatasetSpec, values: dict[str, Any]) -> DatasetSpec:
    _refuse_unknown(title, values, _KNOWN_SET_KEYS)
    source = values.get("source")
    if source is not None:
        origins = tuple(origin for origin in spec.origins if origin.name == source)
        if not origins:
            raise DataError(f"{title}: source must be one of {', '.join(spec.sources)}, got {source!r}")
        spec = replace(spec, origins=origins)
    if values.get("radii") is not None:
        spec = replace(spec, radii=_radii(title, values["radii"]))
    return spec


def _radii(title: str, value: Any) -> tuple[float, ...]:
    numbers = list(value) if isinstance(value, (list, tuple)) else []
    good = all(isinstance(r, (int, float)) and not isinstance(r, bool) and math.isfinite(r) for r in numbers)
    if not numbers or not good or numbers[0] < 0 or any(a >= b for a, b in itertools.pairwise(numbers)):
        raise DataError(
            f"{title}: radii must be a list of ascending lengths from 0 on, e.g. [0, 0.1, 0.2], got {value!r}"
        )
    if numbers[-1] <= 0:
        raise DataError(f"{title}: radii needs one above 0, at which robust errors are reported, got {value!r}")
    return tuple(float(r) for r in numbers)


def _own_set(title: str, name: str, values: dict[str, Any]) -> DatasetSpec:
    source = values["source"]
    _refuse_unknown(title, values, _OWN_KEYS[source])
    scaling = values.get("scaling", "minmax")
    if scaling not in _OWN_SCALINGS:
        raise DataError(f"{title}: scaling must be one of {', '.join(_OWN_SCALINGS)}, got {scaling!r}")
    seed = values.get("split_seed", 42)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise DataError(f"{title}: split_seed must be a whole number from 0 to 2^32 - 1, got {seed!r}")
    try:
        reading = reading_from({**values, "format": "arff"} if source == "openml" else values)
    except DataError as error:
        raise DataError(f"{title}: {error}") from error
    own = (_own_files if source == "file" else _openml_set)(title, values, reading)
    if own.label in own.drop:
        raise DataError(f"{title}: drop names the label {own.label!r}")
    return DatasetSpec(
        name=name,
        title=f"{name} (own data)" if own.openml is None else f"{name} (OpenML {own.openml})",
        n_features=None,
        classes=(),
        train_counts=(),
        test_counts=(),
        radii=() if values.get("radii") is None else _radii(title, values["radii"]),
        scaling=scaling,
        origins=(Source(source, "own"),),
        own=replace(own, split_seed=seed, reading=reading),
    )


def _own_files(title: str, values: dict[str, Any], reading: Reading) -> OwnData:
    file = _file(title, "file", values.get("file"), reading)
    test_file = None if values.get("test_file") is None else _file(title, "test_file", values["test_file"], reading)
    known = reading.format or format_of_name(file)
    other = None if test_file is None else reading.format or format_of_name(test_file)
    if None not in (known, other) and (known == "libsvm") != (other == "libsvm"):
        raise DataError(f"{title}: file and test_file must both be LIBSVM text, or neither")
    label, drop = _label(title, values.get("label")), _columns(title, values.get("drop"))
    if known == "libsvm" and label is not None:
        raise DataError(f"{title}: label is for tables with columns; in LIBSVM text it comes first on each line")
    if known == "libsvm" and drop:
        raise DataError(f"{title}: drop is for tables with named columns; LIBSVM text has none")
    if known not in (None, "libsvm") and label is None:
        raise DataError(f"{title}: label must name the column of labels, got {values.get('label')!r}")
    fraction = _fraction(title, values.get("test_fraction"), test_file)
    return OwnData(file, label, test_file, fraction, drop=drop)


def _label(title: str, value: Any) -> str | None:
    """The label's column; whole numbers are taken for names that YAML reads as such."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise DataError(f"{title}: label is {value!r}, as YAML reads yes, no, on and off: quote it, as in label: 'no'")
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str) or not value:
        raise DataError(f"{title}: label must name the column of labels, got {value!r}; quote it if that is its name")
    return value


def _openml_set(title: str, values: dict[str, Any], _reading: Reading) -> OwnData:
    number, label = values.get("id"), values.get("label")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise DataError(f"{title}: id must be the number of a data set at openml.org (…/d/61: 61), got {number!r}")
    if label is not None and not (isinstance(label, str) and label):
        raise DataError(f"{title}: label must name the column of labels (absent: OpenML's target), got {label!r}")
    if values.get("test_fraction") is None:
        raise DataError(f"{title}: give test_fraction, the share of the rows to test on, e.g. 0.25")
    fraction = _fraction(title, values["test_fraction"], None)
    return OwnData(f"OpenML {number}", label, None, fraction, drop=_columns(title, values.get("drop")), openml=number)


def _columns(title: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not value or not all(isinstance(column, str) for column in value):
        raise DataError(f"{title}: drop must be a list of names of columns, e.g. ['Unnamed: 0', id], got {value!r}")
    return tuple(value)


def _fraction(title: str, value: Any, test_file: str | None) -> float | None:
    if (value is None) == (test_file is None):
        raise DataError(f"{title}: give either test_file or test_fraction")
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1:
        raise DataError(f"{title}: test_fraction must lie between 0 and 1, got {value!r}")
    return float(value)


def _file(title: str, key: str, value: Any, reading: Reading) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(f"{title}: {key} must name a file, got {value!r}")
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{title}: {key} must lie in the folder of own data, got {value!r}")
    if reading.format is None:
        try:
            check_name(value)
        except DataError as error:
            raise DataError(f"{title}: {key}: {error}") from error
    return value
