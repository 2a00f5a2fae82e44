"""The launch files by launch itself, where it is installed: it comes with ROS 2, not from PyPI."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LAUNCH = "launch comes with an installed ROS 2 and is not on PyPI: source one to run this test"
pytest.importorskip("launch", reason=LAUNCH)
pytest.importorskip("launch_ros", reason=LAUNCH)

from launch import LaunchContext, LaunchDescription  # noqa: E402
from launch.actions import DeclareLaunchArgument  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from rcl_interfaces.srv import GetParameters  # noqa: E402
from ros_world import PATIENCE_S, Emotion, World  # noqa: E402

ROOT = Path(__file__).parents[2]
NODES = ("microphone", "speech", "mocap", "emotion")
TOPICS = {
    "audio",
    "audio_info",
    "voice",
    "robot_speaking",
    "text",
    "listening",
    "utterance",
    "image_topic",
    "camera_info_topic",
    "skeleton_in",
    "skeleton",
    "emotion",
    "state",
    "event",
    "markers",
}


def load(name: str) -> LaunchDescription:
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / f"{name}.launch.py"))
    return source.get_launch_description(LaunchContext())


def arguments(description: LaunchDescription) -> dict[str, DeclareLaunchArgument]:
    return {item.name: item for item in description.entities if isinstance(item, DeclareLaunchArgument)}


def test_the_launch_file_has_every_promised_argument_with_a_description():
    found = arguments(load("emotion"))
    promised = {"bundle", "asr_backend", "asr_model", "device", "params_file", "use_sim_time", "microphone", "ros4hri"}
    promised |= {"camera", "camera_device", "skeleton_layout"}
    assert promised | TOPICS | {"namespace", "log_level", "autostart", "respawn"} == set(found)
    assert all(item.description and "no description" not in item.description.lower() for item in found.values())


def test_the_replay_file_has_arguments_for_the_bag_and_its_speed():
    assert {"bag", "rate", "delay"} == set(arguments(load("replay")))


# -- real launches of real nodes

LAUNCH_CODE = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

path, *given = sys.argv[1:]
service = LaunchService(argv=given, noninteractive=True)
values = [tuple(item.split(":=", 1)) for item in given]
source = PythonLaunchDescriptionSource(path)
service.include_launch_description(LaunchDescription([IncludeLaunchDescription(source, launch_arguments=values)]))
sys.exit(service.run())
"""
Launch = Callable[..., subprocess.Popen]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """What colcon would install, as far as launch looks for it: the index, and executables that run this code."""
    prefix = tmp_path / "prefix"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    scripts = prefix / "lib" / "mser_ros"
    index.mkdir(parents=True)
    scripts.mkdir(parents=True)
    (index / "mser_ros").touch()
    for name in (*NODES, "pose"):
        script = scripts / f"{name}_node"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nfrom mser_ros.nodes.executables import {name}\nsys.exit({name}())\n"
        )
        script.chmod(0o755)
    return prefix


@pytest.fixture
def launched(ros: None, prefix: Path, tmp_path: Path) -> Iterator[Launch]:
    """Start a launch file with arguments; what it prints is in `launch.log`."""
    processes: list[subprocess.Popen] = []

    def start(name: str, *given: str, path: Path | None = None) -> subprocess.Popen:
        environment = {
            **os.environ,
            "AMENT_PREFIX_PATH": os.pathsep.join([str(prefix), os.environ.get("AMENT_PREFIX_PATH", "")]),
            "PYTHONPATH": os.pathsep.join(
                [*([str(path)] if path else []), str(ROOT), os.environ.get("PYTHONPATH", "")]
            ),
            "PATH": os.pathsep.join([*([str(path)] if path else []), os.environ["PATH"]]),
        }
        command = [sys.executable, "-c", LAUNCH_CODE, str(ROOT / "launch" / f"{name}.launch.py"), *given]
        with (tmp_path / "launch.log").open("wb") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)


@pytest.fixture
def world(launched: Launch) -> Iterator[World]:
    """As elsewhere, but closed before the launches are ended."""
    world = World()
    yield world
    world.close()


def wait_for_nodes(world: World, *names: str) -> None:
    world.wait(
        lambda: all(world.diagnostics.get(name, {}).get("message") == "active" for name in names), f"active {names}"
    )


def parameter(world: World, node: str, name: str) -> object:
    request = GetParameters.Request(names=[name])
    (value,) = world.call(GetParameters, f"{node}/get_parameters", request).values
    return {1: value.bool_value, 2: value.integer_value, 3: value.double_value, 4: value.string_value}.get(value.type)


def log_of(process: subprocess.Popen, folder: Path) -> str:
    process.wait(PATIENCE_S)
    return (folder / "launch.log").read_text()


