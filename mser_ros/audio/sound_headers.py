"""What stands in the headers of sound files about where the samples are, and what is wrong there."""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

#: Sizes of so many bytes from here on are what those write who do not know them yet.
_ENDLESS = {4: 0x7FFFF000, 8: 1 << 48}
#: Names that follow others in a WAV.
_USUAL = (b"fmt ", b"data", b"fact", b"LIST")
#: Bytes that a file may hold beyond an MP3 whose length it tells: tags.
_TAGS = 4096
#: How a FLAC begins, and how long that is.
_FLAC, _FLAC_SIZE = re.compile(rb"fLaC[\0\x80]\0\0\x22"), 8


@dataclass(frozen=True)
class Place:
    """Where the size of the samples stands, as what; where they begin, and the size; `more`: what it counts besides.

    `is_mended`, `is_strict`: a wrong size does no harm to who reads, or even one that is too large does. `head`: what
    should stand in front of the samples, if what does is wrong.
    """

    at: int
    kind: str
    begin: int
    size: int
    more: int = 0
    is_mended: bool = False
    is_strict: bool = False
    head: bytes | None = None

    def lost(self, whole: int) -> int:
        """How many bytes are missing at the end; 0 where the size is one that stands for an unknown one."""
        is_known = self.more < self.size < _ENDLESS[struct.calcsize(self.kind)]
        return max(0, self.begin + self.size - self.more - whole) if is_known else 0

    def is_wrong(self, stream: BinaryIO, whole: int) -> bool:
        """Whether there are samples beyond the size: it is 0, or what follows is no chunk."""
        if self.is_mended or whole <= self.begin:
            return False
        if self.size <= self.more:  # 0, or -1 where it has a sign
            return True
        end = self.begin + self.size - self.more
        if whole <= end or self.kind != "<I":
            return False
        stream.seek(end + end % 2)
        follows = stream.read(4)
        return len(follows) == 4 and any(follows) and not follows.decode("latin-1").isprintable()

    def written(self, stream: BinaryIO, whole: int) -> bytes:
        """What stands in front of the samples, with the sizes that the file has."""
        stream.seek(0)
        content = bytearray(self.head if self.head is not None else stream.read(self.begin))
        at = self.at if self.head is None else len(content) - 4
        length = struct.calcsize(self.kind)
        struct.pack_into(self.kind, content, at, min(whole - self.begin + self.more, (1 << 8 * length) - 1))
        if content[:4] in (b"RIFF", b"RIFX"):
            order = "<" if content[:4] == b"RIFF" else ">"
            struct.pack_into(f"{order}I", content, 4, min(len(content) + whole - self.begin - 8, 0xFFFFFFFF))
        elif content[:4] == b"RF64":
            struct.pack_into("<Q", content, at - 8, whole - 8)
        return bytes(content)


