"""A body as a stick figure, as it is sent and as the model sees it, in numbers that a page draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import SkeletonError
from ..evaluation.skeleton_plots import FRONT, side_of, sides_of
from ..mocap.canonical import canonicalise
from ..mocap.layouts import JOINTS, get_layout
from ..types import NS_PER_S, SkeletonFrame, SkeletonSequence, to_ns

#: The canonical body is made of so much of the past [s], at this rate; a body is gone after so long [s].
_WINDOW_S, _RATE_HZ, _GONE_S = 1.0, 15.0, 2.0
#: Half the height of the picture of a canonical body [m].
_REACH_M = 1.15


class BodyFigure:
    """The body that was seen last, of several the one that came into view first. Not thread-safe."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._frames: deque[SkeletonFrame] = deque()

    def push(self, frame: SkeletonFrame) -> None:
        """Take a frame. What cannot be drawn with the frames before it begins anew."""
        if self._frames:
            last = self._frames[-1]
            since_s = (frame.stamp_ns - last.stamp_ns) / NS_PER_S
            is_same = (frame.body_id, frame.layout) == (last.body_id, last.layout)
            if not is_same and 0 <= since_s < _GONE_S:
                return
            if not is_same or not 0 < since_s < _GONE_S or frame.positions.shape != last.positions.shape:
                self._frames.clear()
        self._frames.append(frame)
        while self._frames[-1].stamp_ns - self._frames[0].stamp_ns > to_ns(_WINDOW_S):
            self._frames.popleft()

    def draw(self) -> dict[str, Any] | None:
        """`sent` and `canonical`: each points (x right, y up, of a person seen from the front, in -1..1; None where not
        seen), bones (pairs of points) and the side of each point; None where no body is seen, or none can be made."""
        if not self._frames:
            return None
        newest = self._frames[-1]
        told: dict[str, Any] = {"id": newest.body_id, "layout": newest.layout, "sent": None, "canonical": None}
        try:
            layout = get_layout(newest.layout)
            layout.check_shape(newest.positions[None].shape)
        except SkeletonError as error:
            return told | {"problem": str(error)}
        seen = np.isfinite(newest.positions).all(axis=1) & (newest.confidence > 0)
        world = np.where(seen[:, None], newest.positions, 0.0) @ layout.to_world.T
        told["sent"] = _sticks(_centred(world, seen), seen, layout.parents, sides_of(layout))
        sequence = SkeletonSequence.of(list(self._frames), layout=newest.layout, body_id=newest.body_id)
        motion = canonicalise(sequence, rate_hz=_RATE_HZ, window_s=_WINDOW_S, end_ns=newest.stamp_ns)
        if motion is not None:
            parents, sides = get_layout("canonical15").parents, [side_of(joint) for joint in JOINTS]
            told["canonical"] = _sticks(motion.positions[-1] / _REACH_M, motion.mask[-1], parents, sides)
        return told


def _centred(world: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """In the middle of the picture, as large as that."""
    if not seen.any():
        return world
    low, high = world[seen].min(axis=0), world[seen].max(axis=0)
    reach = max(float((high - low)[list(FRONT)].max()) / 2, 1e-6)
    centred: np.ndarray = (world - (low + high) / 2) / (1.1 * reach)
    return centred


def _sticks(body: np.ndarray, seen: np.ndarray, parents: Sequence[int], sides: Sequence[str]) -> dict[str, Any]:
    points = [
        [float(place[FRONT[0]]), float(place[FRONT[1]])] if is_seen else None
        for place, is_seen in zip(body, seen, strict=True)
    ]
    bones = [[joint, parent] for joint, parent in enumerate(parents) if parent >= 0]
    return {"points": points, "bones": bones, "sides": list(sides), "seen": int(seen.sum())}
