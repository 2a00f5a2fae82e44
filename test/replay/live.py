"""A bag through the live nodes, and the same bag through the pipeline without ROS."""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
from rclpy.qos import QoSProfile
from ros_world import DEMO, LAST, PATIENCE_S, T0, AudioFrame, ChangeState, Emotion, Skeleton, Transition, Utterance

from mser_ros.errors import MserError
from mser_ros.messages import conversions
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag, BagMessage
from mser_ros.nodes.processes import NodeProcesses
from mser_ros.nodes.replay import ReplaySession
from mser_ros.recognition.bundle import load_bundle
from mser_ros.recognition.recognizer import EmotionRecognizer
from mser_ros.settings import AsrSettings, MocapSettings, RobotVoiceSettings, SpeechSettings
from mser_ros.stages.pipeline import EmotionPipeline
from mser_ros.types import EmotionEstimate, EstimateState, UtteranceEvent, to_ns

NODES = ("speech", "mocap", "emotion")
TOPICS = ("/audio", "/skeleton_in")
#: Also played where a bag has it.
ROBOT = "/robot_speaking"
#: Only missing data is waited for, and here all comes: `Pace` lets no busy machine come near these waits.
PATIENT = {"emotion:evidence_timeout_s": 5.0, "emotion:text_timeout_s": 30.0, "speech:stall_s": 30.0}

#: The demo bag up to this time holds three utterances, which is enough to hold two ways against each other.
PART_S = 15.2


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

    def __init__(self, session: ReplaySession, nodes: NodeProcesses) -> None:
        self._nodes = nodes
        self._newest: dict[str, int] = {}
        self._changed = threading.Condition()
        #: Of each node's input: when each message is played, and its stamp.
        self._log_ns: dict[str, list[int]] = {}
        self._stamps: dict[str, list[int]] = {}
        qos = QoSProfile(depth=1000)
        session.node.create_subscription(AudioFrame, "voice", partial(self._note, "speech"), qos)
        session.node.create_subscription(Skeleton, "skeleton", partial(self._note, "mocap"), qos)

    def begin(self, bag: Path) -> None:
        """A bag is played from its beginning."""
        with self._changed:
            self._newest = dict.fromkeys(NODES, 0)
        with Bag(bag) as source:
            self._begin_ns, self._span_ns = source.start_ns, source.end_ns - source.start_ns
            robot = _robot_spans(source)
            for node, topic in zip(("speech", "mocap"), TOPICS, strict=True):
                messages = [message for message in source.messages([topic]) if not _is_left_out(message, robot)]
                self._log_ns[node] = [message.log_ns for message in messages]
                self._stamps[node] = [conversions.time_to_ns(message.decode().header.stamp) for message in messages]

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


def _robot_spans(bag: Bag) -> list[tuple[int, int]]:
    """When the robot speaks, until its voice has rung off."""
    if ROBOT not in bag.topics:
        return []
    spans, since_ns = [], None
    for message in bag.messages([ROBOT]):
        if message.decode().data:
            since_ns = message.log_ns if since_ns is None else since_ns
        elif since_ns is not None:
            spans.append((since_ns, message.log_ns + to_ns(RobotVoiceSettings.tail_s)))
            since_ns = None
    return spans


def _is_left_out(message: BagMessage, robot: list[tuple[int, int]]) -> bool:
    """Whether the speech node passes no such audio on. A block at the edge, which it may, is not waited for either."""
    margin_ns = to_ns(0.1)
    return message.topic == "/audio" and any(
        begin_ns - margin_ns <= message.log_ns <= end_ns + margin_ns for begin_ns, end_ns in robot
    )


