"""A long stream of everything that a robot hears, faster than real time, with the real detector and recogniser.

MSER_SOAK_S=600: ten minutes of it instead of 45 s.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import psutil
from clips import noise, silence, spoken

from mser_ros.evaluation.sounds import chords, hum, motor
from mser_ros.settings import AsrSettings, SpeechSettings
from mser_ros.stages.speech import SpeechStage
from mser_ros.types import NS_PER_S, SAMPLE_NS, AudioChunk, UtteranceEvent, UtteranceState, to_ns
from mser_ros.types import SAMPLE_RATE as RATE

T0 = 1_700_000_000 * NS_PER_S
BLOCK = 1024
WORDS = ({"sad", "lonely"}, {"train", "platform"})


@dataclass(frozen=True)
class Said:
    """When somebody spoke, and words of it that must be understood."""

    begin_ns: int
    end_ns: int
    words: frozenset[str]


class Room:
    """A source of audio, at its own time; `said` tells what it holds, `disturbances` what befell it."""

    def __init__(self, length_s: float) -> None:
        self.said: list[Said] = []
        self.disturbances: dict[str, int] = {"gap": 0, "reset": 0, "clock": 0, "stereo": 0}
        self._rng = np.random.default_rng(5)
        self._length = round(length_s * RATE)
        self._clock_ns, self._first, self._channels, self._passed = T0, 0, 1, 0

    def chunks(self) -> Iterator[AudioChunk]:
        number = 0
        while self._passed < self._length:
            yield from self._play(self._between(number))
            number += 1
            voice = spoken(number % 2)
            loudness = float(self._rng.uniform(0.2, 1.0))
            begin_ns = self._clock_ns
            yield from self._play((voice * loudness).astype(np.int16))
            self.said.append(Said(begin_ns, self._clock_ns, frozenset(WORDS[number % 2])))
            # What ends the utterance by itself: before that, nothing befalls the source.
            yield from self._play(silence(0.9))
            self._disturb()

    def _between(self, number: int) -> np.ndarray:
        kinds = (silence, hum, motor, chords, noise)
        kind = kinds[number % len(kinds)]
        length_s = float(self._rng.uniform(0.3, 1.5))
        return kind(length_s) if kind is silence else kind(length_s, 60.0)

    def _disturb(self) -> None:
        name = str(self._rng.choice(["", "", *self.disturbances]))
        if not name:
            return
        self.disturbances[name] += 1
        if name == "gap":
            lost = int(self._rng.uniform(0.05, 3.0) * RATE)
            self._first += lost
            self._clock_ns += lost * SAMPLE_NS
        elif name == "reset":  # the driver starts again, some time later
            self._first = 0
            self._clock_ns += to_ns(1.5)
        elif name == "clock":  # it is set, here forward, as no two utterances are to have the same time
            self._clock_ns += to_ns(20.0)
        else:
            self._channels = 3 - self._channels

    def _play(self, samples: np.ndarray) -> Iterator[AudioChunk]:
        for first in range(0, len(samples), BLOCK):
            block = samples[first : first + BLOCK]
            yield AudioChunk(np.repeat(block[:, np.newaxis], self._channels, axis=1), RATE, self._clock_ns, self._first)
            self._first += len(block)
            self._passed += len(block)
            self._clock_ns += len(block) * SAMPLE_NS


def test_in_a_long_stream_no_utterance_is_lost_and_memory_does_not_grow(whisper_base: Path) -> None:
    length_s = float(os.environ.get("MSER_SOAK_S", "45"))
    room = Room(length_s)
    settings = SpeechSettings(asr=AsrSettings("whisper", str(whisper_base), language="en", partial_period_s=0.0))
    failures: list[Exception] = []
    stage = SpeechStage(settings, on_failure=failures.append)
    process, held = psutil.Process(), []
    final: list[UtteranceEvent] = []

    def take(event: object) -> None:
        if isinstance(event, UtteranceEvent) and event.state is UtteranceState.ENDED and event.transcript.is_final:
            final.append(event)
            held.append(process.memory_info().rss)

    for chunk in room.chunks():
        for event in stage.push(replace(chunk, voice_id="somebody")):
            take(event)
    for event in stage.flush():
        take(event)
    stage.close()
    assert not failures
    assert all(room.disturbances.values()), room.disturbances
    assert len(room.said) >= 10
    told = set()
    for said in room.said:
        (heard,) = [event for event in final if event.start_ns < said.end_ns and event.end_ns > said.begin_ns]
        words = {word.strip(".,!").lower() for word in heard.transcript.text.split()}
        assert said.words <= words, (said, heard.transcript.text)
        assert abs(heard.end_ns - said.end_ns) < to_ns(0.4)
        told.add(heard.utterance_id)
    invented = [event.transcript.text for event in final if event.utterance_id not in told and event.transcript.text]
    assert len(invented) <= length_s / 600, invented
    print(f"{len(room.said)} utterances, {room.disturbances}, memory {[round(one / 1e6) for one in held[::10]]} MB")
    assert held[-1] - max(held[: len(held) // 2]) < 8e6
