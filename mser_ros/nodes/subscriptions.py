"""A subscription that fits the publisher it finds, and says so when it cannot, or when nothing comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import Enum
from importlib import import_module
from typing import Any

from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..errors import SettingsError
from . import events
from .diagnostics import Level, Pace, Problem

#: How long an input may be silent at its start; and how long its source may be gone before that is an error.
SILENCE_S = 6.0
#: A steady input pauses at most for so long, or for so many of the longest of its latest gaps.
PAUSE_S, _GAPS = 0.7, 3
#: How much less a gap counts with each message after it.
_FADING = 0.9


class Flow(Enum):
    """What is expected of an input while all is well."""

    STEADY = "messages come all the time"
    AT_TIMES = "somebody publishes; messages come when there is news"
    OPTIONAL = "nobody need publish, but who does must not vanish"
    PASSING = "as OPTIONAL, of something that comes and goes: its source may be gone a little before it"


@contextmanager
def opening(node: Node, topic: str) -> Iterator[None]:
    """What the middleware raises where a topic cannot be opened, as one sentence."""
    try:
        yield
    except NameValidationException as error:
        raise SettingsError(
            f"there can be no topic '{topic}' ({str(error).splitlines()[0]}): name it otherwise"
        ) from None
    except RuntimeError as error:
        if not node.context.ok():
            raise
        raise SettingsError(
            f"topic '{topic}' cannot be opened as {node.resolve_topic_name(topic)} ({error}): remap it to a topic that "
            "nothing else in this process uses with another type"
        ) from None


def type_name(message_class: type) -> str:
    """As ROS calls it: 'std_msgs/msg/Bool'."""
    return f"{message_class.__module__.split('.')[0]}/msg/{message_class.__name__}"


def find_type(name: str) -> type | None:
    """The class of a message type such as 'std_msgs/msg/Bool'; None where its package is not installed."""
    package, *rest = name.split("/")
    if not package or len(rest) != 2:
        return None
    try:
        found: type = getattr(import_module(f"{package}.msg"), rest[1])
    except (ImportError, AttributeError):
        return None
    return found


class InputTopic:
    """Listens to a topic reliably, or at best effort where one of its publishers offers no more.

    `check` is to be called once a second: it adapts to publishers that came or went, and where nobody publishes its
    type takes the first of `others` (such as 'std_msgs/msg/Bool') that somebody does. `source` tells a user who should
    publish. `kept`: the last message before is wanted as well, unless one of the publishers keeps none. `clock`: steady
    seconds, so that a paused or absent simulation clock hides no silence. `has_died`: of a node by its full name, what
    the graph does not know yet.

    `sources`: full names of the nodes that publish, as of the last `check`; `publishers`: of those that are not
    known to be dead, a name for each of their publishers.
    """

    def __init__(
        self,
        node: Node,
        message_class: type,
        topic: str,
        callback: Callable[[Any], None],
        *,
        depth: int,
        flow: Flow,
        source: str,
        others: Sequence[str] = (),
        kept: bool = False,
        clock: Callable[[], float] = time.monotonic,
        has_died: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._node = node
        self._message_class = message_class
        self._callback = callback
        self._depth = depth
        self._has_announced = False
        self.flow = flow
        self._source = source
        self._is_kept = kept
        self._durability = DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE
        self._clock = clock
        self._has_died = has_died
        self.sources: frozenset[str] = frozenset()
        self.publishers: tuple[str, ...] = ()
        self.topic = topic
        self.received = 0
        self.pace = Pace(clock)
        self._reliability = ReliabilityPolicy.RELIABLE
        self._subscription = self._subscribe()
        self._type = type_name(message_class)
        self._types = (self._type, *others)
        self._received_s = self._published_s = clock()
        self._is_published = self._was_published = False
        self._is_flowing = self._is_resting = False
        self._gap_s = 0.0  # the longest of late

    def close(self) -> None:
        self._node.destroy_subscription(self._subscription)

    def check(self) -> str:
        """Adapt to the publishers; a sentence that names the cure where they do not fit, else ''.

        Raises `SettingsError` where the topic cannot be opened anew; it then listens as before.
        """
        publishers = self._node.get_publishers_info_by_topic(self._subscription.topic_name)
        offered_types = {item.topic_type for item in publishers}
        if self._type not in offered_types and (other := next(filter(offered_types.__contains__, self._types), "")):
            self._take(other)
        fitting = [item for item in publishers if item.topic_type == self._type]
        names = sorted(f"{item.node_namespace.rstrip('/')}/{item.node_name}" for item in fitting)
        self.sources = frozenset(names)
        self.publishers = tuple(name for name in names if not self._has_died(name))
        self._is_published = bool(self.publishers)
        if self._is_published:
            self._was_published, self._published_s = True, self._clock()
        offered = {item.qos_profile.reliability for item in fitting}
        reliability, durability = ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE
        if ReliabilityPolicy.BEST_EFFORT in offered:
            reliability = ReliabilityPolicy.BEST_EFFORT
        if self._is_kept and all(item.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for item in fitting):
            durability = DurabilityPolicy.TRANSIENT_LOCAL
        before = (self._reliability, self._durability)
        if fitting and (reliability, durability) != before:
            subscription = self._subscription
            self._reliability, self._durability = reliability, durability
            try:
                self._subscription = self._subscribe()
            except SettingsError:
                self._reliability, self._durability = before
                raise
            self._node.destroy_subscription(subscription)
            if reliability != before[0]:
                self._announce_best_effort([item.node_name for item in fitting])
        wrong = sorted({item.topic_type for item in publishers} - {self._type})
        if wrong and not fitting:
            return (
                f"topic {self._subscription.topic_name} carries {', '.join(wrong)}, but {self._node.get_name()} needs "
                f"{' or '.join(self._types)}: remap '{self.topic}' to a topic of such a type"
            )
        return ""

    def _take(self, name: str) -> None:
        """Listen to messages of this type from now on."""
        if (message_class := find_type(name)) is None:
            raise SettingsError(
                f"topic {self._subscription.topic_name} carries {name}, which is not installed here: install or build "
                f"the package {name.partition('/')[0]} and source its workspace"
            )
        # A participant of Fast DDS knows a topic by one type at a time.
        self._node.destroy_subscription(self._subscription)
        before, self._message_class = self._message_class, message_class
        try:
            self._subscription = self._subscribe()
        except SettingsError:
            self._message_class = before
            self._subscription = self._subscribe()
            raise
        self._type = name
        self._node.get_logger().info(f"{self._subscription.topic_name} carries {name}: listening to that")

    def _announce_best_effort(self, publishers: list[str]) -> None:
        """Once, however often publishers come and go."""
        if self._reliability is ReliabilityPolicy.BEST_EFFORT and not self._has_announced:
            self._has_announced = True
            self._node.get_logger().warning(
                f"{self._subscription.topic_name} is published at best effort by {', '.join(sorted(set(publishers)))}: "
                "listening likewise, so messages may get lost; make the publisher reliable if they do"
            )

    def missing(self) -> Problem | None:
        """What is expected and does not come, as far as `check` has seen."""
        name, now_s = self._subscription.topic_name, self._clock()
        silent_s, unpublished_s = now_s - self._received_s, now_s - self._published_s
        is_long_ago = unpublished_s >= SILENCE_S
        if self._was_published and not self._is_published and (is_long_ago or self.flow is not Flow.PASSING):
            level = Level.ERROR if is_long_ago else Level.WARN
            return Problem(f"nobody publishes {name} any more: restart {self._source}", level)
        if is_long_ago and self.flow is Flow.AT_TIMES:
            return Problem(f"nobody publishes {name}: start {self._source}, or remap '{self.topic}' to its topic")
        patience_s = min(SILENCE_S, max(PAUSE_S, _GAPS * self._gap_s)) if self._is_flowing else SILENCE_S
        if silent_s >= patience_s and self.flow is Flow.STEADY and not self._is_resting:
            return Problem(
                f"nothing received on {name} for {silent_s:.0f} s: start or activate {self._source}, or remap "
                f"'{self.topic}' to its topic"
            )
        return None

    def rest(self, is_resting: bool) -> None:
        """Expect nothing for now, although it comes steadily else; or expect it again."""
        if is_resting != self._is_resting:
            self._is_resting, self._is_flowing, self._received_s = is_resting, False, self._clock()

    def promise(self) -> None:
        """Its source tells that more will come, which is as good as a message."""
        if self._is_flowing:
            self._received_s = self._clock()

    def excuse(self, late_s: float) -> None:
        """The executor was held up for so long: what has come since then may wait to be received."""
        self._received_s = min(self._clock(), self._received_s + late_s)

    def _subscribe(self) -> Any:
        qos = QoSProfile(depth=self._depth, reliability=self._reliability, durability=self._durability)
        with opening(self._node, self.topic):
            return self._node.create_subscription(
                self._message_class, self.topic, self._receive, qos, event_callbacks=events.of_subscription()
            )

    def _receive(self, message: Any) -> None:
        now_s = self._clock()
        gap_s = now_s - self._received_s if self._is_flowing else 0.0
        self._gap_s = max(min(gap_s, SILENCE_S / _GAPS), _FADING * self._gap_s)
        self.received += 1
        self.pace.note()
        self._is_flowing, self._received_s = True, now_s
        # Who says one thing and goes may never be seen by `check`.
        self._is_published, self._was_published, self._published_s = True, True, now_s
        self._callback(message)
