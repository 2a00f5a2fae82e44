"""A real browser for tests: Debian's Chromium, driven by Playwright, with a microphone and a camera that play files."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from clips import RATE, silence, spoken

#: Far longer than anything takes on a busy machine [ms].
PATIENCE_MS = 60_000
_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium(folder: Path) -> Iterator[Any]:
    """The browser, whose microphone says a sentence over and over, and whose camera shows a person; skipped without."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing: call 'make setup-dev'")
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        pytest.skip("there is no Chromium: install it, as by 'sudo apt install chromium'")
    soundfile.write(folder / "spoken.wav", np.concatenate([silence(1), spoken(), silence(2)]), RATE)
    (folder / "person.mjpeg").write_bytes(10 * _portrait())
    options = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / 'spoken.wav'}",
        f"--use-file-for-fake-video-capture={folder / 'person.mjpeg'}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # which root cannot have
    ]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=options)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    """A page; whatever it complains about fails the test."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(url)
    yield page
    context.close()
    # A server that is restarted is not there for a while, which the browser itself says.
    unexpected = [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text]
    assert not unexpected, unexpected


@contextmanager
def command(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """`mser` with these arguments, from its link to Ctrl-C, at which it must end well; the link."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "mser_ros.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    try:
        link = next((line.split()[1] for line in process.stdout if line.startswith("Open ")), "")
        assert link, process.communicate(timeout=10)[1]
        yield link
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE_MS / 1000)
        assert process.returncode == 0, error
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as place:
        return int(place.getsockname()[1])


def _portrait() -> bytes:
    data = pytest.importorskip("skimage.data", reason="scikit-image is missing: call 'make setup-dev'")
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(data.astronaut()).save(stream, "JPEG", quality=90)
    return stream.getvalue()