def find_samples(stream: BinaryIO, whole: int) -> Place | None:
    """None for a format that is not known here, or without samples."""
    stream.seek(0)
    head = stream.read(24)
    if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:12] == b"WAVE":
        return _of_wav(stream, whole, ">" if head[:4] == b"RIFX" else "<")
    if head[:4] == b".snd" and len(head) == 24:
        return Place(8, ">I", int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big"))
    if head[:4] == b"riff":
        return _of_wave64(stream)
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _of_aiff(stream, whole)
    if head[:4] == b"caff":
        return _of_caf(stream, whole)
    if head[:8] == b"NIST_1A\n":
        return _of_sphere(stream)
    return None


def why_no_wav(stream: BinaryIO) -> str:
    """What is wrong with a WAV that cannot be opened, and the cure; '' where that is not seen here."""
    whole = stream.seek(0, os.SEEK_END)
    form, place = b"", None
    for name, at, size in _wav_chunks(stream, whole, "<"):
        if name == b"fmt ":
            form = stream.read(min(size, 16))
        if name == b"data":
            place = at
    if place is None:
        return "has the header of a WAV and no samples: record it again, or take another copy of it"
    if len(form) < 16:
        return "does not tell the format of its samples: give it a header (sox -t raw -r RATE -e signed -b 16 -c 1)"
    _, channels, rate, *_, bits = struct.unpack("<HHIIHH", form)
    if not (channels and rate and bits):
        return f"says {rate} Hz, {channels} channels, {bits} bits in its header, which cannot be: mend that"
    return ""


def _wav_chunks(stream: BinaryIO, whole: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, place and size of the content of each chunk. Some writers forget the byte that makes a size even."""
    stream.seek(12)
    while len(chunk := stream.read(8)) == 8:
        name, size = struct.unpack(f"{order}4sI", chunk)
        at = stream.tell()
        yield name, at, size
        end = min(at + size, whole)
        if size % 2:
            stream.seek(end)
            follows = stream.read(5)
            end += not _is_name(follows[:4]) or follows[1:] in _USUAL
        stream.seek(end)


def _is_name(name: bytes) -> bool:
    return len(name) == 4 and all(32 <= letter < 127 for letter in name)


def _of_wav(stream: BinaryIO, whole: int, order: str) -> Place | None:
    long: Place | None = None
    form, is_padded, expected = b"", True, 20
    for name, at, size in _wav_chunks(stream, whole, order):
        is_padded, expected = is_padded and at == expected, at + size + size % 2 + 8
        if name == b"ds64":
            sizes = stream.read(16)
            long = Place(at + 8, "<Q", 0, int.from_bytes(sizes[8:], "little"))
        elif name == b"fmt ":
            form = stream.read(min(size, 64))
            form += b"\0" * (len(form) % 2)
        elif name == b"data":
            if long:
                return replace(long, begin=at)
            head = None
            if not is_padded:
                head = struct.pack(f"{order}4sI", b"fmt ", len(form)) + form + b"data" + bytes(4)
                head = (b"RIFX" if order == ">" else b"RIFF") + bytes(4) + b"WAVE" + head
            return Place(at - 4, f"{order}I", at, size, head=head)
    return None


def _of_wave64(stream: BinaryIO) -> Place | None:
    """Chunks have names of 16 bytes, sizes of 8 that count both, and begin at multiples of 8."""
    stream.seek(40)
    while len(chunk := stream.read(24)) == 24:
        at, size = stream.tell(), int.from_bytes(chunk[16:], "little")
        if chunk[:4] == b"data":
            return Place(at - 8, "<Q", at, size, 24)
        if size < 24:
            return None
        stream.seek(at - 24 + -(-size // 8) * 8)
    return None


def _of_aiff(stream: BinaryIO, whole: int) -> Place | None:
    """Of an unfinished one the library finds the samples."""
    stream.seek(12)
    while len(chunk := stream.read(8)) == 8:
        name, size = struct.unpack(">4sI", chunk)
        at = stream.tell()
        if name == b"SSND":
            return Place(at - 4, ">I", at + 8, size, 8, is_mended=True)
        stream.seek(min(at + size + size % 2, whole))
    return None


def _of_caf(stream: BinaryIO, whole: int) -> Place | None:
    """The size of the samples may be -1, up to the end of the file; four bytes of it are no samples."""
    stream.seek(8)
    while len(chunk := stream.read(12)) == 12:
        name, size = struct.unpack(">4sq", chunk)
        at = stream.tell()
        if name == b"data":
            return Place(at - 8, ">q", at + 4, size, 4, is_strict=True)
        if size < 0:
            return None
        stream.seek(min(at + size, whole))
    return None


def _of_sphere(stream: BinaryIO) -> Place | None:
    """NIST Sphere: lines of text that end with the number of samples among others."""
    stream.seek(8)
    try:
        begin = int(stream.readline(16))
        fields = [line.split() for line in stream.read(begin).decode("ascii", "replace").splitlines()]
        told = {words[0]: int(words[2]) for words in fields if len(words) == 3 and words[1] == "-i"}
        size = told["sample_count"] * told.get("channel_count", 1) * told["sample_n_bytes"]
    except (ValueError, KeyError):
        return None
    return Place(0, ">I", begin, size, is_mended=True)


# -- files to which others were appended


def ogg_begins(stream: BinaryIO) -> tuple[list[int], bool]:
    """Where the streams begin that follow each other (chained, RFC 3533), and whether the last one has an end.

    What comes after something else is not looked at.
    """
    whole = stream.seek(0, os.SEEK_END)
    begins, at, was_begin, has_end = [], stream.seek(0), False, False
    while len(head := stream.read(27)) == 27 and head[:4] == b"OggS":
        if (is_begin := bool(head[5] & 2)) and not was_begin:
            begins.append(at)
        was_begin = is_begin
        at += 27 + head[26] + sum(stream.read(head[26]))
        has_end = bool(head[5] & 4) and at <= whole
        stream.seek(at)
    return begins, has_end or at < whole


def wav_begins(stream: BinaryIO) -> list[int]:
    """Where the WAVs begin that were appended to each other."""
    begins: list[int] = []
    begin = 0
    while True:
        stream.seek(begin)
        head = stream.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return begins
        begins.append(begin)
        at = begin + 12
        while True:
            stream.seek(at)
            name, size = stream.read(4), int.from_bytes(stream.read(4), "little")
            if not _is_name(name):
                return begins
            if name == b"RIFF":
                break
            at += 8 + size + size % 2
        begin = at


def mp3_begins(stream: BinaryIO) -> list[int]:
    """Where the MP3s begin that were appended to each other, as far as each tells its own length (Xing)."""
    whole, begins, begin = stream.seek(0, os.SEEK_END), [], 0
    while begin < whole:
        begins.append(begin)
        first = behind_tags(stream, begin)
        stream.seek(first)
        length = _length_of_xing(stream.read(64))
        if not length or whole - first - length < _TAGS:
            break
        stream.seek(first + length)
        follows = stream.read(_TAGS)
        found = [at for at in (follows.find(b"ID3"), follows.find(b"\xff\xfb"), follows.find(b"\xff\xf3")) if at >= 0]
        if not found:
            break
        begin = first + length + min(found)
    return begins


def behind_tags(stream: BinaryIO, at: int) -> int:
    """Where what follows ID3 tags begins, which may stand before any sound."""
    while (tag := _at(stream, at, 10))[:3] == b"ID3" and len(tag) == 10:
        at += 10 + _of_seven_bits(tag[6:])
    return at


def same_begins(stream: BinaryIO) -> list[int]:
    """Where the FLACs, AIFFs, AUs, CAFs or RF64s begin that were appended to each other, as far as each tells where it
    ends; of a FLAC, which does not, each place that begins one."""
    whole, begin, begins = stream.seek(0, os.SEEK_END), 0, [0]
    stream.seek(0)
    magic = stream.read(4)
    if magic == b"fLaC":
        return _flac_begins(stream)
    while length := _length(stream, begin, whole):
        begin += length
        stream.seek(begin)
        if stream.read(4) != magic:
            break
        begins.append(begin)
    return begins


def _flac_begins(stream: BinaryIO) -> list[int]:
    """A FLAC begins with its name and the block of 34 bytes that must come first."""
    begins, at, kept = [], stream.seek(0), b""
    while piece := stream.read(1 << 20):
        data = kept + piece
        begins += [at + found.start() for found in _FLAC.finditer(data)]
        kept = data[1 - _FLAC_SIZE :]
        at += len(data) - len(kept)
    return begins


def _length(stream: BinaryIO, begin: int, whole: int) -> int:
    """How long a file is that begins there, by its header; 0 where that is not told."""
    stream.seek(begin)
    head = stream.read(28)
    length = 0
    if head[:4] == b"FORM":
        length = 8 + int.from_bytes(head[4:8], "big")
    elif head[:4] == b"RF64" and head[12:16] == b"ds64":
        length = 8 + int.from_bytes(head[20:28], "little")
    elif head[:4] == b".snd":
        length = int.from_bytes(head[4:8], "big") + int.from_bytes(head[8:12], "big")
    elif head[:4] == b"caff":
        length = 8
        while begin + length < whole:
            stream.seek(begin + length)
            chunk = stream.read(12)
            if chunk[:4] == b"caff":
                break
            length += 12 + max(0, int.from_bytes(chunk[4:], "big", signed=True))
    if head[:4] in (b"FORM", b"RF64"):
        length += length % 2
    return length if length > 8 and begin + length < whole else 0


def _length_of_xing(frame: bytes) -> int:
    """Bytes of a whole MP3, which its first frame may tell; 0 where it does not."""
    at = max(frame.find(b"Xing"), frame.find(b"Info"))
    if at < 0 or frame[:1] != b"\xff" or len(frame) < at + 16:
        return 0
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if not flags & 2:
        return 0
    at += 8 + 4 * (flags & 1)
    return int.from_bytes(frame[at : at + 4], "big")


def _at(stream: BinaryIO, begin: int, count: int) -> bytes:
    stream.seek(begin)
    return stream.read(count)


def _of_seven_bits(digits: bytes) -> int:
    number = 0
    for digit in digits:
        number = number << 7 | digit & 0x7F
    return number


# -- files that are read as if other bytes stood in them


def spliced(path: Path, head: bytes, begin: int, end: int) -> io.BufferedReader:
    """A head, and then the bytes of a file from `begin` to `end`."""
    return io.BufferedReader(_Spliced(path, head, begin, end))


class _Spliced(io.RawIOBase):
    def __init__(self, path: Path, head: bytes, begin: int, end: int) -> None:
        self._path, self._head, self._begin = path, head, begin
        self._size = len(head) + end - begin
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        count = max(0, min(len(buffer), self._size - self._at))
        found = self._head[self._at : self._at + count]
        if len(found) < count:
            with self._path.open("rb") as stream:  # only while it is read, as parts wait for each other
                stream.seek(self._begin + max(0, self._at - len(self._head)))
                found += stream.read(count - len(found))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)
