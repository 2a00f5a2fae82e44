"""PCM audio: conversions, levels, sound files, and resampling of a stream to 16 kHz mono."""

from __future__ import annotations

import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ..errors import AudioError, DependencyError
from ..types import SAMPLE_RATE, AudioChunk

#: Rates that sources may have [Hz].
MIN_RATE, MAX_RATE = 8_000, 192_000

_FULL_SCALE = 32_768.0
#: Endings of files that hold more than sound.
_FILMS = (".mp4", ".m4a", ".m4v", ".mkv", ".mov", ".webm", ".avi", ".ts", ".3gp", ".wma", ".aac")


def to_float(samples: np.ndarray) -> np.ndarray:
    """int16 PCM of any shape as float32 in -1..1."""
    return samples.astype(np.float32) / np.float32(_FULL_SCALE)


def to_int16(samples: np.ndarray) -> np.ndarray:
    """Floats of any shape, full scale -1..1, as int16 PCM; what lies beyond full scale is clipped."""
    return np.clip(np.rint(samples * _FULL_SCALE), -32_768, 32_767).astype(np.int16)


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


def read_sound_file(path: Path | str) -> AudioChunk:
    """A whole sound file (WAV, FLAC, Ogg, MP3), or the sound of a film, as one chunk at its own rate, with stamp 0; a
    WAV that its recorder did not finish up to its end.

    Raises `AudioError` if it is missing, empty or not a sound file, `DependencyError` for a film where PyAV is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"there is no sound file '{path}': check the path")
    try:
        # As int16, soundfile would not scale files that hold floats.
        samples, rate = soundfile.read(_finished(path), dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        if path.suffix.lower() not in _FILMS:
            raise AudioError(f"'{path}' cannot be read as sound ({error}): convert it to WAV or FLAC") from None
        samples, rate = _sound_of_film(path)
    if len(samples) == 0:
        raise AudioError(f"'{path}' holds no audio: record it again")
    check_rate(rate)
    return AudioChunk(samples=to_int16(np.nan_to_num(samples)), sample_rate=rate, stamp_ns=0)


def _sound_of_film(path: Path) -> tuple[np.ndarray, int]:
    """Floats (frames, channels) of the first sound track, and their rate."""
    try:
        import av
    except ImportError:
        raise DependencyError(f"'{path}' needs a package for films: pip install 'mser_ros[media]' (or av)") from None
    try:
        with av.open(str(path)) as film:
            if not film.streams.audio:
                raise AudioError(f"the film '{path}' has no sound track: name another one")
            track = film.streams.audio[0]
            resampler = av.AudioResampler(format="fltp")
            parts = [part.to_ndarray() for frame in film.decode(track) for part in resampler.resample(frame)]
            rate = int(track.rate)
    except av.FFmpegError as error:
        raise AudioError(f"the film '{path}' cannot be read ({error}): convert its sound to WAV or FLAC") from None
    return (np.concatenate(parts, axis=1).T if parts else np.zeros((0, 1), np.float32)), rate


def _finished(path: Path) -> Path | BytesIO:
    """The file, or a WAV whose sizes were never filled in with those that it has."""
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return path
        while len(chunk := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            at = stream.tell()
            rest = stream.seek(0, os.SEEK_END) - at
            if name == b"data":
                if size or not rest:
                    return path
                stream.seek(0)
                content = bytearray(stream.read())
                struct.pack_into("<I", content, 4, min(len(content) - 8, 0xFFFFFFFF))
                struct.pack_into("<I", content, at - 4, min(rest, 0xFFFFFFFF))
                return BytesIO(content)
            stream.seek(at + size + size % 2)
    return path


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
