"""Bodies from messages of other packages, by their fields; malformed ones cost themselves alone."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace as Message
from typing import Any

import numpy as np
import pytest
from mocap_poses import POSE, pose_of

from mser_ros.errors import SkeletonError
from mser_ros.messages.skeleton_topics import (
    MARKER_ARRAY,
    MARKERS,
    NUITRACK,
    OBJECTS,
    OLD_OBJECTS,
    POSE_ARRAY,
    SKELETON_2D,
    TF,
    SkeletonDecoder,
)
from mser_ros.mocap.layouts import get_layout
from mser_ros.settings import MocapSettings
from mser_ros.types import SkeletonFrame

STAMP_NS = 7_500_000_000


def header(frame_id: str = "camera", stamp_ns: int = STAMP_NS) -> Message:
    return Message(stamp=Message(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=frame_id)


def point(place: Sequence[float]) -> Message:
    return Message(x=float(place[0]), y=float(place[1]), z=float(place[2]))


def pose(place: Sequence[float]) -> Message:
    return Message(position=point(place), orientation=Message(x=0.0, y=0.0, z=0.0, w=1.0))


def marker(number: int, place: Sequence[float], action: int = 0) -> Message:
    return Message(header=header("depth_camera_link"), ns="", id=number, type=2, action=action, pose=pose(place))


def decoded(type_name: str, message: Any, body_id: str = "", **settings: Any) -> list[SkeletonFrame]:
    frames, faults = SkeletonDecoder(MocapSettings(**settings)).decode(type_name, message, body_id)
    assert not faults
    return frames


def fault(type_name: str, message: Any, **settings: Any) -> str:
    """The only sentence of a message of which nothing can be used."""
    frames, faults = SkeletonDecoder(MocapSettings(**settings)).decode(type_name, message)
    assert not frames
    assert len(faults) == 1
    assert "\n" not in str(faults[0])
    return str(faults[0])


def assert_is(frame: SkeletonFrame, layout: str, positions: np.ndarray, body_id: str = "") -> None:
    assert (frame.layout, frame.body_id, frame.stamp_ns) == (layout, body_id, STAMP_NS)
    np.testing.assert_allclose(frame.positions, positions, atol=1e-5)
    assert frame.positions.dtype == frame.confidence.dtype == np.float32


# -- Azure Kinect


def test_markers_of_azure_kinect_are_bodies_by_their_ids() -> None:
    joints = pose_of("azure_kinect32")
    markers = [marker(100 * body + joint, joints[joint] + body) for body in (0, 3) for joint in range(32)]
    one, other = decoded(MARKER_ARRAY, Message(markers=markers[::-1]))
    assert_is(one, "azure_kinect32", joints + 3, "3")
    assert_is(other, "azure_kinect32", joints, "0")
    assert one.frame_id == "depth_camera_link"
    np.testing.assert_array_equal(one.confidence, 1)


def test_joints_that_no_marker_shows_and_markers_that_are_taken_away_are_not_seen() -> None:
    joints = pose_of("azure_kinect32")
    markers = [marker(joint, joints[joint], action=2 if joint == 5 else 0) for joint in range(30)]
    (frame,) = decoded(MARKER_ARRAY, Message(markers=markers))
    assert [joint for joint, seen in enumerate(frame.confidence) if not seen] == [5, 30, 31]
    assert decoded(MARKER_ARRAY, Message(markers=[])) == []
    assert decoded(MARKER_ARRAY, Message(markers=[marker(0, (0, 0, 0), action=3)])) == []


def test_an_unknown_id_costs_no_other_joint() -> None:
    joints = pose_of("azure_kinect32")
    markers = [marker(100 + joint, joints[joint]) for joint in range(32)] + [
        marker(177, (0, 0, 0)),
        marker(-5, (1, 1, 1)),
    ]
    frames, faults = SkeletonDecoder().decode(MARKER_ARRAY, Message(markers=markers))
    assert_is(frames[0], "azure_kinect32", joints, "1")
    assert "ids such as -5" in str(faults[0])


# -- studio motion capture


def test_a_pose_array_is_a_body_in_the_layout_s_order() -> None:
    joints = pose_of("bandai21")
    (frame,) = decoded(POSE_ARRAY, Message(header=header(), poses=[*map(pose, joints)]), layout="bandai21")
    assert_is(frame, "bandai21", joints, "0")


def test_a_pose_array_may_hold_several_bodies_in_an_order_of_its_own() -> None:
    layout, joints = get_layout("canonical15"), pose_of("canonical15")
    order = ["head", "-", "left_wrist", *(name for name in layout.joints if name not in ("head", "left_wrist"))]
    sent = [joints[layout.joints.index(name)] if name != "-" else np.full(3, 9.0) for name in order]
    poses = [pose(place + shift) for shift in (0, 5) for place in sent]
    message = Message(header=header(), poses=poses)
    one, other = decoded(POSE_ARRAY, message, layout="canonical15", joints=", ".join(order))
    assert_is(one, "canonical15", joints, "0")
    assert_is(other, "canonical15", joints + 5, "1")


def test_joints_that_the_order_leaves_out_are_not_seen() -> None:
    message = Message(header=header(), poses=[pose((1, 2, 3)), pose((4, 5, 6))])
    (frame,) = decoded(POSE_ARRAY, message, layout="canonical15", joints="neck,head")
    assert np.flatnonzero(frame.confidence).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"joints": "head"}, ("tells no joint layout", "'layout'")),
        ({"joints": "head,nose", "layout": "canonical15"}, ("'nose'", "use pelvis, neck")),
        ({"joints": "head,head", "layout": "canonical15"}, ("twice",)),
        ({"joints": "head", "layout": "coco17"}, ("points in an image",)),
        ({"layout": "octopus"}, ("octopus",)),
        ({"tf_pattern": "{body}"}, ("'{body}' is no pattern",)),
        ({"tf_pattern": "{joint}{joint}"}, ("is no pattern",)),
        ({"tf_pattern": "{what}_{joint}"}, ("is no pattern",)),
    ],
)
def test_settings_that_do_not_fit_are_refused_at_once(settings: dict[str, str], parts: tuple[str, ...]) -> None:
    with pytest.raises(SkeletonError) as caught:
        SkeletonDecoder(MocapSettings(**settings))
    assert all(part in str(caught.value) for part in parts)


def mocap_marker(name: str, place: Sequence[float], index: int = 0, kind: int = 0) -> Message:
    return Message(id_type=kind, marker_index=index, marker_name=name, translation=point(place))


def test_markers_of_mocap4ros2_are_found_by_name_and_by_number() -> None:
    layout, joints = get_layout("canonical15"), pose_of("canonical15")
    named = [mocap_marker(name, joints[row]) for row, name in enumerate(layout.joints)]
    for given in (
        [*named[::-1], mocap_marker("prop", (9, 9, 9))],
        [mocap_marker("", joints[row], row, 1) for row in range(15)],
    ):
        (frame,) = decoded(MARKERS, Message(header=header(), frame_number=1, markers=given), layout="canonical15")
        assert_is(frame, "canonical15", joints)


def test_markers_of_several_bodies_are_told_apart_by_what_stands_before_their_names() -> None:
    layout, joints = get_layout("canonical15"), pose_of("canonical15")
    given = [mocap_marker(f"{who}:{name}", joints[row] + shift) for shift, who in ((0, "Ann"), (2, "Bo"))
             for row, name in enumerate(layout.joints)]  # fmt: skip
    frames = decoded(MARKERS, Message(header=header(), frame_number=1, markers=given), layout="canonical15")
    assert_is(frames[0], "canonical15", joints, "Ann")
    assert_is(frames[1], "canonical15", joints + 2, "Bo")


# -- ROS4HRI


def points_2d(positions: np.ndarray, confidence: float = 0.5) -> Message:
    points = [Message(x=float(x), y=float(y), c=confidence) for x, y in positions]
    return Message(header=header(), skeleton=points)


def test_points_of_ros4hri_have_the_body_of_their_topic_and_their_confidences() -> None:
    joints = pose_of("hri18")
    (frame,) = decoded(SKELETON_2D, points_2d(joints), "abcde")
    assert_is(frame, "hri18", joints, "abcde")
    np.testing.assert_array_equal(frame.confidence, 0.5)


def test_the_image_s_aspect_comes_from_the_parameter_or_the_camera() -> None:
    """A square in the image is a square afterwards, whatever the camera."""
    square = np.full((18, 2), 0.5)
    square[2:6] = [(0.45, 0.4), (0.55, 0.4), (0.55, 0.6), (0.45, 0.6)]  # 192 x 216 of 1920 x 1080 pixels
    by_parameter = decoded(SKELETON_2D, points_2d(square), aspect=1920 / 1080)[0]
    decoder = SkeletonDecoder()
    decoder.set_camera(Message(width=1920, height=1080))
    by_camera = decoder.decode(SKELETON_2D, points_2d(square))[0][0]
    to_world = get_layout("hri18").to_world
    for frame in (by_parameter, by_camera):
        world = frame.positions @ to_world.T
        assert np.ptp(world[2:6, 1]) / np.ptp(world[2:6, 2]) == pytest.approx(192 / 216, rel=1e-4)


@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 480), (640, 0), (100_000, 1)])
def test_a_camera_without_a_size_is_refused(width: int, height: int) -> None:
    with pytest.raises(SkeletonError, match="camera_info"):
        SkeletonDecoder().set_camera(Message(width=width, height=height))


# -- ZED


def zed_object(body_format: int, positions: Sequence[Any] | np.ndarray, **changes: Any) -> Message:
    keypoints = [Message(kp=np.zeros(3, np.float32)) for _ in range(70)]
    for row, place in enumerate(positions):
        keypoints[row] = Message(kp=np.asarray(place, np.float32))
    values = {
        "skeleton_available": True,
        "tracking_available": True,
        "tracking_state": 1,
        "label_id": 4,
        "body_format": body_format,
        "skeleton_3d": Message(keypoints=keypoints),
        "skeleton_keypoint_confidence": np.zeros(70, np.float32),
    }
    return Message(**{**values, **changes})


@pytest.mark.parametrize(("number", "layout"), [(0, "zed18"), (1, "zed34"), (2, "zed38")])
def test_bodies_of_zed_have_the_layout_of_their_format(number: int, layout: str) -> None:
    joints = pose_of(layout)
    (frame,) = decoded(OBJECTS, Message(header=header(), objects=[zed_object(number, joints)]))
    assert_is(frame, layout, joints, "4")
    np.testing.assert_array_equal(frame.confidence, 1)


def test_confidences_of_zed_are_percents_where_they_are_filled_and_hidden_joints_are_not_numbers() -> None:
    joints = pose_of("zed18")
    joints[3] = np.nan
    confidence = np.zeros(70, np.float32)
    confidence[:18] = 80
    given = zed_object(0, joints, skeleton_keypoint_confidence=confidence)
    (frame,) = decoded(OBJECTS, Message(header=header(), objects=[given]))
    assert frame.confidence[3] == 0
    assert frame.confidence[4] == pytest.approx(0.8)


def test_objects_of_zed_that_are_no_bodies_or_only_guessed_are_left_out() -> None:
    joints = pose_of("zed18")
    objects = [
        zed_object(0, joints, skeleton_available=False),
        zed_object(0, joints, tracking_state=0),
        zed_object(0, joints, tracking_state=2),
        zed_object(0, joints, tracking_state=3),
        zed_object(0, joints, tracking_state=0, tracking_available=False, label_id=-1),
    ]
    (frame,) = decoded(OBJECTS, Message(header=header(), objects=objects))
    assert frame.body_id == ""


def test_bodies_of_an_older_zed_have_what_its_messages_had() -> None:
    """No confidences; 34 keypoints, of which the format 2 is meant; and of ROS 1 neither formats nor tracks."""
    for layout, room, told in (("zed18", 70, 0), ("zed34", 34, 1), ("zed34", 34, 2), ("zed18", 18, None)):
        joints = pose_of(layout)
        whole = zed_object(told or 0, joints)
        values = {**vars(whole), "skeleton_3d": Message(keypoints=whole.skeleton_3d.keypoints[:room])}
        del values["skeleton_keypoint_confidence"]
        if told is None:
            del values["body_format"], values["tracking_available"]
        (frame,) = decoded(OLD_OBJECTS, Message(header=header(), objects=[Message(**values)]))
        assert_is(frame, layout, joints, "4")
        np.testing.assert_array_equal(frame.confidence, 1)


def test_a_body_of_an_unknown_format_costs_no_other() -> None:
    joints = pose_of("zed18")
    frames, faults = SkeletonDecoder().decode(
        OBJECTS, Message(header=header(), objects=[zed_object(3, joints), zed_object(0, joints)])
    )
    assert len(frames) == 1
    assert "format 3" in str(faults[0])
    assert "BODY_38" in str(faults[0])


# -- Nuitrack


def nuitrack_body(number: int, positions: np.ndarray) -> Message:
    names = [f"joint_{name}" for name in get_layout("nuitrack").joints]
    return Message(id=number, joints=names, joint_pos=[*map(point, positions)])


def test_bodies_of_nuitrack_are_found_by_their_joints_names() -> None:
    joints = pose_of("nuitrack")
    body = nuitrack_body(2, joints)
    body.joints, body.joint_pos = body.joints[::-1], body.joint_pos[::-1]
    (frame,) = decoded(NUITRACK, Message(header=header(), skeletons=[body]))
    assert_is(frame, "nuitrack", joints, "2")


def test_joints_that_nuitrack_leaves_at_the_origin_are_not_seen() -> None:
    joints = pose_of("nuitrack")
    joints[[14, 15, 16]] = 0
    (frame,) = decoded(NUITRACK, Message(header=header(), skeletons=[nuitrack_body(2, joints)]))
    assert np.flatnonzero(frame.confidence == 0).tolist() == [14, 15, 16]
    joints = pose_of("nuitrack")
    joints -= joints[3]  # a root at the origin is a place like any other
    (frame,) = decoded(NUITRACK, Message(header=header(), skeletons=[nuitrack_body(2, joints)]))
    assert frame.confidence.all()


# -- TF


def transform(
    child: str, parent: str, place: Sequence[float], turn: Sequence[float] = (0, 0, 0, 1), stamp_ns: int = STAMP_NS
) -> Message:
    x, y, z, w = map(float, turn)
    moved = Message(translation=point(place), rotation=Message(x=x, y=y, z=z, w=w))
    return Message(header=header(parent, stamp_ns), child_frame_id=child, transform=moved)


def flat(body: str, shift: float = 0.0, stamp_ns: int = STAMP_NS) -> list[Message]:
    joints = pose_of("ros4hri_tf") + shift
    return [
        transform(f"{name}_{body}", "camera", place, stamp_ns=stamp_ns)
        for name, place in zip(get_layout("ros4hri_tf").joints, joints, strict=True)
    ]


def test_frames_of_one_message_are_a_body_each() -> None:
    robot = [transform("head_pan_link", "torso_lift_link", (0, 0, 1)), transform("base_link", "odom", (1, 0, 0))]
    one, other = decoded(TF, Message(transforms=[*flat("abc"), *robot, *flat("xyz", 1.0)]))
    assert_is(one, "ros4hri_tf", pose_of("ros4hri_tf"), "abc")
    assert_is(other, "ros4hri_tf", pose_of("ros4hri_tf") + 1, "xyz")
    assert one.frame_id == "camera"


def test_frames_whose_clock_was_set_back_are_a_body_again() -> None:
    """A bag that is played in a loop; in one message, and frame by frame."""
    decoder = SkeletonDecoder()
    for _ in range(3):
        for number in range(60):
            items = flat("abc", stamp_ns=STAMP_NS + number * 100_000_000)
            messages = [items] if number % 2 else [[item] for item in items]
            frames = [frame for one in messages for frame in decoder.decode(TF, Message(transforms=one))[0]]
            assert [frame.stamp_ns for frame in frames] == [STAMP_NS + number * 100_000_000]
            assert frames[0].confidence.sum() >= 14


def test_frames_that_come_one_by_one_are_a_body_when_all_are_there_or_the_next_moment_begins() -> None:
    decoder = SkeletonDecoder()
    found = [frame for item in flat("abc") for frame in decoder.decode(TF, Message(transforms=[item]))[0]]
    assert_is(found[0], "ros4hri_tf", pose_of("ros4hri_tf"), "abc")
    assert len(found) == 1
    later = STAMP_NS + 40_000_000
    some = [item for item in flat("abc", 1.0, later) if not item.child_frame_id.startswith(("l_", "head"))]
    assert not decoder.decode(TF, Message(transforms=some))[0]
    (frame,) = decoder.decode(TF, Message(transforms=flat("abc", 2.0, later + 200_000_000)[1:2]))[0]
    assert frame.stamp_ns == later
    assert frame.confidence.sum() >= 8


@pytest.mark.parametrize("hidden", ["", "head"])
def test_joints_that_are_stamped_one_by_one_are_one_body(hidden: str) -> None:
    """As those do who send each frame by itself, with the time at which they do."""
    decoder, found = SkeletonDecoder(), []
    moments = [STAMP_NS + number * 33_333_333 for number in range(20)]
    for number, moment_ns in enumerate(moments):
        items = [item for item in flat("abc", 0.1 * number) if not (hidden and item.child_frame_id.startswith(hidden))]
        for place, item in enumerate(items):
            item.header = header("camera", moment_ns + place * 20_000)
            found += decoder.decode(TF, Message(transforms=[item]))[0]
    wanted = moments if not hidden else moments[:-1]  # the last one may still be filled
    assert len(found) == len(wanted)
    for number, frame in enumerate(found):
        # The root, the first of them, tells no time.
        assert frame.stamp_ns == wanted[number] + 20_000
        seen = frame.confidence > 0
        assert seen.sum() >= 14
        others = seen & (np.arange(len(seen)) > 0)
        np.testing.assert_allclose(frame.positions[others], pose_of("ros4hri_tf")[others] + 0.1 * number, atol=1e-5)


def test_frames_of_a_kinematic_tree_are_followed_up_to_the_body_with_fixed_joints_and_turns() -> None:
    """As robot_state_publisher gives ROS4HRI's human: arms hang from the torso, frames between have other names."""
    quarter = (0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5))  # x becomes y
    decoder = SkeletonDecoder()
    decoder.add_static_frames(
        Message(
            transforms=[
                transform("torso_p1", "waist_p1", (0, 0, 0.5)),
                transform("head_p1", "p_head_p1", (0, 0, 0.1)),
                transform("l_wrist_p1", "l_elbow_p1", (0.3, 0, 0)),
                transform("r_wrist_p1", "r_elbow_p1", (0.3, 0, 0)),
            ]
        )
    )
    moving = [
        transform("body_p1", "camera", (3, 2, 1), quarter),
        transform("waist_p1", "body_p1", (0, 0, 0)),
        transform("p_head_p1", "torso_p1", (0, 0, 0.2)),
        transform("l_shoulder_p1", "torso_p1", (0, 0.2, 0)),
        transform("l_elbow_p1", "l_shoulder_p1", (0, 0, -0.3), quarter),
        transform("r_shoulder_p1", "torso_p1", (0, -0.2, 0)),
        transform("r_elbow_p1", "r_shoulder_p1", (0, 0, -0.3)),
        *[transform(f"{side}_{joint}_p1", "body_p1", (0, sign * 0.1, height))
          for side, sign in (("l", 1), ("r", -1)) for joint, height in (("hip", 0), ("knee", -0.4), ("ankle", -0.8))],
    ]  # fmt: skip
    (frame,) = decoder.decode(TF, Message(transforms=moving))[0]
    places = dict(zip(get_layout("ros4hri_tf").joints, frame.positions.tolist(), strict=True))
    assert frame.confidence.all()
    assert frame.frame_id == "body_p1"
    for joint, expected in {
        "body": (0, 0, 0),
        "torso": (0, 0, 0.5),
        "head": (0, 0, 0.8),
        "l_wrist": (0, 0.5, 0.2),
        "r_wrist": (0.3, -0.2, 0.2),
        "l_ankle": (0, 0.1, -0.8),
    }.items():
        np.testing.assert_allclose(places[joint], expected, atol=1e-6, err_msg=joint)


