"""Sounds that are no voice: noise, hum, motors, music, alarms, clatter, bursts of breath, next to silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from scipy.signal import butter, sosfilt

from ....types import SAMPLE_RATE

Make = Callable[[int, np.random.Generator], np.ndarray]
_EQUAL = 2 ** (1 / 12)
_MAJOR = (0, 2, 4, 5, 7, 9, 11, 12, 14, 16)


def _times(count: int) -> np.ndarray:
    return np.arange(count) / SAMPLE_RATE


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Between white and brown, its level wandering as wind does half of the time."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequencies = np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 20.0)
    wave = np.fft.irfft(spectrum * frequencies ** -rng.uniform(0, 1), count)
    return wave * _wander(count, rng) if rng.random() < 0.5 else wave


def _wander(count: int, rng: np.random.Generator) -> np.ndarray:
    points = max(2, count // (SAMPLE_RATE // 2) + 2)
    return np.interp(np.linspace(0, points - 1, count), np.arange(points), np.abs(rng.standard_normal(points)) + 0.05)


def hum(count: int, rng: np.random.Generator) -> np.ndarray:
    """The mains and what hangs on it: harmonics of 50 or 60 Hz."""
    phase = 2 * np.pi * float(rng.choice([50.0, 60.0])) * _times(count)
    tones = sum(np.sin(part * phase + rng.uniform(0, 6)) / part for part in (1, 2, 3, 5, 7, 9))
    return tones + 0.05 * rng.standard_normal(count)


def motor(count: int, rng: np.random.Generator) -> np.ndarray:
    """A servo: it starts and stops, whines with its speed and rattles with its turns."""
    wave = np.zeros(count)
    at = 0
    while at < count:
        size = min(count - at, int(rng.uniform(0.3, 2.5) * SAMPLE_RATE))
        speed = np.linspace(rng.uniform(60, 250), rng.uniform(60, 250), size)
        phase = 2 * np.pi * np.cumsum(speed) / SAMPLE_RATE
        tones = sum(rng.uniform(0.1, 1) * np.sin(part * phase) for part in (1, 2, 3, 4, 6, 8, 11, 13, 17)) / 4
        rattle = 0.3 * rng.standard_normal(size) * (1 + 0.5 * np.sin(phase))
        wave[at : at + size] = (tones + rattle) * np.minimum(1, np.minimum(_times(size), _times(size)[::-1]) / 0.08)
        at += size + int(rng.uniform(0.1, 0.8) * SAMPLE_RATE)
    return wave


def music(count: int, rng: np.random.Generator) -> np.ndarray:
    """Notes of a scale, several at a time, each with partials and a body that resonates."""
    wave = np.zeros(count)
    beat = int(SAMPLE_RATE * 60 / rng.uniform(80, 140))
    root_hz = 110 * _EQUAL ** rng.integers(0, 12)
    for start in range(0, count, beat // 2):
        size = min(count - start, int(beat * rng.choice([0.5, 1, 2])))
        for _ in range(rng.integers(1, 4)):
            pitch_hz = root_hz * _EQUAL ** rng.choice(_MAJOR) * rng.choice([1, 2])
            vibrato = 1 + 0.004 * np.sin(2 * np.pi * 5.5 * _times(size))
            phase = 2 * np.pi * pitch_hz * np.cumsum(vibrato) / SAMPLE_RATE
            centres_hz = rng.uniform(300, 2500, 3)
            partials = range(1, max(2, min(20, int(7500 / pitch_hz))))
            gains = {part: np.exp(-(((part * pitch_hz - centres_hz) / 400) ** 2)).sum() + 0.2 for part in partials}
            note = sum(gain * np.sin(part * phase) / part for part, gain in gains.items())
            wave[start : start + size] += note * np.exp(-_times(size) * rng.uniform(1, 4))
    return wave


def alarm(count: int, rng: np.random.Generator) -> np.ndarray:
    """Beeps and sweeps, as devices give them."""
    wave = np.zeros(count)
    at = int(rng.uniform(0, 0.2) * SAMPLE_RATE)
    while at < count:
        size = min(count - at, int(rng.uniform(0.08, 0.5) * SAMPLE_RATE))
        time_s = _times(size)
        wave[at : at + size] = np.sin(2 * np.pi * (rng.uniform(300, 3000) + rng.uniform(-800, 800) * time_s) * time_s)
        at += size + int(rng.uniform(0.05, 0.5) * SAMPLE_RATE)
    return wave + 1e-3 * rng.standard_normal(count)


def clatter(count: int, rng: np.random.Generator) -> np.ndarray:
    """Dishes, doors and steps: knocks that ring."""
    wave = 1e-3 * rng.standard_normal(count)
    at = int(rng.uniform(0, 0.3) * SAMPLE_RATE)
    while at < count:
        size = min(count - at, int(rng.uniform(0.05, 0.4) * SAMPLE_RATE))
        time_s = _times(size)
        knock = rng.standard_normal(size) * np.exp(-time_s * rng.uniform(10, 60))
        rings = sum(
            np.sin(2 * np.pi * f * time_s) * np.exp(-time_s * rng.uniform(5, 40)) for f in rng.uniform(200, 5000, 4)
        )
        wave[at : at + size] += (knock + rings) * rng.uniform(0.2, 1)
        at += int(rng.uniform(0.1, 1.2) * SAMPLE_RATE)
    return wave


def bursts(count: int, rng: np.random.Generator) -> np.ndarray:
    """Coughs, claps and snorts: noise in a few broad bands, in bursts that repeat as in laughter or come alone."""
    wave = 1e-3 * rng.standard_normal(count)
    period_s = rng.uniform(0.15, 0.3) if rng.random() < 0.5 else rng.uniform(0.5, 1.5)
    low_hz = rng.uniform(200, 800)
    bands = butter(2, [low_hz, low_hz * rng.uniform(2, 6)], "bandpass", fs=SAMPLE_RATE, output="sos")
    at = int(rng.uniform(0, 0.2) * SAMPLE_RATE)
    while at < count:
        size = min(count - at, int(rng.uniform(0.05, 0.3) * SAMPLE_RATE))
        burst = sosfilt(bands, rng.standard_normal(size)) * np.exp(-_times(size) * rng.uniform(8, 30))
        wave[at : at + size] += burst * rng.uniform(0.3, 1)
        at += int(period_s * rng.uniform(0.8, 1.2) * SAMPLE_RATE)
    return wave


#: By kind.
SOUNDS: Mapping[str, Make] = {make.__name__: make for make in (noise, hum, motor, music, alarm, clatter, bursts)}


def make_sound(kind: str, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """One of `SOUNDS`, int16 (samples,) at 16 kHz, at a level that a microphone gives."""
    wave = SOUNDS[kind](round(seconds * SAMPLE_RATE), rng)
    return at_level(wave, rng)


def at_level(wave: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int16, its power between 45 and 12 dB below full scale."""
    wave = wave * 10 ** (rng.uniform(-45, -12) / 20) / (np.sqrt(np.mean(wave**2)) + 1e-9)
    return np.clip(np.round(wave * 32768), -32768, 32767).astype(np.int16)
