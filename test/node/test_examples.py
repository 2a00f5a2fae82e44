"""The examples, as processes of their own beside the emotion node, do what they say, and end cleanly by Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from clips import SENTENCES_S, silence, spoken
from emotion_robot import scene
from node_processes import assert_ended_cleanly, node_command, running
from ros_world import (
    AudioFrame,
    ChangeState,
    Emotion,
    EmotionState,
    Transition,
    Utterance,
    audio_message,
    utterance_message,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
#: Whatever is said is sure at once, and holds as long as the test needs it.
QUICK = ("state.gain:=1.0", "state.decay_s:=3600.0", "evidence_timeout_s:=0.1", "text_timeout_s:=0.1")


class Talk:
    """Somebody who speaks to the emotion node of another process."""

    def __init__(self, world, tmp_path: Path, *, listeners: int) -> None:
        """`listeners`: of topic `emotion`, with this one."""
        self.world, self._folder, self._number = world, tmp_path, 0
        self._emotions: list[Emotion] = world.listen(Emotion, "emotion")
        self._ear = world.publisher(AudioFrame, "voice")
        self._words = world.publisher(Utterance, "utterance")
        world.wait(lambda: world.diagnostics.get("/emotion", {}).get("subscribers emotion") == str(listeners), "links")
        world.wait(lambda: world.diagnostics["/emotion"]["goals waiting"] == "1", "the goal of the example")

    def say(self, text: str) -> None:
        """With a voice that is hardly heard, so that the words alone count."""
        self._number += 1
        item = scene(self._number, text=text, rms=0.003)
        for chunk in item.voice if text else []:
            self._ear.publish(audio_message(chunk))
        for event in item.events:
            self._words.publish(utterance_message(event))
        self.world.wait(
            lambda: any(found.utterance_id == item.name and found.state == Emotion.FINAL for found in self._emotions),
            f"the emotion of '{text}'",
        )

    def wait_to_read(self, *lines: str) -> None:
        self.world.wait(
            lambda: (self._folder / "example").read_text().splitlines() == list(lines), f"the example's {lines}"
        )


@pytest.fixture
def emotion(tiny_bundle: Path) -> list[str]:
    return node_command("emotion", *(word for item in (f"bundle:={tiny_bundle}", *QUICK) for word in ("-p", item)))


def example(name: str) -> list[str]:
    return [sys.executable, str(EXAMPLES / name)]


def end(processes, tmp_path: Path) -> None:
    for name, process in processes.items():
        process.send_signal(signal.SIGINT)
        assert_ended_cleanly(process, tmp_path / name)


def test_the_planner_asks_comforts_and_is_glad(world, emotion, tmp_path):
    with running(tmp_path, emotion=emotion, example=example("comfort_planner.py")) as processes:
        talk = Talk(world, tmp_path, listeners=2)
        talk.say("")
        talk.wait_to_read("How are you?")
        talk.say("sad sad sad sad")
        talk.wait_to_read("How are you?", "I am sorry. Shall I stay?")
        talk.say("happy happy happy happy")
        talk.wait_to_read("How are you?", "I am sorry. Shall I stay?", "I am glad that you feel better.")
        end(processes, tmp_path)


def test_the_planner_waits_again_after_the_node_was_deactivated_or_began_anew(world, emotion, tmp_path):
    def goals() -> str:
        return world.diagnostics.get("/emotion", {}).get("goals waiting", "")

    def change(transition: int) -> None:
        request = ChangeState.Request(transition=Transition(id=transition))
        assert world.call(ChangeState, "/emotion/change_state", request).success

    with running(tmp_path, example=example("comfort_planner.py")) as planner:
        with running(tmp_path, emotion=emotion) as node:
            world.wait(lambda: goals() == "1", "its goal")
            change(Transition.TRANSITION_DEACTIVATE)
            world.wait(lambda: goals() == "0", "the end of its goal")
            world.wait(lambda: int(world.diagnostics["/emotion"]["rejected"]) > 0, "a goal that is refused")
            change(Transition.TRANSITION_ACTIVATE)
            world.wait(lambda: goals() == "1", "its goal again")
            end(node, tmp_path)
        world.diagnostics.clear()
        with running(tmp_path, emotion=emotion):
            talk = Talk(world, tmp_path, listeners=2)
            talk.say("sad sad sad sad")
            talk.wait_to_read("I am sorry. Shall I stay?")
            end(planner, tmp_path)


def test_the_tree_comforts_who_is_sad_once_and_is_glad(world, emotion, tmp_path):
    states: list[EmotionState] = world.listen(EmotionState, "state")
    with running(tmp_path, emotion=emotion, example=example("comfort_tree.py")) as processes:
        talk = Talk(world, tmp_path, listeners=1)
        talk.say("sad sad sad sad")
        talk.wait_to_read("I am sorry. Shall I stay?")
        world.wait(lambda: bool(states), "a state")
        later_s = states[-1].header.stamp.sec + 4  # it waits for two seconds of sorrow
        world.wait(lambda: states[-1].header.stamp.sec >= later_s, "states of the time in which nothing is said")
        assert states[-1].label == "sad"
        talk.wait_to_read("I am sorry. Shall I stay?")
        talk.say("happy happy happy happy")
        talk.wait_to_read("I am sorry. Shall I stay?", "I am glad that you feel better.")
        end(processes, tmp_path)


def test_plain_python_tells_what_was_said_and_felt(tmp_path):
    pauses = [silence(1.0), silence(1.5), silence(1.0)]
    samples = np.concatenate([pauses[0], spoken(0), pauses[1], spoken(1), pauses[2]])
    soundfile.write(tmp_path / "talk.wav", samples, 16000)
    done = subprocess.run([*example("plain_python.py"), tmp_path / "talk.wav"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "'" in line]
    assert len(lines) == len(SENTENCES_S)
    for line in lines:
        assert re.fullmatch(r" +\d+\.\d s  (angry|happy|sad|neutral|unknown) \(\d+%\)  '.*'", line)
    assert done.stdout.count("counted") == 6


@pytest.mark.parametrize(
    ("arguments", "said"), [([], "python examples/plain_python.py"), (["no.wav"], "check the path")]
)
def test_plain_python_says_what_it_lacks(arguments, said):
    done = subprocess.run([*example("plain_python.py"), *arguments], capture_output=True, text=True)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
