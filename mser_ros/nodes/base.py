"""What every node of this package shares: parameters from settings, a life cycle, one worker, diagnostics."""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..errors import MserError
from .parameters import declare_settings, read_settings
from .subscriptions import InputTopic, opening
from .worker import Worker

#: One log line per kind of problem and this many seconds, however often it occurs.
_THROTTLE_S = 5.0
#: Kinds of problems that are told apart.
_KINDS = 64


class PerceptionNode(LifecycleNode):
    """A lifecycle node whose work is done by one thread beside the executor.

    A subclass says what it does in `setup` (configure: load and check; raises `MserError`), `connect` (activate:
    subscribe), `tick` (now and then while `is_waiting`), `finish` (deactivate: flush) and `teardown` (cleanup: free the
    memory), and counts in `counters`. Callbacks hand their data to `submit`; the worker alone touches the core.
    """

    def __init__(self, name: str, settings_class: type, **arguments: Any) -> None:
        super().__init__(name, automatically_declare_parameters_from_overrides=True, **arguments)
        self.settings: Any = None
        self.is_configured = False
        self.rejected = 0
        self.dropped = 0
        self._settings_class = settings_class
        self._last_problem = ""
        self._said_at: dict[str, float] = {}
        self._inputs: list[InputTopic] = []
        self._outputs: dict[str, LifecyclePublisher] = {}
        self._worker: Worker | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady, so that a paused or absent simulation clock does not silence what a user then needs most.
        self._heartbeat = self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        declare_settings(self, settings_class, is_editable=lambda: not self.is_configured)
        self._survive_impossible_transitions()

    # -- what a subclass fills in

    def setup(self) -> None:
        """Load and check everything; create publishers."""

    def connect(self) -> None:
        """Subscribe."""

    def tick(self) -> None:
        """Do what is due without new data; called from the worker while `is_waiting`."""

    def finish(self) -> None:
        """Finish what is open; called from the worker as its last work."""

    def teardown(self) -> None:
        """Free what `setup` made."""

    @property
    def is_waiting(self) -> bool:
        return False

    def counters(self) -> Mapping[str, Any]:
        """What the diagnostics show beside drops."""
        return {}

    # -- life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.rejected = self.dropped = 0
        self._last_problem = ""
        self._said_at.clear()
        try:
            self.settings = read_settings(self, self._settings_class)
            self.setup()
        except MserError as error:
            self.complain(error)
            self._free()
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # a bug of ours, which rclpy would swallow
            self._on_bug(error)
            raise
        self.is_configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        self._worker = Worker(
            f"{self.get_name()}-worker",
            tick=lambda: self.guard(self.tick),
            is_waiting=lambda: self.is_waiting,
            on_bug=self._on_bug,
        )
        try:
            self.connect()
        except MserError as error:
            self.complain(error)
            self.on_deactivate(state)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # a bug of ours, which rclpy would swallow
            self._on_bug(error)
            raise
        self.get_logger().info("active")
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.disconnect()
        self._stop_worker()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._free()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Stop the worker and free everything; safe to call twice."""
        self.disconnect()
        self._stop_worker()
        self._free()

    def _stop_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.submit(lambda: self.guard(self.finish))
            worker.stop()

    def _free(self) -> None:
        if self.is_configured:
            self.is_configured = False
            self.teardown()
        while self._outputs:
            self.destroy_lifecycle_publisher(self._outputs.popitem()[1])

    def _survive_impossible_transitions(self) -> None:
        """Answer 'no' to a transition that the state does not allow, for which rclpy would end the process."""
        service = self._service_change_state
        answer = service.callback

        def change_state(request: Any, response: Any) -> Any:
            try:
                return answer(request, response)
            except RuntimeError as error:
                self.get_logger().warning(f"the transition was refused: {error}")
                response.success = False
                return response

        service.callback = change_state

    # -- data

    def listen(self, message_class: type, topic: str, callback: Callable[[Any], None], *, depth: int) -> None:
        """Subscribe to `topic` until the node is deactivated; `callback` runs in the executor and may raise."""

        def receive(message: Any) -> None:
            self.guard(lambda: callback(message))

        self._inputs.append(InputTopic(self, message_class, topic, receive, depth=depth))

    def offer(self, message_class: type, topic: str, *, depth: int) -> LifecyclePublisher:
        """A reliable publisher on `topic` that lives until cleanup and is silent while the node is inactive."""
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)
        with opening(self, topic):
            self._outputs[topic] = self.create_lifecycle_publisher(message_class, topic, qos)
        return self._outputs[topic]

    def disconnect(self) -> None:
        """Drop every subscription."""
        while self._inputs:
            self._inputs.pop().close()

    def submit(self, work: Callable[[], None]) -> None:
        """Have the worker do it."""
        if self._worker is not None and not self._worker.submit(lambda: self.guard(work)):
            self.dropped += 1
            self.complain("the worker is too slow, its oldest input is dropped: give the node a faster core")

    def guard(self, work: Callable[[], None]) -> None:
        """Run `work`; what is wrong with its data is counted and logged, and the node lives on."""
        try:
            work()
        except MserError as error:
            self.rejected += 1
            self.complain(error)

    def complain(self, problem: object) -> None:
        """Log a problem, but each kind not more often than people can read."""
        self._last_problem = str(problem)
        kind, now_s = re.sub(r"[\d.]+", "0", self._last_problem), time.monotonic()
        if now_s - self._said_at.get(kind, -_THROTTLE_S) < _THROTTLE_S:
            return
        if len(self._said_at) >= _KINDS:
            self._said_at.clear()
        self._said_at[kind] = now_s
        self.get_logger().warning(self._last_problem)

    def _on_bug(self, error: Exception) -> None:
        """What nobody foresaw: say it where people look, unless ROS was shut down under a thread that still worked."""
        if self.context.ok():
            self._last_problem = f"a bug, please report it with the log: {error!r}"
            self.get_logger().fatal("".join(traceback.format_exception(error)))

    def _report(self) -> None:
        for item in self._inputs:
            if problem := item.check():
                self.complain(problem)
        values = {
            **{f"received {item.topic}": item.received for item in self._inputs},
            **{f"subscribers {topic}": item.get_subscription_count() for topic, item in self._outputs.items()},
            **(self.counters() if self.is_configured else {}),
            "backlog": self._worker.backlog if self._worker else 0,
            "dropped": self.dropped,
            "rejected": self.rejected,
            "last problem": self._last_problem,
        }
        state = "active" if self._worker else "inactive" if self.is_configured else "unconfigured"
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if self._last_problem else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name(),
            message=self._last_problem or state,
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        report = DiagnosticArray(status=[status])
        report.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(report)
