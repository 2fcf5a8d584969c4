"""Entries of params.yaml and users' own files."""

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from arml import datasets
from arml.errors import DataError

ENTRY = {"source": "file", "file": "mine.csv", "label": "kind", "test_fraction": 0.25, "radii": [0, 0.1]}


def entry(**changes):
    merged = {**ENTRY, **changes}
    return {key: value for key, value in merged.items() if value is not ...}


def table(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "a": rng.normal(size=n),
        "kind": np.array(["cat", "dog"])[np.arange(n) % 2],
        "b": rng.integers(0, 9, n),
    }


def write_csv(path, columns):
    rows = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n")


def load(tmp_path, **changes):
    return datasets.load(datasets.spec_from_entry("mine", entry(**changes)), own_dir=tmp_path)


def test_a_csv_with_text_labels_is_split_scaled_and_coded(tmp_path):
    columns = table()
    write_csv(tmp_path / "mine.csv", columns)
    data = load(tmp_path)
    assert data.X_train.shape == (30, 2) and data.X_test.shape == (10, 2)
    assert (data.classes, data.class_names, data.radii) == ((0, 1), ("cat", "dog"), (0.0, 0.1))
    assert (data.y_test == 0).sum() == 5
    raw = np.column_stack([columns["a"], columns["b"]])
    low, high = data.X_train.min(axis=0), data.X_train.max(axis=0)
    assert low.tolist() == [0.0, 0.0] and high.tolist() == [1.0, 1.0]
    back = np.vstack([data.X_train, data.X_test])  # an affine map of the raw columns, rows kept
    for k in range(2):
        slope, offset = np.polyfit(np.sort(back[:, k]), np.sort(raw[:, k]), 1)
        np.testing.assert_allclose(np.sort(back[:, k]) * slope + offset, np.sort(raw[:, k]), atol=1e-9)
    assert load(tmp_path).fingerprint == data.fingerprint
    assert load(tmp_path, split_seed=43).fingerprint != data.fingerprint
    assert data.provenance["files"][0]["file"] == "mine.csv"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_test_file_keeps_its_order_and_follows_the_training_columns(tmp_path, suffix):
    columns = {"a": [0.0, 2.0, 4.0], "b": [1, 1, 3], "kind": [7, -2, 7]}
    turned = {"kind": [-2, 7], "b": [2, 5], "a": [1.0, 8.0]}
    for name, values in (("mine", columns), ("later", turned)):
        if suffix == ".csv":
            write_csv(tmp_path / f"{name}.csv", values)
        else:
            parquet.write_table(pa.table(values), tmp_path / f"{name}.parquet")
    data = load(tmp_path, file=f"mine{suffix}", test_file=f"later{suffix}", test_fraction=...)
    assert data.X_test.tolist() == [[0.25, 0.5], [2.0, 2.0]]
    assert data.y_test.tolist() == [-2, 7] and data.y_train.tolist() == [7, -2, 7]
    assert data.classes == (-2, 7) and data.class_names == ("-2", "7")


def test_libsvm_text_is_widened_to_the_training_set(tmp_path):
    (tmp_path / "mine.libsvm").write_text("1 1:2 3:4\n2 2:1\n")
    (tmp_path / "later.libsvm").write_text("2 1:1\n")
    own = {"file": "mine.libsvm", "test_file": "later.libsvm", "label": ..., "test_fraction": ..., "scaling": "none"}
    assert load(tmp_path, **own).X_test.tolist() == [[1.0, 0.0, 0.0]]
    (tmp_path / "later.libsvm").write_text("2 4:1\n")
    assert load(tmp_path, **own).X_test.tolist() == [[0.0, 0.0, 0.0, 1.0]]  # and the training file is widened too
    assert load(tmp_path, **own).X_train.shape == (2, 4)


def test_scaling_none_and_unit_are_taken_from_the_entry(tmp_path):
    write_csv(tmp_path / "mine.csv", {"a": [0.0, 10.0, 5.0, 5.0], "b": [20, 0, 5, 5], "kind": [0, 1, 0, 1]})
    none, unit = (load(tmp_path, scaling=s, test_fraction=0.5) for s in ("none", "unit"))
    assert none.X_train.dtype == np.float64
    low, high = none.X_train.min(), none.X_train.max()
    np.testing.assert_allclose(unit.X_test, (none.X_test - low) / (high - low))


