from __future__ import annotations

import ctypes.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mser_ros.audio import capture as capture_module
from mser_ros.audio.capture import Device, DeviceClock, HostClock, MicrophoneCapture, find_device, list_devices
from mser_ros.errors import AudioError
from mser_ros.settings import MicrophoneSettings
from mser_ros.types import NS_PER_S

USB = Device(0, "USB Audio", 2, 48_000, False)
HEADSET = Device(1, "Headset Mono", 1, 16_000, True)
ARRAY = Device(4, "USB Array", 6, 48_000, False)
DEVICES = [USB, HEADSET, ARRAY]


@pytest.mark.parametrize(
    ("wanted", "found"), [("", HEADSET), ("4", ARRAY), ("headset", HEADSET), ("USB Audio", USB), ("array", ARRAY)]
)
def test_a_device_is_found_by_number_or_part_of_its_name(wanted: str, found: Device) -> None:
    assert find_device(wanted, DEVICES) == found


@pytest.mark.parametrize(
    ("wanted", "devices", "message"),
    [
        ("9", DEVICES, "there is no microphone '9': choose one of 0 'USB Audio', 1 'Headset Mono', 4 'USB Array'"),
        ("camera", DEVICES, "there is no microphone 'camera': choose one of 0 'USB Audio'"),
        ("usb", DEVICES, "several microphones are called 'usb': choose one of 0 'USB Audio', 4 'USB Array'"),
        ("", [], "there is no microphone: plug one in"),
    ],
)
def test_no_device_or_several_is_one_sentence_with_the_choice(wanted: str, devices: list[Device], message: str) -> None:
    with pytest.raises(AudioError) as caught:
        find_device(wanted, devices)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_default_the_first_device_is_taken() -> None:
    assert find_device("", [USB, ARRAY]) == USB


@given(jitter_ms=st.lists(st.floats(0, 40), min_size=50, max_size=200))
def test_stamps_follow_the_samples_not_the_scheduler(jitter_ms: list[float]) -> None:
    clock = DeviceClock(16_000)
    stamps = [clock.stamp(1024, 64_000_000 * n + round(ms * 1e6))[0] for n, ms in enumerate(jitter_ms)]
    assert np.all(np.abs(np.diff(stamps) - 64_000_000) < 200_000)


def test_the_clock_follows_a_device_that_runs_fast_for_an_hour() -> None:
    clock = DeviceClock(16_000)
    fast_ns = 64_000_000 * 0.9998
    last = 0
    for number in range(56_250):
        last, _ = clock.stamp(1024, round(number * fast_ns))
    assert last == pytest.approx(56_249 * fast_ns, abs=10_000_000)


def test_a_clock_that_was_set_is_followed_at_once() -> None:
    clock = DeviceClock(16_000)
    clock.stamp(1024, 0)
    stamp_ns, first = clock.stamp(1024, 64_000_000 - 20 * NS_PER_S)
    assert (stamp_ns, first) == (64_000_000 - 20 * NS_PER_S, 1024)


def test_what_a_callback_waited_for_other_threads_is_no_part_of_the_time() -> None:
    host = HostClock()
    waits_s = [0.3, 0.0, *[0.2 + 0.01 * (n % 40) for n in range(100)]]  # nearly all of them, for six seconds
    for number, wait_s in enumerate(waits_s):
        host_s = 1000.0 + 0.064 * number
        error_ns = host.time_ns(host_s, round((5000.0 + host_s + wait_s) * NS_PER_S)) - round((5000.0 + host_s) * 1e9)
        assert abs(error_ns) < 1000 or number == 0


@pytest.mark.parametrize("step_s", [-30.0, 30.0])
def test_a_clock_that_was_set_is_followed_within_seconds_by_the_times_of_portaudio(step_s: float) -> None:
    host = HostClock()
    for number in range(400):
        host_s = 1000.0 + 0.064 * number
        now_ns = round((host_s + (step_s if number > 100 else 0.0)) * NS_PER_S)
        told_ns = host.time_ns(host_s, now_ns)
    assert abs(told_ns - now_ns) < 1000


def test_without_times_of_portaudio_a_block_ends_when_its_callback_runs() -> None:
    assert HostClock().time_ns(0.0, 5 * NS_PER_S) == 5 * NS_PER_S


def test_stamps_stay_in_order_where_every_callback_is_late_for_a_while(device: Device48) -> None:
    now_ns = 0
    capture = MicrophoneCapture(MicrophoneSettings(sample_rate=0), lambda: now_ns)
    blocks, stamps = iter(capture), []
    for number in range(1000):
        heard_s = 100.0 + 0.01 * number
        now_ns = round((heard_s + 0.01 + (0.4 if 300 < number < 600 else 0.0)) * NS_PER_S)
        device.deliver(SimpleNamespace(currentTime=heard_s + 0.01, inputBufferAdcTime=heard_s))
        stamps.append(next(blocks).stamp_ns)
    assert np.abs(np.diff(stamps) - 10_000_000).max() < 100_000


