"""The examples on the pages run as they stand there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mser_ros.corpora.registry import open_corpus

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_without_ros_in_the_readme_runs(tmp_path: Path) -> None:
    """As it stands there, with a recording of a moment's silence in the place of the user's."""
    (code,) = re.findall(r"```python\n(import mser_ros as mser\n.*?)```", README, flags=re.DOTALL)
    assert code.count("\n") <= 12
    soundfile.write(tmp_path / "talk.wav", np.zeros(16000, np.int16), 16000)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.fixture
def python(tmp_path: Path, ros: None) -> Callable[..., str]:
    """Runs the one example of a page that begins so, in a process of its own and a ROS domain of its own."""
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")

    def run(page: str, begin: str, *, before: str = "", replaced: tuple[str, str] = ("", "")) -> str:
        text = (ROOT / page).read_text(encoding="utf-8")
        (code,) = re.findall(rf"```python\n({re.escape(begin)}.*?)```", text, flags=re.DOTALL)
        assert replaced[0] in code
        whole = before + code.replace(*replaced)
        done = subprocess.run([sys.executable, "-c", whole], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_planner_in_the_readme_comforts_who_is_sad_and_asks_who_cannot_be_read(python: Callable[..., str]) -> None:
    said = (
        "on_emotion(Emotion(state=Emotion.FINAL, label='sad', confidence=0.7, transcript='I miss her.'))\n"
        "on_emotion(Emotion(state=Emotion.PROVISIONAL, label='sad', confidence=0.9))\n"
        "on_emotion(Emotion(state=Emotion.PROVISIONAL, label='unknown'))\n"
        "on_emotion(Emotion(state=Emotion.FINAL, label='unknown'))"
    )
    out = python("README.md", "import rclpy", replaced=("rclpy.spin(node)", said))
    assert out == "comfort the person: 'I miss her.'\nask how they are\n"


def test_the_manifest_of_ravdess_on_the_page_of_training_is_one(python: Callable[..., str], tmp_path: Path) -> None:
    for actor, emotion in (("01", "05"), ("01", "02"), ("24", "01")):
        folder = tmp_path / f"Actor_{actor}"
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"03-01-{emotion}-01-01-01-{actor}.wav", np.zeros(8000), 16000)
    python("docs/training.md", "from pathlib import Path")
    found = [(item.label, item.person) for item in open_corpus("ravdess", tmp_path).items]
    assert sorted(found) == [("angry", "01"), ("neutral", "24")], "surprise and calm are none of the four"


def test_the_publisher_of_audio_on_the_page_of_microphones_publishes(python: Callable[..., str]) -> None:
    before = "blocks = lambda: [[0] * 1024] * 2\n"
    end = "    message.first_sample += len(block)\n"
    python(
        "docs/microphone.md",
        "import rclpy",
        before=before,
        replaced=(end, end + "assert message.first_sample == 2048\n"),
    )