def started(folder: Path, name: str = r"\w+") -> list[int]:
    """Process numbers of all nodes, or those of one name, in the order in which they were started."""
    lines = re.findall(rf"\[{name}_node-\d\]: process started with pid \[(\d+)\]", (folder / "launch.log").read_text())
    return [int(number) for number in lines]


def write_file(folder: Path, bundle: Path) -> Path:
    path = folder / "mine.yaml"
    path.write_text(
        f"/**/emotion: {{ros__parameters: {{bundle: '{bundle}', threads: 2}}}}\n"
        "/**/speech:\n  ros__parameters:\n    use_sim_time: true\n    asr: {backend: none}\n"
    )
    return path


def test_what_a_parameter_file_says_stays_where_nothing_else_is_given(launched, world, tiny_bundle, tmp_path):
    mine = write_file(tmp_path, tiny_bundle)
    process = launched("emotion", f"params_file:={mine}", "microphone:=false")
    wait_for_nodes(world, "/speech", "/mocap", "/emotion")
    assert parameter(world, "/speech", "asr.backend") == "none"
    assert parameter(world, "/speech", "use_sim_time") is True
    assert parameter(world, "/mocap", "use_sim_time") is False
    assert parameter(world, "/emotion", "bundle") == str(tiny_bundle)
    assert parameter(world, "/emotion", "threads") == 2
    assert "/microphone" not in world.diagnostics
    process.send_signal(signal.SIGINT)
    said = log_of(process, tmp_path)
    assert process.returncode == 0, said
    assert said.count("process has finished cleanly") == 3, said
    assert "Traceback" not in said


def test_what_is_given_outweighs_the_parameter_file_in_any_namespace(launched, world, tiny_bundle, tmp_path):
    mine = write_file(tmp_path, tiny_bundle)
    mine.write_text(mine.read_text().replace(str(tiny_bundle), str(tmp_path)).replace("none", "vosk"))
    launched(
        "emotion", f"params_file:={mine}", "microphone:=false", "namespace:=/robot", "use_sim_time:=false",
        "asr_backend:=none", f"bundle:={tiny_bundle}", "emotion:=/feelings", "voice:=clean",
    )  # fmt: skip
    wait_for_nodes(world, "/robot/speech", "/robot/mocap", "/robot/emotion")
    assert parameter(world, "/robot/speech", "asr.backend") == "none"
    assert parameter(world, "/robot/speech", "use_sim_time") is False
    assert parameter(world, "/robot/emotion", "bundle") == str(tiny_bundle)
    assert parameter(world, "/robot/emotion", "threads") == 2
    world.listen(Emotion, "/feelings")
    topics = {name for name, _ in world.peer.get_topic_names_and_types()}
    assert {"/feelings", "/robot/clean", "/robot/audio", "/robot/utterance"} <= topics
    assert not {"/robot/emotion", "/robot/voice", "/clean"} & topics


def test_without_any_argument_all_nodes_start(launched, world, tmp_path):
    launched("emotion")
    wait_for_nodes(world, "/speech", "/mocap", "/emotion")
    world.wait(lambda: "/microphone" in world.diagnostics, "the microphone node")
    assert parameter(world, "/speech", "asr.backend") == "pocketsphinx"


def test_a_device_that_is_a_number_reaches_its_node_as_text(launched, world):
    launched("emotion", "device:=3", "autostart:=false")
    world.wait(lambda: all(f"/{name}" in world.diagnostics for name in NODES), "diagnostics of every node")
    assert parameter(world, "/microphone", "device") == "3"
    assert {world.diagnostics[f"/{name}"]["message"] for name in NODES} == {"unconfigured"}


def test_a_camera_starts_the_pose_node_at_the_images_that_are_named(launched, world, pose_model, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f"/**/pose: {{ros__parameters: {{model_path: '{pose_model}', rate_hz: 5.0}}}}\n"
        "/**/speech: {ros__parameters: {autostart: false}}\n/**/emotion: {ros__parameters: {autostart: false}}\n"
    )
    launched(
        "emotion", f"params_file:={mine}", "microphone:=false", "camera:=true", "image_topic:=/camera/image_raw",
        "skeleton_in:=/bodies",
    )  # fmt: skip
    wait_for_nodes(world, "/pose", "/mocap")
    assert parameter(world, "/pose", "rate_hz") == 5.0
    listening = {name for name, _ in world.peer.get_subscriber_names_and_types_by_node("pose", "/")}
    assert "/camera/image_raw" in listening
    world.wait(lambda: world.diagnostics["/pose"].get("subscribers skeleton_in") == "1", "the mocap node at the bodies")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            ["asr_model:=/no/model", "asr_backend:=vosk"],
            "launch argument asr_model: there is no folder /no/model: name",
        ),
        (["camera_device:=0"], "launch argument camera_device has no effect without camera:=true"),
        (["use_sim_time:=treu"], "launch argument use_sim_time must be true or false, not 'treu'"),
        (["params_file:=/no/file"], "launch argument params_file: there is no parameter file /no/file: name one like"),
    ],
)
def test_a_wrong_argument_is_named_and_nothing_is_started(launched, tmp_path, given, sentence):
    process = launched("emotion", *given)
    said = log_of(process, tmp_path)
    assert process.returncode == 1
    assert sentence in said
    assert "process started" not in said
    assert "Traceback" not in said


