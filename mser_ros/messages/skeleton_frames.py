"""Bodies from TF frames: a frame for each joint, found by the pattern of its name. Nothing here imports ROS."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import SkeletonError
from ..mocap.layouts import Layout
from ..types import SkeletonFrame, to_ns
from .conversions import MAX_NAME, time_to_ns

#: Bounds of memory; a joint's transform that is older than the newest by more than this is not that moment's [s].
_MAX_FRAMES, _MAX_BODIES, _OLD_S = 4_000, 64, 0.1
#: A stamp that goes back by more is a new run.
_BACK_NS = to_ns(1.0)
#: Joints that are stamped one by one, when they are sent, are of one moment within this time.
_MOMENT_NS = to_ns(0.005)
#: Beyond all bounds, so that no sum of such places is more than a float32 holds.
_FAR = 1e30
#: A body of fewer joints is none.
_LEAST_JOINTS = 4
#: How names of a robot's own frames end, which a pattern such as '{joint}_{body}' fits as well.
_OWN = ("link", "frame", "joint", "optical", "tool")


@dataclass(frozen=True)
class _Transform:
    """From a frame to its parent: `rotation` (3, 3) and `place` (3,). `stamp_ns`: None where it does not move."""

    parent: str
    rotation: np.ndarray
    place: np.ndarray
    stamp_ns: int | None


@dataclass
class _Body:
    """What is known of one body: the moment that is being filled, and with which of its joints."""

    stamp_ns: int = -1
    joints: set[int] = field(default_factory=set)
    is_given: bool = False


class FrameTree:
    """Keeps the newest transform of each frame of a body, and gives a body's joints when a moment is complete.

    `pattern`: how frames are named, with '{joint}' and, where there may be several bodies, '{body}'. A joint's place
    is told in the frame of the layout's root where that is above it, else in the first frame above that is none of the
    body's. A moment has the stamp of the first joint that came; it is complete with all joints but the root, or when
    the next one begins: with a joint that it has, or with one stamped 5 ms later. Raises `SkeletonError` for a
    pattern that cannot be used.
    """

    def __init__(self, pattern: str, layout: Layout) -> None:
        rest = pattern.replace("{joint}", "", 1).replace("{body}", "", 1)
        if "{joint}" not in pattern or "{" in rest or "}" in rest:
            raise SkeletonError(
                f"'{pattern}' is no pattern for the names of frames: write '{{joint}}' where a joint's name stands, "
                "and '{body}' where a body's does"
            )
        self._layout = layout
        self._pattern = pattern
        self._root = layout.parents.index(-1)
        # The longest name first: of 'left_elbow' and 'elbow' the one that is meant.
        self._by_length = sorted(layout.joints, key=len, reverse=True)
        self._parsed: dict[str, tuple[str, int] | None] = {}
        self._transforms: dict[str, _Transform] = {}
        self._bodies: dict[str, _Body] = {}

    def add(self, transforms: Iterable[Any], *, is_static: bool = False) -> list[SkeletonFrame]:
        """Take transforms in; the bodies that are complete now. `is_static`: they hold from now on, at any time."""
        touched: dict[str, None] = {}
        done: list[SkeletonFrame | None] = []
        for item in transforms:
            name, parent = str(item.child_frame_id).lstrip("/"), str(item.header.frame_id).lstrip("/")
            if not name or max(len(name), len(parent)) > MAX_NAME:
                continue
            stamp_ns = time_to_ns(item.header.stamp)
            found = self._parse(name)
            if found and found[1] != self._root and not is_static:
                body_id, joint = found
                body = self._bodies.setdefault(body_id, _Body())
                is_back = stamp_ns < body.stamp_ns - _BACK_NS
                is_next = joint in body.joints or not body.joints or stamp_ns - body.stamp_ns > _MOMENT_NS
                if (stamp_ns > body.stamp_ns and is_next) or is_back:
                    if is_back:
                        self._forget_moves(body_id)
                    elif body.joints and not body.is_given:
                        done.append(self._frame(body_id, body))
                    body.stamp_ns, body.joints, body.is_given = stamp_ns, set(), False
                body.joints.add(joint)
                touched[body_id] = None
            self._keep(name, item, parent, None if is_static else stamp_ns)
        for body_id in touched:
            body = self._bodies[body_id]
            known = len(body.joints | self._static(body_id) | {self._root})
            if not body.is_given and known == len(self._layout.joints):
                body.is_given = True
                done.append(self._frame(body_id, body))
        while len(self._bodies) > _MAX_BODIES:
            del self._bodies[min(self._bodies, key=lambda name: self._bodies[name].stamp_ns)]
        return [frame for frame in done if frame]

    def _parse(self, name: str) -> tuple[str, int] | None:
        """Body and joint of a frame; None for one that is no joint of a body."""
        if name not in self._parsed:
            if len(self._parsed) >= _MAX_FRAMES:
                self._parsed.clear()
            self._parsed[name] = self._match(name)
        return self._parsed[name]

    def _match(self, name: str) -> tuple[str, int] | None:
        for joint in self._by_length:
            before, there, after = self._pattern.replace("{joint}", joint).partition("{body}")
            if not there:
                if name == before:
                    return "", self._layout.joints.index(joint)
            elif len(name) > len(before) + len(after) and name.startswith(before) and name.endswith(after):
                body_id = name[len(before) : len(name) - len(after)]
                if not body_id.endswith(_OWN) and "/" not in body_id:
                    return body_id, self._layout.joints.index(joint)
        return None

    def _name(self, body_id: str, joint: str) -> str:
        return self._pattern.replace("{joint}", joint).replace("{body}", body_id)

    def _keep(self, name: str, item: Any, parent: str, stamp_ns: int | None) -> None:
        move, turn = item.transform.translation, item.transform.rotation
        self._transforms.pop(name, None)  # so that the oldest stand first
        if not all(abs(value) < _FAR for value in (move.x, move.y, move.z, turn.x, turn.y, turn.z, turn.w)):
            return  # where the frame is, is not known
        rotation = _rotation(turn.x, turn.y, turn.z, turn.w)
        place = np.array([move.x, move.y, move.z], np.float64)
        self._transforms[name] = _Transform(parent, rotation, place, stamp_ns)
        if len(self._transforms) > _MAX_FRAMES:
            del self._transforms[next(iter(self._transforms))]

    def _forget_moves(self, body_id: str) -> None:
        """Where the joints of a body were."""
        for joint in self._layout.joints:
            name = self._name(body_id, joint)
            if name in self._transforms and self._transforms[name].stamp_ns is not None:
                del self._transforms[name]

    def _static(self, body_id: str) -> set[int]:
        """Joints that need no news."""
        found = set()
        for row, joint in enumerate(self._layout.joints):
            known = self._transforms.get(self._name(body_id, joint))
            if known and known.stamp_ns is None:
                found.add(row)
        return found

    def _frame(self, body_id: str, body: _Body) -> SkeletonFrame | None:
        """The body at its moment, None where too little is known of it."""
        places = [self._resolve(body_id, joint, body.stamp_ns) for joint in self._layout.joints]
        bases = [place[0] for row, place in enumerate(places) if place and row != self._root]
        if len(bases) < _LEAST_JOINTS:
            return None
        base = max(sorted({*bases}), key=bases.count)
        root = self._name(body_id, self._layout.joints[self._root])
        if base == root:
            places[self._root] = root, np.zeros(3)
        seen = np.array([place is not None and place[0] == base for place in places])
        positions = np.array([place[1] if place else np.full(3, np.nan) for place in places], np.float32)
        return SkeletonFrame(
            stamp_ns=body.stamp_ns,
            body_id=body_id,
            layout=self._layout.name,
            positions=np.where(seen[:, None], positions, np.float32(np.nan)),
            confidence=seen.astype(np.float32),
            frame_id=base,
        )

    def _resolve(self, body_id: str, joint: str, stamp_ns: int) -> tuple[str, np.ndarray] | None:
        """In which frame a joint's place is told, and the place; None where it is not known at that moment."""
        name, root = self._name(body_id, joint), self._name(body_id, self._layout.joints[self._root])
        before, after = (part.replace("{body}", body_id) for part in self._pattern.split("{joint}"))
        place = np.zeros(3)
        for _ in range(64):  # frames that go round in a circle have no end
            known = self._transforms.get(name)
            if known is None or (known.stamp_ns is not None and abs(stamp_ns - known.stamp_ns) > to_ns(_OLD_S)):
                return None
            place, name = known.rotation @ place + known.place, known.parent
            is_own = name in self._transforms and name.startswith(before) and name.endswith(after)
            if name == root or not is_own:
                return name, place
        return None


def _rotation(x: float, y: float, z: float, w: float) -> np.ndarray:
    """The matrix of a quaternion; one of no length turns nothing, as trackers send that know places only."""
    norm = float(np.sqrt(x * x + y * y + z * z + w * w))
    if not norm:
        return np.eye(3)
    x, y, z, w = x / norm, y / norm, z / norm, w / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
