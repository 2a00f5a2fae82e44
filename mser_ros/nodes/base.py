"""What every node of this package shares: parameters from settings, a life cycle, one worker, diagnostics."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, LifecycleState, TransitionCallbackReturn
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..errors import MserError
from .parameters import declare_settings, read_settings
from .subscriptions import InputTopic

#: How long a queue may grow before the oldest item is dropped: four minutes of audio.
_QUEUE = 4096
#: How often a waiting worker looks at the clock.
_TICK_S = 0.05
#: One log line per problem and this many seconds, however often it occurs.
THROTTLE_S = 5.0


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
        self._last_error = ""
        self._inputs: list[InputTopic] = []
        self._outputs: dict[str, LifecyclePublisher] = {}
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._worker: threading.Thread | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Steady, so that a paused or absent simulation clock does not silence what a user then needs most.
        self._heartbeat = self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        declare_settings(self, settings_class, is_editable=lambda: not self.is_configured)

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
        try:
            self.settings = read_settings(self, self._settings_class)
            self.setup()
        except MserError as error:
            self.complain(error)
            return TransitionCallbackReturn.FAILURE
        except Exception:  # a bug of ours, which rclpy would swallow
            self.get_logger().fatal(traceback.format_exc())
            raise
        self.is_configured = True
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        self._worker = threading.Thread(target=self._work, name=f"{self.get_name()}-worker", daemon=True)
        self._worker.start()
        try:
            self.connect()
        except MserError as error:
            self.complain(error)
            self._stop_worker()
            return TransitionCallbackReturn.FAILURE
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

    def close(self) -> None:
        """Stop the worker and free everything; safe to call twice."""
        self.disconnect()
        self._stop_worker()
        self._free()

    def _free(self) -> None:
        if self.is_configured:
            self.is_configured = False
            self.teardown()
            for publisher in self._outputs.values():
                self.destroy_publisher(publisher)
            self._outputs.clear()

    # -- data

    def listen(self, message_class: type, topic: str, callback: Callable[[Any], None], *, depth: int) -> None:
        """Subscribe to `topic` until the node is deactivated; `callback` runs in the executor and may raise."""

        def receive(message: Any) -> None:
            self.guard(lambda: callback(message))

        self._inputs.append(InputTopic(self, message_class, topic, receive, depth=depth))

    def offer(self, message_class: type, topic: str, *, depth: int) -> LifecyclePublisher:
        """A reliable publisher on `topic` that lives until cleanup and is silent while the node is inactive."""
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)
        self._outputs[topic] = self.create_lifecycle_publisher(message_class, topic, qos)
        return self._outputs[topic]

    def disconnect(self) -> None:
        """Drop every subscription."""
        while self._inputs:
            self._inputs.pop().close()

    def submit(self, work: Callable[[], None]) -> None:
        """Have the worker do it. When the worker is far behind, the oldest work is dropped and counted."""
        if self._queue.qsize() >= _QUEUE:
            try:
                self._queue.get_nowait()
                self.dropped += 1
                self.complain("the worker is too slow, its oldest input is dropped: give the node a faster core")
            except queue.Empty:
                pass
        self._queue.put(work)

    def guard(self, work: Callable[[], None]) -> None:
        """Run `work`; what is wrong with its data is counted and logged, and the node lives on."""
        try:
            work()
        except MserError as error:
            self.rejected += 1
            self.complain(error)

    def complain(self, problem: object) -> None:
        """Log a problem, but not more often than people can read."""
        self._last_error = str(problem)
        self.get_logger().warning(self._last_error, throttle_duration_sec=THROTTLE_S)

    def _work(self) -> None:
        try:
            while True:
                try:
                    work = self._queue.get(timeout=_TICK_S if self.is_waiting else None)
                except queue.Empty:
                    work = self.tick
                if work is None:
                    self.guard(self.finish)
                    return
                self.guard(work)
        except Exception as error:  # a bug of ours: say it where people look, then end as loudly as Python does
            self.get_logger().fatal(f"the worker ended by a bug: {error!r}")
            raise

    def _stop_worker(self) -> None:
        if self._worker is not None:
            self._queue.put(None)
            self._worker.join()
            self._worker = None

    def _report(self) -> None:
        for item in self._inputs:
            if problem := item.check():
                self.complain(problem)
        values = {
            **{f"received {item.topic}": item.received for item in self._inputs},
            **{f"subscribers {topic}": item.get_subscription_count() for topic, item in self._outputs.items()},
            "backlog": self._queue.qsize(),
            "dropped": self.dropped,
            "rejected": self.rejected,
            **(self.counters() if self.is_configured else {}),
            "last problem": self._last_error,
        }
        bad = bool(self.dropped or self.rejected or self._last_error)
        status = DiagnosticStatus(
            level=DiagnosticStatus.WARN if bad else DiagnosticStatus.OK,
            name=self.get_fully_qualified_name(),
            message=self._last_error or ("configured" if self.is_configured else "not configured"),
            values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
        )
        report = DiagnosticArray(status=[status])
        report.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(report)
