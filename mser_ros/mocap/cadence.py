"""Which skeletons never came, told by the stamps of those that did: a skeleton has no number of its own."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field

from ..types import NS_PER_S
from .buffer import MAX_BODIES

#: Gaps whose median is the period of a body.
_GAPS = 9
#: A longer gap is a body that was out of sight, not one whose skeletons were lost on the way [ns].
_AWAY_NS = NS_PER_S


@dataclass(slots=True)
class _Body:
    stamp_ns: int
    gaps: deque[int] = field(default_factory=lambda: deque(maxlen=_GAPS))


class Cadence:
    """Counts what is missing between skeletons that come at a steady rate, as after a queue has run over.

    A tracker that leaves out images now and then looks alike. Not thread-safe.
    """

    def __init__(self) -> None:
        self.missed = 0
        self._bodies: OrderedDict[str, _Body] = OrderedDict()

    def note(self, body_id: str, stamp_ns: int) -> None:
        """A skeleton of this body came."""
        body = self._bodies.get(body_id)
        gap_ns = stamp_ns - body.stamp_ns if body else 0
        if body is None or abs(gap_ns) > _AWAY_NS:
            self._bodies[body_id] = _Body(stamp_ns)
            self._bodies.move_to_end(body_id)
            if len(self._bodies) > MAX_BODIES:
                self._bodies.popitem(last=False)
            return
        if gap_ns <= 0:  # it was only late
            self.missed -= gap_ns < 0 < self.missed
            return
        body.stamp_ns = stamp_ns
        period_ns = sorted(body.gaps)[_GAPS // 2] if len(body.gaps) == _GAPS else 0
        if period_ns and (lost := round(gap_ns / period_ns) - 1) > 0:
            self.missed += lost
        body.gaps.append(gap_ns)
