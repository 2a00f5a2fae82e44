"""The log-mel spectrogram that Whisper was trained on (Radford et al. 2022, section 2.2), of clips of any length."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..mel import mel_filters

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