class LiveNodes:
    """The live nodes, each a process of its own, while the `with` block lasts, and who plays bags to them.

    `parameters`: by `node:name`. `domain_id`: where no other nodes are, unless the environment tells.
    """

    def __init__(self, parameters: Mapping[str, object], *, domain_id: int | None = None) -> None:
        given = {"use_sim_time": True, **PATIENT, **parameters}
        environment = {} if domain_id is None else {"ROS_DOMAIN_ID": str(domain_id)}
        self._domain_id = domain_id
        self.processes = NodeProcesses(NODES, parameters=given, environment=environment)
        self._has_played = False

    def __enter__(self) -> LiveNodes:
        self.processes.__enter__()
        self._session = ReplaySession(domain_id=self._domain_id)
        self._pace = Pace(self._session, self.processes)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.__exit__(kind, error, trace)
        self.processes.__exit__(kind, error, trace)

    def play(
        self,
        bag: Path,
        *,
        rate: float,
        rounds: int = 1,
        during: Callable[[NodeProcesses, float], None] = lambda nodes, share: None,
    ) -> list[Run]:
        """Play a bag so many times, to nodes that have heard nothing before; what they said in each round."""
        session, runs = self._session, []
        if self._has_played:
            self._begin_anew(bag)
        self._has_played = True
        assert session.wait_for_links(NODES, timeout_s=PATIENCE_S), self._say()

        def progress(share: float) -> None:
            during(self.processes, share)
            self._pace.hold(share)

        for _ in range(rounds):
            session.emotions.clear()
            session.utterances.clear()
            self._pace.begin(bag)
            session.play(bag, rate=rate, topics=(*TOPICS, ROBOT), progress=progress)
            # Nothing holds the clock back any more: in its own time it leaves the nodes all of theirs.
            assert session.finish(rate=min(rate, 1.0)), self._say()
            emotions = [message for _, message in session.emotions]
            runs.append(Run(emotions, [message for _, message in session.utterances], dict(session.diagnostics)))
        return runs

    def _begin_anew(self, bag: Path) -> None:
        """Bring the nodes to where they were when they had started, with the clock at the beginning of the bag."""
        session = self._session
        self._change(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
        # Of links that there were before, no report is on its way any more when this one has come.
        are_unconfigured = lambda: all(session.diagnostics[node]["state"] == "unconfigured" for node in NODES)  # noqa: E731
        assert session.wait(are_unconfigured, PATIENCE_S), self._say()
        with Bag(bag) as source:
            session._tick(source.start_ns)
        self._change(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)

    def _change(self, *transitions: int) -> None:
        for node in NODES:
            client = self._session.node.create_client(ChangeState, f"{node}/change_state")
            assert client.wait_for_service(PATIENCE_S), self._say()
            for transition in transitions:
                future = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
                assert self._session.wait(future.done, PATIENCE_S), self._say()
                assert future.result().success, self._say()
            self._session.node.destroy_client(client)

    def _say(self) -> str:
        """What is known of the nodes, for whoever waits for them in vain."""
        return f"{self.processes.ended()} {self._session.problems()} {self._session.diagnostics}"


def live(
    bag: Path,
    *,
    bundle: Path,
    asr: str = "none",
    asr_model: str = "",
    rate: float,
    partial_period_s: float = AsrSettings.partial_period_s,
    during: Callable[[NodeProcesses, float], None] = lambda nodes, share: None,
    **parameters: object,
) -> Run:
    """Play a bag into nodes that are started for it and ended after it; what they said."""
    words = {"speech:asr.backend": asr, "speech:asr.partial_period_s": partial_period_s}
    words |= {"speech:asr.model_path": asr_model} if asr_model else {}
    with LiveNodes({"emotion:bundle": bundle, **words, **parameters}) as nodes:
        (run,) = nodes.play(bag, rate=rate, during=during)
    run.exit_codes = nodes.processes.exit_codes
    return run


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
        for message in source.messages([topic for topic in (*TOPICS, ROBOT) if topic in source.topics]):
            try:
                if message.topic == ROBOT:
                    estimates += pipeline.robot_speaks(message.decode().data, message.log_ns)
                elif message.topic == "/audio":
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


def write_part_of_demo(path: Path, until_s: float = PART_S) -> Path:
    """The demo bag up to this time."""
    with Bag(DEMO) as source, BagWriter(path) as writer:
        for message in source.messages(["/audio", "/skeleton_in"]):
            if message.log_ns < T0 + to_ns(until_s):
                writer.write(message.topic, message.type_name, conversions.to_fields(message.decode()), message.log_ns)
    return path
