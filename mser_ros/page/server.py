"""The page's web server: its files, and one WebSocket for what is shown and what is asked for.

From elsewhere nobody gets in without the token. A page of another origin gets in nowhere, also not one whose name was
made to mean this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from ..errors import DependencyError, MserError, SettingsError, not_installed
from .board import Board
from .certificate import check
from .hub import Hub

#: Where the page is served if nobody says otherwise.
HOST, PORT = "127.0.0.1", 8780
#: Longest message of a browser [bytes]: a picture of its camera.
_LONGEST = 1_000_000
#: What the system may hold back for one watcher [bytes], so that a slow one is noticed.
_BUFFER = 1 << 17
#: Codes at which a WebSocket is closed.
_REFUSED, _NO_TOKEN = 4403, 4401
#: What a browser may lend.
_INPUTS = ("microphone", "camera")
_STATIC = Path(__file__).parent / "static"
#: Only what comes from this server is run or shown. Plotly writes styles of its own into the page.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' ws: wss:; media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class Inputs:
    """Takes a browser's microphone and camera. Not this one: a page of running nodes has sources of its own."""

    #: Whether a browser may be one.
    are_taken = False

    def open(self, owner: object, kind: str) -> None:
        """Somebody turns on a 'microphone' or 'camera'. Raises `MserError` where that cannot be."""
        raise SettingsError(
            "this page takes no sound and no pictures of a browser: call 'mser live --browser' for that"
        )

    def take(self, owner: object, data: bytes) -> None:
        """A block of sound or a picture."""

    def close(self, owner: object, kind: str = "") -> None:
        """Somebody turns one off, or ('') is gone."""


@dataclass(frozen=True)
class Controls:
    """What people may ask for; each answers in a sentence, or raises `MserError`. Called in a thread of their own."""

    listen: Callable[[bool], str]
    erase: Callable[[], str]


