"""The stream of skeletons: a good one passes as it is; what trackers get wrong is found, counted and mended."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mocap_poses import PARTIAL, pose_of
from skeleton_runs import T0, Run, frame, frames_of

from mser_ros.errors import SkeletonError
from mser_ros.mocap.canonical import canonicalise
from mser_ros.mocap.layouts import JOINTS, get_layout, known_layouts
from mser_ros.mocap.stream import SkeletonStream
from mser_ros.settings import MocapSettings
from mser_ros.types import NS_PER_S, SkeletonFrame, SkeletonSequence

SPATIAL = [name for name in known_layouts() if get_layout(name).dimensions == 3 and name not in PARTIAL]


def moving(layout: str = "canonical15", count: int = 60, seed: int = 0) -> np.ndarray:
    """The asymmetric pose, restless by some centimetres, (count, joints, dimensions) in the source's own unit."""
    rng = np.random.default_rng(seed)
    pose = pose_of(layout).astype(np.float64)
    size = np.ptp(pose[np.abs(pose[:, 0]) < 8 * max(1.0, np.median(np.abs(pose)))], axis=0).max() / 1.7
    time = np.linspace(0, 2, count)[:, None, None]
    waves = rng.uniform(-0.04, 0.04, pose.shape) * np.sin(2 * np.pi * (time + rng.random(pose.shape)))
    return pose + size * waves


def canonical(frames: list[SkeletonFrame]) -> np.ndarray:
    sequence = SkeletonSequence.of(frames, layout=frames[0].layout, body_id="")
    made = canonicalise(sequence, rate_hz=15.0, window_s=1.0, end_ns=frames[-1].stamp_ns)
    assert made is not None
    return made.positions


# -- what is well formed


@pytest.mark.parametrize("layout", [name for name in known_layouts() if name not in PARTIAL])
def test_a_body_that_is_well_formed_passes_as_it_is(layout: str) -> None:
    given = frames_of(moving(layout), layout)
    run = Run().give(given)
    for made, item in zip(run.made, given, strict=True):
        np.testing.assert_array_equal(made.positions, item.positions)
        np.testing.assert_array_equal(made.confidence, item.confidence)
    assert run.found == {}
    assert run.notes == []


def test_markers_of_head_and_hands_pass_without_a_body_to_judge_them_by() -> None:
    assert Run().give(frames_of(moving("iemocap_head_hands"), "iemocap_head_hands")).found == {}


# -- units


@pytest.mark.parametrize("layout", SPATIAL)
@pytest.mark.parametrize("unit_m", [1.0, 0.01, 0.001])
def test_a_body_in_another_unit_is_converted_to_the_layout_s(layout: str, unit_m: float) -> None:
    right = moving(layout)
    factor = get_layout(layout).unit_m / unit_m
    run = Run().give(frames_of(right * factor, layout))
    np.testing.assert_allclose(run.made[-1].positions, right[-1], rtol=1e-4, atol=1e-4 * np.abs(right).max())
    assert run.found == ({} if abs(factor - 1) < 1e-9 else {"converted": 60})
    assert len(run.notes) == (abs(factor - 1) > 1e-9)
    if run.notes:
        assert f"layout '{layout}' are {factor:g} times as large as it says: converted" in run.notes[0]


@pytest.mark.parametrize("layout", ["hri18", "coco17", "openpose18"])
def test_a_body_in_pixels_is_the_one_in_fractions_of_the_image(layout: str) -> None:
    right = moving(layout)
    rows = 480
    run = Run().give(frames_of(right * (rows * get_layout(layout).aspect, rows), layout))
    np.testing.assert_allclose(canonical(run.made), canonical(Run().give(frames_of(right, layout)).made), atol=1e-4)
    assert run.found == {"converted": 60}
    assert run.notes == [
        f"skeletons of layout '{layout}' are told in pixels: converted; send fractions of the image's width and height"
    ]


def test_a_unit_that_jumps_is_converted_each_time_and_said() -> None:
    right = moving()
    run = Run().give(frames_of([body * (1000 if number % 20 > 9 else 1) for number, body in enumerate(right)]))
    np.testing.assert_allclose(np.stack([made.positions for made in run.made]), right, atol=1e-4)
    assert run.found == {"converted": 30, "unit_jumps": 5}
    assert "the unit of the skeletons of layout 'canonical15' changes" in run.notes[0]


