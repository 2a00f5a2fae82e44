"""What the pages of docs/ and the README say of the code is true."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from test_imports import FLOORS, ROOMS

from mser_ros.messages.skeleton_topics import SKELETON_TYPES
from mser_ros.mocap.layouts import OWN_LAYOUTS, known_layouts

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
#: Every page that people read.
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "models" / "default" / "MODEL_CARD.md",
    ROOT / "demo" / "README.md",
)
README = (ROOT / "README.md").read_text(encoding="utf-8")
SKELETONS = (ROOT / "docs" / "skeletons.md").read_text(encoding="utf-8")


def test_the_floors_on_the_page_are_those_that_hold() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", ARCHITECTURE, flags=re.MULTILINE)
    floors = tuple(tuple(re.findall(r"`(\w+)`", parts)) for _, parts in rows)
    assert floors == FLOORS
    assert ", ".join(ROOMS) in " ".join(ARCHITECTURE.split())


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`([\w./]+\.(?:py|yaml)|[\w./]+/)`", ARCHITECTURE))))
def test_every_file_that_the_page_names_is_there(name: str) -> None:
    places = [ROOT / name, ROOT / "mser_ros" / name, ROOT / "config" / "skeletons" / name]
    assert any(place.exists() for place in places), name


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"`(_?[A-Za-z_]+(?:\.(?!py|tsv|yaml)\w+)?)`", ARCHITECTURE.split("## Where")[1])))
)
def test_every_name_of_the_recipes_is_in_the_code(name: str) -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "mser_ros").rglob("*.py"))
    owner, _, member = name.partition(".")
    assert re.search(rf"\b{owner}\b", code), name
    assert not member or re.search(rf"class {owner}\b(.|\n)*?\b{member}\b", code), name


def test_the_page_tells_of_every_type_that_carries_skeletons_and_of_layouts_that_exist() -> None:
    table = SKELETONS.split("<!-- adapters -->")[1].split("<!-- /adapters -->")[0]
    rows = [row.split("|") for row in table.strip().splitlines()[2:]]
    assert sorted(row[2].strip().strip("`") for row in rows) == sorted(SKELETON_TYPES)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[3])} - {"layout"}
    assert named <= set(known_layouts())
    (lines,) = re.findall(r"in five lines:\n\n```bash\n(.*?)```", SKELETONS, flags=re.DOTALL)
    assert lines.count("\n") == 5
    assert OWN_LAYOUTS in lines


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
        "on_emotion(Emotion(state=Emotion.FINAL, label='unknown'))"
    )
    out = python("README.md", "import rclpy", replaced=("rclpy.spin(node)", said))
    assert out == "comfort the person: 'I miss her.'\nask how they are\n"


def test_the_publisher_of_audio_on_the_page_of_microphones_publishes(python: Callable[..., str]) -> None:
    before = "blocks = lambda: [[0] * 1024] * 2\n"
    end = "    message.first_sample += len(block)\n"
    python(
        "docs/microphone.md",
        "import rclpy",
        before=before,
        replaced=(end, end + "assert message.first_sample == 2048\n"),
    )
