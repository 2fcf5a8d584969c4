"""Keys see content, params and code; records are checked, and nothing in them is unpickled."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from flows import layout
from flows.tasks import cache


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder of its own, with arml's sources linked in."""
    monkeypatch.setattr(layout, "ROOT", tmp_path)
    monkeypatch.setattr(layout, "DATA", tmp_path / "data")
    (tmp_path / "data" / "records").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_key_changes_with_content_params_identity_and_code(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "code_hash", lambda *entries: "+".join(entries))
    source = write(root / "data/in", "a")
    base = ({"method": "nca"}, [source], {"steps": 1}, ["flows.stages.train"])
    keys = {
        cache.cache_key(*base),
        cache.cache_key({"method": "lmnn"}, *base[1:]),
        cache.cache_key(base[0], base[1], {"steps": 2}, base[3]),
        cache.cache_key(*base[:3], ["flows.stages.verify"]),
    }
    write(source, "b")
    os.utime(source, ns=(1, 1))
    assert len(keys | {cache.cache_key(*base)}) == 5


def test_key_does_not_depend_on_times_or_place(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "code_hash", lambda *entries: "")
    source = write(root / "data/in", "a")
    first = cache.cache_key({}, [source], {}, [])
    os.utime(source, ns=(5, 5))
    assert cache.cache_key({}, [source], {}, []) == first


def test_content_hash_notices_a_change_of_the_same_length(tmp_path: Path) -> None:
    file = write(tmp_path / "x", "aaaa")
    first = cache.content_hash(file)
    write(file, "bbbb")
    os.utime(file, ns=(7, 7))
    assert cache.content_hash(file) != first


def test_closure_follows_imports_in_functions_and_relative_ones(tmp_path: Path) -> None:
    write(tmp_path / "arml/__init__.py", "from arml.unused import y")
    write(tmp_path / "arml/unused.py", "")
    write(tmp_path / "arml/a.py", "def f():\n    from arml.sub.b import g\n")
    write(tmp_path / "arml/sub/__init__.py", "")
    write(tmp_path / "arml/sub/b.py", "import numpy\nfrom .c import h\nfrom . import d\n")
    write(tmp_path / "arml/sub/c.py", "import arml.e\n")
    write(tmp_path / "arml/sub/d.py", "")
    write(tmp_path / "arml/e.py", "from arml.a import f  # a circle\n")
    names = {p.relative_to(tmp_path).as_posix() for p in cache.module_closure(["arml.a"], tmp_path)}
    wanted = {"a", "sub/__init__", "sub/b", "sub/c", "sub/d", "e"}
    assert names == {f"arml/{name}.py" for name in wanted}
    with pytest.raises(ValueError, match=r"no module 'arml\.nope'"):
        cache.module_closure(["arml.nope"], tmp_path)


def test_a_learner_s_code_is_no_part_of_another_s(tmp_path: Path) -> None:
    def files(*entries: str) -> set[str]:
        return {p.name for p in cache.module_closure(entries)}

    assert "classical.py" in files("flows.stages.train", "arml.learners.baselines")
    assert not files("flows.stages.train", "arml.learners.arml") & {"baselines.py", "classical.py"}
    assert not files("flows.stages.train", "arml.learners.baselines") & {"arml.py", "objective.py"}


def record(root: Path) -> tuple[Path, str]:
    part = write(root / "data/part", "result")
    file = root / "data/records/p.json"
    file.write_text(json.dumps(cache.make_record("k1", part)))
    return file, "k1"


def test_a_good_record_is_read(root: Path) -> None:
    file, key = record(root)
    found = cache.read_record(file, key)
    assert found["path"] == "data/part" and len(found["sha256"]) == 64


def test_a_record_of_another_key_is_none(root: Path) -> None:
    file, _ = record(root)
    with pytest.raises(ValueError, match="of other inputs, params or code"):
        cache.read_record(file, "k2")


def test_an_altered_or_missing_part_is_none(root: Path) -> None:
    file, key = record(root)
    write(root / "data/part", "RESULT")
    os.utime(root / "data/part", ns=(3, 3))
    with pytest.raises(ValueError, match="missing or altered"):
        cache.read_record(file, key)
    (root / "data/part").unlink()
    with pytest.raises(ValueError, match="missing or altered"):
        cache.read_record(file, key)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"key": 1, "path": "x", "sha256": "y"}'])
def test_an_unreadable_record_is_none(root: Path, content: str) -> None:
    file, key = record(root)
    file.write_text(content)
    with pytest.raises(ValueError, match=r"record p\.json"):
        cache.read_record(file, key)


def test_a_record_may_not_name_a_file_outside_data(root: Path) -> None:
    write(root / "secret", "x")
    file = root / "data/records/p.json"
    file.write_text(json.dumps({"key": "k", "path": "data/../secret", "sha256": "y"}))
    with pytest.raises(ValueError, match="not under data/"):
        cache.read_record(file, "k")


def test_storage_writes_the_same_bytes_and_gives_prefect_its_format(root: Path) -> None:
    from prefect.results import ResultStore
    from prefect.serializers import JSONSerializer

    file, _ = record(root)
    store = ResultStore(
        result_storage=cache.RecordStorage(folder=str(root / "data/records")), serializer=JSONSerializer()
    )
    value = cache.make_record("k9", root / "data/part")
    store.write(value, key="q:k9")
    first = (root / "data/records/q.json").read_bytes()
    assert json.loads(first) == value and b"prefect" not in first
    assert store.exists("q:k9") and not store.exists("q:k8") and not store.exists("p:k9")
    assert store.read("q:k9").result == value
    store.write(value, key="q:k9")
    assert (root / "data/records/q.json").read_bytes() == first
    assert file.exists()


def test_a_record_that_asks_for_pickle_is_not_obeyed(root: Path, tmp_path: Path) -> None:
    from prefect.results import ResultStore
    from prefect.serializers import JSONSerializer

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "sprung"),)

    payload = pickle.dumps(Trap()).hex()
    evil = {"metadata": {"serializer": {"type": "pickle"}}, "result": payload}
    (root / "data/records/p.json").write_text(json.dumps(evil))
    store = ResultStore(
        result_storage=cache.RecordStorage(folder=str(root / "data/records")), serializer=JSONSerializer()
    )
    assert not store.exists("p:k1")
    assert not (tmp_path / "sprung").exists()
