"""DVC's remotes as servers on this machine: an S3 store, and a folder by SSH; and their objects, to do things to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Protocol

from workspace import Workspace


class Store(Protocol):
    """What a remote holds, by the MD5 of the content."""

    def read(self, md5: str) -> bytes: ...

    def write(self, md5: str, content: bytes) -> None: ...

    def remove(self, md5: str) -> None: ...


def _name(md5: str) -> str:
    return f"files/md5/{md5[:2]}/{md5[2:]}"


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, md5: str) -> bytes:
        return (self.path / _name(md5)).read_bytes()

    def write(self, md5: str, content: bytes) -> None:
        (self.path / _name(md5)).chmod(0o644)
        (self.path / _name(md5)).write_bytes(content)

    def remove(self, md5: str) -> None:
        (self.path / _name(md5)).unlink()


class Bucket:
    def __init__(self, client: Any) -> None:
        self.client = client

    def _place(self, md5: str) -> dict[str, str]:
        return {"Bucket": "team", "Key": f"arml/{_name(md5)}"}

    def read(self, md5: str) -> bytes:
        return bytes(self.client.get_object(**self._place(md5))["Body"].read())

    def write(self, md5: str, content: bytes) -> None:
        self.client.put_object(**self._place(md5), Body=content)

    def remove(self, md5: str) -> None:
        self.client.delete_object(**self._place(md5))


@contextlib.contextmanager
def s3(study: Workspace, _folder: Path) -> Iterator[Store]:
    """A study's remote on an S3 server, set up as docs/team.md tells."""
    import boto3
    from moto.moto_server.threaded_moto_server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        client = boto3.client("s3", endpoint_url=address, **keys)
        client.create_bucket(Bucket="team")
        study.dvc("remote", "add", "-q", "-d", "team", "s3://team/arml")
        study.dvc("remote", "modify", "-q", "team", "endpointurl", address)
        study.environment.update({name.upper(): value for name, value in keys.items() if name.startswith("aws")})
        yield Bucket(client)
    finally:
        server.stop()


@contextlib.contextmanager
def ssh(study: Workspace, folder: Path) -> Iterator[Store]:
    """A study's remote in a folder that an SSH server serves, set up as docs/team.md tells."""
    import asyncssh

    key, host = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    file = folder / "key"
    file.write_bytes(key.export_private_key())
    file.chmod(0o600)
    (folder / "keys").write_bytes(key.export_public_key())
    (folder / "store").mkdir()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def wait(what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(60)

    async def listen() -> Any:
        known = {"server_host_keys": [host], "authorized_client_keys": str(folder / "keys")}
        return await asyncssh.listen("127.0.0.1", 0, sftp_factory=True, **known)

    server = wait(listen())
    try:
        study.dvc("remote", "add", "-q", "-d", "team", f"ssh://127.0.0.1:{server.get_port()}{folder / 'store'}")
        study.dvc("remote", "modify", "-q", "--local", "team", "user", "person")
        study.dvc("remote", "modify", "-q", "--local", "team", "keyfile", str(file))
        yield Folder(folder / "store")
    finally:
        server.close()
        wait(server.wait_closed())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()
