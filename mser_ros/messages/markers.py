"""What people feel as labels over their heads, for rviz and Foxglove: fields of `visualization_msgs/Marker`."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Sequence

import numpy as np

from ..errors import SkeletonError
from ..labels import COLOURS, UNKNOWN
from ..mocap.anatomy import over_head
from ..mocap.buffer import SkeletonBuffer
from ..settings import MarkerSettings
from ..types import EmotionEstimate, PersonState, to_ns
from .conversions import Fields, ns_to_time

#: Of `visualization_msgs/Marker`.
_TEXT_VIEW_FACING = 9
#: How faint a label is whose emotion is unknown: it must still be read.
_FAINTEST = 0.35
#: People whose newest estimate is kept in mind: at least those whose state is told.
_PEOPLE = 64
#: A label that is not renewed vanishes after so many periods.
_LASTS = 2.5
#: From one label to the next where nobody's body is seen, in heights of a label.
_LINE = 2.6


class EmotionLabels:
    """A label for each person: where the head is, or at a place of its own where no body is seen in space.

    `made` counts how often labels were made. Not thread-safe.
    """

    def __init__(self, settings: MarkerSettings, period_s: float) -> None:
        """`period_s`: how often labels are renewed."""
        self.made = 0
        self._settings = settings
        self._lasts_ns = to_ns(_LASTS * period_s)
        self._newest: dict[str, EmotionEstimate] = {}

    def note(self, estimate: EmotionEstimate) -> None:
        """Keep in mind whose body is whose."""
        name = estimate.subject_id
        self._newest.pop(name, None)
        self._newest[name] = estimate
        if len(self._newest) > _PEOPLE:
            del self._newest[next(iter(self._newest))]

    def rename(self, current_name: Callable[[str], str], names: Collection[str]) -> None:
        """Some of those that were called by `names` go by another one now, as `EmotionStates.rename` has it."""
        for name in [name for name in self._newest if name in names]:
            if (after := current_name(name)) != name:
                estimate = self._newest.pop(name)
                self._newest.setdefault(after, estimate)

    def fields(self, states: Sequence[PersonState], skeletons: SkeletonBuffer) -> list[Fields]:
        """Fields of a `Marker` for each person."""
        self.made += 1
        found, waiting = [], 0
        for state in states:
            estimate = self._newest.get(state.person_id)
            place, frame_id = self._over_head(estimate, skeletons)
            if place is None:
                place = np.array([self._settings.x, self._settings.y, self._settings.z])
                place[2] += waiting * _LINE * self._settings.height
                frame_id = self._settings.frame_id or (estimate.frame_id if estimate else "")
                waiting += 1
            found.append(self._label(state, place, frame_id))
        return found

    def _over_head(self, estimate: EmotionEstimate | None, skeletons: SkeletonBuffer) -> tuple[np.ndarray | None, str]:
        frame = skeletons.newest(estimate.body_id) if estimate and estimate.body_id else None
        if frame is None:
            return None, ""
        try:
            return over_head(frame, self._settings.above), frame.frame_id
        except SkeletonError:
            return None, ""

    def _label(self, state: PersonState, place: np.ndarray, frame_id: str) -> Fields:
        colour = COLOURS.get(state.label, COLOURS[UNKNOWN])
        said = state.label if state.label == UNKNOWN else f"{state.label} {state.confidence:.0%}"
        x, y, z = (float(value) for value in place)
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        return {
            # Without a stamp a viewer takes the newest transform, so that no label waits for one.
            "header": {"stamp": ns_to_time(0), "frame_id": frame_id},
            "ns": "emotion",
            "id": zlib.crc32(state.person_id.encode()) & 0x7FFFFFFF,
            "type": _TEXT_VIEW_FACING,
            "pose": {"position": {"x": x, "y": y, "z": z}},
            "scale": {"z": self._settings.height},
            "color": {"r": red, "g": green, "b": blue, "a": _FAINTEST + (1 - _FAINTEST) * state.confidence},
            "lifetime": ns_to_time(self._lasts_ns),
            "text": f"{state.person_id}\n{said}" if state.person_id else said,
        }
