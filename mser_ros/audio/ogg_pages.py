"""Pages and packets of Ogg (RFC 3533), out of bytes that are cut anywhere and may be damaged."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

#: How a page begins: its name, and the only version that there is.
_MAGIC = b"OggS\0"
_HEADER = struct.Struct("<4sBBqIIIB")
#: No page is longer [bytes].
LONGEST_PAGE = _HEADER.size + 255 + 255 * 255
#: Bytes that checksums are taken of for each byte of a message; what one look costs besides, in bytes.
_MOST_LOOKED_AT, _LOOK = 8, 100
_CONTINUES, _BEGINS, _ENDS = 1, 2, 4
#: A packet that is longer is no sound but a picture in the comments: it is left out [bytes].
_LONGEST_PACKET = 1 << 18
#: Ogg's checksum takes the bits of a byte from the other end than zlib's, which is the same else.
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_CHECKSUM = slice(22, 26)


@dataclass(frozen=True, slots=True)
class Page:
    """A whole page whose checksum is right.

    `pieces`: of packets, of which the first may be the rest of one and, where `is_open`, the last the beginning of one.
    `granule`: of the last packet that is complete, -1 where none is. `stamp_ns`: see `PageReader.push`.
    """

    serial: int
    sequence: int
    granule: int
    pieces: tuple[bytes, ...]
    continues: bool
    begins: bool
    ends: bool
    is_open: bool
    stamp_ns: int = 0


class PageReader:
    """Finds the pages in a stream of bytes, of which it keeps less than two pages; what is no page is left out."""

    def __init__(self) -> None:
        self._kept = bytearray()
        #: Where the messages begin of which something is kept, and their stamps.
        self._marks: list[tuple[int, int]] = []
        #: Bytes since the last page in which none was found.
        self.strange = 0

    def push(self, content: bytes, stamp_ns: int) -> list[Page]:
        """The pages that are whole now.

        Their stamp is that of the first message that begins in them: a page that begins in the midst of a message
        began later than that one. A page that ends in that message as well has its stamp.
        """
        if content:
            self._marks.append((len(self._kept), stamp_ns))
            self._kept += content
        pages: list[Page] = []
        start = done = 0
        room = _MOST_LOOKED_AT * len(self._kept) + LONGEST_PAGE
        mirrored = memoryview(self._kept.translate(_MIRRORED))
        while (start := self._kept.find(_MAGIC, start)) >= 0:
            size = _page_size(self._kept, start)
            room -= size + _LOOK
            if room < 0:  # nothing but names of pages, each of which claims all that follows
                self.strange += len(self._kept) - done
                done = len(self._kept)
                break
            if size and start + size <= len(self._kept) and self._is_right(mirrored[start : start + size], start):
                self.strange = 0
                pages.append(self._read(start, size))
                start = done = start + size
            else:  # not whole yet, or none; one behind it that is whole shows that it is none
                start += 1
        self._forget(done)
        return pages

    def _forget(self, done: int) -> None:
        """Keep what a page may begin with, and no more than one page is long."""
        first = done
        while (first := self._kept.find(_MAGIC, first)) >= 0:
            size = _page_size(self._kept, first)
            if not size or first + size > len(self._kept):
                break
            first += 1
        if first < 0:
            first = max(done, len(self._kept) - len(_MAGIC) + 1)
        self.strange += first - done
        if first:
            del self._kept[:first]
            self._marks = [(at - first, stamp_ns) for at, stamp_ns in self._marks if at >= first]

    def _is_right(self, mirrored: memoryview, start: int) -> bool:
        """Whether the checksum of a page is that of its bytes, the checksum's own left empty."""
        value = zlib.crc32(mirrored[: _CHECKSUM.start], 0xFFFFFFFF)
        value = zlib.crc32(mirrored[_CHECKSUM.stop :], zlib.crc32(bytes(4), value)) ^ 0xFFFFFFFF
        found = value.to_bytes(4, "little").translate(_MIRRORED)
        return found[::-1] == self._kept[start + _CHECKSUM.start : start + _CHECKSUM.stop]

    def _read(self, start: int, size: int) -> Page:
        data = bytes(self._kept[start : start + size])
        _, _, flags, granule, serial, sequence, _, count = _HEADER.unpack_from(data)
        pieces, at, length = [], _HEADER.size + count, 0
        laces = data[_HEADER.size : at]
        for lace in laces:
            length += lace
            if lace < 255:  # the last of its packet
                pieces.append(data[at : at + length])
                at, length = at + length, 0
        is_open = laces[-1:] == b"\xff"
        if is_open:
            pieces.append(data[at:])
        stamp_ns = next((stamp for place, stamp in self._marks if place >= start), self._marks[-1][1])
        return Page(
            serial,
            sequence,
            granule,
            tuple(pieces),
            continues=bool(flags & _CONTINUES),
            begins=bool(flags & _BEGINS),
            ends=bool(flags & _ENDS),
            is_open=is_open,
            stamp_ns=stamp_ns,
        )


def _page_size(data: bytearray, start: int) -> int:
    """Length of the page that its header claims; 0 where that is not known yet."""
    laces = start + _HEADER.size
    if len(data) < laces or len(data) < laces + data[laces - 1]:
        return 0
    count = data[laces - 1]
    return _HEADER.size + count + sum(data[laces : laces + count])


class PacketJoiner:
    """Puts the pieces of one stream's packets together."""

    def __init__(self) -> None:
        self._open: bytes | None = None

    def join(self, page: Page, *, follows: bool) -> list[bytes]:
        """The packets that are complete with this page. `follows`: it comes right after the one before; else what is
        open is lost."""
        pieces: list[bytes | None] = [*page.pieces]
        before, self._open = self._open if follows else None, None
        if pieces and page.continues:
            is_too_long = before is not None and len(before) >= _LONGEST_PACKET
            pieces[0] = before if before is None or is_too_long else before + page.pieces[0]
        if page.is_open:
            self._open = pieces.pop()
        return [piece for piece in pieces if piece and len(piece) < _LONGEST_PACKET]
