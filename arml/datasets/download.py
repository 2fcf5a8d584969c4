"""One file over HTTP, bounded in size and time."""

from __future__ import annotations

import http.client
import math
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from arml.errors import DataError

__all__ = ["TIMEOUT_VARIABLE", "DownloadError", "download"]

TIMEOUT_VARIABLE = "ARML_TIMEOUT"
_TIMEOUT = 30.0  # seconds
_DEADLINE = 30  # in time-outs
_CHUNK = 1 << 16
_MAY_PASS = (408, 425, 429)  # of the answers 4xx, which else say that the address is wrong


class DownloadError(DataError):
    """The network or the server failed: trying again later may help. (Wrong content is a plain DataError.)"""


def download(
    url: str, target: Path, limit: int, *, timeout: float | None = None, deadline: float | None = None
) -> None:
    """Write what `url` gives to `target`, at most `limit` bytes.

    Parameters
    ----------
    url : str
        http or https.
    target : Path
        File to create; the caller hands in a temporary name and renames it once the content is checked.
    limit : int
        Greatest size of the body in bytes, whatever the server says.
    timeout, deadline : float, optional
        Seconds without an answer, and in all. Default: the environment variable ARML_TIMEOUT (30), and 30 times
        `timeout`.

    Raises
    ------
    DownloadError
        No answer, too slow a one, a server's error, or fewer bytes than the server announced.
    DataError
        Not an http(s) address, or a redirection to one; an answer that the address is wrong (404 and its like); more
        bytes than `limit`.
    """
    if not url.startswith(("http://", "https://")):
        raise DataError(f"cannot download {url}: only http and https addresses are")
    timeout = _timeout() if timeout is None else timeout
    deadline = _DEADLINE * timeout if deadline is None else deadline
    slow = f"; set {TIMEOUT_VARIABLE} (now {timeout:g} seconds) higher for a slow server"
    request = urllib.request.Request(url, headers={"User-Agent": "arml", "Accept-Encoding": "identity"})
    start = time.monotonic()
    received = 0
    try:
        opener = urllib.request.build_opener(_WebOnly)
        with opener.open(request, timeout=timeout) as answer, target.open("wb") as stream:
            length = answer.headers.get("Content-Length", "")
            announced = int(length) if length.isdecimal() else None
            if announced is not None and announced > limit:
                raise DataError(f"{url} announces {announced} bytes, the right file has at most {limit}")
            while chunk := answer.read1(_CHUNK):
                received += len(chunk)
                if received > limit:
                    raise DataError(f"{url} sends more than the {limit} bytes that the right file can have")
                if time.monotonic() - start > deadline:
                    raise DownloadError(f"{url} took more than {deadline:g} s ({received} bytes came){slow}")
                stream.write(chunk)
    except urllib.error.HTTPError as error:
        with error:
            passing = error.code >= 500 or error.code in _MAY_PASS
            raise (DownloadError if passing else DataError)(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        more = slow if isinstance(reason, TimeoutError) else ""
        raise DownloadError(f"{url}: {reason} ({received} bytes came){more}") from error
    if announced is not None and received != announced:
        raise DownloadError(f"{url} announced {announced} bytes but sent {received}: the download was cut short")


def _timeout() -> float:
    text = os.environ.get(TIMEOUT_VARIABLE, "")
    try:
        seconds = float(text or _TIMEOUT)
    except ValueError:
        seconds = math.nan
    if not (seconds > 0 and math.isfinite(seconds)):
        raise DataError(f"{TIMEOUT_VARIABLE} must be a positive number of seconds, got {text!r}")
    return seconds


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirections to http and https alone, and never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        wanted = ("https://",) if req.full_url.startswith("https://") else ("http://", "https://")
        if not newurl.startswith(wanted):
            raise DataError(f"{req.full_url} leads to {newurl}, which is not followed: only {' or '.join(wanted)} is")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
