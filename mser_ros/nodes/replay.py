"""Playing a bag into running nodes and watching what they say, for the demonstration, the benchmark and the tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mser_msgs.msg import Emotion, Utterance
from rclpy.context import Context
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from ..errors import BagError, DependencyError
from ..messages.bags import Bag
from ..types import NS_PER_S
from .processes import NodeProcesses
from .spinner import Spinner
from .subscriptions import find_type

#: What must be connected before a bag may start, by the keys that the nodes show in their diagnostics.
LINKS: Mapping[str, tuple[str, ...]] = {
    "speech": ("subscribers voice", "subscribers utterance"),
    "mocap": ("subscribers skeleton",),
    "emotion": ("subscribers emotion",),
}
#: The nodes that make emotions of sound and skeletons.
CORE_NODES = tuple(LINKS)
#: A node that has not reported for so long is dead, and one that has received nothing more for so long has all.
_DEAD_S, _QUIET_S = 5.0, 0.5
#: How long nodes are waited for: until they hear each other, and until they have loaded or have worked off all [s].
_LINKS_S, _PATIENCE_S = 30.0, 60.0


@dataclass(frozen=True)
class _Report:
    """What a node's diagnostics said: when, and since when it had received no more and had nothing to do."""

    at_s: float
    received: Mapping[str, str]
    since_s: float

    @property
    def is_quiet(self) -> bool:
        return self.at_s - self.since_s >= _QUIET_S