@pytest.mark.parametrize("factor", [5.0, 0.1, 1e-6, 1e6])
def test_a_body_of_a_size_that_no_unit_explains_is_refused_with_the_cure(factor: float) -> None:
    stream = SkeletonStream(MocapSettings())
    with pytest.raises(SkeletonError, match=r"m tall in layout 'canonical15'.*Name the layout of the source, or scale"):
        stream.push(frame(moving()[0] * factor))
    assert stream.push(frame(moving()[0], 1)).confidence.all()


# -- axes


def test_a_source_with_y_down_is_turned_upright_from_the_first_frame_on() -> None:
    """A camera's axes under the name of a layout with y up: x right, y down, z away are still right-handed."""
    right = moving("bandai21")
    run = Run().give(frames_of(right * (1, -1, -1), "bandai21"))
    np.testing.assert_allclose(canonical(run.made), canonical(frames_of(right, "bandai21")), atol=1e-3)
    assert run.found == {"turned": 60}
    (note,) = run.notes
    assert "stand on their heads: turned round; name the layout of their source" in note


@pytest.mark.parametrize("layout", ["azure_kinect32", "zed18", "zed34", "zed38", "mediapipe33"])
@pytest.mark.parametrize("flip", [(-1, 1, 1), (1, -1, 1), (1, 1, -1)])
def test_a_left_handed_source_is_mirrored_back_by_nose_and_toes(layout: str, flip: tuple[int, int, int]) -> None:
    right = moving(layout, 90)
    run = Run().give(frames_of(right * flip, layout))
    np.testing.assert_allclose(canonical(run.made), canonical(frames_of(right, layout)), atol=1e-3)
    assert run.found["mirrored"] >= 75
    assert any("nose or toes behind them: mirrored back" in note for note in run.notes)


def test_of_a_source_without_nose_and_toes_it_is_said_that_knees_bend_backward() -> None:
    run = Run().give(frames_of(moving(count=90) * (1, -1, 1)))
    assert run.found == {}
    (note,) = run.notes
    assert "knees of bodies of layout 'canonical15' bend backward" in note
    np.testing.assert_allclose(run.made[-1].positions, moving(count=90)[-1] * (1, -1, 1), atol=1e-6)


def test_who_bends_down_and_up_again_is_not_turned_round() -> None:
    """The head hangs below the hips for a second, legs unseen."""
    standing = moving(count=150)
    upper = [row for row, joint in enumerate(JOINTS) if not joint.endswith(("knee", "ankle"))]
    bent = standing.copy()
    pelvis = bent[60:90, :1]
    bent[60:90] = np.where(
        np.isin(np.arange(15), upper)[:, None], pelvis + (bent[60:90] - pelvis) * (1, 1, -1), bent[60:90]
    )
    assert "turned" not in Run().give(frames_of(bent)).found


def test_who_lies_is_left_as_is_and_after_some_seconds_that_is_said_once() -> None:
    lying = moving(count=300)[..., [2, 1, 0]] * (1, 1, -1)  # on the back: what was up is ahead
    run = Run().give(frames_of(lying))
    np.testing.assert_allclose(run.made[-1].positions, lying[-1], atol=1e-6)
    (note,) = run.notes
    assert "have been lying along x of their source since they came" in note
    assert "one whose 'up' is x" in note


def test_two_sources_are_judged_each_by_itself() -> None:
    run = Run()
    for number, body in enumerate(moving()):
        run.give([frame(body, number, body_id="a", frame_id="left")])
        run.give([frame(body * (1, -1, -1), number, body_id="b", frame_id="right")])
    assert run.found == {"turned": 60}


# -- joints that jump


@pytest.mark.parametrize("layout", ["canonical15", "azure_kinect32", "nuitrack", "coco17"])
def test_a_joint_that_is_thrown_away_for_a_moment_is_not_seen_then(layout: str) -> None:
    motion, row = moving(layout), get_layout(layout).canonical[JOINTS.index("left_wrist")][0]
    size = np.linalg.norm(get_layout(layout).to_world[2])
    motion[30:33, row] += 1.5 / size * np.eye(motion.shape[2])[1] * (0.2 if motion.shape[2] == 2 else 1)
    run = Run().give(frames_of(motion, layout))
    doubted = [
        (number, joint) for number, made in enumerate(run.made) for joint in np.flatnonzero(made.confidence == 0)
    ]
    assert doubted == [(30, row), (31, row), (32, row)]
    assert run.found == {"teleports": 3}


