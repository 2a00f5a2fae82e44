"""How fast `mser annotate` is, and how much memory it needs, by the length of a recording."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..evaluation.memory import peak_mb
from ..messages.bags import Bag
from ..messages.conversions import audio_from_msg
from ..resources import share_dir
from ..types import SAMPLE_RATE
from .annotation import Annotator, Choices


@dataclass(frozen=True)
class Speed:
    """`times`: so much faster than the recording lasts, models loaded before; `peak_mb`: of the whole process."""

    minutes: float
    asr: str
    times: float
    peak_mb: float


def measure(minutes: float, asr: str) -> Speed:
    """Annotate the voices of the demo bag, so often that they last so long, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "talk.flac"
        _write(sound, minutes)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            took_s, peak = pool.submit(_annotate, sound, Path(folder) / "out", asr).result()
    return Speed(minutes, asr, round(60 * minutes / took_s, 1), round(peak))


def _write(path: Path, minutes: float) -> None:
    with Bag(share_dir() / "demo" / "demo.mcap") as bag:
        heard = [audio_from_msg(message.decode()).samples for message in bag.messages(["/audio"])]
    voice, left = np.concatenate(heard), round(60 * minutes * SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        while left > 0:
            file.write(voice[:left])
            left -= len(voice)


def _annotate(sound: Path, out: Path, asr: str) -> tuple[float, float]:
    annotator = Annotator(Choices(backend=asr))
    begun_s = time.monotonic()
    annotator.annotate(sound, out)
    return time.monotonic() - begun_s, peak_mb()
