"""A bag through the live nodes, and the same bag through the pipeline without ROS."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from ros_world import PATIENCE_S, AudioFrame, Emotion, Skeleton, Utterance

from mser_ros.errors import MserError
from mser_ros.messages import conversions
from mser_ros.messages.bags import Bag
from mser_ros.nodes.processes import NodeProcesses
from mser_ros.nodes.replay import ReplaySession
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import AsrSettings, MocapSettings, SpeechSettings
from mser_ros.stages.pipeline import EmotionPipeline
from mser_ros.types import EmotionEstimate, EstimateState, UtteranceEvent, to_ns

NODES = ("speech", "mocap", "emotion")
TOPICS = ("/audio", "/skeleton_in")
LAST = (Emotion.FINAL, Emotion.RETRACTED)
#: Only missing data is waited for, and here all comes: `Pace` lets no busy machine come near these waits.
PATIENT = {"emotion:evidence_timeout_s": 5.0, "emotion:text_timeout_s": 30.0, "speech:stall_s": 30.0}


@dataclass
class Run:
    """What the live nodes said of one round of a bag."""

    emotions: list[Emotion]
    utterances: list[Utterance]
    diagnostics: dict[str, dict[str, str]]
    exit_codes: dict[str, int] = field(default_factory=dict)

    @property
    def last(self) -> dict[str, Emotion]:
        """The last emotion of each utterance, in order."""
        return {message.utterance_id: message for message in self.emotions if message.state in LAST}

    def assert_one_last_emotion_each(self) -> None:
        """Per utterance exactly one FINAL or RETRACTED, and nothing after it."""
        begun = {message.utterance_id for message in self.utterances}
        ended = Counter(message.utterance_id for message in self.emotions if message.state in LAST)
        assert ended == dict.fromkeys(begun, 1)
        closed: set[str] = set()
        for message in self.emotions:
            assert message.utterance_id not in closed, f"{message.utterance_id} goes on after its end"
            if message.state in LAST:
                closed.add(message.utterance_id)


class Pace:
    """Holds a bag back where the nodes lag behind it, so that the clock never runs ahead of data that only a busy
    machine has not passed on yet."""

    #: Blocks of audio, or skeletons, that may be on their way: about a second. Far more than are rejected in a row.
    AHEAD = 16

    def __init__(self, bag: Path, session: ReplaySession, nodes: NodeProcesses) -> None:
        self._nodes = nodes
        self._newest: dict[str, int] = {}
        self._changed = threading.Condition()
        #: Of each node's input: when each message is played, and its stamp.
        self._log_ns: dict[str, list[int]] = {}
        self._stamps: dict[str, list[int]] = {}
        with Bag(bag) as source:
            self._begin_ns, self._span_ns = source.start_ns, source.end_ns - source.start_ns
            for node, topic in zip(("speech", "mocap"), TOPICS, strict=True):
                messages = list(source.messages([topic]))
                self._log_ns[node] = [message.log_ns for message in messages]
                self._stamps[node] = [conversions.time_to_ns(message.decode().header.stamp) for message in messages]
        qos = QoSProfile(depth=1000)
        session.node.create_subscription(AudioFrame, "voice", partial(self._note, "speech"), qos)
        session.node.create_subscription(Skeleton, "skeleton", partial(self._note, "mocap"), qos)

    def begin(self) -> None:
        """The bag is played from its beginning."""
        with self._changed:
            self._newest = dict.fromkeys(self._log_ns, 0)

    def hold(self, share: float) -> None:
        """Return when all nodes that live have passed on what was played of the bag, but for the newest."""
        now_ns = self._begin_ns + share * self._span_ns
        due = {node: bisect.bisect(times, now_ns) - self.AHEAD for node, times in self._log_ns.items()}

        def follow() -> bool:
            return all(
                self._newest[node] >= self._stamps[node][at]
                for node, at in due.items()
                if at >= 0 and self._nodes.processes[node].poll() is None
            )

        with self._changed:
            assert self._changed.wait_for(follow, PATIENCE_S), f"nodes are stuck: they sent {self._newest}"

    def _note(self, node: str, message: Any) -> None:
        with self._changed:
            self._newest[node] = max(self._newest[node], conversions.time_to_ns(message.header.stamp))
            self._changed.notify_all()


def live(
    bag: Path,
    *,
    bundle: Path,
    asr: str = "none",
    asr_model: str = "",
    rate: float,
    rounds: int = 1,
    partial_period_s: float = AsrSettings.partial_period_s,
    during: Callable[[NodeProcesses, float], None] = lambda nodes, share: None,
    **parameters: object,
) -> list[Run]:
    """Play a bag into nodes that run as processes of their own; what they said in each round."""
    words = {"speech:asr.backend": asr, "speech:asr.partial_period_s": partial_period_s}
    words |= {"speech:asr.model_path": asr_model} if asr_model else {}
    given = {"use_sim_time": True, "emotion:bundle": bundle, **words, **PATIENT, **parameters}
    runs = []
    with NodeProcesses(NODES, parameters=given) as nodes, ReplaySession() as session:
        assert session.wait_for_links(NODES, timeout_s=60), (nodes.ended(), session.problems(), session.diagnostics)
        pace = Pace(bag, session, nodes)

        def progress(share: float) -> None:
            during(nodes, share)
            pace.hold(share)

        for _ in range(rounds):
            session.emotions.clear()
            session.utterances.clear()
            pace.begin()
            session.play(bag, rate=rate, topics=TOPICS, progress=progress)
            assert session.finish(rate=rate), session.diagnostics
            emotions = [message for _, message in session.emotions]
            runs.append(Run(emotions, [message for _, message in session.utterances], dict(session.diagnostics)))
    for run in runs:
        run.exit_codes = nodes.exit_codes
    return runs


def offline(
    bag: Path,
    *,
    bundle: Path,
    asr: str = "none",
    asr_model: str = "",
    partial_period_s: float = AsrSettings.partial_period_s,
    min_confidence: float = MocapSettings.min_confidence,
) -> tuple[dict[str, EmotionEstimate], list[UtteranceEvent]]:
    """The last estimate of each utterance, in order, and all events, from the pipeline without ROS."""
    speech = SpeechSettings(asr=AsrSettings(backend=asr, model_path=asr_model, partial_period_s=partial_period_s))
    mocap = MocapSettings(min_confidence=min_confidence)
    pipeline = EmotionPipeline.create(EmotionRecognizer(load_bundle(bundle)), speech=speech, mocap=mocap)
    events: list[UtteranceEvent] = []
    pipeline.on_event = events.append
    estimates: list[EmotionEstimate] = []
    with Bag(bag) as source:
        for message in source.messages(TOPICS):
            try:
                if message.topic == "/audio":
                    estimates += pipeline.push_audio(conversions.audio_from_msg(message.decode()), message.log_ns)
                else:
                    estimates += pipeline.push_skeleton(conversions.skeleton_from_msg(message.decode()), message.log_ns)
            except MserError:
                continue
    estimates += pipeline.flush()
    last = (EstimateState.FINAL, EstimateState.RETRACTED)
    return {item.utterance_id: item for item in estimates if item.state in last}, events


def assert_same(run: Run, expected: dict[str, EmotionEstimate], *, within_s: float = 0.0, atol: float = 1e-3) -> None:
    """The same utterances with the same last emotion, whatever the order of their data was.

    `within_s`: how far their times may differ, where those rest on the arrival of messages; the names hold times.
    """
    assert list(run.last) == list(expected) or (within_s and len(run.last) == len(expected))
    for message, estimate in zip(run.last.values(), expected.values(), strict=True):
        assert message.state == estimate.state
        assert message.label == estimate.label
        assert message.transcript == estimate.transcript
        assert message.body_id == estimate.body_id
        assert message.abstain_reason == estimate.abstain_reason
        span = conversions.time_to_ns(message.speech_start), conversions.time_to_ns(message.speech_end)
        assert span == pytest.approx((estimate.speech_start_ns, estimate.speech_end_ns), rel=0, abs=to_ns(within_s))
        np.testing.assert_allclose(message.probabilities, estimate.probabilities, atol=atol)
        for got, wanted in zip(message.evidence, estimate.evidence, strict=True):
            assert (got.modality, got.available) == (wanted.modality, wanted.available)
            if got.reason == Emotion.SOURCE_LOST:
                # A source that is silent for a second of this machine's time is gone; a bag has no such time.
                assert wanted.reason in (Emotion.NO_EVIDENCE, Emotion.TOO_SHORT) or wanted.age_s > 0.3
            else:
                assert got.reason == wanted.reason
            assert got.age_s == pytest.approx(wanted.age_s, abs=1e-3 + within_s)
