"""Handing news to everybody who watches: made once, at a bounded rate, and lost by who is too slow for it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from .board import Board

#: How often news are told [Hz]; where there are none, a sign of life comes after so long [s].
RATE_HZ = 5.0
_ALIVE_S = 1.0
#: News that may wait for one watcher; who is further behind loses them, and is told everything anew.
_WAITING = 10


class Socket(Protocol):
    """What a watcher is reached by."""

    async def send_text(self, data: str) -> None: ...


class Hub:
    """Tells a board's news to watchers. It belongs to one event loop; `lost` and `watchers` may be read anywhere.

    A watcher who does not take what is sent costs nothing more and slows nobody: what waits is thrown away, counted in
    `lost`, and replaced by all there is once there is room again.
    """

    def __init__(self, board: Board, *, rate_hz: float = RATE_HZ) -> None:
        self.lost = 0
        self.is_watched = threading.Event()  # set when the first one comes, for good
        self._board = board
        self._period_s = 1 / rate_hz
        self._watchers: set[_Watcher] = set()

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    async def run(self) -> None:
        """Tell news until this is cancelled."""
        told_s = 0.0
        while True:
            await asyncio.sleep(self._period_s)
            if not self._watchers:
                continue
            try:
                news = self._board.news()
                if news or time.monotonic() - told_s >= _ALIVE_S:
                    told_s = time.monotonic()
                    text = self._text(news)
                    for watcher in self._watchers:
                        self.lost += watcher.offer(text)
            except Exception as error:  # else the page would stand still, and nobody would know why
                logging.getLogger(__package__).error("a bug, please report it: %s", error, exc_info=error)

    async def watch(self, socket: Socket) -> None:
        """Tell everything, then news, until the socket's end comes out of it as an exception."""
        watcher = _Watcher()
        self._watchers.add(watcher)
        self.is_watched.set()
        try:
            await watcher.feed(socket, lambda: self._text(self._board.everything()))
        finally:
            self._watchers.discard(watcher)

    def _text(self, told: dict[str, Any]) -> str:
        return json.dumps(told | {"watchers": self.watchers, "lost": self.lost}, separators=(",", ":"))


class _Watcher:
    def __init__(self) -> None:
        self._waiting: asyncio.Queue[str] = asyncio.Queue(_WAITING)
        self._is_behind = True

    def offer(self, text: str) -> int:
        """How much was lost by that."""
        if not self._is_behind and not self._waiting.full():
            self._waiting.put_nowait(text)
            return 0
        lost = 1
        while not self._waiting.empty():
            self._waiting.get_nowait()
            lost += 1
        self._is_behind = True
        return lost

    async def feed(self, socket: Socket, everything: Callable[[], str]) -> None:
        while True:
            if self._is_behind:
                self._is_behind = False
                text = everything()
            else:
                text = await self._waiting.get()
            await socket.send_text(text)
