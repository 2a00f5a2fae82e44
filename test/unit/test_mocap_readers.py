"""Motion files: read right, or refused with a sentence."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mocap_poses import pose_of

from mser_ros.errors import SkeletonError
from mser_ros.mocap.anatomy import turn_up
from mser_ros.mocap.bvh import read_bvh
from mser_ros.mocap.layouts import get_layout
from mser_ros.mocap.readers import read_motion
from mser_ros.mocap.stream import SkeletonStream
from mser_ros.settings import MocapSettings
from mser_ros.types import NS_PER_S, SkeletonSequence

# An arm: shoulder at (1, 2, 3), elbow 10 further along x, wrist 5 further; turned in the order z, x, y.
ARM = """HIERARCHY
ROOT shoulder
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT elbow
  {
    OFFSET 10 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    JOINT wrist
    {
      OFFSET 5 0 0
      CHANNELS 3 Zrotation Xrotation Yrotation
      End Site
      {
        OFFSET 1 0 0
      }
    }
  }
}
MOTION
Frames: 4
Frame Time: 0.04
1 2 3 0 0 0 0 0 0 0 0 0
1 2 3 90 0 0 0 0 0 0 0 0
1 2 3 0 0 0 0 0 90 0 0 0
0 0 0 90 90 0 90 0 0 7 7 7
"""


def put(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_forward_kinematics_turns_each_joint_and_all_below_it(tmp_path: Path) -> None:
    motion = read_bvh(put(tmp_path / "arm.bvh", ARM))
    assert motion.joints == ("shoulder", "elbow", "wrist")
    assert motion.frame_s == pytest.approx(0.04)
    expected = [
        [(1, 2, 3), (11, 2, 3), (16, 2, 3)],  # straight along x
        [(1, 2, 3), (1, 12, 3), (1, 17, 3)],  # the shoulder turned about z: along y
        [(1, 2, 3), (11, 2, 3), (11, 2, -2)],  # the elbow turned about y: the forearm along -z
        [(0, 0, 0), (0, 10, 0), (0, 10, 5)],  # z by 90, then x by 90 in the turned frame; the elbow about z again
    ]
    np.testing.assert_allclose(motion.positions, expected, atol=1e-5)


def test_a_compressed_file_reads_the_same(tmp_path: Path) -> None:
    plain = read_bvh(put(tmp_path / "arm.bvh", ARM))
    packed = tmp_path / "arm.bvh.gz"
    packed.write_bytes(gzip.compress(ARM.encode()))
    np.testing.assert_array_equal(read_bvh(packed).positions, plain.positions)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("HIERARCHY", "HELLO", "does not begin with HIERARCHY"),
        ("MOTION", "MOVES", "no MOTION section"),
        ("JOINT elbow", "JOINT shoulder", "a joint is named twice"),
        ("JOINT elbow", "ROOT elbow", "stands in the wrong place"),
        ("Xposition", "Wposition", "unknown channel 'Wposition'"),
        ("OFFSET 10 0 0", "OFFSET 10 x 0", "could not convert"),
        ("OFFSET 10 0 0", "TURN 10 0 0", "unexpected 'TURN'"),
        ("Frames: 4", "Frames: 5", "speaks of 5 frames of 12 channels and holds 4; write how many"),
        ("Frames: 4", "Frames: 3", "speaks of 3 frames"),
        ("Frames: 4", "Frames: 0", "make no motion"),
        ("Frame Time: 0.04", "Frame Time: 0", "make no motion"),
        ("Frame Time: 0.04", "Frame Time: 0,04", "decimal commas; write them with points"),
        ("Frame Time: 0.04", "Rate: 25", "lacks 'Frames:' and 'Frame Time:'"),
        ("90 0 0 7 7 7", "90 0 0 7 7", "holds 3.9"),
        ("90 0 0 7 7 7", "90 0 0 7 7 seven", "could not convert"),
    ],
)
def test_a_broken_bvh_file_is_refused_with_its_fault(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = put(tmp_path / "arm.bvh", ARM.replace(old, new, 1))
    with pytest.raises(SkeletonError, match=fault) as caught:
        read_bvh(path)
    assert str(path) in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cut=st.integers(0, len(ARM) - 2), junk=st.text(max_size=5))
def test_a_damaged_bvh_file_never_gives_a_traceback(tmp_path: Path, cut: int, junk: str) -> None:
    path = tmp_path / "arm.bvh"
    path.write_bytes((ARM[:cut] + junk + ARM[cut + 3 :]).encode("utf-8", "surrogatepass"))
    with contextlib.suppress(SkeletonError):
        assert read_bvh(path).positions.shape[2] == 3


def test_a_cut_off_gzip_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arm.bvh.gz"
    path.write_bytes(gzip.compress(ARM.encode())[:60])
    with pytest.raises(SkeletonError, match="cannot be read"):
        read_motion(path)


def test_joint_names_that_no_layout_has_are_listed(tmp_path: Path) -> None:
    path = put(tmp_path / "arm.bvh", ARM)
    with pytest.raises(SkeletonError, match=r"no known layout has the joint names of .*shoulder, elbow, wrist"):
        read_motion(path)
    with pytest.raises(SkeletonError, match="lacks the joint 'Hips' of layout 'bandai21'"):
        read_motion(path, layout="bandai21")


def rig(names: Sequence[str], places: np.ndarray, turn: tuple[float, float, float] = (0, 0, 0)) -> str:
    """A body that stands still for two frames, every joint of which hangs on the first, which is turned about z, x and
    y [degrees]."""
    joints = [
        f"JOINT {name}\n{{\nOFFSET {x} {y} {z}\nCHANNELS 3 Zrotation Xrotation Yrotation\n"
        "End Site\n{\nOFFSET 0 1 0\n}\n}\n"
        for name, (x, y, z) in zip(names[1:], places[1:] - places[0], strict=True)
    ]
    moved = "Xposition Yposition Zposition Zrotation Xrotation Yrotation"
    values = " ".join(map(str, [*places[0], *turn, *[0.0] * 3 * (len(names) - 1)]))
    return (
        f"HIERARCHY\nROOT {names[0]}\n{{\nOFFSET 0 0 0\nCHANNELS 6 {moved}\n{''.join(joints)}}}\n"
        f"MOTION\nFrames: 2\nFrame Time: 0.04\n{values}\n{values}\n"
    )


@pytest.mark.parametrize("before", ["", "mixamorig:", "Character1_", "Bip01 "])
@pytest.mark.parametrize("layout", ["humanik", "biovision", "bandai21"])
def test_common_rigs_are_known_by_the_names_of_their_joints(tmp_path: Path, layout: str, before: str) -> None:
    places = pose_of(layout)
    path = put(tmp_path / "rig.bvh", rig([before + joint for joint in get_layout(layout).joints], places))
    motion = read_motion(path)
    assert motion.layout == layout
    assert (motion.confidence == 1).all()
    np.testing.assert_allclose(motion.positions, [places] * 2, atol=1e-4)


def test_a_rig_is_known_where_another_layout_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.mkdir()
    put(own / "broken.yaml", "joints: [")
    monkeypatch.setenv("MSER_SKELETONS", str(own))
    notes: list[str] = []
    path = put(tmp_path / "rig.bvh", rig(get_layout("humanik").joints, pose_of("humanik")))
    assert read_motion(path, notes=notes).layout == "humanik"
    (note,) = notes
    assert note.startswith(f"the joint layout {own / 'broken.yaml'} cannot be read")
    with pytest.raises(SkeletonError, match=r"no known layout .*, with a, b; the joint layout .* cannot be read"):
        read_motion(put(tmp_path / "other.bvh", rig(["a", "b"], pose_of("humanik")[:2])))


def test_a_rig_without_toes_lacks_them_alone_and_one_without_a_knee_is_refused(tmp_path: Path) -> None:
    joints, places = get_layout("humanik").joints, pose_of("humanik")
    kept = [row for row, joint in enumerate(joints) if "Toe" not in joint]
    motion = read_motion(put(tmp_path / "rig.bvh", rig([joints[row] for row in kept], places[kept])))
    assert motion.layout == "humanik"
    assert [joint for joint, seen in zip(joints, motion.confidence[0], strict=True) if not seen] == [
        "LeftToeBase",
        "RightToeBase",
    ]
    kept.remove(joints.index("LeftLeg"))
    path = put(tmp_path / "rig.bvh", rig([joints[row] for row in kept], places[kept]))
    with pytest.raises(SkeletonError, match=r"no known layout has the joint names of .*, with Hips, Neck"):
        read_motion(path)
    with pytest.raises(SkeletonError, match="lacks the joint 'LeftLeg' of layout 'humanik'"):
        read_motion(path, layout="humanik")


@pytest.mark.parametrize("unit", [0.177, 0.1, 1e-4, 300])
def test_a_body_in_a_unit_of_its_own_is_of_usual_height(tmp_path: Path, unit: float) -> None:
    """CMU's unit is 0.45 of an inch."""
    places = pose_of("humanik")
    motion = read_motion(put(tmp_path / "rig.bvh", rig(get_layout("humanik").joints, unit * places)))
    np.testing.assert_allclose(motion.positions[0] / motion.positions[0, 1, 1], places / places[1, 1], atol=1e-4)
    assert SkeletonStream(MocapSettings()).push(motion.frames()[0]).confidence.all()


