"""A web server on this machine for tests of downloads: ranges, broken connections, wrong content."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Loopback:
    """Serves `files` by path. `log` holds (path, Range header) of every request.

    `breaks_after`: bytes after which a connection is cut, once for each request named in `broken` times; `ranges`: give
    parts where asked; `failures`: answer so many requests with 500; `stalled`: set to hold answers back half-way.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.log: list[tuple[str, str]] = []
        self.ranges = True
        self.breaks_after: int | None = None
        self.broken = 0
        self.failures = 0
        self.half_way = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.url = ""


@contextmanager
def loopback() -> Iterator[Loopback]:
    served = Loopback()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range", "")
            served.log.append((self.path, asked))
            if served.failures:
                served.failures -= 1
                return self.send_error(500)
            if self.path not in served.files:
                return self.send_error(404)
            content, first = served.files[self.path], 0
            if served.ranges and (found := re.fullmatch(r"bytes=(\d+)-", asked)):
                first = int(found[1])
                if first >= len(content):
                    return self.send_error(416)
            self.send_response(206 if first else 200)
            if first:
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            rest = content[first:]
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            if served.broken and served.breaks_after is not None:
                served.broken -= 1
                self.wfile.write(rest[: served.breaks_after])
                self.connection.close()
                return None
            half = len(rest) // 2
            self.wfile.write(rest[:half])
            self.wfile.flush()
            if not served.go_on.is_set():
                served.half_way.set()
                served.go_on.wait(60)
            self.wfile.write(rest[half:])
            return None

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, address: Any) -> None:  # a client that went away
            pass

    server = Server(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield served
    finally:
        served.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
