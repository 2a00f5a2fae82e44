"""`mser mic`: devices, levels and words in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from mser_ros.cli.main import main
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg

DEMO = Path(__file__).parents[2] / "demo" / "demo.mcap"


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first five seconds of the demo, in which one sentence is said."""
    with Bag(DEMO) as bag:
        chunks = [audio_from_msg(message.decode()) for message in bag.messages(["/audio"])]
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, np.concatenate([chunk.samples[:, 0] for chunk in chunks])[: 5 * 16000], 16000)
    return path


def test_a_file_is_heard_in_its_own_time_and_the_utterance_is_told(
    talk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["mic", "--file", str(talk), "--asr", "none"]) == 0
    told = capsys.readouterr().out
    assert "words are read by none: asked for" in told
    assert "speaks" in told
    assert "quiet" in told
    assert "s: (no words)" in told
    assert "1 utterance, at most -" in told


def test_it_stops_when_asked(talk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mic", "--file", str(talk), "--asr", "none", "--seconds", "0.3"]) == 0
    assert "0 utterances" in capsys.readouterr().out


def test_devices_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    devices = [
        {"name": "Array", "max_input_channels": 4, "default_samplerate": 48000.0},
        {"name": "Speaker", "max_input_channels": 0, "default_samplerate": 48000.0},
    ]
    system = SimpleNamespace(
        _terminate=lambda: None,
        _initialize=lambda: None,
        query_devices=lambda: devices,
        default=SimpleNamespace(device=[0, 1]),
        PortAudioError=OSError,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", system)
    assert main(["mic", "--list"]) == 0
    told = capsys.readouterr().out
    assert "Array" in told
    assert "default" in told
    assert "Speaker" not in told
    assert main(["mic", "--device", "Violin"]) == 1
    assert "no microphone 'Violin'" in capsys.readouterr().err
    del devices[:]
    assert main(["mic", "--list"]) == 0
    assert capsys.readouterr().out == "there is no microphone\n", "and no empty table"


class Unplugged:
    """What `MicrophoneCapture` needs of sounddevice, whose microphone gives 300 blocks at once and is gone."""

    PortAudioError = OSError

    def __init__(self) -> None:
        self.default = SimpleNamespace(device=[0, 1])
        self._looks = iter([True, False])

    def _terminate(self) -> None:
        pass

    _initialize = start = close = _terminate

    def query_devices(self) -> list[dict[str, object]]:
        return [{"name": "Array", "max_input_channels": 1, "default_samplerate": 16000.0}]

    def InputStream(self, *, callback: Callable[..., None], **_: object) -> Unplugged:  # noqa: N802
        times = SimpleNamespace(currentTime=0.0, inputBufferAdcTime=0.0)
        for _ in range(300):
            callback(np.zeros((1024, 1), np.int16), 1024, times, SimpleNamespace(input_overflow=False))
        return self

    @property
    def active(self) -> bool:
        return next(self._looks)


def test_a_microphone_that_is_unplugged_is_told_of_after_what_was_heard(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", Unplugged())
    assert main(["mic", "--asr", "none"]) == 1
    told = capsys.readouterr()
    assert "0 utterances, at most " in told.out
    assert "44 blocks lost as this machine is too slow" in told.out
    assert "microphone 0 'Array' is gone: plug it in again" in told.err


def test_the_model_of_the_recogniser_is_named_by_mic_and_live_alike(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(tmp_path / "nowhere")
    for command in (["mic"], ["live", "--browser"]):
        assert main([*command, "--file", str(talk), "--asr", "vosk", "--asr-model", missing]) == 1
        assert missing in capsys.readouterr().err


def test_a_missing_file_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mic", "--file", "/nowhere.wav", "--asr", "none"]) == 1
    assert "there is no sound file" in capsys.readouterr().err
