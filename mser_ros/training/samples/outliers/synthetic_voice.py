"""Voices of espeak-ng, a formant synthesiser that many robots speak with, from the library in a PyPI package."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import soxr

from ....errors import DependencyError
from ....types import SAMPLE_RATE

#: Languages with the variants that the package has.
VOICES = tuple(
    f"{language}{variant}"
    for language in ("en-US", "en", "en-GB-scotland", "de", "pl", "fr", "es", "it", "nl", "ru")
    for variant in ("", "+f2", "+m3", "+f5", "+m7")
)
SENTENCES = (
    "The tram to the market leaves in ten minutes.",
    "I put the blue cup back on the shelf.",
    "What a lovely surprise, come in and sit down!",
    "He never listens, and I am tired of it.",
    "We walked along the river until it got dark.",
    "Nobody has called since Tuesday.",
    "Turn left at the church, then straight on.",
    "Did you remember to water the plants?",
    "This soup needs a little more salt.",
    "Leave me alone, I mean it!",
    "It has been raining for the whole week.",
    "My sister sent a parcel from abroad.",
)
#: Of espeak-ng's interface (speak_lib.h): give samples to a callback, wait for them; rate and pitch; UTF-8.
_SYNCHRONOUS, _RATE, _PITCH, _UTF8 = 2, 1, 3, 1


class _Synthesiser:
    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError:
            raise DependencyError("synthetic voices need espeakng-loader: pip install 'mser_ros[train]'") from None
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self.rate_hz = int(self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0))
        if self.rate_hz <= 0:
            raise DependencyError("espeak-ng does not start: install espeakng-loader again")
        self._parts: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._take)  # kept: the library holds no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int) -> int:
        if samples and count:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def speak(self, text: str, voice: str, words_per_minute: int, pitch: int) -> np.ndarray:
        self._parts.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise DependencyError(f"espeak-ng has no voice '{voice}': install espeakng-loader again")
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(0))
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        spoken = text.encode()
        self._library.espeak_Synth(spoken, len(spoken) + 1, 0, 0, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        wave = np.concatenate(self._parts).astype(np.float32) / 32768
        return soxr.resample(wave, self.rate_hz, SAMPLE_RATE)


def synthetic_voices(count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """What voices say at any pitch and speed, float32 (samples,) at 16 kHz. Raises `DependencyError`."""
    jobs = [
        (
            str(rng.choice(SENTENCES)),
            VOICES[number % len(VOICES)],
            int(rng.integers(110, 210)),
            int(rng.integers(15, 85)),
        )
        for number in range(count)
    ]
    yield from speak(jobs)


def speak(jobs: Sequence[tuple[str, str, int, int]]) -> list[np.ndarray]:
    """(what is said, voice of espeak-ng, words a minute, pitch from 0 to 99) to float32 (samples,) at 16 kHz, the same
    each time. Raises `DependencyError`."""
    # The library remembers what it said before, and says the next sentence a little otherwise: each time a new process.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_speak, jobs).result()


def _speak(jobs: Sequence[tuple[str, str, int, int]]) -> list[np.ndarray]:
    synthesiser = _Synthesiser()
    return [synthesiser.speak(*job) for job in jobs]