@pytest.mark.parametrize(
    ("scale", "unit"),
    [(0.01, "m"), (10, "mm"), (1 / 2.54, "in"), (1 / 30.48, "ft"), (0.177, "a unit of its own"), (0.6, "")],
)
def test_a_unit_that_a_bvh_does_not_tell_is_known_by_the_size_of_its_body(
    tmp_path: Path, scale: float, unit: str
) -> None:
    """The last is a child of one metre in the layout's own unit."""
    places, notes = pose_of("humanik"), []
    path = put(tmp_path / "rig.bvh", rig(get_layout("humanik").joints, scale * places))
    motion = read_motion(path, notes=notes)
    np.testing.assert_allclose(motion.positions[0], places * (1 if unit else scale), rtol=0.1, atol=1)
    assert bool(notes) == bool(unit)
    assert all(unit in note and "--unit" in note for note in notes)
    told = read_motion(path, unit="mm", notes=notes)
    np.testing.assert_allclose(told.positions[0], places * scale / 10, atol=1e-4)
    assert len(notes) == bool(unit)


def stands(motion: SkeletonSequence, places: np.ndarray) -> bool:
    """Whether bodies are in this pose, with y up, wherever they look; one that is mirrored is not."""
    frame = motion.positions[0].astype(float)
    away, expected = frame - frame[0], places.astype(float) - places[0]
    here, there = (points[:, 2] + 1j * points[:, 0] for points in (away, expected))
    heading = np.vdot(there, here)
    return np.allclose(away[:, 1], expected[:, 1], atol=0.01) and np.allclose(
        here, there * heading / abs(heading), atol=0.01
    )


