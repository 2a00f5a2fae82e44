"""Mocap nodes in a process of their own see the bodies that other packages send, where these are installed."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import pytest
import skeleton_messages as given
from foreign_messages import Peer, nodes_process
from mocap_poses import pose_of
from ros_world import T0, Skeleton, World

from mser_ros.messages.conversions import skeleton_from_msg
from mser_ros.mocap.layouts import get_layout
from mser_ros.nodes.diagnostics import THROTTLE_S
from mser_ros.types import NS_PER_S, SkeletonFrame

FRAMES = 12
NAN = float("nan")


def stamp(number: int) -> int:
    return T0 + number * NS_PER_S // 30


class Eyes:
    """Mocap nodes in another process, one in each namespace, with these packages."""

    def __init__(self, stack: ExitStack, world: World, tmp_path: Any, *prefixes: str, **parameters: dict[str, str]):
        self.world = world
        self.seen: dict[str, list[Skeleton]] = {}
        self._log = tmp_path / "log"
        given: dict[str, list[str]] = {}
        for name, own in parameters.items():
            self.seen[name] = world.listen(Skeleton, f"/{name}/skeleton")
            given[name] = [part for key, value in own.items() for part in ("-p", f"{key}:={value}")]
            given[name] += ["-r", f"/tf_static:=/{name}/tf_static"]
            given[name] += ["-r", f"/humans/bodies/tracked:=/{name}/humans/bodies/tracked"]
        stack.enter_context(nodes_process("mocap", self._log, given, prefixes))
        world.wait(lambda: all(self.value(name, "subscribers skeleton") == "1" for name in parameters), "the nodes")

    def value(self, name: str, key: str) -> str:
        return self.world.diagnostics.get(f"/{name}/mocap", {}).get(key, "")

    def warnings(self, name: str) -> list[str]:
        """What one of them has warned of so far."""
        return [line for line in self._log.read_text().splitlines() if "[WARN]" in line and f"[{name}.mocap]" in line]

    def bodies(self, name: str, count: int) -> list[SkeletonFrame]:
        self.world.wait(lambda: len(self.seen[name]) >= count, f"{count} bodies at {name}")
        assert len(self.seen[name]) == count
        return [skeleton_from_msg(message) for message in self.seen[name]]


def assert_are(frames: list[SkeletonFrame], layout: str, body_id: str) -> None:
    for number, frame in enumerate(frames):
        assert (frame.layout, frame.body_id, frame.stamp_ns) == (layout, body_id, stamp(number))
        expected = given.body_of(layout, number)
        np.testing.assert_allclose(frame.positions, expected, rtol=1e-5, atol=1e-5)
        assert frame.confidence.all()


#: Of each type: the message, the layout it is in, how it is made of a time and a body, and its body's id.
KINDS: dict[str, tuple[str, str, Callable[[int, np.ndarray], dict[str, Any]], str]] = {
    "azure": ("visualization_msgs/MarkerArray", "azure_kinect32", partial(given.marker_array, number=7), "7"),
    "studio": ("geometry_msgs/PoseArray", "bandai21", given.pose_array, "0"),
    "zed": ("zed_msgs/ObjectsStamped", "zed38", partial(given.objects, body_format=2, number=4), "4"),
    "older": ("zed_interfaces/ObjectsStamped", "zed18", partial(given.objects, body_format=0, number=5), "5"),
    "nuitrack": ("nuitrack_msgs/SkeletonDataArray", "nuitrack", partial(given.skeleton_data_array, number=3), "3"),
    "mocap4r2": ("mocap4r2_msgs/Markers", "canonical15", partial(given.markers, layout="canonical15"), ""),
    "frames": ("tf2_msgs/TFMessage", "ros4hri_tf", partial(given.tf_message, name="xyz"), "xyz"),
}
#: What a node must be told, as the messages do not.
TOLD = {"studio": {"layout": "bandai21"}, "mocap4r2": {"layout": "canonical15"}}


def malformed(name: str, at: int) -> dict[str, Any]:
    """A message of each type that cannot be used, or only in part."""
    good = KINDS[name][2](at, given.body_of(KINDS[name][1], 0))
    if name == "azure":
        good["markers"] = [{**good["markers"][0], "id": 799}]
    elif name == "studio":
        good["poses"] = good["poses"][:5]
    elif name in ("zed", "older"):
        good["objects"][0]["body_format"] = 3
    elif name == "nuitrack":
        good["skeletons"][0]["joint_pos"] = []
    elif name == "mocap4r2":
        good["markers"] = good["markers"][:1] * 2
    else:
        good = KINDS[name][2](0, given.body_of("ros4hri_tf", 0))
        for item in good["transforms"]:
            item["child_frame_id"] = item["child_frame_id"].replace("xyz", "early")
    return good


def test_every_type_of_tracker_is_seen_and_malformed_messages_cost_themselves_be_it_one_or_hundreds(
    world: World, tmp_path
):
    """Hundreds not of TF, where a skeleton is put together from many messages, and refused as one."""
    with ExitStack() as stack:
        begin_s = time.monotonic()
        eyes = Eyes(stack, world, tmp_path, "skeletons", **{name: TOLD.get(name, {}) for name in KINDS})
        peer = stack.enter_context(Peer(world, "skeletons"))
        for name, (kind, layout, make, _) in KINDS.items():
            messages = [make(stamp(number), given.body_of(layout, number)) for number in range(FRAMES)]
            peer.publish(kind, f"/{name}/skeleton_in", *messages[:5], malformed(name, stamp(5)), *messages[5:])
        for name, (_, layout, _, body_id) in KINDS.items():
            assert_are(eyes.bodies(name, FRAMES), layout, body_id)
            world.wait(lambda name=name: eyes.value(name, "rejected") == "1", f"one refusal at {name}")
            world.wait(lambda name=name: eyes.value(name, "last problem") != "", f"the sentence of {name}")
            assert "\n" not in eyes.value(name, "last problem")
            assert eyes.value(name, "state") == "active"
            assert eyes.value(name, "not installed") == "hri_msgs"

        kinds = {name: kind for name, kind in KINDS.items() if name != "frames"}
        for at in range(0, 200, 25):  # no more at a time than wait in a queue
            for name, (kind, *_) in kinds.items():
                wrong = [malformed(name, stamp(FRAMES + number)) for number in range(at, at + 25)]
                peer.publish(kind, f"/{name}/skeleton_in", *wrong)
            for name in kinds:
                world.wait(lambda name=name: eyes.value(name, "rejected") == str(at + 26), f"refusals at {name}")  # noqa: B023
        for name, (kind, layout, make, _) in kinds.items():
            peer.publish(kind, f"/{name}/skeleton_in", make(stamp(300), given.body_of(layout, 0)))
        for name in kinds:
            assert eyes.bodies(name, FRAMES + 1)[-1].stamp_ns == stamp(300)
            assert (eyes.value(name, "state"), eyes.value(name, "bugs")) == ("active", "0")
            warnings, lasted_s = eyes.warnings(name), time.monotonic() - begin_s
            assert 1 <= len(warnings) <= 2 + lasted_s / THROTTLE_S, (
                "one of a kind in a while, and of an input that pauses"
            )


def test_what_trackers_get_wrong_is_one_sentence_and_counted(world: World, tmp_path):
    """In the live node: numbers that are none, nothing at all, a wrong unit, y down, stamps twice and out of order."""
    with ExitStack() as stack:
        own = {"layout": "bandai21"}
        eyes = Eyes(stack, world, tmp_path, "skeletons", units=own, stamps=own, blind=own, empty=own)
        peer = stack.enter_context(Peer(world, "skeletons"))
        kind = "geometry_msgs/PoseArray"
        bodies = [given.body_of("bandai21", number) for number in range(40)]
        upside_down = [given.pose_array(stamp(number), 10 * body * (1, -1, -1)) for number, body in enumerate(bodies)]
        peer.publish(kind, "/units/skeleton_in", *upside_down)
        good = [given.pose_array(stamp(number), body) for number, body in enumerate(bodies)]
        peer.publish(
            kind, "/stamps/skeleton_in", good[0], good[1], good[1], good[3], good[2], given.pose_array(0, bodies[0])
        )
        nowhere = [given.pose_array(stamp(number), body * NAN) for number, body in enumerate(bodies)]
        peer.publish(kind, "/blind/skeleton_in", *nowhere)
        peer.publish(kind, "/empty/skeleton_in", {"header": given.header(stamp(0))}, good[0])

        for number, frame in enumerate(eyes.bodies("units", 40)):
            np.testing.assert_allclose(frame.positions[:, 1], bodies[number][:, 1], rtol=1e-4, atol=1e-2)
        assert len(eyes.bodies("stamps", 4)) == 4
        assert not any(frame.confidence.any() for frame in eyes.bodies("blind", 40))
        assert len(eyes.bodies("empty", 1)) == 1
        expected = {
            "units": ({"converted": "40", "turned": "40", "rejected": "0"}, "stand on their heads: turned round"),
            "stamps": ({"reordered": "1", "rejected": "2"}, ""),
            "blind": ({"unseen": "40", "rejected": "0"}, "no joint of body '0' has been seen in 30 frames"),
            "empty": ({"frames": "1", "rejected": "0"}, ""),
        }
        for name, (counts, sentence) in expected.items():
            world.wait(
                lambda name=name, counts=counts: all(eyes.value(name, key) == value for key, value in counts.items()),
                f"{counts} at {name}",
            )
            assert sentence in eyes.value(name, "last problem")
            assert eyes.value(name, "state") == "active"


def test_bodies_of_ros4hri_are_followed_as_they_come_and_go(world: World, tmp_path):
    """The list of bodies says to which topics to listen; the camera's size tells what is a square."""
    with ExitStack() as stack:
        eyes = Eyes(stack, world, tmp_path, "hri", hri={})
        peer = stack.enter_context(Peer(world, "hri"))
        tracked, folder = "/hri/humans/bodies/tracked", "/hri/humans/bodies"
        peer.publish("sensor_msgs/CameraInfo", "/hri/camera_info", {"width": 1920, "height": 1080})
        world.wait(lambda: eyes.value("hri", "received camera_info") == "1", "the size of the camera")
        peer.publish("hri_msgs/IdsList", tracked, {"ids": ["abcde", "fghij"]})
        pose = pose_of("hri18")
        for name in ("abcde", "fghij"):
            peer.publish("hri_msgs/Skeleton2D", f"{folder}/{name}/skeleton2d", given.skeleton_2d(stamp(0), pose))
        frames = eyes.bodies("hri", 2)
        assert {frame.body_id for frame in frames} == {"abcde", "fghij"}
        wide = 1920 / 1080 / get_layout("hri18").aspect
        for frame in frames:
            assert frame.layout == "hri18"
            np.testing.assert_allclose(frame.positions[:, 1], pose[:, 1], atol=1e-6)
            np.testing.assert_allclose(frame.positions[:, 0], 0.5 + (pose[:, 0] - 0.5) * wide, atol=1e-6)
            np.testing.assert_array_equal(frame.confidence, 0.75)
        peer.publish("hri_msgs/IdsList", tracked, {"ids": ["fghij", "a b"]})
        world.wait(lambda: eyes.value("hri", "rejected") == "1", "the strange id")
        peer.publish("hri_msgs/IdsList", tracked, {"ids": ["fghij"]})
        world.wait(lambda: eyes.value("hri", "bodies") == "1", "one body to be left")
        assert "the id 'a b'" in eyes.value("hri", "last problem")
        peer.publish("hri_msgs/Skeleton2D", f"{folder}/fghij/skeleton2d", given.skeleton_2d(stamp(1), pose))
        assert eyes.bodies("hri", 3)[2].body_id == "fghij"
        assert "zed_msgs" in eyes.value("hri", "not installed")


