"""Which body is meant: one that a tracker loses and finds again is one body, and of several in view one is chosen."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..types import SkeletonFrame, to_ns
from .anatomy import STANDARD_M, body_height, to_canonical
from .layouts import get_layout

#: A body that a tracker loses for so long at most, and finds again within this share of its size, is the same body.
LOST_S, _NEAR = 0.5, 0.5
#: Frames that tell how far and how large a body is; and who is seen for less than this share of the time of the one who
#: is seen most is not chosen among.
_LOOKS, _SHARE = 15, 0.25


@dataclass
class Part:
    """What was seen of one body in a window; `ids`: under which it was seen, with the number of frames."""

    layout: str
    frames: list[SkeletonFrame]
    ids: list[tuple[int, str]]

    @property
    def body_id(self) -> str:
        seen: Counter[str] = Counter()
        for count, body_id in self.ids:
            seen[body_id] += count
        return min(seen, key=lambda body_id: (-seen[body_id], body_id))

    def since(self, start_ns: int) -> Part:
        """What of it was seen from then on."""
        return replace(self, frames=self.frames[bisect_left(self.frames, start_ns, key=lambda one: one.stamp_ns) :])

    def distance_and_size(self) -> tuple[float, float]:
        """How far it is from the origin of its frame [m], and how large in a camera's eye there [radians]: medians.

        In an image both are told by its height, as a lens as long as the image is high would see a person.
        """
        layout = get_layout(self.layout)
        found = []
        for frame in self.frames[:: max(1, len(self.frames) // _LOOKS)]:
            seen = frame.confidence > 0
            world = frame.positions.astype(np.float64) @ layout.to_world.T
            flat = layout.dimensions == 2
            height = body_height(*to_canonical(world, seen, layout), quantile=0.8 if flat else 0.5)
            away = float(np.linalg.norm(world[seen].mean(axis=0)))
            if height:
                found.append((STANDARD_M / height, height) if flat else (away, height / max(away, 0.1)))
            elif not flat:
                found.append((away, 0.0))
        if not found:
            return float("inf"), 0.0
        distance, size = np.median(found, axis=0)
        return float(distance), float(size)

    def shares_id(self, other: Part) -> bool:
        return any(body_id == other.ids[0][1] for _, body_id in self.ids)

    def goes_on_as(self, other: Part) -> bool:
        """Whether `other` comes after this one and has its id, or begins soon after it, not far from where it was."""
        last, first = self.frames[-1], other.frames[0]
        if self.layout != other.layout or first.stamp_ns <= last.stamp_ns:
            return False
        if self.shares_id(other):
            return True
        if first.stamp_ns - last.stamp_ns > to_ns(LOST_S):
            return False
        here, there = (frame.positions[frame.confidence > 0] for frame in (last, first))
        size = np.linalg.norm(np.ptp(here, axis=0))
        return bool(np.linalg.norm(here.mean(axis=0) - there.mean(axis=0)) < _NEAR * size)


def join(parts: Sequence[Part], is_there: Callable[[Part, Part], bool]) -> list[Part]:
    """The bodies that these are parts of. `is_there`: whether the first is seen, under the id that it had last, while
    the other one is: two stand side by side."""
    bodies: list[Part] = []
    for part in sorted(parts, key=lambda part: part.frames[0].stamp_ns):
        before = [
            body for body in bodies if body.goes_on_as(part) and (body.shares_id(part) or not is_there(body, part))
        ]
        if before:
            # Of several, the one that had this id already, else the one that was seen last.
            best = max(before, key=lambda body: (body.shares_id(part), body.frames[-1].stamp_ns))
            best.frames, best.ids = best.frames + part.frames, best.ids + part.ids
        else:
            bodies.append(part)
    return bodies


def choose(bodies: Sequence[Part], choice: str, *, start_ns: int, body_id: str = "") -> Part | None:
    """The body that is meant by `choice`, one of `settings.BODY_CHOICES`, as each is seen from `start_ns` on: who has
    left before is not meant, unless nobody is in view and it was lost just then. `body_id`: take this body or none."""
    bodies = [body for body in bodies if not body_id or any(name == body_id for _, name in body.ids)]
    for since_ns in (start_ns, start_ns - to_ns(LOST_S)):
        seen = [(part, body) for body in bodies if (part := body.since(since_ns)).frames]
        if seen:
            break
    else:
        return None
    seen.sort(key=lambda pair: (-len(pair[0].frames), pair[0].body_id))
    # What a tracker sees for a moment is nobody.
    there = [(part, body) for part, body in seen if len(part.frames) >= _SHARE * len(seen[0][0].frames)]
    if choice == "only":
        return there[0][1] if len(there) == 1 else None
    if choice == "nearest":
        return min(there, key=lambda pair: pair[0].distance_and_size()[0])[1]
    if choice == "largest":
        return max(there, key=lambda pair: pair[0].distance_and_size()[1])[1]
    return there[0][1]