@pytest.mark.parametrize("up", ["x", "z", "-x", "-z"])
def test_a_bvh_whose_rig_is_built_along_another_axis_is_turned_upright(tmp_path: Path, up: str) -> None:
    places, notes = pose_of("humanik"), []
    standing = places @ np.linalg.inv(turn_up(up, get_layout("humanik"))).T
    path = put(tmp_path / "rig.bvh", rig(get_layout("humanik").joints, standing + np.array([7, -300, 20])))
    motion = read_motion(path, notes=notes)
    assert stands(motion, places)
    assert notes == [
        f"the bodies of rig.bvh stand along {up}, and layout 'humanik' says y: turned; if they lie, say so (--up y)"
    ]
    assert not stands(read_motion(path, up="y"), places)
    assert stands(read_motion(path, up=up), places)


@pytest.mark.parametrize(("at", "is_known"), [(0.0, True), (300.0, False)])
def test_a_rig_that_is_built_in_other_axes_than_it_moves_in_stands_where_its_feet_are_on_the_floor(
    tmp_path: Path, at: float, is_known: bool
) -> None:
    """Built with y up, moved with z up. Where the feet are far from the floor, it may as well lie in a bed."""
    places, notes = pose_of("humanik"), []
    moved = rig(get_layout("humanik").joints, places, turn=(0, 90, 0))
    x, y, z = places[0]
    text = moved.replace(f"\n{x} {y} {z} ", f"\n{x} {-z} {y + at} ")
    assert text != moved
    path = put(tmp_path / "rig.bvh", text)
    assert stands(read_motion(path, notes=notes), places) == is_known
    assert len(notes) == is_known
    assert stands(read_motion(path, up="z"), places)
    assert not stands(read_motion(path, up="y"), places)
    if not is_known:  # which is said where the bodies are looked at
        said: list[str] = []
        stream = SkeletonStream(MocapSettings(), on_note=said.append)
        (frame, _) = read_motion(path).frames()
        for number in range(100):
            stream.push(replace(frame, stamp_ns=number * NS_PER_S // 30))
        assert any("lying along z" in note and "--up z" in note for note in said)


def test_a_bvh_in_the_axes_of_its_layout_is_taken_as_it_comes_whatever_its_rig_is_built_in(tmp_path: Path) -> None:
    """Built with z up, moved with y up, as a converter of a file of Blender does."""
    places, notes = pose_of("humanik"), []
    built = places @ np.linalg.inv(turn_up("z", get_layout("humanik"))).T
    path = put(tmp_path / "rig.bvh", rig(get_layout("humanik").joints, built, turn=(0, -90, 0)))
    assert stands(read_motion(path, notes=notes), places)
    assert not notes


def test_axes_and_unit_of_an_npz_are_those_that_are_named(tmp_path: Path) -> None:
    """canonical15 is in metres with z up."""
    pose = pose_of("canonical15")
    path = save(tmp_path / "a.npz", joints=1000 * pose[None][..., [1, 2, 0]], layout="canonical15", rate_hz=30.0)
    motion = read_motion(path, up="y", unit="mm")
    np.testing.assert_allclose(motion.positions[0], pose, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("JOINT elbow\n  {", "JOINT elbow{"),
        ("End Site", "End Site tip of it"),
        ("End Site", "EndSite"),
        ("OFFSET 1 0 0", "OFFSET 1 0 0\n        CHANNELS 0"),
        ("MOTION", "Motion"),
        ("HIERARCHY", "Hierarchy"),
    ],
)
def test_what_exporters_write_in_their_own_way_is_read(tmp_path: Path, old: str, new: str) -> None:
    assert old in ARM
    motion, other = (read_bvh(put(tmp_path / "arm.bvh", text)) for text in (ARM, ARM.replace(old, new)))
    assert other.joints == motion.joints
    np.testing.assert_array_equal(other.positions, motion.positions)


def test_points_in_pixels_become_fractions_of_the_image(tmp_path: Path) -> None:
    pose = pose_of("coco17")
    pixels = np.repeat(pose[None] * (640, 480), 4, axis=0)
    notes: list[str] = []
    motion = read_motion(save(tmp_path / "a.npz", joints=pixels, layout="coco17", rate_hz=25.0), notes=notes)
    (note,) = notes
    assert "the points of a.npz are told in pixels: converted" in note
    np.testing.assert_allclose(motion.positions * (720 / 480), np.repeat(pose[None], 4, axis=0), rtol=1e-4)


def save(path: Path, **arrays) -> Path:
    np.savez(path, **arrays)
    return path


WALK = np.arange(4 * 16 * 3, dtype=np.float32).reshape(4, 16, 3)


def test_an_npz_file_that_says_all_needs_no_options(tmp_path: Path) -> None:
    sequence = read_motion(save(tmp_path / "walk.npz", joints=WALK, layout="egait16", rate_hz=25.0))
    np.testing.assert_array_equal(sequence.positions, WALK)
    np.testing.assert_array_equal(sequence.stamps_ns, np.arange(4) * 40_000_000)
    assert sequence.layout == "egait16"
    assert sequence.confidence.all()
    assert (sequence.positions.dtype, sequence.confidence.dtype) == (np.float32, np.float32)


def test_options_come_before_what_the_file_says(tmp_path: Path) -> None:
    path = save(tmp_path / "walk.npz", joints=WALK, layout="canonical15", rate_hz=25.0)
    sequence = read_motion(path, layout="egait16", rate_hz=10.0)
    assert sequence.layout == "egait16"
    np.testing.assert_array_equal(sequence.stamps_ns, np.arange(4) * 100_000_000)


def test_a_pack_of_motions_needs_an_index(tmp_path: Path) -> None:
    path = save(tmp_path / "pack.npz", joints=np.stack([WALK, WALK + 1]), walker=np.array(["a", "b"]))
    sequence = read_motion(path, layout="egait16", rate_hz=30, index=1)
    np.testing.assert_array_equal(sequence.positions, WALK + 1)
    for index in (None, 2, -3):
        with pytest.raises(SkeletonError, match="holds 2 motions: store one of them alone"):
            read_motion(path, layout="egait16", rate_hz=30, index=index)


def test_the_only_motion_of_a_pack_needs_no_index(tmp_path: Path) -> None:
    path = save(tmp_path / "pack.npz", joints=WALK[None])
    np.testing.assert_array_equal(read_motion(path, layout="egait16", rate_hz=30).positions, WALK)


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"scores": np.full((4, 16), 0.5)}, "'scores' .4, 16. that is not known: name it 'confidence'"),
        ({"visibility": np.full((4, 16, 1), 0.5)}, "name it 'confidence'"),
        ({"timestamps": np.arange(4) / 60}, "'timestamps' .4,. that is not known: name it 'stamps_ns'"),
        ({"stamps_ns": np.arange(4) * 33_333}, "30000 times a second: store them in nanoseconds"),
        ({"stamps_ns": np.arange(4) * 16_666_667}, "says 30 frames a second, its 'stamps_ns' 60.0: store one"),
    ],
)
def test_what_would_be_left_out_or_guessed_of_an_npz_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], why: str
) -> None:
    path = save(tmp_path / "w.npz", joints=WALK, layout="egait16", rate_hz=30.0, **arrays)
    with pytest.raises(SkeletonError, match=why):
        read_motion(path)


