"""Packages of messages that need not be installed: where they are found, and where not."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from foreign_messages import ROOT, Peer, environment
from ros_world import World

from mser_ros.nodes.subscriptions import find_type

#: Three prefixes, two of which hold packages of one name.
PREFIXES = ("hri", "audio_drivers", "audio_mgonzs13")


def imports(package: str, own: dict[str, str]) -> subprocess.CompletedProcess[str]:
    code = f"import {package}.msg as found; print(found.__file__)"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)


def test_a_package_is_there_for_who_names_its_prefix_and_for_nobody_else():
    for prefix, package in zip(PREFIXES, ("hri_msgs", "audio_common_msgs", "audio_common_msgs"), strict=True):
        found = imports(package, environment(prefix))
        assert found.stdout.startswith(str(ROOT / "build" / "foreign" / prefix)), found.stderr
        assert "ModuleNotFoundError" in imports(package, {}).stderr


def test_what_is_in_the_source_is_what_was_built_and_colcon_leaves_it_alone():
    assert (ROOT / "test" / "foreign" / "COLCON_IGNORE").is_file()
    for source in (ROOT / "test" / "foreign").glob("*/*/msg/*.msg"):
        prefix, package = source.parts[-4:-2]
        environment(prefix)
        built = ROOT / "build" / "foreign" / prefix / "share" / package / "msg" / source.name
        assert built.read_text() == source.read_text()
        assert "#" not in source.read_text()
    for manifest in (ROOT / "test" / "foreign").glob("*/*/package.xml"):
        assert re.search(rf"<name>{manifest.parent.name}</name>", manifest.read_text())


def test_a_prefix_that_is_not_built_skips_and_names_the_cure():
    with pytest.raises(pytest.skip.Exception, match="make setup-dev"):
        environment("no_such_prefix")


@pytest.mark.parametrize(
    "name", ["", "Bool", "std_msgs/Bool", "std_msgs/msg/", "std_msgs/msg/Bool/x", "std_msgs/msg/No", "no_msgs/msg/Bool"]
)
def test_a_name_that_is_no_type_of_message_is_one_that_is_not_installed(name: str) -> None:
    assert find_type("std_msgs/msg/Bool") is not None
    assert find_type(name) is None


def test_two_processes_of_a_prefix_talk_to_each_other(world: World):
    points = [{"x": 0.5, "y": 0.25, "c": number / 32} for number in range(18)]
    with Peer(world, "hri") as eye, Peer(world, "hri") as planner:
        skeletons = planner.listen("hri_msgs/Skeleton2D", "skeleton")
        tracked = planner.listen("hri_msgs/IdsList", "tracked", kept=True)
        eye.publish("hri_msgs/IdsList", "tracked", {"ids": ["one"]}, {"ids": ["two", "three"]}, kept=True)
        eye.publish("hri_msgs/Skeleton2D", "skeleton", {"header": {"frame_id": "camera"}, "skeleton": points})
        world.wait(lambda: bool(skeletons) and bool(tracked) and len(tracked[-1]["ids"]) == 2, "what the eye sees")
        assert skeletons[0]["skeleton"] == points
        assert skeletons[0]["header"]["frame_id"] == "camera"
        with Peer(world, "hri") as latecomer:
            late = latecomer.listen("hri_msgs/IdsList", "tracked", kept=True)
            world.wait(lambda: bool(late), "what was said before")
            assert late[0]["ids"] == ["two", "three"]
