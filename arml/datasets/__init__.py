"""Data sets: what they are, where they come from, and how they become arrays.

>>> from arml import datasets
>>> data = datasets.load("toy")
>>> data.X_train.shape, data.X_test.shape, data.classes
((60, 4), (30, 4), (0, 1, 2))
>>> X, y = datasets.paper_sample(data, size=5)
>>> y
array([0, 0, 2, 2, 2])
"""

from __future__ import annotations

import os
import tempfile

import numpy as np
from numpy.typing import NDArray

from arml.datasets.download import DownloadError
from arml.datasets.entries import spec_from_entry
from arml.datasets.preprocessing import preprocess
from arml.datasets.registry import available, get_spec
from arml.datasets.sources import fetch, resolve_source
from arml.datasets.spec import Dataset, DatasetSpec, FloatArray, IntArray

__all__ = [
    "Dataset",
    "DatasetSpec",
    "DownloadError",
    "available",
    "fetch",
    "get_spec",
    "load",
    "paper_sample",
    "paper_sample_indices",
    "preprocess",
    "resolve_source",
    "spec_from_entry",
]


def load(
    name: str | DatasetSpec,
    source: str | None = None,
    mirror: str | os.PathLike[str] | None = None,
    own_dir: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Fetch, check and preprocess a data set.

    Parameters
    ----------
    name : str or DatasetSpec
        One of `available()`, or a spec (of `spec_from_entry`, for own data).
    source : str, optional
        "mirror", "url", "package", "file", "openml" or "builtin". Default: the mirror where one is set, else the first
        of the data set's list. No other source is tried when it fails.
    mirror : path or http(s) address, optional
        Folder of upstream files; default: the environment variable ARML_MIRROR.
    own_dir : path, optional
        Folder of a user's own files.

    Returns
    -------
    Dataset
        Preprocessed arrays: float64 features, int64 labels, test rows in file order.

    Raises
    ------
    DataError
        Unknown data set, or a source that is missing or gives other data than the registry says.

    Notes
    -----
    The raw files pass through a temporary folder; MNIST takes about 2 s and 0.7 GB at the peak.

    Examples
    --------
    >>> from arml.datasets import load
    >>> toy = load("toy")  # built in; radii of it are lengths in features that were scaled to [0, 1]
    >>> toy.source, toy.radii, float(toy.X_train.min()), float(toy.X_train.max())
    ('builtin', (0.0, 0.05, 0.1, 0.15, 0.2, 0.25), 0.0, 1.0)
    """
    spec = get_spec(name) if not isinstance(name, DatasetSpec) else name
    with tempfile.TemporaryDirectory(prefix="arml-") as folder:
        fetch(spec, source, folder, mirror=mirror, own_dir=own_dir)
        return preprocess(spec, folder)


def paper_sample_indices(n_test: int, size: int = 1000, seed: int = 42) -> NDArray[np.intp]:
    """Rows of the test set that the paper's protocol evaluates, in its order.

    Parameters
    ----------
    n_test : int
        Number of test rows.
    size : int
        How many to take; all of them, shuffled, where there are no more.
    seed : int

    Returns
    -------
    ndarray of shape (min(size, n_test),), int
        The first of ``sklearn.utils.shuffle(arange(n_test), random_state=seed)``.

    Raises
    ------
    ValueError
        n_test or size below 1.
    """
    from sklearn.utils import shuffle

    if n_test < 1 or size < 1:
        raise ValueError(f"n_test and size must be at least 1, got n_test={n_test} and size={size}")
    rows: NDArray[np.intp] = np.asarray(shuffle(np.arange(n_test), random_state=seed))[:size]
    return rows


def paper_sample(dataset: Dataset | str, size: int = 1000, seed: int = 42) -> tuple[FloatArray, IntArray]:
    """The paper's sample of test rows, in its order: shuffled with `seed`, the first `size`.

    Parameters
    ----------
    dataset : Dataset or str
        A name is loaded from its default source.
    size : int
        How many rows to take; all of them, shuffled, where there are no more.
    seed : int

    Returns
    -------
    X : ndarray of shape (min(size, n), D)
    y : ndarray of shape (min(size, n),)

    Raises
    ------
    ValueError
        size below 1.
    DataError
        As :func:`load`.
    """
    data = load(dataset) if isinstance(dataset, str) else dataset
    rows = paper_sample_indices(len(data.X_test), size, seed)
    return data.X_test[rows], data.y_test[rows]
