"""How files get onto disk: whole or not at all."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from arml.errors import DataError
from arml.system.files import atomic_path, sha256_file, write_bytes, write_json, write_text


def test_write_makes_folders_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "file.txt"
    write_text(target, "ünder\r\nneath\n")
    assert target.read_bytes() == "ünder\r\nneath\n".encode()
    assert os.listdir(target.parent) == ["file.txt"]


def test_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="half way"), atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("new but broken")
        raise RuntimeError("half way")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_new_content_appears_only_after_the_block(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    write_text(target, "old")
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing was written"), atomic_path(tmp_path / "file.txt"):
        pass
    assert os.listdir(tmp_path) == []


def test_json_has_sorted_keys_and_refuses_nan(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    write_json(target, {"b": [1, 2.5], "a": {"ε": None}})
    expected = '{\n  "a": {\n    "ε": null\n  },\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
    assert target.read_text(encoding="utf-8") == expected
    with pytest.raises(ValueError, match="nan"):
        write_json(target, {"a": float("nan")})
    assert target.read_text(encoding="utf-8") == expected


def test_sha256_of_a_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    write_bytes(tmp_path / "file", content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    with pytest.raises(DataError, match=r"cannot read .*missing"):
        sha256_file(tmp_path / "missing")


def test_parent_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("")
    with pytest.raises(DataError, match=r"cannot make the folder .*occupied"):
        write_text(tmp_path / "occupied" / "file.txt", "x")


def test_target_that_is_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "occupied").mkdir()
    with pytest.raises(DataError, match="a folder of that name exists"):
        write_text(tmp_path / "occupied", "x")


def test_unwritable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # also holds for root, whom modes do not stop
    with pytest.raises(DataError, match=r"file.txt: the folder .* is not writable"):
        write_text(tmp_path / "file.txt", "x")


def test_full_disk_is_reported_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left"):
        write_text(tmp_path / "file.txt", "x")
    assert os.listdir(tmp_path) == []