def test_audio_that_the_device_lost_shows_in_the_index() -> None:
    clock = DeviceClock(16_000)
    clock.stamp(1024, 0)
    stamp_ns, first = clock.stamp(1024, 64_000_000 + NS_PER_S, overflow=True)
    assert (stamp_ns, first) == (64_000_000 + NS_PER_S, 1024 + 16_000)


class Device48:
    """What `MicrophoneCapture` needs of sounddevice, with one microphone."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.default = SimpleNamespace(device=[0, 1])
        self.callback: Any = None
        self.error: Exception | None = None

        self.plugged_in = self._known = 1

    def _terminate(self) -> None:
        self._known = 0

    def _initialize(self) -> None:
        self._known = self.plugged_in

    def close(self) -> None:
        pass

    def query_devices(self) -> list[dict]:
        names = ("Array", "USB")[: self._known]
        return [{"name": name, "max_input_channels": 1, "default_samplerate": 48000.0} for name in names]

    def InputStream(self, *, callback: Any, **_: Any) -> Any:  # noqa: N802
        self.callback = callback
        return self

    def start(self) -> None:
        pass

    @property
    def active(self) -> bool:
        if self.error:
            raise self.error
        return True

    def deliver(self, times: object) -> None:
        """As PortAudio's thread does: an exception of the callback ends the stream."""
        self.callback(np.zeros((480, 1), np.int16), 480, times, SimpleNamespace(input_overflow=False))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device48:
    system = Device48()
    monkeypatch.setitem(sys.modules, "sounddevice", system)
    monkeypatch.setattr(capture_module, "_open_streams", set())
    return system


def test_a_device_that_portaudio_gives_up_has_no_more_blocks(device: Device48) -> None:
    capture = MicrophoneCapture(MicrophoneSettings(sample_rate=0), lambda: 0)
    device.error = device.PortAudioError("Unanticipated host error")
    assert list(capture) == []


def test_a_bug_on_portaudios_thread_is_no_unplugged_device_but_comes_out_where_blocks_are_fetched(
    device: Device48,
) -> None:
    capture = MicrophoneCapture(MicrophoneSettings(sample_rate=0), lambda: 0)
    device.deliver(SimpleNamespace(currentTime=1.0))  # its other time is missing
    with pytest.raises(AttributeError, match="inputBufferAdcTime"):
        next(iter(capture))


def test_a_machine_without_a_microphone_says_so_in_one_sentence() -> None:
    if ctypes.util.find_library("portaudio") and list_devices():
        pytest.skip("this machine has a microphone")
    with pytest.raises(AudioError, match=r"plug one in|apt install libportaudio2"):
        MicrophoneCapture(MicrophoneSettings(), lambda: 0)


def test_without_portaudio_the_module_imports_and_names_the_package() -> None:
    code = """
import ctypes.util
import os
ctypes.util.find_library = lambda name: None
import mser_ros.audio.capture as capture
try:
    capture.list_devices()
except capture.AudioError as error:
    assert "apt install libportaudio2" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_microphone_that_is_plugged_in_later_is_found_unless_another_one_is_open(device: Device48) -> None:
    """PortAudio looks for devices when it is begun, and cannot be begun anew while it is used."""
    capture = MicrophoneCapture(MicrophoneSettings(sample_rate=0), lambda: 0)
    device.plugged_in = 2
    assert [one.name for one in list_devices()] == ["Array"]
    capture.close()
    assert [one.name for one in list_devices()] == ["Array", "USB"]


_ALSA = Path("/usr/share/alsa/alsa.conf")
_NULL = 'pcm.{0} {{ type null hint {{ show on description "{0}" }} }}\n'
_LATER = """
import sys
from pathlib import Path
from mser_ros.audio.capture import MicrophoneCapture, list_devices
from mser_ros.errors import AudioError
from mser_ros.settings import MicrophoneSettings
try:
    MicrophoneCapture(MicrophoneSettings(device="usb"), lambda: 0)
except AudioError as error:
    print(error)
Path(sys.argv[1]).write_text(sys.argv[2])
print([device.name for device in list_devices()])
capture = MicrophoneCapture(MicrophoneSettings(device="usb"), lambda: 0)
print(capture.device.name)
capture.close()
"""


def test_with_real_portaudio_a_microphone_that_is_plugged_in_later_is_found(tmp_path: Path) -> None:
    try:
        import sounddevice
    except OSError:
        pytest.skip("PortAudio is not installed: sudo apt install libportaudio2")
    if not _ALSA.is_file() or "ALSA" not in {api["name"] for api in sounddevice.query_hostapis()}:
        pytest.skip("ALSA's null devices stand for microphones: sudo apt install libportaudio2 libasound2-data")
    config = tmp_path / "asound.conf"
    before = f"<{_ALSA}>\n{_NULL.format('desk')}"
    config.write_text(before)
    done = subprocess.run(
        [sys.executable, "-c", _LATER, str(config), before + _NULL.format("usb")],
        env=os.environ | {"ALSA_CONFIG_PATH": str(config)},
        capture_output=True,
        text=True,
        check=True,
    )
    first, names, opened = done.stdout.splitlines()
    assert first.startswith("there is no microphone 'usb'")
    assert (names, opened) == ("['desk', 'usb']", "usb")
