"""Data sets of OpenML, from a server on this machine that answers as OpenML's does."""

import hashlib
import json

import numpy as np
import pytest
from web_server import serving

from arml import datasets
from arml.datasets import arff
from arml.datasets.download import DownloadError
from arml.errors import DataError

ENTRY = {"source": "openml", "id": 61, "test_fraction": 0.25, "radii": [0, 0.1]}
HEADER = """% 1. Title: a set of three kinds
@RELATION kinds

@ATTRIBUTE 'sepal length' REAL
@attribute width\tnumeric
@ATTRIBUTE count INTEGER
@ATTRIBUTE class {'kind one','kind, two',three}

@DATA
"""
NAMES = ["'kind one'", "'kind, two'", "three"]


def rows(n=60):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=n).round(4), rng.normal(size=n).round(4), rng.integers(0, 9, n)]
    return [f"{a},{b:.3e}, {c},{NAMES[k % 3]}" for k, (a, b, c) in enumerate(zip(*values, strict=True))]


def document(header=HEADER, lines=None):
    return (header + "\n".join(lines or rows()) + "\n%\n%\n").encode()


@pytest.fixture
def openml(monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ARML_TIMEOUT", "0.3")
    with serving() as it:
        monkeypatch.setenv("ARML_OPENML", it.base + "/")
        yield it


def publish(server, body=None, **changes):
    """Put a data set on the server, described as OpenML does; changes of its description, ... leaves a key out."""
    body = document() if body is None else body
    told = {
        "id": "61",
        "name": "kinds",
        "version": "2",
        "description": "**Author**: nobody",
        "format": "ARFF",
        "licence": "Public",
        "url": "https://www.openml.org/data/v1/download/61/kinds.arff",
        "parquet_url": "https://data.openml.org/datasets/0000/0061/dataset_61.pq",
        "file_id": "61",
        "default_target_attribute": "class",
        "visibility": "public",
        "status": "active",
        "md5_checksum": hashlib.md5(body).hexdigest(),
        **changes,
    }
    told = {key: value for key, value in told.items() if value is not ...}
    server.put("/api/v1/json/data/61", json.dumps({"data_set_description": told}).encode())
    server.put("/data/v1/download/61/kinds.arff", body)


def load(**changes):
    return datasets.load(datasets.spec_from_entry("kinds", {**ENTRY, **changes}))


def test_a_set_is_fetched_split_scaled_and_recorded(openml):
    publish(openml)
    data = load()
    assert openml.asked == ["/api/v1/json/data/61", "/data/v1/download/61/kinds.arff"]
    assert data.X_train.shape == (45, 3) and data.X_test.shape == (15, 3)
    assert data.class_names == ("kind one", "kind, two", "three") and data.radii == (0.0, 0.1)
    assert data.X_train.min(axis=0).tolist() == [0, 0, 0] and data.X_train.max(axis=0).tolist() == [1, 1, 1]
    body = document()
    assert data.provenance == {
        "dataset": "kinds",
        "source": "openml",
        "openml": {
            "id": 61,
            "name": "kinds",
            "version": "2",
            "label": "class",
            "ignored": [],
            "md5": hashlib.md5(body).hexdigest(),
        },
        "files": [
            {
                "name": "data.arff",
                "size": len(body),
                "sha256": hashlib.sha256(body).hexdigest(),
                "url": "https://www.openml.org/data/v1/download/61/kinds.arff",
            }
        ],
    }
    raw = load(scaling="none")
    counts = np.sort(np.concatenate([raw.X_train[:, 2], raw.X_test[:, 2]]))
    assert counts.tolist() == sorted(float(line.split(",")[2]) for line in rows())
    assert load().fingerprint == data.fingerprint and load(split_seed=1).fingerprint != data.fingerprint


def test_columns_that_openml_ignores_and_those_of_the_entry_are_left_out(openml):
    header = HEADER.replace("@ATTRIBUTE 'sepal", "@ATTRIBUTE ID STRING\n@ATTRIBUTE note STRING\n@ATTRIBUTE 'sepal")
    lines = [f"a{k},'it\\'s, fine',{line}" for k, line in enumerate(rows())]
    publish(openml, document(header, lines), row_id_attribute="ID", ignore_attribute=["gone"])
    with pytest.raises(DataError, match=r"column 'note' \(string, e\.g\. \"it's, fine\"\) is not numeric.*drop"):
        load()
    assert load(drop=["note"]).X_train.shape == (45, 3)
    publish(openml, document(header, lines), ignore_attribute="ID, note")
    assert load(drop=["width"]).X_train.shape == (45, 2)


def test_another_target_is_named_by_label(openml):
    publish(openml, default_target_attribute=...)
    with pytest.raises(DataError, match=r"names no single target for kinds \(it says ''\): name the column with label"):
        load()
    publish(openml, default_target_attribute="class,count")
    with pytest.raises(DataError, match="names no single target"):
        load()
    assert load(label="class").class_names == ("kind one", "kind, two", "three")
    with pytest.raises(DataError, match=r"'kinds': OpenML 61: there is no label column 'klass' \(did you mean 'class'"):
        load(label="klass")


def test_what_is_there_and_right_is_not_fetched_again(openml, tmp_path):
    publish(openml)
    spec = datasets.spec_from_entry("kinds", ENTRY)
    first = datasets.fetch(spec, None, tmp_path)
    openml.asked.clear()
    assert datasets.fetch(spec, None, tmp_path) == first
    assert openml.asked == ["/api/v1/json/data/61"]
    (tmp_path / "data.arff").write_bytes(b"changed")
    assert datasets.fetch(spec, None, tmp_path) == first
    (tmp_path / "data.arff").write_bytes(b"changed")
    with pytest.raises(DataError, match="was changed after it was fetched"):
        datasets.preprocess(spec, tmp_path)


def nominal(header):
    return header.replace("count INTEGER", "count {low,high}").replace("width\tnumeric", "width {0,1}")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            document(nominal(HEADER), [f"0.5,1,low,{NAMES[k % 3]}" for k in range(9)]),
            r"column 'count' \(string, e\.g\. 'low'\) is not numeric; .*encode: one-hot, .*drop: \['count'\]",
        ),
        (
            document(lines=[*rows(), "?,1,2,three", "1,?,?,three"]),
            r"3 missing values in 3 columns 'sepal length' \(1\), .* in 2 of 62 rows, the first in data row 61\. Fill",
        ),
        (document(lines=[*rows(), "1,2,3,?"]), r"'class' has 1 empty labels, the first \(None\) in data row 61"),
        (document(lines=[*rows(), "1,2,x,three"]), "rows do not fit its header: .*column 'count'.*'x'"),
        (document(lines=[*rows(), "1,2,three"]), "rows do not fit its header"),
        (document(lines=["{0 1, 4 three}"]), "data row 1 should be {index value, …} with indices from 0 to 3"),
        (
            document(lines=[*rows(), "1,2,3,'four'"]),
            r"data row 61 has 'four' in 'class', whose values the header declares",
        ),
        (HEADER.encode(), "has a header but no rows"),
        (b"a,b,class\n1,2,x\n", "is not ARFF: it has no line @data; it starts 'a,b"),
        (
            HEADER.replace("@ATTRIBUTE count", "@ATTRIBUTE").encode() + b"1\n",
            "cannot read the header line '@ATTRIBUTE INT",
        ),
        (HEADER.replace("count", "width").encode() + "\n".join(rows()).encode(), "columns 'width' come more than once"),
        (b"@relation x\n@data\n1\n", "its header has no @attribute"),
    ],
)
def test_a_set_that_cannot_be_used_says_why(openml, body, says):
    publish(openml, body)
    with pytest.raises(DataError, match=says) as caught:
        load()
    assert str(caught.value).startswith("data set 'kinds': OpenML 61: ")


