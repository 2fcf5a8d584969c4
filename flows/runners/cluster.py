"""Before a cluster is trusted with tasks: do its workers see this project, run its code, reach its server?

Tasks get paths and ids and leave files, so that every worker has to see the project's folder at the same path, as
on a shared file system. A stage asks all of them first, and what is wrong is said before any task is sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import platform
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flows import layout
from flows.errors import ClusterError

LIMIT = 60  # seconds until a cluster has to answer
# what must not differ between workers: results may depend on it
PACKAGES = ("numpy", "scipy", "scikit-learn", "torch", "metric-learn", "foolbox", "pyarrow", "prefect")
Facts = dict[str, Any]


def source_digest() -> str:
    """SHA-256 over the project's own sources."""
    digest = hashlib.sha256()
    for folder in ("arml", "flows"):
        for file in sorted((layout.ROOT / folder).rglob("*.py")):
            digest.update(file.relative_to(layout.ROOT).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


LOADED = source_digest()  # of the code as this process imported it: a worker may have done so long ago


def describe(server: str) -> Facts:
    """What a worker says of itself, in its own process."""
    from flows.processes.server import healthy

    versions = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError, FileNotFoundError):
            versions[name] = importlib.metadata.version(name).partition("+")[0]
    return {
        "root": str(layout.ROOT),
        "code": LOADED,
        "versions": versions,
        "server": healthy(server, timeout=15.0),
    }


@contextlib.contextmanager
def visitor(server: str) -> Iterator[Callable[[], Facts]]:
    """The function that workers are asked to run, for the length of the block.

    It is made here, inside of another, so that it travels as code: a worker may know nothing of this project yet.
    """
    root, word = str(layout.ROOT), secrets.token_hex(16)
    mark = layout.ROOT / ".prefect" / f"visit-{word}"

    def visit() -> Facts:
        import importlib
        import pathlib
        import socket
        import sys

        facts: Facts = {"host": socket.gethostname(), "seen": False}
        try:
            file = pathlib.Path(root, ".prefect", f"visit-{word}")
            facts["seen"] = file.is_file() and file.read_text() == word
            if facts["seen"]:
                sys.path[:] = [root, *(path for path in sys.path if path != root)]
                facts |= importlib.import_module("flows.runners.cluster").describe(server)
        except Exception as error:  # whatever it is, it is told where it can be read
            facts["error"] = f"{type(error).__name__}: {error}"
        return facts

    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(word)
    try:
        yield visit
    finally:
        mark.unlink(missing_ok=True)


def is_stale(facts: Mapping[str, Any]) -> bool:
    """Whether a worker holds other code than the project has now: an earlier state, or another folder's."""
    return "code" in facts and (facts["code"] != LOADED or facts["root"] != str(layout.ROOT))


def as_reader(facts: Facts) -> Facts:
    """What a process tells that runs no task: neither its state of the code nor its way to the server matters."""
    return facts | {"root": str(layout.ROOT), "code": LOADED, "server": True}


def require_fit(workers: Iterable[Mapping[str, Any]], server: str) -> None:
    """Raise if one of the workers, as they told of themselves, could not run this project's tasks.

    Raises
    ------
    ClusterError
        There is no worker, or the first that is unfit, why, and what to do.
    """
    workers, own = list(workers), describe(server)
    if not workers:
        raise ClusterError("run.cluster has no worker that takes tasks: start some, or set run.cluster to null")
    for facts in workers:
        where = f"run.cluster: the worker on {facts['host']}"
        if not facts["seen"]:
            raise ClusterError(
                f"{where} does not see this project's folder {layout.ROOT}: tasks exchange files, so put the project "
                "on a file system that all workers share, at the same path"
            )
        if "error" in facts:
            raise ClusterError(f"{where} cannot run this project: {facts['error']}; start it in this environment")
        if is_stale(facts):
            raise ClusterError(
                f"{where} has loaded other code, of {facts['root']} or of before its last change: restart it"
            )
        for name, version in own["versions"].items():
            if name not in facts["versions"]:
                raise ClusterError(f"{where} has no {name}, this machine {version}: start it in this environment")
            if facts["versions"][name] != version:
                raise ClusterError(
                    f"{where} has {name} {facts['versions'][name]}, this machine {version}: results could differ; "
                    "start it in this environment"
                )
        if not facts["server"]:
            raise ClusterError(
                f"{where} does not reach the Prefect server at {server}: start one that it does ('prefect server start "
                "--host' with this machine's address) and export PREFECT_API_URL with that address"
            )


def require_root(root: str) -> None:
    """In a task: raise ClusterError unless this process runs the code of the project that sent it."""
    if root != str(layout.ROOT):
        raise ClusterError(f"a worker on {platform.node()} runs the code of {layout.ROOT}, not of {root}: restart it")


def require_reachable(address: str) -> None:
    """Raise ClusterError unless something listens at ``scheme://host:port``; takes at most 10 seconds."""
    host, _, port = address.partition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise ClusterError(
            f"run.cluster: nothing answers at {address} ({error}): start the cluster, correct the address, or set "
            "run.cluster to null for this machine alone"
        ) from error
