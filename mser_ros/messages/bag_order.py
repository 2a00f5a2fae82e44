"""Bags whose log times contradict the stamps of their messages: read in the order of the stamps.

Live, the messages of a publisher come in the order in which it sent them, as the middleware numbers them. What a node
can meet is what a publisher makes of its own threads and clock: blocks that are swapped or late by fractions of a
second, and stamps that go back once, as a bag is played in a loop or a clock is set. How nodes take that is how it is
taken here, so that a bag gives the same offline as live. But where messages are older than the one that was logged
before them again and again, by more than that, or nearly all of them are, no node has ever met that order: a program
wrote it, that merged, shuffled or reversed log times. A node that such a bag is played to cannot know better, and loses
what comes late; who has the whole bag can, and so what is in it is read. The log times of a topic are then given to its
messages in the order of their stamps, so that topics keep their places beside each other, and who goes by log times
sees them rise.
"""

from __future__ import annotations

import heapq
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

from ..errors import BagError
from ..types import NS_PER_S, to_ns
from .audio_topics import FRAME
from .bags import Bag, BagMessage

#: By how much a message may be older than the one before it, as publishers make them; the share of messages that must
#: be older by more; that of those older by anything, where the order is reversed; and how many messages tell at all.
_LATE_NS = to_ns(0.25)
_LATE, _REVERSED, _LEAST = 0.05, 0.75, 20
#: Of the stamps so many must differ: those of a bag that was recorded while another was played in a loop come again.
_DIFFER = 0.75
#: A topic up to this size is put in order [bytes].
_LARGEST = 1 << 29


@dataclass(frozen=True)
class Disorder:
    """A topic whose log times contradict its stamps. `is_counted`: it has none, and the count of its samples tells."""

    topic: str
    is_counted: bool
    is_large: bool

    @property
    def _witness(self) -> str:
        return "count of samples" if self.is_counted else "stamps"

    @property
    def fault(self) -> str:
        """What is wrong, without what is done about it."""
        return f"the log times of {self.topic} contradict its {self._witness}, as those of no recorder do"

    def __str__(self) -> str:
        if self.is_large:
            return f"{self.fault}, and it is too large to be put in order here: cut the bag into pieces"
        return (
            f"{self.fault}: it is read in the order of its {self._witness}; a node that the bag is played to "
            "(ros2 bag play) loses what comes late"
        )


def find_disorder(bag: Bag, topics: Iterable[str]) -> list[Disorder]:
    """Those of the topics that are out of order, as far as they can be read without a copy of the bag."""
    found = []
    for topic in topics:
        if not bag.has_header(topic):
            continue
        is_counted = False
        sources, size, count = _look(bag, topic, is_counted=False)
        if not sources and count and bag.topics[topic] == FRAME:
            is_counted = True
            sources, size, count = _look(bag, topic, is_counted=True)
        if any(map(_is_disordered, sources)):
            found.append(Disorder(topic, is_counted, size > _LARGEST))
    return found


def ordered_messages(bag: Bag, topics: Sequence[str], disorder: Sequence[Disorder]) -> Iterator[BagMessage]:
    """As `Bag.messages`, but of the topics that are out of order in that of their stamps."""
    wrong = {one.topic: one.is_counted for one in disorder if not one.is_large}
    if not wrong:
        yield from bag.messages(topics)
        return
    faults: list[BagError] = []
    lists = []
    for topic, is_counted in wrong.items():
        messages = list(_until_damage(bag.messages([topic]), faults))
        times = [message.log_ns for message in messages]
        at_ns, keyed = 0, []
        for message in messages:
            time_ns, _ = _time_ns(message, is_counted=is_counted)
            at_ns = at_ns if time_ns is None else time_ns  # one that tells none stays beside another
            keyed.append((at_ns, message))
        keyed.sort(key=lambda item: item[0])
        lists.append([replace(message, log_ns=log_ns) for (_, message), log_ns in zip(keyed, times, strict=True)])
    others = [topic for topic in topics if topic not in wrong]
    rest = _until_damage(bag.messages(others), faults) if others else iter(())
    yield from heapq.merge(*lists, rest, key=lambda message: message.log_ns)
    if faults:
        raise faults[0]


def _until_damage(messages: Iterator[BagMessage], faults: list[BagError]) -> Iterator[BagMessage]:
    try:
        yield from messages
    except BagError as error:
        faults.append(error)


def _look(bag: Bag, topic: str, *, is_counted: bool) -> tuple[list[list[int]], int, int]:
    """Of each source on a topic the times of its messages, in their order; the bytes and the number of all messages."""
    sources: dict[bytes, list[int]] = {}
    size = count = 0
    with suppress(BagError):  # of damage is told where the topic is read
        for message in bag.undamaged(topic):
            size, count = size + len(message.raw), count + 1
            time_ns, source = _time_ns(message, is_counted=is_counted)
            if time_ns is not None:
                sources.setdefault(source, []).append(time_ns)
    return list(sources.values()), size, count


def _time_ns(message: BagMessage, *, is_counted: bool) -> tuple[int | None, bytes]:
    """The time that a message with a header tells, or its count of samples, None where it tells none; its source."""
    if is_counted:
        with suppress(BagError, ArithmeticError):
            block = message.decode()
            return int(block.first_sample) * NS_PER_S // int(block.sample_rate), block.voice_id.encode()
        return None, b""
    order = "<" if message.raw[1:2] == b"\1" else ">"
    try:
        seconds, nanoseconds, length = struct.unpack_from(f"{order}iII", message.raw, 4)
        end = 16 + length
        if message.type_name.startswith("mser_msgs/"):  # whose next field is the id of a voice or a body
            (length,) = struct.unpack_from(f"{order}I", message.raw, end + -end % 4)
            end += -end % 4 + 4 + length
    except struct.error:
        return None, b""
    return seconds * NS_PER_S + nanoseconds or None, message.raw[12:end]


def _is_disordered(times: Sequence[int]) -> bool:
    if len(times) < _LEAST or len(set(times)) < _DIFFER * len(times):
        return False
    back = [before - after for before, after in pairwise(times) if after < before]
    late = sum(step > _LATE_NS for step in back)
    return late > _LATE * len(times) or len(back) > _REVERSED * len(times)
