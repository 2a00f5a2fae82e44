"""What a node listens to: opened, adapted to its publishers, and missed where it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from ..errors import MserError
from .diagnostics import REMINDER_S, Health, Problem
from .liveliness import Sources
from .subscriptions import InputTopic

#: How long an input is missing before the log tells of it, which `/diagnostics` does at once: a short pause is no news.
_WORTH_A_LINE_S = 3.0


class Inputs:
    """The input topics of a node, as `topics`, and the nodes that feed them, as `sources`. To be used in the executor.

    `changed`: called where a node that feeds one of them has died, or is heard to live.
    """

    def __init__(self, node: Node, health: Health, changed: Callable[[], None]) -> None:
        self._node = node
        self._health = health
        self.sources = Sources(node, changed)
        self._since_s: dict[str, float] = {}  # when each that is missing was missed first
        self.topics: list[InputTopic] = []

    def open(self, message_class: type, topic: str, callback: Callable[[Any], None], **expected: Any) -> InputTopic:
        """Listen to one more. `expected`: as of `InputTopic`. Raises `SettingsError` where it cannot be opened."""
        has_died = self.sources.has_died
        self.topics.append(InputTopic(self._node, message_class, topic, callback, has_died=has_died, **expected))
        return self.topics[-1]

    def close(self, item: InputTopic) -> None:
        """Listen to this one no more."""
        if item in self.topics:
            self.topics.remove(item)
            item.close()

    def close_all(self) -> None:
        while self.topics:
            self.topics.pop().close()
        self.sources.close()

    def excuse(self, late_s: float) -> None:
        """The executor was held up for so long."""
        for item in self.topics:
            item.excuse(late_s)

    def missing(self) -> frozenset[str]:
        """Topics that are expected and do not come, as far as is known without asking the graph."""
        return frozenset(item.topic for item in self.topics if item.missing())

    def check_all(self) -> dict[str, Problem]:
        """Adapt every input to its publishers; what is missing, by its topic."""
        found = {item.topic: problem for item in list(self.topics) if (problem := self.check(item))}
        self.sources.watch(frozenset().union(*(item.sources for item in self.topics)))
        return found

    def check(self, item: InputTopic) -> Problem | None:
        """Adapt an input to its publishers; what it lacks."""
        try:
            if mismatch := item.check():
                self._health.warn(mismatch)
        except MserError as error:
            self._health.warn(error)
        except Exception as error:  # of the middleware, about an endpoint that is foreign to it
            self._health.bug(error)
        missing = item.missing()
        now_s = time.monotonic()
        if missing is None:
            self._since_s.pop(item.topic, None)
        elif now_s - self._since_s.setdefault(item.topic, now_s) >= _WORTH_A_LINE_S:
            self._health.remind(missing.sentence, REMINDER_S)
        return missing

    def counters(self) -> dict[str, Any]:
        """What the diagnostics show of each."""
        return {
            **{f"received {item.topic}": item.received for item in self.topics},
            **{f"rate {item.topic}": f"{item.pace.rate_hz():.1f}" for item in self.topics},
            **{f"age {item.topic}": f"{age_s:.1f}" for item in self.topics if (age_s := item.pace.age_s()) >= 0},
        }
