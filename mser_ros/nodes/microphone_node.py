"""The microphone node: captures audio from a sound device of this machine, or plays a file as if it were one."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from mser_msgs.msg import AudioFrame

from ..audio.capture import MicrophoneCapture
from ..audio.file_capture import FileCapture
from ..errors import MserError
from ..messages import conversions
from ..settings import MicrophoneSettings
from .base import PerceptionNode
from .diagnostics import UNTIL_CLEARED, Level
from .run import run_nodes

#: How long it waits before it looks for a device that is gone: at first, and at most [s].
_SOON_S, _LATEST_S = 0.5, 8.0


class MicrophoneNode(PerceptionNode):
    """Publishes `audio` (AudioFrame), stamped with the time at which the device heard it. A device that goes away is
    looked for until it is back."""

    settings: MicrophoneSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("microphone", MicrophoneSettings, **arguments)
        self._capture: MicrophoneCapture | FileCapture | None = None
        self._ended = threading.Event()
        self._reconnects = 0
        self._reader: threading.Thread | None = None

    def setup(self) -> None:
        self._audio = self.advertise(AudioFrame, "audio", depth=256)

    def connect(self) -> None:
        self._ended = threading.Event()
        self._capture = capture = self._open()
        self._reader = threading.Thread(target=self._publish, args=(capture,), name="microphone-reader", daemon=True)
        self._reader.start()
        self.get_logger().info(f"listening to {capture.device} at {capture.sample_rate} Hz")

    def disconnect(self) -> None:
        super().disconnect()
        self._ended.set()
        if self._capture is not None and self._reader is not None:
            self._capture.close()
            self._reader.join()
            self._capture = None

    def counters(self) -> Mapping[str, Any]:
        capture = self._capture
        lost = {"overflows": capture.overflows, "dropped blocks": capture.dropped} if capture else {}
        return lost | {"reconnects": self._reconnects}

    def _open(self) -> MicrophoneCapture | FileCapture:
        clock = self.get_clock()
        kind = FileCapture if self.settings.file else MicrophoneCapture
        return kind(self.settings, lambda: clock.now().nanoseconds)

    def _publish(self, capture: MicrophoneCapture | FileCapture | None) -> None:
        try:
            while capture is not None:
                for chunk in capture:
                    self._audio.publish(conversions.fill(AudioFrame(), conversions.audio_to_fields(chunk)))
                capture = self._find_again(capture)
        except Exception as error:  # not the device's fault: that only ends the blocks
            self.fail(error)

    def _find_again(self, lost: MicrophoneCapture | FileCapture) -> MicrophoneCapture | FileCapture | None:
        """The device that is gone, once it is back; None where the node ends before."""
        if isinstance(lost, FileCapture) and not self._ended.is_set():
            self.get_logger().info(f"{lost.device} is over")
            return None
        if self._ended.is_set():
            return None
        gone = f"microphone {lost.device} is gone: plug it in again, it is looked for"
        self.health.warn(gone, level=Level.ERROR, lasts_s=UNTIL_CLEARED)
        lost.close()
        wait_s = _SOON_S
        while not self._ended.wait(wait_s):
            wait_s = min(2 * wait_s, _LATEST_S)
            try:
                found = self._open()
            except MserError:
                continue
            self._capture = found
            if self._ended.is_set():  # meanwhile
                found.close()
                return None
            self._reconnects += 1
            self.health.clear()
            self.get_logger().info(f"microphone {found.device} is back")
            return found
        return None


def main() -> int:
    return run_nodes(["microphone"])


if __name__ == "__main__":
    sys.exit(main())
