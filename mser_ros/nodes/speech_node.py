"""The speech node: audio in; utterances, and the audio that the emotion node takes, out."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

from mser_msgs.msg import AudioFrame, Utterance, Word
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

from ..messages import conversions
from ..messages.audio_topics import AUDIO_TYPES, AudioDecoder
from ..settings import SpeechSettings
from ..stages.speech import SpeechStage
from ..types import AudioChunk, UtteranceEvent
from .base import PerceptionNode
from .run import run_nodes
from .subscriptions import Flow, type_name

_AUDIO_DEPTH = 256
#: Ticks of the watch within `stall_s`.
_STALL_TICKS = 2


class SpeechNode(PerceptionNode):
    """Subscribes `audio` (AudioFrame of any rate and channels, or what `AUDIO_TYPES` lists), where ros-drivers'
    audio_common_msgs is installed `audio_info`, and `robot_speaking` (Bool: true while the robot does);
    publishes `voice` (AudioFrame, 16 kHz mono), `utterance` (Utterance) and `listening` (Bool, kept for late
    subscribers). Service `~/stop_listening` (SetBool): true stops, false goes on; who has stopped stays so through
    'inactive'."""

    settings: SpeechSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("speech", SpeechSettings, **arguments)
        self._watch: Any = None
        self._is_listening = True
        self.create_service(SetBool, "~/stop_listening", self._stop_listening)

    def setup(self) -> None:
        self._stage = SpeechStage(self.settings, on_failure=self.contain)
        self._decoder = AudioDecoder(self.settings.audio)
        for _ in self._stage.listen(self._is_listening):
            pass
        self.get_logger().info(f"words are read by {self._stage.recogniser}")
        self._silent_ticks = _STALL_TICKS + 1
        self._voice = self.advertise(AudioFrame, "voice", depth=_AUDIO_DEPTH)
        self._utterance = self.advertise(Utterance, "utterance", depth=64)
        self._listening = self.advertise(Bool, "listening", depth=1, kept=True)

    def connect(self) -> None:
        self._listening.publish(Bool(data=self._is_listening))
        source = "the microphone node or another source"
        self.subscribe(Bool, "robot_speaking", self._on_robot, depth=8, flow=Flow.OPTIONAL, source="the robot's voice")
        self.subscribe(
            AudioFrame,
            "audio",
            self._on_audio,
            depth=_AUDIO_DEPTH,
            flow=Flow.STEADY,
            source=source,
            others=AUDIO_TYPES[1:],
        )
        if (info := _audio_info()) is not None:
            capture = "the audio_capture node"
            self.subscribe(
                info, "audio_info", self._decoder.tell, depth=1, flow=Flow.OPTIONAL, source=capture, kept=True
            )
        self._watch = self.create_timer(self.settings.stall_s / _STALL_TICKS, self._flush_when_stalled)

    def finish(self) -> None:
        self._publish(self._stage.flush())

    def teardown(self) -> None:
        self._stage.close()

    def disconnect(self) -> None:
        super().disconnect()
        if self._watch is not None:
            self.destroy_timer(self._watch)
            self._watch = None

    def counters(self) -> Mapping[str, Any]:
        return {**self._stage.counters, "recogniser": self._stage.recogniser, "listening": self._is_listening}

    def _on_audio(self, message: Any) -> None:
        arrival_ns = self.get_clock().now().nanoseconds
        chunk = self._decoder.decode(type_name(type(message)), message)
        self._silent_ticks = 0
        self.submit(lambda: self._publish(self._stage.push(chunk, arrival_ns)))

    def _on_robot(self, message: Bool) -> None:
        speaks = bool(message.data)
        self.submit(lambda: self._publish(self._stage.robot_speaks(speaks)))

    def _stop_listening(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """From now on nothing that comes is heard; what is open is cancelled as soon as the worker comes to it."""
        self._is_listening = not request.data
        response.success = True
        response.message = "listening" if self._is_listening else "not listening: nothing is kept, published or logged"
        self.get_logger().info(response.message)
        if self.is_configured:
            self._listening.publish(Bool(data=self._is_listening))
            listening = self._is_listening
            if not self.submit(lambda: self._publish(self._stage.listen(listening))):
                for _ in self._stage.listen(listening):  # inactive: nobody else touches it, and nothing is open
                    pass
        return response

    def _flush_when_stalled(self) -> None:
        """Audio that stops in mid-utterance is not followed by the silence that would end it.

        Ticks are counted, not times compared: a process that was held up finds its clock far ahead of the audio that
        waits for it, and has one tick then.
        """
        self._silent_ticks += 1
        if self._silent_ticks == _STALL_TICKS + 1:
            self.submit(lambda: self._publish(self._stage.flush()))

    def _publish(self, items: Iterable[AudioChunk | UtteranceEvent]) -> None:
        for item in items:
            if isinstance(item, UtteranceEvent):
                fields = conversions.utterance_to_fields(item)
                self._utterance.publish(conversions.fill(Utterance(), fields, {"words": Word}))
            else:
                self._voice.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(item)))


def _audio_info() -> type | None:
    """ros-drivers' message, where that package is installed and not the other one of its name."""
    try:
        info: type = import_module("audio_common_msgs.msg").AudioInfo
    except (ImportError, AttributeError):
        return None
    return info if hasattr(info(), "sample_format") else None


def main() -> int:
    return run_nodes(["speech"])


if __name__ == "__main__":
    sys.exit(main())
