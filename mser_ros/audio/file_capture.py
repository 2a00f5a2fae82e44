"""A sound file in place of a microphone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..errors import AudioError
from ..settings import MicrophoneSettings
from ..types import NS_PER_S, AudioChunk
from .sound_files import open_sound_file
from .waveform import pcm16

#: Between two looks whether anybody listens.
_LOOK_S = 0.05


class FileCapture:
    """Plays a file as a microphone would deliver it, in its own time. Iterate over it as over a `MicrophoneCapture`;
    that raises `AudioError` where a file is damaged or holds no sound."""

    def __init__(
        self, settings: MicrophoneSettings, now_ns: Callable[[], int], *, is_heard: Callable[[], bool] = lambda: True
    ) -> None:
        """`now_ns`: the clock of the stamps. `is_heard`: whether anybody listens; it begins once somebody does. Raises
        `AudioError` where the file cannot be read."""
        self._path = Path(settings.file).expanduser()
        self._sound = open_sound_file(self._path)
        self.device = f"file '{self._path.name}'"
        self.sample_rate = self._sound.sample_rate
        self.overflows = self.dropped = 0
        self._settings = settings
        self._now_ns = now_ns
        self._is_heard = is_heard
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[AudioChunk]:
        size = max(1, round(self._settings.block_s * self.sample_rate))
        while not self._is_heard():
            if self._closed.wait(_LOOK_S):
                return
        started_ns, started_s, first = self._now_ns(), time.monotonic(), 0
        while not self._closed.is_set():
            begun = first
            for block in self._sound.blocks(size):
                # A block is there once it has been said.
                end_s = (first + len(block)) / self.sample_rate
                if self._closed.wait(max(0.0, started_s + end_s - time.monotonic())):
                    return
                stamp_ns = started_ns + first * NS_PER_S // self.sample_rate
                yield AudioChunk(pcm16(block), self.sample_rate, stamp_ns, first, frame_id=self._settings.frame_id)
                first += len(block)
            if first == begun:  # a film may tell of a track in which nothing is
                raise AudioError(f"'{self._path}' holds no audio: record it again")
            if not self._settings.loop:
                return

    def close(self) -> None:
        self._closed.set()
