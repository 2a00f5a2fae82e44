"""The mocap node: skeletons of a tracker in; checked skeletons for the emotion node out."""

from __future__ import annotations

import sys
from typing import Any

from mser_msgs.msg import Skeleton

from ..messages import conversions
from ..mocap.buffer import check_frame
from ..mocap.layouts import get_layout
from ..settings import MocapSettings
from .base import PerceptionNode
from .run import run_nodes
from .subscriptions import Flow

_DEPTH = 128


class MocapNode(PerceptionNode):
    """Subscribes `skeleton_in` (Skeleton); publishes `skeleton` (Skeleton with its layout named and checked, and
    confidence 0 wherever a joint was not seen)."""

    settings: MocapSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("mocap", MocapSettings, **arguments)

    def setup(self) -> None:
        if self.settings.layout:
            get_layout(self.settings.layout)
        self._skeleton = self.advertise(Skeleton, "skeleton", depth=_DEPTH)

    def connect(self) -> None:
        source = "the tracker"
        self.subscribe(Skeleton, "skeleton_in", self._on_skeleton, depth=_DEPTH, flow=Flow.AT_TIMES, source=source)

    def _on_skeleton(self, message: Skeleton) -> None:
        frame = check_frame(conversions.skeleton_from_msg(message), self.settings)
        self._skeleton.publish(conversions.fill(Skeleton(), conversions.skeleton_to_fields(frame)))


def main() -> int:
    return run_nodes(["mocap"])


if __name__ == "__main__":
    sys.exit(main())
