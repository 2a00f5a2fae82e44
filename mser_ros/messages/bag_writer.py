"""Writing bags of ROS 2 without ROS: new ones, and copies with a topic added. MCAP and SQLite."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from ..errors import BagError
from .bags import Bag, BagMessage, build_message, message_types

Storage = Literal["mcap", "sqlite3"]


class BagWriter:
    """Writes a new bag: a folder. Use it in `with`; after an exception nothing of it is left.

    `compress`: Zstandard inside an MCAP file, which its readers need no setting for.
    Raises `BagError` where the folder exists already or cannot be made.
    """

    def __init__(self, path: Path | str, *, storage: Storage = "mcap", compress: bool = False) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise BagError(f"{self.path} exists already: delete it or choose another place for the bag")
        self._writer = Writer(self.path, version=9, storage_plugin=StoragePlugin[storage.upper()])
        if compress:
            if storage != "mcap":
                raise BagError("only bags in MCAP can be compressed: choose MCAP, or leave it uncompressed")
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
        self._connections: dict[tuple[str, str], Connection] = {}
        try:
            self._writer.open()
        except OSError as error:
            raise BagError(f"the bag {self.path} cannot be written ({error}): choose another place") from None

    def write(self, topic: str, type_name: str, fields: Mapping[str, Any], log_ns: int) -> None:
        """Add a message of a known type from plain values; what is not named is zero or empty."""
        store = message_types()
        if (topic, type_name) not in self._connections:
            self._connections[topic, type_name] = self._writer.add_connection(topic, type_name, typestore=store)
        raw = store.serialize_cdr(build_message(type_name, fields), type_name)
        self._writer.write(self._connections[topic, type_name], log_ns, raw)

    def copy(self, source: Bag, *, without: Collection[str] = ()) -> tuple[Iterator[BagMessage], tuple[str, ...]]:
        """Announce the topics of another bag. Returns its messages for `write_raw`, and the topics of unknown type.

        The latter, and the topics named in `without`, are not among the messages.
        """
        skipped: set[str] = set()
        for connection in source.connections():
            key = connection.topic, connection.msgtype
            if connection.topic in without or key in self._connections:
                continue
            definition = source.definition(connection.msgtype)
            if definition is None:
                skipped.add(connection.topic)
                continue
            qos = getattr(connection.ext, "offered_qos_profiles", ())
            self._connections[key] = self._writer.add_connection(
                *key, msgdef=definition[0], rihs01=definition[1], offered_qos_profiles=qos
            )
        kept = [topic for topic in source.topics if topic not in skipped and topic not in without]
        return source.messages(kept) if kept else iter(()), tuple(sorted(skipped))

    def write_raw(self, message: BagMessage) -> None:
        """Add a message of a topic that `copy` announced."""
        self._writer.write(self._connections[message.topic, message.type_name], message.log_ns, message.raw)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.__exit__(kind, error, trace)
        except BaseException:  # a full disk is told of when what is left is written
            shutil.rmtree(self.path, ignore_errors=True)
            raise
        if kind is not None:
            shutil.rmtree(self.path, ignore_errors=True)


def clear_bag(path: Path) -> None:
    """Remove the bag in this folder, or what is left of one whose writer was killed. Anything else stays."""
    if not path.is_dir():
        return
    unfinished = {f"{path.name}{suffix}" for suffix in (".mcap", ".db3", ".db3-journal")}
    if (path / "metadata.yaml").is_file() or {file.name for file in path.iterdir()} <= unfinished:
        shutil.rmtree(path)


def copy_with_topics(
    source: Bag | Path | str | None,
    target: Path | str,
    *,
    topics: Mapping[str, str],
    messages: Iterable[tuple[str, Mapping[str, Any], int]],
) -> tuple[str, ...]:
    """Copy a bag, or begin an empty one, and add topics: `topics` tells their types, `messages` yields topic, fields
    and log time, ascending.

    Topics of those names in the source are left out. Returns the topics that could not be copied because their type is
    not known. Raises `BagError`.
    """
    opened = nullcontext(source) if source is None or isinstance(source, Bag) else Bag(source)
    with opened as bag, BagWriter(target) as writer:
        kept, skipped = writer.copy(bag, without=topics) if bag else (iter(()), ())
        copied: Iterator[tuple[int, Any]] = ((message.log_ns, message) for message in kept)
        added: Iterator[tuple[int, Any]] = ((log_ns, (topic, fields)) for topic, fields, log_ns in messages)
        for log_ns, item in heapq.merge(copied, added, key=lambda pair: pair[0]):
            if isinstance(item, BagMessage):
                writer.write_raw(item)
            else:
                topic, fields = item
                writer.write(topic, topics[topic], fields, log_ns)
    return skipped