def test_arrays_that_are_of_something_else_do_no_harm(tmp_path: Path) -> None:
    others = {"label": np.array("sad"), "walker": np.array([3, 1, 3, 1]), "people": np.array([None, {}], object)}
    path = save(tmp_path / "w.npz", joints=WALK, layout="egait16", rate_hz=30.0, **others)
    assert len(read_motion(path).stamps_ns) == 4


@pytest.mark.parametrize(
    ("old", "new", "encoding"),
    [
        ("", "", "utf-16"),
        ("JOINT ", "JOINT rig:", "utf-8"),
        ("Xposition", "XPOSITION", "utf-8"),
        ("elbow", "MOTION", "utf-8"),
    ],
)
def test_a_bvh_as_exporters_write_it_is_read(tmp_path: Path, old: str, new: str, encoding: str) -> None:
    plain = read_bvh(put(tmp_path / "arm.bvh", ARM))
    (tmp_path / "other.bvh").write_bytes(ARM.replace(old, new, 1).encode(encoding))
    found = read_bvh(tmp_path / "other.bvh")
    np.testing.assert_array_equal(found.positions, plain.positions)
    assert found.joints == plain.joints or "MOTION" in found.joints


def test_lines_that_end_as_on_an_old_mac_and_names_in_any_encoding_are_read(tmp_path: Path) -> None:
    plain = read_bvh(put(tmp_path / "arm.bvh", ARM))
    (tmp_path / "mac.bvh").write_bytes(ARM.replace("\n", "\r").encode())
    np.testing.assert_array_equal(read_bvh(tmp_path / "mac.bvh").positions, plain.positions)
    (tmp_path / "other.bvh").write_bytes(ARM.replace("elbow", "Ellbogen-\u00fc").encode("latin-1"))
    np.testing.assert_array_equal(read_bvh(tmp_path / "other.bvh").positions, plain.positions)


