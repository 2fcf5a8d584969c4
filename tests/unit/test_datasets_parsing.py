"""Raw bytes to arrays: each parser against bytes written by hand, and what it refuses."""

import bz2
import gzip
import struct

import numpy as np
import pytest

from arml.datasets.parsing import integer_labels, parse_idx, parse_keel, parse_libsvm, read_bytes
from arml.datasets.toy import toy_text
from arml.errors import DataError


def test_libsvm_text_gives_dense_rows_with_absent_features_zero():
    X, y = parse_libsvm(b"8 1:47 3:-2.5e-1 \n-1 2:1\r\n+3\n", 4, "t")
    assert X.tolist() == [[47.0, 0.0, -0.25, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0] * 4]
    assert y.tolist() == [8, -1, 3]
    assert X.dtype == np.float64 and y.dtype == np.int64 and X.flags.c_contiguous


def test_libsvm_width_is_the_greatest_index_when_not_told():
    X, _ = parse_libsvm(b"1 7:1\n2 2:1\n", None, "t")
    assert X.shape == (2, 7)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b"1 5:1\n", "not LIBSVM text"),
        (b"1 0:1\n", "not LIBSVM text"),
        (b"1 2:1 1:1\n", "not LIBSVM text"),
        (b"1 1:abc\n", "not LIBSVM text"),
        (b"not data at all\n", "not LIBSVM text"),
        (b"1 1:nan\n", "NaN or infinite"),
        (b"2 1:1\n1 1:1 3:inf\n", "data row 2, feature 3"),
        (b"1.5 1:1\n", "label 1.5 in data row 1 is not a whole number"),
        (b"9999999999 1:1\n", "32 bits"),
        (b"<!DOCTYPE html><html>moved</html>", "web page"),
        (b"\n <HTML>\n", "web page"),
    ],
)
def test_libsvm_text_that_is_wrong_is_refused(text, says):
    with pytest.raises(DataError, match=says) as caught:
        parse_libsvm(text, 4, "some.file")
    assert "some.file" in str(caught.value)


def idx(shape, payload, kind=0x08):
    return struct.pack(">HBB", 0, kind, len(shape)) + struct.pack(f">{len(shape)}I", *shape) + payload


def test_idx_bytes_come_out_in_row_order():
    images = parse_idx(idx((2, 2, 3), bytes(range(12))), (2, 2, 3), "t")
    assert images.tolist() == [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]]
    assert parse_idx(idx((3,), b"\x07\x00\xff"), (3,), "t").tolist() == [7, 0, 255]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\0\0", "2 bytes came"),
        (idx((2, 3), bytes(6), kind=0x0D), "magic 00000d02 came, 00000802"),
        (idx((6,), bytes(6)) + bytes(4), "magic"),
        (idx((3, 2), bytes(6)), r"shape \(3, 2\), \(2, 3\) was expected"),
        (idx((2, 3), bytes(5)), "5 bytes follow"),
        (idx((2, 3), bytes(7)), "7 bytes follow"),
        (idx((2**32 - 1, 2**32 - 1), bytes(6)), r"was expected"),
        (b"<html>503</html>......", "web page"),
    ],
)
def test_idx_header_or_length_that_is_wrong_is_refused(data, says):
    with pytest.raises(DataError, match=says):
        parse_idx(data, (2, 3), "some.gz")


def test_keel_rows_need_every_field():
    assert parse_keel(b"1, 2, A\n\n3,4, B\n", 2, "t") == [["1", "2", "A"], ["3", "4", "B"]]
    with pytest.raises(DataError, match="row 2 has 2 fields, 3 were expected"):
        parse_keel(b"1, 2, A\n3, B\n", 2, "t")
    with pytest.raises(DataError, match="ASCII"):
        parse_keel("1, 2, Ä\n".encode(), 2, "t")


PAYLOAD = bytes(range(256)) * 40


@pytest.mark.parametrize(("name", "pack"), [("a.gz", gzip.compress), ("a.bz2", bz2.compress), ("a", bytes)])
def test_compressed_files_are_read_by_their_suffix(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(PAYLOAD))
    assert read_bytes(path, len(PAYLOAD)) == PAYLOAD
    path.rename(tmp_path / "temporary")
    assert read_bytes(tmp_path / "temporary", len(PAYLOAD), name) == PAYLOAD
    with pytest.raises(DataError, match=f"{name}: holds more than the 10239 bytes"):
        read_bytes(tmp_path / "temporary", len(PAYLOAD) - 1, name)


@pytest.mark.parametrize(("name", "pack"), [("a.gz", gzip.compress), ("a.bz2", bz2.compress)])
def test_compressed_files_cut_short_or_not_compressed_are_refused(tmp_path, name, pack):
    path = tmp_path / name
    packed = pack(np.random.default_rng(0).bytes(5000))
    for cut in (3, 20, len(packed) // 2, len(packed) - 1):
        path.write_bytes(packed[:cut])
        with pytest.raises(DataError, match=f"{name}: cannot be read"):
            read_bytes(path, 10**6)
    path.write_bytes(b"<!DOCTYPE html><title>404</title>")
    with pytest.raises(DataError, match="web page, not data"):
        read_bytes(path, 10**6)


def test_a_decompression_bomb_is_never_unpacked_beyond_the_limit(tmp_path):
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(bytes(50_000_000)))
    with pytest.raises(DataError, match="holds more than the 1000 bytes"):
        read_bytes(path, 1000)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone\.gz: no such file"):
        read_bytes(tmp_path / "gone.gz", 10)


def test_labels_must_be_whole_numbers():
    assert integer_labels(np.array([3.0, -1.0]), "t").tolist() == [3, -1]
    with pytest.raises(DataError, match="nan"):
        integer_labels(np.array([1.0, np.nan]), "t")


def test_the_toy_text_is_the_same_everywhere():
    train, test = toy_text()
    assert train.startswith(b"0 1:36 2:27 3:37 4:52\n1 1:88 2:41 3:41 4:43\n2 1:47 2:66 3:66 4:23\n")
    assert (train.count(b"\n"), test.count(b"\n")) == (60, 30)
    assert toy_text() == (train, test)
