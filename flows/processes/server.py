"""The one Prefect server of a run: found or started, on loopback, ended with those who use it.

``python -m flows.processes.server`` *is* the server process; beside serving, a thread of it watches its owners (the
main command, or the ``dvc`` above a stage, or a stage run alone), each a file ``<pid>-<start>`` under
PREFECT_HOME/owners. When none lives any more it ends itself, so that nothing is left behind however they died.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from flows import layout
from flows.errors import ServerError
from flows.processes.identity import alive, stamp

HOME = layout.PREFECT_HOME
RECORD = HOME / "server.json"
OWNERS = HOME / "owners"
LOG = HOME / "server.log"
LOCK = HOME / "server.lock"
START_LIMIT = 300.0
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def healthy(url: str, timeout: float = 5.0) -> bool:
    """Whether a Prefect API answers at `url` (…/api)."""
    try:
        with _NO_PROXY.open(url.rstrip("/") + "/health", timeout=timeout) as answer:
            return int(answer.status) == 200
    except (OSError, ValueError, urllib.error.URLError):
        return False


# --- owners --------------------------------------------------------------------------------------


def dvc_ancestor() -> psutil.Process | None:
    """The ``dvc`` process that runs this stage, if one does."""
    for process in psutil.Process().parents():
        with contextlib.suppress(psutil.Error):
            words = [Path(w).name for w in process.cmdline()[:4]]
            if "dvc" in words or "flows.repro" in process.cmdline()[:4]:
                return process
    return None


def natural_owner() -> psutil.Process:
    """Whose life a server started here follows: the whole run if this is a stage of one, else this process."""
    return dvc_ancestor() or psutil.Process()


def _register(process: psutil.Process) -> Path:
    OWNERS.mkdir(parents=True, exist_ok=True)
    file = OWNERS / stamp(process)
    file.touch()
    return file


def _living_owners() -> list[str]:
    living = []
    for file in OWNERS.glob("*-*"):
        if alive(file.name):
            living.append(file.name)
        else:
            file.unlink(missing_ok=True)
    return living


# --- finding and starting ------------------------------------------------------------------------


def read_record() -> dict[str, Any] | None:
    """What the record says of the server, if that very process still lives."""
    try:
        record = json.loads(RECORD.read_text())
        return record if alive(str(record["process"])) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def pid_of(url: str) -> int | None:
    """The process that serves `url`, if it is the recorded one; None if it is somebody else's, perhaps elsewhere."""
    record = read_record()
    return int(record["pid"]) if record is not None and record["url"] == url else None


def ensure_server(say: Callable[[str], None] = lambda line: None) -> str:
    """URL of a healthy Prefect API: the one in PREFECT_API_URL, else the recorded one, else a new one."""
    given = os.environ.get("PREFECT_API_URL", "")
    if given:
        if healthy(given, timeout=15.0):
            return given
        say(f"no Prefect server answers at PREFECT_API_URL={given}: using a local one")
    HOME.mkdir(parents=True, exist_ok=True)
    with FileLock(LOCK):
        _register(natural_owner())
        record = read_record()
        if record is not None:
            url = str(record["url"])
            if _wait(url, int(record["pid"]), say):
                return url
            _end(int(record["pid"]))
        for _ in range(3):  # another program may take the port between choosing and binding
            url, pid = _start()
            if _wait(url, pid, say):
                return url
            _end(pid)
    raise ServerError(f"the local Prefect server did not start; the end of {LOG}:\n{_tail(LOG)}")


def _start() -> tuple[str, int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        k: v for k, v in os.environ.items() if k not in ("PREFECT_API_URL", "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL")
    }
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.processes.server", str(port)],
            cwd=layout.ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # a Ctrl-C is for the run, which then ends its server
        )
    record = {"url": url, "pid": process.pid, "process": stamp(psutil.Process(process.pid))}
    temporary = RECORD.with_suffix(".tmp")
    temporary.write_text(json.dumps(record))
    temporary.replace(RECORD)
    threading.Thread(target=process.wait, daemon=True).start()  # reap it: a zombie would look alive
    return url, process.pid


def _wait(url: str, pid: int, say: Callable[[str], None]) -> bool:
    begun = told = time.monotonic()
    while time.monotonic() - begun < START_LIMIT:
        if healthy(url):
            return True
        if not psutil.pid_exists(pid):
            return False
        if time.monotonic() - told > 5:
            told = time.monotonic()
            say(f"starting the local Prefect server: {told - begun:.0f} s (20 s the first time, later 6 s)")
        time.sleep(0.2)
    return False


def release(grace: float = 20.0) -> None:
    """Give up this process's claim; if nobody else needs the server, see that it ends."""
    with contextlib.suppress(psutil.Error):
        (OWNERS / stamp(psutil.Process())).unlink(missing_ok=True)
    with FileLock(LOCK):
        record = read_record()
        if record is not None and not _living_owners():
            _end(int(record["pid"]), grace)
            RECORD.unlink(missing_ok=True)


def _end(pid: int, grace: float = 10.0) -> None:
    try:
        process = psutil.Process(pid)
        process.terminate()
        process.wait(grace)
    except psutil.TimeoutExpired:
        with contextlib.suppress(psutil.Error):
            process.kill()
    except psutil.Error:
        return


def _tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"


# --- the server process --------------------------------------------------------------------------


def _watch(poll: float = 1.0) -> None:
    """End this process when no owner lives. The lock keeps a new owner from arriving in between."""
    while True:
        time.sleep(poll)
        if _living_owners():
            continue
        with FileLock(LOCK):
            if _living_owners():
                continue
            record = read_record()
            if record is not None and record["pid"] == os.getpid():
                RECORD.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(15)
        os._exit(1)  # it did not stop in good order


def serve(port: int) -> None:
    threading.Thread(target=_watch, name="owners", daemon=True).start()
    from prefect.cli import app

    sys.argv = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    app()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