@pytest.mark.parametrize("layout", [np.bytes_(b"egait16"), np.array(["egait16"]), np.array([b"egait16"])], ids=repr)
def test_a_layout_is_known_however_it_was_stored(tmp_path: Path, layout: np.ndarray) -> None:
    assert read_motion(save(tmp_path / "w.npz", joints=WALK, layout=layout, rate_hz=30.0)).layout == "egait16"


def test_one_array_without_a_name_is_no_npz(tmp_path: Path) -> None:
    with (tmp_path / "w.npz").open("wb") as stream:
        np.save(stream, WALK)
    with pytest.raises(SkeletonError, match=r"holds one array without a name: store it as 'joints' with numpy\.savez"):
        read_motion(tmp_path / "w.npz")


@pytest.mark.parametrize("values", [np.linspace(0, 100, 64), np.arange(64) % 3, np.linspace(-1, 1, 64)], ids=str)
def test_confidences_that_are_no_shares_are_refused_as_the_nodes_do(tmp_path: Path, values: np.ndarray) -> None:
    """Percent, levels such as NuiTrack's, and signed scores."""
    path = save(tmp_path / "w.npz", joints=WALK, confidence=values.reshape(4, 16), layout="egait16", rate_hz=30)
    with pytest.raises(SkeletonError, match=r"w\.npz must lie in 0 to 1, not .*: divide by the source's highest value"):
        read_motion(path)


