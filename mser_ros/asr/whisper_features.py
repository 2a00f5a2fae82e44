"""The log-mel spectrogram that Whisper was trained on (Radford et al. 2022, section 2.2), of clips of any length."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..types import SAMPLE_RATE

#: Samples between two frames, and of the window around each.
HOP = 160
_WINDOW = 400
#: Quieter than the loudest by more than this many decades is cut off.
_DECADES = 8.0


def log_mel(samples: np.ndarray, frames: int, mels: int = 80) -> np.ndarray:
    """Features of a clip, followed by silence or cut so that there are `frames` of them.

    `samples`: int16, shape (n,), 16 kHz. Returns float32, shape (mels, frames); a frame is 10 ms, centred on its time,
    the clip mirrored at its beginning.
    """
    half = _WINDOW // 2
    padded = np.zeros(frames * HOP + _WINDOW, np.float32)
    kept = samples[: frames * HOP + half]
    padded[half : half + len(kept)] = kept
    padded[half : half + len(kept)] /= 32768.0
    padded[:half] = padded[_WINDOW:half:-1]
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP][:frames]
    power = np.abs(np.fft.rfft(windows * _hann())) ** 2
    logarithm = np.log10(np.maximum(mel_filters(mels) @ power.T.astype(np.float32), 1e-10))
    return (np.maximum(logarithm, logarithm.max() - _DECADES) + 4.0) / 4.0


@lru_cache
def _hann() -> np.ndarray:
    """The periodic window: float32, shape (400,)."""
    return np.hanning(_WINDOW + 1)[:-1].astype(np.float32)


@lru_cache
def mel_filters(mels: int) -> np.ndarray:
    """Triangles of equal area that are evenly spaced on Slaney's mel scale (Auditory Toolbox, 1998) up to 8 kHz.

    float32, shape (mels, 201): weights of the power at each frequency of the window's transform.
    """
    edges = _hertz(np.linspace(0.0, _mels(SAMPLE_RATE / 2), mels + 2))
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, _WINDOW // 2 + 1)
    low, centre, high = edges[:-2, np.newaxis], edges[1:-1, np.newaxis], edges[2:, np.newaxis]
    rising, falling = (frequencies - low) / (centre - low), (high - frequencies) / (high - centre)
    return (np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (high - low)).astype(np.float32)


#: Slaney's scale is linear up to 1 kHz, a mel being 200/3 Hz, and then logarithmic: 27 mels for a factor of 6.4.
_LINEAR_HZ, _BREAK_HZ, _STEP = 200.0 / 3.0, 1000.0, np.log(6.4) / 27.0


def _mels(hertz: float) -> float:
    if hertz < _BREAK_HZ:
        return hertz / _LINEAR_HZ
    return _BREAK_HZ / _LINEAR_HZ + float(np.log(hertz / _BREAK_HZ)) / _STEP


def _hertz(mels: np.ndarray) -> np.ndarray:
    above = mels - _BREAK_HZ / _LINEAR_HZ
    return np.where(above < 0, mels * _LINEAR_HZ, _BREAK_HZ * np.exp(_STEP * np.maximum(above, 0)))
