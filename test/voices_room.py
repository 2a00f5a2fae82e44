"""A room in which voices speak, for tests of voices that are heard apart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from clips import silence, spoken

from mser_ros.settings import SpeechSettings
from mser_ros.stages.voices import SpeechStages
from mser_ros.types import AudioChunk, UtteranceEvent, to_ns

T0 = 1_700_000_000_000_000_000
SAID = np.concatenate([silence(0.5), spoken(0), silence(1.0)])
OTHER = np.concatenate([silence(0.5), spoken(1), silence(1.0)])


class Room:
    def __init__(self, settings: SpeechSettings) -> None:
        self.now_ns = T0
        self.stages = SpeechStages(settings, clock=lambda: self.now_ns)

    def say(self, samples: np.ndarray, *voices: str, at_s: float = 0.0) -> list[AudioChunk | UtteranceEvent]:
        """The same samples by each of these voices at once, in blocks."""
        items: list[AudioChunk | UtteranceEvent] = []
        for at in range(0, len(samples), 1600):
            for voice_id in voices:
                stamp_ns = T0 + to_ns(at_s) + at * 62_500
                chunk = AudioChunk(samples[at : at + 1600, np.newaxis], 16000, stamp_ns, voice_id=voice_id)
                items += self.stages.push(chunk, None, voice_id)
        return items


def events(items: Iterable[AudioChunk | UtteranceEvent]) -> list[UtteranceEvent]:
    return [item for item in items if isinstance(item, UtteranceEvent)]
