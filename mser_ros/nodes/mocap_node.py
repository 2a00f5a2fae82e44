"""The mocap node: skeletons of any tracker in; checked skeletons for the emotion node out."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from mser_msgs.msg import Skeleton

from ..errors import SkeletonError
from ..messages import conversions
from ..messages.hri import ids_from_msg
from ..messages.skeleton_topics import SKELETON_2D, SKELETON_TYPES, TF, SkeletonDecoder
from ..mocap.cadence import Cadence
from ..mocap.stream import SkeletonStream
from ..settings import MocapSettings
from .base import PerceptionNode
from .run import run_nodes
from .subscriptions import Flow, InputTopic, find_type, type_name

_DEPTH = 128


class MocapNode(PerceptionNode):
    """Subscribes `skeleton_in` (Skeleton, or what `SKELETON_TYPES` lists) and, where their packages are installed,
    `camera_info`, `tf_static`, and `skeleton2d` of each body that ROS4HRI tracks; publishes `skeleton` (Skeleton with
    its layout named and checked, and confidence 0 wherever a joint was not seen)."""

    settings: MocapSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("mocap", MocapSettings, **arguments)

    def setup(self) -> None:
        self._decoder = SkeletonDecoder(self.settings)
        self._stream = SkeletonStream(self.settings, on_note=self.health.warn)
        self._cadence = Cadence()
        self._bodies: dict[str, InputTopic] = {}
        lacking = {name.partition("/")[0] for name in SKELETON_TYPES if find_type(name) is None}
        self._lacking = ", ".join(sorted(lacking))
        self._skeleton = self.outputs.open(Skeleton, "skeleton", depth=_DEPTH)

    def connect(self) -> None:
        self._source = self.subscribe(
            Skeleton,
            "skeleton_in",
            self._on_message,
            depth=_DEPTH,
            flow=Flow.AT_TIMES,
            source="the tracker",
            others=SKELETON_TYPES[1:],
        )
        beside: Any = {"flow": Flow.OPTIONAL, "source": "the tracker"}
        if info := find_type("sensor_msgs/msg/CameraInfo"):
            self.subscribe(info, "camera_info", self._decoder.set_camera, depth=1, **beside)
        if frames := find_type(TF):
            self.subscribe(frames, "/tf_static", self._decoder.add_static_frames, depth=_DEPTH, kept=True, **beside)
        if (ids := find_type("hri_msgs/msg/IdsList")) and find_type(SKELETON_2D):
            self._tracked = self.subscribe(
                ids, "/humans/bodies/tracked", self._on_tracked, depth=1, kept=True, **beside
            )
            self.adapt(self._tracked)

    def disconnect(self) -> None:
        super().disconnect()
        self._bodies = {}

    def counters(self) -> Mapping[str, Any]:
        return {
            **asdict(self._stream.counters),
            "missed": self._cadence.missed,
            "bodies": len(self._bodies),
            "not installed": self._lacking,
        }

    def _on_message(self, message: Any, body_id: str = "") -> None:
        frames, faults = self._decoder.decode(type_name(type(message)), message, body_id)
        for frame in frames:
            self._cadence.note(frame.body_id, frame.stamp_ns)
            try:
                made = self._stream.push(frame)
            except SkeletonError as error:
                faults.append(error)
            else:
                self._skeleton.publish(conversions.fill(Skeleton(), conversions.skeleton_to_fields(made)))
        for fault in faults:
            self.contain(fault)

    def _on_tracked(self, message: Any) -> None:
        """Listen to the bodies that there are now, and to no others."""
        ids = set(ids_from_msg(message))
        self._source.flow = Flow.OPTIONAL  # bodies come this way
        for name in set(self._bodies) - ids:
            self.unsubscribe(self._bodies.pop(name))
        folder = self.resolve_topic_name(self._tracked.topic).rpartition("/")[0]
        points = find_type(SKELETON_2D)
        for name in sorted(ids - set(self._bodies)):
            assert points is not None
            self._bodies[name] = self.subscribe(
                points,
                f"{folder}/{name}/skeleton2d",
                partial(self._on_message, body_id=name),
                depth=_DEPTH,
                flow=Flow.PASSING,
                source="the tracker",
            )


def main() -> int:
    return run_nodes(["mocap"])


if __name__ == "__main__":
    sys.exit(main())
