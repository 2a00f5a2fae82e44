"""The microphone node on a sound device that the test plays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from clips import noise, write_broken_flac
from ros_world import T0, AudioFrame

from mser_ros.messages import conversions


class Stream:
    """An open device."""

    def __init__(self, callback: Callable[..., None]) -> None:
        self.callback = callback
        self.is_open = True
        self.error: Exception | None = None

    @property
    def active(self) -> bool:
        if self.error:
            raise self.error
        return self.is_open

    def start(self) -> None:
        pass

    def close(self) -> None:
        self.is_open = False


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
        self.stream: Stream | None = None
        self.rates = (16000, 48000)

    def _terminate(self) -> None:
        pass

    def _initialize(self) -> None:
        pass

    def query_devices(self) -> list[dict]:
        return self.devices

    def InputStream(self, *, device, samplerate, channels, blocksize, dtype, latency, callback):  # noqa: N802
        if samplerate not in self.rates:
            raise self.PortAudioError("Invalid sample rate")
        assert (device, dtype) == (0, "int16")
        self.stream = Stream(callback)
        return self.stream

    def unplug(self) -> None:
        self.stream.close()

    def give_up(self) -> None:
        """What PortAudio does where the host's sound system fails."""
        self.stream.error = self.PortAudioError("Unanticipated host error")

    def deliver(self, samples: np.ndarray, *, times: object = ...) -> None:
        """A block; an exception of the callback ends the stream."""
        if times is ...:
            times = SimpleNamespace(currentTime=10.0, inputBufferAdcTime=10.0 - len(samples) / 16000)
        try:
            self.stream.callback(samples, len(samples), times, SimpleNamespace(input_overflow=False))
        except Exception:
            self.stream.close()


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
    devices, sound.devices = sound.devices, []
    sound.unplug()
    tested.wait_for_problem("0 'Array' is gone", "plug it in again")
    assert tested.deactivate()
    sound.devices = devices
    assert tested.activate()


def test_a_microphone_that_is_plugged_in_again_is_heard_again(world, sound, monkeypatch):
    monkeypatch.setattr("mser_ros.nodes.device_reader._SOON_S", 0.01)
    heard = world.listen(AudioFrame, "audio")
    tested = world.node("microphone", use_sim_time=True)
    world.wait_for_outputs(tested, "audio")
    world.set_clock(T0, tested)
    devices, sound.devices = sound.devices, []
    sound.unplug()
    tested.wait_for_problem("0 'Array' is gone")
    assert tested.value("level") == "2"
    lost, sound.devices = sound.stream, devices
    world.wait(lambda: sound.stream is not lost, "that it is opened again")
    tested.wait_for(reconnects=1)
    world.wait(lambda: tested.problem == "", "that nothing is wrong any more")
    sound.deliver(np.ones((1024, 1), np.int16))
    world.wait(lambda: len(heard) == 1, "a block")
    assert tested.deactivate()


def test_a_node_whose_microphone_is_gone_ends_all_the_same(world, sound):
    tested = world.node("microphone")
    sound.devices = []
    sound.unplug()
    tested.wait_for_problem("0 'Array' is gone")
    assert tested.deactivate()
    assert tested.cleanup()


def test_a_file_is_played_as_a_microphone(world, tmp_path):
    samples = (np.arange(8000) % 3000).astype(np.int16)
    soundfile.write(tmp_path / "talk.wav", samples, 16000)
    heard = world.listen(AudioFrame, "audio")
    tested = world.node("microphone", file=str(tmp_path / "talk.wav"), frame_id="ear", autostart=False)
    assert tested.configure()
    world.wait_for_outputs(tested, "audio")
    assert tested.activate()
    world.wait(lambda: sum(message.samples.__len__() for message in heard) == len(samples), "the whole file")
    chunks = [conversions.audio_from_msg(message) for message in heard]
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks])[:, 0], samples)
    for before, after in pairwise(chunks):
        assert (after.first_sample, after.stamp_ns) == (before.first_sample + before.frames, before.end_ns)
    assert tested.state == "active", "silence follows"
    assert tested.deactivate()


def test_a_file_that_cannot_be_read_is_one_sentence(world, tmp_path):
    tested = world.node("microphone", file=str(tmp_path / "nowhere.wav"))
    tested.wait_for_problem("there is no sound file")
    assert tested.state == "inactive"


def test_a_file_that_is_damaged_in_the_middle_is_over_there_and_one_sentence_says_so(world, tmp_path):
    heard = world.listen(AudioFrame, "audio")
    path = write_broken_flac(tmp_path / "talk.flac", noise(0.5, 3000))
    tested = world.node("microphone", file=str(path))
    tested.wait_for_problem("is damaged after")
    world.wait(lambda: tested.value("over") == "True", "the end")
    assert (tested.state, tested.value("bugs")) == ("active", "0")
    assert heard


def test_a_device_that_portaudio_gives_up_is_gone(world, sound):
    tested = world.node("microphone")
    sound.devices = []
    sound.give_up()
    tested.wait_for_problem("0 'Array' is gone", "plug it in")
    assert (tested.state, tested.value("level"), tested.value("bugs")) == ("active", "2", "0")


@pytest.mark.parametrize("where", ["on PortAudio's thread", "while it publishes"])
def test_a_bug_is_not_explained_as_an_unplugged_microphone(world, sound, monkeypatch, capfd, where):
    tested = world.node("microphone")
    stream = sound.stream
    with monkeypatch.context() as patch:
        if where == "while it publishes":
            patch.setattr(conversions, "audio_to_fields", lambda chunk: [].remove("nothing"))
            sound.deliver(np.zeros((1024, 1), np.int16))
        else:
            sound.deliver(np.zeros(0, np.int16), times=None)
        tested.wait_for_problem("a bug")
    world.wait(lambda: tested.value("state") == "unconfigured", "the end of the error state")
    logged = capfd.readouterr().err
    assert logged.count("Traceback") == 1
    assert "plug" not in logged
    assert not stream.active, "the device is closed"
    heard = world.listen(AudioFrame, "audio")
    assert tested.configure()
    assert tested.activate()
    world.wait_for_outputs(tested, "audio")
    sound.deliver(np.zeros((1024, 1), np.int16))
    world.wait(lambda: len(heard) == 1, "a block")


def test_the_device_is_closed_while_the_node_is_inactive(world, sound):
    tested = world.node("microphone")
    stream = sound.stream
    assert stream.active
    assert tested.deactivate()
    assert not stream.active
