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
    """Watches a node's ROS clock from now on; the log of a node that `is_working` tells where it is set back.

    ROS tells of a simulation's clock, and adjusts its timers to that. Of the system's it does not: timers would stand
    still until it is as late as it was before, so `follow` has to be called again and again, in the executor.
    """

    def __init__(self, node: Node, *, is_working: Callable[[], bool]) -> None:
        self._node = node
        self._is_working = is_working
        self._since_s = time.monotonic()
        back = JumpThreshold(min_forward=None, min_backward=Duration(seconds=-_SET_BACK_S), on_clock_change=False)
        self._jumps = node.get_clock().create_jump_callback(back, post_callback=self._tell_of_jump)
        self._ahead_ns: int | None = None  # of the steady clock, while this one is the system's

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

    def follow(self) -> None:
        """Have the timers of a system clock that was set back since the last call go on by the new time."""
        clock: Any = self._node.get_clock()
        before_ns = self._ahead_ns
        self._ahead_ns = None if clock.ros_time_is_active else clock.now().nanoseconds - time.monotonic_ns()
        if before_ns is None or self._ahead_ns is None:
            return
        back_s = (before_ns - self._ahead_ns) / 1e9
        if back_s < _SET_BACK_S:
            return
        for timer in self._node.timers:
            if timer.clock is clock and not timer.is_canceled():
                timer.reset()
        self._tell(back_s, "as where the time of the network came: all goes on by the new time")

    def _tell_of_jump(self, jump: Any) -> None:
        self._tell(-jump.delta.nanoseconds / 1e9, "as where a bag begins again: so does all")

    def _tell(self, back_s: float, what_follows: str) -> None:
        if self._is_working():
            self._node.get_logger().info(f"the clock was set back by {back_s:.0f} s, {what_follows}")
