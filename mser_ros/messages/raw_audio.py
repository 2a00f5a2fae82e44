"""Sound that Foxglove plays: interleaved samples as `foxglove_msgs/RawAudio`, which is only written."""

from __future__ import annotations

import numpy as np

from ..types import AudioChunk
from .conversions import Fields, ns_to_time

RAW_AUDIO = "foxglove_msgs/msg/RawAudio"
#: Its fields.
DEFINITION = """
builtin_interfaces/Time timestamp
uint8[] data
string format
uint32 sample_rate
uint32 number_of_channels
"""


def audio_to_raw_fields(chunk: AudioChunk) -> Fields:
    """Fields of the message."""
    data = np.frombuffer(np.ascontiguousarray(chunk.samples, "<i2").tobytes(), np.uint8)
    return {
        "timestamp": ns_to_time(chunk.stamp_ns),
        "data": data,
        "format": "pcm-s16",
        "sample_rate": chunk.sample_rate,
        "number_of_channels": chunk.channels,
    }
