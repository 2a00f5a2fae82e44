"""The canonical motion: what must change it and what must not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mocap_poses import POSE, ROWS, pose_of

from mser_ros.errors import SkeletonError
from mser_ros.mocap.canonical import MIRRORED, CanonicalMotion, canonicalise
from mser_ros.mocap.layouts import JOINTS
from mser_ros.types import NS_PER_S, SkeletonSequence

RATE_HZ, WINDOW_S, END_NS = 15.0, 2.0, 1_700_000_100 * NS_PER_S
FRAMES = 30
UPPER = [JOINTS.index(joint) for joint in JOINTS if not joint.endswith(("hip", "knee", "ankle", "pelvis"))]


def stamps(count: int, rate_hz: float = 30.0, end_ns: int = END_NS) -> np.ndarray:
    return end_ns - np.round(np.arange(count)[::-1] * NS_PER_S / rate_hz).astype(np.int64)


def body(seed: int = 0, count: int = 60) -> np.ndarray:
    """A restless asymmetric body in canonical axes, (count, 15, 3)."""
    rng = np.random.default_rng(seed)
    pose = np.array([POSE[joint] for joint in JOINTS])
    time = np.linspace(0, 1, count)[:, None, None]
    waves = rng.uniform(-0.05, 0.05, pose.shape) * np.sin(2 * np.pi * (3 * time + rng.random(pose.shape)))
    return pose + waves


def sequence(positions: np.ndarray, confidence: np.ndarray | None = None, **changes) -> SkeletonSequence:
    values = {
        "stamps_ns": stamps(len(positions)),
        "positions": positions.astype(np.float32),
        "confidence": np.ones(positions.shape[:2], np.float32) if confidence is None else confidence,
        "layout": "canonical15",
    }
    return SkeletonSequence(**{**values, **changes})


def motion(positions: np.ndarray, confidence: np.ndarray | None = None, **changes) -> CanonicalMotion:
    made = canonicalise(sequence(positions, confidence, **changes), rate_hz=RATE_HZ, window_s=WINDOW_S, end_ns=END_NS)
    assert made is not None
    return made


def turned(positions: np.ndarray, angle: float) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    return positions @ np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]).T


def assert_same(one: CanonicalMotion, other: CanonicalMotion, atol: float = 1e-4) -> None:
    np.testing.assert_array_equal(one.mask, other.mask)
    np.testing.assert_allclose(one.positions, other.positions, atol=atol)


@given(
    angle=st.floats(-10, 10),
    shift=hnp.arrays(np.float64, 3, elements=st.floats(-20, 20)),
    scale=st.floats(0.5, 2),
    seed=st.integers(0, 100),
)
def test_place_heading_and_height_of_the_person_do_not_matter(angle, shift, scale, seed) -> None:
    assert_same(motion(body(seed)), motion(turned(body(seed), angle) * scale + shift))


@given(steps=hnp.arrays(np.float64, (60, 3), elements=st.floats(-0.05, 0.05)))
def test_where_the_person_walks_does_not_matter(steps: np.ndarray) -> None:
    walked = body() + np.cumsum(steps, axis=0)[:, None]
    assert_same(motion(body()), motion(walked), atol=2e-4)


def test_a_mirrored_person_gives_the_mirrored_motion() -> None:
    made = motion(body())
    mirrored = motion((body() * (1, -1, 1))[:, MIRRORED])
    np.testing.assert_allclose(mirrored.positions, made.positions[:, MIRRORED] * (1, -1, 1), atol=1e-5)
    assert not np.allclose(mirrored.positions, made.positions, atol=1e-2)


@pytest.mark.parametrize(
    "layout",
    ["egait16", "bandai21", "kinect_v2", "azure_kinect32", "zed18", "zed34", "zed38", "nuitrack", "ros4hri_tf"],
)
def test_the_same_pose_through_another_layout_gives_the_same_joints(layout: str) -> None:
    own = motion(np.repeat(pose_of("canonical15")[None], 60, axis=0))
    other = motion(np.repeat(pose_of(layout)[None], 60, axis=0), layout=layout)
    assert own.mask.all()
    assert_same(own, other)


@pytest.mark.parametrize("layout", ["hri18", "openpose18", "coco17"])
def test_a_person_who_faces_the_camera_gives_the_front_view_of_the_3d_pose(layout: str) -> None:
    flat = motion(np.repeat(pose_of(layout)[None], 60, axis=0), layout=layout)
    assert flat.dimensions == 2
    assert not flat.positions[..., 0].any()
    pose = np.array([POSE[joint] for joint in JOINTS]) - POSE["pelvis"]
    # One scale fits all joints: it is the same body, of another size only.
    size = flat.positions[-1, :, 2] @ pose[:, 2] / (pose[:, 2] @ pose[:, 2])
    assert 0.5 < size < 2
    np.testing.assert_allclose(flat.positions[-1, :, 1:], size * pose[:, 1:], atol=1e-4)


def test_a_person_seen_from_behind_is_turned_round_in_2d() -> None:
    pose = pose_of("coco17")
    behind = pose * (-1, 1) + (1, 0)
    front, back = (motion(np.repeat(item[None], 60, axis=0), layout="coco17") for item in (pose, behind))
    assert_same(front, back)


def test_the_canonical_axes_are_ahead_left_up() -> None:
    mean = motion(turned(body(), 2.0)).positions.mean(axis=0)
    assert mean[JOINTS.index("left_shoulder"), 1] > 0.1 > -0.1 > mean[JOINTS.index("right_shoulder"), 1]
    assert mean[JOINTS.index("head"), 2] > 0.5 > -0.5 > mean[JOINTS.index("left_ankle"), 2]
    assert mean[JOINTS.index("left_wrist"), 0] > 0.2  # POSE stretches the left hand forward


@given(data=st.data())
def test_what_is_not_finite_never_leaks(data: st.DataObject) -> None:
    positions = body()
    strange = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e20])
    for _ in range(data.draw(st.integers(1, 40))):
        at = tuple(data.draw(st.integers(0, size - 1)) for size in positions.shape)
        positions[at] = data.draw(strange)
    made = canonicalise(sequence(positions), rate_hz=RATE_HZ, window_s=WINDOW_S, end_ns=END_NS)
    if made is not None:
        assert np.isfinite(made.positions).all()
        assert np.abs(made.positions).max() < 3
        assert not made.positions[~made.mask].any()


@given(hidden=hnp.arrays(bool, (60, 15)))
def test_what_unseen_joints_say_does_not_matter(hidden: np.ndarray) -> None:
    confidence = np.where(hidden, 0, 1).astype(np.float32)
    results = []
    for lie in (0.0, 1e6, np.nan):
        positions = np.where(hidden[..., None], lie, body())
        arguments = {"rate_hz": RATE_HZ, "window_s": WINDOW_S, "end_ns": END_NS}
        results.append(canonicalise(sequence(positions, confidence), **arguments))
    if results[0] is None:
        assert results == [None, None, None]
    else:
        for other in results[1:]:
            assert other is not None
            assert_same(results[0], other, atol=0)


@pytest.mark.parametrize("rate_hz", [5.0, 7.3, 30.0, 120.0])
def test_the_camera_s_rate_does_not_matter(rate_hz: float) -> None:
    """Joints that move evenly are the same at any rate, for stamps decide and not counts."""

    def moving(times_ns: np.ndarray) -> np.ndarray:
        time = ((times_ns - END_NS) / NS_PER_S)[:, None, None]
        positions = np.repeat(body()[:1], len(times_ns), axis=0)
        hand = JOINTS.index("right_wrist")
        positions[:, hand] += time[:, 0] * (0.1, 0.05, 0.02)
        return positions

    made = []
    for rate in (60.0, rate_hz):
        times = stamps(int(WINDOW_S * rate), rate)
        made.append(motion(moving(times), stamps_ns=times))
    joint = JOINTS.index("right_wrist")
    both = made[0].mask[:, joint] & made[1].mask[:, joint]
    assert both.sum() >= 26
    # The size is a median over frames and the arm's length changes: compare what does not depend on it closely.
    np.testing.assert_allclose(made[0].positions[both], made[1].positions[both], atol=0.02)


@given(extra=st.integers(1, 50))
def test_frames_outside_the_window_do_not_matter(extra: int) -> None:
    inside, times = body(count=56), stamps(56, end_ns=END_NS - 20_000_000)
    plain = motion(inside, stamps_ns=times)
    around = np.concatenate([body(1, extra), inside, body(2, extra)])
    before = stamps(extra, end_ns=END_NS - int(WINDOW_S * NS_PER_S) - 1)
    after = END_NS + 1 + np.arange(extra) * 7_000_000
    made = motion(around, stamps_ns=np.concatenate([before, times, after]))
    assert_same(plain, made, atol=0)


def test_a_short_gap_is_bridged_and_a_long_one_masked() -> None:
    joint = JOINTS.index("left_wrist")
    for gap_s, bridged in ((0.24, True), (0.6, False)):
        confidence = np.ones((60, 15), np.float32)
        times_s = (stamps(60) - END_NS) / NS_PER_S
        confidence[(times_s > -1 - gap_s / 2) & (times_s < -1 + gap_s / 2), joint] = 0
        made = motion(body(), confidence)
        assert made.mask[:, joint].all() == bridged
        others = [other for other in range(15) if other != joint]
        assert made.mask[:, others].all()


def test_confidence_is_kept_between_sights_and_means_and_is_0_where_nothing_is_seen() -> None:
    joint = JOINTS.index("left_wrist")
    confidence = np.full((60, 15), 0.8, np.float32)
    times_s = (stamps(60) - END_NS) / NS_PER_S
    confidence[times_s > -1, joint] = 0.4
    confidence[(times_s > -0.6) & (times_s < -0.1), joint] = 0
    made = motion(body(), confidence)
    grid_s = np.arange(1 - FRAMES, 1) / RATE_HZ
    np.testing.assert_allclose(made.confidence[grid_s < -1.05, joint], 0.8, atol=1e-6)
    np.testing.assert_allclose(made.confidence[(grid_s > -0.95) & (grid_s < -0.65), joint], 0.4, atol=1e-6)
    assert not made.confidence[~made.mask].any()
    assert not made.mask[(grid_s > -0.55) & (grid_s < -0.15), joint].any()
    ears = np.ones((60, 17), np.float32)
    ears[:, 3:5] = 0.2, 0.6
    flat = motion(np.repeat(pose_of("coco17")[None], 60, axis=0), ears, layout="coco17")
    np.testing.assert_allclose(flat.confidence[:, JOINTS.index("head")], 0.4, atol=1e-6)


def test_a_motion_shorter_than_the_window_is_masked_before_it() -> None:
    made = motion(body(count=15))
    assert made.positions.shape == (FRAMES, 15, 3)
    assert not made.mask[:22].any()
    assert made.mask[-7:].all()


def test_hidden_legs_leave_the_rest_as_it_is() -> None:
    """An assistive robot often sees the upper body only."""
    confidence = np.ones((60, 15), np.float32)
    confidence[:, [joint for joint in range(15) if JOINTS[joint].endswith(("knee", "ankle", "hip"))]] = 0
    whole, upper = motion(body()), motion(body(), confidence)
    np.testing.assert_allclose(upper.positions[:, UPPER], whole.positions[:, UPPER], atol=0.03)
    confidence[:, JOINTS.index("pelvis")] = 0
    upper = motion(body(), confidence)
    assert upper.mask[:, UPPER].all()
    assert not upper.mask[:, JOINTS.index("pelvis")].any()
    np.testing.assert_allclose(upper.positions[:, UPPER], whole.positions[:, UPPER], atol=0.15)


def test_a_pelvis_that_comes_and_goes_does_not_make_the_body_jump() -> None:
    confidence = np.ones((60, 15), np.float32)
    confidence[20:40, JOINTS.index("pelvis")] = 0
    still = np.repeat(body()[:1], 60, axis=0)
    made = motion(still, confidence)
    np.testing.assert_allclose(made.positions[:, UPPER], motion(still).positions[:, UPPER], atol=1e-5)


def test_a_tracker_that_throws_a_joint_away_is_not_believed() -> None:
    positions = body()
    positions[30:36, JOINTS.index("left_wrist")] += (0, 0, 9)
    made = motion(positions)
    assert not made.mask[:, JOINTS.index("left_wrist")].all()
    assert np.linalg.norm(made.positions, axis=2).max() <= 2.0


@pytest.mark.parametrize("seen", [(), ("head",), ("left_shoulder", "left_elbow"), ("neck", "pelvis")])
def test_a_body_without_heading_or_size_gives_nothing(seen: tuple[str, ...]) -> None:
    confidence = np.zeros((60, 15), np.float32)
    confidence[:, [JOINTS.index(joint) for joint in seen]] = 1
    assert canonicalise(sequence(body(), confidence), rate_hz=RATE_HZ, window_s=WINDOW_S, end_ns=END_NS) is None


def test_joints_that_all_lie_in_one_place_give_nothing() -> None:
    nowhere = np.zeros((60, 15, 3))
    assert canonicalise(sequence(nowhere), rate_hz=RATE_HZ, window_s=WINDOW_S, end_ns=END_NS) is None


def test_a_body_that_left_before_the_window_gives_nothing() -> None:
    gone = sequence(body(), stamps_ns=stamps(60, end_ns=END_NS - 5 * NS_PER_S))
    assert canonicalise(gone, rate_hz=RATE_HZ, window_s=WINDOW_S, end_ns=END_NS) is None


def test_a_wrong_number_of_joints_is_refused() -> None:
    with pytest.raises(SkeletonError, match="needs 16 joints"):
        motion(body(), layout="egait16")


def test_every_layout_of_the_tests_is_a_layout_of_the_package() -> None:
    from mser_ros.mocap.layouts import known_layouts

    assert set(ROWS) == set(known_layouts())


@pytest.mark.skipif("MSER_DATA_DIR" not in os.environ, reason="needs E-Gait: set MSER_DATA_DIR to the data folder")
def test_walkers_of_egait_have_their_left_on_the_left_and_most_face_forward() -> None:
    joints = np.load(Path(os.environ["MSER_DATA_DIR"]) / "egait" / "egait_intended.npz")["joints"]
    index = {joint: JOINTS.index(joint) for joint in JOINTS}
    forward = []
    for walk in joints:
        made = motion(walk[-60:], layout="egait16")
        mean = made.positions.mean(axis=0)
        assert made.mask.all()
        assert mean[index["left_shoulder"], 1] > 0 > mean[index["right_shoulder"], 1]
        assert mean[index["left_hip"], 1] > 0 > mean[index["right_hip"], 1]
        assert mean[index["head"], 2] > 0.3 > -0.3 > mean[index["right_ankle"], 2]
        ends = (mean[index["left_hip"], 0] + mean[index["left_ankle"], 0]) / 2
        forward.append(mean[index["left_knee"], 0] > ends)  # knees bend forward: that shows which way the person faces
    # A part of the collection has its depth reversed, and with it left and right.
    assert np.mean(forward) > 0.8


#: What the trained body model was given of the 164 walks when it was trained: of every 20th walk the sum of its
#: positions times cos(0), cos(1), ...; how many joints are seen; and where joints are in the mean [cm].
_LEARNED_SUMS = (0.122, -0.79, 0.228, -0.882, -0.472, -0.601, -0.54, -0.482, -0.081)
_LEARNED_SEEN = 93480
_LEARNED_CM = {"head": (25, -1, 56), "left_wrist": (11, 25, -16), "right_knee": (0, -12, -50)}


@pytest.mark.skipif("MSER_DATA_DIR" not in os.environ, reason="needs E-Gait: set MSER_DATA_DIR to the data folder")
def test_the_trained_model_is_given_what_it_has_learned_from() -> None:
    """A change of these numbers is a change of the model's input: train it anew."""
    walks = np.load(Path(os.environ["MSER_DATA_DIR"]) / "egait" / "egait_intended.npz")["joints"]
    made = []
    for walk in walks:
        times = np.round(np.arange(len(walk)) * NS_PER_S / 30).astype(np.int64)
        given = sequence(walk, layout="egait16", stamps_ns=times)
        made.append(canonicalise(given, rate_hz=15.0, window_s=5.0, end_ns=int(times[-1])))
    positions = np.stack([one.positions for one in made]).astype(np.float64)
    mask = np.stack([one.mask for one in made])
    weights = np.cos(np.arange(positions[0].size)).reshape(positions[0].shape)
    np.testing.assert_allclose((positions * weights).sum(axis=(1, 2, 3))[::20], _LEARNED_SUMS, atol=2e-3)
    assert mask.sum() == _LEARNED_SEEN
    for joint, expected in _LEARNED_CM.items():
        at = JOINTS.index(joint)
        np.testing.assert_allclose(100 * positions[:, :, at][mask[:, :, at]].mean(axis=0), expected, atol=0.6)