def test_a_joint_that_stays_where_it_jumped_to_is_believed_after_a_while() -> None:
    motion, row = moving(), JOINTS.index("right_wrist")
    motion[30:, row] += (0, 0, 1)
    run = Run().give(frames_of(motion))
    unseen = [number for number, made in enumerate(run.made) if made.confidence[row] == 0]
    assert unseen == list(range(30, 30 + len(unseen)))
    assert 4 <= len(unseen) <= 6


def test_a_body_that_comes_back_elsewhere_is_believed_at_once() -> None:
    motion = moving()
    motion[30:] += (5, 0, 0)
    run = Run().give(frames_of(motion))
    assert all(made.confidence.all() for made in run.made)


def test_at_a_low_rate_a_fast_hand_is_believed() -> None:
    motion, row = moving(count=20), JOINTS.index("right_wrist")
    motion[::2, row] += (0.5, 0, 0.5)
    assert Run().give(frames_of(motion, rate_hz=5.0)).found == {}


# -- sides that are swapped


@pytest.mark.parametrize("layout", ["canonical15", "azure_kinect32", "zed38", "hri18", "coco17"])
def test_left_and_right_that_are_swapped_for_some_frames_are_swapped_back(layout: str) -> None:
    right, other = moving(layout), get_layout(layout).mirror
    swapped = right.copy()
    swapped[20:26], swapped[40] = swapped[20:26, other], swapped[40, other]
    run = Run().give(frames_of(swapped, layout))
    np.testing.assert_allclose(np.stack([made.positions for made in run.made]), right, rtol=1e-6, atol=1e-6)
    assert run.found == {"swapped_sides": 2}


def test_confidences_go_with_their_joints_when_sides_are_swapped_back() -> None:
    motion, other = moving(), get_layout("canonical15").mirror
    confidence = np.linspace(0.5, 1, 15, dtype=np.float32)
    given = [frame(body, number, confidence=confidence) for number, body in enumerate(motion)]
    given[30] = frame(motion[30][other], 30, confidence=confidence[other])
    run = Run().give(given)
    np.testing.assert_array_equal(run.made[30].confidence, confidence)


def test_a_tracker_that_stays_with_the_other_sides_is_believed_in_the_end() -> None:
    motion, other = moving(count=120), get_layout("canonical15").mirror
    motion[30:] = motion[30:, other]
    run = Run().give(frames_of(motion))
    np.testing.assert_allclose(run.made[-1].positions, motion[-1], atol=1e-6)
    assert run.found["swapped_sides"] == 1


def test_who_turns_round_keeps_the_sides() -> None:
    pose = moving(count=60)
    angles = np.linspace(0, np.pi, 60)
    turned = np.stack(
        [
            body @ np.array([[np.cos(a), np.sin(a), 0], [-np.sin(a), np.cos(a), 0], [0, 0, 1]])
            for body, a in zip(pose, angles, strict=True)
        ]
    )
    assert Run().give(frames_of(turned)).found == {}


# -- bodies that are swapped


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("layout", ["canonical15", "coco17"])
def test_two_bodies_whose_ids_change_places_keep_their_own(order: str, layout: str) -> None:
    shift = np.zeros(get_layout(layout).dimensions)
    shift[1 if layout == "canonical15" else 0] = 2.0 if layout == "canonical15" else 0.4
    one, other = moving(layout, seed=1), moving(layout, seed=2) + shift
    run = Run()
    for number in range(60):
        places = {"a": one[number], "b": other[number]}
        if 20 <= number < 35:
            places = {"a": other[number], "b": one[number]}
        run.give(frame(places[name], number, layout=layout, body_id=name) for name in order)
    for made in run.made:
        number = round((made.stamp_ns - T0) * 30 / NS_PER_S)
        expected = one if made.body_id == "a" else other
        np.testing.assert_allclose(made.positions, expected[number], atol=1e-5)
    assert run.found["swapped_bodies"] == 2
    assert "have changed their ids" in run.notes[0]


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("both", [True, False], ids=["drawn twice", "one is hidden"])
def test_an_id_that_was_on_another_body_for_a_while_means_its_own_again(order: str, both: bool) -> None:
    one, other = moving("canonical15", seed=1), moving("canonical15", seed=2) + np.array([0.0, 2.0, 0.0])
    run = Run()
    for number in range(60):
        places = {"a": one[number], "b": other[number]}
        if 20 <= number < 23:
            places = {"a": other[number], **({"b": other[number]} if both else {})}
        if not both and 10 <= number < 20:
            del places["a"]  # it is hidden before
        run.give(frame(places[name], number, layout="canonical15", body_id=name) for name in order if name in places)
    for made in run.made:
        number = round((made.stamp_ns - T0) * 30 / NS_PER_S)
        if number >= 24:
            np.testing.assert_allclose(made.positions, (one if made.body_id == "a" else other)[number], atol=1e-5)


