"""The mocap node alone, fed by hand: good skeletons, malformed ones between, and what comes of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ros_world import Skeleton, demo_values, skeleton_message

from mser_ros.messages import conversions
from mser_ros.mocap.buffer import check_frame
from mser_ros.nodes.load import bodies_load
from mser_ros.settings import MocapSettings
from mser_ros.types import SkeletonFrame


@pytest.fixture(scope="session")
def frames() -> list[SkeletonFrame]:
    return demo_values(until_s=1)[1]


class Eye:
    """The node under test with what surrounds it."""

    def __init__(self, world, **parameters):
        self.world = world
        self._seen: list[Skeleton] = world.listen(Skeleton, "skeleton")
        self.node = world.node("mocap", **parameters)
        world.wait_for_outputs(self.node, "skeleton")
        self._skeleton = world.publisher(Skeleton, "skeleton_in")

    def give(self, *items: SkeletonFrame | Skeleton) -> None:
        for item in items:
            self._skeleton.publish(skeleton_message(item) if isinstance(item, SkeletonFrame) else item)

    def seen(self, count: int) -> list[SkeletonFrame]:
        """The first `count` skeletons that the node has published."""
        self.world.wait(lambda: len(self._seen) >= count, f"{count} skeletons")
        return [conversions.skeleton_from_msg(message) for message in self._seen[:count]]


def assert_same(got: SkeletonFrame, expected: SkeletonFrame) -> None:
    assert (got.stamp_ns, got.body_id, got.layout, got.frame_id) == (
        expected.stamp_ns,
        expected.body_id,
        expected.layout,
        expected.frame_id,
    )
    np.testing.assert_array_equal(got.positions, expected.positions)
    np.testing.assert_array_equal(got.confidence, expected.confidence)


def test_skeletons_pass_with_their_stamps_as_the_core_checks_them(world, frames):
    eye = Eye(world)
    eye.give(*frames)
    for got, given in zip(eye.seen(len(frames)), frames, strict=True):
        assert_same(got, check_frame(given, MocapSettings()))


def test_joints_that_were_not_seen_have_confidence_0(world, frames):
    positions, confidence = np.ones_like(frames[0].positions), np.ones_like(frames[0].confidence)
    positions[2, 1], positions[3] = np.nan, np.inf
    confidence[4], confidence[5], confidence[6] = 0, 0.05, np.nan
    eye = Eye(world)
    eye.give(replace(frames[0], positions=positions, confidence=confidence))
    (got,) = eye.seen(1)
    assert [n for n, value in enumerate(got.confidence) if value == 0] == [2, 3, 4, 5, 6]
    assert np.isfinite(got.positions).all()


def test_the_least_confidence_is_a_parameter(world, frames):
    half = replace(frames[0], confidence=np.full_like(frames[0].confidence, 0.5))
    eye = Eye(world, min_confidence=0.6)
    eye.give(half, frames[1])
    blind, _ = eye.seen(2)
    assert not blind.confidence.any()


def test_a_skeleton_without_a_layout_gets_that_of_the_parameter(world, frames):
    eye = Eye(world, layout="egait16")
    eye.give(replace(frames[0], layout=""))
    assert eye.seen(1)[0].layout == "egait16"


def test_a_layout_that_does_not_exist_is_refused_at_once(world):
    tested = world.node("mocap", layout="octopus")
    tested.wait_for_problem("octopus")
    assert tested.state == "unconfigured"
    assert tested.set("layout", "egait16") == ""
    assert tested.configure()


def test_missing_confidences_mean_that_all_was_seen(world, frames):
    message = skeleton_message(replace(frames[0], positions=np.ones_like(frames[0].positions)))
    message.confidence = []
    eye = Eye(world)
    eye.give(message)
    np.testing.assert_array_equal(eye.seen(1)[0].confidence, 1)


def no_dimensions(frame: SkeletonFrame) -> Skeleton:
    message = skeleton_message(frame)
    message.dimensions = 0
    return message


def four_dimensions(frame: SkeletonFrame) -> Skeleton:
    message = skeleton_message(frame)
    message.dimensions = 4
    return message


def wrong_dimensions(frame: SkeletonFrame) -> Skeleton:
    message = skeleton_message(frame)
    message.dimensions = 2
    return message


def flat(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, positions=frame.positions[:, :2]))


def odd_numbers(frame: SkeletonFrame) -> Skeleton:
    message = skeleton_message(frame)
    message.positions = message.positions[:-1]
    return message


def no_positions(frame: SkeletonFrame) -> Skeleton:
    message = skeleton_message(frame)
    message.positions = []
    return message


def few_joints(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, positions=frame.positions[:9], confidence=frame.confidence[:9]))


def few_confidences(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, confidence=frame.confidence[:9]))


def strange_layout(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, layout="octopus"))


def path_as_layout(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, layout="../emotion"))


def no_layout(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, layout=""))


def great_confidence(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, confidence=frame.confidence + 100))


def negative_stamp(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, stamp_ns=-5_000_000_000))


def no_stamp(frame: SkeletonFrame) -> Skeleton:
    return skeleton_message(replace(frame, stamp_ns=0))


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (no_dimensions, ("0 dimensions", "2 or 3")),
        (four_dimensions, ("4 dimensions", "2 or 3")),
        (wrong_dimensions, ("24 joints and 16 confidences",)),
        (flat, ("needs 16 joints x 3 dimensions", "has 16 x 2")),
        (odd_numbers, ("47 numbers", "3 for each joint")),
        (no_positions, ("0 numbers",)),
        (few_joints, ("needs 16 joints", "has 9 x 3")),
        (few_confidences, ("16 joints and 9 confidences", "one per joint")),
        (strange_layout, ("octopus",)),
        (path_as_layout, ("../emotion",)),
        (no_layout, ("layout",)),
        (great_confidence, ("must lie in 0 to 1",)),
        (negative_stamp, ("header.stamp",)),
        (no_stamp, ("header.stamp",)),
    ],
)
def test_a_malformed_skeleton_is_one_sentence_and_the_next_ones_pass(world, frames, make, parts):
    eye = Eye(world)
    eye.give(frames[0], make(frames[1]), *frames[2:])
    for got, given in zip(eye.seen(len(frames) - 1), [frames[0], *frames[2:]], strict=True):
        assert_same(got, check_frame(given, MocapSettings()))
    eye.node.wait_for_problem(*parts)
    assert eye.node.value("rejected") == "1"
    assert eye.node.state == "active"


def test_what_ten_people_in_view_cost_can_be_measured():
    assert 0 < bodies_load(0.5) < 100


def test_many_malformed_skeletons_are_counted_and_logged_once(world, frames, capfd, monkeypatch):
    monkeypatch.setattr("mser_ros.nodes.diagnostics.THROTTLE_S", 3600.0)
    eye = Eye(world)
    eye.give(*[strange_layout(frame) for frame in frames], *[few_joints(frame) for frame in frames])
    eye.node.wait_for(rejected=2 * len(frames))
    logged = capfd.readouterr().err
    assert logged.count("octopus") == 1
    assert logged.count("has 9 x 3") == 1
