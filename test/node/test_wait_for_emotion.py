"""The action `wait_for_emotion`: reached, timed out, cancelled, preempted; in one process and between several."""

from __future__ import annotations

import gc
import signal

import pytest
from action_msgs.msg import GoalStatus
from emotion_robot import Robot, scene
from node_processes import assert_ended_cleanly, node_command, running
from ros_world import (
    PATIENCE_S,
    T0,
    AudioFrame,
    Emotion,
    EmotionState,
    Trigger,
    Utterance,
    WaitForEmotion,
    audio_message,
    utterance_message,
)

from mser_ros.nodes.wait_for_emotion import _MOST
from mser_ros.types import to_ns

#: A state that is let go slowly, so that what is said holds as long as a test needs it.
SLOW = {"state__decay_s": 3600.0, "state__least": 0.3}
Result = WaitForEmotion.Result


@pytest.fixture
def robot(world, tiny_bundle):
    return Robot(world, tiny_bundle, use_sim_time=False, **SLOW)


def test_a_planner_waits_until_somebody_is_happy_for_long_enough(robot):
    states = robot.world.listen(EmotionState, "state")
    client = robot.world.waiting()
    handle = client.send("happy", "angry", confidence=0.3, duration_s=0.4)
    assert handle.accepted
    robot.world.wait(lambda: len(client.feedback) > 1, "feedback before anything was said")
    assert (client.feedback[0].person_id, client.feedback[0].label, client.feedback[0].held_s) == ("", "", 0)
    robot.give(scene(1))
    status, result = client.result(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_SUCCEEDED, Result.REACHED)
    assert (result.person_id, result.label) == ("ann", "happy")
    assert result.confidence >= 0.3
    robot.world.wait(lambda: bool(states), "a state")
    assert result.confidence == pytest.approx(states[0].confidence, abs=0.02), "judged by what the topic tells"
    held = [item for item in client.feedback if item.held_s > 0]
    assert held
    assert all(item.person_id == "ann" and item.held_s < 0.5 for item in held)
    assert robot.node.node._waits.waiting == 0
    assert not robot.node.node.is_answering


def test_many_wait_at_once_and_the_node_goes_on_with_its_work(robot):
    client = robot.world.waiting()
    never = [client.send("angry", person_id=f"p{number}") for number in range(_MOST - 1)]
    happy = client.send("happy", confidence=0.3)
    assert all(handle.accepted for handle in [*never, happy])
    assert not client.send("sad").accepted
    robot.node.wait_for_problem(f"{_MOST} goals of wait_for_emotion wait already", "cancel")
    robot.give(scene(1))
    assert client.result(happy)[1].outcome == Result.REACHED
    assert robot.world.call(Trigger, "/emotion/forget_voices", Trigger.Request()).success
    robot.node.wait_for(**{"goals waiting": _MOST - 1})
    assert robot.last(scene(1).name).state == Emotion.FINAL
    assert all(client.cancel(handle) for handle in never)
    assert {client.result(handle)[1].outcome for handle in never} == {Result.CANCELLED}


@pytest.mark.parametrize("outcome", [Result.REACHED, Result.PREEMPTED])
def test_as_many_as_may_wait_are_answered_when_all_end_together(robot, outcome):
    """Each client's queue takes in the answers to all of them, and keeps ten."""
    clients = [robot.world.waiting() for _ in range(3)]
    handles = [clients[number % 3].send("happy", confidence=0.3) for number in range(_MOST)]
    assert all(handle.accepted for handle in handles)
    futures = [handle.get_result_async() for handle in handles]
    robot.node.wait_for(**{"goals waiting": _MOST})
    if outcome == Result.REACHED:
        robot.give(scene(1))
    else:
        assert robot.node.deactivate()
    robot.node.wait_for(**{"goals waiting": 0})
    robot.world.wait(lambda: all(future.done() for future in futures), "every result", timeout_s=20)
    assert {future.result().result.outcome for future in futures} == {outcome}


def test_the_time_out_is_by_the_simulation_clock(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, **SLOW)
    world.set_clock(T0, robot.node)
    client = world.waiting()
    handle = client.send("sad", timeout_s=600.0)
    robot.world.wait(lambda: len(client.feedback) > 3, "feedback while the clock stands still")
    assert client.feedback[-1].waited_s == 0
    world.set_clock(T0 + to_ns(599), robot.node)
    robot.world.wait(lambda: client.feedback[-1].waited_s == 599, "feedback after that")
    world.set_clock(T0 + to_ns(600), robot.node)
    status, result = client.result(handle)
    assert (status, result.outcome, result.label) == (GoalStatus.STATUS_ABORTED, Result.TIMED_OUT, "")


def test_a_client_cancels_even_while_the_simulation_is_paused(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, **SLOW)
    client = world.waiting()
    robot.give(scene(1))
    handle = client.send("sad", timeout_s=5.0)
    world.wait(lambda: bool(client.feedback), "feedback")
    assert client.cancel(handle)
    status, result = client.result(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_CANCELED, Result.CANCELLED)
    assert not client.cancel(handle), "it is over"


def test_a_node_that_is_deactivated_preempts_and_refuses_until_it_is_active(robot):
    client = robot.world.waiting()
    handle = client.send("sad")
    assert robot.node.deactivate()
    status, result = client.result(handle)
    assert (status, result.outcome) == (GoalStatus.STATUS_ABORTED, Result.PREEMPTED)
    assert not client.send("sad").accepted
    robot.node.wait_for_problem("wait_for_emotion came while the node is not active", "activate it first")
    assert robot.node.activate()
    robot.world.wait_for_outputs(robot.node, "emotion")
    again = client.send("happy")
    assert again.accepted
    robot.give(scene(2))
    assert client.result(again)[1].outcome == Result.REACHED


