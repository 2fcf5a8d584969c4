"""A web server on 127.0.0.1 that answers as tests tell it to, rightly or not."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Callable, Iterator


class Server:
    """Answers each path with what the test put there, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Callable[[http.server.BaseHTTPRequestHandler], None]] = {}
        self.asked: list[str] = []
        self.ended = threading.Event()  # set when the test is over: what stalls need not stall longer
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                with contextlib.suppress(ConnectionError):  # the client may hang up first
                    outer.answers.get(self.path, plain(b"<html>not here</html>", 404))(self)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.http.server_port}"

    def put(self, path: str, body: bytes, code: int = 200, **headers: str) -> None:
        """Answer with a body; headers with '' are left out, '_' in a name stands for '-'."""
        self.answers[path] = plain(body, code, **headers)

    def stall(self, path: str, first: bytes, announced: int) -> None:
        """Send the beginning of a body, and then nothing more."""

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            head(handler, 200, {"Content-Length": str(announced)})
            handler.wfile.write(first)
            self.ended.wait(20)

        self.answers[path] = answer

    def drip(self, path: str, body: bytes, pause: float) -> None:
        """Send a body byte by byte."""

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            head(handler, 200, {"Content-Length": str(len(body))})
            for k in range(len(body)):
                handler.wfile.write(body[k : k + 1])
                if self.ended.wait(pause):
                    return

        self.answers[path] = answer

    def silent(self, path: str) -> None:
        """Take the request and never answer."""
        self.answers[path] = lambda handler: (self.ended.wait(20), None)[1]

    def chunked(self, path: str, body: bytes, *, ended: bool = True) -> None:
        """Send a body in two chunks, with or without the last, empty one."""

        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.protocol_version = "HTTP/1.1"
            head(handler, 200, {"Transfer-Encoding": "chunked"})
            for part in (body[:100], body[100:]):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            if ended:
                handler.wfile.write(b"0\r\n\r\n")

        self.answers[path] = answer


def plain(body: bytes, code: int = 200, **headers: str) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """An answer of a body and headers, which may lie."""

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        head(handler, code, {"Content-Length": str(len(body)), **{k.replace("_", "-"): v for k, v in headers.items()}})
        handler.wfile.write(body)

    return answer


def head(handler: http.server.BaseHTTPRequestHandler, code: int, headers: dict[str, str]) -> None:
    handler.send_response(code)
    for key, value in headers.items():
        if value:
            handler.send_header(key, value)
    handler.end_headers()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    it = Server()
    thread = threading.Thread(target=it.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield it
    finally:
        it.ended.set()
        it.http.shutdown()
        it.http.server_close()
        thread.join()
