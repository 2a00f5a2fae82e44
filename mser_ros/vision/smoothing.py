"""Joints that stand still although the network's answers tremble, and do not lag when they move."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from .networks import Landmarks

#: Cutoff for the speed itself.
_SPEED_HZ = 1.0


class OneEuroFilter:
    """Smooths what rests, and follows what moves: G. Casiez, N. Roussel, D. Vogel, 1€ Filter (CHI 2012).

    `least_hz`: cutoff for what rests. `slope`: by how much it rises with the speed, in hertz for a unit a second.
    """

    def __init__(self, *, least_hz: float, slope: float) -> None:
        self._least_hz, self._slope = least_hz, slope
        self._at_s: float | None = None

    def smooth(self, values: np.ndarray, at_s: float, *, unit: float = 1.0) -> np.ndarray:
        """The values of a later moment, smoothed. `unit`: what their speed is told in."""
        if self._at_s is None:
            self._values, self._raw, self._speed = values, values, np.zeros_like(values)
        elif (period_s := at_s - self._at_s) > 0:
            speed = (values - self._raw) / (unit * period_s)
            self._speed = self._speed + _share(_SPEED_HZ, period_s) * (speed - self._speed)
            cutoff_hz = self._least_hz + self._slope * np.abs(self._speed)
            self._values = self._values + _share(cutoff_hz, period_s) * (values - self._values)
            self._raw = values
        self._at_s = at_s
        return self._values


def _share(cutoff_hz: np.ndarray | float, period_s: float) -> np.ndarray | float:
    """How much a first-order low pass takes of a new value."""
    turns = 2 * math.pi * cutoff_hz * period_s
    return turns / (turns + 1)


@dataclass
class BodySmoother:
    """Smooths the landmarks of one person. The constants are MediaPipe's (modules/pose_landmark): the circle from which
    the next region comes is held most, as a region that trembles makes the joints in it tremble."""

    _image: OneEuroFilter = field(default_factory=lambda: OneEuroFilter(least_hz=0.05, slope=80.0))
    _metres: OneEuroFilter = field(default_factory=lambda: OneEuroFilter(least_hz=0.1, slope=40.0))
    _circle: OneEuroFilter = field(default_factory=lambda: OneEuroFilter(least_hz=0.01, slope=10.0))

    def smooth(self, landmarks: Landmarks, at_s: float) -> Landmarks:
        """The landmarks of a later image, at a time in seconds."""
        side = landmarks.next_region.side
        return replace(
            landmarks,
            image=self._image.smooth(landmarks.image, at_s, unit=side),
            metres=self._metres.smooth(landmarks.metres, at_s),
            circle=self._circle.smooth(landmarks.circle, at_s, unit=side),
        )
