"""Nodes that go by the clock of the system, which is set back while they work."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterator

import pytest
from emotion_robot import Robot, scene
from rclpy.clock import ClockType
from ros_world import AudioFrame, EmotionState, Tested, Utterance, audio_message, demo_values

from mser_ros.types import NS_PER_S

#: Far more than any test waits.
_BACK_S = 3600
_GetNow = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64))


class _RclClock(ctypes.Structure):
    """The beginning of rcl's own."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("jump_callbacks", ctypes.c_void_p),
        ("jump_callback_count", ctypes.c_size_t),
        ("get_now", ctypes.c_void_p),
    )


@pytest.fixture
def set_back() -> Iterator[Callable[[Tested], None]]:
    """Sets the clock of a node back, as its timers see it, while that of the machine goes on for everybody else."""

    @_GetNow
    def tell(_: object, now: object) -> int:
        now[0] = time.time_ns() - _BACK_S * NS_PER_S
        return 0

    before: list[tuple[_RclClock, int]] = []

    def change(tested: Tested) -> None:
        ours = tested.node.get_clock()
        clock = _RclClock.from_address(ours.handle.pointer)
        assert clock.type == ClockType.ROS_TIME
        before.append((clock, clock.get_now))
        clock.get_now = ctypes.cast(tell, ctypes.c_void_p).value
        assert ours.now().nanoseconds < time.time_ns() - (_BACK_S - 1) * NS_PER_S

    yield change
    for clock, get_now in before:
        clock.get_now = get_now


def test_states_go_on_where_the_clock_is_set_back(world, tiny_bundle, set_back, capfd):
    robot = Robot(world, tiny_bundle, use_sim_time=False, state__decay_s=3600.0, state__least=0.3)
    states = world.listen(EmotionState, "state")
    robot.give(scene(1))
    world.wait(lambda: bool(states), "a state")
    set_back(robot.node)
    count = len(states)
    world.wait(lambda: len(states) > count, "what is no more by the new time", timeout_s=10)
    robot.give(scene(2))
    world.wait(lambda: states[-1].label == "happy", "a state of the new time", timeout_s=10)
    assert capfd.readouterr().err.count("the clock was set back by 3600 s") == 1


def test_an_utterance_whose_audio_stays_away_is_ended_where_the_clock_is_set_back(world, set_back):
    tested = world.node("speech", asr__backend="none", stall_s=3.0)
    utterances = world.listen(Utterance, "utterance")
    publisher = world.publisher(AudioFrame, "audio")
    world.wait_for_outputs(tested, "utterance")
    for chunk in demo_values(until_s=3.2)[0]:
        publisher.publish(audio_message(chunk))
    world.wait(lambda: bool(utterances), "the beginning of an utterance")
    set_back(tested)
    assert all(item.state != Utterance.ENDED for item in utterances)
    world.wait(lambda: any(item.state == Utterance.ENDED for item in utterances), "its end", timeout_s=15)
