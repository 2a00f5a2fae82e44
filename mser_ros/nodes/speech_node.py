"""The speech node: audio in; utterances, and the audio that the emotion node takes, out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from mser_msgs.msg import AudioFrame, Utterance, Word
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool

from ..messages import conversions
from ..messages.audio_topics import AUDIO_TYPES, INFO, AudioDecoder
from ..messages.hri import text_from_msg
from ..settings import SpeechSettings
from ..stages.voices import SpeechStages
from ..types import AudioChunk, Transcript, UtteranceEvent, UtteranceState
from . import hri
from .base import PerceptionNode
from .run import run_nodes
from .subscriptions import SILENCE_S, Flow, find_type, type_name

_AUDIO_DEPTH = 256
#: Ticks of the watch within `stall_s`.
_STALL_TICKS = 2
#: How long the voice waits for the words before it until that is told, again and again [s]; for `SILENCE_S` at most, so
#: that a recogniser that has got stuck is missed.
_WAITS_S = 0.2


class SpeechNode(PerceptionNode):
    """Subscribes `audio` (AudioFrame of any rate and channels, or what `AUDIO_TYPES` lists), where ros-drivers'
    audio_common_msgs is installed `audio_info`, and `robot_speaking` (Bool: true while the robot does), where
    `asr.foreign` is set `text` (String or LiveSpeech); publishes `voice` (AudioFrame, 16 kHz mono), `utterance`
    (Utterance) and `listening` (Bool, kept for late subscribers, told again while the voice waits for words). Where
    `ros4hri.enabled` is set, each voice of /humans/voices likewise (`hri.Voices`). Service `~/stop_listening`
    (SetBool): true stops, false goes on; what it has said holds as long as the process lives, and before that the
    parameter `listening` does."""

    settings: SpeechSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("speech", SpeechSettings, **arguments)
        self._watch: Any = None
        self._voices: hri.Voices | None = None
        self._is_listening, self._has_been_told = True, False
        self.create_service(SetBool, "~/stop_listening", self._stop_listening)

    def setup(self) -> None:
        if not self._has_been_told:
            self._is_listening = self.settings.listening
        self._stage = SpeechStages(self.settings, clock=self.now_ns, on_failure=self.contain)
        for _ in self._stage.listen(self._is_listening):
            pass
        self.get_logger().info(f"words are read by {self._stage.recogniser}")
        self._silent_ticks: dict[str, int] = {}
        self._voice = self.outputs.open(AudioFrame, "voice", depth=_AUDIO_DEPTH)
        self._utterance = self.outputs.open(Utterance, "utterance", depth=64)
        self._listening = self.outputs.open(Bool, "listening", depth=1, kept=True, if_inactive=True)
        self._listening.publish(Bool(data=self._is_listening))
        if not self._is_listening:
            service = self.resolve_service_name("~/stop_listening")
            self.get_logger().info(f"not listening: call {service} with false")

    def connect(self) -> None:
        self._robot_speaks = False
        self._decoders = {"": AudioDecoder(self.settings.audio)}
        self._voice_s = self._told_s = time.monotonic()
        has_voices = self.settings.ros4hri.enabled and (messages := hri.load_hri_messages(self)) is not None
        source = "the microphone node or another source"
        self.subscribe(Bool, "robot_speaking", self._on_robot, depth=8, flow=Flow.OPTIONAL, source="the robot's voice")
        self._audio = self.subscribe(
            AudioFrame,
            "audio",
            self._on_audio,
            depth=_AUDIO_DEPTH,
            flow=Flow.OPTIONAL if has_voices else Flow.STEADY,
            source=source,
            others=AUDIO_TYPES[1:],
        )
        if (info := _audio_info()) is not None:
            capture: Any = {"flow": Flow.OPTIONAL, "source": "the audio_capture node"}
            self.subscribe(info, "audio_info", self._decoders[""].set_format, depth=1, kept=True, **capture)
        is_foreign = self.settings.asr.foreign
        if is_foreign:
            others = ("hri_msgs/msg/LiveSpeech",)
            reader = "the other recogniser"
            flow = Flow.OPTIONAL if has_voices else Flow.AT_TIMES
            self.subscribe(String, "text", self._on_text, depth=64, flow=flow, source=reader, others=others)
        if has_voices:
            read = self._on_text if is_foreign else None
            self._voices = hri.Voices(
                self, messages, came=self._on_voice, left=self._on_voice_lost, heard=self._on_audio, read=read
            )
        self._watch = self.create_timer(self.settings.stall_s / _STALL_TICKS, self._flush_when_stalled)

    @property
    def is_waiting(self) -> bool:
        return self._stage.is_waiting

    def tick(self) -> None:
        self._publish(self._stage.tick())

    def finish(self) -> None:
        self._publish(self._stage.finish())

    def teardown(self) -> None:
        self._stage.close()

    def disconnect(self) -> None:
        super().disconnect()
        if self._watch is not None:
            self.destroy_timer(self._watch)
            self._watch = None
        if self._voices is not None:
            self._voices.close()

    def counters(self) -> Mapping[str, Any]:
        return {**self._stage.counters, "recogniser": self._stage.recogniser, "listening": self._is_listening}

    def _on_audio(self, message: Any, voice_id: str = "") -> None:
        arrival_ns = self.now_ns()
        chunks = self._decoders[voice_id].decode(type_name(type(message)), message)
        if voice_id:
            chunks = [replace(chunk, voice_id=voice_id) for chunk in chunks]
        self._silent_ticks[voice_id] = 0
        self._tell_that_it_waits()
        for chunk in chunks:
            self.submit(partial(self._hear, chunk, arrival_ns, voice_id))

    def _hear(self, chunk: AudioChunk, arrival_ns: int, voice_id: str) -> None:
        if not self._is_listening:  # the order to listen no more may wait behind this
            self._publish(self._stage.listen(False))
        self._publish(self._stage.push(chunk, arrival_ns, voice_id))
        publishers = self._audio.publishers
        # Who has been replaced is known for a while yet, and who is there may be silent.
        if not voice_id and len(publishers) > 1 and self._stage.is_crossed:
            topic, names = self.resolve_topic_name("audio"), " and ".join(publishers)
            self.health.warn(
                f"topic {topic} is published by {names} at the same time, so that nobody is understood: stop one of "
                "them, or remap it"
            )

    def _tell_that_it_waits(self) -> None:
        """To who expects the voice: sound comes, but the worker is busy with words."""
        now_s = time.monotonic()
        waits_s, told_s = now_s - self._voice_s, now_s - self._told_s
        if self._is_listening and self.is_behind and min(waits_s, told_s) > _WAITS_S and waits_s < SILENCE_S:
            self._told_s = now_s
            self._listening.publish(Bool(data=True))

    def _on_voice(self, voice_id: str) -> None:
        self._decoders[voice_id] = AudioDecoder(self.settings.audio)
        self.submit(lambda: self._stage.open(voice_id), is_order=True)

    def _on_voice_lost(self, voice_id: str) -> None:
        self._decoders.pop(voice_id, None)
        self._silent_ticks.pop(voice_id, None)
        self.submit(lambda: self._publish(self._stage.end(voice_id)), is_order=True)

    def _on_text(self, message: Any, voice_id: str = "") -> None:
        """What another recogniser says at the time of its stamp, or now."""
        text = text_from_msg(message)
        stamp_ns = conversions.time_to_ns(message.header.stamp) if hasattr(message, "header") else 0
        at_ns = stamp_ns or self.now_ns()
        self.submit(lambda: self._publish(self._stage.take(text, at_ns, voice_id)))

    def _on_robot(self, message: Bool) -> None:
        speaks = bool(message.data)
        if speaks != self._robot_speaks:  # what is said again and again must not fill the queue
            self._robot_speaks = speaks
            self.submit(lambda: self._publish(self._stage.robot_speaks(speaks)), is_order=True)

    def lack(self, topics: frozenset[str]) -> None:
        if "robot_speaking" in topics:  # who has gone while it spoke would leave the robot deaf
            self._on_robot(Bool(data=False))
        if self._voices is not None:  # and so would voices that nobody says have left
            self._voices.lack(topics)

    def _stop_listening(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """From now on nothing that comes is heard; what is open is cancelled as soon as the worker comes to it."""
        self._is_listening, self._has_been_told = not request.data, True
        response.success = True
        response.message = "listening" if self._is_listening else "not listening: nothing is kept, published or logged"
        self.get_logger().info(response.message)
        if self.is_configured:
            self._listening.publish(Bool(data=self._is_listening))
            listening = self._is_listening

            def obey() -> None:
                self._publish(self._stage.listen(listening))

            if not self.submit(obey, otherwise=obey, is_order=True):
                for _ in self._stage.listen(listening):  # inactive: nobody else touches it, and nothing is open
                    pass
        return response

    def _flush_when_stalled(self) -> None:
        """Audio that stops in mid-utterance is not followed by the silence that would end it.

        Ticks are counted, not times compared: a process that was held up finds its clock far ahead of the audio that
        waits for it, and has one tick then.
        """
        for voice_id in self._silent_ticks:
            self._silent_ticks[voice_id] += 1
            if self._silent_ticks[voice_id] == _STALL_TICKS + 1:
                self.submit(partial(self._flush, voice_id), is_order=True)

    def _flush(self, voice_id: str) -> None:
        self._publish(self._stage.flush(voice_id))

    def _publish(self, items: Iterable[AudioChunk | UtteranceEvent]) -> None:
        for found in items:
            item = found if self._is_listening else _withheld(found)
            if item is None:
                continue
            if isinstance(item, UtteranceEvent):
                fields = conversions.utterance_to_fields(item)
                self._utterance.publish(conversions.fill(Utterance(), fields, {"words": Word}))
                if self._voices is not None:
                    self._voices.publish(item)
            else:
                self._voice_s = time.monotonic()
                self._voice.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(item)))


def _withheld(item: AudioChunk | UtteranceEvent) -> UtteranceEvent | None:
    """What may be told while nobody is to be listened to: that an utterance is over, without its words."""
    if not isinstance(item, UtteranceEvent) or item.state not in (UtteranceState.ENDED, UtteranceState.CANCELLED):
        return None
    return replace(item, state=UtteranceState.CANCELLED, transcript=Transcript("", is_final=False))


def _audio_info() -> type | None:
    """ros-drivers' message, where that package is installed and not the other one of its name."""
    info = find_type(INFO)
    return info if info is not None and hasattr(info(), "sample_format") else None


def main() -> int:
    return run_nodes(["speech"])


if __name__ == "__main__":
    sys.exit(main())
