"""The microphone node on a sound device that the test plays."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ros_world import T0, AudioFrame

from mser_ros.messages import conversions


class SoundSystem:
    """What the node needs of `sounddevice`: one device, whose blocks the test delivers."""

    class PortAudioError(Exception):
        pass

    def __init__(self) -> None:
        self.devices = [
            {"name": "Array", "max_input_channels": 2, "default_samplerate": 48000.0},
            {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48000.0},
        ]
        self.default = SimpleNamespace(device=[0, 1])
        self.stream: SimpleNamespace | None = None
        self.rates = (16000, 48000)

    def query_devices(self) -> list[dict]:
        return self.devices

    def InputStream(self, *, device, samplerate, channels, blocksize, dtype, callback):  # noqa: N802
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate")
        assert (device, dtype) == (0, "int16")
        self.stream = stream = SimpleNamespace(active=True, channels=channels, callback=callback, start=lambda: None)
        stream.close = self.unplug
        return stream

    def unplug(self) -> None:
        self.stream.active = False

    def deliver(self, samples: np.ndarray) -> None:
        times = SimpleNamespace(currentTime=10.0, inputBufferAdcTime=10.0 - len(samples) / 16000)
        self.stream.callback(samples, len(samples), times, SimpleNamespace(input_overflow=False))


@pytest.fixture
def sound(monkeypatch):
    system = SoundSystem()
    monkeypatch.setitem(sys.modules, "sounddevice", system)
    return system


def test_blocks_are_published_with_the_time_at_which_they_were_heard(world, sound):
    heard = world.listen(AudioFrame, "audio")
    tested = world.node("microphone", channels=2, frame_id="ear", use_sim_time=True)
    world.wait_for_outputs(tested, "audio")
    world.set_clock(T0, tested)
    samples = np.arange(2048, dtype=np.int16).reshape(1024, 2)
    sound.deliver(samples)
    sound.deliver(samples + 1)
    world.wait(lambda: len(heard) == 2, "two blocks")
    first, second = map(conversions.audio_from_msg, heard)
    np.testing.assert_array_equal(first.samples, samples)
    np.testing.assert_array_equal(second.samples, samples + 1)
    assert (first.sample_rate, first.frame_id, first.first_sample, second.first_sample) == (16000, "ear", 0, 1024)
    assert first.stamp_ns == T0 - 64_000_000
    assert second.stamp_ns > first.stamp_ns


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"device": "Violin"}, ("no microphone 'Violin'", "0 'Array'")),
        ({"sample_rate": 11025}, ("does not open at 11025 Hz", "sample_rate 0")),
        ({"channels": 8}, ("lacks 8 channels", "open 2")),
    ],
)
def test_a_device_that_cannot_be_opened_is_one_sentence_and_can_be_corrected(world, sound, given, parts):
    tested = world.node("microphone", **given)
    tested.wait_for_problem(*parts)
    assert tested.state == "inactive"
    assert tested.cleanup()
    for name, value in {"device": "Array", "sample_rate": 0, "channels": 1}.items():
        assert tested.set(name, value) == ""
    assert tested.configure()
    assert tested.activate()


def test_no_microphone_at_all_is_one_sentence_and_it_may_come_later(world, sound):
    devices, sound.devices = sound.devices, []
    tested = world.node("microphone")
    tested.wait_for_problem("there is no microphone", "plug one in", "microphone:=false", "--no-microphone")
    assert tested.state == "inactive"
    sound.devices = devices
    assert tested.activate()


def test_without_portaudio_it_is_told_what_to_install_and_what_to_do_then(world, monkeypatch, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    tested = world.node("microphone")
    tested.wait_for_problem("sudo apt install libportaudio2, then start the microphone node again")
    assert tested.state == "inactive"


def test_a_microphone_that_is_unplugged_is_one_sentence(world, sound):
    tested = world.node("microphone")
    assert tested.state == "active"
    sound.unplug()
    tested.wait_for_problem("0 'Array' is gone", "deactivate and activate")
    assert tested.deactivate()
    assert tested.activate()


def test_the_device_is_closed_while_the_node_is_inactive(world, sound):
    tested = world.node("microphone")
    stream = sound.stream
    assert stream.active
    assert tested.deactivate()
    assert not stream.active
