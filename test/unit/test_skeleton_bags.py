"""Bags with skeletons of other packages are read by the same decoder as live messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skeleton_messages as given
from annotations import Annotate
from mocap_poses import pose_of
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from mser_ros.cli.inputs import bag_skeletons, read_bag
from mser_ros.cli.main import main
from mser_ros.errors import BagError, SkeletonError
from mser_ros.messages.bag_writer import build_message
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg, audio_to_fields, skeleton_from_msg
from mser_ros.mocap.layouts import get_layout
from mser_ros.mocap.stream import SkeletonStream
from mser_ros.resources import interfaces_dir
from mser_ros.settings import MocapSettings
from mser_ros.types import NS_PER_S, SkeletonFrame

T0 = 1_700_000_000 * NS_PER_S
FRAMES = 20
DEMO = Path(__file__).parents[2] / "demo" / "demo.mcap"
FOREIGN = Path(__file__).parents[1] / "foreign"


@pytest.fixture(scope="module")
def store() -> Typestore:
    """The types of ROS 2, and those that tests alone have."""
    made = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for folder in (FOREIGN / "skeletons", FOREIGN / "hri", interfaces_dir().parents[1]):
        for path in sorted(folder.glob("*/msg/*.msg")):
            types.update(get_types_from_msg(path.read_text(), f"{path.parts[-3]}/msg/{path.stem}"))
    made.register({name: kind for name, kind in types.items() if name not in made.fielddefs})
    return made


Message = tuple[str, str, dict[str, Any]]


def write(path: Path, store: Typestore, messages: list[Message], times_ns: Sequence[int] = ()) -> Path:
    """`messages`: topic, type and fields, in the order of their receipt; `times_ns`: when that was."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for number, (topic, name, fields) in enumerate(messages):
            kind = name.replace("/", "/msg/")
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            data = store.serialize_cdr(build_message(kind, fields, store), kind)
            writer.write(connections[topic], times_ns[number] if times_ns else stamp(number), data)
    return path


def stamp(number: int) -> int:
    return T0 + number * NS_PER_S // 30


def items_of(path: Path, topic: str = "", **settings: str) -> list[SkeletonFrame]:
    with Bag(path) as bag:
        loaded = [item.load() for item in read_bag(bag, "", topic, mocap=MocapSettings(**settings))[0]]
    assert all(isinstance(frame, SkeletonFrame) for frame in loaded)
    return loaded  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("topic", "kind", "layout", "make", "body_id", "told"),
    [
        ("/body_tracking_data", "visualization_msgs/MarkerArray", "azure_kinect32",
         partial(given.marker_array, number=7), "7", {}),
        ("/zed/bodies", "zed_msgs/ObjectsStamped", "zed34", partial(given.objects, body_format=1, number=4), "4", {}),
        ("/zed/bodies", "zed_interfaces/ObjectsStamped", "zed34",
         partial(given.objects, body_format=1, number=4), "4", {}),
        ("/nuitrack/skeletons", "nuitrack_msgs/SkeletonDataArray", "nuitrack",
         partial(given.skeleton_data_array, number=3), "3", {}),
        ("/studio", "geometry_msgs/PoseArray", "bandai21", given.pose_array, "0",
         {"topic": "/studio", "layout": "bandai21"}),
        ("/markers", "mocap4r2_msgs/Markers", "egait16", partial(given.markers, layout="egait16"), "",
         {"topic": "/markers", "layout": "egait16"}),
        ("/tf", "tf2_msgs/TFMessage", "ros4hri_tf", partial(given.tf_message, name="xyz"), "xyz", {"topic": "/tf"}),
        ("/humans/bodies/abcde/skeleton2d", "hri_msgs/Skeleton2D", "hri18", given.skeleton_2d, "abcde", {}),
    ],
)  # fmt: skip
def test_a_bag_of_any_tracker_gives_its_bodies(
    tmp_path: Path, store: Typestore, topic: str, kind: str, layout: str, make: Callable[..., Any], body_id: str,
    told: dict[str, str]
) -> None:  # fmt: skip
    other = ("/particles", "geometry_msgs/PoseArray", {"header": given.header(stamp(0))})
    messages = [(topic, kind, make(stamp(number), given.body_of(layout, number))) for number in range(FRAMES)]
    bag = write(tmp_path / "bag", store, [other, *messages])
    frames = items_of(bag, **told)
    assert len(frames) == FRAMES
    for number, frame in enumerate(frames):
        assert (frame.layout, frame.body_id, frame.stamp_ns) == (layout, body_id, stamp(number))
        np.testing.assert_allclose(frame.positions, given.body_of(layout, number), rtol=1e-4, atol=1e-4)
    options = [f"--{name}={value}" for name, value in told.items()]
    assert main(["view-skeleton", str(bag), "-o", str(tmp_path / "out.png"), "--columns", "2", *options]) == 0
    assert (tmp_path / "out.png").is_file()


