"""How everybody is, as topics: states at a steady rate, events where they begin or end, and labels for viewers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from mser_msgs.msg import EmotionEvent, EmotionState
from visualization_msgs.msg import Marker, MarkerArray

from ..messages import conversions
from ..messages.markers import EmotionLabels
from ..mocap.buffer import SkeletonBuffer
from ..settings import EmotionSettings
from ..stages.state import EmotionStates
from ..types import EmotionEstimate, PersonState, StateEvent
from .base import PerceptionNode

#: How often it is looked whether events begin or end where no states are published.
_EVENTS_HZ = 2.0


class StateTopics:
    """Publishes `state`, `event` and, while somebody looks, `markers` of a node. To be made while it is configured;
    `connect` and `disconnect` are the executor's, the rest is the worker's."""

    def __init__(
        self, node: PerceptionNode, settings: EmotionSettings, labels: Sequence[str], skeletons: SkeletonBuffer
    ) -> None:
        """`labels`: of the bundle. `skeletons`: where bodies are, for the labels over their heads."""
        self._node = node
        self._skeletons = skeletons
        self._clockwork: Any = None
        self.states = EmotionStates(settings.state, labels)
        self.labels = EmotionLabels(settings.markers, 1 / max(settings.state.rate_hz, 0.1))
        self._state = node.outputs.open(EmotionState, "state", depth=16)
        self._markers = node.outputs.open(MarkerArray, "markers", depth=4)
        self._event = node.outputs.open(EmotionEvent, "event", depth=64, kept=True)

    def connect(self) -> None:
        """Begin to publish."""
        settings = self.states.settings
        if rate_hz := settings.rate_hz or (_EVENTS_HZ if settings.events else 0.0):
            self._clockwork = self._node.create_timer(1 / rate_hz, lambda: self._node.submit_due("states", self._tell))

    def disconnect(self) -> None:
        if self._clockwork is not None:
            self._node.destroy_timer(self._clockwork)
            self._clockwork = None

    def push(self, estimate: EmotionEstimate, now_ns: int) -> None:
        """Take an estimate in, that came at this time of the node's clock, which that of a bag need not be."""
        self.states.push(estimate, now_ns)
        self.labels.note(estimate)

    def rename(self, current_name: Callable[[str], str], names: Collection[str]) -> None:
        """Some of those that were called by `names` go by another one now."""
        self.states.rename(current_name, names)
        self.labels.rename(current_name, names)

    def look(self, now_ns: int) -> Sequence[PersonState]:
        """How everybody is now; what has begun or ended by that is published, and the last of who is not known any
        more, whoever looks."""
        states, events = self.states.at(now_ns)
        self._publish(events)
        if self.states.settings.rate_hz:
            self._publish_states(self.states.gone)
        return states

    def finish(self) -> None:
        """End what is going on: the node stops working."""
        self._publish(self.states.forget())
        self.look(self._node.get_clock().now().nanoseconds)

    def _tell(self) -> None:
        states = self.look(self._node.now_ns())
        if not self.states.settings.rate_hz:  # looked at for the events' sake
            return
        self._publish_states(states)
        if self._markers.get_subscription_count():
            labels = {"markers": self.labels.fields(states, self._skeletons)}
            self._markers.publish(conversions.fill(MarkerArray(), labels, {"markers": Marker}))

    def _publish_states(self, states: Iterable[PersonState]) -> None:
        for state in states:
            self._state.publish(conversions.fill(EmotionState(), conversions.state_to_fields(state)))

    def _publish(self, events: Iterable[StateEvent]) -> None:
        for event in events:
            self._event.publish(conversions.fill(EmotionEvent(), conversions.event_to_fields(event)))
