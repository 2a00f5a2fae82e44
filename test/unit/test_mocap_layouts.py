"""Joint layouts: the files are right, and a wrong one is refused with its fault."""

from __future__ import annotations

import numpy as np
import pytest
from mocap_poses import PARTIAL, POSE, ROWS, pose_of

from mser_ros.errors import SkeletonError
from mser_ros.mocap.layouts import JOINTS, get_layout, known_layouts, load_layout


@pytest.mark.parametrize("name", known_layouts())
def test_each_layout_file_is_consistent(name: str) -> None:
    layout = get_layout(name)
    assert layout.description
    assert len(layout.joints) == len(layout.parents) == len(ROWS[name].split())
    assert np.linalg.matrix_rank(layout.to_world) == layout.dimensions
    for joint, sources in zip(JOINTS, layout.canonical, strict=True):
        assert bool(sources) == (joint in PARTIAL.get(name, JOINTS)), f"{name} does not map {joint}"


def canonical_of(name: str) -> np.ndarray:
    """POSE in the layout's order, as the layout's file maps it: NaN where it maps nothing."""
    layout = get_layout(name)
    world = pose_of(name).astype(np.float64) @ layout.to_world.T
    return np.array([world[list(rows)].mean(axis=0) if rows else [np.nan] * 3 for rows in layout.canonical])


@pytest.mark.parametrize("name", known_layouts())
def test_an_asymmetric_pose_lands_on_the_right_canonical_joints(name: str) -> None:
    joints, expected = canonical_of(name), np.array([POSE[joint] for joint in JOINTS])
    if name in ("coco17", "mediapipe33"):
        expected[JOINTS.index("neck")] = np.mean([POSE["left_shoulder"], POSE["right_shoulder"]], axis=0)
    if get_layout(name).dimensions == 2:
        expected = expected * (0, 0.2, 0.2)
    elif name not in PARTIAL:  # its source may face another way: turned back about the vertical, not mirrored
        joints = joints @ turn_between(joints, expected).T
    origin = JOINTS.index("head")
    there = np.isfinite(joints[:, 0])
    np.testing.assert_allclose((joints - joints[origin])[there], (expected - expected[origin])[there], atol=1e-5)


@pytest.mark.parametrize("name", [name for name in known_layouts() if get_layout(name).ahead])
def test_what_a_layout_says_is_in_front_is_in_front(name: str) -> None:
    layout = get_layout(name)
    world, joints = pose_of(name) @ layout.to_world.T, canonical_of(name)
    left, right = JOINTS.index("left_hip"), JOINTS.index("right_hip")
    ahead = np.cross(joints[left] - joints[right], (0, 0, 1))
    for back, front in layout.ahead:
        if "-" not in (ROWS[name].split()[back], ROWS[name].split()[front]):
            assert (world[front] - world[back]) @ ahead > 0


def test_a_layout_of_ones_own_is_found_in_the_folder_that_the_environment_names(tmp_path, monkeypatch) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    monkeypatch.setenv("MSER_SKELETONS", str(tmp_path))
    assert "mine" in known_layouts()
    assert get_layout("mine").joints == ("a", "b")
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.yaml").write_text(GOOD.replace("[b, a]", "[c, a]").replace("right_hip: b", "right_hip: c"))
    monkeypatch.setenv("MSER_SKELETONS", str(other))
    assert get_layout("mine").joints == ("a", "c")


@pytest.mark.parametrize("aspect", ["0", "-1", ".nan", ".inf"])
def test_an_image_of_no_shape_is_refused(tmp_path, aspect: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD.replace("dimensions: 3", f"dimensions: 2\naspect: {aspect}").replace("up: z", "up: y"))
    with pytest.raises(SkeletonError, match="aspect, the width of the image by its height, must lie above 0, not"):
        load_layout(path)


def test_markers_may_have_numbers_for_names(tmp_path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        GOOD.replace("[[a, null], [b, a]]", "[[1, null], [2, 1], [3, 1]]\nahead: [[1, 3]]").replace(
            "left_hip: a, right_hip: b", "left_hip: 1, right_hip: [2, 3]"
        )
    )
    layout = load_layout(path)
    assert (layout.joints, layout.parents, layout.ahead) == (("1", "2", "3"), (-1, 0, 0), ((0, 2),))
    assert layout.canonical[JOINTS.index("right_hip")] == (1, 2)