def test_a_column_that_turns_fractional_late_in_a_long_file_is_numeric(tmp_path):
    n = 300_000
    (tmp_path / "mine.csv").write_text("a,kind\n" + "".join(f"{k},{k % 2}\n" for k in range(n)) + "0.5,1\n1e9,0\n")
    data = load(tmp_path, scaling="none")
    assert len(data.X_train) + len(data.X_test) == n + 2
    assert 0.5 in np.vstack([data.X_train, data.X_test])


def test_parquet_with_categories_booleans_and_small_types(tmp_path):
    columns = {
        "flag": pa.array([True, False, True, False] * 4),
        "small": pa.array(range(16), pa.uint8()),
        "kind": pa.array(["n", "y", "n", "y"] * 4).dictionary_encode(),
    }
    parquet.write_table(pa.table(columns), tmp_path / "mine.parquet")
    data = load(tmp_path, file="mine.parquet", scaling="none")
    assert data.class_names == ("n", "y")
    assert set(data.X_train[:, 0]) == {0.0, 1.0}
    assert np.array_equal(data.X_train[:, 0] == 1, data.y_train == 0)


@pytest.mark.parametrize("labels", [["1.0", "0.0"], ["True", "False"], ["true", "false"], [" 1", "0 "]])
def test_a_byte_order_mark_booleans_and_float_labels_are_read(tmp_path, labels):
    rows = [f"{k % 3 > 0},{k},{labels[k % 2]}" for k in range(12)]
    (tmp_path / "mine.csv").write_text("\n".join(["flag,b,kind", *rows]) + "\n", encoding="utf-8-sig")
    data = load(tmp_path, scaling="none")
    assert data.X_train.shape[1] == 2 and set(data.X_train[:, 0]) == {0.0, 1.0}
    first = 1 if data.class_names == ("0", "1") else 0
    assert len(data.classes) == 2 and (data.X_train[:, 1] % 2 == (data.y_train != first)).all()


def test_columns_that_are_no_features_are_left_out(tmp_path):
    columns = {"": np.arange(40), "town": ["x"] * 40, **table()}
    write_csv(tmp_path / "mine.csv", columns)
    data = load(tmp_path, drop=["", "town"], scaling="none")
    assert data.X_train.shape == (30, 2) and set(data.X_train[:, 0]) <= set(columns["a"])
    write_csv(tmp_path / "later.csv", table(8, 1))  # without the columns left out
    assert load(tmp_path, drop=["", "town"], test_file="later.csv", test_fraction=...).X_test.shape == (8, 2)
    with pytest.raises(DataError, match=r"there is no drop column 'twon' \(did you mean 'town'\?\)"):
        load(tmp_path, drop=["", "twon"])


def test_a_wide_file_is_read_quickly(tmp_path):
    rng = np.random.default_rng(0)
    values = np.round(rng.random((60, 5000)), 4)
    lines = [",".join([*(f"g{k}" for k in range(5000)), "kind"])]
    lines += [",".join([*map(str, row), str(k % 2)]) for k, row in enumerate(values.tolist())]
    (tmp_path / "mine.csv").write_text("\n".join(lines))
    data = load(tmp_path)
    assert data.X_train.shape == (45, 5000) and data.X_test.shape == (15, 5000)


def text(body):
    def write(folder):
        (folder / "mine.csv").write_text(body)

    return write


def parquet_of(**columns):
    def write(folder):
        parquet.write_table(pa.table(columns), folder / "mine.parquet")

    return write


