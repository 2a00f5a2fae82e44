"""The recent past of every body in view, put in order by time stamp."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
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
#: So many frames of a body from before the history mean that its clock was set back (a bag starts again); and so do,
#: where it was set back by less or somebody else was in view until then, those of so long a time, and so many, that are
#: older than its newest one by that time. Frames that were shuffled on the way hardly ever look so.
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
    resets: int = 0  # the clock of all was set back and the past forgotten


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
    """The frames of one body in one layout, sorted by stamp; as which of all each has `arrived`, and the `last` one."""

    stamps: list[int] = field(default_factory=list)
    frames: list[SkeletonFrame] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    last: int = 0

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

    def insert(self, at: int, frame: SkeletonFrame, arrived: int) -> None:
        self.stamps.insert(at, frame.stamp_ns)
        self.frames.insert(at, frame)
        self.arrived.insert(at, arrived)
        self.last = arrived

    def forget(self, which: slice) -> None:
        del self.stamps[which], self.frames[which], self.arrived[which]


@dataclass(frozen=True, slots=True, eq=False)
class _Stray:
    """A frame whose stamp went back, and as which of all it has `arrived`. `is_late`: it is older than the history, and
    was not taken in."""

    frame: SkeletonFrame
    arrived: int
    is_late: bool


class SkeletonBuffer:
    """Keeps the last `history_s` seconds of each body. The content does not depend on the order of arrival.

    A frame that comes late is put where its stamp belongs, so that a live run sees what a replay of the sorted frames
    sees. `newest_ns` is the latest stamp of any body, None before the first frame.

    Two sources may have clocks that are far apart, and none can be told to be the right one: each body has the time and
    the history of its own frames.
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
        self._strays: list[_Stray] = []

    @property
    def bodies(self) -> frozenset[str]:
        """The ids of the bodies that are remembered."""
        return frozenset(body_id for body_id, _ in self._tracks)

    def push(self, frame: SkeletonFrame) -> None:
        """Take one frame in. Raises `SkeletonError` as `check_frame` does; the buffer is then as before."""
        frame = check_frame(frame, self._settings)
        self.counters.frames += 1
        own_ns = self._newest_of(frame.body_id)
        if (own_ns or self.newest_ns or 0) - frame.stamp_ns > self._history_ns:
            self.counters.late += 1
            self._doubt(frame, is_late=True)
        elif own_ns - frame.stamp_ns > to_ns(_BACK_S):
            self._insert(frame)
            self._doubt(frame, is_late=False)
        else:
            self._strays = [stray for stray in self._strays if stray.frame.body_id != frame.body_id]
            self._insert(frame)

    def _doubt(self, frame: SkeletonFrame, *, is_late: bool) -> None:
        """Its stamp went back. If those of others of its body do so, too, it is the clock that was set back: that of
        all bodies, or of this one where others go on as before."""
        body_id = frame.body_id
        mine = [stray for stray in self._strays if stray.frame.body_id == body_id]
        if mine and frame.stamp_ns < mine[-1].frame.stamp_ns - to_ns(_DISORDER_S):
            mine = []
        mine.append(_Stray(frame, self.counters.frames, is_late))
        rest = [stray for stray in self._strays if stray.frame.body_id != body_id]
        self._strays = [*rest, *mine][-self._limit :]
        is_far = sum(stray.is_late for stray in mine) >= STRAYS_BEFORE_RESET
        is_long = len(mine) > _BACK_FRAMES and frame.stamp_ns - mine[0].frame.stamp_ns >= to_ns(_BACK_S)
        if not is_far and not is_long:
            return
        # One that strayed once, long ago, says nothing of the time now.
        doubtful = {stray.frame.body_id for stray in self._strays if stray.arrived >= mine[0].arrived}
        others = [track for (name, _), track in self._tracks.items() if name not in doubtful]
        if any(track.arrived[0] < mine[0].arrived < track.last for track in others):
            self._set_back(mine, {body_id})
        elif is_long or not any(self._is_in_view(track) for track in others):
            self.counters.resets += 1
            strays = [stray for stray in self._strays if stray.frame.body_id in doubtful]
            self._set_back(strays, {name for name, _ in self._tracks} | doubtful)

    def _is_in_view(self, track: _Track) -> bool:
        """Whether a frame of it may come any moment, as far as the newest one of all tells."""
        return self.newest_ns is not None and self.newest_ns - track.stamps[-1] <= to_ns(_BACK_S)

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
        if not frame.confidence.any():
            self.counters.unseen += 1
            # Nothing is remembered of it by which a stamp of far ahead could be told from the time.
            if not self._tracks or frame.stamp_ns - (self.newest_ns or 0) <= self._history_ns:
                self.newest_ns = max(self.newest_ns or 0, frame.stamp_ns)
            return
        self.newest_ns = max(self.newest_ns or 0, frame.stamp_ns)
        track = self._tracks.setdefault((frame.body_id, frame.layout), _Track())
        at = bisect_left(track.stamps, frame.stamp_ns)
        if at < len(track.stamps) and track.stamps[at] == frame.stamp_ns:
            self.counters.duplicate += 1
            return
        self.counters.reordered += at < len(track.stamps)
        track.insert(at, frame, self.counters.frames)
        self._trim(frame.body_id)

    def _trim(self, body_id: str) -> None:
        """Forget what of a body is older than the history, who was not seen any more while that went by, and the oldest
        of what is too much."""
        oldest_ns = self._newest_of(body_id) - self._history_ns
        gone = 0
        for track in [track for (name, _), track in self._tracks.items() if name == body_id]:
            past = bisect_left(track.stamps, oldest_ns)
            gone = max([gone, *track.arrived[:past]])
            excess = max(0, len(track.stamps) - past - self._limit)
            self.counters.evicted += excess
            track.forget(slice(past + excess))
        if gone:
            self._keep(lambda track: bool(track.stamps) and track.last > gone)
        if len(self._tracks) > MAX_BODIES:
            stalest = min(self._tracks.values(), key=lambda track: track.last)
            self.counters.evicted += len(stalest.stamps)
            self._keep(lambda track: track is not stalest)

    def _keep(self, is_kept: Callable[[_Track], bool]) -> None:
        """Forget the other bodies; the time is theirs no more."""
        before = self._tracks
        self._tracks = {key: track for key, track in before.items() if is_kept(track)}
        if len(self._tracks) < len(before):
            self.newest_ns = max((track.stamps[-1] for track in self._tracks.values()), default=None)

    def _set_back(self, strays: Sequence[_Stray], bodies: Collection[str]) -> None:
        """Go on with the frames that showed that the clock of these bodies was set back: what of them is later came
        before."""
        self._strays = [stray for stray in self._strays if stray.frame.body_id not in bodies]
        self.counters.late -= sum(stray.is_late for stray in strays)
        first_ns = min(stray.frame.stamp_ns for stray in strays)
        for (name, _), track in self._tracks.items():
            if name in bodies:
                track.forget(slice(bisect_left(track.stamps, first_ns), None))
        self._keep(lambda track: bool(track.stamps))
        self.newest_ns = max((track.stamps[-1] for track in self._tracks.values()), default=None)
        for stray in sorted(strays, key=lambda stray: stray.frame.stamp_ns):
            self._insert(stray.frame)
