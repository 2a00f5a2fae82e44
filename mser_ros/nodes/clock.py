"""What is wrong with the clock of a node: it stands, or was set back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.node import Node

from .diagnostics import Problem
from .subscriptions import SILENCE_S

#: A clock that goes back by more was set [s].
_SET_BACK_S = 1.0


class ClockWatch:
    """Watches a node's ROS clock from now on; the log of a node that `is_working` tells where it is set back."""

    def __init__(self, node: Node, *, is_working: Callable[[], bool]) -> None:
        self._node = node
        self._is_working = is_working
        self._since_s = time.monotonic()
        back = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-_SET_BACK_S), on_clock_change=False)
        self._jumps = node.get_clock().create_jump_callback(back, post_callback=self._tell_of_jump)

    def check(self) -> Problem | None:
        """That no time has come yet, although the node works and goes by that of a simulation: no wait ends then."""
        if not self._is_working() or self._node.get_clock().now().nanoseconds:
            self._since_s = time.monotonic()
        if time.monotonic() - self._since_s < SILENCE_S:
            return None
        return Problem(
            "use_sim_time is true, and nothing comes on /clock: start the simulation, play the bag with --clock, or "
            "set use_sim_time to false"
        )

    def _tell_of_jump(self, jump: Any) -> None:
        if self._is_working():
            back_s = -jump.delta.nanoseconds / 1e9
            self._node.get_logger().info(
                f"the clock was set back by {back_s:.0f} s, as where a bag begins again: so does all"
            )
