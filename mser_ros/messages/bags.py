"""Bags of ROS 2 without ROS: reading, MCAP and SQLite. Writing is in `bag_writer`.

A message is whatever the `rosbags` library makes of it: an object with the message's field names, arrays in numpy.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import numpy as np
from rosbags.interfaces import Connection, Nodetype
from rosbags.rosbag2 import ReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from ..errors import BagError, DamagedBagError, NoRoomError
from ..resources import interfaces_dir
from .bag_files import BagFiles
from .bag_reader import BagReader
from .foreign_types import foreign_types, older_types
from .mcap_records import zstd
from .raw_audio import DEFINITION, RAW_AUDIO

#: How a message begins that was compressed alone; none in CDR does.
_ZSTD = b"\x28\xb5\x2f\xfd"
#: What the library raises on bags that were damaged: its own errors, and those of the formats inside.
_DAMAGE = (
    SyntaxError,  # the library makes code of the definitions that a bag holds
    ReaderError,
    SerdeError,
    TypesysError,
    apsw.Error,
    zstd.ZstdError,
    struct.error,
    OSError,
    EOFError,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
    MemoryError,
)


@cache
def message_types() -> Typestore:
    """The message types of ROS 2 Jazzy, of mser_msgs, those of other packages that are read, and `RAW_AUDIO`. Shared:
    do not register types in it."""
    store = get_typestore(Stores.ROS2_JAZZY)
    own: dict[str, Any] = foreign_types() | get_types_from_msg(DEFINITION, RAW_AUDIO)
    for path in sorted(interfaces_dir().glob("*.msg")):
        own.update(get_types_from_msg(path.read_text(encoding="utf-8"), f"mser_msgs/msg/{path.stem}"))
    store.register(own)
    return store


@dataclass(frozen=True, slots=True, eq=False)
class BagMessage:
    """One message of a bag. `log_ns`: when it was recorded. `raw`: its CDR bytes, ready to be published as they are."""

    topic: str
    type_name: str
    log_ns: int
    raw: bytes
    _decode: Callable[[bytes, str], Any]
    _path: Path

    def decode(self) -> Any:
        """The message as an object. Raises `BagError` for bytes that do not fit the type."""
        with _reading(self._path):
            return self._decode(self.raw, self.type_name)


class Bag:
    """A bag opened for reading: a folder, or one `.mcap` or `.db3` file, packed (`.zstd`) or not. Use it in `with`.

    `topics`: name of each topic with messages → its type, such as 'mser_msgs/msg/AudioFrame'. `notes`: a sentence for
    each thing that is not as a recorder leaves it, and what was done about it.
    Raises `BagError` on opening: missing, no bag, damaged, without messages.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._files = BagFiles(self.path)
        try:
            self._reader = self._open()
        except BaseException:
            self._files.close()
            raise
        self.notes = tuple(self._files.notes)
        used = [connection for connection in self._reader.connections if connection.msgcount]
        self.topics = self._types_of_topics(used)
        self.message_count: int = sum(connection.msgcount for connection in used)
        if not used:
            self.close()
            if self._files.is_unfinished:
                raise BagError(f"the bag {self.path} is cut off before its first whole message: record it again")
            raise BagError(f"the bag {self.path} holds no messages: record it again while the topics are published")
        for connection in used:
            if not connection.msgdef.data.strip():
                self._define(connection)
        self._lacking = {kind: values for kind in set(self.topics.values()) if (values := self._lacks(kind))}
        for kind, values in self._lacking.items():
            name, fields = kind.rpartition("/")[2], ", ".join(values)
            self.notes += (f"{name} was recorded by another version of mser_msgs, without {fields}: taken as empty",)
        self.start_ns, self.end_ns = int(self._reader.start_time), int(self._reader.end_time)

    def _define(self, connection: Connection) -> None:
        """Of a type that the bag does not define, and that was defined otherwise before, the definition that its first
        message fits."""
        kind = connection.msgtype
        for types in older_types(kind):
            with suppress(*_DAMAGE):
                _, _, raw = next(iter(self._reader.messages([connection])))
                with suppress(SerdeError):
                    self._reader.deserialize(_plain(raw), kind)
                    return
                store = get_typestore(Stores.EMPTY)
                store.register({**self._reader.typestore.fielddefs, **types})
                store.deserialize_cdr(_plain(raw), kind)
                self._reader.typestore = store

    def _types_of_topics(self, used: list[Connection]) -> dict[str, str]:
        """A topic has one type: where several nodes used one name for different things, the one of most messages."""
        counts: dict[str, Counter[str]] = {}
        for one in used:
            counts.setdefault(one.topic, Counter())[one.msgtype] += one.msgcount
        for topic, kinds in counts.items():
            if len(kinds) > 1:
                (kind, count), *others = kinds.most_common()
                left_out = " and ".join(f"{number} of {name}" for name, number in others)
                self.notes += (f"{topic} has {count} messages of {kind} and {left_out}: only the former are read",)
        return {topic: kinds.most_common(1)[0][0] for topic, kinds in counts.items()}

    def _open(self) -> BagReader:
        paths = self._files.paths
        try:
            return _opened(paths, self.path)
        except BagError:
            readable, refused = [], []
            for path in paths:
                try:
                    readable.append(self._readable(path))
                except NoRoomError:
                    raise
                except BagError as error:
                    refused.append(error)
            if not readable:
                raise refused[0] from None
            self._files.notes += [f"{str(error).partition(': ')[0]}: the other files are read" for error in refused]
            return _opened(readable, self.path)

    def _readable(self, path: Path) -> Path:
        """The file, or what can be saved of it."""
        named = path if len(self._files.paths) > 1 else self.path
        try:
            _opened([path], named).close()
            return path
        except BagError:
            salvaged = self._files.salvaged(path, named)
            _opened([salvaged], named).close()
            return salvaged

    def _lacks(self, kind: str) -> dict[str, Any]:
        """Fields of a message of this package that its definition lacked when it was recorded, with empty values."""
        own, recorded = message_types().fielddefs, self._reader.typestore.fielddefs
        if not kind.startswith("mser_msgs/") or kind not in own or kind not in recorded:
            return {}
        there = {name for name, _ in recorded[kind][1]}
        return {name: _value(described, None) for name, described in own[kind][1] if name not in there}

    def _decode(self, raw: bytes, kind: str) -> Any:
        if kind not in self._reader.typestore.fielddefs:
            raise BagError(
                f"the bag {self.path} holds no definition of {kind}, and nothing here knows it: convert it to MCAP "
                "where that package is installed (ros2 bag convert)"
            )
        message = self._reader.deserialize(raw, kind)
        for name, value in self._lacking.get(kind, {}).items():
            setattr(message, name, value)
        return message

    def require(self, topic: str, *type_names: str) -> str:
        """The type of a topic that must be there, of one of these types (of any, if none is named).

        Raises `BagError` that lists the bag's topics, or names the type that was found.
        """
        if topic not in self.topics:
            has = ", ".join(f"{name} ({kind})" for name, kind in sorted(self.topics.items()))
            raise BagError(f"the bag {self.path} has no topic {topic}; it has {has}: name one of these")
        if type_names and self.topics[topic] not in type_names:
            raise BagError(
                f"topic {topic} of the bag {self.path} is of type {self.topics[topic]}, but {' or '.join(type_names)} "
                "is needed: name another topic"
            )
        return self.topics[topic]

    def messages(self, topics: Collection[str] = ()) -> Iterator[BagMessage]:
        """Messages of these topics (all, if none is named) in the order of their log time.

        Raises `BagError` for a topic that is not there, and of a bag with a damaged place when it has come to its end.
        """
        for topic in topics:
            self.require(topic)
        last_ns = -1
        try:
            for message in self._messages(self._reader, topics):
                last_ns = message.log_ns
                yield message
        except DamagedBagError:
            with _unless_full(), ExitStack() as stack:
                salvaged = [self._files.salvaged(path, self.path) for path in self._files.paths]
                reader = _opened(salvaged, self.path)
                stack.callback(reader.close)
                yield from (one for one in self._messages(reader, topics) if one.log_ns > last_ns)
            raise

    def undamaged(self, topic: str) -> Iterator[BagMessage]:
        """The messages of a topic up to the first damaged place, for which no copy is made. Raises `BagError` there."""
        yield from self._messages(self._reader, [topic])

    def has_header(self, topic: str) -> bool:
        """Whether the messages of a topic begin with a `std_msgs/Header`."""
        known, kind = self._reader.typestore.fielddefs, self.topics[topic]
        described = known[kind][1] if kind in known else []
        return bool(described) and described[0][1] == (Nodetype.NAME, "std_msgs/msg/Header")

    def _messages(self, reader: BagReader, topics: Collection[str]) -> Iterator[BagMessage]:
        wanted = [
            item
            for item in reader.connections
            if self.topics.get(item.topic) == item.msgtype and item.msgcount and (not topics or item.topic in topics)
        ]
        with _reading(self.path):
            for connection, log_ns, raw in reader.messages(wanted):
                yield BagMessage(connection.topic, connection.msgtype, log_ns, _plain(raw), self._decode, self.path)

    def close(self) -> None:
        """Let go of the files; nothing can be read any more."""
        self._reader.close()
        self._files.close()

    def definition(self, type_name: str) -> tuple[str, str] | None:
        """Text and hash of a message type, None where neither the bag nor this package knows it."""
        for store in (self._reader.typestore, message_types()):
            if type_name in store.fielddefs:
                with suppress(TypesysError):  # it is made of another type that nobody knows
                    return store.generate_msgdef(type_name, ros_version=2)[0], store.hash_rihs01(type_name)
        return None

    def connections(self) -> list[Connection]:
        """The recorded publishers of all topics, with their quality of service and the number of their messages."""
        merged: dict[Any, Connection] = {}
        for one in self._reader.connections:
            if one.msgcount and self.topics[one.topic] == one.msgtype:
                key = one.topic, one.msgtype, repr(one.ext)
                merged[key] = one._replace(msgcount=one.msgcount + (merged[key].msgcount if key in merged else 0))
        return list(merged.values())

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def build_message(type_name: str, fields: Mapping[str, Any], store: Typestore | None = None) -> Any:
    """A message object of a known type from plain values; what is not named is zero or empty. `store`: more types than
    those of this package.

    Raises `BagError` for a type or a field that does not exist.
    """
    store = store or message_types()
    if type_name not in store.fielddefs:
        raise BagError(f"the message type {type_name} is not known: use one of ROS 2 Jazzy or mser_msgs")
    described = store.fielddefs[type_name][1]
    if unknown := sorted(set(fields) - {name for name, _ in described}):
        raise BagError(f"the message type {type_name} has no field '{unknown[0]}'")
    values = {name: _value(described_as, fields.get(name), store) for name, described_as in described}
    return store.types[type_name](**values)


