"""The microphone node: captures audio from a sound device of this machine."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from mser_msgs.msg import AudioFrame

from ..audio.capture import MicrophoneCapture
from ..messages import conversions
from ..settings import MicrophoneSettings
from .base import PerceptionNode
from .diagnostics import UNTIL_CLEARED, Level
from .run import run_nodes


class MicrophoneNode(PerceptionNode):
    """Publishes `audio` (AudioFrame), stamped with the time at which the device heard it."""

    settings: MicrophoneSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("microphone", MicrophoneSettings, **arguments)
        self._capture: MicrophoneCapture | None = None
        self._reader: threading.Thread | None = None

    def setup(self) -> None:
        self._audio = self.advertise(AudioFrame, "audio", depth=256)

    def connect(self) -> None:
        clock = self.get_clock()
        self._capture = capture = MicrophoneCapture(self.settings, lambda: clock.now().nanoseconds)
        self._reader = threading.Thread(target=self._publish, args=(capture,), name="microphone-reader", daemon=True)
        self._reader.start()
        self.get_logger().info(f"listening to {capture.device} at {capture.sample_rate} Hz")

    def disconnect(self) -> None:
        super().disconnect()
        capture, self._capture = self._capture, None
        if capture is not None and self._reader is not None:
            capture.close()
            self._reader.join()

    def counters(self) -> Mapping[str, Any]:
        capture = self._capture
        return {"overflows": capture.overflows, "dropped blocks": capture.dropped} if capture else {}

    def _publish(self, capture: MicrophoneCapture) -> None:
        try:
            for chunk in capture:
                self._audio.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(chunk)))
        except Exception as error:  # not the device's fault: that only ends the blocks
            self.fail(error)
            return
        if self._capture is capture:
            gone = f"microphone {capture.device} is gone: plug it in, then deactivate and activate this node"
            self.health.warn(gone, level=Level.ERROR, lasts_s=UNTIL_CLEARED)


def main() -> int:
    return run_nodes(["microphone"])


if __name__ == "__main__":
    sys.exit(main())
