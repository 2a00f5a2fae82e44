"""What a node asks the middleware to tell of its topics: nothing that it does not use.

rclpy adds handlers of its own to every topic that log where quality or type do not fit. `InputTopic` finds that out and
names the cure, and who listens to an output is warned on that side. In the executor they take half of the time of every
turn: it looks at each of them whenever a message comes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks


def of_publisher() -> PublisherEventCallbacks:
    """None."""
    return PublisherEventCallbacks(use_default_callbacks=False)


def of_subscription(liveliness: Callable[[Any], None] | None = None) -> SubscriptionEventCallbacks:
    """`liveliness`: what is called where a publisher has died or is back."""
    return SubscriptionEventCallbacks(liveliness=liveliness, use_default_callbacks=False)
