"""Sound files, and the sound of films, whole or in pieces."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ..errors import AudioError, DependencyError
from ..types import AudioChunk
from .waveform import check_rate, to_int16

#: Endings of files that hold more than sound.
FILMS = (".mp4", ".m4a", ".m4v", ".mkv", ".mov", ".webm", ".avi", ".ts", ".3gp", ".wma", ".aac")


@dataclass(frozen=True)
class Sound:
    """A sound file or film that is read in pieces, so that its length costs no memory.

    `frames`: its length, of a film about. `blocks`: called with a number of frames, gives int16 arrays (so many,
    channels), the last one shorter; raises `AudioError` where the file is damaged.
    """

    sample_rate: int
    frames: int
    blocks: Callable[[int], Iterator[np.ndarray]]


def open_sound_file(path: Path | str) -> Sound:
    """A sound file (WAV, FLAC, Ogg, MP3), or the sound of a film; a WAV that its recorder did not finish up to its end.

    Raises `AudioError` if it is missing, empty or not a sound file, `DependencyError` for a film where PyAV is missing.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f"there is no sound file '{path}': check the path")
    try:
        info = soundfile.info(_finished(path))
    except soundfile.SoundFileError as error:
        if path.suffix.lower() not in FILMS:
            raise AudioError(f"'{path}' cannot be read as sound ({error}): convert it to WAV or FLAC") from None
        sound = _open_film(path)
    else:
        sound = Sound(int(info.samplerate), int(info.frames), lambda size: _read_blocks(path, size))
        if not info.frames:
            raise AudioError(f"'{path}' holds no audio: record it again")
    check_rate(sound.sample_rate)
    return sound


def read_sound_file(path: Path | str) -> AudioChunk:
    """A whole sound file or the sound of a film as one chunk at its own rate, with stamp 0. Raises as
    `open_sound_file`."""
    sound = open_sound_file(path)
    blocks = list(sound.blocks(sound.sample_rate))
    if not blocks:
        raise AudioError(f"'{path}' holds no audio: record it again")
    return AudioChunk(samples=np.concatenate(blocks), sample_rate=sound.sample_rate, stamp_ns=0)


def _read_blocks(path: Path, size: int) -> Iterator[np.ndarray]:
    try:
        with soundfile.SoundFile(_finished(path)) as file:
            # As int16, soundfile would not scale files that hold floats. Its own loop trusts the length in the header.
            while len(block := file.read(size, dtype="float32", always_2d=True)):
                yield to_int16(np.nan_to_num(block))
    except soundfile.SoundFileError as error:
        raise AudioError(f"'{path}' cannot be read as sound ({error}): convert it to WAV or FLAC") from None


def _open_film(path: Path) -> Sound:
    try:
        import av
    except ImportError:
        raise DependencyError(f"'{path}' needs a package for films: pip install 'mser_ros[media]' (or av)") from None
    try:
        with av.open(str(path), metadata_errors="replace") as film:
            if not film.streams.audio:
                raise AudioError(f"the film '{path}' has no sound track: name another one")
            rate = int(film.streams.audio[0].rate)
            length_s = (film.duration or 0) / 1e6
    except av.FFmpegError as error:
        raise _no_film(path, error) from None
    return Sound(rate, round(length_s * rate), lambda size: _film_blocks(path, size, av))


def _film_blocks(path: Path, size: int, av: Any) -> Iterator[np.ndarray]:
    kept = np.zeros((0, 0), np.float32)
    try:
        with av.open(str(path), metadata_errors="replace") as film:
            resampler = av.AudioResampler(format="fltp")
            for frame in film.decode(film.streams.audio[0]):
                for part in resampler.resample(frame):
                    samples = part.to_ndarray().T
                    kept = np.concatenate([kept, samples]) if kept.size else samples
                    while len(kept) >= size:
                        yield to_int16(kept[:size])
                        kept = kept[size:]
    except av.FFmpegError as error:
        raise _no_film(path, error) from None
    if kept.size:
        yield to_int16(kept)


def _no_film(path: Path, error: Exception) -> AudioError:
    return AudioError(f"the film '{path}' cannot be read ({error}): convert its sound to WAV or FLAC")


def _finished(path: Path) -> Path | io.BufferedReader:
    """The file, or a WAV whose sizes were never filled in with those that it has."""
    with path.open("rb") as stream:
        head = stream.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return path
        while len(chunk := stream.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            at = stream.tell()
            whole = stream.seek(0, os.SEEK_END)
            if name == b"data":
                if size or whole == at:
                    return path
                stream.seek(0)
                content = bytearray(stream.read(at))
                struct.pack_into("<I", content, 4, min(whole - 8, 0xFFFFFFFF))
                struct.pack_into("<I", content, at - 4, min(whole - at, 0xFFFFFFFF))
                return io.BufferedReader(_WithHead(path, bytes(content)))
            stream.seek(at + size + size % 2)
    return path


class _WithHead(io.RawIOBase):
    """A file whose first bytes are others than on the disk."""

    def __init__(self, path: Path, head: bytes) -> None:
        self._file = path.open("rb")
        self._head = head

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        at = self._file.tell()
        count = self._file.readinto(buffer)
        if at < len(self._head):
            known = self._head[at : at + count]
            buffer[: len(known)] = known
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
