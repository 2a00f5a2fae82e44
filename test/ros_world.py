"""ROS for tests: a domain, a context and a peer of its own for each, and waiting for conditions, never for time.

Tests take everything of ROS from here, so that they are skipped, and say why, where it is missing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
mser_msgs = pytest.importorskip(
    "mser_msgs.msg", reason="mser_msgs is missing: call 'make setup-dev', or build it with colcon"
)

from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from lifecycle_msgs.msg import Transition, TransitionEvent  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from mser_msgs.action import WaitForEmotion  # noqa: E402
from mser_msgs.msg import (  # noqa: E402
    AudioFrame,
    Emotion,
    EmotionEvent,
    EmotionState,
    ModalityEvidence,
    Skeleton,
    Utterance,
    Word,
)
from mser_msgs.srv import ExportVoices, ImportVoices  # noqa: E402
from rcl_interfaces.msg import Log  # noqa: E402
from rcl_interfaces.msg import Parameter as ParameterMsg  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.action import ActionClient  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from rosgraph_msgs.msg import Clock  # noqa: E402
from std_msgs.msg import Bool, Int16MultiArray, String  # noqa: E402
from std_srvs.srv import SetBool, Trigger  # noqa: E402

from mser_ros.messages import conversions  # noqa: E402
from mser_ros.messages.bags import Bag  # noqa: E402
from mser_ros.nodes.domain import Domain  # noqa: E402
from mser_ros.nodes.run import create_node, start  # noqa: E402
from mser_ros.nodes.spinner import Spinner as NodeSpinner  # noqa: E402
from mser_ros.types import NS_PER_S, AudioChunk, SkeletonFrame, UtteranceEvent  # noqa: E402

__all__ = [
    "Bool", "ChangeState", "Domain", "Emotion", "EmotionEvent", "EmotionState", "ExportVoices",
    "ImportVoices", "Int16MultiArray", "Log", "ModalityEvidence",
    "ReliabilityPolicy", "SetBool", "String", "TransitionEvent", "Trigger", "WaitForEmotion",
]  # fmt: skip

DEMO = Path(__file__).parents[1] / "demo" / "demo.mcap"
T0 = 1_700_000_000 * NS_PER_S
#: What an utterance's last emotion says of itself.
LAST = (Emotion.FINAL, Emotion.RETRACTED)
#: Far longer than anything takes on a busy machine: whoever waits this long waits in vain.
PATIENCE_S = 60.0


class Spinner:
    """Spins a node in a thread of its own, as its process would; what ends it is kept in `failure`."""

    def __init__(self, node: Any, context: Context) -> None:
        self.failure: BaseException | None = None
        self._spinner = NodeSpinner(context)
        self._spinner.add(node)
        self._thread = threading.Thread(target=self._spin, name=f"spin-{node.get_name()}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._spinner.stop()
        self._thread.join()
        self._spinner.close()

    def _spin(self) -> None:
        try:
            self._spinner.spin()
        except BaseException as error:
            self.failure = error


class Tested:
    """A node under test, spun in its own thread and steered through ROS services as anybody would."""

    __test__ = False  # it is none itself

    def __init__(self, world: World, node: Any, spinner: Spinner) -> None:
        self.node = node
        self.name: str = node.get_fully_qualified_name()
        self.spinner = spinner
        self._world = world

    def transition(self, number: int) -> bool:
        """Ask for a transition; whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=number))
        return bool(self._world.call(ChangeState, f"{self.name}/change_state", request).success)

    def configure(self) -> bool:
        return self.transition(Transition.TRANSITION_CONFIGURE)

    def activate(self) -> bool:
        return self.transition(Transition.TRANSITION_ACTIVATE)

    def deactivate(self) -> bool:
        return self.transition(Transition.TRANSITION_DEACTIVATE)

    def cleanup(self) -> bool:
        return self.transition(Transition.TRANSITION_CLEANUP)

    def shutdown(self) -> bool:
        return self.transition(Transition.TRANSITION_ACTIVE_SHUTDOWN)

    @property
    def state(self) -> str:
        return str(self._world.call(GetState, f"{self.name}/get_state", GetState.Request()).current_state.label)

    def set(self, name: str, value: object) -> str:
        """Set a parameter; the reason for which that is refused, '' where it is not."""
        message = ParameterMsg(name=name, value=Parameter(name, value=value).get_parameter_value())
        request = SetParameters.Request(parameters=[message])
        (result,) = self._world.call(SetParameters, f"{self.name}/set_parameters", request).results
        assert result.successful or result.reason
        return "" if result.successful else str(result.reason)

    def wait_to_receive(self, **counts: int) -> None:
        """Wait until the node has taken so many messages of each topic, and done its work on them."""
        # Topics have no order among each other, and the diagnostics that tell these numbers come once a second.
        inputs = {item.topic: item for item in self.node.inputs.topics}
        self._world.wait(
            lambda: all(inputs[topic].received >= count for topic, count in counts.items()), f"{counts} at {self.name}"
        )
        done = threading.Event()
        self.node.submit(done.set)
        self._world.wait(done.is_set, f"the worker of {self.name}")

    def value(self, key: str) -> str:
        """What the newest diagnostics say of `key`, '' where they say nothing."""
        return self._world.diagnostics.get(self.name, {}).get(key, "")

    @property
    def problem(self) -> str:
        return self.value("last problem")

    def wait_for(self, **values: int) -> None:
        """Wait until the diagnostics show these numbers."""
        self._world.wait(
            lambda: all(self.value(key) == str(value) for key, value in values.items()),
            f"{values} in the diagnostics of {self.name}",
        )

    def wait_for_problem(self, *parts: str) -> None:
        """Wait until the last problem is one line that holds all of `parts`."""
        self._world.wait(
            lambda: all(part in self.problem for part in parts) and "\n" not in self.problem,
            f"a problem with {parts} of {self.name}",
        )


