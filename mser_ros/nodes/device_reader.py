"""Reading a device of this machine in a thread of its own, and finding it again after it has gone away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from ..errors import MserError
from .base import PerceptionNode
from .diagnostics import UNTIL_CLEARED, Level

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

#: How long it waits before it looks for a device that is gone: at first, and at most [s].
_SOON_S, _LATEST_S = 0.5, 8.0


class Source(Protocol[T_co]):
    """An open device, or a file that is played as if it were one."""

    @property
    def device(self) -> object:
        """Its name, as text."""

    def __iter__(self) -> Iterator[T_co]:
        """What it gives, until it is closed, gone or over."""

    def close(self) -> None:
        """Have the iteration end; from any thread."""


class DeviceReader(Generic[T]):
    """Hands on what a device gives, from `start` to `stop`. One that goes away is looked for until it is back.

    `open_source` opens the device, or the file that takes its place, and raises an `MserError` where it is not there.
    `take` runs in the reader's thread. `kind`: what users call the device. `gone`: the error by which its iteration
    tells that it has gone away, or that a file is damaged from here on; any other is a bug, and fails the node.
    """

    def __init__(
        self,
        node: PerceptionNode,
        open_source: Callable[[], Source[T]],
        take: Callable[[T], None],
        *,
        kind: str,
        gone: type[MserError] | tuple[()] = (),
    ) -> None:
        self._node = node
        self._open = open_source
        self._take = take
        self._kind = kind
        self._gone = gone
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.source: Source[T] | None = None
        self.reconnects = 0
        self.is_over = False

    def start(self, *, is_file: bool) -> Source[T]:
        """Open the device, and read it. `is_file`: it may be over, and is not looked for then. Raises as
        `open_source`."""
        self._ended = threading.Event()
        self.is_over = False
        self.source = source = self._open()
        self._thread = threading.Thread(
            target=self._read, args=(source, is_file), name=f"{self._kind}-reader", daemon=True
        )
        self._thread.start()
        return source

    def stop(self) -> None:
        """Close the device; nothing is handed on afterwards."""
        self._ended.set()
        if self.source is not None and self._thread is not None:
            self.source.close()
            self._thread.join()
            self.source = None

    def _read(self, source: Source[T] | None, is_file: bool) -> None:
        try:
            while source is not None:
                why: MserError | str = f"{self._kind} {source.device} is gone: plug it in again, it is looked for"
                try:
                    for item in source:
                        self._take(item)
                except self._gone as error:
                    why = error
                else:
                    if is_file and not self._ended.is_set():
                        self._node.get_logger().info(f"{source.device} is over")
                        self.is_over = True
                        return
                if self._ended.is_set():
                    return
                self._node.health.warn(why, level=Level.ERROR, lasts_s=UNTIL_CLEARED)
                source.close()
                source, self.is_over = (None, True) if is_file else (self._find_again(), False)
        except Exception as error:
            self._node.fail(error)

    def _find_again(self) -> Source[T] | None:
        """The device that is gone, once it is back; None where the node ends before."""
        wait_s = _SOON_S
        while not self._ended.wait(wait_s):
            wait_s = min(2 * wait_s, _LATEST_S)
            try:
                found = self._open()
            except MserError:
                continue
            self.source = found
            if self._ended.is_set():  # while it was opened: `stop` may have closed the one before it
                found.close()
                return found  # whose iteration frees it
            self.reconnects += 1
            self._node.health.clear()
            self._node.get_logger().info(f"{self._kind} {found.device} is back")
            return found
        return None
