"""The emotion node: fuses and decides. Voice, utterances and skeletons in; emotions out."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from statistics import median
from typing import Any

from mser_msgs.msg import AudioFrame, Emotion, ModalityEvidence, Skeleton, Utterance
from std_msgs.msg import Bool

from ..messages import conversions
from ..mocap.cadence import Cadence
from ..recognition.bundle import load_bundle
from ..recognition.recognizer import EmotionRecognizer
from ..settings import EmotionSettings, MocapSettings
from ..stages.emotion import EmotionStage
from ..stages.identities import Identities
from ..stages.people import People
from ..types import NS_PER_S, EmotionEstimate, EstimateState
from . import hri
from .base import PerceptionNode
from .run import run_nodes
from .states import StateTopics
from .subscriptions import Flow
from .voices import VoiceServices
from .wait_for_emotion import WaitServer

#: Final emotions whose latency the diagnostics tell of.
_LATENCIES = 20
#: The modalities that an input gives.
_GIVES = {"voice": ("speech", "text"), "utterance": ("speech", "text"), "skeleton": ("mocap",)}


class EmotionNode(PerceptionNode):
    """Subscribes `voice` (AudioFrame), `utterance` (Utterance), `listening` (Bool) and `skeleton` (Skeleton), as the
    speech and the mocap node publish them, and `robot_speaking` (Bool), during which no voice comes; publishes
    `emotion` (Emotion) of each utterance, `state` (EmotionState) of each person at a steady rate, `event`
    (EmotionEvent), and labels for viewers (`markers`). Where `ros4hri.enabled` is set, it follows who is who below
    /humans, and publishes expressions there (`hri.Persons`). Serves the action `wait_for_emotion` (`WaitServer`) and
    services about what was learned of people (`VoiceServices`)."""

    settings: EmotionSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("emotion", EmotionSettings, **arguments)
        self._closed: dict[str, int] = {}
        self._persons: hri.Persons | None = None
        self._waits = WaitServer(
            self,
            lambda now_ns: self._state_topics.look(now_ns),
            labels=lambda: self._stage.recognizer.bundle.labels,
            current_name=lambda name: self._identities.current_name(name),
        )
        self._voices = VoiceServices(self)

    def setup(self) -> None:
        bundle = load_bundle(self.settings.bundle)
        recognizer = EmotionRecognizer(bundle, self.settings)
        # The mocap node has sorted out the joints already, by settings of its own.
        checked = MocapSettings(min_confidence=0.0)
        self._identities = Identities(self.settings.ros4hri.least_match)
        self._stage = EmotionStage(
            recognizer,
            checked,
            clock=self.now_ns,
            on_failure=self.contain,
            closed=self._closed,
            identities=self._identities,
        )
        self._state_topics = StateTopics(self, self.settings, bundle.labels, self._stage.skeletons)
        self._cadence = Cadence()
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES)
        self._voices.open(People(recognizer, self._state_topics.states, self.settings.voices_folder, self._identities))
        self._emotion = self.outputs.open(Emotion, "emotion", depth=64)
        models = ", ".join(f"{name} ({spec.model})" if spec.model else name for name, spec in bundle.modalities.items())
        self.get_logger().info(f"bundle {bundle.model_id}: {models}")
        if bundle.advice:
            self.get_logger().warning(bundle.advice)

    def connect(self) -> None:
        speech, mocap = "the speech node", "the mocap node"
        self._voices.connect()
        self._is_listening, self._robot_speaks = True, False
        self._voice = self.subscribe(AudioFrame, "voice", self._on_voice, depth=256, flow=Flow.STEADY, source=speech)
        self.subscribe(Utterance, "utterance", self._on_utterance, depth=64, flow=Flow.AT_TIMES, source=speech)
        self.subscribe(Bool, "listening", self._on_listening, depth=1, flow=Flow.OPTIONAL, source=speech, kept=True)
        self.subscribe(Bool, "robot_speaking", self._on_robot, depth=8, flow=Flow.OPTIONAL, source="the robot's voice")
        self._state_topics.connect()
        self.subscribe(Skeleton, "skeleton", self._on_skeleton, depth=128, flow=Flow.OPTIONAL, source=mocap)
        if self.settings.ros4hri.enabled and (messages := hri.load_hri_messages(self)) is not None:
            self._persons = hri.Persons(self, messages, tell=self._tell, faces=self.settings.ros4hri.faces)

    def disconnect(self) -> None:
        super().disconnect()
        if self.is_configured:
            self._state_topics.disconnect()
        if self._persons is not None:
            self._persons.close()

    @property
    def is_waiting(self) -> bool:
        return self._stage.is_waiting

    def tick(self) -> None:
        self._publish(self._stage.tick())

    def finish(self) -> None:
        self._publish(self._stage.flush())
        self._state_topics.finish()
        self._voices.finish()
        self._waits.preempt()
        self._identities.clear()  # who is who then is told anew

    def adopt(self) -> None:
        self._stage.settings = self._stage.recognizer.settings = self.settings
        self._state_topics.states.settings = self.settings.state

    def teardown(self) -> None:
        self._voices.close()
        del self._stage, self._state_topics

    @property
    def is_answering(self) -> bool:
        return self._waits.is_answering

    def destroy_node(self) -> None:
        self._waits.destroy()
        super().destroy_node()

    def lack(self, topics: frozenset[str]) -> None:
        self._stage.lost = frozenset(modality for topic in topics for modality in _GIVES.get(topic, ()))
        if "robot_speaking" in topics:
            self._on_robot(Bool(data=False))

    def counters(self) -> Mapping[str, Any]:
        return {
            **asdict(self._stage.counters),
            **asdict(self._stage.skeletons.counters),
            "missed": self._cadence.missed,
            "goals waiting": self._waits.waiting,
            "transcripts": self.settings.transcripts,
            "model": self._stage.recognizer.bundle.model_id,
            "latency": f"{median(latencies_s):.3f}" if (latencies_s := list(self._latencies_s)) else "",
            "longest latency": f"{max(latencies_s):.3f}" if latencies_s else "",
        }

    def _on_voice(self, message: AudioFrame) -> None:
        chunk = conversions.audio_from_msg(message)
        if self._is_listening:  # else it was on its way when the speech node was told to listen no more
            self.submit(lambda: self._publish(self._stage.push_audio(chunk)))

    def _on_utterance(self, message: Utterance) -> None:
        event = conversions.utterance_from_msg(message)
        # An order: without its end, an utterance would last until it is given up.
        self.submit(
            lambda: self._publish(self._stage.push_event(event)),
            otherwise=lambda: self._stage.skip_event(event),
            is_order=True,
        )

    def _on_listening(self, message: Bool) -> None:
        self._is_listening = bool(message.data)
        self._expect_voice()
        if self._is_listening:
            self._voice.promise()  # while its voice waits for words, the speech node tells this again
        else:
            self.submit(self._stage.forget_audio, otherwise=self._stage.forget_audio, is_order=True)

    def _on_robot(self, message: Bool) -> None:
        self._robot_speaks = bool(message.data)
        self._expect_voice()

    def _expect_voice(self) -> None:
        """The speech node gives no sound while it is told not to listen, or the robot itself speaks."""
        self._voice.rest(not self._is_listening or self._robot_speaks)

    def _on_skeleton(self, message: Skeleton) -> None:
        frame = conversions.skeleton_from_msg(message)
        self._cadence.note(frame.body_id, frame.stamp_ns)
        self.submit(lambda: self._publish(self._stage.push_skeleton(frame)))

    def _tell(self, news: Callable[[Identities], Collection[str]], is_order: bool) -> None:
        """Somebody is somebody else than was known."""

        def take() -> None:
            names = news(self._identities)
            self._state_topics.rename(self._identities.current_name, names)
            self._stage.recognizer.rename(self._identities.current_name, names)

        self.submit(take, is_order=is_order)

    def _publish(self, estimates: Iterable[EmotionEstimate]) -> None:
        for estimate in estimates:
            latency_s = (self.now_ns() - estimate.stamp_ns) / NS_PER_S
            fields = conversions.emotion_to_fields(replace(estimate, latency_s=latency_s))
            self._emotion.publish(conversions.fill(Emotion(), fields, {"evidence": ModalityEvidence}))
            if self._persons is not None:
                voice, body = self._identities.of_voice(estimate.voice_id), self._identities.of_body(estimate.body_id)
                self._persons.publish(estimate, voice if estimate.voice_id else body)
            self._state_topics.push(estimate, self.now_ns())
            self._voices.meet(estimate)
            if estimate.state is EstimateState.FINAL:
                self._latencies_s.append(latency_s)
                self._voices.note()


def main() -> int:
    return run_nodes(["emotion"])


if __name__ == "__main__":
    sys.exit(main())
