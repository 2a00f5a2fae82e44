"""Coded sound, by FFmpeg's decoders (PyAV), which a robot that hears none need not have."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import numpy as np

from ..errors import AudioError, DependencyError
from .waveform import pcm16


class CodecError(AudioError):
    """What FFmpeg says of bytes that it cannot decode."""


def pyav(what: str) -> Any:
    """The package; raises `DependencyError` where it is missing, which `what` needs."""
    try:
        import av
    except ImportError:
        raise DependencyError(
            f"audio in {what} needs a package: pip install 'mser_ros[media]' (or av), or capture it as wave"
        ) from None
    return av


class Codec:
    """A decoder of FFmpeg: `name` as it calls it; `header` in its form, where one is needed; `what` it is needed for.

    Raises `DependencyError` where PyAV is missing.
    """

    def __init__(self, name: str, what: str, header: bytes = b"") -> None:
        av = pyav(what)
        self._packet, self._fault = av.Packet, av.FFmpegError
        self._context: Any = av.CodecContext.create(name, "r")
        self._context.thread_count = 1  # more of them would hold frames back
        if header:
            self._context.extradata = header

    def decode(self, packet: bytes) -> list[tuple[np.ndarray, int]]:
        """The sound of a packet: samples, int16 (frames, channels), and their rate, anew where either changes.

        Raises `CodecError`, and `AudioError` for samples that are no numbers.
        """
        return self._decode([self._packet(packet)])

    def parse(self, content: bytes) -> list[tuple[np.ndarray, int]]:
        """As `decode`, of a stream that is cut anywhere."""
        try:
            packets = self._context.parse(content)
        except self._fault as error:
            raise CodecError(str(error)) from None
        return self._decode(packets)

    def forget(self) -> None:
        """What follows does not go on from what came before."""
        self._context.flush_buffers()

    def _decode(self, packets: Iterable[Any]) -> list[tuple[np.ndarray, int]]:
        try:
            frames = [frame for packet in packets for frame in self._context.decode(packet)]
        except self._fault as error:
            raise CodecError(str(error)) from None
        runs = groupby(frames, key=lambda frame: (int(frame.sample_rate), len(frame.layout.channels)))
        return [(np.concatenate([_samples(frame) for frame in run]), rate) for (rate, _), run in runs]


def _samples(frame: Any) -> np.ndarray:
    values = frame.to_ndarray()
    return pcm16(values.T if frame.format.is_planar else values.reshape(-1, len(frame.layout.channels)))
