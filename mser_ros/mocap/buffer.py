"""The recent past of every body in view, put in order by time stamp."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import SkeletonError
from ..settings import MocapSettings
from ..types import SkeletonFrame, SkeletonSequence, to_ns
from .layouts import get_layout

#: Bounds of memory: no tracker is known to be faster, no robot to follow more people.
MAX_RATE_HZ = 240
MAX_BODIES = 64
#: So many frames in a row from before the history mean that the clock was set back (a bag starts again).
STRAYS_BEFORE_RESET = 3


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
    if np.any((confidence < 0) | (confidence > 1)):
        raise SkeletonError(
            f"joint confidences must lie in 0 to 1, not {confidence.min():g} to {confidence.max():g}: "
            "divide by the source's highest value"
        )
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


class SkeletonBuffer:
    """Keeps the last `history_s` seconds of each body. The content does not depend on the order of arrival.

    A frame that comes late is put where its stamp belongs, so that a live run sees what a replay of the sorted frames
    sees. `newest_ns` is the latest stamp of any body, None before the first frame.
    """

    def __init__(self, settings: MocapSettings, *, history_s: float) -> None:
        self.counters = SkeletonCounters()
        self.newest_ns: int | None = None
        self._settings = settings
        self._history_ns = to_ns(history_s)
        self._limit = int(history_s * MAX_RATE_HZ) + 1
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._strays: list[SkeletonFrame] = []

    def push(self, frame: SkeletonFrame) -> None:
        """Take one frame in. Raises `SkeletonError` as `check_frame` does; the buffer is then as before."""
        frame = check_frame(frame, self._settings)
        self.counters.frames += 1
        if self.newest_ns is not None and frame.stamp_ns < self.newest_ns - self._history_ns:
            self._strays.append(frame)
            self.counters.late += 1
            if len(self._strays) == STRAYS_BEFORE_RESET:
                self._reset()
            return
        self._strays.clear()
        self._insert(frame)

    def window(self, start_ns: int, end_ns: int) -> SkeletonSequence | None:
        """The frames of start to end, both included, of the body that has most of them (of several: the first id)."""
        best: tuple[tuple[str, str], list[SkeletonFrame]] | None = None
        for key in sorted(self._tracks):
            track = self._tracks[key]
            frames = track.frames[bisect_left(track.stamps, start_ns) : bisect_right(track.stamps, end_ns)]
            if frames and (best is None or len(frames) > len(best[1])):
                best = (key, frames)
        if best is None:
            return None
        (body_id, layout), frames = best
        return SkeletonSequence(
            stamps_ns=np.array([frame.stamp_ns for frame in frames], np.int64),
            positions=np.stack([frame.positions for frame in frames]),
            confidence=np.stack([frame.confidence for frame in frames]),
            layout=layout,
            body_id=body_id,
        )

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
        """Begin again with the frames that showed that the clock was set back."""
        strays, self._strays = sorted(self._strays, key=lambda frame: frame.stamp_ns), []
        self.counters.resets += 1
        self.counters.late -= len(strays)
        self.newest_ns = None
        self._tracks.clear()
        for frame in strays:
            self._insert(frame)