def test_every_body_of_ros4hri_is_read_with_the_camera_s_aspect(tmp_path: Path, store: Typestore) -> None:
    pose = pose_of("hri18")
    messages: list[Message] = [("/camera_info", "sensor_msgs/CameraInfo", {"width": 1600, "height": 800})]
    messages += [
        (f"/humans/bodies/{name}/skeleton2d", "hri_msgs/Skeleton2D", given.skeleton_2d(stamp(number), pose))
        for number in range(3)
        for name in ("one", "two")
    ]
    frames = items_of(write(tmp_path / "bag", store, messages))
    assert [frame.body_id for frame in frames] == ["one", "two"] * 3
    wide = 2 / get_layout("hri18").aspect
    for frame in frames:
        np.testing.assert_allclose(frame.positions[:, 0], 0.5 + (pose[:, 0] - 0.5) * wide, atol=1e-5)


def test_bodies_of_ros4hri_in_pixels_keep_their_shape_whatever_the_camera_tells(
    tmp_path: Path, store: Typestore
) -> None:
    pose = pose_of("hri18") * (1600, 800)
    pose[0] = 0  # a joint that is not seen
    body = given.skeleton_2d(stamp(0), pose)
    body["skeleton"][0]["c"] = 0.0
    info: Message = ("/camera_info", "sensor_msgs/CameraInfo", {"width": 1600, "height": 800})
    (frame,) = items_of(write(tmp_path / "bag", store, [info, ("/b/one/skeleton2d", "hri_msgs/Skeleton2D", body)]))
    made = SkeletonStream(MocapSettings()).push(frame)
    np.testing.assert_allclose(
        made.positions[1:] * (get_layout("hri18").aspect, 1) / made.positions[1, 1], pose[1:] / pose[1, 1], rtol=1e-4
    )