class World:
    """A context with a peer that talks to the nodes under test. Use it by the fixture `world`."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context, args=[])
        self.peer = rclpy.create_node("peer", context=self.context, start_parameter_services=False)
        #: Of every node by its full name: the newest diagnostics, with their `message` and `level` among the values.
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.changed = threading.Condition()
        self.tested: list[Tested] = []
        self.peer.create_subscription(DiagnosticArray, "/diagnostics", self._note_diagnostics, 100)
        self._clock = self.peer.create_publisher(Clock, "/clock", 10)
        self._spinner = Spinner(self.peer, self.context)

    def close(self) -> None:
        for tested in self.tested:
            tested.spinner.close()
            tested.node.close()
            tested.node.destroy_node()
        self._spinner.close()
        self.peer.destroy_node()
        self.context.try_shutdown()

    def node(self, name: str, *, arguments: Sequence[str] = (), **parameters: object) -> Tested:
        """Start a node of this package; '__' in a parameter's name stands for a dot. `arguments`: after --ros-args."""
        overrides = [Parameter(key.replace("__", "."), value=value) for key, value in parameters.items()]
        node = create_node(
            name,
            context=self.context,
            parameter_overrides=overrides,
            cli_args=["--ros-args", *arguments] if arguments else None,
        )
        start(node)
        tested = Tested(self, node, Spinner(node, self.context))
        self.tested.append(tested)
        return tested

    def wait(self, condition: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until `condition` holds, looking again at every message; the test fails where it never does."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while not condition():
                for tested in self.tested:
                    if tested.spinner.failure:
                        raise tested.spinner.failure
                if time.monotonic() > deadline:
                    pytest.fail(f"waited {timeout_s:.0f} s in vain for {what}; diagnostics: {self.diagnostics}")
                self.changed.wait(0.005)

    def listen(self, message_class: type, topic: str, *, kept: bool = False) -> list[Any]:
        """Every message of a topic from now on, in order of arrival, in a list that grows; where it is `kept`, with the
        last before."""
        messages: list[Any] = []

        def note(message: Any) -> None:
            with self.changed:
                messages.append(message)
                self.changed.notify_all()

        durability = DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE
        self.peer.create_subscription(message_class, topic, note, QoSProfile(depth=1000, durability=durability))
        return messages

    def publisher(
        self, message_class: type, topic: str, *, linked: bool = True, reliability: ReliabilityPolicy | None = None
    ) -> Any:
        """A publisher that somebody listens to, unless `linked` is false."""
        qos = QoSProfile(depth=1000, reliability=reliability or ReliabilityPolicy.RELIABLE)
        publisher = self.peer.create_publisher(message_class, topic, qos)
        if linked:
            self.wait(lambda: publisher.get_subscription_count() > 0, f"somebody who listens to {topic}")
        return publisher

    def wait_for_outputs(self, tested: Tested, *topics: str) -> None:
        """Wait until somebody hears what a node publishes on these topics."""
        outputs = [item for item in tested.node.publishers if item.topic_name.rsplit("/", 1)[-1] in topics]
        assert len(outputs) == len(topics)
        self.wait(lambda: all(item.get_subscription_count() for item in outputs), f"listeners of {topics}")

    @contextmanager
    def stranger(self) -> Iterator[Any]:
        """A node of another context, as of another process; nobody spins it."""
        context = Context()
        rclpy.init(context=context, args=[])
        node = rclpy.create_node("stranger", context=context)
        yield node
        node.destroy_node()
        context.try_shutdown()

    def set_clock(self, now_ns: int, *tested: Tested) -> None:
        """Publish the simulation clock until the nodes have it."""

        def is_set() -> bool:
            if all(item.node.get_clock().now().nanoseconds == now_ns for item in tested):
                return True
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(now_ns, NS_PER_S)
            self._clock.publish(message)
            return False

        self.wait(is_set, "the simulation clock")

    def call(self, service_class: type, name: str, request: Any) -> Any:
        """Call a service and wait for the answer."""
        client = self.peer.create_client(service_class, name)
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.wait(future.done, f"an answer of {name}")
        self.peer.destroy_client(client)
        return future.result()

    def waiting(self, action: str = "wait_for_emotion") -> WaitClient:
        """A client of the action, once somebody serves it."""
        return WaitClient(self, action)

    def _note_diagnostics(self, message: DiagnosticArray) -> None:
        with self.changed:
            for status in message.status:
                level = status.level if isinstance(status.level, bytes) else bytes([status.level])
                values = {item.key: item.value for item in status.values}
                self.diagnostics[status.name] = values | {"message": status.message, "level": str(level[0])}
            self.changed.notify_all()


class WaitClient:
    """A client of `WaitForEmotion`."""

    def __init__(self, world: World, action: str) -> None:
        self.feedback: list[WaitForEmotion.Feedback] = []
        self._world = world
        self._client = ActionClient(world.peer, WaitForEmotion, action)
        world.wait(self._client.server_is_ready, f"a server of {action}")

    def send(self, *labels: str, **fields: object) -> Any:
        """Send a goal; its handle, once it is known whether it was accepted."""
        future = self._client.send_goal_async(
            WaitForEmotion.Goal(labels=list(labels), **fields), lambda item: self.feedback.append(item.feedback)
        )
        self._world.wait(future.done, "whether the goal was accepted")
        return future.result()

    def result(self, handle: Any) -> tuple[int, WaitForEmotion.Result]:
        """Status and result of an accepted goal, once it has ended."""
        future = handle.get_result_async()
        self._world.wait(future.done, "the result of the goal")
        return future.result().status, future.result().result

    def close(self) -> None:
        """Be gone."""
        self._client.destroy()

    def cancel(self, handle: Any) -> bool:
        """Cancel a goal; whether that was accepted."""
        future = handle.cancel_goal_async()
        self._world.wait(future.done, "the answer to the cancelling")
        return bool(future.result().goals_canceling)


def package_message(kind: str) -> Any:
    """An empty message by its full name, such as std_msgs/Header."""
    package, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)()


def audio_message(chunk: AudioChunk) -> AudioFrame:
    return conversions.fill(AudioFrame(), conversions.audio_to_fields(chunk))


def skeleton_message(frame: SkeletonFrame) -> Skeleton:
    return conversions.fill(Skeleton(), conversions.skeleton_to_fields(frame))


def utterance_message(event: UtteranceEvent) -> Utterance:
    return conversions.fill(Utterance(), conversions.utterance_to_fields(event), {"words": Word})


def demo_values(*, until_s: float = 1e9) -> tuple[list[AudioChunk], list[SkeletonFrame]]:
    """Audio and skeletons of the demo bag, up to a time since its start."""
    audio, skeletons = _read_demo(until_s)
    return list(audio), list(skeletons)


@cache
def _read_demo(until_s: float) -> tuple[list[AudioChunk], list[SkeletonFrame]]:
    audio, skeletons = [], []
    with Bag(DEMO) as bag:
        for message in bag.messages():
            if message.log_ns - bag.start_ns > until_s * NS_PER_S:
                break
            if message.topic == "/audio":
                audio.append(conversions.audio_from_msg(message.decode()))
            else:
                skeletons.append(conversions.skeleton_from_msg(message.decode()))
    return audio, skeletons
