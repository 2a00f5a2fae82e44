"""Capture from a sound device through PortAudio."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakSet

import numpy as np

from ..errors import AudioError, DependencyError
from ..settings import MicrophoneSettings
from ..types import NS_PER_S, AudioChunk

#: Blocks that may wait to be fetched: 16 s of the usual ones.
_QUEUE = 256

#: How much the device keeps beside a block, for the time in which Python's threads wait for each other [s]. PortAudio's
#: own choice, often 35 ms, is less than that on a busy machine.
_BUFFER_S = 0.2

#: A clock that strays further from the count of samples was set; ahead of it only if it stays there for so long, else a
#: block came late.
_JUMP_NS, _LASTING_NS = NS_PER_S // 10, NS_PER_S // 2

#: Blocks over which the clock's jitter is smoothed.
_SMOOTHING = 500

#: A block cannot have waited longer than this for its callback [s].
_OLDEST_S = 2.0

#: How long a block is waited for before it is looked whether the device is still there [s].
_LOOK_S = 0.1

#: Over so many seconds it is looked when a callback ran at once.
_WINDOW_S = 10

#: Captures whose stream is open: PortAudio cannot be begun anew meanwhile.
_open_streams: WeakSet[MicrophoneCapture] = WeakSet()


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
    """Every device that can record now.

    Raises `AudioError` without PortAudio, `DependencyError` without sounddevice.
    """
    sounddevice = _sounddevice()
    if not _open_streams:  # PortAudio knows the devices that were there when it was begun
        sounddevice._terminate()
        sounddevice._initialize()
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
            "there is no microphone: plug one in and start the node again, or publish audio from another node and turn "
            "this one off (microphone:=false with ros2 launch, --no-microphone with mser run)"
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


class DeviceClock:
    """Maps the samples that a device counts to times of another clock, without jitter and without drift.

    Each block says when its first sample was heard, but with the jitter of the system's scheduling; so the mapping
    follows that only slowly, and a block that is far too late not at all. Where the device lost audio, or the clock was
    set, it jumps.
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._origin_ns: int | None = None  # time of sample 0
        self._next_sample = 0
        self._late_samples = 0  # that came far too late, in a row

    def stamp(self, frames: int, heard_ns: int, *, overflow: bool = False) -> tuple[int, int]:
        """Stamp and index of the first sample of a block, which was heard at about `heard_ns`.

        `overflow`: the device says that it lost audio before the block; the index then leaves out what is missing.
        """
        measured_ns = heard_ns - self._duration_ns(self._next_sample)
        if self._origin_ns is None:
            self._origin_ns = measured_ns
        error_ns = measured_ns - self._origin_ns
        if overflow and error_ns > 0:
            self._next_sample += error_ns * self._rate // NS_PER_S
            error_ns = 0
        is_late = error_ns > _JUMP_NS
        self._late_samples = self._late_samples + frames if is_late else 0
        if error_ns < -_JUMP_NS or self._duration_ns(self._late_samples) > _LASTING_NS:
            self._origin_ns = measured_ns
        elif not is_late:
            self._origin_ns += error_ns // _SMOOTHING
        first = self._next_sample
        self._next_sample += frames
        return self._origin_ns + self._duration_ns(first), first

    def _duration_ns(self, samples: int) -> int:
        return samples * NS_PER_S // self._rate


class HostClock:
    """Maps times of PortAudio's clock to another one, on which it is known only when a callback runs.

    That is later than the time which PortAudio gives the callback, for it had to wait until Python's other threads let
    it run: on a busy machine up to seconds. The least of the last such differences is that of the clocks.
    """

    def __init__(self) -> None:
        self._least_ns: deque[tuple[int, int]] = deque(maxlen=_WINDOW_S)  # in each second of PortAudio's clock

    def time_ns(self, host_s: float, now_ns: int) -> int:
        """The other clock's time at `host_s`, where a callback that was given this runs at `now_ns`."""
        if host_s <= 0.0:  # some drivers leave the times out
            return now_ns
        second, ahead_ns = int(host_s), now_ns - round(host_s * NS_PER_S)
        if self._least_ns and self._least_ns[-1][0] == second:
            ahead_ns = min(ahead_ns, self._least_ns.pop()[1])
        self._least_ns.append((second, ahead_ns))
        return round(host_s * NS_PER_S) + min(least_ns for _, least_ns in self._least_ns)


class MicrophoneCapture:
    """An open microphone. Iterate over it; that raises what ended PortAudio's thread, which is a bug.

    The stamp of a block is the time of its first sample, as the device gives it, on the clock that is given.
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
        self._clock = DeviceClock(self.sample_rate)
        self._host = HostClock()
        self._device_error = sounddevice.PortAudioError
        self._failure: Exception | None = None
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
                latency=_BUFFER_S,
                callback=self._on_block,
            )
            self._stream.start()
            _open_streams.add(self)
        except sounddevice.PortAudioError as error:
            raise AudioError(
                f"microphone {self.device} does not open at {self.sample_rate} Hz ({error}): "
                "try sample_rate 0 (the device's own), or choose another device"
            ) from None

    @property
    def active(self) -> bool:
        """False once the device is gone or closed."""
        try:
            return bool(self._stream.active)
        except self._device_error:
            return False

    def __iter__(self) -> Iterator[AudioChunk]:
        while self.active:
            if self._failure is not None:
                raise self._failure
            try:
                chunk = self._blocks.get(timeout=_LOOK_S)
            except queue.Empty:
                continue
            yield chunk

    def close(self) -> None:
        self._stream.close()
        _open_streams.discard(self)

    def _on_block(self, samples: np.ndarray, frames: int, time: Any, status: Any) -> None:
        """On PortAudio's thread: must neither block nor raise, which looks as if the device had been unplugged."""
        try:
            self._take_in(samples, frames, time, status)
        except Exception as error:
            self._failure = error

    def _take_in(self, samples: np.ndarray, frames: int, time: Any, status: Any) -> None:
        if status.input_overflow:
            self.overflows += 1
        age_s = time.currentTime - time.inputBufferAdcTime
        if not 0.0 < age_s < _OLDEST_S:  # some drivers leave the times out
            age_s = frames / self.sample_rate
        heard_ns = self._host.time_ns(time.currentTime, self._now_ns()) - round(age_s * NS_PER_S)
        stamp_ns, first_sample = self._clock.stamp(frames, heard_ns, overflow=bool(status.input_overflow))
        chunk = AudioChunk(
            samples=samples.copy(),
            sample_rate=self.sample_rate,
            stamp_ns=stamp_ns,
            first_sample=first_sample,
            frame_id=self._frame_id,
        )
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
        raise AudioError(
            "PortAudio is missing: sudo apt install libportaudio2, then start the microphone node again"
        ) from None
    return sounddevice
