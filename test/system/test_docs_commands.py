"""Every command in the README and in docs/ is run, or, where that takes hours, a robot or another machine, read by what
would run it: its subcommand, its options, the files and names that it gives. In prose, names are looked up."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
import yaml
from clips import silence, spoken
from fuzz import bvh
from pictures import write_film
from skeleton_messages import body_of, pose_array

from mser_ros.cli.main import cli, main
from mser_ros.cli.params import as_yaml
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.conversions import audio_to_fields, skeleton_to_fields
from mser_ros.model_store.store import ModelStore
from mser_ros.nodes.launch_arguments import ARGUMENTS, REPLAY_ARGUMENTS, check
from mser_ros.settings import NODES
from mser_ros.settings.schema import flatten
from mser_ros.types import NS_PER_S, AudioChunk, SkeletonFrame

ROOT = Path(__file__).parents[2]
#: Every page that people read.
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "models" / "default" / "MODEL_CARD.md",
    ROOT / "demo" / "README.md",
)
#: The page whose commands make an example of a message; a test of its own runs them.
EXAMPLE = "docs/message.md"
SETUP = (ROOT / "setup.py").read_text(encoding="utf-8")
#: What is not run here, by words that it has, and why. Its options are read all the same.
NOT_RUN = {
    "mser annotate --ray": "needs a cluster: test/system/test_cli_annotate_ray.py",
    "mser bench": "needs a minute and a quiet machine",
    "mser demo": "starts nodes: test/node/test_cli_demo.py",
    "mser doctor": "loads every model: test/recognisers/test_cli_doctor_recogniser.py",
    "mser evaluate": "needs a corpus: test/unit/test_evaluation_command.py",
    "mser export": "needs trained runs: test/training/test_export.py",
    "mser live": "starts nodes: test/node/test_microphone_node.py",
    "mser models get": "downloads: test/unit/test_model_store.py",
    "mser models verify": "needs a model: test/unit/test_model_store.py",
    "mser pose": "needs a model: test/recognisers/test_cli_pose.py",
    "mser report": "needs trained runs: test/training/test_papers.py",
    "mser run": "starts nodes: test/node/test_processes.py",
    "mser view": "needs running nodes: test/node/test_page_browser.py",
    "ros2 action": "needs a running node: test/node/test_wait_for_emotion.py",
    "ros2 launch": "needs an installed ROS: test/node/test_launch.py",
    "ros2 security": "needs an installed ROS",
    "ros2 service": "needs a running node: test/node/test_speech_node.py, test/node/test_emotion_node.py",
    "ros2 topic": "needs an installed ROS",
    "make": "builds; make itself tells what it would do",
    "pip": "downloads; the names are those of setup.py and requirements",
    "python": "the examples are run by test/node/test_examples.py",
}
#: What is given to commands that are run, so that they take a second.
QUICKER = {
    "mser annotate": ("--asr", "none", "--bundle", "models/tiny", "--workers", "1"),
    "mser mic": ("--asr", "none", "--seconds", "1"),
    "mser train": ("--print",),
}
#: Words of a shell, and what is called there without being ours.
SHELL = {".", "cd", "cp", "export", "grep", "head", "mkdir", "nano", "rosdep", "source", "sudo"}
#: Folders of the repository: what is named in them must be there.
FOLDERS = ("config", "demo", "examples", "interfaces", "launch", "requirements", "test")


@dataclass(frozen=True)
class Command:
    """A command of a page, its loops unrolled."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {shlex.join(self.words)}"

    @property
    def program(self) -> str:
        """What is called, wherever it lies."""
        return re.sub(r"^\.venv/bin/|(?<=python)3$", "", self.words[0])

    @property
    def why_not_run(self) -> str:
        """As in `NOT_RUN`, '' for what is run."""
        words = {self.program, *self.words[1:]}
        return next((why for name, why in NOT_RUN.items() if set(name.split()) <= words), "")

    @property
    def is_run(self) -> bool:
        return self.program in ("mser", "mkdir", "cp") and not self.why_not_run and self.page != EXAMPLE


