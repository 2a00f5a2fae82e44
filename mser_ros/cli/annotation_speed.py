"""How fast `mser annotate` is, and how much memory it needs, by the length of a recording."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from ..audio.waveform import to_int16
from ..corpora.registry import corpus_folder, open_corpus
from ..errors import CorpusError
from ..evaluation.memory import peak_mb
from ..messages.bags import Bag
from ..messages.conversions import audio_from_msg
from ..messages.records import nanoseconds
from ..resources import share_dir
from ..types import NS_PER_S, SAMPLE_RATE
from .annotation import Annotator, Choices

#: A person of a corpus pauses for so much of the time that was spoken before.
_PAUSE = 0.5
#: What lies so far below the loudest of a clip is its silence at both ends; levels are means of so many samples.
_SILENT, _LEVEL = 0.05, SAMPLE_RATE // 20


@dataclass(frozen=True)
class Speed:
    """`times`: so much faster than the recording lasts, models loaded before; `cores`: how many of them worked in the
    mean; of a machine that others use too, `work_times` is to be trusted: how much faster than it lasts one core works
    it off. `speech`: share of it in utterances. `peak_mb`: of the whole process."""

    minutes: float
    asr: str
    provisional: bool
    times: float
    work_times: float
    cores: float
    speech: float
    peak_mb: float


def measure(minutes: float, asr: str, *, provisional: bool = True, corpus: str = "") -> Speed:
    """Annotate the voices of the demo bag, or of a corpus (NAME or NAME=FOLDER) with pauses between them, so often that
    they last so long, in a process of their own. `provisional`: with the estimates while somebody speaks.

    Raises `CorpusError` for a corpus without sound.
    """
    with tempfile.TemporaryDirectory() as folder:
        sound = Path(folder) / "talk.flac"
        _write(sound, minutes, corpus)
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            took_s, work_s, speech_s, peak = pool.submit(
                _annotate, sound, Path(folder) / "out", Choices(backend=asr, provisional=provisional)
            ).result()
    lasts_s = 60 * minutes
    return Speed(
        minutes=minutes,
        asr=asr,
        provisional=provisional,
        times=round(lasts_s / took_s, 1),
        work_times=round(lasts_s / work_s, 1),
        cores=round(work_s / took_s, 2),
        speech=round(speech_s / lasts_s, 3),
        peak_mb=round(peak),
    )


def _write(path: Path, minutes: float, corpus: str) -> None:
    left = round(60 * minutes * SAMPLE_RATE)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1) as file:
        while left > 0:
            for voice in _people(corpus) if corpus else _demo():
                file.write(voice[:left])
                left -= min(left, len(voice))


def _demo() -> Iterator[np.ndarray]:
    with Bag(share_dir() / "demo" / "demo.mcap") as bag:
        heard = [audio_from_msg(message.decode()).samples for message in bag.messages(["/audio"])]
    yield np.concatenate(heard)[:, 0]


def _people(corpus: str) -> Iterator[np.ndarray]:
    """Each clip without the silence at its ends, and a pause. int16 of 16 kHz, (n,)."""
    name, _, path = corpus.partition("=")
    found = False
    for item in open_corpus(name, corpus_folder(name, path)).items:
        wave = item.load().audio
        if wave is None or not len(wave.samples):
            continue
        found = True
        level = np.convolve(np.abs(wave.samples), np.ones(_LEVEL) / _LEVEL, "same")
        loud = np.flatnonzero(level >= _SILENT * level.max())
        said = to_int16(wave.samples[loud[0] : loud[-1] + 1])
        yield np.concatenate([said, np.zeros(round(_PAUSE * len(said)), np.int16)])
    if not found:
        raise CorpusError(f"corpus '{name}' has no sound: name one with recordings, such as ravdess or nemo")


def _annotate(sound: Path, out: Path, choices: Choices) -> tuple[float, float, float, float]:
    annotator = Annotator(choices)
    begun_s, worked_s = time.monotonic(), time.process_time()
    found = annotator.annotate(sound, out)
    took_s, work_s = time.monotonic() - begun_s, time.process_time() - worked_s
    spans_ns = (nanoseconds(one["speech_end"]) - nanoseconds(one["speech_start"]) for one in found.finals)
    return took_s, work_s, sum(spans_ns) / NS_PER_S, peak_mb()
