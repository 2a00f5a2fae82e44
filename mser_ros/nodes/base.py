"""What every node of this package shares: parameters from settings, a life cycle, one worker, diagnostics."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from ..errors import MserError
from ..worker import Worker
from .diagnostics import UNTIL_CLEARED, Health
from .heartbeat import ACTIVE, Heartbeat
from .inputs import Inputs
from .liveliness import show_life
from .outputs import Outputs
from .parameters import declare_settings, read_settings
from .subscriptions import Flow, InputTopic

#: So long subscribers have to take in a node's last words: what is under way is lost with its publisher.
DELIVERY_S = 0.3
#: So long a node that is to stop goes on working at what it has received [s]: meanwhile it answers nobody, and whoever
#: brings several nodes up and down waits for some seconds only.
STOPPING_S = 2.0


class PerceptionNode(LifecycleNode):
    """A lifecycle node whose work is done by one thread beside the executor.

    A subclass says what it does in `setup` (configure: load and check; raises `MserError`), `connect` (activate:
    subscribe), `tick` (now and then while `is_waiting`), `finish` (deactivate: flush) and `teardown` (cleanup: free the
    memory), and counts in `counters`. Callbacks hand their data to `submit`; the worker alone touches the core.

    An `MserError` costs the message that caused it. Any other exception is a bug: where a subclass knows that it costs
    one utterance only, it hands it to `contain`; else the node finishes what is open and goes to the error state of its
    life cycle, from there to 'unconfigured', and works again after configure and activate.
    """

    def __init__(self, name: str, settings_class: type, **arguments: Any) -> None:
        super().__init__(name, automatically_declare_parameters_from_overrides=True, **arguments)
        self.settings: Any = None
        self.is_configured = False
        self.has_failed = False
        self._is_shut_down = False
        self.health = Health(self.get_logger())
        self._settings_class = settings_class
        self._worker: Worker | None = None
        self._due, self._skipped = set[str](), 0
        self._alarm = self.create_guard_condition(self._enter_error_state)
        self.inputs = Inputs(self, self.health, changed=lambda: self._heartbeat.report())
        self.outputs = Outputs(self, is_active=lambda: self._worker is not None)
        show_life(self)
        declare_settings(self, settings_class, is_editable=lambda: not self.is_configured, adopt=self._adopt)
        self._survive_impossible_transitions()
        self._heartbeat = Heartbeat(
            self,
            self.health,
            self.inputs,
            self.outputs,
            phase=lambda: self._phase,
            counters=self._all_counters,
            lack=lambda topics: self.lack(topics) if self.is_configured else None,
        )

    # -- what a subclass fills in

    def setup(self) -> None:
        """Load and check everything; create publishers."""

    def connect(self) -> None:
        """Subscribe."""

    def tick(self) -> None:
        """Do what is due without new data; called from the worker while `is_waiting`."""

    def finish(self) -> None:
        """Finish what is open; called when the worker has ended."""

    def teardown(self) -> None:
        """Free what `setup` made."""

    def adopt(self) -> None:
        """Take in `settings` of which live ones have changed; called where nothing else works meanwhile."""

    @property
    def is_waiting(self) -> bool:
        return False

    @property
    def is_answering(self) -> bool:
        """Whether the executor has something to send yet after the node has stopped."""
        return False

    def lack(self, topics: frozenset[str]) -> None:
        """These inputs are missing, as of now; called in the executor when that has changed."""

    def counters(self) -> Mapping[str, Any]:
        """What the diagnostics show beside drops."""
        return {}

    # -- life cycle

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.has_failed = False
        self.health.clear()
        result = self._attempt(self._configure)
        self.is_configured = result == TransitionCallbackReturn.SUCCESS
        if not self.is_configured:
            self.outputs.close_all()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.health.clear()
        super().on_activate(state)
        result = self._attempt(self._activate)
        if result != TransitionCallbackReturn.SUCCESS:
            self._attempt(self._stop)
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = self._attempt(self._stop)
        super().on_deactivate(state)
        return TransitionCallbackReturn.ERROR if self.has_failed else result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.outputs.deliver(time.monotonic() + DELIVERY_S)
        return self._attempt(self._free)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end()
        self._is_shut_down = True
        self.health.warn("was shut down: end the process and start it again", lasts_s=UNTIL_CLEARED)
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._end()
        return TransitionCallbackReturn.SUCCESS

    def stop(self, *, within_s: float = STOPPING_S) -> None:
        """Finish and publish what is open. Messages that are not worked off within this time are dropped."""
        self._attempt(lambda: self._stop(within_s))

    def close(self) -> None:
        """Finish what is open and free everything; safe to call twice."""
        self.stop()
        self._attempt(self._free)

    def destroy_node(self) -> None:
        """Be gone, at once: rclpy alone leaves what the life cycle publishes and serves, and with it the node in the
        sight of others, until Python collects it."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _configure(self) -> None:
        self.settings = read_settings(self, self._settings_class)
        self.setup()

    def _adopt(self, settings: Any) -> None:
        def take() -> None:
            self.settings = settings
            self.adopt()

        if not self.submit(take, otherwise=take, is_order=True):
            take()

    def _activate(self) -> None:
        self.outputs.close_passing()
        self._due, self._skipped = set[str](), 0
        self._worker = Worker(
            f"{self.get_name()}-worker",
            tick=lambda: self.guard(self.tick),
            is_waiting=lambda: self.is_waiting,
            on_bug=self.fail,
        )
        self.connect()
        self.get_logger().info("active")

    def _stop(self, within_s: float = STOPPING_S) -> None:
        self.disconnect()
        worker, self._worker = self._worker, None
        if worker is None:
            return
        left = worker.stop(within_s=within_s)
        if left and worker.has_died:  # which has been said, and is no question of speed
            self.health.drop(left)
        elif left:
            self.health.drop(left, f"ended before {left} messages were worked off: give the node a faster core")
        for otherwise in worker.undone:
            self.guard(otherwise)
        self.guard(self.finish)

    def _end(self) -> None:
        self.stop()
        self.outputs.deliver(time.monotonic() + DELIVERY_S)
        self.close()

    def _free(self) -> None:
        if self.is_configured:
            self.is_configured = False
            self.teardown()
        self.outputs.close_all()

    def _attempt(self, transition: Callable[[], None]) -> TransitionCallbackReturn:
        """What came of a transition; rclpy would swallow the exceptions."""
        try:
            transition()
        except MserError as error:
            self.health.warn(error, lasts_s=UNTIL_CLEARED)
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.fail(error)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _enter_error_state(self) -> None:
        if self.has_failed and self._worker is not None:
            self.trigger_deactivate()  # the only way that leads from 'active' to the error state

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

    def subscribe(
        self,
        message_class: type,
        topic: str,
        callback: Callable[[Any], None],
        *,
        depth: int,
        flow: Flow,
        source: str,
        others: Sequence[str] = (),
        kept: bool = False,
    ) -> InputTopic:
        """Subscribe to `topic` until the node is deactivated; `callback` runs in the executor and may raise.

        `flow` and `source`: what is expected of it, and whom a user is to start or restart where it does not come.
        `others` and `kept`: as of `InputTopic`.
        """

        def receive(message: Any) -> None:
            try:
                self.guard(lambda: callback(message))
            except Exception as error:
                self.fail(error)

        expected: Any = {"depth": depth, "flow": flow, "source": source, "others": others, "kept": kept}
        return self.inputs.open(message_class, topic, receive, **expected)

    def unsubscribe(self, item: InputTopic) -> None:
        """Listen to this topic no more. To be called in the executor."""
        self.inputs.close(item)

    def adapt(self, item: InputTopic) -> None:
        """Do at once what else is done within a second: look for the publishers of an input, and adapt to them."""
        self.inputs.check(item)

    def disconnect(self) -> None:
        """Drop every subscription."""
        self.inputs.close_all()

    def submit(
        self, work: Callable[[], None], *, otherwise: Callable[[], None] | None = None, is_order: bool = False
    ) -> bool:
        """Have the worker do it; whether there is one. `otherwise` is done before `finish` in place of work that was
        not done until then, as where the node is told to stop. `is_order`: it is done however far behind the worker is.
        """
        if self._worker is None:
            return False
        if self._worker.has_died:
            self._worker.skip(otherwise)
            self.health.drop(1)
        elif not self._worker.submit(lambda: self.guard(work), otherwise, is_order=is_order):
            self.health.drop(1, "the worker is too slow, its oldest input is dropped: give the node a faster core")
        return True

    def submit_due(self, what: str, work: Callable[[], None]) -> None:
        """Have the worker do what is due again and again, unless it has not done the last such work yet: then this is
        counted. In the executor."""
        if not self.is_working:  # else it would be one more thing that was not done
            return
        if what in self._due:
            self._skipped += 1
            return

        def do() -> None:
            try:
                work()
            finally:
                self._due.discard(what)

        self._due.add(what)
        self.submit(do, is_order=True)

    def now_ns(self) -> int:
        """By the node's ROS clock. From any thread."""
        return int(self.get_clock().now().nanoseconds)

    @property
    def is_working(self) -> bool:
        """Whether there is a worker that is alive."""
        return self._worker is not None and not self._worker.has_died

    @property
    def is_behind(self) -> bool:
        """Whether the worker has work that is not done yet."""
        return self._worker is not None and not self._worker.has_died and self._worker.backlog > 0

    def guard(self, work: Callable[[], None]) -> None:
        """Run `work`; what is wrong with its data is counted and logged, and the node lives on."""
        try:
            work()
        except MserError as error:
            self.contain(error)

    def contain(self, error: Exception) -> None:
        """An error that cost one message or one utterance: say it, count it, and go on. From any thread."""
        if isinstance(error, MserError):
            self.health.reject(error)
        else:
            self.health.bug(error)

    def fail(self, error: Exception) -> None:
        """A bug that leaves the node in a state that nobody foresaw: leave for the error state. From any thread."""
        if self.context.ok():  # else it is one of the many things that rclpy raises when ROS ends under a thread
            self.has_failed = True
            self.health.bug(error, lasts_s=UNTIL_CLEARED)
            self._alarm.trigger()

    # -- diagnostics

    @property
    def _phase(self) -> str:
        if self._is_shut_down:
            return "finalized"
        return ACTIVE if self._worker else "inactive" if self.is_configured else "unconfigured"

    def _all_counters(self) -> Mapping[str, Any]:
        own = self.counters() if self.is_configured else {}
        return {**own, "backlog": self._worker.backlog if self._worker else 0, "skipped": self._skipped}
