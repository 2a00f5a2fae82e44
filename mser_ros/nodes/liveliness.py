"""Whether the process of another node lives: what a graph tells of one that was killed is true only after 20 s.

Each node of this package offers a topic `~/alive` that carries nothing. The middleware says for it within `LEASE_S`,
however busy the node is, that its process lives (DDS: automatic liveliness); who listens hears where it does not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import LivelinessPolicy, QoSProfile
from std_msgs.msg import Empty

from . import events

#: A process of which the middleware has not heard for so long is dead [s]. It is heard three times in two of these.
LEASE_S = 0.7
#: Who lives is heard of at once. Where nothing was heard for so long [s], the news may have been lost: it is asked for
#: anew, but so often at most, for of nodes in the same process none ever comes.
_ANEW_S, _ATTEMPTS = 2.0, 5


def _quality() -> QoSProfile:
    lease = Duration(seconds=LEASE_S)
    return QoSProfile(depth=1, liveliness=LivelinessPolicy.AUTOMATIC, liveliness_lease_duration=lease)


def show_life(node: Node) -> None:
    """Let others see that this node's process lives, for as long as the node is not destroyed."""
    node.create_publisher(Empty, "~/alive", _quality(), event_callbacks=events.of_publisher())


class Sources:
    """The nodes that feed this one, as far as they show that they live; `changed` is called where one was heard for the
    first time, has died or is back. To be used in the executor.

    `alive`: the full names of those in other processes that were heard to live. One that dies before that, in its first
    half second, is missed only when the graph has noticed.
    """

    def __init__(self, node: Node, changed: Callable[[], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: steady seconds."""
        self._node = node
        self._changed = changed
        self._clock = clock
        self._watched: dict[str, Any] = {}
        self._asked: dict[str, tuple[int, float]] = {}  # how often, and when last
        self._dead: set[str] = set()
        self.alive: set[str] = set()

    def watch(self, names: Collection[str]) -> None:
        """From now on these nodes, by their full names, and no others."""
        for name in [name for name in self._watched if name not in names]:
            self._unsubscribe(name)
            self._asked.pop(name, None)
            self._dead.discard(name)
            self.alive.discard(name)
        for name in names:
            if name in self._watched and self._is_unheard(name):
                self._unsubscribe(name)
            if name not in self._watched and self._node.count_publishers(_topic(name)):
                self._watched[name] = self._subscribe(name)
                self._asked[name] = self._asked.get(name, (0, 0.0))[0] + 1, self._clock()

    def has_died(self, name: str) -> bool:
        """Whether a node is known to be dead, which the graph may not know yet."""
        return name in self._dead

    def close(self) -> None:
        self.watch(())

    def _is_unheard(self, name: str) -> bool:
        times, last_s = self._asked[name]
        is_known = name in self.alive or name in self._dead
        return not is_known and times < _ATTEMPTS and self._clock() - last_s > _ANEW_S

    def _unsubscribe(self, name: str) -> None:
        if (subscription := self._watched.pop(name)) is not None:
            self._node.destroy_subscription(subscription)

    def _subscribe(self, name: str) -> Any:
        def note(status: Any) -> None:
            if status.alive_count == status.not_alive_count == 0:
                return  # it is not known any more: of one that is dead the graph may not have heard yet
            now, before = (self._dead, self.alive) if status.alive_count == 0 else (self.alive, self._dead)
            if name in self._watched and name not in now:
                now.add(name)
                before.discard(name)
                self._changed()

        try:
            return self._node.create_subscription(
                Empty, _topic(name), _ignore, _quality(), event_callbacks=events.of_subscription(note)
            )
        except RuntimeError:  # a middleware without such events: then it is as with the nodes of others
            return None


def _topic(name: str) -> str:
    return f"{name}/alive"


def _ignore(message: Empty) -> None:
    """Nothing comes."""
