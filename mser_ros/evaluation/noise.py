"""Noise to hear people in: the babble of others, and noise with the spectrum of speech but nobody in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..audio.waveform import to_int16

#: So many people at a time are babble: nobody can be understood.
_VOICES = 6


def babble(clips: Sequence[np.ndarray], samples: int, rng: np.random.Generator) -> np.ndarray:
    """Several people who talk without a pause: float32 (samples,). `clips`: float32 (n,) each, of what they may say."""
    mixed = np.zeros(samples, np.float32)
    for _ in range(_VOICES):
        said: list[np.ndarray] = []
        while sum(map(len, said)) < samples + max(map(len, clips)):
            clip = clips[int(rng.integers(len(clips)))]
            said.append(clip / max(rms(clip), 1e-6))
        begin = int(rng.integers(max(map(len, clips))))
        mixed += np.concatenate(said)[begin : begin + samples]
    return mixed


def speech_shaped(clips: Sequence[np.ndarray], samples: int, rng: np.random.Generator) -> np.ndarray:
    """Steady noise with the long-term average spectrum of what `clips` say, as hearing tests use it: float32
    (samples,)."""
    size = 1024
    frames = np.concatenate([clip[: len(clip) // size * size].reshape(-1, size) for clip in clips])
    power = (np.abs(np.fft.rfft(frames * np.hanning(size))) ** 2).mean(axis=0)
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum *= np.sqrt(np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, len(power)), power))
    return np.fft.irfft(spectrum, samples).astype(np.float32)


def in_noise(speech: np.ndarray, noise: np.ndarray, snr_db: float, *, level: float | None = None) -> np.ndarray:
    """float32 speech (n,) in as much noise -> int16 (n,); quieter as a whole where it would be clipped.

    `level`: RMS of the speech; None: of all that is there.
    """
    level = rms(speech) if level is None else level
    mixed = speech + noise * np.float32(level / max(rms(noise), 1e-9) * 10 ** (-snr_db / 20))
    return to_int16(mixed / max(1.0, float(np.abs(mixed).max(initial=0.0))))


def rms(wave: np.ndarray) -> float:
    """Root of the mean power; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64)))) if len(wave) else 0.0
