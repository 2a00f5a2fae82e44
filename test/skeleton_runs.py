"""Skeletons through their stream, and what it made of them."""

from __future__ import annotations

import numpy as np

from mser_ros.mocap.stream import SkeletonStream
from mser_ros.settings import MocapSettings
from mser_ros.types import NS_PER_S, SkeletonFrame

T0 = 1_700_000_000 * NS_PER_S


def frame(
    positions: np.ndarray, number: int = 0, *, layout: str = "canonical15", body_id: str = "a", rate_hz=30.0, **more
):
    stamp_ns = T0 + round(number * NS_PER_S / rate_hz)
    ones = np.ones(len(positions), np.float32)
    return SkeletonFrame(stamp_ns, body_id, layout, np.asarray(positions, np.float32), **{"confidence": ones, **more})


class Run:
    """A stream with what it made of frames, and what it said."""

    def __init__(self, **settings) -> None:
        self.notes: list[str] = []
        self.stream = SkeletonStream(MocapSettings(**settings), on_note=self.notes.append)
        self.made: list[SkeletonFrame] = []

    def give(self, frames) -> Run:
        self.made += [self.stream.push(item) for item in frames]
        assert not any("\n" in note for note in self.notes)
        return self

    @property
    def found(self) -> dict[str, int]:
        counts = vars(self.stream.counters)
        return {name: count for name, count in counts.items() if count and name != "frames"}


def frames_of(motion: np.ndarray, layout: str = "canonical15", body_id: str = "a", **more) -> list[SkeletonFrame]:
    return [frame(body, number, layout=layout, body_id=body_id, **more) for number, body in enumerate(motion)]