@pytest.mark.parametrize("layout", ["coco17", "mediapipe33"])
def test_confidences_that_stand_beside_the_positions_are_known_as_such(tmp_path: Path, layout: str) -> None:
    """As OpenPose and MediaPipe give them. A column that holds none is refused with the shape."""
    pose, notes = pose_of(layout), []
    shares = np.linspace(0, 1, len(pose), dtype=np.float32)
    joints = np.repeat(np.column_stack([pose, shares])[None], 3, axis=0)
    motion = read_motion(save(tmp_path / "a.npz", joints=joints, layout=layout, rate_hz=30.0), notes=notes)
    np.testing.assert_allclose(motion.confidence, [shares] * 3)
    np.testing.assert_allclose(motion.positions, [pose] * 3, rtol=1e-6)
    (note,) = notes
    assert "taken as their confidences" in note
    joints[..., -1] += 1
    with pytest.raises(SkeletonError, match=f"layout '{layout}' needs"):
        read_motion(save(tmp_path / "b.npz", joints=joints, layout=layout, rate_hz=30.0))


def test_an_undefined_confidence_is_that_of_a_joint_not_seen(tmp_path: Path) -> None:
    confidence = np.ones((4, 16))
    confidence[2, 3] = np.nan
    path = save(tmp_path / "w.npz", joints=WALK, confidence=confidence, layout="egait16", rate_hz=30)
    assert np.argwhere(read_motion(path).confidence == 0).tolist() == [[2, 3]]


def test_joints_that_are_not_finite_and_confidences_of_the_file_are_kept_apart(tmp_path: Path) -> None:
    joints = WALK.copy()
    joints[1, 2, 0] = np.nan
    confidence = np.full((4, 16), 0.5)
    confidence[3, 4] = 0
    sequence = read_motion(save(tmp_path / "w.npz", joints=joints, confidence=confidence, layout="egait16", rate_hz=30))
    assert np.isfinite(sequence.positions).all()
    assert sorted(zip(*np.nonzero(sequence.confidence == 0), strict=True)) == [(1, 2), (3, 4)]


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"points": WALK}, "has no array 'joints'"),
        ({"joints": WALK, "rate_hz": 30}, "names no joint layout: say which of azure_kinect32"),
        ({"joints": WALK, "layout": "egait16"}, "has no frame rate"),
        ({"joints": WALK, "layout": "egait16", "rate_hz": 0}, "must lie above 0"),
        ({"joints": WALK, "layout": "egait16", "rate_hz": np.nan}, "must lie above 0"),
        ({"joints": WALK, "layout": "egait16", "rate_hz": np.ones(3)}, "one number"),
        ({"joints": WALK, "layout": "egait16", "rate_hz": "fast"}, "one number"),
        ({"joints": WALK, "layout": "egait16", "rate_hz": "fast", "stamps_ns": np.arange(4) * 10**8}, "one number"),
        ({"joints": WALK, "layout": "egait16", "rate_hz": 1j, "stamps_ns": np.arange(4) * 10**8}, "one number"),
        ({"joints": np.stack([WALK]), "layout": "egait16", "rate_hz": 30, "confidence": np.ones(1)}, "'confidence' of"),
        ({"joints": WALK, "layout": "kinect", "rate_hz": 30}, "unknown joint layout 'kinect'"),
        ({"joints": WALK[:, :15], "layout": "egait16", "rate_hz": 30}, "needs 16 joints"),
        ({"joints": WALK[0], "layout": "egait16", "rate_hz": 30}, "must be numbers of shape"),
        ({"joints": WALK[:0], "layout": "egait16", "rate_hz": 30}, "must be numbers of shape"),
        ({"joints": WALK.astype(str), "layout": "egait16", "rate_hz": 30}, "must be numbers of shape"),
        ({"joints": WALK, "layout": "egait16", "stamps_ns": [0, 2, 1, 3]}, "whole numbers that rise"),
        ({"joints": WALK, "layout": "egait16", "stamps_ns": [0, 1, 2]}, "whole numbers that rise"),
        ({"joints": WALK, "layout": "egait16", "rate_hz": 30, "confidence": np.ones(4)}, "'confidence' of"),
        ({"joints": np.array([{}]), "layout": "egait16"}, "holds Python objects, which could run code: store numbers"),
    ],
)
def test_a_wrong_npz_file_is_refused_with_its_fault(tmp_path: Path, arrays, fault: str) -> None:
    with pytest.raises(SkeletonError, match=fault):
        read_motion(save(tmp_path / "walk.npz", **arrays), index=0)


