"""Sound and motion files as the robot's own types."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..audio.mixer import Conditioner
from ..audio.sound_files import open_sound_file, read_sound_file
from ..audio.waveform import to_float
from ..errors import AudioError
from ..types import NS_PER_S, SAMPLE_RATE, SkeletonSequence, Waveform, to_ns

#: Printable characters of Windows-1252 at 0x80 to 0x9f, by the control characters that Latin-1 makes of them.
_WINDOWS = {code: bytes([code]).decode("cp1252", "replace") for code in range(0x80, 0xA0)}
#: How files begin that an editor saved in UTF-16.
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_text(path: Path) -> str:
    """A text file in UTF-8 or UTF-16, without its byte-order mark; lines that are not UTF-8 are Windows-1252.

    Characters that an editor of Windows saved as if they were Latin-1 are what they were. Raises `OSError`.
    """
    data = path.read_bytes()
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace").translate(_WINDOWS)
    lines = []
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        try:
            lines.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            lines.append(line.decode("cp1252", "replace"))
    return "\n".join(lines).translate(_WINDOWS)


def is_usable(path: Path) -> bool:
    """True for a file that is there and not empty."""
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError:
        return False


def read_sound(path: Path, begin_s: float = 0.0, end_s: float = 0.0) -> Waveform:
    """A sound file, or a stretch of it, as mono at 16 kHz, converted as on the robot. `end_s`: 0 is its end. Raises
    `AudioError` for an unreadable file."""
    samples, clipped = _last_converted(path, changed_ns(path)) if begin_s or end_s else _converted(path)
    part = slice(round(begin_s * SAMPLE_RATE), round(end_s * SAMPLE_RATE) if end_s else None)
    samples, clipped = samples[part], clipped[part]
    return Waveform(to_float(samples), SAMPLE_RATE, float(clipped.mean()) if len(clipped) else 0.0)


def changed_ns(path: Path) -> int:
    """When a file was changed; 0 where it is gone, which whoever reads it will tell."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@lru_cache(maxsize=1)
def _last_converted(path: Path, _changed_ns: int) -> tuple[np.ndarray, np.ndarray]:
    """As `_converted`: stretches of a long recording follow each other, and it is read once for all of them."""
    return _converted(path)


def _converted(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Samples of a whole file, int16 at 16 kHz, and how much of each was clipped, float32 0..1; both (samples,)."""
    chunk = read_sound_file(path)
    conditioner = Conditioner(chunk.channels, chunk.sample_rate)
    parts = conditioner.push(chunk.samples), conditioner.end()
    samples, clipped = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return samples, clipped


def stretch(skeleton: SkeletonSequence, begin_s: float, end_s: float) -> SkeletonSequence | None:
    """The frames of these seconds after the first one, stamped from their begin; None where there is none. `end_s`: 0
    is the end."""
    after_ns = skeleton.stamps_ns - skeleton.stamps_ns[:1] - to_ns(begin_s)
    kept = (after_ns >= 0) & (after_ns < (to_ns(end_s - begin_s) if end_s else np.inf))
    if not kept.any():
        return None
    return replace(
        skeleton,
        stamps_ns=after_ns[kept],
        positions=skeleton.positions[kept],
        confidence=skeleton.confidence[kept],
    )


def sound_duration_s(path: Path) -> float:
    """Length of a sound file from its header, or of one that does not tell it from what is in it, above 0. Raises
    `AudioError` for a file that is unreadable or silent by having no sample."""
    sound = open_sound_file(path)
    frames = sound.frames or sum(len(block) for block in sound.blocks(sound.sample_rate))
    if not frames:
        raise AudioError(f"'{path}' holds no audio: record it again")
    return frames / sound.sample_rate


def sequence_at(positions: np.ndarray, rate_hz: float, layout: str) -> SkeletonSequence:
    """Frames of a fixed rate, stamped by index from 0; a joint that is not finite counts as not seen.

    `positions`: shape (T, joints, 2 or 3).
    """
    stamps = np.round(np.arange(len(positions)) * (NS_PER_S / rate_hz)).astype(np.int64)
    seen = np.isfinite(positions).all(axis=2)
    return SkeletonSequence(
        stamps, np.where(seen[..., None], positions, 0).astype(np.float32), seen.astype(np.float32), layout
    )