def test_a_node_that_was_killed_is_started_anew_where_that_is_wanted(launched, world, tmp_path):
    launched("emotion", "respawn:=true", "autostart:=false", "microphone:=false")
    world.wait(lambda: "/mocap" in world.diagnostics, "diagnostics of the node")
    world.wait(lambda: len(started(tmp_path, "mocap")) == 1, "its number")
    os.kill(*started(tmp_path, "mocap"), signal.SIGKILL)
    world.wait(lambda: len(started(tmp_path, "mocap")) == 2, "a second start")
    del world.diagnostics["/mocap"]
    world.wait(lambda: "/mocap" in world.diagnostics, "diagnostics of the new node")


def test_ctrl_c_that_comes_twice_ends_every_node_cleanly(launched, world, tiny_bundle, tmp_path):
    process = launched("emotion", f"bundle:={tiny_bundle}", "microphone:=false", "asr_backend:=none")
    wait_for_nodes(world, "/speech", "/mocap", "/emotion")
    world.wait(lambda: len(started(tmp_path)) == 3, "their numbers")
    for number in started(tmp_path):  # a terminal signals everybody, and launch passes its own on
        os.kill(number, signal.SIGINT)
    process.send_signal(signal.SIGINT)
    said = log_of(process, tmp_path)
    assert said.count("process has finished cleanly") == 3, said
    assert "Traceback" not in said


def test_a_misspelt_argument_is_told(launched, world, tiny_bundle, tmp_path):
    launched("emotion", f"bundle:={tiny_bundle}", "microphone:=false", "asr_backed:=none")
    wait_for_nodes(world, "/mocap")
    assert "asr_backed is not known here and has no effect: did you mean asr_backend?" in (
        (tmp_path / "launch.log").read_text()
    )


def fake_player(folder: Path, *, code: int) -> Path:
    """A folder for PATH and PYTHONPATH with a command ros2 that can play bags, notes how it is called and ends."""
    entry = folder / "player" / "ros2bag_fake-1.0.dist-info"
    entry.mkdir(parents=True)
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: ros2bag-fake\nVersion: 1.0\n")
    (entry / "entry_points.txt").write_text("[ros2cli.command]\nbag = ros2bag_fake:Bag\n")
    script = folder / "player" / "ros2"
    script.write_text(f'#!/bin/sh\necho "called: $*"\nexit {code}\n')
    script.chmod(0o755)
    return script.parent


def test_without_a_player_the_replay_is_one_sentence_and_no_idle_nodes(launched, tmp_path):
    from mser_ros.nodes.launch_arguments import has_ros2_bag

    if has_ros2_bag():
        pytest.skip("'ros2 bag' is installed: its absence cannot be tried")
    process = launched("replay")
    said = log_of(process, tmp_path)
    assert process.returncode == 1
    assert "'ros2 bag' is not installed, which plays the bag: sudo apt install" in said
    assert "process started" not in said


def test_a_player_that_fails_ends_the_nodes(launched, tmp_path):
    process = launched("replay", path=fake_player(tmp_path, code=2))
    said = log_of(process, tmp_path)
    assert "called: bag play --clock 100 --disable-keyboard-controls --delay 3.0 --rate 1.0" in said
    assert "'ros2 bag play' has failed with code 2: see what it says above" in said
    assert said.count("process started") == 4


def test_the_nodes_outlive_a_replay_and_follow_its_clock(launched, world, tiny_bundle, tmp_path):
    launched("replay", f"bundle:={tiny_bundle}", "rate:=2", path=fake_player(tmp_path, code=0))
    wait_for_nodes(world, "/speech", "/mocap", "/emotion")
    world.wait(lambda: "called: " in (tmp_path / "launch.log").read_text(), "the player")
    assert all(parameter(world, f"/{name}", "use_sim_time") is True for name in ("speech", "mocap", "emotion"))
    assert "/microphone" not in world.diagnostics
