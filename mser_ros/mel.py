"""The mel bands that Whisper hears in, on the robot and in training."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .types import SAMPLE_RATE

#: Frequencies of the transform of a window of 400 samples.
_BINS = 201


@lru_cache
def mel_filters(mels: int) -> np.ndarray:
    """Triangles of equal area that are evenly spaced on Slaney's mel scale (Auditory Toolbox, 1998) up to 8 kHz.

    float32, shape (mels, 201): weights of the power at each frequency of the window's transform.
    """
    edges = _hertz(np.linspace(0.0, _mels(SAMPLE_RATE / 2), mels + 2))
    frequencies = np.linspace(0.0, SAMPLE_RATE / 2, _BINS)
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