def test_a_pattern_of_ones_own_finds_the_frames_of_another_tracker() -> None:
    given = [
        transform(f"/tracker/user_7/{name}", "depth", place)
        for name, place in zip(get_layout("nuitrack").joints, pose_of("nuitrack"), strict=True)
    ]
    frames = decoded(TF, Message(transforms=given), layout="nuitrack", tf_pattern="tracker/user_{body}/{joint}")
    assert_is(frames[0], "nuitrack", pose_of("nuitrack"), "7")
    assert decoded(TF, Message(transforms=given)) == []


def test_frames_that_go_round_or_have_no_turn_do_no_harm() -> None:
    circle = [transform("l_wrist_a", "l_elbow_a", (1, 0, 0)), transform("l_elbow_a", "l_wrist_a", (1, 0, 0))]
    (frame,) = decoded(
        TF,
        Message(
            transforms=[*[item for item in flat("a") if item.child_frame_id not in ("l_wrist_a", "l_elbow_a")], *circle]
        ),
    )
    assert frame.confidence.sum() == 13
    still = [
        transform(item.child_frame_id, "camera", (item.transform.translation.x, 0, 0), (0, 0, 0, 0))
        for item in flat("a")
    ]
    assert decoded(TF, Message(transforms=still))[0].confidence.all()