def test_two_people_who_pass_each_other_keep_their_ids() -> None:
    one, other = moving(seed=1), moving(seed=2)
    way = np.linspace(-1, 1, 60)[:, None, None] * (0, 1, 0)
    run = Run()
    for number in range(60):
        run.give(
            frame(body, number, body_id=name)
            for name, body in (("a", one[number] + way[number]), ("b", other[number] - way[number] + (0.4, 0, 0)))
        )
    assert run.found == {}


# -- stamps, and frames of nothing


def test_a_second_frame_of_a_stamp_is_refused_and_the_first_stays() -> None:
    run = Run().give(frames_of(moving(count=5)))
    with pytest.raises(SkeletonError, match="a second skeleton of body 'a' at the same time"):
        run.stream.push(frame(moving()[0], 3))
    run.give([frame(moving()[0], 3, body_id="b")])


def test_a_frame_that_comes_late_passes_and_is_counted() -> None:
    given = frames_of(moving(count=10))
    run = Run().give([*given[:5], *given[6:8], given[5], *given[8:]])
    assert run.found == {"reordered": 1}
    with pytest.raises(SkeletonError, match="same time"):
        run.stream.push(given[5])


def test_a_clock_that_is_set_back_begins_anew() -> None:
    given = frames_of(moving(count=60))
    assert Run().give([*given, *given]).found == {"restarts": 1}


def test_a_body_of_which_nothing_is_seen_passes_and_is_said_after_a_while() -> None:
    blind = [frame(body, number, confidence=np.zeros(15, np.float32)) for number, body in enumerate(moving())]
    run = Run().give(blind)
    assert run.found == {"unseen": 60}
    assert len(run.notes) == 2
    assert "no joint of body 'a' has been seen in 30 frames: its source must send a confidence" in run.notes[0]
    assert not any(made.confidence.any() for made in run.made)


def test_the_memory_is_bounded_however_many_bodies_come() -> None:
    run = Run()
    for number in range(500):
        run.give([frame(moving(count=1)[0], number, body_id=f"body {number}", frame_id=f"camera {number}")])
    assert len(run.stream._tracks) <= 64
    assert len(run.stream._axes) <= 64
    assert len(run.stream._units) <= 64


@pytest.mark.filterwarnings("error")
def test_a_joint_that_is_thrown_beyond_all_bounds_is_not_seen_whatever_is_mended() -> None:
    motion = moving("nuitrack") / 1000 * (-1, -1, 1)  # in metres, upside down
    motion[30, 8] = 3e38
    run = Run().give(frames_of(motion, "nuitrack"))
    assert run.made[30].confidence[8] == 0
    assert np.isfinite(run.made[30].positions).all()
    assert run.found["converted"] == 60


@given(data=st.data())
def test_whatever_comes_a_sound_frame_or_a_refusal_goes_out(data: st.DataObject) -> None:
    run = Run()
    strange = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e-30, 3e38, -3e38, 1e20])
    motion = moving(count=12)
    for _ in range(data.draw(st.integers(1, 60))):
        motion[tuple(data.draw(st.integers(0, size - 1)) for size in motion.shape)] = data.draw(strange)
    confidence = data.draw(hnp.arrays(np.float32, (12, 15), elements=st.sampled_from([0.0, 0.5, 1.0, np.nan, 2.0])))
    with np.errstate(over="ignore", invalid="ignore"):
        given = frames_of(motion)
    for number, item in enumerate(given):
        with suppress(SkeletonError):
            made = run.stream.push(replace(item, confidence=confidence[number]))
            assert np.isfinite(made.positions).all()
            assert ((made.confidence >= 0) & (made.confidence <= 1)).all()