def test_a_list_of_bodies_that_was_told_before_is_known(world: World, tmp_path):
    with ExitStack() as stack:
        peer = stack.enter_context(Peer(world, "hri"))
        peer.publish("hri_msgs/IdsList", "/late/humans/bodies/tracked", {"ids": ["abcde"]}, kept=True)
        eyes = Eyes(stack, world, tmp_path, "hri", late={})
        topic = "/late/humans/bodies/abcde/skeleton2d"
        peer.publish("hri_msgs/Skeleton2D", topic, given.skeleton_2d(stamp(0), pose_of("hri18")))
        assert eyes.bodies("late", 1)[0].body_id == "abcde"


def test_a_package_that_is_not_installed_is_named_with_its_cure(world: World, tmp_path):
    with ExitStack() as stack:
        eyes = Eyes(stack, world, tmp_path, blind={})
        assert eyes.value("blind", "not installed") == (
            "hri_msgs, mocap4r2_msgs, nuitrack_msgs, tf2_msgs, zed_interfaces, zed_msgs"
        )
        peer = stack.enter_context(Peer(world, "skeletons"))
        # Whoever does not listen cannot be waited for: kept messages are published all the same.
        message = given.skeleton_data_array(stamp(0), given.body_of("nuitrack", 0))
        peer.publish("nuitrack_msgs/SkeletonDataArray", "/blind/skeleton_in", message, kept=True)
        world.wait(lambda: "nuitrack_msgs" in eyes.value("blind", "last problem"), "what is lacking")
        assert "which is not installed here: install or build the package nuitrack_msgs" in eyes.value(
            "blind", "last problem"
        )
        assert eyes.value("blind", "state") == "active"


@pytest.mark.parametrize("layout", ["zed18", "zed34"])
def test_the_helper_sends_what_the_layouts_say(layout: str):
    """Guards the tests above: a frame higher by a centimetre is higher by one in metres, too."""
    world = [given.body_of(layout, number) @ get_layout(layout).to_world.T for number in (0, 5)]
    np.testing.assert_allclose(world[1] - world[0], np.broadcast_to((0, 0, 0.05), world[0].shape), atol=1e-6)
