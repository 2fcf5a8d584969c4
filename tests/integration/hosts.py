"""Two hosts: this one, and a network namespace with an address, a loopback and mounts of its own, on the same disk.

Where none may be made (it takes root and Debian's iproute2, and some containers forbid it), the second host is another
loopback address, and `Host.apart` says what was missing.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Host:
    """Where processes are started, and the address that they have there."""

    address: str
    enter: tuple[str, ...] = ()  # the words before a command that has it run there
    missing: str = ""  # why it is no host of its own

    def start(self, *command: str | Path, hidden: tuple[Path, ...] = (), **options: object) -> subprocess.Popen[bytes]:
        """Start a command that sees empty folders in the place of those `hidden`."""
        mounts = "".join(f"mount -t tmpfs tmpfs '{folder}' && " for folder in hidden)
        words = [str(word) for word in command]
        inside = ("sh", "-c", f'{mounts}exec "$@"', "sh", *words) if hidden else words
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*self.enter, *inside], **{**quiet, **options})  # type: ignore[call-overload, no-any-return]

    def free_port(self) -> int:
        """A port that is free at its address, which has to be one of this machine's."""
        with socket.socket() as probe:
            probe.bind((self.address, 0))
            return int(probe.getsockname()[1])


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """This host and another one, for the length of the block."""
    name, number = f"arml-{os.getpid()}", os.getpid() % 250
    here, there = (f"10.77.{number}.{i}" for i in (1, 2))
    inside = ("ip", "netns", "exec", name)
    steps = [
        ("ip", "netns", "add", name),
        ("ip", "link", "add", name, "type", "veth", "peer", "name", "arml", "netns", name),
        ("ip", "addr", "add", f"{here}/24", "dev", name),
        ("ip", "link", "set", name, "up"),
        (*inside, "ip", "addr", "add", f"{there}/24", "dev", "arml"),
        (*inside, "ip", "link", "set", "arml", "up"),
        (*inside, "ip", "link", "set", "lo", "up"),
        (*inside, "sh", "-c", "mount -t tmpfs tmpfs /mnt"),  # mounts of its own, which some containers forbid
    ]
    try:
        missing = "" if shutil.which("ip") else "Debian's package iproute2 is not installed"
        for step in [] if missing else steps:
            done = subprocess.run(step, capture_output=True, text=True)
            if done.returncode:
                missing = f"{' '.join(step)}: {done.stderr.strip()}"
                break
        if missing:
            yield Host("127.0.0.2"), Host("127.0.0.3", missing=missing)
        else:
            yield Host(here), Host(there, inside)
    finally:
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "del", name], capture_output=True)  # and its end of the wire, so the other


@contextlib.contextmanager
def relay(address: str, port: int) -> Iterator[None]:
    """A port of this host's loopback, reachable at another address of it too."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as inner:
                back = threading.Thread(target=_pump, args=(inner, self.request), daemon=True)
                back.start()
                _pump(self.request, inner)
                back.join(60)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = daemon_threads = True

    with Server((address, port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def below(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes that one has started, and those that they have."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        return []


def end(*processes: subprocess.Popen[bytes]) -> None:
    """End processes, and see that nothing of theirs is left."""
    for process in processes:
        left = below(process)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()
        for other in psutil.wait_procs(left, timeout=30)[1]:
            with contextlib.suppress(psutil.Error):
                other.kill()
