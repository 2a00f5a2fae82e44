"""Sound and motion files as the robot's own types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from ...errors import CorpusError
from ...types import NS_PER_S, SkeletonSequence, Waveform

#: Rate of every waveform that a corpus yields.
SAMPLE_RATE = 16_000


def is_usable(path: Path) -> bool:
    """True for a file that is there and not empty."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def read_sound(path: Path) -> Waveform:
    """A sound file as mono at 16 kHz; several channels are averaged. Raises `CorpusError` for an unreadable file."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise CorpusError(f"{path} cannot be read as sound ({error}): restore the file") from None
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return Waveform(mono, SAMPLE_RATE)


def sound_duration_s(path: Path) -> float:
    """Length of a sound file from its header. Raises `CorpusError` for an unreadable file."""
    try:
        return float(soundfile.info(str(path)).duration)
    except (soundfile.SoundFileError, OSError) as error:
        raise CorpusError(f"{path} cannot be read as sound ({error}): restore the file") from None


def read_motion(path: Path) -> SkeletonSequence:
    """A motion file (BVH, npz or CSV). Raises `SkeletonError` for an unreadable file."""
    from ...mocap import readers

    return readers.read_motion(path)


def sequence_at(positions: np.ndarray, rate_hz: float, layout: str) -> SkeletonSequence:
    """Frames of a fixed rate, stamped by index from 0; a joint that is not finite counts as not seen.

    `positions`: shape (T, joints, 2 or 3).
    """
    stamps = np.round(np.arange(len(positions)) * (NS_PER_S / rate_hz)).astype(np.int64)
    seen = np.isfinite(positions).all(axis=2)
    return SkeletonSequence(stamps, positions.astype(np.float32), seen.astype(np.float32), layout)
