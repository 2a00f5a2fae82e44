"""PCM audio: conversions, levels, and resampling of a stream to 16 kHz mono."""

from __future__ import annotations

import numpy as np
import soxr

from ..errors import AudioError
from ..types import SAMPLE_RATE

#: Rates that sources may have [Hz].
MIN_RATE, MAX_RATE = 8_000, 192_000

_FULL_SCALE = 32_768.0
#: Floats beyond this are scaled otherwise: filters overshoot full scale by less.
_ABSURD = 4.0


def to_float(samples: np.ndarray) -> np.ndarray:
    """int16 PCM of any shape as float32 in -1..1."""
    return samples.astype(np.float32) / np.float32(_FULL_SCALE)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Floats of any shape, full scale -1..1, as int16 PCM; what lies beyond full scale is clipped."""
    return np.clip(np.rint(samples * _FULL_SCALE), -32_768, 32_767).astype(np.int16)


def pcm16(samples: np.ndarray) -> np.ndarray:
    """Samples of any type and shape as int16 PCM of the same full scale: what files and messages hold.

    Floats a little beyond full scale are clipped, and count as such. Raises `AudioError` for floats that are no numbers
    or whose full scale is not 1.
    """
    kind = samples.dtype
    if kind.kind == "f":
        if not np.isfinite(samples).all():
            raise AudioError("audio with samples that are no numbers: look for the fault in its source")
        highest = float(np.abs(samples).max(initial=0))
        if highest > _ABSURD:
            raise AudioError(
                f"audio in floats up to {highest:.3g}, whose full scale must be 1: divide by the source's highest value"
            )
        return to_int16(samples)
    if kind.itemsize == 4:
        return (samples >> 16).astype(np.int16)
    if kind.itemsize == 2:
        return samples.astype(np.int16)
    centre = 128 if kind.kind == "u" else 0
    return ((samples.astype(np.int16) - centre) << 8).astype(np.int16)


def deinterleave(samples: np.ndarray, channels: int) -> np.ndarray:
    """Interleaved samples, shape (frames * channels,), as (frames, channels).

    Raises `AudioError` if they do not fit.
    """
    if channels < 1 or len(samples) % channels:
        raise AudioError(
            f"audio with {len(samples)} samples in {channels} channels: set 'channels' to how the samples interleave"
        )
    return samples.reshape(-1, channels)


def centred(samples: np.ndarray) -> np.ndarray:
    """A waveform without the constant offset that some microphones add."""
    return samples - samples.mean(dtype=np.float64).astype(samples.dtype) if samples.size else samples


def trim(samples: np.ndarray, below_db: float, sample_rate: int) -> np.ndarray:
    """A waveform (samples,) without the silence at both ends that is so far below its loudest 20 ms; 0.1 s of it stays.
    Recordings begin and end with silence, utterances that are cut out of a stream hardly do."""
    size = sample_rate // 50
    count = len(samples) // size
    if not below_db or count < 2:
        return samples
    power = np.square(samples[: count * size].astype(np.float64)).reshape(count, size).mean(1)
    heard = np.flatnonzero(power > power.max() * 10 ** (-below_db / 10))
    if not len(heard):
        return samples
    first, last = int(heard[0]) * size - sample_rate // 10, (int(heard[-1]) + 1) * size + sample_rate // 10
    return samples[max(0, first) : last]


def level_db(samples: np.ndarray) -> float:
    """RMS level of floats in -1..1, in dB of full scale (a full-scale sine is -3.01); -inf for silence or nothing."""
    if samples.size == 0:
        return float("-inf")
    rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return 20.0 * float(np.log10(rms)) if rms > 0 else float("-inf")


def clipped_share(samples: np.ndarray) -> float:
    """Share (0..1) of floats in -1..1 that lie at full scale of 16-bit PCM."""
    if samples.size == 0:
        return 0.0
    return float(np.mean(np.abs(samples) >= 32_767 / _FULL_SCALE))


def check_rate(sample_rate: int) -> None:
    """Raises `AudioError` for a rate that no microphone has."""
    if not MIN_RATE <= sample_rate <= MAX_RATE:
        raise AudioError(
            f"audio with sample_rate {sample_rate}: the source must give its true rate, {MIN_RATE} to {MAX_RATE} Hz"
        )


class StreamResampler:
    """Resamples a stream of mono audio to 16 kHz.

    The result does not depend on how the input is cut, and its sample n lies at the input's time n / 16000 s. Other
    rates come out late by the filter's length, about 40 ms at 48 kHz and 115 ms at 8 kHz (measured).
    """

    def __init__(self, sample_rate: int) -> None:
        self._stream = (
            None if sample_rate == SAMPLE_RATE else soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32")
        )

    def push(self, samples: np.ndarray, *, last: bool = False) -> np.ndarray:
        """float32 in -1..1, shape (n,), to int16, shape (m,). After `last` the resampler must not be used again."""
        if self._stream is None:
            return to_int16(samples)
        return to_int16(self._stream.resample_chunk(np.ascontiguousarray(samples, np.float32), last=last))
