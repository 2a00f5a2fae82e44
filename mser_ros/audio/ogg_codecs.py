"""The codecs of sound in Ogg: what their headers tell, and what can be heard of a stream whose headers were missed."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..errors import AudioError
from .coded import Codec

#: How streams begin that hold something else.
_OTHERS = {
    b"Speex   ": "Speex",
    b"CELT    ": "CELT",
    b"PCM     ": "OggPCM",
    b"fLaC": "FLAC as before 2003",
    b"\x80theora": "Theora",
    b"\x80kate": "Kate",
    b"\x80daala": "Daala",
    b"BBCD\0": "Dirac",
    b"OVP80": "VP8",
}
#: Tells of other streams, and is none.
_SKELETON = b"fishead\0"

_OPUS_RATE = 48_000
_OPUS_HEAD = struct.Struct("<8sBBHIhB")
#: Length of a frame [samples at 48 kHz] for each four of Opus' 32 configurations (RFC 6716, table 2).
_OPUS_FRAMES = (480, 960, 1920, 2880)
_OPUS_LONGEST = 5760
_XIPH_COMMENT = b"\x03vorbis" + bytes(8) + b"\x01"


class OggCodec(ABC):
    """Decodes the packets of one stream. `skip`: how many of its first samples are not to be heard."""

    name = ""
    skip = 0

    @abstractmethod
    def take(self, packet: bytes) -> list[tuple[np.ndarray, int]]:
        """As `Codec.decode`; a header gives no samples."""

    def lose(self) -> None:  # noqa: B027 - most need not know
        """Packets are missing before the next one."""


class Opus(OggCodec):
    """RFC 7845. Without its header, whose channels its packets tell up to two of."""

    name = "Opus"

    def __init__(self, head: bytes) -> None:
        if len(head) < _OPUS_HEAD.size or head[8] >> 4 or not head[9]:
            raise AudioError("an Ogg/Opus stream with a broken header: look for the fault in its source")
        self.skip = int.from_bytes(head[10:12], "little")
        # What FFmpeg would leave out at the beginning is left out here, where samples are counted.
        self._codec = Codec("opus", "Ogg", head[:10] + bytes(2) + head[12:])

    @classmethod
    def begun(cls, packets: Sequence[bytes]) -> Opus:
        """Of a stream in whose midst these packets are."""
        channels = 1 + any(packet[0] & 4 for packet in packets)
        return cls(_OPUS_HEAD.pack(b"OpusHead", 1, channels, 0, _OPUS_RATE, 0, 0))

    def take(self, packet: bytes) -> list[tuple[np.ndarray, int]]:
        return [] if packet.startswith(b"OpusTags") else self._codec.decode(packet)


class Vorbis(OggCodec):
    """Cannot be decoded without its third header, the code books."""

    name = "Vorbis"

    def __init__(self, head: bytes) -> None:
        self._head = head
        self._codec: Codec | None = None

    def take(self, packet: bytes) -> list[tuple[np.ndarray, int]]:
        if packet.startswith(b"\x05vorbis"):
            parts = (self._head, _XIPH_COMMENT)
            laces = b"".join(b"\xff" * (len(part) // 255) + bytes([len(part) % 255]) for part in parts)
            self._codec = Codec("vorbis", "Ogg", b"\x02" + laces + b"".join(parts) + packet)
        if packet[0] & 1:
            return []
        if self._codec is None:
            raise AudioError(
                "a stream of Vorbis of which a header was lost, so it cannot be heard until it begins anew: start its "
                "source again, and make its publisher reliable"
            )
        return self._codec.decode(packet)

    def lose(self) -> None:
        if self._codec is not None:  # it would join the halves of two blocks that do not belong together
            self._codec.forget()


class Flac(OggCodec):
    """Each frame tells what its header told."""

    name = "FLAC"

    def __init__(self, head: bytes = b"") -> None:
        self._codec = Codec("flac", "Ogg", head[17:51])

    def take(self, packet: bytes) -> list[tuple[np.ndarray, int]]:
        return self._codec.decode(packet) if packet[0] == 0xFF else []


def open_codec(head: bytes) -> OggCodec | None:
    """The codec of a stream that begins with this packet; None for what is no sound, and tells so by itself.

    Raises `AudioError` for one that cannot be heard.
    """
    if head.startswith(b"OpusHead"):
        return Opus(head)
    if head.startswith(b"\x01vorbis"):
        return Vorbis(head)
    if head.startswith(b"\x7fFLAC\x01"):
        return Flac(head)
    if head.startswith(_SKELETON):
        return None
    name = next((name for magic, name in _OTHERS.items() if head.startswith(magic)), "an unknown codec")
    raise AudioError(f"an Ogg stream of {name}: send Opus, Vorbis or FLAC")


def guess_codec(pages: Sequence[tuple[int, Sequence[bytes]]]) -> OggCodec | None:
    """The codec of a stream of which the beginning was missed, by pages that follow on each other: their granule and
    the packets that are complete in them. None where that is not sure."""
    packets = [packet for _, complete in pages for packet in complete]
    if packets and all(packet[0] == 0xFF and len(packet) > 5 and packet[1] & 0xFE == 0xF8 for packet in packets):
        return Flac()
    # Opus has no mark, but what its packets tell of their length adds up to the granules.
    steps = [after - before for (before, _), (after, _) in pairwise(pages)]
    lengths = [sum(map(opus_length, complete)) for _, complete in pages]
    if len(steps) < 2 or 0 in steps or steps != lengths[1:] or not all(map(opus_length, packets)):
        return None
    # With more than two channels each packet holds several, and only the header tells which is which.
    return None if all(map(_holds_several, packets)) else Opus.begun(packets)


def opus_length(packet: bytes) -> int:
    """Samples at 48 kHz of a packet of Opus (RFC 6716, 3.1); 0 for what is none."""
    configuration, code = packet[0] >> 3, packet[0] & 3
    if configuration < 12:
        frame = _OPUS_FRAMES[configuration % 4]
    elif configuration < 16:
        frame = _OPUS_FRAMES[configuration % 2]
    else:
        frame = 120 << configuration % 4
    count = (1, 2, 2, packet[1] & 0x3F if len(packet) > 1 else 0)[code]
    if code == 1 and len(packet) % 2 == 0:  # two frames of one size
        return 0
    return frame * count if frame * count <= _OPUS_LONGEST else 0


def _holds_several(packet: bytes) -> bool:
    """Whether this may be packets of Opus in a row, of which all but the last tell their length (RFC 6716, B)."""
    code, at, padding = packet[0] & 3, 1, 0
    factor, reads = ((1, 1), (2, 1), (1, 2), (1, 1))[code]
    data = iter(packet[1:])
    if code == 3:
        told = next(data, 0)
        at += 1
        factor, reads = (1, told & 0x3F) if told & 0x80 else (told & 0x3F, 1)
        more = 255 if told & 0x40 else 0
        while more == 255:
            more = next(data, 0)
            at += 1
            padding += min(more, 254)
    size = padding
    for _ in range(reads):
        length = next(data, 0)
        at += 1
        if length >= 252:
            length += 4 * next(data, 0)
            at += 1
        size += factor * length
    end = at + size
    return end < len(packet) and opus_length(packet[end:]) == opus_length(packet)
