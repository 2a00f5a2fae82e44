"""Whether several sources are heard at the same time, by how their samples are counted."""

from __future__ import annotations

from collections import deque

from ..types import AudioChunk

#: Where several sources are heard, each goes on where its own last block ended, and not where the last one of all did:
#: of so many blocks at least so many do that.
_LATEST, _CROSSED = 32, 5


class Crossing:
    """Looks at the blocks of one topic in the order of their arrival."""

    def __init__(self) -> None:
        self._ends: deque[int] = deque(maxlen=_LATEST)  # where the count of each of the latest blocks ended
        self._crossings: deque[bool] = deque(maxlen=_LATEST)

    def note(self, chunk: AudioChunk) -> None:
        """The next block."""
        first = chunk.first_sample
        self._crossings.append(first > 0 and first in self._ends and first != self._ends[-1])
        self._ends.append(first + chunk.frames)

    @property
    def is_crossed(self) -> bool:
        """Whether the latest blocks seem to come from several sources that count, one between those of the other. What
        is repeated, or comes in another order again and again, looks alike."""
        return sum(self._crossings) >= _CROSSED
