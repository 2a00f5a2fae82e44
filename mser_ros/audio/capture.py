"""Capture from a sound device through PortAudio."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import AudioError, DependencyError
from ..settings import MicrophoneSettings
from ..types import NS_PER_S, AudioChunk

#: Blocks that may wait to be fetched.
_QUEUE = 64


@dataclass(frozen=True, slots=True)
class Device:
    """A sound device that can record."""

    number: int
    name: str
    channels: int
    sample_rate: int
    is_default: bool

    def __str__(self) -> str:
        return f"{self.number} '{self.name}'"


def list_devices() -> list[Device]:
    """Every device that can record. Raises `AudioError` without PortAudio, `DependencyError` without sounddevice."""
    sounddevice = _sounddevice()
    default = sounddevice.default.device[0]
    return [
        Device(
            number=number,
            name=item["name"],
            channels=item["max_input_channels"],
            sample_rate=round(item["default_samplerate"]),
            is_default=number == default,
        )
        for number, item in enumerate(sounddevice.query_devices())
        if item["max_input_channels"] > 0
    ]


def find_device(wanted: str, devices: list[Device]) -> Device:
    """The device of a number, or the one whose name contains `wanted`; '' is the system's default.

    Raises `AudioError`, naming the alternatives, for none or several.
    """
    if not devices:
        raise AudioError(
            "there is no microphone: plug one in, or turn the microphone off and publish audio from another node"
        )
    choice = ", ".join(str(device) for device in devices)
    if not wanted:
        matches = [device for device in devices if device.is_default] or devices[:1]
    elif wanted.isdecimal():
        matches = [device for device in devices if device.number == int(wanted)]
    else:
        matches = [device for device in devices if device.name == wanted] or [
            device for device in devices if wanted.lower() in device.name.lower()
        ]
    if not matches:
        raise AudioError(f"there is no microphone '{wanted}': choose one of {choice}")
    if len(matches) > 1:
        several = ", ".join(str(device) for device in matches)
        raise AudioError(f"several microphones are called '{wanted}': choose one of {several} by its number")
    return matches[0]


class MicrophoneCapture:
    """An open microphone. Iterate over it, or call `read`.

    The stamp of a block is the time of its first sample as the device counts it, on the clock that is given: the
    device's clock is mapped once, at the first block, so that stamps have no jitter.
    """

    def __init__(self, settings: MicrophoneSettings, now_ns: Callable[[], int]) -> None:
        """`now_ns`: the clock of the stamps. Raises `AudioError` where the device cannot be opened as wanted."""
        sounddevice = _sounddevice()
        self.device = find_device(settings.device, list_devices())
        self.sample_rate = settings.sample_rate or self.device.sample_rate
        self.overflows = 0  # blocks before which the device lost audio
        self.dropped = 0  # blocks that nobody fetched in time
        self._frame_id = settings.frame_id
        self._now_ns = now_ns
        self._blocks: queue.Queue[AudioChunk] = queue.Queue(_QUEUE)
        self._anchor: tuple[float, int] | None = None
        self._first_sample = 0
        if settings.channels > self.device.channels:
            raise AudioError(
                f"microphone {self.device} lacks {settings.channels} channels: open {self.device.channels}"
            )
        try:
            self._stream = sounddevice.InputStream(
                device=self.device.number,
                samplerate=self.sample_rate,
                channels=settings.channels,
                blocksize=round(settings.block_s * self.sample_rate),
                dtype="int16",
                callback=self._on_block,
            )
            self._stream.start()
        except sounddevice.PortAudioError as error:
            raise AudioError(
                f"microphone {self.device} does not open at {self.sample_rate} Hz ({error}): "
                "try sample_rate 0 (the device's own), or choose another device"
            ) from None

    @property
    def active(self) -> bool:
        """False once the device is gone or closed."""
        return bool(self._stream.active)

    def read(self, timeout_s: float = 1.0) -> AudioChunk | None:
        """The next block, or None if none came in time."""
        try:
            return self._blocks.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def __iter__(self) -> Iterator[AudioChunk]:
        while self.active:
            chunk = self.read()
            if chunk is not None:
                yield chunk

    def close(self) -> None:
        self._stream.close()

    def _on_block(self, samples: np.ndarray, frames: int, time: Any, status: Any) -> None:
        """On PortAudio's thread: must neither block nor raise."""
        if status.input_overflow:
            self.overflows += 1
            self._anchor = None  # an unknown number of samples is missing: the clock must be set anew
        if self._anchor is None:
            age_s = max(0.0, time.currentTime - time.inputBufferAdcTime) if time.inputBufferAdcTime > 0 else 0.0
            if age_s == 0.0:
                age_s = frames / self.sample_rate
            self._anchor = (self._first_sample / self.sample_rate, self._now_ns() - round(age_s * NS_PER_S))
        position_s, anchor_ns = self._anchor
        chunk = AudioChunk(
            samples=samples.copy(),
            sample_rate=self.sample_rate,
            stamp_ns=anchor_ns + round((self._first_sample / self.sample_rate - position_s) * NS_PER_S),
            first_sample=self._first_sample,
            frame_id=self._frame_id,
        )
        self._first_sample += frames
        try:
            self._blocks.put_nowait(chunk)
        except queue.Full:
            self.dropped += 1


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise DependencyError("sounddevice is not installed: pip install sounddevice") from None
    except OSError:
        raise AudioError("PortAudio is missing: sudo apt install libportaudio2") from None
    return sounddevice
