"""Sounds in which nobody speaks: int16, shape (n,), 16 kHz, each of a root mean square of `rms`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..types import SAMPLE_RATE as RATE


def white(seconds: float, rms: float, seed: int = 0) -> np.ndarray:
    """White noise."""
    return _scaled(np.random.default_rng(seed).standard_normal(round(seconds * RATE)), rms)


def hum(seconds: float, rms: float) -> np.ndarray:
    """Mains hum with its harmonics."""
    times = np.arange(round(seconds * RATE)) / RATE
    wave = np.sum([np.sin(2 * np.pi * 50 * number * times + number) / number for number in (1, 2, 3, 5, 7)], axis=0)
    return _scaled(wave, rms)


def motor(seconds: float, rms: float) -> np.ndarray:
    """A gear motor that speeds up and slows down, with the noise of its brushes."""
    rng = np.random.default_rng(0)
    times = np.arange(round(seconds * RATE)) / RATE
    turns = np.cumsum(120 + 60 * np.sin(2 * np.pi * 0.7 * times)) / RATE
    tones = np.sum([np.sin(2 * np.pi * number * turns + number) / number for number in (1, 2, 3, 6, 11, 17)], axis=0)
    return _scaled(tones + 0.3 * rng.standard_normal(len(times)) * (1 + np.sin(2 * np.pi * turns)), rms)


def chords(seconds: float, rms: float, seed: int = 0) -> np.ndarray:
    """Something like music, three plucked notes every 0.4 s."""
    rng = np.random.default_rng(seed)
    wave = np.zeros(round(seconds * RATE))
    for first in range(0, len(wave), round(0.4 * RATE)):
        times = np.arange(len(wave) - first) / RATE
        for step in rng.choice([0, 2, 4, 5, 7, 9, 11, 12], 3, replace=False):
            pitch = 220 * 2 ** (step / 12)
            tones = sum(np.sin(2 * np.pi * number * pitch * times) / number for number in range(1, 6))
            wave[first:] += tones * np.exp(-3 * times)
    return _scaled(wave, rms)


def _scaled(wave: np.ndarray, rms: float) -> np.ndarray:
    return np.clip(wave * rms / np.sqrt(np.mean(wave**2)), -32768, 32767).astype(np.int16)


#: By what they are called.
SOUNDS: Mapping[str, Callable[[float, float], np.ndarray]] = {
    "noise": white,
    "music": chords,
    "hum": hum,
    "motors": motor,
}
