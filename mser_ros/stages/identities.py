"""Who is who: which voice, body and face belong to one person, as REP-155 (ROS4HRI) tells it.

A person manager says for certain which ids are a person's, and that a person is another one (`alias`); recognisers say
with which confidence two ids match. Both are followed, the former first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

#: Links and matches that are remembered, of more the oldest are forgotten: ids that vanish are not used again.
_REMEMBERED = 512
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
    product).
    """

    def __init__(self, least: float = 0.5) -> None:
        self._least = least
        self._links: dict[Name, str] = {}  # of a face, body or voice: whose it is, for certain
        self._alias: dict[str, str] = {}
        self._matches: dict[frozenset[Name], float] = {}

    def link(self, person_id: str, kind: Kind, its_id: str) -> None:
        """This is the person's face, body or voice from now on, and nobody else's; '': it has none."""
        for name in [name for name, owner in self._links.items() if name[0] is kind and owner == person_id]:
            del self._links[name]
        if its_id:
            self._links.pop((kind, its_id), None)
            self._links[kind, its_id] = person_id
            _forget_oldest(self._links)

    def alias(self, person_id: str, other_id: str) -> None:
        """The first person is the second one; '': is somebody else again."""
        self._alias.pop(person_id, None)
        if not other_id or other_id == person_id:
            return
        if self.present(other_id) == person_id:  # in a circle what was said last holds
            del self._alias[other_id]
        self._alias[person_id] = other_id
        _forget_oldest(self._alias)

    def match(self, match: Match) -> None:
        """What a recogniser says. Of two ids of one kind it says nothing here: persons are made one by `alias`."""
        if match.one[0] is match.other[0]:
            return
        pair = frozenset((match.one, match.other))
        self._matches.pop(pair, None)
        if match.confidence > 0:
            self._matches[pair] = min(match.confidence, _SURELY)
            _forget_oldest(self._matches)

    def vanish(self, person_id: str) -> None:
        """The person is not tracked any more: what was his or hers may become somebody else's."""
        for kind in (Kind.FACE, Kind.BODY, Kind.VOICE):
            self.link(person_id, kind, "")
        for pair in [pair for pair in self._matches if (Kind.PERSON, person_id) in pair]:
            del self._matches[pair]

    def present(self, person_id: str) -> str:
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

    def strangers_to(self, someone: Someone) -> frozenset[str]:
        """The bodies that are known to be somebody else's."""
        bodies = {name[1] for name in self._links if name[0] is Kind.BODY}
        bodies |= {name[1] for pair in self._matches for name in pair if name[0] is Kind.BODY}
        return frozenset(body_id for body_id in bodies if _differ(someone, self.of_body(body_id)))

    def settled(self, name: str) -> str:
        """What somebody who was called by an id of any kind, a voice's say, is called now."""
        present = self.present(name)
        is_person = present != name or name in self._links.values() or name in self._alias.values()
        return present if is_person else self.of_voice(name).person_id or self.of_body(name).person_id or name

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

    def _neighbours(self, name: Name) -> Iterator[tuple[float, Name]]:
        kind, its_id = name
        if kind is Kind.PERSON:
            yield from ((1.0, other) for other, owner in self._links.items() if self.present(owner) == its_id)
        elif name in self._links:
            yield 1.0, (Kind.PERSON, self.present(self._links[name]))
        for pair, confidence in self._matches.items():
            one, other = map(self._presently, pair)
            if name in (one, other):
                yield confidence, other if one == name else one

    def _presently(self, name: Name) -> Name:
        return (Kind.PERSON, self.present(name[1])) if name[0] is Kind.PERSON else name


def _differ(one: Someone, other: Someone) -> bool:
    both = ((one.person_id, other.person_id), (one.voice_id, other.voice_id), (one.body_id, other.body_id))
    return any(a and b and a != b for a, b in both)


def _forget_oldest(entries: dict) -> None:  # type: ignore[type-arg]
    if len(entries) > _REMEMBERED:
        del entries[next(iter(entries))]
