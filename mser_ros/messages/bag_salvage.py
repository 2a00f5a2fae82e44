"""What can be saved of a file of a bag that the library refuses: a copy of its whole messages, MCAP or SQLite.

What makes it refuse a file is not always damage: one message of Protobuf or JSON beside those of ROS 2, a definition
that the recorder did not find ('unknown'), or a file that another program than a recorder wrote.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

import apsw
from lz4.frame import LZ4FrameDecompressor

from ..errors import BagError
from .mcap_records import CHUNK, CHUNK_HEAD, DATA_END, END, HEAD, LONGEST_CHUNK, MAGIC, zstd

_SCHEMA, _CHANNEL, _MESSAGE = 0x03, 0x04, 0x05
#: Encodings of definitions that the library knows.
_DEFINITIONS = ("ros2msg", "ros2idl", "omgidl")
_BLOCK = 1 << 20
#: The record that ends the data, with a checksum; length of the content of the one that ends the file.
_LAST, _FOOTER = HEAD.pack(DATA_END, 4) + bytes(4), 20
#: A gap in the rows of a damaged table is looked over up to so many of them.
_LONGEST_GAP = 1 << 20
#: What SQLite says of a file that it cannot make longer.
_UNWRITTEN = (apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_TRUNCATE)


def salvage_mcap(source: Path, target: Path, named: Path) -> str:
    """Write what is whole; returns what was not, as a sentence. Raises `BagError`, which speaks of `named`, where there
    is nothing."""
    size = source.stat().st_size
    found = _Messages()
    with source.open("rb") as stream, target.open("wb") as copy:
        copy.write(MAGIC + _record(0x01, _text("ros2") + _text("mser_ros")))
        # Of all topics a copy stands at the end: the chunk that told of them first may be the damaged one.
        for code, content in _summary(stream, size):
            if code in (_SCHEMA, _CHANNEL):
                copy.write(found.of_record(code, content))
        stream.seek(len(MAGIC))
        for code, content in _records(stream, size):
            if code == CHUNK:
                copy.write(found.of_chunk(content))
            else:
                copy.write(found.of_record(code, content))
        copy.write(END)
    if not found.kept:
        raise BagError(found.why_none(named))
    return found.sentence(named)


class _Messages:
    """Which records of an MCAP are kept. `kept`: so many messages."""

    def __init__(self) -> None:
        self.kept = 0
        self._foreign: Counter[str] = Counter()
        self._encodings: dict[int, str] = {}  # of messages, by channel
        self._damaged = 0
        self._written: set[tuple[int, int]] = set()

    def of_chunk(self, content: bytes) -> bytes:
        try:
            *_, length, checksum, name = CHUNK_HEAD.unpack_from(content)
            first = CHUNK_HEAD.size + name + 8
            records = _unpacked(content[CHUNK_HEAD.size : first - 8].decode("ascii", "replace"), content[first:])
        except struct.error:
            self._damaged += 1
            return b""
        is_whole = len(records) == length
        if not is_whole or (checksum and crc32(records) != checksum):
            self._damaged += 1
            if is_whole:  # nobody knows which of them is wrong
                return b""
        parts = [(code, content) for code, content in _records(BytesIO(records), len(records))]
        parts.sort(key=lambda part: _time(*part))
        return b"".join(self.of_record(code, part) for code, part in parts)

    def of_record(self, code: int, content: bytes) -> bytes:
        try:
            if code == _MESSAGE:
                return self._message(content)
            if code in (_SCHEMA, _CHANNEL):
                (key,) = struct.unpack_from("<H", content)
                if (code, key) in self._written:
                    return b""
                self._written.add((code, key))
                return _record(code, _known_schema(content) if code == _SCHEMA else self._channel(key, content))
        except (struct.error, UnicodeDecodeError, IndexError):
            self._damaged += 1
        return b""

    def _channel(self, key: int, content: bytes) -> bytes:
        _, at = _text_at(content, 4)
        self._encodings[key], _ = _text_at(content, at)
        return content

    def _message(self, content: bytes) -> bytes:
        (key,) = struct.unpack_from("<H", content)
        encoding = self._encodings.get(key, "")
        if encoding != "cdr":
            self._foreign[encoding or "no channel"] += 1
            return b""
        self.kept += 1
        return _record(_MESSAGE, content)

    def why_none(self, path: Path) -> str:
        if self._foreign["ros1"]:
            return (
                f"the bag {path} holds messages of ROS 1: convert the bag that it was made of (pip install rosbags; "
                "rosbags-convert --src FILE.bag --dst FOLDER)"
            )
        if self._foreign:
            return (
                f"the bag {path} holds messages of {', '.join(sorted(self._foreign))} and none of ROS 2: record the "
                "topics by 'ros2 bag record'"
            )
        return f"the bag {path} is cut off before its first whole message: take another copy of it, or record it again"

    def sentence(self, path: Path) -> str:
        lost = [f"{count} messages of {name} are left out" for name, count in sorted(self._foreign.items())]
        if self._damaged:
            lost.append(f"{self._damaged} parts of it are damaged, and what was in them is lost")
        return f"{path.name} is not as a recorder leaves it: {', '.join(lost) or 'its messages are read one by one'}"


def _records(stream: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """Code and content of the whole records up to the end of the data."""
    at = stream.tell()
    while len(head := stream.read(HEAD.size)) == HEAD.size:
        code, length = HEAD.unpack(head)
        at += HEAD.size + length
        if not 0 < code < DATA_END or at > size:
            return
        if code in (_SCHEMA, _CHANNEL, _MESSAGE, CHUNK) and length <= LONGEST_CHUNK:
            yield code, stream.read(length)
        stream.seek(at)


def _summary(stream: BinaryIO, size: int) -> Iterator[tuple[int, bytes]]:
    """The records after the data, where the file has an end that tells where they are."""
    stream.seek(max(0, size - len(MAGIC) - _FOOTER))
    begin = int.from_bytes(stream.read(8), "little")
    if not len(_LAST) < begin < size:
        return
    stream.seek(begin - len(_LAST))
    if stream.read(len(_LAST)).startswith(_LAST[: HEAD.size]):
        yield from _records(stream, size)


def _record(code: int, content: bytes) -> bytes:
    return HEAD.pack(code, len(content)) + content


def _text(text: str) -> bytes:
    return struct.pack("<I", len(text)) + text.encode()


def _text_at(content: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<I", content, at)
    end = at + 4 + length
    if end > len(content):
        raise IndexError
    return content[at + 4 : end].decode(), end


def _known_schema(content: bytes) -> bytes:
    """A schema in an encoding that the library does not know is one without a definition."""
    _, at = _text_at(content, 2)
    encoding, _ = _text_at(content, at)
    return content if encoding in _DEFINITIONS else content[:at] + _text("") + _text("")


def _time(code: int, content: bytes) -> int:
    """Messages by their log time; what tells of them comes first."""
    return int.from_bytes(content[6:14], "little") if code == _MESSAGE else -1


def _unpacked(compression: str, data: bytes) -> bytes:
    """As much as can be unpacked."""
    if not compression:
        return data
    found = bytearray()
    try:
        opened = zstd.ZstdDecompressor() if compression == "zstd" else LZ4FrameDecompressor()
        for at in range(0, len(data), _BLOCK):
            found += opened.decompress(data[at : at + _BLOCK])
            if len(found) > LONGEST_CHUNK:
                break
    except (zstd.ZstdError, RuntimeError, EOFError):
        pass
    return bytes(found)


def salvage_sqlite(source: Path, target: Path, named: Path) -> str:
    """As `salvage_mcap`."""
    pages = target.with_name("pages.db3")
    _copy_pages(source, pages)
    lost = 0
    try:
        old, new = apsw.Connection(str(pages), flags=apsw.SQLITE_OPEN_READONLY), apsw.Connection(str(target))
        new.execute("PRAGMA journal_mode=OFF").fetchall()  # of a copy that nobody keeps
        new.execute("BEGIN")
        tables = {str(name) for (name,) in old.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"topics", "messages"} <= tables:
            raise BagError(f"{named} is a database of something else and no bag: name the .db3 file of a bag")
        for name in ("schema", "metadata", "topics", "message_definitions", "messages"):
            if name in tables:
                _make_table(old, new, name)
                lost += _copy_rows(old, new, name)
        if "message_definitions" in tables:
            known = ", ".join(f"'{name}'" for name in _DEFINITIONS)
            new.execute(
                "UPDATE message_definitions SET encoding = 'ros2msg', encoded_message_definition = '' "
                f"WHERE encoding NOT IN ({known})"
            )
        with written():
            new.execute("COMMIT")
        ((kept,),) = new.execute("SELECT count(*) FROM messages").fetchall()
        new.close()
        old.close()
    except (apsw.Error, ValueError) as error:  # ValueError: a name with a character that SQL does not know
        raise BagError(
            f"the bag {named} cannot be read ({error}): it is damaged; take another copy of it, or record it again"
        ) from None
    finally:
        pages.unlink(missing_ok=True)
    if not kept:
        raise BagError(f"the bag {named} holds no message that is whole: take another copy of it, or record it again")
    is_cut = "some of its rows are damaged or cut off, and what was in them is lost" if lost else ""
    return f"{named.name} is not as a recorder leaves it: {is_cut or 'its messages are read one by one'}"


@contextmanager
def written() -> Iterator[None]:
    """What SQLite says where it cannot write, as `OSError`: that is no damage."""
    try:
        yield
    except apsw.FullError as error:
        raise OSError(errno.ENOSPC, str(error)) from None
    except apsw.IOError as error:
        if getattr(error, "extendedresult", 0) in _UNWRITTEN:
            raise OSError(errno.ENOSPC, str(error)) from None
        raise


def _copy_pages(source: Path, target: Path) -> None:
    """A copy that speaks of as many pages as there are: SQLite refuses one from which the end was cut off."""
    with source.open("rb") as stream, target.open("wb") as copy:
        head = bytearray(stream.read(100))
        size = int.from_bytes(head[16:18], "big") or 1
        size = 65_536 if size == 1 else size
        count = os.path.getsize(source) // size
        head[28:32] = struct.pack(">I", min(count, 0xFFFFFFFF))
        copy.write(head)
        left = count * size - len(head)
        while left > 0 and (block := stream.read(min(left, _BLOCK))):
            copy.write(block)
            left -= len(block)


def _make_table(old: apsw.Connection, new: apsw.Connection, table: str) -> None:
    """A table of the same columns; the file's own SQL, which may say anything, is not run."""
    columns = [
        '"' + str(column).replace('"', '""') + '"' for _, column, *_ in old.execute(f"PRAGMA table_info({table})")
    ]
    new.execute(f"CREATE TABLE {table} ({', '.join(columns)})")


def _copy_rows(old: apsw.Connection, new: apsw.Connection, table: str) -> int:
    """Copy the rows that can be read; returns how often one could not."""
    last, jump, faults = -1, 0, 0
    while jump <= _LONGEST_GAP:
        try:
            rows = old.execute(f"SELECT rowid, * FROM {table} WHERE rowid > ? ORDER BY rowid", (last + jump,))
            for row, *values in rows:
                if row <= last:  # pages that point to each other: what follows may have no end
                    raise apsw.CorruptError("rows out of order")
                with written():
                    new.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(values))})", values)
                last, jump = row, 0
            return faults
        except (apsw.CorruptError, apsw.IOError):
            faults += 1
            jump = max(1, 2 * jump)
    return faults
