"""Audio and bodies of any time, as the emotion stage is given them."""

from __future__ import annotations

import numpy as np
from mocap_poses import pose_of

from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, SkeletonFrame, to_ns
from mser_ros.types import SAMPLE_RATE as RATE

T0 = 1_700_000_000 * NS_PER_S
CHUNK_S = 0.064


def voice(begin_s: float, end_s: float, *, voice_id: str = "anna", level: float = 0.1) -> list[AudioChunk]:
    """Audio that lasts from one time to another after T0, in chunks of 64 ms."""
    count = round((end_s - begin_s) / CHUNK_S)
    size = round(CHUNK_S * RATE)
    samples = np.full((size, 1), round(level * 32768), np.int16)
    samples[::2] *= -1
    first_ns = T0 + to_ns(begin_s)
    return [
        AudioChunk(samples, RATE, first_ns + number * size * SAMPLE_NS, number * size, voice_id)
        for number in range(count)
    ]


def body(begin_s: float, end_s: float, *, body_id: str = "b", rate_hz: float = 25) -> list[SkeletonFrame]:
    pose = pose_of("egait16")
    times = np.arange(begin_s, end_s, 1 / rate_hz)
    confidence = np.ones(len(pose), np.float32)
    return [
        SkeletonFrame(T0 + to_ns(float(time)), body_id, "egait16", pose + np.float32(0.01 * time), confidence)
        for time in times
    ]