def turn_between(joints: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The rotation about z that takes the line between the shoulders of one body to that of the other."""
    left, right = JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")
    angles = [np.arctan2(*(body[left] - body[right])[[1, 0]]) for body in (joints, expected)]
    cosine, sine = np.cos(angles[1] - angles[0]), np.sin(angles[1] - angles[0])
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])


@pytest.mark.parametrize("name", ["hri18", "openpose18", "coco17", "mediapipe33"])
def test_eyes_and_ears_of_detectors_are_on_the_side_that_their_documents_say(name: str) -> None:
    named = [
        row if row != "-" else joint for row, joint in zip(ROWS[name].split(), get_layout(name).joints, strict=True)
    ]
    both = zip(named, get_layout(name).joints, strict=True)
    pairs = [(ours, theirs) for ours, theirs in both if {"eye", "ear"} & {*theirs.split("_")}]
    assert len(pairs) >= 4
    assert all(ours == theirs for ours, theirs in pairs)


def test_an_unknown_layout_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SkeletonError, match=r"'kinect': use one of azure_kinect32, bandai21, .*egait16"):
        get_layout("kinect")


def test_a_skeleton_without_a_layout_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SkeletonError, match="names no joint layout: use one of azure_kinect32"):
        get_layout("")


def test_a_name_cannot_reach_out_of_the_folder() -> None:
    with pytest.raises(SkeletonError, match="unknown joint layout"):
        get_layout("../emotion")


def test_a_wrong_joint_count_is_refused_with_both_numbers() -> None:
    with pytest.raises(SkeletonError, match=r"needs 16 joints x 3 dimensions, but the skeleton has 15 x 3"):
        get_layout("egait16").check_shape((75, 15, 3))


GOOD = """
description: two joints
dimensions: 3
unit: m
up: z
handedness: right
joints: [[a, null], [b, a]]
canonical: {left_hip: a, right_hip: b}
"""


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("unit: m", "unit: feet", "unit must be one of m, cm, mm, in, ft, image, not 'feet'"),
        ("unit: m", "", "'unit' is missing"),
        ("unit: m", "unit: m\ncolour: red", "unknown key 'colour'"),
        ("dimensions: 3", "dimensions: 4", "dimensions must be 2 or 3"),
        ("up: z", "up: w", "up must be one of x, y, z"),
        ("handedness: right", "handedness: both", "handedness must be right or left"),
        ("[b, a]", "[a, a]", "a joint is named twice"),
        ("[b, a]", "[b, c]", "'c' is not one of its joints"),
        ("[b, a]", "[b, null]", "exactly one joint must have no parent, not 2"),
        ("[b, a]", "[b, a, a]", "must be a pair"),
        ("[b, a]", "[b, b]", "go round in a circle"),
        ("right_hip: b", "tail: b", "'tail' is not a canonical joint"),
        ("right_hip: b", "right_hip: tail", "'tail' is not one of its joints"),
        ("right_hip: b", "right_hip: a", "mapped to the same joints"),
        ("{left_hip: a, right_hip: b}", "[left_hip]", "canonical must be a table"),
        ("{left_hip: a, right_hip: b}", "", "canonical must be a table"),
        ("[[a, null], [b, a]]", "", "each of joints must be a pair"),
        ("unit: m", "unit: m\nahead: [[a, tail]]", "'tail' is not one of its joints"),
        ("description: two joints", "[1, 2", "cannot be read"),
        (GOOD, "[]", "must be a table"),
    ],
)
def test_a_broken_layout_file_is_refused_with_its_fault(tmp_path, old: str, new: str, fault: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD)
    assert load_layout(path).name == "mine"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(SkeletonError, match=fault) as caught:
        load_layout(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("up", ["x", "-x", "y", "-y", "z", "-z"])
def test_every_upward_axis_gives_a_rotation_and_left_hands_a_mirror(tmp_path, up: str) -> None:
    for handedness, determinant in (("right", 1.0), ("left", -1.0)):
        path = tmp_path / f"{handedness}.yaml"
        path.write_text(GOOD.replace("up: z", f"up: {up}").replace("handedness: right", f"handedness: {handedness}"))
        to_world = load_layout(path).to_world
        np.testing.assert_allclose(to_world @ to_world.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(to_world) == pytest.approx(determinant)
        vertical = np.zeros(3)
        vertical["xyz".index(up[-1])] = -1 if up[0] == "-" else 1
        np.testing.assert_allclose(to_world @ vertical, [0, 0, 1], atol=1e-12)
