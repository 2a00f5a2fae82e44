"""Real PortAudio on a real sound server: what is played in the room is heard, at the device's own rate."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clips import silence, spoken
from ros_world import PATIENCE_S, AudioFrame, Emotion, Utterance
from sound_server import SoundServer, sound_server

from mser_ros.evaluation.words import words_of
from mser_ros.types import NS_PER_S

RATE = 44_100


@pytest.fixture
def room() -> Iterator[SoundServer]:
    with tempfile.TemporaryDirectory(prefix="mser_") as folder, sound_server(Path(folder)) as server:
        yield server


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """'I feel sad and lonely', with silence before and behind it."""
    soundfile.write(tmp_path / "talk.wav", np.concatenate([silence(0.5), spoken(), silence(1.5)]), 16_000)
    return tmp_path / "talk.wav"


def stamp_ns(message: AudioFrame) -> int:
    return message.header.stamp.sec * NS_PER_S + message.header.stamp.nanosec


def test_what_is_played_in_the_room_is_heard_by_mser_run(
    world, room: SoundServer, talk: Path, tiny_bundle: Path, whisper_base: Path, tmp_path: Path
) -> None:
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        "/**/microphone: {ros__parameters: {device: pulse, sample_rate: 0}}\n"
        f"/**/emotion: {{ros__parameters: {{bundle: {tiny_bundle}}}}}\n"
        "/**/speech: {ros__parameters: {asr: {backend: whisper}}}\n"
    )
    audio, emotions = world.listen(AudioFrame, "audio"), world.listen(Emotion, "emotion")
    utterances = world.listen(Utterance, "utterance")

    def said() -> list[Utterance]:
        return [message for message in utterances if message.state == Utterance.ENDED and message.is_text_final]

    own = room.environment | {
        "ROS_DOMAIN_ID": os.environ["ROS_DOMAIN_ID"],
        "ROS_LOG_DIR": os.environ["ROS_LOG_DIR"],
        "MSER_MODELS": str(whisper_base.parent),
    }
    command = [sys.executable, "-m", "mser_ros.cli.main", "run", "--params-file", str(parameters)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=own, stdout=log, stderr=log, start_new_session=True)
    try:
        world.wait(lambda: bool(audio), "audio from the microphone")
        world.wait(lambda: world.diagnostics.get("/speech", {}).get("state") == "active", "the speech node")
        began_ns = time.time_ns()
        room.play(talk)
        # A busy machine may play with a gap, which makes two utterances of the sentence.
        world.wait(lambda: {"sad", "lonely"} <= set(words_of(" ".join(item.text for item in said()))), "the words")
        world.wait(lambda: any(message.state == Emotion.FINAL for message in emotions), "an estimate")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
    found = said()
    start_ns = found[0].start.sec * NS_PER_S + found[0].start.nanosec
    assert began_ns - NS_PER_S // 2 < start_ns < began_ns + 5 * NS_PER_S
    assert {message.sample_rate for message in audio} == {RATE}
    assert all(
        other.first_sample == one.first_sample + len(one.samples) // one.channels for one, other in pairwise(audio)
    )
    strays = np.diff([stamp_ns(message) for message in audio]) - len(audio[0].samples) * NS_PER_S / RATE
    assert np.median(np.abs(strays)) < 2_000_000
    assert np.abs(strays).max() < NS_PER_S // 2
    assert world.diagnostics["/speech"]["discontinuities"] == "0", "that cuts nothing"


def test_mser_mic_shows_the_device_and_who_speaks(room: SoundServer, talk: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mser_ros.cli.main",
        "mic",
        "--device",
        "pulse",
        "--asr",
        "none",
        "--seconds",
        "60",
    ]
    with subprocess.Popen(command, env=room.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Speak to" in line:
                room.play(talk)
            elif "(no words)" in line:  # somebody has spoken
                process.send_signal(signal.SIGINT)
    shown = "".join(said)
    assert process.returncode == 0, shown
    assert f"Speak to 0 'pulse', {RATE} Hz" in shown
    assert re.search(r"[12] utterances?", shown)
