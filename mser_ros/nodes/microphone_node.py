"""The microphone node: captures audio from a sound device of this machine, or plays a file as if it were one."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mser_msgs.msg import AudioFrame

from ..audio.capture import MicrophoneCapture
from ..audio.file_capture import FileCapture
from ..errors import AudioError
from ..messages import conversions
from ..settings import MicrophoneSettings
from ..types import AudioChunk
from .base import PerceptionNode
from .device_reader import DeviceReader
from .run import run_nodes


class MicrophoneNode(PerceptionNode):
    """Publishes `audio` (AudioFrame), stamped with the time at which the device heard it. A device that goes away is
    looked for until it is back; a file begins when somebody subscribes."""

    settings: MicrophoneSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("microphone", MicrophoneSettings, **arguments)
        self._capture: MicrophoneCapture | FileCapture | None = None
        self._reader = DeviceReader(self, self._open, self._publish, kind="microphone", gone=AudioError)

    def setup(self) -> None:
        self._audio = self.outputs.open(AudioFrame, "audio", depth=256)

    def connect(self) -> None:
        self._reader.start(is_file=bool(self.settings.file))
        if self._capture is not None:
            self.get_logger().info(f"listening to {self._capture.device} at {self._capture.sample_rate} Hz")

    def disconnect(self) -> None:
        super().disconnect()
        self._reader.stop()
        self._capture = None

    def counters(self) -> Mapping[str, Any]:
        capture = self._capture
        lost = {"overflows": capture.overflows, "dropped blocks": capture.dropped} if capture else {}
        return lost | {"reconnects": self._reader.reconnects, "over": self._reader.is_over}

    def _open(self) -> MicrophoneCapture | FileCapture:
        def is_heard() -> bool:
            return self._audio.get_subscription_count() > 0

        self._capture = (
            FileCapture(self.settings, self.now_ns, is_heard=is_heard)
            if self.settings.file
            else MicrophoneCapture(self.settings, self.now_ns)
        )
        return self._capture

    def _publish(self, chunk: AudioChunk) -> None:
        self._audio.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(chunk)))


def main() -> int:
    return run_nodes(["microphone"])


if __name__ == "__main__":
    sys.exit(main())