def test_many_bodies_and_frames_do_not_fill_the_memory() -> None:
    decoder = SkeletonDecoder()
    for body in range(400):
        decoder.decode(TF, Message(transforms=flat(f"b{body}", stamp_ns=STAMP_NS + body)))
    assert len(decoder._frames._transforms) <= 4000
    assert len(decoder._frames._bodies) <= 64


# -- malformed


NAN = float("nan")
HERE = pose((0, 0, 0))


@pytest.mark.parametrize(
    ("type_name", "message", "settings", "parts"),
    [
        (POSE_ARRAY, Message(header=header(), poses=[HERE] * 15), {}, ("tells no joint layout", "'layout'")),
        (POSE_ARRAY, Message(header=header(), poses=[HERE] * 14), {"layout": "canonical15"},
         ("14 poses", "15 are a body", "'joints'")),
        (POSE_ARRAY, Message(header=header(), poses=[HERE] * 17), {"layout": "coco17"}, ("points in an image",)),
        (POSE_ARRAY, Message(header=header(), poses=[HERE] * 5000), {"layout": "egait16"}, ("5000 poses", "at most")),
        (MARKER_ARRAY, Message(markers=[None] * 5000), {}, ("5000 markers",)),
        (MARKER_ARRAY, Message(markers=[marker(77, (0, 0, 0))]), {}, ("ids such as 77", "32 joints", "'layout'")),
        (MARKERS, Message(header=header(), markers=[mocap_marker("cup", (0, 0, 0))]), {"layout": "canonical15"},
         ("'cup'", "canonical15")),
        (MARKERS, Message(header=header(), markers=[mocap_marker("head", (0, 0, 0))] * 2), {"layout": "canonical15"},
         ("a joint twice",)),
        (MARKERS, Message(header=header(), markers=[mocap_marker("", (0, 0, 0), 99, 1)]), {"layout": "canonical15"},
         ("without joints",)),
        (MARKERS, Message(header=header(), markers=[]), {}, ("tells no joint layout",)),
        (SKELETON_2D, Message(header=header(), skeleton=[Message(x=0.0, y=0.0, c=1.0)] * 17), {}, ("17 points", "18")),
        (SKELETON_2D, Message(header=header(), skeleton=[]), {}, ("0 points", "18")),
        (NUITRACK, Message(header=header(), skeletons=[Message(id=1, joints=["joint_head"], joint_pos=[])]), {},
         ("1 joints at 0 places",)),
        (NUITRACK, Message(header=header(), skeletons=[Message(id=1, joints=[], joint_pos=[])]), {}, ("none at all",)),
        (OBJECTS, Message(header=header(), objects=[zed_object(0, [], skeleton_3d=Message(keypoints=[]))]), {},
         ("0 keypoints",)),
        (TF, Message(transforms=[None] * 5000), {}, ("5000 transforms",)),
    ],
)  # fmt: skip
def test_a_message_that_cannot_be_used_is_one_sentence(
    type_name: str, message: Message, settings: dict[str, str], parts: tuple[str, ...]
) -> None:
    said = fault(type_name, message, **settings)
    assert all(part in said for part in parts), said


