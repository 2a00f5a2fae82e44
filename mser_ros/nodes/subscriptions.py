"""A subscription that fits the publisher it finds, and says so when it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..errors import SettingsError


@contextmanager
def opening(node: Node, topic: str) -> Iterator[None]:
    """What the middleware raises where a topic cannot be opened, as one sentence."""
    try:
        yield
    except RuntimeError as error:
        if not node.context.ok():
            raise
        raise SettingsError(
            f"topic '{topic}' cannot be opened as {node.resolve_topic_name(topic)} ({error}): remap it to a topic that "
            "nothing else in this process uses with another type"
        ) from None


class InputTopic:
    """Listens to a topic reliably, or at best effort where one of its publishers offers no more.

    `check` is to be called once a second: it adapts to publishers that came or went, and returns a sentence when the
    topic carries another type than the node expects.
    """

    def __init__(
        self, node: Node, message_class: type, topic: str, callback: Callable[[Any], None], *, depth: int
    ) -> None:
        self._node = node
        self._message_class = message_class
        self._callback = callback
        self._depth = depth
        self._has_announced = False
        self.topic = topic
        self.received = 0
        self._reliability = ReliabilityPolicy.RELIABLE
        self._subscription = self._subscribe()
        self._type = f"{message_class.__module__.split('.')[0]}/msg/{message_class.__name__}"

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)

    def check(self) -> str:
        """Adapt to the publishers; a sentence that names the cure where they do not fit, else ''."""
        publishers = self._node.get_publishers_info_by_topic(self._subscription.topic_name)
        fitting = [item for item in publishers if item.topic_type == self._type]
        offered = {item.qos_profile.reliability for item in fitting}
        wanted = ReliabilityPolicy.RELIABLE
        if ReliabilityPolicy.BEST_EFFORT in offered:
            wanted = ReliabilityPolicy.BEST_EFFORT
        if fitting and wanted != self._reliability:
            self._reliability = wanted
            self._node.destroy_subscription(self._subscription)
            self._subscription = self._subscribe()
            self._announce_best_effort([item.node_name for item in fitting])
        wrong = sorted({item.topic_type for item in publishers} - {self._type})
        if wrong and not fitting:
            return (
                f"topic {self._subscription.topic_name} carries {', '.join(wrong)}, but {self._node.get_name()} needs "
                f"{self._type}: remap '{self.topic}' to a topic of that type"
            )
        return ""

    def _announce_best_effort(self, publishers: list[str]) -> None:
        """Once, however often publishers come and go."""
        if self._reliability is ReliabilityPolicy.BEST_EFFORT and not self._has_announced:
            self._has_announced = True
            self._node.get_logger().warning(
                f"{self._subscription.topic_name} is published at best effort by {', '.join(sorted(set(publishers)))}: "
                "listening likewise, so messages may get lost; make the publisher reliable if they do"
            )

    def _subscribe(self) -> Any:
        qos = QoSProfile(depth=self._depth, reliability=self._reliability, durability=DurabilityPolicy.VOLATILE)
        with opening(self._node, self.topic):
            return self._node.create_subscription(self._message_class, self.topic, self._receive, qos)

    def _receive(self, message: Any) -> None:
        self.received += 1
        self._callback(message)