def test_goals_of_planners_that_have_gone_do_not_wait_for_ever_and_those_of_others_do(robot):
    for _ in range(2):
        gone = robot.world.waiting()
        assert all(gone.send("angry").accepted for _ in range(3))
        robot.world.wait(lambda gone=gone: bool(gone.feedback), "feedback")
        gone.close()
        robot.node.wait_for(**{"goals waiting": 0})
    gone, stays = robot.world.waiting(), robot.world.waiting()
    assert gone.send("angry").accepted
    handle = stays.send("happy")
    assert handle.accepted
    gone.close()
    robot.give(scene(1))
    assert stays.result(handle)[1].outcome == Result.REACHED
    stays.close()
    robot.node.wait_for(**{"goals waiting": 0})
    assert robot.node.value("bugs") == "0"


def test_a_new_goal_of_a_client_leaves_its_older_one_alone_and_may_take_its_place(robot):
    client = robot.world.waiting()
    older, newer = client.send("angry"), client.send("happy")
    assert client.cancel(older)
    assert client.result(older)[1].outcome == Result.CANCELLED
    robot.give(scene(1))
    assert client.result(newer)[1].outcome == Result.REACHED


def test_a_goal_that_is_open_when_nobody_spins_the_node_any_more_leaves_nothing_behind(world, tiny_bundle, recwarn):
    """As where a program of others, which has nodes of this package in it, ends its executor first."""
    world.node("emotion", bundle=str(tiny_bundle))
    assert world.waiting().send("sad").accepted
    tested = world.tested.pop()
    node, spinner = tested.node, tested.spinner
    assert node._waits.waiting == 1
    spinner.close()
    node.close()
    assert node._waits.waiting == 0
    assert not node.is_answering, "no result that nobody will send"
    node.destroy_node()
    del node, spinner, tested
    gc.collect()
    assert not [str(item.message) for item in recwarn if "never awaited" in str(item.message)]


@pytest.mark.parametrize(
    ("labels", "fields", "parts"),
    [
        ((), {}, ("no label", "give some of angry, happy, sad, neutral")),
        (("glad",), {}, ("the label 'glad'",)),
        (("sad",), {"confidence": 2.0}, ("confidence 2", "0 to 1")),
        (("sad",), {"duration_s": float("nan")}, ("duration_s nan",)),
        (("sad",), {"duration_s": 5.0, "timeout_s": 1.0}, ("within 1 s",)),
        (("sad",), {"person_id": "x" * 1000}, ("person_id has 1000 characters", "at most 256")),
    ],
)
def test_a_goal_that_cannot_be_is_refused_in_one_sentence(robot, labels, fields, parts):
    client = robot.world.waiting()
    assert not client.send(*labels, **fields).accepted
    robot.node.wait_for_problem(*parts)
    assert robot.node.value("rejected") == "1"
    assert robot.node.state == "active"


def test_a_bag_that_begins_again_begins_the_wait_anew(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, **SLOW)
    world.set_clock(T0 + to_ns(1000), robot.node)
    client = world.waiting()
    handle = client.send("sad", timeout_s=60.0)
    world.set_clock(T0 + to_ns(1050), robot.node)
    world.wait(lambda: bool(client.feedback) and client.feedback[-1].waited_s == 50, "fifty seconds")
    world.set_clock(T0, robot.node)
    world.wait(lambda: client.feedback[-1].waited_s == 0, "a new beginning")
    world.set_clock(T0 + to_ns(60), robot.node)
    assert client.result(handle)[1].outcome == Result.TIMED_OUT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_between_processes_a_wait_is_reached_and_one_that_is_open_at_the_end_is_preempted(
    world, tiny_bundle, tmp_path, number
):
    given = ["-p", f"bundle:={tiny_bundle}", "-p", "state.least:=0.3", "-p", "evidence_timeout_s:=0.0"]
    with running(tmp_path, emotion=node_command("emotion", *given)) as processes:
        emotions = world.listen(Emotion, "emotion")
        world.wait(lambda: world.diagnostics.get("/emotion", {}).get("subscribers emotion") == "1", "the node")
        ear, words = world.publisher(AudioFrame, "voice"), world.publisher(Utterance, "utterance")
        client = world.waiting()
        reached, never = client.send("happy", confidence=0.3), client.send("angry", confidence=0.99)
        assert (reached.accepted, never.accepted) == (True, True)
        item = scene(1)
        for chunk in item.voice:
            ear.publish(audio_message(chunk))
        for event in item.events:
            words.publish(utterance_message(event))
        assert client.result(reached)[1].outcome == Result.REACHED
        assert emotions[-1].label == "happy"
        future = never.get_result_async()
        count = len(client.feedback)
        world.wait(lambda: len(client.feedback) > count, "feedback of the other one")
        processes["emotion"].send_signal(number)
        world.wait(future.done, "the result of the other one", timeout_s=PATIENCE_S)
        assert future.result().result.outcome == Result.PREEMPTED
        assert future.result().result.label == "happy", "what was known at last"
        assert_ended_cleanly(processes["emotion"], tmp_path / "emotion")