def _value(described_as: Any, value: Any, store: Typestore | None = None) -> Any:
    kind, detail = described_as
    if kind == Nodetype.NAME:
        return build_message(detail, value or {}, store)
    if kind == Nodetype.BASE:
        name = detail[0]
        zero: Any = "" if name in ("string", "wstring") else False if name == "bool" else 0
        return zero if value is None else value
    inner, length = detail
    items = value if value is not None else [None] * (length if kind == Nodetype.ARRAY else 0)
    if inner[0] == Nodetype.BASE and inner[1][0] not in ("string", "wstring"):
        numbers = np.asarray([0 if item is None else item for item in items] if value is None else items)
        return numbers.astype({"byte": "uint8", "char": "uint8"}.get(inner[1][0], inner[1][0]))
    return [_value(inner, item, store) for item in items]


def _plain(raw: bytes) -> bytes:
    """The bytes of a message, unpacked."""
    content = bytes(raw)
    return zstd.decompress(content) if content.startswith(_ZSTD) else content


def _opened(paths: list[Path], named: Path) -> BagReader:
    with _reading(named):
        return BagReader(paths, message_types())


@contextmanager
def _unless_full() -> Iterator[None]:
    """Let errors pass, but of a copy that has no room: then there is more in the bag than was read."""
    try:
        yield
    except NoRoomError:
        raise
    except BagError:
        pass


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a damaged bag makes the library raise, as one sentence."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DamagedBagError(
            f"the bag {path} cannot be read ({reason}): it is damaged; take another copy of it, or record it again"
        ) from None
