"""Whatever is odd about a bag, it gives the same final estimates live and offline.

Live: the stages as the nodes feed them, each message when it arrives, through the messages that the nodes send each
other and with the timers that they have. Offline: as `mser annotate` reads it. test/replay does so with real nodes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from fakes_bundle import write_tiny_bundle
from hypothesis import HealthCheck, given, settings
from odd_bags import KINDS, Oddities, odd_bags

from mser_ros.cli.inputs import read_bag
from mser_ros.errors import MserError
from mser_ros.messages import conversions
from mser_ros.messages.audio_topics import AudioDecoder
from mser_ros.messages.bag_writer import build_message
from mser_ros.messages.bags import Bag, BagMessage
from mser_ros.mocap.stream import SkeletonStream
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import MocapSettings, SpeechSettings
from mser_ros.stages.emotion import EmotionStage
from mser_ros.stages.pipeline import EmotionPipeline
from mser_ros.stages.speech import SpeechStage
from mser_ros.testing import FakeTranscriber, FakeVad
from mser_ros.types import AbstainReason, AudioChunk, EmotionEstimate, EstimateState, UtteranceEvent, to_ns

LAST = EstimateState.FINAL, EstimateState.RETRACTED
TICK_NS = to_ns(0.05)


@pytest.fixture(scope="module")
def recognizer(tmp_path_factory: pytest.TempPathFactory) -> EmotionRecognizer:
    return EmotionRecognizer(load_bundle(write_tiny_bundle(tmp_path_factory.mktemp("tiny"))))


def last_of(estimates: Iterable[EmotionEstimate]) -> dict[str, EmotionEstimate]:
    found: dict[str, EmotionEstimate] = {}
    for estimate in estimates:
        if estimate.state in LAST:
            assert estimate.utterance_id not in found
            found[estimate.utterance_id] = estimate
    return found


def speech_stage() -> SpeechStage:
    return SpeechStage(vad=FakeVad(), transcriber=FakeTranscriber())


def offline(bag: Bag, recognizer: EmotionRecognizer) -> dict[str, EmotionEstimate]:
    recognizer.forget()
    pipeline = EmotionPipeline(speech_stage(), EmotionStage(recognizer))
    estimates: list[EmotionEstimate] = []
    for item in read_bag(bag, "", "")[0]:
        try:
            data = item.load()
            push = pipeline.push_audio if isinstance(data, AudioChunk) else pipeline.push_skeleton
            estimates += push(data, item.log_ns)  # type: ignore[operator]
        except MserError:
            continue
    return last_of([*estimates, *pipeline.flush()])


class Nodes:
    """The speech, mocap and emotion nodes without ROS: their stages, their messages and their timers."""

    def __init__(self, recognizer: EmotionRecognizer) -> None:
        recognizer.forget()
        self.now_ns = 0
        self.speech, self.decoder = speech_stage(), AudioDecoder()
        self.skeletons = SkeletonStream(MocapSettings())
        self.emotion = EmotionStage(recognizer, MocapSettings(min_confidence=0.0), clock=lambda: self.now_ns)
        self.estimates: list[EmotionEstimate] = []
        self._stalled_ns: int | None = None

    def take(self, message: BagMessage) -> None:
        self._wait_until(message.log_ns)
        try:
            if message.type_name.endswith("/Skeleton"):
                frame = self.skeletons.push(conversions.skeleton_from_msg(message.decode()))
                sent = build_message("mser_msgs/msg/Skeleton", conversions.skeleton_to_fields(frame))
                self.estimates += self.emotion.push_skeleton(conversions.skeleton_from_msg(sent))
            else:
                chunks = self.decoder.decode(message.type_name, message.decode())
                # Of the moments at which the node's timer may come round, the first.
                self._stalled_ns = self.now_ns + to_ns(SpeechSettings().stall_s)
                for chunk in chunks:
                    self._send(self.speech.push(chunk, self.now_ns))
        except MserError:
            pass

    def end(self) -> dict[str, EmotionEstimate]:
        self._send(self.speech.flush())
        self.estimates += self.emotion.flush()
        return last_of(self.estimates)

    def _wait_until(self, then_ns: int) -> None:
        self.now_ns = self.now_ns or then_ns
        while self.now_ns < then_ns and (self._stalled_ns is not None or self.emotion.is_waiting):
            self.now_ns = min(then_ns, self.now_ns + TICK_NS, self._stalled_ns or then_ns)
            if self._stalled_ns is not None and self._stalled_ns <= self.now_ns < then_ns:
                self._stalled_ns = None
                self._send(self.speech.flush())
            self.estimates += self.emotion.tick()
        self.now_ns = then_ns

    def _send(self, items: Iterable[AudioChunk | UtteranceEvent]) -> None:
        for item in items:
            if isinstance(item, UtteranceEvent):
                event = build_message("mser_msgs/msg/Utterance", conversions.utterance_to_fields(item))
                self.estimates += self.emotion.push_event(conversions.utterance_from_msg(event))
            else:
                voice = build_message("mser_msgs/msg/AudioFrame", conversions.audio_to_fields(item))
                self.estimates += self.emotion.push_audio(conversions.audio_from_msg(voice))


def assert_same_live_and_offline(odd: Oddities, recognizer: EmotionRecognizer) -> dict[str, EmotionEstimate]:
    with tempfile.TemporaryDirectory() as folder, Bag(odd.write(Path(folder) / "bag")) as bag:
        expected = offline(bag, recognizer)
        nodes = Nodes(recognizer)
        for message in bag.messages():
            nodes.take(message)
        found = nodes.end()
    assert list(found) == list(expected)
    for name, estimate in found.items():
        other = expected[name]
        for told in ("state", "label", "transcript", "abstain_reason", "speech_start_ns", "speech_end_ns", "body_id"):
            assert getattr(estimate, told) == getattr(other, told), told
        np.testing.assert_allclose(estimate.probabilities, other.probabilities, atol=1e-4)
        told_of = [[(item.available, item.reason) for item in each.evidence] for each in (estimate, other)]
        assert told_of[0] == told_of[1]
    return found


@given(odd=odd_bags())
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
def test_any_bag_gives_the_same_last_estimates_live_and_offline(recognizer: EmotionRecognizer, odd: Oddities) -> None:
    assert_same_live_and_offline(odd, recognizer)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_bag_has_utterances_live_and_offline(recognizer: EmotionRecognizer, kind: str) -> None:
    found = assert_same_live_and_offline(KINDS[kind], recognizer)
    assert found
    voices = [item for estimate in found.values() for item in estimate.evidence if item.modality == "speech"]
    assert any(voice.reason is AbstainReason.CLIPPED for voice in voices) == (kind == "overdriven")
