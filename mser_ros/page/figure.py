"""Bodies as stick figures, as they are sent and as the model sees them, in numbers that a page draws."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import SkeletonError
from ..evaluation.skeleton_plots import FRONT, side_of, sides_of
from ..mocap.anatomy import to_canonical
from ..mocap.canonical import canonicalise, turn_ahead
from ..mocap.layouts import JOINTS, get_layout
from ..types import SkeletonFrame, SkeletonSequence, to_ns

#: The canonical body is made of so much of the past [s], at this rate; a body is gone after so long [s].
_WINDOW_S, _RATE_HZ, _GONE_S = 1.0, 15.0, 2.0
#: Bodies that are drawn, at most: of more, those that came into view first.
_MOST = 4
#: Half the height of the picture of a canonical body [m].
_REACH_M = 1.15


class BodyFigures:
    """The bodies in view. Not thread-safe."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._bodies: dict[str, deque[SkeletonFrame]] = {}
        self._drawings: dict[str, dict[str, Any]] = {}
        self._moved: dict[str, None] = {}  # since they were drawn, who has waited longest first
        self._seen_s: dict[str, float] = {}

    def push(self, frame: SkeletonFrame, now_s: float) -> None:
        """Take a frame that came at `now_s`, which counts, as clocks of cameras may differ. What cannot be drawn with
        the frames of its body before it begins anew."""
        for name in [name for name, seen_s in self._seen_s.items() if now_s - seen_s > _GONE_S]:
            del self._bodies[name], self._seen_s[name]
            self._drawings.pop(name, None)
            self._moved.pop(name, None)
        frames = self._bodies.get(frame.body_id)
        if frames is None:
            if len(self._bodies) == _MOST:
                return
            frames = self._bodies[frame.body_id] = deque()
        elif (
            frame.layout != frames[-1].layout
            or frame.positions.shape != frames[-1].positions.shape
            or frame.stamp_ns <= frames[-1].stamp_ns
        ):
            frames.clear()
        frames.append(frame)
        self._seen_s[frame.body_id] = now_s
        self._moved.setdefault(frame.body_id)
        while frames[-1].stamp_ns - frames[0].stamp_ns > to_ns(_WINDOW_S):
            frames.popleft()

    def draw(self) -> list[dict[str, Any]]:
        """Of each body, in the order in which they came into view: `id`, `layout`, `sent` and `canonical`, these with
        points (x right, y up, of a person seen from the front, in -1..1; None where not seen), bones (pairs of points)
        and the side of each point; None where none can be made, with a `problem` where the frames are wrong.

        Those that moved are drawn anew in turn, one at each call, so that several cost no more than one.
        """
        new = [name for name in self._bodies if name not in self._drawings]
        for name in new or list(self._moved)[:1]:
            self._moved.pop(name, None)
            self._drawings[name] = _drawn(list(self._bodies[name]))
        return [self._drawings[name] for name in self._bodies]


def _drawn(frames: list[SkeletonFrame]) -> dict[str, Any]:
    newest = frames[-1]
    told: dict[str, Any] = {"id": newest.body_id, "layout": newest.layout, "sent": None, "canonical": None}
    try:
        layout = get_layout(newest.layout)
        layout.check_shape(newest.positions[None].shape)
    except SkeletonError as error:
        return told | {"problem": str(error)}
    seen = np.isfinite(newest.positions).all(axis=1) & (newest.confidence > 0)
    world = np.where(seen[:, None], newest.positions, 0.0) @ layout.to_world.T
    # Whichever way the person faces, or a source's axes point: both pictures show the front, so none is a mirror of the
    # other.
    joints, mask = to_canonical(world, seen, layout)
    turn = turn_ahead(joints[None], mask[None])
    front = world if turn is None else world @ turn.T
    told["sent"] = _sticks(_centred(front, seen), seen, layout.parents, sides_of(layout))
    sequence = SkeletonSequence.of(frames, layout=newest.layout, body_id=newest.body_id)
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
