"""The recent past of every body in view, put in order by time stamp."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import SkeletonError
from ..settings import MocapSettings
from ..types import SkeletonFrame, SkeletonSequence, to_ns
from .bodies import LOST_S, Part, choose, join
from .layouts import check_confidence, get_layout

#: Bounds of memory: no tracker is known to be faster, no robot to follow more people.
MAX_RATE_HZ = 240
MAX_BODIES = 64
#: Nobody is lost within this, nor within so many of the usual distances between two frames.
_MOMENT_S, _MISSED = 0.1, 2.5
#: So many frames in a row from before the history mean that the clock was set back (a bag starts again); and so do,
#: where it was set back by less, those of a body of so long a time, and so many, that are older than its newest one by
#: that time. Frames that were shuffled on the way hardly ever look so.
STRAYS_BEFORE_RESET = 3
_BACK_S, _BACK_FRAMES = 1.0, 10
#: Frames that come late do so in about the order of their stamps, if it is the clock that was set back.
_DISORDER_S = 0.2


@dataclass
class SkeletonCounters:
    """What became of the frames since the start."""

    frames: int = 0  # all that passed the check
    duplicate: int = 0  # dropped: a frame of that body and stamp is here
    reordered: int = 0  # kept: came after a later one of the same body
    late: int = 0  # dropped: older than the history
    unseen: int = 0  # dropped: no joint is seen
    evicted: int = 0  # dropped from memory before their time: too many frames or bodies
    resets: int = 0  # the clock was set back and the past forgotten


def check_frame(frame: SkeletonFrame, settings: MocapSettings) -> SkeletonFrame:
    """The frame with its layout named and every joint that was not seen at confidence 0, as other parts expect it.

    Joints that are not finite, or below `settings.min_confidence`, count as not seen. Raises `SkeletonError` that
    names the cure: an unknown layout, a wrong number of joints or dimensions, confidences of a wrong number or range.
    """
    layout = get_layout(frame.layout or settings.layout)
    positions = np.asarray(frame.positions, np.float32)
    layout.check_shape(positions.shape if positions.ndim == 2 else positions.shape[:1])
    confidence = np.asarray(frame.confidence, np.float32)
    if confidence.shape != (len(layout.joints),):
        raise SkeletonError(
            f"a skeleton of layout '{layout.name}' needs a confidence for each of its {len(layout.joints)} joints, "
            f"not {confidence.size}: send one for each joint"
        )
    check_confidence(confidence)
    if frame.stamp_ns < 0:
        raise SkeletonError(f"a skeleton stamped {frame.stamp_ns} ns: its source must fill header.stamp")
    # A comparison with NaN is false, so that an undefined confidence counts as not seen as well.
    seen = np.isfinite(positions).all(axis=1) & (confidence >= settings.min_confidence) & (confidence > 0)
    return replace(
        frame,
        layout=layout.name,
        positions=np.where(seen[:, None], positions, np.float32(0)),
        confidence=np.where(seen, confidence, np.float32(0)),
    )


@dataclass
class _Track:
    """The frames of one body in one layout, sorted by stamp."""

    stamps: list[int] = field(default_factory=list)
    frames: list[SkeletonFrame] = field(default_factory=list)

    def pieces(self, start_ns: int, end_ns: int) -> Iterator[list[SkeletonFrame]]:
        """The frames of start to end, both included, cut where the body was not seen for a moment."""
        frames = self.frames[bisect_left(self.stamps, start_ns) : bisect_right(self.stamps, end_ns)]
        apart = np.diff([frame.stamp_ns for frame in frames])
        longest_ns = max(to_ns(_MOMENT_S), _MISSED * float(np.median(apart))) if len(apart) else 0.0
        begin = 0
        for at in range(1, len(frames) + 1):
            if at == len(frames) or apart[at - 1] > longest_ns:
                yield frames[begin:at]
                begin = at

    def has(self, start_ns: int, end_ns: int) -> bool:
        """Whether there is a frame of start to end, both included."""
        return bisect_left(self.stamps, start_ns) < bisect_right(self.stamps, end_ns)

    def forget_from(self, stamp_ns: int) -> None:
        at = bisect_left(self.stamps, stamp_ns)
        del self.stamps[at:], self.frames[at:]


class SkeletonBuffer:
    """Keeps the last `history_s` seconds of each body. The content does not depend on the order of arrival.

    A frame that comes late is put where its stamp belongs, so that a live run sees what a replay of the sorted frames
    sees. `newest_ns` is the latest stamp of any body, None before the first frame.
    """

    def __init__(self, settings: MocapSettings, *, history_s: float, choice: str = "most") -> None:
        """`choice`: which of several bodies a window is of, one of `settings.BODY_CHOICES`."""
        self.counters = SkeletonCounters()
        self.newest_ns: int | None = None
        self._settings = settings
        self._choice = choice
        self._history_ns = to_ns(history_s)
        self._limit = int(history_s * MAX_RATE_HZ) + 1
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._strays: list[tuple[bool, SkeletonFrame]] = []  # with whether they are older than the history

    @property
    def bodies(self) -> frozenset[str]:
        """The ids of the bodies that are remembered."""
        return frozenset(body_id for body_id, _ in self._tracks)

    def push(self, frame: SkeletonFrame) -> None:
        """Take one frame in. Raises `SkeletonError` as `check_frame` does; the buffer is then as before."""
        frame = check_frame(frame, self._settings)
        self.counters.frames += 1
        if self.newest_ns is not None and frame.stamp_ns < self.newest_ns - self._history_ns:
            self.counters.late += 1
            self._doubt(frame, is_late=True)
        elif self._newest_of(frame.body_id) - frame.stamp_ns > to_ns(_BACK_S):
            self._insert(frame)
            self._doubt(frame, is_late=False)
        else:
            self._strays = [(late, other) for late, other in self._strays if other.body_id != frame.body_id]
            self._insert(frame)

    def _doubt(self, frame: SkeletonFrame, *, is_late: bool) -> None:
        """Its stamp went back. If those of others do so, too, it is the clock that was set back."""
        mine = [other for _, other in self._strays if other.body_id == frame.body_id]
        if mine and frame.stamp_ns < mine[-1].stamp_ns - to_ns(_DISORDER_S):
            self._strays = [(late, other) for late, other in self._strays if other.body_id != frame.body_id]
            mine = []
        self._strays = [*self._strays[-self._limit :], (is_late, frame)]
        is_long = len(mine) >= _BACK_FRAMES and frame.stamp_ns - mine[0].stamp_ns >= to_ns(_BACK_S)
        if is_long or sum(late for late, _ in self._strays) == STRAYS_BEFORE_RESET:
            self._reset()

    def window(
        self,
        start_ns: int,
        end_ns: int,
        *,
        since_ns: int | None = None,
        body_id: str = "",
        others: Collection[str] = (),
    ) -> SkeletonSequence | None:
        """The frames of start to end, both included, of the body that has most of them (of several: the first id), or
        that the buffer's `choice` is for.

        `since_ns`: with what was seen before start, from then on, of the body that is there from start to end.
        `body_id`: take this body or none. `others`: ids of bodies that are not meant.

        A body that a tracker lost and found again under another id, soon and near where it was, is one body; it has the
        id under which it was seen most.
        """
        parts = [
            Part(layout, frames, [(len(frames), name)])
            for (name, layout), track in sorted(self._tracks.items())
            if name not in others
            for frames in track.pieces(start_ns if since_ns is None else since_ns, end_ns)
        ]
        chosen = choose(join(parts, self._is_there), self._choice, start_ns=start_ns, body_id=body_id)
        if chosen is None:
            return None
        return SkeletonSequence.of(chosen.frames, layout=chosen.layout, body_id=chosen.body_id)

    def _is_there(self, body: Part, other: Part) -> bool:
        """Whether this body, under the id that it had last, is seen while the other one is: two stand side by side."""
        track = self._tracks[body.ids[-1][1], body.layout]
        return track.has(other.frames[0].stamp_ns, other.frames[-1].stamp_ns)

    def newest(self, body_id: str) -> SkeletonFrame | None:
        """The newest frame of a body, unless it was lost since."""
        tracks = [track for (name, _), track in self._tracks.items() if name == body_id]
        frame = max((track.frames[-1] for track in tracks), key=lambda frame: frame.stamp_ns, default=None)
        if frame is None or self.newest_ns is None or self.newest_ns - frame.stamp_ns > to_ns(LOST_S):
            return None
        return frame

    def _newest_of(self, body_id: str) -> int:
        """The newest stamp of a body; 0 where nothing is known of it."""
        return max((track.stamps[-1] for (name, _), track in self._tracks.items() if name == body_id), default=0)

    def _insert(self, frame: SkeletonFrame) -> None:
        self.newest_ns = frame.stamp_ns if self.newest_ns is None else max(self.newest_ns, frame.stamp_ns)
        if not frame.confidence.any():
            self.counters.unseen += 1
        else:
            track = self._tracks.setdefault((frame.body_id, frame.layout), _Track())
            at = bisect_left(track.stamps, frame.stamp_ns)
            if at < len(track.stamps) and track.stamps[at] == frame.stamp_ns:
                self.counters.duplicate += 1
                return
            self.counters.reordered += at < len(track.stamps)
            track.stamps.insert(at, frame.stamp_ns)
            track.frames.insert(at, frame)
        self._trim()

    def _trim(self) -> None:
        """Forget what is older than the history, and the oldest of what is too much."""
        assert self.newest_ns is not None
        oldest_ns = self.newest_ns - self._history_ns
        for key, track in list(self._tracks.items()):
            past = bisect_left(track.stamps, oldest_ns)
            excess = max(0, len(track.stamps) - past - self._limit)
            self.counters.evicted += excess
            del track.stamps[: past + excess], track.frames[: past + excess]
            if not track.stamps:
                del self._tracks[key]
        if len(self._tracks) > MAX_BODIES:
            stalest = min(self._tracks, key=lambda key: (self._tracks[key].stamps[-1], key))
            self.counters.evicted += len(self._tracks.pop(stalest).stamps)

    def _reset(self) -> None:
        """Go on with the frames that showed that the clock was set back: what is later than they are came before."""
        strays, self._strays = self._strays, []
        self.counters.resets += 1
        self.counters.late -= sum(late for late, _ in strays)
        first_ns = min(frame.stamp_ns for _, frame in strays)
        for key, track in list(self._tracks.items()):
            track.forget_from(first_ns)
            if not track.stamps:
                del self._tracks[key]
        self.newest_ns = max((track.stamps[-1] for track in self._tracks.values()), default=None)
        for _, frame in sorted(strays, key=lambda stray: stray[1].stamp_ns):
            self._insert(frame)
