"""The files of one recording, read by the `rosbags` library as one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from heapq import merge
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection, MessageDefinition, MessageDefinitionFormat, Nodetype
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

#: What stands between the definitions of several types in IDL, and before the name of each.
_SEPARATOR, _IDL = "=" * 80 + "\n", "IDL: "


class BagReader:
    """Opened files. `connections`: of all files; `typestore`: their types, as the files define them, else as `known`.

    A type of which the files hold no definition, or one that cannot be read, costs its own topic alone, and not even
    that where it is known. Raises what the library raises for files that it cannot read.
    """

    def __init__(self, paths: Sequence[Path], known: Typestore) -> None:
        self._stack = ExitStack()
        try:
            self._readers = [self._stack.enter_context(Reader(path)) for path in paths]
            self.connections = [one for reader in self._readers for one in reader.connections]
            self.typestore = _types(tuple({one.msgtype: one.msgdef for one in self.connections}.items()), known)
        except BaseException:
            self._stack.close()
            raise
        self.start_time = min(reader.start_time for reader in self._readers)
        self.end_time = max(reader.end_time for reader in self._readers)

    def messages(self, wanted: Iterable[Connection]) -> Iterator[tuple[Connection, int, bytes]]:
        """Connection, log time and CDR bytes of each message of these connections, ordered by log time."""
        by_reader: dict[int, list[Connection]] = {}
        for one in wanted:
            by_reader.setdefault(id(one.owner), []).append(one)
        found = [
            reader.messages(by_reader[id(reader.storage)])
            for reader in self._readers
            if id(reader.storage) in by_reader
        ]
        yield from merge(*found, key=lambda item: item[1])

    def deserialize(self, raw: bytes, type_name: str) -> Any:
        return self.typestore.deserialize_cdr(raw, type_name)

    def close(self) -> None:
        self._stack.close()


@lru_cache(maxsize=8)
def _types(wanted: tuple[tuple[str, MessageDefinition], ...], known: Typestore) -> Typestore:
    """Of each type its definition; shared by all bags that define the same ones, as reading those takes longer than
    opening the files: do not register types in it."""
    found: dict[str, Any] = {}
    for name, definition in wanted:
        with suppress(Exception):  # a parser's: of any kind, and what it does not understand does no other topic harm
            found.update(_parsed(name, definition))
    left = [name for name, _ in wanted]
    seen = set(left)
    while left:
        name = left.pop()
        if name not in found and name in known.fielddefs:
            found[name] = known.fielddefs[name]
        others = {inner for _, described in found.get(name, ((), ()))[1] for inner in _names(described)} - seen
        seen |= others
        left += others
    store = get_typestore(Stores.EMPTY)
    store.register(found)
    return store


def _names(described: Any) -> Iterator[str]:
    """The types of which a field is made."""
    kind, detail = described
    if kind == Nodetype.NAME:
        yield detail
    elif kind != Nodetype.BASE:
        yield from _names(detail[0])


def _parsed(name: str, definition: MessageDefinition) -> dict[str, Any]:
    """A recorder that lacks the package of a type stores an empty definition of it."""
    text = definition.data.strip()
    if not text or definition.format is MessageDefinitionFormat.NONE:
        return {}
    if definition.format is MessageDefinitionFormat.MSG:
        types = dict(get_types_from_msg(definition.data, name))
    else:
        parts = definition.data.split(_SEPARATOR)[1:] if text.startswith(f"{_SEPARATOR}{_IDL}") else [definition.data]
        types = {}
        for part in parts:
            types.update(get_types_from_idl(part.partition("\n")[2] if part.startswith(_IDL) else part))
    return types