def fences(text: str) -> Iterator[tuple[str, str]]:
    """The language and the text of every fenced block."""
    yield from re.findall(r"^```(\w*).*?\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def commands() -> Iterator[Command]:
    for page in PAGES:
        for language, block in fences(page.read_text(encoding="utf-8")):
            assert language in ("", "bash", "json", "python", "text", "yaml"), f"{page}: call what a shell reads bash"
            if language in ("", "bash"):
                for line in block.replace("\\\n", " ").splitlines():
                    yield from parts(page.relative_to(ROOT).as_posix(), line)


def parts(page: str, line: str) -> Iterator[Command]:
    """The simple commands of one line of a shell, those in a loop once for each of its values."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    name, values = "", [""]
    words: list[str] = []
    for token in [*lexer, ";"]:
        if not re.fullmatch("[;&|]+", token):
            words += [token] if words or token != "do" else []
            continue
        if words[:1] == ["for"]:
            name, values = words[1], words[3:]
        elif words and words != ["done"]:
            kept = words[: words.index(">")] if ">" in words else words
            for value in values:
                replaced = (re.sub(rf"\$\{{?{name}\b\}}?", value, word) if name else word for word in kept)
                yield Command(page, tuple(replaced))
        words = []


#: Each once, whatever pages it stands on.
ALL = sorted({command.words: command for command in commands()}.values(), key=str)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path) -> Path:
    """A folder in which all is there that the pages name: the repository's folders, and recordings of a few seconds."""
    folder = tmp_path_factory.mktemp("place")
    for name in FOLDERS:
        (folder / name).symlink_to(ROOT / name)
    for name in ("models/mine", "path/to/vosk-model-small-en-us-0.15", "data/household", "archive", "skeletons"):
        (folder / name).mkdir(parents=True)
    (folder / "models" / "tiny").symlink_to(tiny_bundle)
    (folder / "models" / "default").symlink_to(ROOT / "models" / "default")
    said = np.concatenate([silence(0.3), spoken(), silence(0.8)])
    for name in ("talk.wav", "archive/first.wav", "data/household/ann.wav"):
        soundfile.write(folder / name, said, 16000)
    (folder / "data" / "household" / "manifest.tsv").write_text("file\tlabel\tspeaker\nann.wav\tsad\tann\n")
    (folder / "walk.bvh").write_text(bvh())
    (folder / "mine.yaml").write_text(as_yaml())
    write_bag(folder / "BAG", said, "canonical15", names_layout=True)
    write_bag(folder / "talk.mcap", said, "canonical15")
    write_bag(folder / "studio.mcap", said, "zed38")
    shutil.copy(ROOT / "config" / "skeletons" / "canonical15.yaml", folder / "skeletons" / "mine.yaml")
    write_film(folder / "talk.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 30, sound=said)
    return folder


def write_bag(path: Path, said: np.ndarray, layout: str, *, names_layout: bool = False) -> None:
    """A bag of sound and of a body, as ours or as a tracker sends it, without the name of its joint layout."""
    begin_ns, body = 1_700_000_000 * NS_PER_S, body_of(layout, 0)
    with BagWriter(folder := path.with_name(f"{path.name}_folder")) as writer:
        sound = audio_to_fields(AudioChunk(said[:, np.newaxis], 16000, begin_ns))
        writer.write("/audio", "mser_msgs/msg/AudioFrame", sound, begin_ns)
        for stamp_ns in range(begin_ns, begin_ns + 2 * NS_PER_S, NS_PER_S // 15):
            frame = SkeletonFrame(stamp_ns, "body", layout, body.astype(np.float32), np.ones(len(body), np.float32))
            if names_layout:
                writer.write("/skeleton", "mser_msgs/msg/Skeleton", skeleton_to_fields(frame), stamp_ns)
            else:
                writer.write("/poses", "geometry_msgs/msg/PoseArray", pose_array(stamp_ns, body), stamp_ns)
    shutil.move(next(folder.glob("*.mcap")), path)


@pytest.fixture
def at_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("MSER_SKELETONS", str(place / "skeletons"))
    return place


def placed(words: tuple[str, ...], place: Path) -> list[str]:
    """With folders that a page makes up in the place of its own."""
    made_up = re.compile(r"(?<![\w$/.])(?=/(?:data|path)/)")
    known = {"$PWD": str(place), "$MSER_DATA_DIR": str(place / "data"), "~": str(place)}
    placed_words = []
    for word in words:
        for name, value in known.items():
            word = word.replace(name, value)
        placed_words.append(made_up.sub(str(place), word) if str(place) not in word else word)
    return placed_words


# -- what is run


@pytest.mark.parametrize("command", [item for item in ALL if item.is_run], ids=str)
def test_a_command_that_takes_a_second_runs(command: Command, at_place: Path) -> None:
    words = placed(command.words, at_place)
    if words[0] != "mser":
        assert subprocess.run(words, check=False).returncode == 0
        return
    given = QUICKER.get(" ".join(words[:2]), ())
    if words[1] == "mic" and "--file" not in words:
        given = ("--list",)  # there is not always a microphone
    assert main([*words[1:], *given]) == 0


def test_the_example_of_a_message_is_what_the_commands_beside_it_print(at_place: Path) -> None:
    """Its fields, in their order; its numbers are those of another machine and of the default bundle."""
    text = (ROOT / EXAMPLE).read_text(encoding="utf-8")
    (_, block), (_, shown), *_ = fences(text)
    first, second = block.splitlines()
    assert main([*shlex.split(first)[1:], *QUICKER["mser annotate"]]) == 0
    line = second.replace("python3", shlex.quote(sys.executable))
    printed = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True).stdout
    names = r'^ *"(\w+)":'
    assert re.findall(names, printed, re.MULTILINE)[:16] == re.findall(names, shown, re.MULTILINE)[:16]
    assert set(re.findall(names, printed, re.MULTILINE)) == set(re.findall(names, shown, re.MULTILINE))


# -- what is read


@pytest.mark.parametrize("command", [item for item in ALL if not item.is_run], ids=str)
def test_any_other_command_could_be_run(command: Command, at_place: Path) -> None:
    assert command.why_not_run or command.program in SHELL or command.page == EXAMPLE, "say in NOT_RUN why not"
    words = placed(command.words, at_place)
    for word in words:
        if word.split("/")[0] in FOLDERS:
            assert (ROOT / word).exists(), word
    reader = {"mser": read_mser, "ros2": read_ros2, "make": read_make, "pip": read_pip}.get(command.program)
    if reader is not None:
        reader(words[1:])


def read_mser(words: list[str]) -> None:
    """By the parser that would run it."""
    command, context = cli, click.Context(cli, info_name="mser", **cli.context_settings)
    while isinstance(command, click.Group) and words:
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, name
        command, context = found, click.Context(found, context, name)  # type: ignore[assignment]
    command.make_context(context.info_name, list(words), parent=context.parent)
    if context.command_path == "mser models get":
        assert words[0] in ModelStore().catalogue or words[0] == "default-text"


def read_ros2(words: list[str]) -> None:
    verb, *rest = words
    if verb == "launch":
        package, file, *given = rest
        assert package == "mser_ros"
        assert (ROOT / "launch" / file).is_file()
        arguments = dict(item.split(":=") for item in given if item != "--show-args")
        if file == "replay.launch.py":
            assert arguments.keys() <= {*ARGUMENTS, *REPLAY_ARGUMENTS}
        else:
            check({name: default for name, (default, _) in ARGUMENTS.items()} | arguments)
            assert arguments.keys() <= ARGUMENTS.keys()
    elif verb == "run":
        package, name, *given = rest
        scripts = re.findall(r'"(\w+) = mser_ros', SETUP)
        assert package == "mser_ros"
        assert name in scripts
        if name == "mser":
            read_mser(given)
    elif verb == "topic":
        assert rest[-1].lstrip("/") in topics()
    elif verb in ("service", "action"):
        name, kind, *given = [word for word in rest if word != "--feedback"][1:]
        assert (name.removeprefix("/"), kind.replace(f"/{verb.replace('service', 'srv')}/", "/")) in services()
        if verb == "action":
            goal = (ROOT / "interfaces" / kind).with_suffix(".action").read_text().split("---")[0]
            assert all(re.search(rf"^\S+ {name} ", goal, re.MULTILINE) for name in yaml.safe_load(given[0]))
    else:
        assert verb == "security"


def topics() -> set[str]:
    table = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8").split("<!-- types -->")[1]
    return {name.lstrip("/") for name in re.findall(r"^\| `(\S+)`", table, re.MULTILINE)}


def services() -> set[tuple[str, str]]:
    table = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8").split("<!-- services -->")[1]
    rows = re.findall(r"^\| `\w+` \| `(\S+)` \| `(\S+)`", table, re.MULTILINE)
    return {(name.removeprefix("/"), kind) for name, kind in rows}


def read_make(words: list[str]) -> None:
    quiet = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(["make", "-n", *words], cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def read_pip(words: list[str]) -> None:
    pinned = "".join(path.read_text() for path in (ROOT / "requirements").iterdir())
    for word in words[1:]:
        package, _, extra = word.rstrip("]").partition("[")
        if package == "mser_ros":
            assert re.search(rf'^ +"{extra}": ', SETUP, re.MULTILINE), extra
        elif not word.startswith("-") and "/" not in word:
            assert re.search(rf"^{re.escape(word)}\b", pinned, re.MULTILINE), word


# -- names in prose


def spans() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for span in re.findall(r"`([^`]+)`", " ".join(prose.split())):
            yield page.relative_to(ROOT).as_posix(), span


SPANS = sorted(set(spans()))


@pytest.mark.parametrize(("page", "span"), [item for item in SPANS if re.match(r"mser [a-z]", item[1])])
def test_a_command_in_prose_and_its_options_are_there(page: str, span: str) -> None:
    words = shlex.split(span.replace("...", "").replace("…", ""))[1:]
    command, context = cli, click.Context(cli, info_name="mser", **cli.context_settings)
    while isinstance(command, click.Group) and words:
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"{page}: {name}"
        command, context = found, click.Context(found, context, name)  # type: ignore[assignment]
    options = {name for item in command.get_params(context) for name in (*item.opts, *item.secondary_opts)}
    assert {word for word in words if word.startswith("-")} <= options, page


@pytest.mark.parametrize(("page", "span"), [item for item in SPANS if ":=" in item[1]])
def test_a_launch_argument_in_prose_is_one(page: str, span: str) -> None:
    given = dict(word.split(":=") for word in span.split() if ":=" in word)
    assert given.keys() <= {*ARGUMENTS, *REPLAY_ARGUMENTS}, page


_PARAMETERS = {item.name for settings in NODES.values() for item in flatten(settings)}
_GROUPS = {name.split(".")[0] for name in _PARAMETERS if "." in name}


@pytest.mark.parametrize(
    ("page", "span"),
    [item for item in SPANS if (found := re.match(r"(\w+)\.\w+(: |$)", item[1])) and found[1] in _GROUPS],
)
def test_a_parameter_in_prose_is_one(page: str, span: str) -> None:
    assert span.split(":")[0] in _PARAMETERS, page


@pytest.mark.parametrize(("page", "span"), [item for item in SPANS if re.match(r"make [a-z][^:]*$", item[1])])
def test_a_target_in_prose_is_one(page: str, span: str) -> None:
    target = span.split()[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), page


def test_no_reason_is_given_for_what_no_page_names() -> None:
    given = {command.why_not_run for command in ALL}
    assert {name for name, why in NOT_RUN.items() if why not in given} <= {span for _, span in SPANS}
