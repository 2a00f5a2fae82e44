"""Sound and motion files as the robot's own types."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from ..audio.waveform import StreamResampler, read_sound_file, to_float, to_mono
from ..errors import AudioError
from ..types import NS_PER_S, SAMPLE_RATE, SkeletonSequence, Waveform


def is_usable(path: Path) -> bool:
    """True for a file that is there and not empty."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def read_sound(path: Path) -> Waveform:
    """A sound file as mono at 16 kHz, converted as on the robot. Raises `AudioError` for an unreadable file."""
    chunk = read_sound_file(path)
    samples = to_mono(chunk.samples)
    if chunk.sample_rate != SAMPLE_RATE:
        samples = to_float(StreamResampler(chunk.sample_rate).push(samples, last=True))
    return Waveform(samples, SAMPLE_RATE)


def sound_duration_s(path: Path) -> float:
    """Length of a sound file from its header, above 0. Raises `AudioError` for a file that is unreadable or silent by
    having no sample."""
    try:
        seconds = float(soundfile.info(str(path)).duration)
    except soundfile.SoundFileError as error:
        raise AudioError(f"'{path}' cannot be read as sound ({error}): restore the file") from None
    if not seconds:
        raise AudioError(f"'{path}' holds no audio: restore the file")
    return seconds


def sequence_at(positions: np.ndarray, rate_hz: float, layout: str) -> SkeletonSequence:
    """Frames of a fixed rate, stamped by index from 0; a joint that is not finite counts as not seen.

    `positions`: shape (T, joints, 2 or 3).
    """
    stamps = np.round(np.arange(len(positions)) * (NS_PER_S / rate_hz)).astype(np.int64)
    seen = np.isfinite(positions).all(axis=2)
    return SkeletonSequence(
        stamps, np.where(seen[..., None], positions, 0).astype(np.float32), seen.astype(np.float32), layout
    )