def test_bodies_in_frames_of_tf_are_told_of_where_nothing_else_is_a_body(
    tmp_path: Path, store: Typestore, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = {"transforms": [{"header": given.header(stamp(0), "odom"), "child_frame_id": "base_link"}]}
    bodies = [given.tf_message(stamp(number), given.body_of("ros4hri_tf", number), "x") for number in range(FRAMES)]
    both = write(tmp_path / "both", store, [("/tf", "tf2_msgs/TFMessage", fields) for fields in (robot, *bodies)])
    alone = write(tmp_path / "alone", store, [("/tf", "tf2_msgs/TFMessage", robot)])
    assert main(["doctor", str(both)]) == 0
    assert "/tf holds bodies: --skeleton-topic /tf reads them" in capsys.readouterr().out
    assert main(["doctor", str(alone)]) == 0
    assert "bodies" not in capsys.readouterr().out
    with Bag(both) as bag, pytest.raises(BagError, match=r"record those; /tf holds bodies: --skeleton-topic /tf reads"):
        read_bag(bag, "", "")
    with Bag(both) as bag:
        assert not any("holds bodies" in note for note in read_bag(bag, "", "/tf")[2])
    with Bag(alone) as bag, pytest.raises(BagError, match=r"record those$"):
        read_bag(bag, "", "")


def test_static_frames_of_a_bag_are_known(tmp_path: Path, store: Typestore) -> None:
    body = given.body_of("ros4hri_tf", 0)
    moving, fixed = given.tf_message(stamp(1), body, "x"), given.tf_message(0, body, "x")
    moving["transforms"] = [item for item in moving["transforms"] if not item["child_frame_id"].startswith("head")]
    fixed["transforms"] = [item for item in fixed["transforms"] if item["child_frame_id"].startswith("head")]
    messages = [("/tf_static", "tf2_msgs/TFMessage", fixed), ("/tf", "tf2_msgs/TFMessage", moving)]
    (frame,) = items_of(write(tmp_path / "bag", store, messages), "/tf")
    assert frame.confidence.all()


def test_a_broken_message_costs_itself(tmp_path: Path, store: Typestore) -> None:
    kind, body = "nuitrack_msgs/SkeletonDataArray", given.body_of("nuitrack", 0)
    broken = given.skeleton_data_array(stamp(1), body)
    broken["skeletons"][0]["joint_pos"] = []
    messages = [
        ("/s", kind, given.skeleton_data_array(stamp(0), body)),
        ("/s", kind, broken),
        ("/s", kind, given.skeleton_data_array(stamp(2), body)),
    ]
    loaded: list[Any] = []
    with Bag(write(tmp_path / "bag", store, messages)) as bag:
        for item in read_bag(bag, "", "")[0]:
            try:
                loaded.append(item.load())
            except SkeletonError as error:
                loaded.append(str(error))
    assert [isinstance(item, SkeletonFrame) for item in loaded] == [True, False, True]
    assert "20 joints at 0 places" in loaded[1]


def test_a_recording_with_another_tracker_gives_the_emotions_of_the_same_body(
    tmp_path: Path, store: Typestore, annotate: Annotate
) -> None:
    """The demo with its skeletons as a studio sends them, in millimetres, where the layout's unit is the metre."""
    messages: list[Message] = []
    times_ns: list[int] = []
    with Bag(DEMO) as bag:
        for message in bag.messages():
            times_ns.append(message.log_ns)
            if message.topic == "/audio":
                fields = audio_to_fields(audio_from_msg(message.decode()))
                messages.append((message.topic, "mser_msgs/AudioFrame", fields))
                continue
            frame = skeleton_from_msg(message.decode())
            places = np.where(frame.confidence[:, None] > 0.1, frame.positions * 1000, np.nan)
            messages.append(("/poses", "geometry_msgs/PoseArray", given.pose_array(frame.stamp_ns, places)))
    other = write(tmp_path / "bag", store, messages, times_ns)
    assert annotate(DEMO, "--quiet", out=tmp_path / "own") == 0
    told = ["--skeleton-topic", "/poses", "--layout", "egait16"]
    assert annotate(other, "--quiet", *told, out=tmp_path / "other") == 0
    own, found = (
        [json.loads(line) for line in (tmp_path / name / "emotions.jsonl").read_text().splitlines()]
        for name in ("own", "other")
    )
    assert len(own) == len(found) > 0
    counted = 0
    for one, two in zip(own, found, strict=True):
        for mine, theirs in zip(one["evidence"], two["evidence"], strict=True):
            assert mine["available"] == theirs["available"]
            assert mine["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-3)
            counted += mine["modality"] == "mocap" and mine["available"]
    assert counted > 0


def test_where_nothing_is_a_body_the_reason_is_said(
    tmp_path: Path, store: Typestore, capsys: pytest.CaptureFixture[str]
) -> None:
    poses = given.pose_array(stamp(0), given.body_of("bandai21", 0))
    bag = write(tmp_path / "bag", store, [("/studio", "geometry_msgs/PoseArray", poses)])
    with pytest.raises(BagError, match="no topic with skeletons"):
        list(bag_skeletons(bag, ""))
    with pytest.raises(SkeletonError, match="set the parameter 'layout'"):
        list(bag_skeletons(bag, "/studio"))
    assert main(["view-skeleton", str(bag), "--topic", "/studio", "-o", str(tmp_path / "out.png")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
