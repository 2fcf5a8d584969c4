"""What a command is given: training and test files, a metric, a scaling; read, checked and put into one problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arml.cli.console import note
from arml.errors import DataError

if TYPE_CHECKING:
    from arml.datasets.own import OwnArrays
    from arml.datasets.spec import FloatArray, IntArray
    from arml.knn.mahalanobis import MahalanobisMetric
    from arml.learners import MetricLearner

__all__ = [
    "EUCLIDEAN",
    "Metric",
    "Problem",
    "TrainingSet",
    "check_parquet",
    "read_metric_file",
    "read_problem",
    "read_training",
    "reading",
    "remember",
]

SCALINGS = ("none", "minmax", "unit", "standard")
EUCLIDEAN = "euclidean"


@dataclass(frozen=True)
class Metric:
    """A metric by the name of the method that made it.

    Attributes
    ----------
    method : str
    metric : MahalanobisMetric or None
        None is Euclidean.
    scaling : str or None
        How the features were scaled that it was learned on; None where the file does not say.
    columns : tuple of str
        The features that it was learned on, in order; empty where the file does not say.
    facts : dict
        For the provenance of what is computed with it.
    """

    method: str = EUCLIDEAN
    metric: MahalanobisMetric | None = None
    scaling: str | None = None
    columns: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=lambda: {"method": EUCLIDEAN})


@dataclass(frozen=True)
class TrainingSet:
    """Scaled training points (N, D), labels (N,), names of the features, and what provenance should say."""

    X: FloatArray
    y: IntArray
    columns: tuple[str, ...]
    facts: dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """Training and test points, scaled alike, with integer labels, and the metric.

    Attributes
    ----------
    X_train, y_train : ndarrays of shape (N, D), (N,)
    X, y : ndarrays of shape (n, D), (n,)
        The test points asked about, the first n of the test file: index i is its row i.
    name : str
        What rows of results call the data.
    metric : Metric
    facts : dict
        For the provenance of results: files, scaling, classes, fingerprint.
    """

    X_train: FloatArray
    y_train: IntArray
    X: FloatArray
    y: IntArray
    name: str
    metric: Metric
    facts: dict[str, Any]


def read_training(path: Path, label: str, scaling: str | None) -> TrainingSet:
    """Read and scale a training file.

    Raises
    ------
    DataError
        The file cannot be used; see :func:`arml.datasets.tabular.read_table_file`.
    ValueError
        An unknown scaling.
    """
    from arml.datasets.arrays import fingerprint, scale

    chosen = _scaling(scaling, None)
    data = _read(path, None, label)
    scale(data.X_train, data.X_test, chosen)
    facts = {
        "files": {"train": _stamp(path)},
        "label": label,
        "scaling": chosen,
        "class_names": data.class_names,
        "fingerprint": fingerprint([data.X_train, data.y_train]),
        **({"reading": data.facts} if data.facts else {}),
    }
    return TrainingSet(data.X_train, data.y_train, data.columns, facts)


def read_problem(
    train: Path,
    test: Path,
    label: str,
    metric: Metric,
    *,
    scaling: str | None = None,
    name: str | None = None,
    limit: int | None = None,
) -> Problem:
    """Read both files, scale both by the training file, and see that the metric fits them.

    Parameters
    ----------
    train, test : Path
    label : str
        Column of labels; not used for LIBSVM files.
    metric : Metric
    scaling : {"none", "minmax", "unit", "standard"} or None
        None takes the scaling that the metric was learned with, "none" where there is none.
    name : str or None
        What to call the data; None takes the test file's name without its suffix.
    limit : int or None
        Keep the first so many test points.

    Raises
    ------
    DataError
        A file cannot be used, the two do not fit, or the metric was learned on other features.
    ValueError
        An unknown scaling, or another one than the metric's.
    """
    from arml.datasets.arrays import fingerprint, scale

    chosen = _scaling(scaling, metric.scaling)
    data = _read(train, test, label)
    _check_fit(metric, data, train)
    scale(data.X_train, data.X_test, chosen)
    facts = {
        "files": {"train": _stamp(train), "test": _stamp(test)},
        "label": label,
        "scaling": chosen,
        "class_names": data.class_names,
        "fingerprint": fingerprint([data.X_train, data.y_train, data.X_test, data.y_test]),
        "metric": metric.facts,
        **({"reading": data.facts} if data.facts else {}),
    }
    X, y = data.X_test[:limit], data.y_test[:limit]
    return Problem(data.X_train, data.y_train, X, y, name or test.stem, metric, facts)


def read_metric_file(path: Path | None) -> Metric:
    """Read a metric that ``arml fit`` wrote (.npz) or the pipeline (.parquet); None is the Euclidean one.

    Raises
    ------
    DataError
        The file is missing, corrupt, or holds no metric.
    """
    if path is None:
        return Metric()
    _require_file(path)
    if path.suffix not in (".npz", ".parquet"):
        raise DataError(f"{path}: a metric is a file of 'arml fit' (.npz) or of the pipeline (.parquet)")
    if path.suffix == ".parquet":
        return _stored_metric(path)
    from arml.knn.mahalanobis import as_metric
    from arml.learners.registry import load_learner

    learner = load_learner(path)
    columns = tuple(str(name) for name in getattr(learner, "feature_names_in_", ()))
    scaling = learner.fit_summary_.get("scaling")
    facts = {"method": learner.method, **_stamp(path)}
    return Metric(learner.method, as_metric(learner, learner.n_features_in_), scaling, columns, facts)


def _stored_metric(path: Path) -> Metric:
    from arml.results.metrics import read_mahalanobis

    metric, provenance = read_mahalanobis(path)
    method = str(provenance.get("method") or path.stem)
    return Metric(method, metric, facts={"method": method, **_stamp(path)})


def remember(learner: MetricLearner, training: TrainingSet) -> None:
    """Let a fitted learner's file say what it was fitted on: the features' names, their scaling, the data."""
    import numpy as np

    learner.feature_names_in_ = np.array(training.columns, dtype=object)
    learner.fit_summary_ |= {name: training.facts[name] for name in ("scaling", "fingerprint")}


def _scaling(asked: str | None, learned: str | None) -> str:
    if asked is not None and asked not in SCALINGS:
        raise ValueError(f"--scaling must be one of {', '.join(SCALINGS)}, got {asked!r}")
    if asked is not None and learned is not None and asked != learned:
        raise ValueError(
            f"the metric was learned on features with --scaling {learned}, and --scaling {asked} was asked for: "
            f"leave --scaling out, or fit a metric with --scaling {asked}"
        )
    return asked or learned or "none"


def _check_fit(metric: Metric, data: OwnArrays, path: Path) -> None:
    """Refuse a metric of other features than the file's."""
    width = data.X_train.shape[1]
    if metric.metric is not None and metric.metric.n_features != width:
        raise DataError(
            f"{path.name}: has {width} features, the metric is for {metric.metric.n_features}: is it another file's?"
        )
    for place, (own, learned) in enumerate(zip(data.columns, metric.columns)):
        if own != learned:
            raise DataError(
                f"{path.name}: feature {place + 1} is {own!r}, but the metric was learned with {learned!r} there: "
                "put the columns into the order of the file it was fitted on"
            )