DESCRIPTION, FILE = "/api/v1/json/data/61", "/data/v1/download/61/kinds.arff"
UNKNOWN = b'{"error":{"code":"111","message":"Unknown dataset"}}'


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        (lambda it: publish(it, md5_checksum="0" * 32), DataError, r"not the one it describes: \d+ bytes with MD5"),
        (
            lambda it: it.put(FILE, b"<html>Log in</html>"),
            DataError,
            r"not the one it describes.*'<html>Log in.*web page",
        ),
        (lambda it: it.put(FILE, document()[:900]), DataError, "not the one it describes: 900 bytes"),
        (lambda it: it.stall(FILE, document()[:900], 2000), DownloadError, "file of 61 could not be had.*ARML_TIMEOUT"),
        (lambda it: it.put(FILE, b"", 404), DataError, "file of 61 could not be had: .*kinds.arff answered 404"),
        (lambda it: it.put(FILE, b"", 500), DownloadError, "file of 61 could not be had: .*kinds.arff answered 500"),
        (lambda it: it.put(DESCRIPTION, UNKNOWN, 412), DataError, r"answered 412.*Check the id \(openml\.org/d/61\)"),
        (lambda it: it.put(DESCRIPTION, b"", 404), DataError, r"description of 61 could not be had.*Check the id"),
        (lambda it: it.put(DESCRIPTION, b"", 503), DownloadError, r"answered 503.*set ARML_OPENML to the address of a"),
        (lambda it: it.silent(DESCRIPTION), DownloadError, r"timed out.*What to do: try again later; set ARML_OPENML"),
        (lambda it: it.put(DESCRIPTION, b"<html>Log in</html>"), DataError, "is a web page: '<html>Log in"),
        (lambda it: it.put(DESCRIPTION, b'{"data_set_descr'), DataError, r"not what was expected \(JSONDecodeError"),
        (lambda it: publish(it, id="62"), DataError, "not what was expected .*id, url or md5_checksum"),
        (lambda it: publish(it, md5_checksum="none"), DataError, "not what was expected .*id, url or md5_checksum"),
        (lambda it: publish(it, md5_checksum=...), DataError, "not what was expected .*md5_checksum"),
        (lambda it: publish(it, url="file:///etc/hostname"), DataError, "only http and https addresses"),
        (lambda it: publish(it, status="deactivated"), DataError, r"61 \(kinds, version 2\) is deactivated.*active"),
        (lambda it: publish(it, format="CSV"), DataError, "holds 61 .kinds. as CSV, and only ARFF is"),
    ],
)
def test_a_server_that_fails_leaves_nothing_behind_and_the_next_fetch_is_right(openml, tmp_path, change, kind, says):
    publish(openml)
    change(openml)
    spec = datasets.spec_from_entry("kinds", ENTRY)
    with pytest.raises(DataError, match=says) as caught:
        datasets.fetch(spec, None, tmp_path)
    assert type(caught.value) is kind and str(caught.value).startswith("data set 'kinds': OpenML")
    assert list(tmp_path.iterdir()) == []
    publish(openml)
    datasets.fetch(spec, None, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data.arff", "source.json"]


def test_without_a_network_the_error_says_what_to_do(monkeypatch):
    monkeypatch.setenv("ARML_OPENML", "http://127.0.0.1:9")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/api/v1/json/data/61: .*refused.*source: file"):
        load()


def test_addresses_outside_openml_are_left_alone(openml):
    publish(openml, url=f"{openml.base}/elsewhere/kinds.arff")
    openml.put("/elsewhere/kinds.arff", document())
    assert load().provenance["files"][0]["url"] == f"{openml.base}/elsewhere/kinds.arff"
    assert openml.asked[1] == "/elsewhere/kinds.arff"


def test_an_arff_file_of_ones_own_is_read_too(tmp_path):
    (tmp_path / "mine.arff").write_bytes(document())
    entry = {"source": "file", "file": "mine.arff", "label": "class", "test_fraction": 0.25, "radii": [0, 0.1]}
    data = datasets.load(datasets.spec_from_entry("mine", entry), own_dir=tmp_path)
    assert data.X_train.shape == (45, 3) and data.class_names == ("kind one", "kind, two", "three")


@pytest.mark.parametrize("quote", ["'", '"'])
def test_values_are_those_of_another_reader(tmp_path, quote):
    """scikit-learn carries a reader of its own, private to it, whose grammar is complete."""
    from sklearn.externals import _arff

    text = document().decode().replace("'", quote)
    (tmp_path / "x.arff").write_text(text)
    table, _ = arff.parse_arff((tmp_path / "x.arff").read_bytes(), "x")
    expected = _arff.load(text)
    assert table.column_names == [name for name, _ in expected["attributes"]]
    assert [list(row.values()) for row in table.to_pylist()] == expected["data"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"id": "61"}, r"id must be the number of a data set at openml\.org .*got '61'"),
        ({"id": 0}, "id must be the number"),
        ({"id": True}, "id must be the number"),
        ({"id": None}, "id must be the number"),
        ({"file": "x.csv"}, "unknown keys file; known are source, id, label, drop"),
        ({"label": 3}, r"label must name the column of labels \(absent: OpenML's target\), got 3"),
        ({"test_fraction": 2}, "between 0 and 1"),
        ({"test_fraction": None}, "give test_fraction, the share of the rows"),
        ({"label": "class", "drop": ["class"]}, "drop names the label"),
    ],
)
def test_an_entry_that_does_not_fit_says_how(changes, says):
    with pytest.raises(DataError, match=f"data set 'kinds': .*{says}|data set 'kinds': {says}"):
        datasets.spec_from_entry("kinds", {**ENTRY, **changes})


def test_a_name_of_the_registry_stays_the_registrys():
    with pytest.raises(DataError, match="unknown keys id, test_fraction"):
        datasets.spec_from_entry("pendigits", ENTRY)