class ReplaySession:
    """A ROS context with one node that plays bags and collects emotions, utterances and diagnostics.

    `emotions` and `utterances`: messages in order of arrival, each with the steady time [s] of its arrival.
    `on_emotion` is called from the executor's thread; what it raises comes out of whatever waits. Use it in `with`.
    """

    def __init__(self, *, domain_id: int | None = None, on_emotion: Callable[[Emotion], None] | None = None) -> None:
        self._context = Context()
        rclpy.init(context=self._context, args=[], domain_id=domain_id)
        self.node = rclpy.create_node("replay", context=self._context, start_parameter_services=False)
        self.emotions: list[tuple[float, Emotion]] = []
        self.utterances: list[tuple[float, Utterance]] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._reports: dict[str, _Report] = {}
        self._publishers: dict[str, Any] = {}
        self._end_ns = 0
        self._on_emotion = on_emotion
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._clock = self.node.create_publisher(Clock, "/clock", 10)
        self.node.create_subscription(Emotion, "emotion", self._note_emotion, _qos(1000))
        self.node.create_subscription(Utterance, "utterance", self._note_utterance, _qos(1000))
        self.node.create_subscription(DiagnosticArray, "/diagnostics", self._note_diagnostics, 100)
        self._spinner = Spinner(self._context)
        self._spinner.add(self.node)
        self._thread = threading.Thread(target=self._spin, name="replay", daemon=True)
        self._thread.start()

    def __enter__(self) -> ReplaySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spinner.stop()
        self._thread.join()
        self._spinner.close()
        self.node.destroy_node()
        self._context.try_shutdown()

    def wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `condition` holds, looking again at every message; whether it came to hold. Raises what ended the
        executor's thread: nothing would come any more."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not condition():
                self._raise_failure()
                if (left := deadline - time.monotonic()) <= 0:
                    return False
                self._changed.wait(min(left, 0.1))
        return True

    def _spin(self) -> None:
        try:
            self._spinner.spin()
        except BaseException as error:  # of a pipe that nobody reads any more rich makes a SystemExit
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def wait_for_links(
        self, names: Collection[str], timeout_s: float = _LINKS_S, *, unless: Callable[[], object] = lambda: False
    ) -> bool:
        """Wait until these nodes are active and hear each other, or `unless` gives something true; whether they do."""

        def linked() -> bool:
            return all(
                int(self.diagnostics.get(name, {}).get(link, "0")) > 0
                for name in names
                for link in LINKS.get(name, ())
                if not (link == "subscribers skeleton" and "emotion" not in names)
            )

        return self.wait(lambda: linked() or bool(unless()), timeout_s) and linked()

    def begin_together(self, outputs: Mapping[str, str], *, unless: Callable[[], object] = lambda: False) -> None:
        """Configure nodes that were started with `autostart` off, and activate all at once when each has loaded and
        somebody listens to it. `outputs`: the topic of each by its name. One that reports a problem is not waited for;
        none is any longer once `unless` gives something true."""
        clients = {name: self.node.create_client(ChangeState, f"/{name}/change_state") for name in outputs}

        def change(name: str, transition: int) -> None:
            clients[name].call_async(ChangeState.Request(transition=Transition(id=transition)))

        def is_heard(name: str) -> bool:
            return int(self.diagnostics.get(name, {}).get(f"subscribers {outputs[name]}", "0")) > 0

        def all_are(ready: Callable[[str], object]) -> bool:
            return self.wait(lambda: all(ready(name) for name in outputs) or bool(unless()), _PATIENCE_S)

        all_are(lambda name: clients[name].service_is_ready())
        for name in outputs:
            change(name, Transition.TRANSITION_CONFIGURE)
        all_are(lambda name: is_heard(name) or name in self.problems())
        for name in filter(is_heard, outputs):
            change(name, Transition.TRANSITION_ACTIVATE)

    def problems(self) -> dict[str, str]:
        """The last problem of each node that reports one."""
        last = {name: values.get("last problem", "") for name, values in self.diagnostics.items()}
        return {name: problem for name, problem in last.items() if problem}

    def play(
        self,
        path: Path,
        *,
        rate: float = 1.0,
        topics: Collection[str] = (),
        names: Mapping[str, str] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """Publish a bag's messages as they were recorded, `rate` times as fast, with the simulation clock.

        `names`: of topics that are published under another name than the bag's. Starts when every topic has a
        subscriber. `progress` gets the share that has been played.
        Raises `BagError` when nobody listens, or a message type is not installed; and as `wait`.
        """
        with Bag(path) as bag:
            publishers = {
                topic: self.node.create_publisher(_message_class(kind), (names or {}).get(topic, topic), _qos(1000))
                for topic, kind in bag.topics.items()
                if not topics or topic in topics
            }
            silent = [topic for topic in publishers if topic not in ("/clock", "/rosout")]
            if not self.wait(lambda: all(publishers[item].get_subscription_count() for item in silent), _LINKS_S):
                unheard = ", ".join(item for item in silent if not publishers[item].get_subscription_count())
                raise BagError(
                    f"no node listens to {unheard}: start the nodes first, and remap their inputs to the bag"
                )
            begin_s = time.monotonic()
            span_ns = max(1, bag.end_ns - bag.start_ns)
            for message in bag.messages(list(publishers)):
                due_s = begin_s + (message.log_ns - bag.start_ns) / NS_PER_S / rate
                if (wait_s := due_s - time.monotonic()) > 0:
                    time.sleep(wait_s)
                self._raise_failure()
                self._tick(message.log_ns)
                publishers[message.topic].publish(message.raw)
                if progress:
                    progress((message.log_ns - bag.start_ns) / span_ns)
            self._end_ns = bag.end_ns
        self._publishers = publishers

    def finish(self, *, rate: float = 1.0) -> bool:
        """Let the clock run on until all that was played is worked off and every utterance has its last emotion.

        Whether it came to that within `_PATIENCE_S` of this machine's time.
        """
        step_s = 0.05  # of this machine's time: a clock that ticks more often only costs its nodes work
        begin_s = time.monotonic()
        with self._changed:
            self._reports.clear()
        for step in range(int(_PATIENCE_S / step_s)):
            if self.wait(lambda: self._is_quiet(begin_s) and self._is_complete(), step_s):
                break
            self._tick(self._end_ns + round(step * step_s * rate * NS_PER_S))
        for publisher in self._publishers.values():
            self.node.destroy_publisher(publisher)
        self._publishers.clear()
        return self._is_complete()

    def wait_until_done(self) -> bool:
        """The same where the nodes go by this machine's clock, and have been given all that comes."""
        begin_s = time.monotonic()
        with self._changed:
            self._reports.clear()
        return self.wait(lambda: self._is_quiet(begin_s) and self._is_complete(), _PATIENCE_S)

    def _is_quiet(self, since_s: float) -> bool:
        """Whether no node has received or done anything for a while, as far as it has reported."""

        def is_quiet(name: str) -> bool:
            report = self._reports.get(name)
            is_dead = time.monotonic() - max(since_s, report.at_s if report else 0.0) > _DEAD_S
            return is_dead or bool(report and report.is_quiet)

        return all(is_quiet(name) for name in LINKS if name in self.diagnostics)

    def _is_complete(self) -> bool:
        begun = {message.utterance_id for _, message in self.utterances}
        last = (Emotion.FINAL, Emotion.RETRACTED)
        return begun <= {message.utterance_id for _, message in self.emotions if message.state in last}

    def _tick(self, now_ns: int) -> None:
        clock = Clock()
        clock.clock.sec, clock.clock.nanosec = divmod(now_ns, NS_PER_S)
        self._clock.publish(clock)

    def _note_emotion(self, message: Emotion) -> None:
        with self._changed:
            self.emotions.append((time.monotonic(), message))
            self._changed.notify_all()
        if self._on_emotion:
            self._on_emotion(message)

    def _note_utterance(self, message: Utterance) -> None:
        with self._changed:
            self.utterances.append((time.monotonic(), message))
            self._changed.notify_all()

    def _note_diagnostics(self, message: DiagnosticArray) -> None:
        with self._changed:
            for status in message.status:
                name = status.name.rsplit("/", 1)[-1]
                self.diagnostics[name] = values = {item.key: item.value for item in status.values}
                received = {key: value for key, value in values.items() if key.startswith("received")}
                before = self._reports.get(name)
                now_s = time.monotonic()
                is_idle = before is not None and before.received == received and values.get("backlog") == "0"
                self._reports[name] = _Report(now_s, received, before.since_s if before and is_idle else now_s)
            self._changed.notify_all()


def _qos(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.VOLATILE)


def _message_class(type_name: str) -> type:
    if (found := find_type(type_name)) is None:
        package = type_name.partition("/")[0]
        raise BagError(f"the bag needs messages of {type_name}: install the package {package}, or choose topics")
    return found


def wait_for_nodes(session: ReplaySession, nodes: NodeProcesses) -> None:
    """Wait until the nodes have started and hear each other. Raises `DependencyError` when that will not be."""
    if not session.wait_for_links(CORE_NODES, timeout_s=60, unless=lambda: nodes.ended() or session.problems()):
        why = "; ".join(session.problems().values()) or f"ended: {', '.join(nodes.ended()) or 'none'}"
        raise DependencyError(f"the nodes did not start or find each other ({why}): see 'mser doctor'")
