"""A mirror that is slow, lies or breaks off: a clear error, no partial file, nothing lost; the next fetch is right."""

import dataclasses

import pytest
from web_server import serving

from arml import datasets
from arml.datasets.download import DownloadError
from arml.datasets.spec import Source
from arml.datasets.toy import toy_text
from arml.errors import DataError

TOY = datasets.get_spec("toy")
TRAIN, TEST = toy_text()
SIZE = len(TEST)
PAGE = b"<!DOCTYPE html><html><body>Log in to the network</body></html>"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("ARML_MIRROR", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ARML_TIMEOUT", "0.3")


@pytest.fixture
def server():
    with serving() as it:
        it.put("/libsvm/toy", TRAIN)
        yield it


def spec(exact):
    """The toy set as a mirror would hold it; `exact`: known by the checksums of its files, not of its content."""
    origin = TOY.origins[0]
    files = tuple(dataclasses.replace(f, exact=exact) for f in origin.files)
    return dataclasses.replace(TOY, origins=(Source("mirror", "libsvm", files, "libsvm", content=origin.content),))


def answer(kind, **facts):
    """How the server answers for the second file."""
    return lambda it: getattr(it, kind)("/libsvm/toy.t", **facts)


FAULTS = {
    "silent": (answer("silent"), DownloadError, r"timed out \(0 bytes came\); set ARML_TIMEOUT \(now 0\.3 seconds\)"),
    "stalled": (answer("stall", first=TEST[:50], announced=SIZE), DownloadError, r"timed out .*; set ARML_TIMEOUT"),
    "cut short": (answer("put", body=TEST[:50], Content_Length=str(SIZE)), DownloadError, "cut short|IncompleteRead"),
    "cut short, no length": (
        answer("put", body=TEST[:50], Content_Length=""),
        DataError,
        f"50 bytes instead of {SIZE}",
    ),
    "length too small": (answer("put", body=TEST, Content_Length="50"), DataError, f"50 bytes instead of {SIZE}"),
    "length too large": (answer("put", body=TEST, Content_Length=str(SIZE + 9)), DownloadError, "cut short|Incomplete"),
    "length huge": (
        answer("put", body=TEST, Content_Length=str(10**15)),
        DataError,
        "announces 1000000000000000 bytes",
    ),
    "chunks cut short": (answer("chunked", body=TEST, ended=False), DownloadError, "IncompleteRead"),
    "endless": (answer("put", body=bytes(10**7), Content_Length=""), DataError, r"sends more than the \d+ bytes"),
    "too long": (answer("put", body=TEST * 2), DataError, f"holds more than the {SIZE} bytes"),
    "web page": (answer("put", body=PAGE), DataError, "is a web page, not data .*Log in"),
    "wrong bytes": (
        answer("put", body=TEST.replace(b"1:", b"2:", 1)),
        DataError,
        f"not the expected file: {SIZE} by",
    ),
    "empty": (answer("put", body=b""), DataError, f"0 bytes instead of {SIZE}"),
    "not found": (answer("put", body=PAGE, code=404), DataError, "answered 404"),
    "forbidden": (answer("put", body=PAGE, code=403), DataError, "answered 403"),
    "busy": (answer("put", body=PAGE, code=429), DownloadError, "answered 429"),
    "broken": (answer("put", body=PAGE, code=500), DownloadError, "answered 500"),
    "loop": (answer("put", body=b"", code=302, Location="/libsvm/toy.t"), DataError, "answered 302 .*loop"),
    "to a file": (answer("put", body=b"", code=302, Location="file:///etc/hostname"), DataError, "302.*not allowed"),
    "to ftp": (
        answer("put", body=b"", code=301, Location="ftp://127.0.0.1/x"),
        DataError,
        "leads to ftp.*not foll",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_answer_is_a_clear_error_and_the_next_fetch_is_right(tmp_path, server, fault):
    put, kind, says = FAULTS[fault]
    put(server)
    with pytest.raises(DataError, match=says) as caught:
        datasets.fetch(spec(True), None, tmp_path, server.base)
    assert type(caught.value) is kind  # whether the download stage tries again
    message = str(caught.value)
    assert message.startswith("data set 'toy': toy.t could not be had. Tried: ")
    assert f"{server.base}/libsvm/toy.t" in message
    assert "What to do: set ARML_MIRROR" in message
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]  # complete and checked; no part, no record
    server.asked.clear()
    server.put("/libsvm/toy.t", TEST)
    datasets.fetch(spec(True), None, tmp_path, server.base)
    assert server.asked == ["/libsvm/toy.t"]
    assert datasets.preprocess(spec(True), tmp_path).fingerprint == datasets.load("toy").fingerprint


@pytest.mark.parametrize("fault", ["cut short, no length", "length too small", "web page", "wrong bytes", "empty"])
def test_where_bytes_may_differ_the_content_is_judged(tmp_path, server, fault):
    FAULTS[fault][0](server)
    with pytest.raises(DataError, match=r"'toy'.*What to do"):
        datasets.fetch(spec(False), None, tmp_path, server.base)
    assert not (tmp_path / "source.json").exists()
    server.put("/libsvm/toy.t", TEST)
    datasets.fetch(spec(False), None, tmp_path, server.base)
    assert datasets.preprocess(spec(False), tmp_path).fingerprint == datasets.load("toy").fingerprint


def test_a_server_that_drips_is_given_up_after_thirty_time_outs(tmp_path, server, monkeypatch):
    monkeypatch.setenv("ARML_TIMEOUT", "0.2")
    server.drip("/libsvm/toy.t", TEST, 0.02)
    with pytest.raises(DownloadError, match=r"took more than 6 s \(\d+ bytes came\); set ARML_TIMEOUT"):
        datasets.fetch(spec(True), None, tmp_path, server.base)
    assert [p.name for p in tmp_path.iterdir()] == ["toy"]


@pytest.mark.parametrize("length", ["-5", "many", ""])
def test_a_right_file_is_taken_whatever_its_length_is_said_to_be(tmp_path, server, length):
    server.put("/libsvm/toy.t", TEST, Content_Length=length)
    datasets.fetch(spec(True), None, tmp_path, server.base)
    assert (tmp_path / "toy.t").read_bytes() == TEST


def test_chunks_and_redirections_are_followed(tmp_path, server):
    server.put("/libsvm/toy", b"", code=307, Location="/elsewhere")
    server.put("/elsewhere", TRAIN)
    server.chunked("/libsvm/toy.t", TEST)
    record = datasets.fetch(spec(True), None, tmp_path, server.base)
    assert [f["size"] for f in record["files"]] == [len(TRAIN), SIZE]


@pytest.mark.parametrize("text", ["soon", "0", "-1", "inf", "nan"])
def test_a_time_out_that_is_no_number_is_named(tmp_path, server, monkeypatch, text):
    monkeypatch.setenv("ARML_TIMEOUT", text)
    with pytest.raises(DataError, match=f"ARML_TIMEOUT must be a positive number of seconds, got '{text}'"):
        datasets.fetch(spec(True), None, tmp_path, server.base)


def test_a_name_from_a_server_never_becomes_a_path(tmp_path, server):
    """Files get the registry's names, whatever a server calls them; gz and bz2 are streams without names."""
    server.put("/libsvm/toy.t", TEST, Content_Disposition='attachment; filename="../../escaped"')
    datasets.fetch(spec(True), None, tmp_path / "raw", server.base)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["raw", "source.json", "toy", "toy.t"]
