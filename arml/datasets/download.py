"""One file over HTTP, bounded in size and time."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path

from arml.errors import DataError

__all__ = ["DownloadError", "download"]

_CHUNK = 1 << 16


class DownloadError(DataError):
    """The network or the server failed: trying again later may help. (Wrong content is a plain DataError.)"""


def download(url: str, target: Path, limit: int, *, timeout: float = 30.0, deadline: float = 900.0) -> None:
    """Write what `url` gives to `target`, at most `limit` bytes.

    Parameters
    ----------
    url : str
        http or https.
    target : Path
        File to create; the caller hands in a temporary name and renames it once the content is checked.
    limit : int
        Greatest size of the body in bytes, whatever the server says.
    timeout, deadline : float
        Seconds without an answer, and in all.

    Raises
    ------
    DownloadError
        No answer, an HTTP error, or fewer bytes than the server announced.
    DataError
        Not an http(s) address, or more bytes than `limit`.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"cannot download {url}: only http and https addresses are")
    request = urllib.request.Request(url, headers={"User-Agent": "arml", "Accept-Encoding": "identity"})
    start = time.monotonic()
    received = 0
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer, target.open("wb") as stream:
            length = answer.headers.get("Content-Length", "")
            announced = int(length) if length.isdecimal() else None
            if announced is not None and announced > limit:
                raise DataError(f"{url} announces {announced} bytes, the right file has at most {limit}")
            while chunk := answer.read1(_CHUNK):
                received += len(chunk)
                if received > limit:
                    raise DataError(f"{url} sends more than the {limit} bytes that the right file can have")
                if time.monotonic() - start > deadline:
                    raise DownloadError(f"{url} took more than {deadline:g} s ({received} bytes came)")
                stream.write(chunk)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{url}: {reason} ({received} bytes came)") from error
    if announced is not None and received != announced:
        raise DownloadError(f"{url} announced {announced} bytes but sent {received}: the download was cut short")
