"""What a node publishes on: reliable, gone at cleanup, and silent while the node is inactive, but where it is said."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from . import events
from .subscriptions import opening


class Outputs:
    """The publishers of a node, by their topics. To be used in the executor.

    `is_active`: whether the node has been activated; rclpy activates only those that were there before.
    """

    def __init__(self, node: LifecycleNode, is_active: Callable[[], bool]) -> None:
        self._node = node
        self._is_active = is_active
        self._publishers: dict[str, Publisher] = {}
        self._passing: set[str] = set()

    def open(
        self, message_class: type, topic: str, *, depth: int, kept: bool = False, if_inactive: bool = False
    ) -> Publisher:
        """The publisher on `topic`. `kept`: who subscribes later gets the last messages. `if_inactive`: it can be used
        while the node is inactive as well. Of an active node it can be used at once. Raises `SettingsError` where the
        topic's name is none."""
        durability = DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE
        qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE, durability=durability)
        create = self._node.create_publisher if if_inactive else self._node.create_lifecycle_publisher
        if topic not in self._publishers:
            with opening(self._node, topic):
                self._publishers[topic] = create(message_class, topic, qos, event_callbacks=events.of_publisher())
                if self._is_active():
                    self._passing.add(topic)
        publisher = self._publishers[topic]
        if self._is_active() and isinstance(publisher, LifecyclePublisher):
            publisher.on_activate(None)
        return publisher

    def close(self, topic: str) -> None:
        """Publish on this topic no more."""
        self._passing.discard(topic)
        publisher = self._publishers.pop(topic, None)
        if isinstance(publisher, LifecyclePublisher):
            self._node.destroy_lifecycle_publisher(publisher)
        elif publisher is not None:
            self._node.destroy_publisher(publisher)

    def close_passing(self) -> None:
        """Close what was opened while the node was active: whom it was for may have left meanwhile."""
        for topic in list(self._passing):
            self.close(topic)

    def close_all(self) -> None:
        for topic in list(self._publishers):
            self.close(topic)

    def deliver(self, until_s: float) -> None:
        """Wait until subscribers have confirmed what was published, but not beyond this time of the steady clock."""
        for publisher in self._publishers.values():
            with contextlib.suppress(RuntimeError):  # not every middleware can tell
                publisher.wait_for_all_acked(Duration(seconds=max(0.0, until_s - time.monotonic())))

    def subscribers(self) -> dict[str, int]:
        """How many listen to each topic."""
        return {topic: publisher.get_subscription_count() for topic, publisher in self._publishers.items()}