def test_names_without_end_are_refused() -> None:
    body = nuitrack_body(1, pose_of("nuitrack"))
    message = Message(header=header("f" * 1000), skeletons=[body])
    assert "256 characters" in fault(NUITRACK, message)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("strange", [NAN, float("inf"), 1e300, -1e300, 1e-320])
def test_numbers_beyond_all_bounds_do_no_harm(strange: float) -> None:
    poses = [pose((strange, 0, 0)), *[pose(POSE["head"])] * 14]
    (frame,) = decoded(POSE_ARRAY, Message(header=header(), poses=poses), layout="canonical15")
    assert frame.confidence[1:].all()
    assert bool(frame.confidence[0]) == (abs(strange) < 1)
    joints = pose_of("zed18")
    joints[4] = np.array(strange, np.float64).clip(-3e38, 3e38)
    (frame,) = decoded(OBJECTS, Message(header=header(), objects=[zed_object(0, joints)]))
    assert frame.confidence.sum() >= 17
    turned = [transform("head_a", "camera", (strange, 0, 0), (strange, strange, 0, 1)), *flat("a")[:2], *flat("a")[3:]]
    (frame,) = decoded(TF, Message(transforms=turned))
    assert np.isfinite(frame.positions[frame.confidence > 0]).all()


def test_numbers_that_are_none_are_joints_that_are_not_seen() -> None:
    poses = [pose((NAN, 0, 0)), *[pose(POSE["head"])] * 14]
    (frame,) = decoded(POSE_ARRAY, Message(header=header(), poses=poses), layout="canonical15")
    assert frame.confidence.tolist() == [0] + [1] * 14
    (frame,) = decoded(POSE_ARRAY, Message(header=header(), poses=[pose((NAN, NAN, NAN))] * 15), layout="canonical15")
    assert not frame.confidence.any()