@contextmanager
def reading(drop: Sequence[str], options: dict[str, Any]) -> Iterator[None]:
    """Read the files of the block as the command's options say.

    Raises
    ------
    DataError
        An option that cannot be one.
    """
    from arml.datasets.reading import reading_from

    token = _READING.set((tuple(drop), reading_from(options)))
    try:
        yield
    finally:
        _READING.reset(token)


_READING: ContextVar[tuple[tuple[str, ...], Any]] = ContextVar("reading")


def _read(train: Path, test: Path | None, label: str) -> OwnArrays:
    """Both files as arrays, not scaled; what was seen in them and done to them is said."""
    from arml.datasets.formats import check_name
    from arml.datasets.own import read_own_files
    from arml.datasets.reading import PLAIN

    drop, how = _READING.get(((), PLAIN))
    for path in filter(None, (train, test)):
        _require_file(path)
        if how.format is None:
            check_name(str(path))
    data = read_own_files((train, str(train)), None if test is None else (test, str(test)), label, how, drop=drop)
    for told in data.notes:
        note(f"{train.name}: {told}")
    return data


def check_parquet(files: Sequence[Path]) -> None:
    """Refuse what cannot be a file of results or certificates. DataError."""
    for path in files:
        _require_file(path)
        if path.suffix != ".parquet":
            raise DataError(f"{path}: expected a Parquet file (.parquet) that arml wrote")


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'there is no such file'}")


def _stamp(path: Path) -> dict[str, str]:
    """A file by name and content; not by place, so that equal work gives equal bytes anywhere."""
    from arml.system.files import sha256_file

    return {"file": path.name, "sha256": sha256_file(path)}
