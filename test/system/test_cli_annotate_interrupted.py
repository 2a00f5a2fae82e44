"""`mser annotate` of an archive that is interrupted, from a terminal and by a signal."""

from __future__ import annotations

import contextlib
import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from annotations import finals_of

from mser_ros.cli.main import main


def wait(process: subprocess.Popen[str], is_time: Callable[[], bool], *, most_s: float = 60) -> None:
    """Until it is time; a process that ends before fails the test."""
    deadline_s = time.monotonic() + most_s
    while not is_time():
        assert time.monotonic() < deadline_s
        assert process.poll() is None
        time.sleep(0.01)


def by_two(arguments: list[str]) -> subprocess.Popen[str]:
    """`mser` with these arguments, two processes at work."""
    return subprocess.Popen(
        [sys.executable, "-m", "mser_ros.cli.main", *arguments, "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("moment", ["models are loaded", "something is done"])
def test_ctrl_c_leaves_what_is_done_of_an_archive_and_no_traceback(
    moment: str, tiny_bundle: Path, tmp_path: Path, speech: np.ndarray
) -> None:
    """As a terminal sends it: to the processes that share the work as well."""
    for number in range(10):
        soundfile.write(tmp_path / f"{number}.wav", speech, 16000)
    out = tmp_path / "out"
    arguments = ["annotate", str(tmp_path), "-o", str(out), "--bundle", str(tiny_bundle), "--asr", "none"]
    process = by_two(arguments)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")

    def is_time() -> bool:
        if moment == "something is done":
            return (out / "results.csv").exists()
        maps = [Path(f"/proc/{number}/maps").read_text() for number in children.read_text().split()]
        return any("onnxruntime" in text for text in maps)

    wait(process, is_time)
    os.killpg(process.pid, signal.SIGINT)
    try:
        said = process.communicate(timeout=60)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, said) == (
        130,
        f"interrupted: what is done is in {out}; the same call with --resume goes on\n",
    )
    assert main([*arguments, "--resume"]) == 0
    assert all(len(finals_of(out / f"{number}.wav")) == 1 for number in range(10))


def test_ctrl_c_that_reaches_the_command_alone_ends_the_others_too(
    tiny_bundle: Path, tmp_path: Path, speech: np.ndarray
) -> None:
    """As `kill -INT` sends it; they would work on for minutes."""
    soundfile.write(tmp_path / "short.wav", speech, 16000)
    with soundfile.SoundFile(tmp_path / "long.flac", "w", 16000, 1) as file:
        for _ in range(200):
            file.write(speech)
    out = tmp_path / "out"
    arguments = ["annotate", str(tmp_path), "-o", str(out), "--bundle", str(tiny_bundle), "--asr", "none"]
    process = by_two(arguments)
    begun = [out / "results.csv", out / "long.flac" / ".emotions.part"]
    wait(process, lambda: all(path.exists() for path in begun), most_s=120)
    os.kill(process.pid, signal.SIGINT)
    try:
        said = process.communicate(timeout=120)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert (process.returncode, said.splitlines()) == (
        130,
        [f"interrupted: what is done is in {out}; the same call with --resume goes on"],
    )
    with (out / "results.csv").open(encoding="utf-8-sig", newline="") as stream:
        assert [Path(row["recording"]).name for row in csv.DictReader(stream)] == ["short.wav"]
    assert (out / "long.flac" / ".emotions.part").exists(), "what is done of it is kept, to go on with"
