"""Who is who: which voice, body and face belong to one person, as REP-155 (ROS4HRI) tells it.

A person manager says for certain which ids are a person's, and that a person is another one (`alias`); recognisers say
with which confidence two ids match. Both are followed, the former first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")
E = TypeVar("E")

#: Links and matches that are remembered, of more the oldest are forgotten: ids that vanish are not used again.
_REMEMBERED = 512
_NOBODY: frozenset[str] = frozenset()
#: The most that a match can say: what a person manager says counts more.
_SURELY = 0.999


class Kind(IntEnum):
    """What an id names; the numbers are those of `hri_msgs/IdsMatch`."""

    PERSON = 1
    FACE = 2
    BODY = 3
    VOICE = 4


#: An id and what it names: ids of different kinds may be equal.
Name = tuple[Kind, str]


@dataclass(frozen=True, slots=True)
class Match:
    """How sure it is (0..1) that two ids are of one person; 0: they are not (any more)."""

    one: Name
    other: Name
    confidence: float


@dataclass(frozen=True, slots=True)
class Someone:
    """What is known of somebody: '' where nothing is."""

    person_id: str = ""
    face_id: str = ""
    body_id: str = ""
    voice_id: str = ""


class Identities:
    """Follows links, aliases and matches, and answers whose a voice or a body is. Not thread-safe.

    `least`: the confidence that a match must have, or several on the way from one id to the other together (their
    product). Whatever changes who is who returns the ids, of any kind, that may be somebody else's by it: so what a
    message costs depends on who is joined with whom, not on how many are known.
    """

    def __init__(self, least: float = 0.5) -> None:
        self._least = min(least, _SURELY)
        self._links: dict[Name, str] = {}  # of a face, body or voice: whose it is, for certain
        self._owned: dict[str, dict[Name, None]] = {}  # the same, by owner
        self._alias: dict[str, str] = {}
        self._aliases: dict[str, dict[str, None]] = {}  # the same, by who they are
        self._matches: dict[frozenset[Name], float] = {}
        self._matched: dict[Name, dict[Name, float]] = {}  # the same, by each of the two
        self._made_up: dict[Name, None] = {}

    def link(self, person_id: str, kind: Kind, its_id: str) -> frozenset[str]:
        """This is the person's face, body or voice from now on, and nobody else's; '': it has none."""
        name = (kind, its_id)
        before = [other for other in self._owned.get(person_id, ()) if other[0] is kind]
        if its_id and before == [name]:
            self._links[name] = self._links.pop(name)  # which makes it the newest
            return _NOBODY
        touched = self._around(*before, *([name] if its_id else []))
        for other in before:
            self._unlink(other)
        if its_id:
            self._unlink(name)
            self._links[name] = person_id
            self._owned.setdefault(person_id, {})[name] = None
            touched |= self._around(name)
        if len(self._links) > _REMEMBERED:
            oldest = next(iter(self._links))
            touched |= self._around(oldest)
            self._unlink(oldest)
        return touched

    def alias(self, person_id: str, other_id: str) -> frozenset[str]:
        """The first person is the second one; '': is somebody else again."""
        other_id = "" if other_id == person_id else other_id
        if other_id == self._alias.get(person_id, ""):
            return _NOBODY
        touched = self._around((Kind.PERSON, person_id))
        self._unalias(person_id)
        if other_id:
            if self.resolve_alias(other_id) == person_id:  # in a circle what was said last holds
                self._unalias(other_id)
            self._alias[person_id] = other_id
            self._aliases.setdefault(other_id, {})[person_id] = None
        touched |= self._around((Kind.PERSON, person_id))
        if len(self._alias) > _REMEMBERED:
            oldest = next(iter(self._alias))
            touched |= self._around((Kind.PERSON, oldest))
            self._unalias(oldest)
        return touched

    def match(self, match: Match) -> frozenset[str]:
        """What a recogniser says. Of two ids of one kind it says nothing here: persons are made one by `alias`."""
        one, other = match.one, match.other
        if one[0] is other[0]:
            return _NOBODY
        pair, before = frozenset((one, other)), self._matched.get(one, {}).get(other, 0.0)
        # One below `least` is on no way, so it is not remembered.
        after = min(match.confidence, _SURELY) if match.confidence >= max(self._least, 1e-9) else 0.0
        touched = self._around(one, other) if before not in (0.0, after) else _NOBODY
        self._unmatch(pair)
        if after:
            self._matches[pair] = after
            self._matched.setdefault(one, {})[other] = self._matched.setdefault(other, {})[one] = after
            touched |= self._around(one) if before != after else _NOBODY
        if len(self._matches) > _REMEMBERED:
            oldest = next(iter(self._matches))
            touched |= self._around(*oldest)
            self._unmatch(oldest)
        return touched

    def make_up(self, name: Name, is_made_up: bool = True) -> frozenset[str]:
        """This id was made up for as long as it is tracked, as are those of voices and of anonymous persons."""
        self._made_up.pop(name, None)
        if is_made_up:
            self._made_up[name] = None
            _forget_oldest(self._made_up)
        return _NOBODY

    def is_made_up(self, name: Name) -> bool:
        """Whether it was, as far as is known."""
        return name in self._made_up

    def vanish(self, person_id: str) -> frozenset[str]:
        """The person is not tracked any more: what was his or hers may become somebody else's."""
        name = (Kind.PERSON, person_id)
        touched = self._around(name)
        for other in list(self._owned.get(person_id, ())):
            self._unlink(other)
        for other in list(self._matched.get(name, ())):
            self._unmatch(frozenset((name, other)))
        return touched

    def clear(self) -> None:
        """Nothing is known of anybody."""
        for entries in (self._links, self._owned, self._alias, self._aliases, self._matches, self._matched):
            entries.clear()  # not whose names were made up, by which something may have been learned

    def resolve_alias(self, person_id: str) -> str:
        """By which id a person goes now: the last of its aliases."""
        while (after := self._alias.get(person_id)) is not None:
            person_id = after
        return person_id

    def of_voice(self, voice_id: str) -> Someone:
        """Who speaks with a voice."""
        return self._someone((Kind.VOICE, voice_id)) if voice_id else Someone()

    def of_body(self, body_id: str) -> Someone:
        """Who a body is."""
        return self._someone((Kind.BODY, body_id)) if body_id else Someone()

    def strangers_to(self, someone: Someone, bodies: Iterable[str]) -> frozenset[str]:
        """Those of some bodies that are known to be somebody else's."""
        known = [name for name in ((Kind.BODY, body_id) for body_id in bodies) if self._is_known(name)]
        return frozenset(name[1] for name in known if _differ(someone, self._someone(name)))

    def current_name(self, name: str) -> str:
        """What somebody who was called by an id of any kind, a voice's say, is called now."""
        present = self.resolve_alias(name)
        is_person = present != name or name in self._owned or name in self._aliases
        return present if is_person else self.of_voice(name).person_id or self.of_body(name).person_id or name

    def _is_known(self, name: Name) -> bool:
        return name in self._links or name in self._matched

    def _someone(self, start: Name) -> Someone:
        """The surest id of each kind that can be reached from one (Dijkstra's search, by products of confidences)."""
        found: dict[Kind, str] = {start[0]: start[1]}
        reached: set[Name] = set()
        queue: list[tuple[float, Name]] = [(-1.0, start)]
        while queue:
            sureness, name = heapq.heappop(queue)
            if name in reached:
                continue
            reached.add(name)
            found.setdefault(name[0], name[1])
            if name != start and name[0] is start[0]:
                continue  # somebody else's voice leads to somebody else
            for confidence, after in self._neighbours(name):
                if sureness * confidence <= -self._least:
                    heapq.heappush(queue, (sureness * confidence, after))
        return Someone(
            found.get(Kind.PERSON, ""), found.get(Kind.FACE, ""), found.get(Kind.BODY, ""), found.get(Kind.VOICE, "")
        )

    def _around(self, *names: Name) -> frozenset[str]:
        """The ids that can be reached from these at all."""
        waiting = [self._presently(name) for name in names]
        reached: set[Name] = set()
        ids: set[str] = set()
        while waiting:
            if (name := waiting.pop()) not in reached:
                reached.add(name)
                ids.update(self._also(name[1]) if name[0] is Kind.PERSON else (name[1],))
                waiting += [after for _, after in self._neighbours(name)]
        return frozenset(ids)

    def _neighbours(self, name: Name) -> Iterator[tuple[float, Name]]:
        if name[0] is not Kind.PERSON:
            if name in self._links:
                yield 1.0, (Kind.PERSON, self.resolve_alias(self._links[name]))
            for other, confidence in self._matched.get(name, {}).items():
                yield confidence, self._presently(other)
            return
        for person_id in self._also(name[1]):
            yield from ((1.0, other) for other in self._owned.get(person_id, ()))
            for other, confidence in self._matched.get((Kind.PERSON, person_id), {}).items():
                yield confidence, other

    def _also(self, person_id: str) -> list[str]:
        """A person's ids: the present one and all that are aliases of it."""
        ids = [person_id]
        for one in ids:
            ids += self._aliases.get(one, ())
        return ids

    def _presently(self, name: Name) -> Name:
        return (Kind.PERSON, self.resolve_alias(name[1])) if name[0] is Kind.PERSON else name

    def _unlink(self, name: Name) -> None:
        if (owner := self._links.pop(name, None)) is not None:
            _remove(self._owned, owner, name)

    def _unalias(self, person_id: str) -> None:
        if (other_id := self._alias.pop(person_id, None)) is not None:
            _remove(self._aliases, other_id, person_id)

    def _unmatch(self, pair: frozenset[Name]) -> None:
        if self._matches.pop(pair, None) is not None:
            one, other = pair
            _remove(self._matched, one, other)
            _remove(self._matched, other, one)


def _differ(one: Someone, other: Someone) -> bool:
    both = ((one.person_id, other.person_id), (one.voice_id, other.voice_id), (one.body_id, other.body_id))
    return any(a and b and a != b for a, b in both)


def _forget_oldest(entries: dict[Name, None]) -> None:
    if len(entries) > _REMEMBERED:
        del entries[next(iter(entries))]


def _remove(entries: dict[K, dict[V, E]], key: K, value: V) -> None:
    """Of an index: what is empty then is no entry any more."""
    del entries[key][value]
    if not entries[key]:
        del entries[key]
