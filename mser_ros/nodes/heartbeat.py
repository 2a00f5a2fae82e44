"""How a node is, on `/diagnostics`: now and then, and at once where somebody may be waiting to hear of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from . import events
from .clock import ClockWatch
from .diagnostics import REMINDER_S, Health, build_status
from .inputs import Inputs
from .outputs import Outputs

#: How often a node reports [s]; and how often it is looked whether there is something to tell at once.
_REPORT_S, _BEAT_S = 1.0, 0.2
#: What the diagnostics call the state of a node that works.
ACTIVE = "active"


class Heartbeat:
    """Reports from now on what `node` listens to, publishes and counts, and what is wrong with it.

    `phase`: what it calls its state. `counters`: what it shows beside its inputs, outputs and problems. `lack`: told
    the inputs that are missing where that has changed.
    """

    def __init__(
        self,
        node: Node,
        health: Health,
        inputs: Inputs,
        outputs: Outputs,
        *,
        phase: Callable[[], str],
        counters: Callable[[], Mapping[str, Any]],
        lack: Callable[[frozenset[str]], None],
    ) -> None:
        self._node, self._health, self._inputs, self._outputs = node, health, inputs, outputs
        self._phase, self._counters, self._lack = phase, counters, lack
        self._clock_watch = ClockWatch(node, is_working=lambda: phase() == ACTIVE)
        self._beat_s = self._report_s = time.monotonic()
        self._told: tuple[object, ...] = ()
        self._missing: frozenset[str] = frozenset()
        self._diagnostics = node.create_publisher(
            DiagnosticArray, "/diagnostics", 10, event_callbacks=events.of_publisher()
        )
        # Steady, so that a paused or absent simulation clock does not silence what a user then needs most.
        node.create_timer(_BEAT_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def report(self) -> None:
        """Tell how the node is, now."""
        try:
            self._publish()
        except Exception as error:  # of a node's own counters: a report must not end what it reports of
            if self._node.context.ok():  # else it is one of the many that rclpy raises when ROS ends under a thread
                self._health.bug(error)

    def _beat(self) -> None:
        now_s = time.monotonic()
        late_s, self._beat_s = now_s - self._beat_s - _BEAT_S, now_s
        self._clock_watch.follow()
        if late_s > _BEAT_S:
            self._inputs.excuse(late_s)
        if now_s - self._report_s > _REPORT_S - _BEAT_S / 2 or self._told != self._news():
            self._report_s = now_s
            self.report()

    def _news(self) -> tuple[object, ...]:
        """What is told at once where it has changed: the state, what is wrong, what is missing, and who listens."""
        problem = self._health.current()
        sentence = problem.sentence if problem else ""
        return self._phase(), sentence, self._inputs.missing(), self._outputs.subscribers()

    def _publish(self) -> None:
        self._told = self._news()
        missing = self._inputs.check_all()
        if self._missing != missing.keys():
            self._missing = frozenset(missing)
            self._lack(self._missing)
        problem = self._health.current()
        values = {
            **self._inputs.counters(),
            **{f"subscribers {topic}": count for topic, count in self._outputs.subscribers().items()},
            **self._counters(),
            "dropped": self._health.dropped,
            "rejected": self._health.rejected,
            "bugs": self._health.bugs,
            "missing": ", ".join(sorted(missing)),
            "alive": ", ".join(sorted(self._inputs.sources.alive)),
            "last problem": problem.sentence if problem else "",
        }
        if standing := self._clock_watch.check():
            self._health.remind(standing.sentence, REMINDER_S)
        worst = max([*filter(None, [problem, standing]), *missing.values()], key=lambda item: item.level, default=None)
        name = self._node.get_fully_qualified_name()
        report = DiagnosticArray(status=[build_status(name, self._phase(), worst, values)])
        report.header.stamp = self._node.get_clock().now().to_msg()
        self._diagnostics.publish(report)
