"""The skeleton buffer: what arrives in any order is remembered in the order of its stamps, and not for ever."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mocap_poses import pose_of

from mser_ros.errors import SkeletonError
from mser_ros.mocap.buffer import MAX_BODIES, MAX_RATE_HZ, STRAYS_BEFORE_RESET, SkeletonBuffer, check_frame
from mser_ros.settings import BODY_CHOICES, MocapSettings
from mser_ros.types import NS_PER_S, SkeletonFrame, to_ns

SETTINGS = MocapSettings()
T0 = 1_700_000_000 * NS_PER_S
PERIOD_NS = NS_PER_S // 30


def frame(stamp_ns: int = T0, body_id: str = "a", **changes) -> SkeletonFrame:
    values = {
        "positions": np.full((16, 3), (stamp_ns - T0) / NS_PER_S, np.float32),
        "confidence": np.ones(16, np.float32),
        "layout": "egait16",
    }
    return SkeletonFrame(stamp_ns=stamp_ns, body_id=body_id, **{**values, **changes})


def buffer_of(frames, *, history_s: float = 10.0) -> SkeletonBuffer:
    made = SkeletonBuffer(SETTINGS, history_s=history_s)
    for item in frames:
        made.push(item)
    return made


def everything(buffer: SkeletonBuffer):
    return buffer.window(0, 2**62)


@given(order=st.permutations([*range(20), *range(0, 20, 3)]))
def test_the_order_of_arrival_does_not_matter(order: list[int]) -> None:
    shuffled = buffer_of(frame(T0 + number * PERIOD_NS) for number in order)
    window = everything(shuffled)
    np.testing.assert_array_equal(window.stamps_ns, T0 + np.arange(20) * PERIOD_NS)
    np.testing.assert_allclose(window.positions[:, 3, 1], np.arange(20) / 30, atol=1e-6)
    assert shuffled.counters.duplicate == 7
    assert shuffled.counters.frames == 27
    assert shuffled.newest_ns == T0 + 19 * PERIOD_NS


def test_a_window_includes_both_ends_and_nothing_else() -> None:
    buffer = buffer_of(frame(T0 + number * PERIOD_NS) for number in range(20))
    window = buffer.window(T0 + 5 * PERIOD_NS, T0 + 9 * PERIOD_NS)
    np.testing.assert_array_equal(window.stamps_ns, T0 + np.arange(5, 10) * PERIOD_NS)
    assert window.stamps_ns.dtype == np.int64
    assert (window.layout, window.body_id) == ("egait16", "a")
    assert buffer.window(T0 - 2, T0 - 1) is None


def test_the_body_seen_most_is_taken_and_of_equals_the_first_id() -> None:
    frames = [frame(T0 + number * PERIOD_NS, body) for body in "cb" for number in range(4)]
    assert everything(buffer_of(frames)).body_id == "b"
    frames += [frame(T0 + 9 * PERIOD_NS, "c")]
    assert everything(buffer_of(frames)).body_id == "c"
    assert buffer_of(frames).window(T0, T0 + 3 * PERIOD_NS).body_id == "b"


def somebody(number: int, body_id: str, place: tuple[float, float, float], *, tall: float = 1.0) -> SkeletonFrame:
    positions = (pose_of("canonical15") * np.float32(tall) + np.float32(place)).astype(np.float32)
    ones = np.ones(15, np.float32)
    return SkeletonFrame(T0 + number * PERIOD_NS, body_id, "canonical15", positions, ones)


def chosen(choice: str, frames: list[SkeletonFrame]) -> str | None:
    buffer = SkeletonBuffer(SETTINGS, history_s=10.0, choice=choice)
    for item in frames:
        buffer.push(item)
    window = everything(buffer)
    return window.body_id if window else None


def test_of_several_bodies_the_one_is_taken_that_is_asked_for() -> None:
    """Somebody tall far away, a child nearby, and a phantom for a moment right before the camera."""
    frames = [somebody(number, "far", (4, 0, 0), tall=1.2) for number in range(30)]
    frames += [somebody(number, "near", (1.5, 1, 0), tall=0.6) for number in range(2, 30)]
    frames += [somebody(number, "phantom", (0.5, -1, -1)) for number in range(5)]
    assert {choice: chosen(choice, frames) for choice in BODY_CHOICES} == {
        "most": "far",
        "nearest": "near",
        "largest": "near",
        "only": None,
    }
    alone = [item for item in frames if item.body_id != "near"]
    assert {chosen(choice, alone) for choice in BODY_CHOICES} == {"far"}


def test_the_largest_is_who_fills_more_of_the_view_not_who_is_nearer() -> None:
    frames = [somebody(number, "child", (2.0, -1, 0), tall=0.5) for number in range(30)]
    frames += [somebody(number, "adult", (2.2, 1, 0), tall=1.1) for number in range(30)]
    assert chosen("nearest", frames) == "child"
    assert chosen("largest", frames) == "adult"


@pytest.mark.parametrize("choice", ["nearest", "largest"])
def test_in_an_image_the_larger_body_is_the_nearer_one(choice: str) -> None:
    pose, ones = pose_of("coco17"), np.ones(17, np.float32)
    frames = []
    for number in range(30):
        for body_id, size in (("small", 0.5), ("large", 1.0)):
            frames.append(SkeletonFrame(T0 + number * PERIOD_NS, body_id, "coco17", pose * np.float32(size), ones))
    assert chosen(choice, frames) == "large"


def test_whose_body_is_meant_can_be_told() -> None:
    frames = [frame(T0 + number * PERIOD_NS, "a") for number in range(9)]
    frames += [standing(number, "b", 3.0) for number in range(4)]
    buffer, until_ns = buffer_of(frames), T0 + 9 * PERIOD_NS
    assert buffer.window(T0, until_ns, body_id="b").body_id == "b"
    assert buffer.window(T0, until_ns, others={"a"}).body_id == "b"
    assert buffer.window(T0, until_ns, body_id="c") is None
    assert buffer.window(T0, until_ns, others={"a", "b"}) is None


def standing(number: int, body_id: str, x: float = 0.0) -> SkeletonFrame:
    """A body of a metre and a half, `x` metres beside the origin, which sways a little."""
    positions = np.zeros((16, 3), np.float32)
    positions[:, 1] = np.linspace(0, 1.5, 16)
    positions[:, 0] = x + 0.01 * np.sin(number)
    return frame(T0 + number * PERIOD_NS, body_id, positions=positions)


@pytest.mark.parametrize("ids", ["abcdefgh", "abababab", "abcabcab"])
def test_a_body_whose_id_changes_every_few_frames_is_one_body(ids: str) -> None:
    window = everything(buffer_of(standing(number, ids[number // 4]) for number in range(32)))
    np.testing.assert_array_equal(window.stamps_ns, T0 + np.arange(32) * PERIOD_NS)
    assert window.body_id == "a"


@pytest.mark.parametrize("rate_hz", [5, 8, 10, 30])
@pytest.mark.parametrize("late", [0.0, 0.4], ids=["in one moment", "each at its own time"])
def test_who_joins_somebody_is_another_body_however_slow_the_tracker_is(rate_hz: int, late: float) -> None:
    here = [(number / rate_hz, "body_9", 0.0) for number in range(40)]
    joined = [((number + late) / rate_hz, "body_10", 0.6) for number in range(10, 40)]
    buffer = buffer_of(
        replace(standing(0, name, x), stamp_ns=T0 + round(at_s * NS_PER_S)) for at_s, name, x in sorted(here + joined)
    )
    for name, x, count in (("body_9", 0.0, 40), ("body_10", 0.6, 30)):
        window = buffer.window(0, 2**62, body_id=name)
        assert window.body_id == name
        assert len(window.stamps_ns) == count
        np.testing.assert_allclose(window.positions[:, 0, 0], x, atol=0.02)


def test_two_bodies_side_by_side_stay_two() -> None:
    frames = [standing(number, name, x) for number in range(20) for name, x in (("a", 0.0), ("b", 0.6))]
    window = everything(buffer_of([*frames, standing(20, "b", 0.6)]))
    assert window.body_id == "b"
    assert np.ptp(window.positions[:, 0, 0]) < 0.05


@pytest.mark.parametrize(("gap_s", "x", "one"), [(0.3, 0.1, True), (1.0, 0.1, False), (0.3, 2.0, False)])
def test_who_comes_late_or_elsewhere_is_another_body(gap_s: float, x: float, one: bool) -> None:
    frames = [standing(number, "a") for number in range(10)]
    frames += [standing(10 + round(gap_s * 30) + number, "b", x) for number in range(8)]
    window = everything(buffer_of(frames))
    assert (len(window.stamps_ns), window.body_id) == (18 if one else 10, "a")


def test_a_body_that_is_lost_for_long_keeps_its_id() -> None:
    frames = [standing(number, "a") for number in range(10)] + [standing(100 + number, "a", 2.0) for number in range(9)]
    assert len(everything(buffer_of(frames)).stamps_ns) == 19


def test_an_empty_buffer_has_no_window_and_no_newest_stamp() -> None:
    empty = buffer_of([])
    assert everything(empty) is None
    assert empty.newest_ns is None


def test_what_is_older_than_the_history_is_forgotten() -> None:
    buffer = buffer_of((frame(T0 + number * PERIOD_NS) for number in range(300)), history_s=2)
    window = everything(buffer)
    assert window.stamps_ns[0] == T0 + 299 * PERIOD_NS - 60 * PERIOD_NS
    assert len(window.stamps_ns) == 61


def test_a_body_that_left_is_forgotten_when_others_go_on() -> None:
    buffer = buffer_of(
        [frame(T0, "gone"), *(frame(T0 + number * NS_PER_S, "here") for number in range(5))], history_s=2
    )
    assert everything(buffer).body_id == "here"
    assert buffer.window(T0, T0) is None


def test_a_flood_of_frames_or_bodies_stays_within_bounds() -> None:
    flood = buffer_of((frame(T0 + number * 1000) for number in range(2 * MAX_RATE_HZ + 50)), history_s=1)
    assert len(everything(flood).stamps_ns) <= MAX_RATE_HZ + 1
    assert flood.counters.evicted >= MAX_RATE_HZ
    assert everything(flood).stamps_ns[-1] == T0 + (2 * MAX_RATE_HZ + 49) * 1000
    crowd = buffer_of(frame(T0 + number, f"body{number:03d}") for number in range(MAX_BODIES + 10))
    assert crowd.window(T0, T0 + 9) is None
    assert crowd.window(T0 + 10, T0 + 10) is not None
    assert crowd.counters.evicted == 10


def test_one_stray_stamp_from_long_ago_loses_nothing() -> None:
    frames = [frame(T0 + number * PERIOD_NS) for number in range(10)]
    buffer = buffer_of([*frames, frame(T0 - 60 * NS_PER_S), frame(T0 + 10 * PERIOD_NS)])
    assert len(everything(buffer).stamps_ns) == 11
    assert buffer.counters.late == 1
    assert buffer.counters.resets == 0


def test_a_clock_that_was_set_back_begins_a_new_history() -> None:
    """A bag that is played in a loop, with stamps of its own time."""
    first = [frame(T0 + number * PERIOD_NS) for number in range(900)]
    buffer = buffer_of([*first, *first[:20]])
    assert buffer.counters.resets == 1
    assert buffer.counters.late == 0
    assert buffer.newest_ns == first[19].stamp_ns
    assert len(everything(buffer).stamps_ns) == 20
    assert STRAYS_BEFORE_RESET < 20


@pytest.mark.parametrize("shift_ns", [0, NS_PER_S // 100], ids=["the same stamps", "other stamps"])
def test_a_clock_that_was_set_back_by_less_than_the_history_leaves_nothing_of_the_run_before(shift_ns: int) -> None:
    """A simulation that is reset, a clock that is corrected."""
    before = [standing(number, "a") for number in range(600)]
    after = [standing(number, "a", 3.0) for number in range(300, 390)]
    buffer = buffer_of([*before, *(replace(one, stamp_ns=one.stamp_ns + shift_ns) for one in after)], history_s=75.0)
    window = buffer.window(T0 + 305 * PERIOD_NS, 2**62)
    assert len(window.stamps_ns) in (84, 85)
    assert (window.positions[:, 0, 0] > 2).all()
    assert buffer.newest_ns == after[-1].stamp_ns + shift_ns
    assert buffer.newest("a").positions[0, 0] > 2
    assert len(everything(buffer).stamps_ns) == 390 + bool(shift_ns), (
        "what was before the time to which it was set back stays"
    )
    assert buffer.counters.resets == 1


def test_a_body_that_is_told_late_beside_another_is_no_clock_that_was_set_back() -> None:
    """Of two cameras one takes two seconds."""
    frames = [one for number in range(60, 300) for one in (standing(number, "a"), standing(number - 60, "b", 3.0))]
    buffer = buffer_of(frames, history_s=75.0)
    assert buffer.counters.resets == 0
    assert len(buffer.window(0, 2**62, body_id="a").stamps_ns) == 240
    assert len(buffer.window(0, 2**62, body_id="b").stamps_ns) == 240


@pytest.mark.parametrize("rates_hz", [(15, 15), (10, 30)], ids=["alike", "more often"])
@pytest.mark.parametrize("is_first", [True, False], ids=["from the start", "later"])
@pytest.mark.parametrize("ahead_s", [-3600, -100, -76, -20, 20, 76, 100, 3600])
def test_the_clock_of_another_source_takes_nothing_from_a_body(
    ahead_s: int, is_first: bool, rates_hz: tuple[int, int]
) -> None:
    here, there = ([number / rate_hz for number in range(rate_hz * 8)] for rate_hz in rates_hz)
    frames = [(at_s, frame(T0 + to_ns(at_s + 4000), "a")) for at_s in here]
    frames += [(at_s + 0.003, frame(T0 + to_ns(at_s + 4000 + ahead_s), "b")) for at_s in there if is_first or at_s > 4]
    if is_first:
        frames.insert(0, (-0.001, frame(T0 + to_ns(4000 + ahead_s), "b")))
    buffer = buffer_of((item for _, item in sorted(frames, key=lambda pair: pair[0])), history_s=75.0)
    for name, offset_s, count in (("a", 0, len(here)), ("b", ahead_s, len(there) if is_first else len(there) // 2 - 1)):
        window = buffer.window(T0 + to_ns(3999 + offset_s), T0 + to_ns(4009 + offset_s), body_id=name)
        assert len(window.stamps_ns) == count, name
    assert buffer.counters.resets == 0


def test_late_frames_of_one_body_and_another_between_those_of_a_body_reset_nothing() -> None:
    frames = []
    for number in range(STRAYS_BEFORE_RESET + 2):
        frames += [frame(T0 + to_ns(100 + 1200 * number) + at * PERIOD_NS) for at in range(60)]
        frames += [frame(T0 + to_ns(20 + 1200 * number), f"x{number}")]
    buffer = buffer_of(frames, history_s=75.0)
    assert buffer.window(frames[-2].stamp_ns - 59 * PERIOD_NS, frames[-2].stamp_ns).stamps_ns.size == 60
    assert (buffer.counters.resets, buffer.newest_ns) == (0, frames[-2].stamp_ns)


@pytest.mark.parametrize("who", [("a", "b"), ("b",), ("c",)], ids=["both", "one of them", "somebody else"])
def test_the_clock_of_several_bodies_may_be_set_back(who: tuple[str, ...]) -> None:
    first = [frame(T0 + number * PERIOD_NS, name) for number in range(900) for name in "ab"]
    again = [frame(T0 + number * PERIOD_NS, name) for number in range(60) for name in who]
    buffer = buffer_of([*first, *again])
    assert (buffer.counters.resets, buffer.counters.late) == (1, 0)
    assert buffer.newest_ns == again[-1].stamp_ns
    assert buffer.bodies == set(who)
    assert len(buffer.window(0, 2**62, body_id=who[0]).stamps_ns) == 60


def test_one_late_frame_of_long_ago_has_no_part_in_a_clock_that_is_set_back() -> None:
    first = [frame(T0 + number * PERIOD_NS) for number in range(600)]
    again = [frame(T0 + number * PERIOD_NS) for number in range(450, 510)]
    buffer = buffer_of([*first[:1], frame(T0 - 80 * NS_PER_S, "x"), *first[1:], *again], history_s=75.0)
    assert len(everything(buffer).stamps_ns) == 510
    assert (buffer.counters.resets, buffer.bodies) == (1, {"a"})


def test_the_clock_of_one_body_may_be_set_back_while_others_go_on() -> None:
    first = [frame(T0 + number * PERIOD_NS, name) for number in range(900) for name in "ab"]
    rest = [(frame(T0 + (900 + number) * PERIOD_NS, "a"), frame(T0 + number * PERIOD_NS, "b")) for number in range(60)]
    buffer = buffer_of([*first, *(item for pair in rest for item in pair)])
    assert (buffer.counters.resets, buffer.counters.late) == (0, 0)
    assert len(buffer.window(0, 2**62, body_id="a").stamps_ns) == 301
    assert len(buffer.window(0, 2**62, body_id="b").stamps_ns) == 60


def test_a_stamp_of_somebody_from_the_far_future_is_the_newest_until_they_are_forgotten() -> None:
    frames = [frame(T0 + number * PERIOD_NS) for number in range(90)]
    buffer = buffer_of([frames[0], frame(T0 + 10**6 * NS_PER_S, "x"), *frames[1:]], history_s=2.0)
    assert len(everything(buffer).stamps_ns) == 61
    assert (buffer.newest_ns, buffer.bodies) == (frames[-1].stamp_ns, {"a"})


def test_one_stamp_from_the_far_future_is_recovered_from() -> None:
    frames = [frame(T0 + number * PERIOD_NS) for number in range(10)]
    buffer = buffer_of([frame(T0 + 10**6 * NS_PER_S), *frames])
    assert everything(buffer).stamps_ns[-1] == frames[-1].stamp_ns
    assert len(everything(buffer).stamps_ns) == 10


def test_a_frame_without_any_joint_moves_the_clock_and_nothing_else() -> None:
    buffer = buffer_of([frame(T0), frame(T0 + PERIOD_NS, "ghost", confidence=np.zeros(16, np.float32))])
    assert buffer.counters.unseen == 1
    assert buffer.newest_ns == T0 + PERIOD_NS
    assert everything(buffer).body_id == "a"
    assert len(everything(buffer).stamps_ns) == 1


def test_one_body_in_two_layouts_is_never_mixed() -> None:
    other = {"positions": np.ones((15, 3), np.float32), "confidence": np.ones(15, np.float32), "layout": "canonical15"}
    buffer = buffer_of([frame(T0), frame(T0 + 1), frame(T0 + 2, **other)])
    assert everything(buffer).layout == "egait16"
    assert buffer.window(T0 + 2, T0 + 2).layout == "canonical15"


@given(
    strange=st.lists(st.tuples(st.integers(0, 15), st.integers(0, 2), st.sampled_from([np.nan, np.inf, -np.inf]))),
    faint=st.lists(st.integers(0, 15)),
)
def test_a_checked_frame_holds_only_numbers_and_says_which_joints_it_saw(strange, faint) -> None:
    raw = frame()
    for joint, axis, value in strange:
        raw.positions[joint, axis] = value
    raw.confidence[faint] = SETTINGS.min_confidence / 2
    checked = check_frame(raw, SETTINGS)
    lost = {joint for joint, _, _ in strange} | set(faint)
    assert np.isfinite(checked.positions).all()
    assert set(np.flatnonzero(checked.confidence == 0)) == lost


def test_an_undefined_confidence_counts_as_not_seen() -> None:
    raw = frame()
    raw.confidence[5] = np.nan
    assert check_frame(raw, SETTINGS).confidence[5] == 0


def test_joints_of_confidence_zero_stay_unseen_even_if_any_confidence_will_do() -> None:
    raw = frame(confidence=np.zeros(16, np.float32))
    assert not check_frame(raw, MocapSettings(min_confidence=0.0)).confidence.any()


def test_a_skeleton_that_names_no_layout_takes_that_of_the_settings() -> None:
    assert check_frame(frame(layout=""), MocapSettings(layout="egait16")).layout == "egait16"


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"layout": "kinect"}, "unknown joint layout 'kinect': use one of"),
        ({"layout": ""}, "names no joint layout: use one of"),
        ({"positions": np.zeros((15, 3))}, "needs 16 joints x 3 dimensions, but the skeleton has 15 x 3"),
        ({"positions": np.zeros((16, 2))}, "needs 16 joints x 3 dimensions, but the skeleton has 16 x 2"),
        ({"positions": np.zeros(48)}, "needs 16 joints x 3 dimensions"),
        ({"positions": np.zeros((1, 16, 3))}, "needs 16 joints x 3 dimensions"),
        ({"confidence": np.ones(15)}, "a confidence for each of its 16 joints, not 15"),
        ({"confidence": np.full(16, 100.0)}, "must lie in 0 to 1, not 100 to 100: divide"),
        ({"confidence": np.full(16, -0.5)}, "must lie in 0 to 1"),
        ({"stamp_ns": -1}, "must fill header.stamp"),
    ],
)
def test_a_malformed_skeleton_is_refused_with_its_cure_and_changes_nothing(changes, cure: str) -> None:
    buffer = buffer_of([frame(T0)])
    before = replace(buffer.counters)
    with pytest.raises(SkeletonError, match=cure):
        buffer.push(replace(frame(T0 + PERIOD_NS), **changes))
    assert buffer.counters == before
    assert buffer.newest_ns == T0
    assert len(everything(buffer).stamps_ns) == 1
