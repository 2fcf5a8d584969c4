"""What people really bring: a row a situation, through the library (load) and, for tables, the command line's reader.

A row is a name, the file's content, keys of the entry, and what is expected: the features of the file as they come out
(no scaling, rows in their order), or a part of the sentence that refuses it.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from arml import datasets
from arml.cli.inputs import read_training, reading
from arml.datasets.reading import READING_KEYS
from arml.errors import DataError

NUMBERS = [[1.5, 2.0], [3.5, 4.0], [5.5, 6.0]]
PLAIN = "a,b,kind\n1.5,2,x\n3.5,4,y\n5.5,6,x\n"


def arff(rows: str, kinds: str = "{x,y}", b: str = "numeric") -> str:
    return f"@relation r\n@attribute a numeric\n@attribute b {b}\n@attribute kind {kinds}\n@data\n{rows}\n"


def swap(text: str, **marks: str) -> str:
    """The text with other separators: comma, point."""
    table = {"comma": ",", "point": "."}
    return text.translate({ord(table[name]): mark for name, mark in marks.items()})


ARFF_ROWS = "1.5,2,x\n3.5,4,y\n5.5,6,x"
LIBSVM = "+1 1:1.5 2:2\n-1 1:3.5 2:4\n+1 1:5.5 2:6\n"

SAME = [  # all of them are NUMBERS
    ("plain", "t.csv", PLAIN, {}),
    ("upper case suffix", "T.CSV", PLAIN, {}),
    ("no suffix", "table", PLAIN, {}),
    ("txt", "t.txt", PLAIN, {}),
    ("data", "t.data", PLAIN, {}),
    ("windows line ends", "t.csv", PLAIN.replace("\n", "\r\n"), {}),
    ("no last line end", "t.csv", PLAIN.rstrip(), {}),
    ("blank lines at the end", "t.csv", PLAIN + "\n\n", {}),
    ("byte order mark", "t.csv", PLAIN.encode("utf-8-sig"), {}),
    ("utf-16", "t.csv", PLAIN.encode("utf-16"), {}),
    ("utf-32", "t.csv", PLAIN.encode("utf-32"), {}),
    ("utf-16 told", "t.csv", PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
    ("latin-1 told", "t.csv", PLAIN.replace("a,", "ä,", 1).encode("latin-1"), {"encoding": "latin-1"}),
    ("cp1252 told", "t.csv", PLAIN.replace("a,", "€,", 1).encode("cp1252"), {"encoding": "cp1252"}),
    ("utf-8 told", "t.csv", PLAIN, {"encoding": "UTF8"}),
    ("gz", "t.csv.gz", gzip.compress(PLAIN.encode()), {}),
    ("bz2", "t.csv.bz2", bz2.compress(PLAIN.encode()), {}),
    ("xz", "t.csv.xz", lzma.compress(PLAIN.encode()), {}),
    ("gz without its suffix", "t.csv", gzip.compress(PLAIN.encode()), {}),
    ("semicolons", "t.csv", swap(PLAIN, comma=";"), {}),
    ("tabs", "t.csv", swap(PLAIN, comma="\t"), {}),
    ("tsv", "t.tsv", swap(PLAIN, comma="\t"), {}),
    ("bars", "t.csv", swap(PLAIN, comma="|"), {}),
    ("blanks", "t.dat", swap(PLAIN, comma=" "), {}),
    ("aligned with blanks", "t.dat", "  a   b kind\n1.5   2    x\n3.5   4    y\n5.5   6    x\n", {}),
    ("separator told", "t.csv", swap(PLAIN, comma=":"), {"separator": ":", "format": "csv"}),
    ("tab told by name", "t.csv", swap(PLAIN, comma="\t"), {"separator": "tab"}),
    ("sep line of spreadsheets", "t.csv", "sep=;\n" + swap(PLAIN, comma=";"), {}),
    ("decimal commas", "t.csv", swap(swap(PLAIN, comma=";"), point=","), {}),
    ("decimal commas told", "t.csv", swap(swap(PLAIN, comma=";"), point=","), {"decimal": ","}),
    ("decimal commas in quotes", "t.csv", 'a,b,kind\n"1,5",2,x\n"3,5",4,y\n"5,5",6,x\n', {}),
    ("separator in a quoted name", "t.csv", PLAIN.replace("a,b", '"a, with b",b'), {}),
    ("another separator in a name", "t.csv", PLAIN.replace("a,b", "a;c,b"), {}),
    ("comments on top", "t.csv", "# made by hand\n# 3 rows\n" + PLAIN, {}),
    ("percent comments on top", "t.csv", "% made by hand\n" + PLAIN, {}),
    ("header set off by a hash", "t.csv", "# " + PLAIN, {}),
    ("no header, label last", "t.csv", PLAIN.split("\n", 1)[1], {"label": "last"}),
    ("no header, label by number", "t.csv", PLAIN.split("\n", 1)[1], {"label": "3"}),
    ("no header, a whole number", "t.csv", PLAIN.split("\n", 1)[1], {"label": 3}),
    ("no header, label first", "t.csv", "x,1.5,2\ny,3.5,4\nx,5.5,6\n", {"label": "first"}),
    ("no header told", "t.csv", PLAIN.split("\n", 1)[1], {"label": "3", "header": False}),
    ("label in the middle", "t.csv", "a,kind,b\n1.5,x,2\n3.5,y,4\n5.5,x,6\n", {}),
    ("a column dropped", "t.csv", "id,a,b,kind\nu,1.5,2,x\nv,3.5,4,y\nw,5.5,6,x\n", {"drop": ["id"]}),
    ("quoted cells", "t.csv", '"a","b","kind"\n"1.5","2","x"\n"3.5","4","y"\n"5.5","6","x"\n', {}),
    ("labels with blanks", "t.csv", PLAIN.replace("x", " x "), {}),
    ("exponents", "t.csv", PLAIN.replace("1.5", "15e-1"), {}),
    ("plus signs", "t.csv", PLAIN.replace("1.5", "+1.5"), {}),
    ("arff", "t.arff", arff(ARFF_ROWS), {}),
    ("arff without its suffix", "t", arff(ARFF_ROWS), {}),
    ("arff upper case", "T.ARFF", arff(ARFF_ROWS).replace("@attribute", "@ATTRIBUTE").replace("@data", "@DATA"), {}),
    ("arff gz", "t.arff.gz", gzip.compress(arff(ARFF_ROWS).encode()), {}),
    ("arff comment after a value", "t.arff", arff("1.5,2,x % note\n3.5,4,y\n5.5,6,x"), {}),
    ("arff comment after @data", "t.arff", arff(ARFF_ROWS).replace("@data", "@data % rows"), {}),
    ("arff comment after an attribute", "t.arff", arff(ARFF_ROWS).replace("b numeric", "b numeric % width"), {}),
    ("arff comment lines among rows", "t.arff", arff("1.5,2,x\n% one\n3.5,4,y\n5.5,6,x"), {}),
    ("arff single quotes", "t.arff", arff("1.5,2,'x'\n3.5,4,y\n5.5,6,'x'"), {}),
    ("arff both quotes", "t.arff", arff("1.5,2,'x'\n3.5,4,\"y\"\n5.5,6,x"), {}),
    ("arff quoted numbers", "t.arff", arff("'1.5',2,x\n3.5,\"4\",y\n5.5,6,x"), {}),
    ("arff quoted declarations", "t.arff", arff("1.5,2,'x'\n3.5,4,y\n5.5,6,x", "{'x', \"y\"}"), {}),
    ("arff blanks at commas", "t.arff", arff("1.5, 2 ,x\n3.5 ,4,\ty\n 5.5,6,x "), {}),
    ("arff tabs between values", "t.arff", arff("1.5\t2\tx\n3.5\t4\ty\n5.5\t6\tx"), {}),
    ("arff blanks between values", "t.arff", arff("1.5 2 x\n3.5 4 y\n5.5  6 x"), {}),
    ("arff trailing commas", "t.arff", arff("1.5,2,x,\n3.5,4,y,\n5.5,6,x,"), {}),
    ("arff weights", "t.arff", arff("1.5,2,x,{0.5}\n3.5,4,y,{1}\n5.5,6,x, {2}"), {}),
    ("arff sparse", "t.arff", arff("{0 1.5, 1 2}\n{0 3.5, 1 4, 2 y}\n{0 5.5,1 6}"), {}),
    ("arff windows line ends", "t.arff", arff(ARFF_ROWS).replace("\n", "\r\n"), {}),
    ("arff latin-1 name", "t.arff", arff(ARFF_ROWS).replace("e b", "e größe").encode("latin-1"), {}),
    ("arff numbers as categories", "t.arff", arff(ARFF_ROWS, b="{2,4,6}"), {}),
    ("arff integer and real", "t.arff", arff(ARFF_ROWS, b="INTEGER").replace("a numeric", "a real"), {}),
    ("arff numeric classes", "t.arff", arff("1.5,2,0\n3.5,4,1\n5.5,6,0", "{0,1}"), {}),
    ("libsvm", "t.libsvm", LIBSVM, {"label": ...}),
    ("libsvm as downloaded", "a1a", LIBSVM, {"label": ...}),
    ("libsvm test name", "a1a.t", LIBSVM, {"label": ...}),
    ("libsvm scale", "satimage.scale", LIBSVM, {"label": ...}),
    ("libsvm svm", "x.svm", LIBSVM, {"label": ...}),
    ("libsvm svmlight", "x.svmlight", LIBSVM, {"label": ...}),
    ("libsvm txt", "x.txt", LIBSVM, {"label": ...}),
    ("libsvm bz2", "usps.bz2", bz2.compress(LIBSVM.encode()), {"label": ...}),
    ("libsvm xz", "usps.xz", lzma.compress(LIBSVM.encode()), {"label": ...}),
    ("libsvm told", "x.dat", LIBSVM, {"label": ..., "format": "libsvm"}),
    ("libsvm comments", "x.svm", LIBSVM.replace("2\n", "2 # one\n", 1), {"label": ...}),
    ("libsvm from 0", "x.svm", LIBSVM.replace(" 1:", " 0:").replace(" 2:", " 1:"), {"label": ...}),
    (
        "libsvm from 0 told",
        "x.svm",
        LIBSVM.replace(" 1:", " 0:").replace(" 2:", " 1:"),
        {"label": ..., "zero_based": True},
    ),
    ("libsvm qid", "x.svm", LIBSVM.replace(" 1:", " qid:1 1:"), {"label": ...}),
    ("missing dropped", "t.csv", PLAIN + "7,,x\n,8,y\n", {"missing": "drop"}),
    ("a missing mark told", "t.csv", PLAIN + "7,-,x\n", {"missing": "drop", "missing_marks": ["-"]}),
    ("one missing mark", "t.csv", PLAIN + "7,na,x\n", {"missing": "drop", "missing_marks": "na"}),
    ("spreadsheet errors told", "t.csv", PLAIN + "#DIV/0!,1,x\n", {"missing": "drop", "missing_marks": ["#DIV/0!"]}),
    ("detection limits told", "t.csv", PLAIN + "<0.05,1,x\n", {"missing": "drop", "missing_marks": ["<0.05"]}),
    ("arff missing dropped", "t.arff", arff(ARFF_ROWS + "\n?,1,x"), {"missing": "drop"}),
]

OTHER = [  # others, with what their features are
    ("median", "t.csv", PLAIN + ",8,x\n", {"missing": "median"}, [*NUMBERS, [3.5, 8]]),
    ("mean", "t.csv", PLAIN + "7,,x\n", {"missing": "mean"}, [*NUMBERS, [7, 4]]),
    ("one-hot", "t.csv", "a,kind\nred,x\nblue,y\nred,x\n", {"encode": "one-hot"}, [[0, 1], [1, 0], [0, 1]]),
    ("one-hot beside numbers", "t.csv", "a,b,kind\nu,1,x\nv,2,y\n", {"encode": "one-hot"}, [[1, 0, 1], [0, 1, 2]]),
    (
        "one-hot, most frequent",
        "t.csv",
        "a,b,kind\nu,1,x\nu,2,y\nv,3,y\n,4,x\n",
        {"encode": "one-hot", "missing": "median"},
        [[1, 0, 1], [1, 0, 2], [0, 1, 3], [1, 0, 4]],
    ),
    (
        "arff one-hot as declared",
        "t.arff",
        arff("1,red,x\n2,red,y", b="{green,red}"),
        {"encode": "one-hot"},
        [[1, 0, 1], [2, 0, 1]],
    ),
    ("arff missing filled", "t.arff", arff("1,?,x\n2,4,y"), {"missing": "median"}, [[1, 4], [2, 4]]),
    ("yes and no", "t.csv", "a,kind\nyes,x\nNo,y\n", {}, [[1], [0]]),
    ("y and n", "t.csv", "a,kind\ny,x\nn,y\n", {}, [[1], [0]]),
    ("true and false", "t.csv", "a,kind\nTrue,x\nfalse,y\n", {}, [[1], [0]]),
    ("t and f", "t.csv", "a,kind\nt,x\nf,y\n", {}, [[1], [0]]),
    ("arff yes and no", "t.arff", arff("1,yes,x\n2,no,y", b="{yes,no}"), {}, [[1, 1], [2, 0]]),
    ("arff 0 and 1", "t.arff", arff("1,0,x\n2,1,y", b="{0,1}"), {}, [[1, 0], [2, 1]]),
    ("percents", "t.csv", "a,kind\n12%,x\n50 %,y\n", {}, [[12], [50]]),
    ("thousands told", "t.csv", 'a,kind\n"1,100",x\n"2,200",y\n', {"thousands": ","}, [[1100], [2200]]),
    ("decimals told", "t.csv", 'a,kind\n"1,100",x\n"2,200",y\n', {"decimal": ","}, [[1.1], [2.2]]),
    ("thousands and decimals", "t.csv", 'a,kind\n"1,100.5",x\n"2,200.25",y\n', {}, [[1100.5], [2200.25]]),
    ("millions", "t.csv", 'a,kind\n"1,100,000",x\n"2,200",y\n', {}, [[1100000], [2200]]),
    ("German thousands", "t.csv", "a;kind\n1.100,5;x\n2.200,25;y\n", {}, [[1100.5], [2200.25]]),
    ("Swiss thousands", "t.csv", "a;kind\n1'100;x\n2'200;y\n", {}, [[1100], [2200]]),
    ("French thousands", "t.csv", "a;kind\n1 100,5;x\n2 200,5;y\n", {}, [[1100.5], [2200.5]]),
    ("thousands beside points", "t.csv", 'a,b,kind\n"1,100",0.5,x\n900.5,1,y\n', {}, [[1100, 0.5], [900.5, 1]]),
    ("libsvm gaps are 0", "x.svm", "1 3:1\n2 1:2\n", {"label": ...}, [[0, 0, 1], [2, 0, 0]]),
    ("libsvm negative", "x.svm", "1 1:-1.5e-1\n2 1:2\n", {"label": ...}, [[-0.15], [2]]),
]

REFUSED = [
    (
        "not utf-8",
        "t.csv",
        PLAIN.replace("a,", "ä,", 1).encode("latin-1"),
        {},
        "is not UTF-8 text .line 1.*encoding: cp1252",
    ),
    ("another encoding", "t.csv", b"a,kind\n\xff,x\n", {"encoding": "ascii"}, "is not ASCII text"),
    ("utf-16 without mark", "t.csv", PLAIN.encode("utf-16-le"), {}, "NUL characters.*encoding: utf-16-le"),
    (
        "doubtful commas",
        "t.csv",
        'a,kind\n"1,100",x\n"2,200",y\n',
        {},
        "'1,100' in data row 1: say decimal: ','.* or thousands: ','",
    ),
    (
        "dash",
        "t.csv",
        "a,kind\n1,x\n-,y\n3,x\n",
        {},
        r"'a' is numbers but for 1 of 3 cells, the first '-' in data row 2.*missing_marks: \['-'\]",
    ),
    ("point", "t.csv", "a,kind\n1,x\n.,y\n3,x\n", {}, r"missing_marks: \['\.'\]"),
    ("na", "t.csv", "a,kind\n1,x\nna,y\n3,x\n", {}, r"missing_marks: \['na'\]"),
    ("division by zero", "t.csv", "a,kind\n1,x\n#DIV/0!,y\n3,x\n", {}, r"missing_marks: \['#DIV/0!'\]"),
    ("two marks", "t.csv", "a,kind\n1,x\n-,y\nna,x\n2,y\n3,x\n", {}, r"missing_marks: \['-', 'na'\]"),
    (
        "detection limit",
        "t.csv",
        "a,kind\n1,x\n<0.05,y\n3,x\n",
        {},
        r"'<0\.05' in data row 2.*missing_marks: \['<0\.05'\]",
    ),
    ("some percents", "t.csv", "a,kind\n1,x\n12%,y\n3,x\n", {}, "with a percent sign, or none"),
    ("a unit", "t.csv", "a,kind\n1,x\n2 kg,y\n3,x\n", {}, "'2 kg' in data row 2: write a plain number"),
    ("text", "t.csv", "a,kind\nred,x\nblue,y\n", {}, r"'a' \(string, e\.g\. 'red'\) is not numeric; .*encode: one-hot"),
    ("dates", "t.csv", "a,kind\n2020-01-01,x\n2020-01-02,y\n", {}, "date32"),
    ("dates encoded", "t.csv", "a,kind\n2020-01-01,x\n2020-01-02,y\n", {"encode": "one-hot"}, "date32"),
    ("missing", "t.csv", "a,kind\n1,x\n,y\n", {}, "missing: median .or mean.*missing: drop"),
    ("nothing left", "t.csv", "a,b,kind\n1,,x\n,2,y\n", {"missing": "drop"}, "nothing is left"),
    (
        "a column of nothing",
        "t.csv",
        "a,b,kind\n1,,x\n2,,y\n",
        {"missing": "median"},
        "'b' has no value in the training rows",
    ),
    ("no header", "t.csv", "1,2,0\n3,4,1\n", {}, "the first line looks like data.*label: last"),
    ("no header told, no such label", "t.csv", "1,2,0\n3,4,1\n", {"header": False}, "label: first, label: last"),
    ("empty", "t.csv", "", {}, "the file is empty"),
    ("web page", "t.csv", "<!doctype html><p>Log in", {}, "is a web page"),
    ("web page as arff", "t.arff", "<html>", {}, "is a web page"),
    ("zip", "t.csv", b"PK\x03\x04junk", {}, "zip archive or a spreadsheet"),
    ("damaged gz", "t.csv.gz", gzip.compress(PLAIN.encode())[:-9], {}, "cannot be read"),
    ("ragged", "t.csv", PLAIN + "1,2,3,4\n", {}, "cannot be read as CSV"),
    ("arff undeclared", "t.arff", arff("1,2,x\n3,4,z"), {}, r"data row 2 has 'z' in 'kind', .* declares as 'x', 'y'"),
    ("arff undeclared feature", "t.arff", arff("1,2,x\n3,u,y", b="{2,4}"), {}, "data row 2 has 'u' in 'b'"),
    ("arff too few values", "t.arff", arff("1,2,x\n3,y"), {}, "data row 2 has 2 values, the header 3 attributes"),
    ("arff no number", "t.arff", arff("1,2,x\nu,4,y"), {}, "'a' is numeric, and data row 2 has 'u'"),
    ("arff sparse index", "t.arff", arff("{0 1, 7 2}"), {}, "indices from 0 to 2"),
    ("arff text", "t.arff", arff("1,red,x\n2,blue,y", b="{red,blue}"), {}, "encode: one-hot"),
    ("arff no data", "t.arff", "@relation r\n@attribute a numeric\n", {}, "no line @data"),
    (
        "libsvm huge index",
        "x.svm",
        "1 1:1\n2 2000000000000:1\n",
        {"label": ...},
        "would take .* GiB of memory|is not LIBSVM",
    ),
    (
        "libsvm large index",
        "x.svm",
        "1 1:1\n2 2000000000:1\n1 1:2\n",
        {"label": ...},
        "3 rows of 2000000000 .*GiB of memory",
    ),
    ("libsvm nan", "x.svm", "1 1:nan\n2 1:1\n", {"label": ...}, "NaN or infinite"),
    ("libsvm regression", "x.svm", "1.5 1:1\n2 1:1\n", {"label": ...}, "label 1.5 in data row 1 is not a whole number"),
    ("libsvm with drop", "a1a", LIBSVM, {"label": ..., "drop": ["a"]}, "no names to drop"),
    ("csv without label", "t", PLAIN, {"label": ...}, "label must name the column"),
    ("two roles of a mark", "t.csv", PLAIN, {"decimal": ",", "thousands": ","}, "both ','"),
    ("separator of two", "t.csv", PLAIN, {"separator": ";;"}, "separator must be one character"),
    ("no such encoding", "t.csv", PLAIN, {"encoding": "utf-9"}, "encoding must be a name such as"),
    ("binary codec", "t.csv", PLAIN, {"encoding": "zip"}, "encoding must be a name such as"),
    ("no such format", "t.csv", PLAIN, {"format": "xlsx"}, "format must be one of csv, parquet, arff, libsvm"),
    ("no such encode", "t.csv", PLAIN, {"encode": "ordinal"}, "encode must be one of one-hot"),
    ("no such missing", "t.csv", PLAIN, {"missing": "zero"}, "missing must be one of error, median, mean, drop"),
    ("header no boolean", "t.csv", PLAIN, {"header": "no"}, "header must be true or false"),
    ("marks no list", "t.csv", PLAIN, {"missing_marks": 3}, "missing_marks must be a list of texts"),
    ("label a boolean", "t.csv", PLAIN, {"label": False}, "quote it"),
    ("spreadsheet", "t.xlsx", b"PK\x03\x04", {}, "is a spreadsheet"),
    ("pickle", "t.pkl", b"\x80", {}, "is a pickle, which is never loaded"),
    ("numpy", "t.npy", b"\x93NUMPY", {}, "is a NumPy array"),
]


def entry(name: str, keys: dict[str, object]) -> dict[str, object]:
    merged = {"source": "file", "file": name, "label": "kind", "test_file": name, "scaling": "none", **keys}
    return {key: value for key, value in merged.items() if value is not ...}


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def both_ways(folder: Path, name: str, content: str | bytes, keys: dict[str, object]) -> list[np.ndarray]:
    """The features by the entry of a study, and as the command line reads them."""
    path = put(folder, name, content)
    told = entry(name, keys)
    data = datasets.load(datasets.spec_from_entry("mine", told), own_dir=folder)
    options = {key: told[key] for key in READING_KEYS if key in told}
    with reading(told.get("drop", ()), options):
        training = read_training(path, str(told.get("label", "label")), "none")
    assert np.array_equal(data.X_train, data.X_test) and np.array_equal(data.y_train, data.y_test)
    assert np.array_equal(training.y, data.y_train)
    return [data.X_train, training.X]


@pytest.mark.parametrize(("name", "content", "keys"), [row[1:] for row in SAME], ids=[row[0] for row in SAME])
def test_the_same_table_however_it_is_written(tmp_path, name, content, keys):
    for X in both_ways(tmp_path, name, content, keys):
        np.testing.assert_array_equal(X, NUMBERS)


@pytest.mark.parametrize(("name", "content", "keys", "expected"), [r[1:] for r in OTHER], ids=[r[0] for r in OTHER])
def test_other_tables(tmp_path, name, content, keys, expected):
    for X in both_ways(tmp_path, name, content, keys):
        np.testing.assert_array_equal(X, expected)


@pytest.mark.parametrize(("name", "content", "keys", "says"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_what_is_refused_says_why(tmp_path, name, content, keys, says):
    with pytest.raises(DataError, match=says) as caught:
        both_ways(tmp_path, name, content, keys)
    assert str(caught.value).startswith("data set 'mine'") and "get_dummies" not in str(caught.value)


def frame(**columns: object) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (frame(a=[[1.0, 2.0], [3.0, 4.0]], kind=["x", "y"]), [[1, 2], [3, 4]]),
        (frame(a=pa.array([[1, 2], [3, 4]], pa.list_(pa.int8(), 2)), kind=["x", "y"]), [[1, 2], [3, 4]]),
        (frame(a=[1, 2], kind=pa.array([10**12, 2], pa.int64())), [[1], [2]]),
        (frame(a=[1, 2], kind=pa.array([1, 2]).cast(pa.decimal128(30, 2))), [[1], [2]]),
        (frame(a=[1, 2], kind=pa.array(["x", "y"], pa.large_string())), [[1], [2]]),
        (frame(a=[1, 2], kind=pa.array([b"x", b"y"])), [[1], [2]]),
        (frame(a=pa.array([1, 2]).cast(pa.decimal128(30, 2)), kind=[0, 1]), [[1], [2]]),
        (frame(a=pa.array(["yes", "no"]).dictionary_encode(), kind=[0, 1]), [[1], [0]]),
    ],
    ids=[
        "lists",
        "fixed lists",
        "64-bit labels",
        "decimal labels",
        "large text labels",
        "bytes",
        "decimals",
        "dictionary",
    ],
)
def test_parquet_types(tmp_path, content, expected):
    for X in both_ways(tmp_path, "t.parquet", content, {}):
        np.testing.assert_array_equal(X, expected)


def test_a_named_index_of_pandas_is_no_feature(tmp_path):
    table = pd.DataFrame({"a": [1.0, 2.0], "kind": ["x", "y"]}, index=[7, 3])
    table.index.name = "sample"
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="column 'sample' is a row index that was saved as a column"):
        datasets.load(datasets.spec_from_entry("mine", entry("t.parquet", {})), own_dir=tmp_path)
    spec = datasets.spec_from_entry("mine", entry("t.parquet", {"drop": ["sample"]}))
    assert datasets.load(spec, own_dir=tmp_path).X_train.tolist() == [[1.0], [2.0]]


def pair(folder: Path, train: str, test: str, name: str = "t.csv", **keys: object) -> datasets.Dataset:
    put(folder, name, train), put(folder, f"test-{name}", test)
    told = entry(name, {"test_file": f"test-{name}", **keys})
    return datasets.load(datasets.spec_from_entry("mine", told), own_dir=folder)


def test_what_is_learned_is_learned_from_the_training_file(tmp_path):
    data = pair(tmp_path, "a,kind\n1,x\n3,y\n", "a,kind\n,x\n100,y\n", missing="mean")
    assert data.X_test.tolist() == [[2.0], [100.0]]
    assert data.provenance["reading"] == {"missing": {"filled": "mean", "values": {"a": 2.0}}}
    words = pair(tmp_path, "a,kind\nno,x\nmaybe,y\n", "a,kind\nno,x\n", encode="one-hot")
    assert words.X_test.tolist() == [[0.0, 1.0]] and words.provenance["reading"]["encoded"] == {"a": ["maybe", "no"]}
    with pytest.raises(DataError, match="'a' has 'yes', first in data row 2, which no training row has"):
        pair(tmp_path, "a,kind\nno,x\nmaybe,y\n", "a,kind\nno,x\nyes,y\n", encode="one-hot")


def test_a_pair_of_libsvm_files_has_one_width_and_one_base(tmp_path):
    wide = pair(tmp_path, "1 1:1\n2 2:1\n", "1 4:1\n", "a1a", label=...)
    assert wide.X_train.shape == (2, 4) and wide.X_test.tolist() == [[0, 0, 0, 1]]
    based = pair(tmp_path, "1 0:1\n2 1:1\n", "1 1:1\n", "a1a", label=...)
    assert based.X_train.tolist() == [[1, 0], [0, 1]] and based.X_test.tolist() == [[0, 1]]


def test_standard_scaling_is_of_the_training_rows(tmp_path):
    data = pair(tmp_path, "a,b,kind\n1,7,x\n3,7,y\n", "a,b,kind\n5,9,x\n", scaling="standard")
    assert data.X_train.tolist() == [[-1, 0], [1, 0]] and data.X_test.tolist() == [[3, 0]]


def test_a_copy_brought_before_serves_where_the_file_is_not(tmp_path):
    own, raw = tmp_path / "own", tmp_path / "raw"
    own.mkdir()
    put(own, "t.csv", PLAIN)
    spec = datasets.spec_from_entry("mine", entry("t.csv", {}))
    record = datasets.fetch(spec, None, raw, own_dir=own)
    (own / "t.csv").unlink()
    assert datasets.fetch(spec, None, raw, own_dir=own) == record
    assert datasets.preprocess(spec, raw).X_train.tolist() == NUMBERS
    (raw / "data.csv").write_text("changed")
    with pytest.raises(DataError, match=r"there is no file 't\.csv'"):
        datasets.fetch(spec, None, raw, own_dir=own)
