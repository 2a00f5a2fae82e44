"""Sound in Ogg as sources send it, and its pages, which tests cut, lose and damage."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import soundfile


def speech_like(seconds: float, rate: int, channels: int = 1, *, seed: int = 0) -> np.ndarray:
    """Noise of a voice's band whose level changes, so that its place can be found; floats (frames, channels)."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    spectrum = np.fft.rfft(rng.normal(size=(count, channels)), axis=0)
    hertz = np.fft.rfftfreq(count, 1 / rate)
    spectrum[(hertz < 150) | (hertz > 2500)] = 0
    wave = np.fft.irfft(spectrum, count, axis=0)
    level = 0.6 + 0.4 * np.sin(2 * np.pi * 1.3 * np.arange(count) / rate)[:, None]
    return 0.3 * level * wave / np.abs(wave).max()


def ogg(wave: np.ndarray, rate: int, codec: str, *, page_s: float | None = None) -> bytes:
    """A whole stream: of FFmpeg with pages of `page_s`, else of libsndfile, whose pages are as long as they may be.
    `codec`: 'OPUS', 'VORBIS' or 'FLAC'."""
    file = BytesIO()
    if page_s is None:
        soundfile.write(file, wave, rate, format="OGG", subtype=codec)
        return file.getvalue()
    av: Any = pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev', or pip install av")
    layout = {1: "mono", 2: "stereo", 4: "quad"}[wave.shape[1]]
    encoder = {"OPUS": "libopus", "VORBIS": "vorbis", "FLAC": "flac"}[codec]
    with av.open(file, "w", format="ogg", options={"page_duration": str(round(page_s * 1e6))}) as out:
        stream = out.add_stream(encoder, rate=rate, layout=layout, options={"strict": "experimental"})
        stream.codec_context.open()
        resampler = av.AudioResampler(stream.codec_context.format, layout, rate, stream.codec_context.frame_size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T, np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return file.getvalue()


def pages(content: bytes) -> list[bytes]:
    """The pages of a stream that is whole."""
    out, at = [], 0
    while at < len(content):
        assert content[at : at + 4] == b"OggS"
        count = content[at + 26]
        size = 27 + count + sum(content[at + 27 : at + 27 + count])
        out.append(content[at : at + size])
        at += size
    return out


def page(
    pieces: Sequence[bytes],
    *,
    serial: int = 1,
    sequence: int = 0,
    granule: int = 0,
    flags: int = 0,
    is_open: bool = False,
) -> bytes:
    """A page of these packets, of which the last goes on where it `is_open` (then it is a multiple of 255 long)."""
    laces = b"".join(b"\xff" * (len(piece) // 255) + bytes([len(piece) % 255]) for piece in pieces)
    laces = laces[:-1] if is_open else laces
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, sequence, 0, len(laces))
    return sealed(head + laces + b"".join(pieces))


def sealed(content: bytes) -> bytes:
    """With a checksum that is right in each page that it may hold."""
    data, at = bytearray(content), 0
    while (at := data.find(b"OggS", at)) >= 0:
        if len(data) < at + 27:
            break
        end = at + 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        if end <= len(data):
            data[at + 22 : at + 26] = bytes(4)
            data[at + 22 : at + 26] = _checksum(data[at:end]).to_bytes(4, "little")
        at += 4
    return bytes(data)


def _table() -> list[int]:
    out = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x104C11DB7 if value & 0x80000000 else 0)
        out.append(value)
    return out


_TABLE = _table()


def _checksum(data: bytes | bytearray) -> int:
    """As RFC 3533 has it."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


def lag(heard: np.ndarray, wave: np.ndarray) -> tuple[int, float]:
    """By how many samples `heard` comes later than `wave`, and how alike they are then (1: the same)."""
    heard, wave = heard.astype(float), wave.astype(float)
    size = 1 << (len(heard) + len(wave)).bit_length()
    found = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wave, size)), size)
    at = int(found.argmax())
    at -= size if at > size // 2 else 0
    left, right = heard[max(0, at) :], wave[max(0, -at) :]
    count = min(len(left), len(right))
    left, right = left[:count], right[:count]
    return at, float(left @ right / np.sqrt((left @ left) * (right @ right)))