@pytest.mark.parametrize(
    ("write", "file", "says"),
    [
        (
            text("a,kind\n1,x\n,y\n"),
            "mine.csv",
            r"1 missing values in column 'a' \(1\), in 1 of 2 rows, .* row 2\. Fill",
        ),
        (text("a,b,kind\n1,,x\nNaN,?,y\n"), "mine.csv", r"3 missing values in 2 columns 'b' \(2\), 'a' \(1\), in 2"),
        (text("a,kind\n1,x\ninf,y\n"), "mine.csv", r"1 infinite values, the first \(inf\) in column 'a', data row 2"),
        (text("a,kind\n1,x\nred,y\n"), "mine.csv", r"'a' \(string, e\.g\. 'red'\) is not numeric; .*drop: \['a'\]"),
        (text("a,b,kind\n,1,x\n,2,y\n"), "mine.csv", r"2 missing values in column 'a' \(2\), in 2 of 2 rows"),
        (
            text("a,b,c,kind\nu,1,2020-01-01,x\nv,2,2020-01-02,y\n"),
            "mine.csv",
            r"columns 'a' .* 'c' \(date32.* are not",
        ),
        (text("a,Kind\n1,x\n2,y\n"), "mine.csv", r"no label column 'kind' \(did you mean 'Kind'\?\); the columns"),
        (text("a,kin,mind\n1,x,1\n2,y,1\n"), "mine.csv", r"did you mean 'kin' or 'mind'\?"),
        (text("5.1,3.5,1\n4.9,3.0,0\n"), "mine.csv", "the first line looks like data: put a header line above it"),
        (text(",a,kind\n0,1,x\n1,2,y\n"), "mine.csv", r"column '' is a row index .*index=False\), or put drop: \[''\]"),
        (text("Unnamed: 0,a,kind\n0,1,x\n1,2,y\n"), "mine.csv", "column 'Unnamed: 0' is a row index"),
        (text("kind\nx\ny\n"), "mine.csv", "only the label column"),
        (text("a,a,kind\n1,1,x\n2,2,y\n"), "mine.csv", "columns 'a' come more than once; rename them"),
        (text("a,kind\n"), "mine.csv", "has a header but no rows"),
        (text(""), "mine.csv", "the file is empty; a header line"),
        (text("\n\n"), "mine.csv", "the file is empty; a header line"),
        (text("a,kind\n1,x,3\n"), "mine.csv", "cannot be read as CSV"),
        (text("<html>no</html>"), "mine.csv", "web page"),
        (text("a,kind\n1,x\n2,x\n3,x\n"), "mine.csv", "only the class x; two or more"),
        (text("a,kind\n1,0.5\n2,1\n"), "mine.csv", "label 0.5 in data row 1 is not a whole number"),
        (text("a,kind\n1,\n2,1\n"), "mine.csv", r"'kind' has 1 empty labels, the first \(None\) in data row 1"),
        (text("a,kind\n1,x\n2,\n3,?\n"), "mine.csv", r"'kind' has 2 empty labels, the first \(''\) in data row 2"),
        (text("a,kind\n1,x\n2,y\n3,y\n"), "mine.csv", "1 of 2 classes of 'kind' have one row only and .*: 'x'"),
        (parquet_of(a=[1.0, float("nan")], kind=[1, 2]), "mine.parquet", "1 missing values in column 'a'.* data row 2"),
        (parquet_of(a=[[1.0], [2.0, 3.0]], kind=[1, 2]), "mine.parquet", r"'a' holds lists of \[1, 2\] values"),
        (parquet_of(a=[1.0, 2.0], kind=[[1], [2]]), "mine.parquet", "labels are whole numbers or text"),
        (lambda folder: (folder / "mine.parquet").write_bytes(b"PAR1junk"), "mine.parquet", "cannot be read as Parq"),
        (text("a,kind\n1,x\n2,y\n"), "mine.csv", "2 of 2 classes of 'kind' have one row only"),
        (lambda folder: None, "mine.csv", r"there is no file 'mine\.csv' in"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path, write, file, says):
    write(tmp_path)
    with pytest.raises(DataError, match=says) as caught:
        load(tmp_path, file=file)
    assert str(caught.value).startswith("data set 'mine'")


@pytest.mark.parametrize(
    ("later", "says"),
    [
        ("a,kind\n1,x\n", "missing 'b'; not in the training file none"),
        ("a,b,c,kind\n1,1,1,x\n", "missing none; not in the training file 'c'"),
        ("a,b,kind\n1,1,z\n", "test labels 'z' do not occur in the training set, which has 'x', 'y'"),
        ("a,b,kind\n1,1,3\n", "test labels '3' do not occur"),
        ("a,b,kind\n", "no rows|not numeric"),
    ],
)
def test_a_test_file_that_does_not_fit_says_how(tmp_path, later, says):
    (tmp_path / "mine.csv").write_text("a,b,kind\n1,2,x\n3,4,y\n")
    (tmp_path / "later.csv").write_text(later)
    with pytest.raises(DataError, match=says):
        load(tmp_path, test_file="later.csv", test_fraction=...)


def test_a_fraction_that_leaves_no_test_row_is_refused(tmp_path):
    (tmp_path / "mine.csv").write_text("a,kind\n1,x\n2,y\n3,x\n4,y\n")
    with pytest.raises(DataError, match=r"test_fraction 0\.1 of 4 rows leaves no test row"):
        load(tmp_path, test_fraction=0.1)


def test_an_own_file_changed_between_fetch_and_preprocess_is_noticed(tmp_path):
    write_csv(tmp_path / "mine.csv", table())
    spec = datasets.spec_from_entry("mine", ENTRY)
    datasets.fetch(spec, None, tmp_path / "raw", own_dir=tmp_path)
    write_csv(tmp_path / "raw" / "data.csv", table(seed=1))
    with pytest.raises(DataError, match=r"'mine': data\.csv .* changed after it was fetched"):
        datasets.preprocess(spec, tmp_path / "raw")
    with pytest.raises(DataError, match="own_dir"):
        datasets.load(spec)


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("mine", entry(lable="kind"), "unknown keys lable; known are source, file, label"),
        ("mine", {"source": "url"}, "unknown data set 'mine': known are"),
        ("mine", None, "unknown data set 'mine'"),
        ("mine", [1], "must be a mapping"),
        ("Mine/..", entry(), "small letters"),
        ("mine", entry(file=...), "file must name a file"),
        ("mine", entry(file="/etc/x.csv"), "folder of own data"),
        ("mine", entry(file="../x.csv"), "folder of own data"),
        ("mine", entry(file="x.pkl"), "file: x.pkl: is a pickle, which is never loaded"),
        ("mine", entry(label=...), "label must name the column"),
        ("mine", entry(drop="id"), r"drop must be a list of names of columns, .* got 'id'"),
        ("mine", entry(drop=[1]), "drop must be a list of names"),
        ("mine", entry(drop=["kind"]), "drop names the label 'kind'"),
        ("mine", entry(file="x.libsvm", label=..., drop=["a"]), "LIBSVM text has none"),
        ("mine", entry(file="x.libsvm"), "label is for tables with columns"),
        ("mine", entry(test_file="y.csv"), "either test_file or test_fraction"),
        ("mine", entry(test_fraction=...), "either test_file or test_fraction"),
        ("mine", entry(test_file="y.libsvm", test_fraction=...), "both be LIBSVM"),
        ("mine", entry(test_fraction=1.0), "between 0 and 1"),
        ("mine", entry(test_fraction="half"), "between 0 and 1"),
        ("mine", entry(split_seed=-1), "split_seed"),
        ("mine", entry(split_seed=True), "split_seed"),
        ("mine", entry(scaling="zscore"), "scaling must be one of minmax, unit, standard, none"),
        ("mine", entry(radii=[]), "radii"),
        ("mine", entry(radii=[0]), "radii needs one above 0"),
        ("mine", entry(radii=[0.2, 0.1]), "ascending"),
        ("mine", entry(radii=[0, float("nan")]), "radii"),
        ("mine", entry(radii=[-1, 0]), "radii"),
        ("mine", entry(radii="0, 1"), "radii"),
        ("pendigits", {"source": "moon"}, "'pendigits': source must be one of package, url, mirror, got 'moon'"),
        ("pendigits", {"scaling": "none"}, "unknown keys scaling; known are source, radii"),
        ("pendigits", entry(), "unknown keys"),
        ("pendigits", {"radii": [1, 1]}, "ascending"),
    ],
)
def test_an_entry_that_does_not_fit_says_how(name, values, says):
    with pytest.raises(DataError, match=says):
        datasets.spec_from_entry(name, values)


def test_an_entry_of_a_known_set_may_fix_source_and_radii():
    plain = datasets.spec_from_entry("pendigits", None)
    assert plain == datasets.get_spec("pendigits") == datasets.spec_from_entry("pendigits", {})
    fixed = datasets.spec_from_entry("pendigits", {"source": "mirror", "radii": [0, 0.25]})
    assert fixed.sources == ("mirror",) and fixed.radii == (0.0, 0.25)
    assert fixed.train_counts == plain.train_counts
