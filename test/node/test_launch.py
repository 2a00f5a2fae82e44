"""The launch files, where launch is installed: it comes with ROS 2, not from PyPI."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

LAUNCH = "launch comes with an installed ROS 2 and is not on PyPI: source one to run this test"
pytest.importorskip("launch", reason=LAUNCH)
pytest.importorskip("launch_ros", reason=LAUNCH)

from launch import LaunchContext, LaunchDescription  # noqa: E402
from launch.actions import DeclareLaunchArgument  # noqa: E402
from launch.launch_description_sources import PythonLaunchDescriptionSource  # noqa: E402
from launch_ros.actions import Node  # noqa: E402

ROOT = Path(__file__).parents[2]
TOPICS = {"audio", "voice", "utterance", "skeleton_in", "skeleton", "emotion"}


def load(name: str) -> LaunchDescription:
    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / f"{name}.launch.py"))
    return source.get_launch_description(LaunchContext())


def arguments(description: LaunchDescription) -> dict[str, DeclareLaunchArgument]:
    return {item.name: item for item in description.entities if isinstance(item, DeclareLaunchArgument)}


def test_the_launch_file_has_every_promised_argument_with_a_description():
    found = arguments(load("emotion"))
    promised = {"bundle", "asr_backend", "use_sim_time", "microphone", "namespace", "log_level", "respawn"}
    assert promised | TOPICS <= set(found)
    assert all(item.description and "no description" not in item.description.lower() for item in found.values())


def test_every_node_is_an_executable_of_this_package():
    tree = ast.parse((ROOT / "setup.py").read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    scripts = {text.split(" = ")[0] for text in texts if " = mser_ros." in text}
    nodes = [item for item in load("emotion").entities if isinstance(item, Node)]
    assert {node.node_executable for node in nodes} == {
        f"{name}_node" for name in ("microphone", "speech", "mocap", "emotion")
    }
    assert {node.node_executable for node in nodes} <= scripts
    assert {node.node_package for node in nodes} == {"mser_ros"}


@pytest.mark.parametrize("answer", ["true", "false"])
def test_the_microphone_is_a_choice(answer):
    context = LaunchContext()
    context.launch_configurations["microphone"] = answer
    nodes = [item for item in load("emotion").entities if isinstance(item, Node)]
    chosen = {node.node_executable for node in nodes if node.condition is None or node.condition.evaluate(context)}
    assert ("microphone_node" in chosen) == (answer == "true")
    assert len(chosen) == (4 if answer == "true" else 3)


def test_the_replay_file_has_arguments_for_the_bag_and_its_speed():
    assert {"bag", "rate"} <= set(arguments(load("replay")))
