"""What it costs the robot that people watch: the measurement of `mser bench`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Thread

from ..errors import DependencyError, not_installed
from ..nodes.load import usage

#: How long the page may take to end.
_STOP_S = 10.0


@dataclass(frozen=True)
class PageLoad:
    """Of the process of `mser view`: share of one core, resident memory [bytes], and updates that each watcher got in a
    second."""

    share: float
    rss: int
    updates_hz: float


def lacking() -> str:
    """Why no page can be shown and looked at here, with the cure; '' where one can."""
    try:
        import websockets.sync.client  # noqa: F401

        from ..page.server import plotly_file

        plotly_file()
    except ModuleNotFoundError as error:
        return str(not_installed(error.name or "websockets"))
    except DependencyError as error:
        return str(error)
    return ""


def page_load(watchers: int, play: Callable[[], None]) -> PageLoad:
    """Measure `mser view` with so many watchers while `play` lasts. Raises `DependencyError` if it does not start."""
    from websockets.sync.client import ClientConnection, connect
    from websockets.typing import Origin

    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "mser_ros.cli.main", "view", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    counts = [0] * watchers

    def watch(number: int, socket: ClientConnection) -> None:
        for _ in socket:
            counts[number] += 1

    try:
        link = next((line.split()[1] for line in process.stdout if line.startswith("Open ")), "")
        if not link:
            raise DependencyError("mser view did not start: call it to see why")
        with ExitStack() as stack:
            for number in range(watchers):
                place, origin = link.replace("http", "ws") + "live", Origin(link.rstrip("/"))
                socket = stack.enter_context(connect(place, origin=origin, proxy=None))
                Thread(target=watch, args=(number, socket), daemon=True).start()
            before, begin_s, got = usage(process.pid), time.monotonic(), sum(counts)
            play()
            after, lasted_s = usage(process.pid), time.monotonic() - begin_s
            rate_hz = (sum(counts) - got) / lasted_s / max(1, watchers)
        return PageLoad((after.cpu_s - before.cpu_s) / lasted_s, after.rss, rate_hz)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