class PageServer:
    """Serves a board in a thread of its own while the `with` block lasts."""

    def __init__(
        self,
        board: Board,
        controls: Controls,
        *,
        inputs: Inputs | None = None,
        host: str = HOST,
        port: int = PORT,
        token: str = "",
        https: tuple[Path, Path] | None = None,
    ) -> None:
        """`port` 0 is any that is free. `token`: what must be known; where nobody has given one, one is made for a host
        that others can reach. `https`: a certificate and its key, by which it is encrypted. Raises `SettingsError`
        where nobody can be served there or so, `DependencyError`."""
        if https is not None:
            check(*https)
        self.https = https
        self.is_local = _is_loopback(host)
        self.token = token or ("" if self.is_local else secrets.token_urlsafe(12))
        self.hub = Hub(board)
        self._controls = controls
        self._inputs = inputs or Inputs()
        self._board = board
        board.notice(takes_browser=self._inputs.are_taken)
        self._plotly = plotly_file()
        self._socket = _listen(host, port)
        self._host = host
        config = uvicorn.Config(
            self._app(),
            log_config=None,
            access_log=False,
            ws="auto",
            ws_max_size=_LONGEST,
            ws_per_message_deflate=False,
            ws_ping_interval=10.0,
            ws_ping_timeout=10.0,
            timeout_graceful_shutdown=1,
            lifespan="on",
            ssl_certfile=https and https[0],
            ssl_keyfile=https and https[1],
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="page-server", daemon=True
        )

    @property
    def url(self) -> str:
        """What to open in a browser; the token is in the part that browsers keep to themselves."""
        port = self._socket.getsockname()[1]
        host = own_name() if self._host in ("0.0.0.0", "::") else self._host
        scheme = "https" if self.https else "http"
        place = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/"
        return f"{place}#token={quote(self.token, safe='')}" if self.token else place

    def __enter__(self) -> PageServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    # -- in the server's thread

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._index),
                Route("/plotly.min.js", self._charts),
                WebSocketRoute("/live", self._live),
                Mount("/static", StaticFiles(directory=_STATIC)),
            ],
            middleware=[Middleware(_Policy)],
            lifespan=self._lifespan,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        telling = asyncio.create_task(self.hub.run())
        yield
        telling.cancel()

    async def _index(self, request: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    async def _charts(self, request: Request) -> Response:
        return FileResponse(self._plotly, media_type="text/javascript")

    async def _live(self, socket: WebSocket) -> None:
        await socket.accept()
        if not self._is_same_origin(socket):
            await socket.close(_REFUSED, "this page comes from elsewhere")
            return
        given = socket.query_params.get("token", "")
        if self.token and not secrets.compare_digest(given.encode(), self.token.encode()):
            await socket.close(_NO_TOKEN, "a token is needed")
            return
        telling = asyncio.create_task(self.hub.watch(socket))
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                if (data := message.get("bytes")) is not None:
                    self._inputs.take(socket, data)
                else:
                    await self._answer(socket, message.get("text") or "")
        except WebSocketDisconnect:
            pass
        finally:
            self._inputs.close(socket)
            telling.cancel()
            with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                await telling

    def _is_same_origin(self, socket: WebSocket) -> bool:
        """Whether the page that asks was served by us; where no token is needed, under a name that only this machine
        has."""
        try:
            origin = urlsplit(socket.headers.get("origin", ""))
        except ValueError:
            return False
        if not origin.netloc or origin.netloc.lower() != socket.headers.get("host", "").lower():
            return False
        return bool(self.token) or _is_loopback(origin.hostname or "")

    async def _answer(self, socket: WebSocket, text: str) -> None:
        wish: Any = None
        try:
            wish = json.loads(text)
            if not isinstance(wish, Mapping):
                raise ValueError("no object")
            said, is_good = await self._do(socket, wish), True
        except MserError as error:
            said, is_good = str(error), False
        except (ValueError, KeyError, TypeError, RecursionError):
            said, is_good = "that was not understood: load the page again", False
        if said:
            answer = {"answer": said, "good": is_good}
            if isinstance(wish, Mapping) and wish.get("do") in _INPUTS:
                answer["input"] = wish["do"]
            await socket.send_text(json.dumps(answer))

    async def _do(self, socket: WebSocket, wish: Mapping[str, Any]) -> str:
        if wish["do"] == "listen":
            return await asyncio.to_thread(self._controls.listen, bool(wish["on"]))
        if wish["do"] == "erase":
            said = await asyncio.to_thread(self._controls.erase)
            self._board.clear()
            return said
        if wish["do"] in _INPUTS:
            if not wish["on"]:
                self._inputs.close(socket, wish["do"])
                return ""
            await asyncio.to_thread(self._inputs.open, socket, wish["do"])
            return f"This {wish['do']} is used."
        raise ValueError(wish["do"])


class _Policy:
    """Says to browsers what the page may do."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def told(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", _POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
            await send(message)

        await self._app(scope, receive, told if scope["type"] == "http" else send)


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Where every address is meant, those of IPv4 are as well: links to this machine are made of one.
        is_dual = host == "::" and socket.has_dualstack_ipv6()
        found = socket.create_server((host, port), family=family, dualstack_ipv6=is_dual)
    except (OSError, OverflowError) as error:
        raise SettingsError(
            f"nothing can be served at {host}, port {port} ({error}): choose another --port (0: any that is free), or "
            "another --host"
        ) from None
    found.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)  # those that are accepted have it as well
    return found


def own_name() -> str:
    """How others find this machine: the address by which it would leave it, else its name. Nothing is sent."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return socket.gethostname()


def plotly_file() -> Path:
    """The charts' code, as its package brings it. Raises `DependencyError`."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise not_installed("plotly")
    path = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    if not path.is_file():
        raise DependencyError(f"plotly brings no {path.name}: pip install 'plotly>=5.20'")
    return path