def test_what_is_far_larger_unpacked_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mser_ros.mocap.readers._LARGEST", 1 << 20)
    monkeypatch.setattr("mser_ros.mocap.bvh._LARGEST", 1 << 20)
    np.savez_compressed(tmp_path / "walk.npz", joints=np.zeros((9000, 16, 3)), layout="egait16", rate_hz=30)
    with pytest.raises(SkeletonError, match="holds 3 MiB, unpacked: cut it"):
        read_motion(tmp_path / "walk.npz")
    (tmp_path / "walk.bvh.gz").write_bytes(gzip.compress(b"HIERARCHY\n" + b" " * (1 << 21)))
    with pytest.raises(SkeletonError, match="more than 1 MiB of text"):
        read_motion(tmp_path / "walk.bvh.gz")


def test_a_missing_foreign_or_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SkeletonError, match="there is no motion file"):
        read_motion(tmp_path / "none.bvh")
    with pytest.raises(SkeletonError, match="is no motion file that can be read"):
        read_motion(put(tmp_path / "walk.fbx", "FBX"))
    path = save(tmp_path / "walk.npz", joints=WALK, layout="egait16", rate_hz=30)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(SkeletonError, match="cannot be read"):
        read_motion(path)
    with pytest.raises(SkeletonError, match="is no npz file: write one"):
        read_motion(put(tmp_path / "text.npz", "no archive"))


needs_data = pytest.mark.skipif("MSER_DATA_DIR" not in os.environ, reason="needs data: set MSER_DATA_DIR to its folder")


@needs_data
def test_real_bvh_files_keep_their_bones_and_stand_on_the_floor() -> None:
    layout = get_layout("bandai21")
    children = [joint for joint, parent in enumerate(layout.parents) if parent >= 0]
    parents = [layout.parents[joint] for joint in children]
    files = sorted((Path(os.environ["MSER_DATA_DIR"]) / "bandai_namco").glob("*walk*.bvh.gz"))
    assert files
    for path in files:
        sequence = read_motion(path)
        assert sequence.layout == "bandai21"
        assert np.median(np.diff(sequence.stamps_ns)) == pytest.approx(NS_PER_S / 30, rel=1e-4)
        bones = np.linalg.norm(sequence.positions[:, children] - sequence.positions[:, parents], axis=2)
        assert bones.std(axis=0).max() < 1e-2  # centimetres
        lowest = sequence.positions[..., 1].min(axis=1)
        assert -5 < lowest.min() <= lowest.max() < 25
        assert 110 < sequence.positions[..., 1].max() < 170


@needs_data
def test_a_walk_of_the_real_gait_pack_is_read() -> None:
    path = Path(os.environ["MSER_DATA_DIR"]) / "egait" / "egait_intended.npz"
    sequence = read_motion(path, layout="egait16", rate_hz=30, index=5)
    assert sequence.positions.shape == (75, 16, 3)
    assert sequence.duration_s == pytest.approx(74 / 30)
