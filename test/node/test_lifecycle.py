"""The life cycle of every node, its parameters and its diagnostics, through ROS services."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from emotion_robot import Robot, scene
from ros_world import (
    PATIENCE_S,
    AudioFrame,
    Bool,
    Emotion,
    ReliabilityPolicy,
    SetBool,
    Skeleton,
    String,
    Tested,
    TransitionEvent,
    Utterance,
    audio_message,
    demo_values,
    skeleton_message,
    utterance_message,
)

from mser_ros import settings, worker
from mser_ros.errors import SettingsError
from mser_ros.messages.conversions import audio_from_msg
from mser_ros.recognition.bundle import write_manifest
from mser_ros.resources import config_file
from mser_ros.settings import MocapSettings
from mser_ros.settings.schema import flatten
from mser_ros.stages.identities import Kind
from mser_ros.types import UtteranceState

NODES = ["speech", "mocap", "emotion"]


@pytest.fixture
def own(tiny_bundle):
    """What each node needs to be quick."""
    return {"speech": {"asr__backend": "none"}, "mocap": {}, "emotion": {"bundle": str(tiny_bundle)}}


@pytest.mark.parametrize("name", NODES)
def test_a_node_goes_round_its_life_cycle_twice(world, own, name):
    tested = world.node(name, autostart=False, **own[name])
    assert tested.state == "unconfigured"
    for _ in range(2):
        assert tested.configure()
        assert tested.state == "inactive"
        assert tested.activate()
        assert tested.state == "active"
        assert tested.deactivate()
        assert tested.state == "inactive"
        assert tested.cleanup()
        assert tested.state == "unconfigured"


@pytest.mark.parametrize("name", NODES)
def test_a_node_starts_by_itself_and_may_be_shut_down(world, own, name):
    tested = world.node(name, **own[name])
    assert tested.state == "active"
    assert tested.shutdown()
    assert tested.state == "finalized"
    world.wait(lambda: tested.value("state") == "finalized", "what the diagnostics tell")
    tested.wait_for_problem("was shut down", "start it again")
    assert (tested.value("level"), tested.value("message")) == ("1", tested.problem)


@pytest.mark.parametrize("name", NODES)
def test_a_node_that_goes_round_and_round_leaves_no_thread_and_no_file_open(world, own, name):
    tested, process = world.node(name, **own[name]), psutil.Process()
    held = []
    for _ in range(6):
        assert tested.deactivate()
        assert tested.cleanup()
        assert tested.configure()
        assert tested.activate()
        tested.wait_to_receive()
        held.append((process.num_threads(), process.num_fds()))
    threads, files = zip(*held, strict=True)  # that what others left is closed meanwhile does no harm
    assert threads[-1] <= threads[2], held
    assert files[-1] <= files[2], held


def test_a_transition_that_is_not_possible_now_is_refused_and_the_node_lives(world):
    tested = world.node("mocap")
    assert not tested.configure()
    assert tested.state == "active"


def test_a_wrong_bundle_is_one_sentence_and_the_right_one_can_be_given(world, tiny_bundle, tmp_path):
    tested = world.node("emotion", bundle=str(tmp_path / "nothing"))
    assert tested.state == "unconfigured"
    tested.wait_for_problem("there is no bundle folder", "name a folder that 'mser export' wrote")
    assert tested.value("message") == tested.problem
    assert tested.value("level") == "1"

    changed = tmp_path / "changed"
    shutil.copytree(tiny_bundle, changed)
    with (changed / "speech.onnx").open("r+b") as stream:
        stream.seek(40)
        byte = stream.read(1)
        stream.seek(40)
        stream.write(bytes([byte[0] ^ 1]))
    assert tested.set("bundle", str(changed)) == ""
    assert not tested.configure()
    tested.wait_for_problem("speech.onnx", "was changed after export")

    (changed / "speech.onnx").write_bytes(b"short")
    assert not tested.configure()
    tested.wait_for_problem("speech.onnx", "truncated")

    assert tested.set("bundle", str(tiny_bundle)) == ""
    assert tested.configure()
    assert tested.activate()
    world.wait(lambda: tested.value("level") == "0" and not tested.problem, "diagnostics without a problem")


def test_a_bundle_that_cannot_be_run_is_one_sentence(world, tiny_bundle, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bundle, broken)
    manifest = json.loads((broken / "manifest.json").read_text())
    (broken / "mocap.onnx").write_bytes(b"this is no graph")
    write_manifest(broken, {key: value for key, value in manifest.items() if key not in ("files", "format")})
    tested = world.node("emotion", bundle=str(broken))
    assert tested.state == "unconfigured"
    tested.wait_for_problem("mocap.onnx")


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"stal_s": 1.0}, ("unknown setting 'stal_s'", "did you mean 'stall_s'")),
        ({"stall_s": "long"}, ("stall_s must be a number", "'long'")),
        ({"stall_s": 99.0}, ("stall_s must lie in 0.2 to 30 s", "99")),
        ({"stall_s": [1.0, 2.0]}, ("stall_s must be a number",)),
        ({"voice_id": 7}, ("voice_id must be a text", "7")),
        ({"asr__backend": "siri"}, ("asr.backend must be one of auto, whisper, vosk, pocketsphinx, none", "'siri'")),
        ({"asr__backend": "vosk"}, ("asr.backend 'vosk' needs asr.model_path",)),
        ({"asr__backend": "vosk", "asr__model_path": "/nowhere"}, ("/nowhere",)),
        ({"segmenter__end_threshold": 0.9}, ("segmenter.end_threshold must not lie above",)),
        ({"autostart": "yes"}, ("autostart must be true or false", "'yes'")),
    ],
)
def test_a_parameter_that_cannot_be_is_one_sentence_and_the_node_lives(world, given, parts):
    tested = world.node("speech", **({"asr__backend": "none"} | given))
    tested.wait_for_problem(*parts)
    assert tested.state == "unconfigured"


def test_a_number_out_of_range_or_of_the_wrong_type_can_be_corrected_without_a_restart(world):
    tested = world.node("speech", asr__backend="none", stall_s="long", segmenter__hangover_s=77.0)
    tested.wait_for_problem("must")
    assert tested.set("stall_s", 2.0) == ""
    assert tested.set("segmenter.hangover_s", 0.4) == ""
    assert tested.configure()
    assert tested.node.settings.stall_s == 2.0
    assert tested.node.settings.segmenter.hangover_s == 0.4


def test_a_whole_number_will_do_where_a_number_is_meant(world):
    tested = world.node("speech", asr__backend="none", stall_s=2)
    assert tested.state == "active"
    assert tested.node.settings.stall_s == 2.0
    assert isinstance(tested.node.settings.stall_s, float)


def test_parameters_are_refused_with_the_reason_while_they_are_in_use(world):
    tested = world.node("speech", asr__backend="none")
    assert "call deactivate and cleanup first" in tested.set("stall_s", 2.0)
    assert "must be a number" in tested.set("stall_s", "long")
    assert "range" in tested.set("stall_s", 99.0)
    assert "undeclared" in tested.set("no_such", 1.0)
    assert tested.node.settings.stall_s == 1.0
    assert tested.deactivate()
    assert tested.cleanup()
    assert tested.set("stall_s", 2) == ""
    assert tested.configure()
    assert tested.node.settings.stall_s == 2.0


def test_live_parameters_are_those_of_the_page_and_no_node_but_one_has_any():
    page = (Path(__file__).parents[2] / "docs" / "robot.md").read_text(encoding="utf-8")
    stated = re.findall("`(.*?)`", page.split("<!-- live -->")[1].split("<!-- /live -->")[0])
    assert stated == [item.name for item in flatten(settings.EmotionSettings) if item.live]
    others = [kind for name, kind in settings.NODES.items() if name != "emotion"]
    assert others
    assert not any(item.live for kind in others for item in flatten(kind))


def test_live_parameters_change_what_an_active_node_does_and_the_others_are_refused(world, tiny_bundle):
    robot = Robot(world, tiny_bundle, provisional_start_s=0.0)
    first, second, third = scene(1), scene(2), scene(3)
    robot.give(first)
    assert robot.last(first.name).transcript
    robot.world.wait(lambda: robot.node.value("transcripts") == "True", "what the diagnostics tell")
    assert robot.node.set("transcripts", False) == ""
    assert robot.node.set("provisional_start_s", 0.5) == ""
    assert robot.node.set("person_id", "ann") == ""
    assert "range" in robot.node.set("provisional_start_s", 99.0)
    assert "call deactivate and cleanup first" in robot.node.set("bundle", "/nowhere")
    robot.give(second)
    last = robot.last(second.name)
    assert (last.transcript, last.person_id) == ("", "ann")
    assert {item.utterance_id for item in robot.emotions if item.state == Emotion.PROVISIONAL} == {second.name}
    robot.world.wait(lambda: robot.node.value("transcripts") == "False", "what the diagnostics tell")
    assert robot.node.deactivate()
    assert robot.node.set("transcripts", True) == "", "also of a node that is inactive"
    assert robot.node.activate()
    robot.world.wait_for_outputs(robot.node, "emotion")
    robot._given.clear()
    robot.give(third)
    assert robot.last(third.name).transcript


def test_a_parameter_file_of_every_parameter_is_taken(world):
    tested = world.node("mocap", arguments=["--params-file", str(config_file())])
    assert tested.state == "active"
    assert tested.node.settings == MocapSettings()


def test_namespace_and_remapping(world):
    heard = world.listen(AudioFrame, "/robot/clean")
    tested = world.node(
        "speech",
        arguments=["-r", "__ns:=/robot", "-r", "audio:=/ear/audio", "-r", "voice:=clean", "-p", "asr.backend:=none"],
    )
    assert tested.name == "/robot/speech"
    publisher = world.publisher(AudioFrame, "/ear/audio")
    world.wait_for_outputs(tested, "clean")
    audio, _ = demo_values(until_s=0.5)
    for chunk in audio:
        publisher.publish(audio_message(chunk))
    frames = sum(chunk.frames for chunk in audio)
    world.wait(lambda: sum(audio_from_msg(message).frames for message in heard) == frames, "the voice")


@pytest.mark.parametrize("name", ["mocap", "emotion"])
def test_a_node_that_was_destroyed_is_gone_at_once(world, name):
    """Collected or not: Python may do that much later, and others would still find it, and wait for its services."""
    world.node(name)
    tested = world.tested.pop()
    tested.spinner.close()
    tested.node.close()
    tested.node.destroy_node()
    world.wait(lambda: name not in world.peer.get_node_names(), "the end of the node")


def test_a_topic_that_was_opened_for_somebody_is_gone_when_the_node_is_activated_again(world):
    """Who has left while the node was inactive would be offered one until cleanup."""
    tested = world.node("mocap")
    tested.node.executor.create_task(lambda: tested.node.outputs.open(Bool, "of_somebody", depth=1))
    world.wait(lambda: world.peer.count_publishers("of_somebody") == 1, "somebody's topic")
    assert tested.deactivate()
    assert world.peer.count_publishers("of_somebody") == 1, "last words go out on it yet"
    assert tested.activate()
    world.wait(lambda: world.peer.count_publishers("of_somebody") == 0, "the end of somebody's topic")
    assert world.peer.count_publishers("skeleton") == 1


def test_a_topic_of_the_wrong_type_is_one_sentence_that_names_the_cure(world):
    tested = world.node("mocap")
    with world.stranger() as stranger:
        stranger.create_publisher(String, "skeleton_in", 1)
        tested.wait_for_problem("/skeleton_in", "std_msgs/msg/String", "mser_msgs/msg/Skeleton", "remap")
    assert tested.state == "active"
    publisher = world.publisher(Skeleton, "skeleton_in")
    heard = world.listen(Skeleton, "skeleton")
    world.wait_for_outputs(tested, "skeleton")
    _, skeletons = demo_values(until_s=0.2)
    publisher.publish(skeleton_message(skeletons[0]))
    world.wait(lambda: len(heard) == 1, "the skeleton")


@pytest.mark.parametrize("topic", ["audio", "voice"])
def test_a_topic_that_this_process_uses_for_another_type_is_one_sentence(world, topic):
    world.peer.create_publisher(String, "words", 1)
    tested = world.node("speech", arguments=["-r", f"{topic}:=words", "-p", "asr.backend:=none"])
    tested.wait_for_problem(f"topic '{topic}'", "/words", "remap it")
    assert tested.state in ("unconfigured", "inactive")


def test_a_best_effort_publisher_is_heard_and_a_reliable_one_after_it(world):
    tested = world.node("speech", asr__backend="none")
    audio, _ = demo_values(until_s=0.5)
    publisher = world.publisher(AudioFrame, "audio", reliability=ReliabilityPolicy.BEST_EFFORT)
    number = 0

    def received() -> bool:
        nonlocal number
        publisher.publish(audio_message(audio[number % len(audio)]))  # best effort: one alone may be lost
        number += 1
        return int(tested.value("received audio") or 0) > 0

    world.wait(received, "audio of a best-effort publisher")
    world.peer.destroy_publisher(publisher)
    publisher = world.publisher(AudioFrame, "audio")
    before = int(tested.value("received audio"))
    publisher.publish(audio_message(audio[0]))
    world.wait(lambda: int(tested.value("received audio")) > before, "audio of a reliable publisher")


def test_listening_at_best_effort_is_told_once(world, capfd):
    tested = world.node("speech", asr__backend="none")
    (topic,) = (item for item in tested.node.inputs.topics if item.topic == "audio")
    for reliability in (ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE) * 2:
        publisher = world.publisher(AudioFrame, "audio", linked=False, reliability=reliability)
        world.wait(lambda wanted=reliability: topic._reliability == wanted, "a subscription that fits")
        world.peer.destroy_publisher(publisher)
    # The node's log, and not /rosout, which loses lines of a node that another one of its name came before.
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "best effort" in line]
    assert "/audio is published at best effort by peer: listening likewise" in line


def test_use_sim_time_that_is_none_is_refused(world):
    tested = world.node("mocap", arguments=["-p", "use_sim_time:=treu"])
    tested.wait_for_problem("use_sim_time must be true or false, not 'treu'", "in the parameters of node mocap")
    assert tested.state == "unconfigured"


def test_diagnostics_tell_what_is_linked_received_and_dropped(world, own):
    tested = world.node("emotion", **own["emotion"])
    world.listen(Emotion, "emotion")
    tested.wait_for(**{"subscribers emotion": 1})
    for key in ("received voice", "received utterance", "received skeleton", "backlog", "dropped", "rejected", "final"):
        assert tested.value(key) == "0"
    assert tested.problem == ""
    assert tested.value("level") == "0"


def raise_bug(*_: object) -> None:
    [].remove("nothing")  # a ValueError


def assert_said_once(logged: str) -> None:
    assert logged.count("ValueError: list.remove(x): x not in list") == 1
    assert logged.count("Traceback") == 1
    assert logged.count("[FATAL]") == 1


def recover(world, tested) -> None:
    assert tested.configure()
    assert tested.activate()
    tested.wait_to_receive()
    world.wait(lambda: tested.value("state") == "active" and not tested.problem, "diagnostics without a problem")
    assert (tested.value("level"), tested.value("bugs")) == ("0", "0")


def test_a_bug_in_the_work_is_told_once_leads_to_the_error_state_and_the_node_can_be_started_again(world, capfd):
    transitions = world.listen(TransitionEvent, "speech/transition_event")
    tested = world.node("speech", asr__backend="none")
    for _ in range(2):
        tested.node.submit(raise_bug)
        tested.wait_for_problem("a bug", "ValueError")
        world.wait(lambda: tested.value("state") == "unconfigured", "the end of the error state")
        assert tested.state == "unconfigured"
        assert (tested.value("level"), tested.value("bugs")) == ("2", "1")
        assert tested.node.has_failed
        assert_said_once(capfd.readouterr().err)
        recover(world, tested)
    for way in (("deactivating", "errorprocessing"), ("errorprocessing", "unconfigured")):
        world.wait(
            lambda way=way: [(item.start_state.label, item.goal_state.label) for item in transitions].count(way) == 2,
            f"two ways from {way[0]} to {way[1]}",
        )


def test_messages_that_come_before_the_error_state_are_counted_and_do_not_hide_the_bug(world, monkeypatch, capfd):
    tested = world.node("speech", asr__backend="none")
    with monkeypatch.context() as patch:  # as if the executor were busy
        patch.setattr(tested.node, "_alarm", SimpleNamespace(trigger=lambda: None))
        tested.node.submit(raise_bug)
        tested.wait_for_problem("a bug", "ValueError")
        for _ in range(5000):  # more than the worker's queue holds
            tested.node.submit(lambda: None)
        tested.wait_for(dropped=5000)
    assert "a bug" in tested.problem
    assert "too slow" not in capfd.readouterr().err
    assert not tested.deactivate()
    assert tested.state == "unconfigured"


def test_what_is_open_when_a_bug_ends_the_work_is_finished(world, own, monkeypatch):
    emotions = world.listen(Emotion, "emotion")
    tested = world.node("emotion", **own["emotion"])
    world.wait_for_outputs(tested, "emotion")
    utterance = world.publisher(Utterance, "utterance")
    utterance.publish(utterance_message(scene(1).events[0]))
    tested.wait_to_receive(utterance=1)
    tested.node.submit(raise_bug)
    world.wait(lambda: tested.value("state") == "unconfigured", "the end of the error state")
    world.wait(lambda: len(emotions) == 1, "the last emotion of the open utterance")
    assert (emotions[0].utterance_id, emotions[0].state) == (scene(1).name, Emotion.FINAL)


def test_utterances_that_wait_for_a_worker_which_a_bug_ends_get_a_last_emotion(world, own, monkeypatch):
    emotions = world.listen(Emotion, "emotion")
    tested = world.node("emotion", state__rate_hz=0.0, **own["emotion"])  # no other work is due
    world.wait_for_outputs(tested, "emotion")
    utterance = world.publisher(Utterance, "utterance")
    (topic,) = [item for item in tested.node.inputs.topics if item.topic == "utterance"]
    is_blocked, go_on = threading.Event(), threading.Event()

    def fail_later() -> None:
        is_blocked.set()
        go_on.wait()
        raise_bug()

    monkeypatch.setattr(tested.node, "_alarm", SimpleNamespace(trigger=lambda: None))  # as if the executor were busy
    tested.node.submit(fail_later)
    world.wait(is_blocked.is_set, "the work before the bug")
    waiting, cancelled, late = scene(1), scene(2), scene(3)
    events = [*waiting.events, cancelled.events[0], replace(cancelled.events[1], state=UtteranceState.CANCELLED)]
    for event in events:
        utterance.publish(utterance_message(event))
    world.wait(lambda: topic.received == len(events), "the utterances before the bug")
    go_on.set()
    tested.wait_for_problem("a bug", "ValueError")
    utterance.publish(utterance_message(late.events[0]))
    world.wait(lambda: topic.received == len(events) + 1, "the utterance after the bug")
    assert not tested.deactivate()
    world.wait(lambda: len(emotions) == 3, "the last emotions")
    assert [(item.utterance_id, item.state) for item in emotions] == [
        (waiting.name, Emotion.FINAL),
        (cancelled.name, Emotion.RETRACTED),
        (late.name, Emotion.FINAL),
    ]
    for item in (emotions[0], emotions[2]):
        assert (item.label, item.confidence, item.abstain_reason) == ("unknown", 0, Emotion.FAILED)
    assert emotions[0].speech_end == utterance_message(waiting.events[-1]).end, "as far as was known at last"
    tested.wait_for(dropped=len(events) + 1)
    assert "faster core" not in tested.problem


def test_a_bug_in_taking_a_message_leads_to_the_error_state_as_well(world, monkeypatch, capfd):
    tested = world.node("mocap")
    monkeypatch.setattr("mser_ros.mocap.stream.check_frame", raise_bug)
    _, skeletons = demo_values(until_s=0.2)
    world.publisher(Skeleton, "skeleton_in").publish(skeleton_message(skeletons[0]))
    tested.wait_for_problem("a bug", "ValueError")
    world.wait(lambda: tested.value("state") == "unconfigured", "the end of the error state")
    assert_said_once(capfd.readouterr().err)
    monkeypatch.undo()
    recover(world, tested)


@pytest.mark.parametrize(("step", "state"), [("setup", "unconfigured"), ("connect", "unconfigured")])
def test_a_bug_in_a_transition_is_told_and_the_node_can_be_started_again(world, monkeypatch, capfd, step, state):
    tested = world.node("mocap", autostart=False)
    with monkeypatch.context() as patch:
        patch.setattr(tested.node, step, raise_bug)
        assert tested.configure() == (step != "setup")
        assert not tested.activate()
        tested.wait_for_problem("a bug", "ValueError")
        assert tested.state == state
        assert tested.value("level") == "2"
    assert_said_once(capfd.readouterr().err)
    recover(world, tested)


@pytest.mark.parametrize(
    "error", [ValueError("an unknown policy"), SettingsError("the topic cannot be opened: remap it")], ids=type
)
def test_an_endpoint_that_the_middleware_cannot_describe_is_one_sentence_and_the_node_lives(world, monkeypatch, error):
    tested = world.node("mocap")

    def ask(topic: str) -> list:
        raise error

    monkeypatch.setattr(tested.node, "get_publishers_info_by_topic", ask)
    tested.wait_for_problem(str(error))
    assert tested.value("message") == tested.problem
    assert tested.state == "active"
    monkeypatch.undo()
    seen = world.listen(Skeleton, "skeleton")
    world.wait_for_outputs(tested, "skeleton")
    _, skeletons = demo_values(until_s=0.2)
    world.publisher(Skeleton, "skeleton_in").publish(skeleton_message(skeletons[0]))
    world.wait(lambda: len(seen) == 1, "the skeleton")


def test_a_topic_that_cannot_be_opened_anew_is_listened_to_as_before(world, monkeypatch):
    """A publisher at best effort asks for another subscription; as long as there is none, the old one serves."""
    tested = world.node("mocap")
    item = tested.node.inputs.topics[0]
    reliable = world.publisher(Skeleton, "skeleton_in")

    def subscribe(*_: object, **__: object) -> None:
        raise RuntimeError("create_subscription() called for existing topic name with incompatible type")

    monkeypatch.setattr(tested.node, "create_subscription", subscribe)
    world.publisher(Skeleton, "skeleton_in", linked=False, reliability=ReliabilityPolicy.BEST_EFFORT)
    tested.wait_for_problem("topic 'skeleton_in' cannot be opened", "remap it")
    _, skeletons = demo_values(until_s=0.2)
    reliable.publish(skeleton_message(skeletons[0]))
    world.wait(lambda: item.received == 1, "the skeleton")
    monkeypatch.undo()
    fast = world.publisher(Skeleton, "skeleton_in", linked=False, reliability=ReliabilityPolicy.BEST_EFFORT)

    def is_heard() -> bool:
        fast.publish(skeleton_message(skeletons[1]))
        return item.received > 1

    world.wait(is_heard, "a skeleton at best effort")


def test_a_worker_that_is_too_slow_drops_the_oldest_data_and_no_order_and_counts_it(world):
    tested = world.node("speech", asr__backend="none")
    done: list[int] = []
    orders: list[str] = []
    is_held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        go_on.wait()

    tested.node.submit(hold)
    assert is_held.wait(PATIENCE_S)
    tested.node.submit(lambda: orders.append("stop"), is_order=True)
    for number in range(5000):
        tested.node.submit(lambda number=number: done.append(number))
    tested.wait_for_problem("too slow", "oldest input is dropped")
    go_on.set()
    tested.wait_to_receive(audio=0)
    assert orders == ["stop"]
    assert done == list(range(5000 - len(done), 5000))
    tested.wait_for(dropped=5000 - len(done), backlog=0)


class Held:
    """A node whose worker does nothing until `release`; as soon as this is made, and its queue is short."""

    def __init__(self, tested, monkeypatch):
        monkeypatch.setattr(worker, "_LONGEST", 8)
        self.tested = tested
        self._go_on, is_held = threading.Event(), threading.Event()

        def hold() -> None:
            is_held.set()
            self._go_on.wait()

        tested.node.submit(hold)
        assert is_held.wait(PATIENCE_S)

    def release(self) -> None:
        """After more data than the queue holds."""
        for _ in range(50):
            self.tested.node.submit(lambda: None)
        assert self.tested.node.health.dropped > 0
        self._go_on.set()
        self.tested.wait_to_receive()


def test_voices_and_the_robot_are_followed_however_far_behind_the_speech_node_is(world, monkeypatch):
    tested = world.node("speech", asr__backend="none")
    robot = world.publisher(Bool, "robot_speaking")
    held = Held(tested, monkeypatch)
    robot.publish(Bool(data=True))
    item = next(item for item in tested.node.inputs.topics if item.topic == "robot_speaking")
    world.wait(lambda: item.received == 1, "that the robot speaks")
    tested.node._on_voice("ann")
    tested.node._on_voice("bob")
    tested.node._on_voice_lost("bob")
    held.release()
    assert tested.node._stage.counters["voices"] == 1
    assert tested.node._stage._ears["ann"].stage._robot_speaks


@pytest.mark.parametrize("end", [Tested.deactivate, Tested.shutdown])
def test_a_node_that_is_far_behind_stops_soon_with_a_last_word_of_everything(world, own, end):
    emotions = world.listen(Emotion, "emotion")
    tested = world.node("emotion", **own["emotion"], state__rate_hz=0.0)
    world.wait_for_outputs(tested, "emotion")
    utterance = world.publisher(Utterance, "utterance")
    (topic,) = [item for item in tested.node.inputs.topics if item.topic == "utterance"]
    utterance.publish(utterance_message(scene(1).events[0]))
    tested.wait_to_receive(utterance=1)
    for _ in range(300):
        tested.node.submit(lambda: time.sleep(0.1))
    utterance.publish(utterance_message(scene(2).events[0]))
    world.wait(lambda: topic.received == 2, "the second utterance")
    begun_s = time.monotonic()
    assert end(tested)
    assert time.monotonic() - begun_s < 10.0, "all of it would take thirty seconds"
    assert tested.node.health.dropped > 100
    world.wait(lambda: len(emotions) == 2, "the last emotions")
    assert [(item.utterance_id, item.state) for item in emotions] == [
        (scene(1).name, Emotion.FINAL),
        (scene(2).name, Emotion.FINAL),
    ]


def test_an_order_to_listen_again_is_obeyed_although_the_node_stops_before_its_worker_comes_to_it(world):
    tested = world.node("speech", asr__backend="none")
    stage, its_worker = tested.node._stage._ears[""].stage, tested.node._worker

    def order(*, stop: bool) -> None:
        assert world.call(SetBool, "/speech/stop_listening", SetBool.Request(data=stop)).success

    def be_busy() -> None:
        while not its_worker._left:  # until the node has given up what waits
            time.sleep(0.01)

    order(stop=True)
    tested.wait_to_receive()
    assert not stage.is_listening
    tested.node.submit(be_busy)
    order(stop=False)
    tested.node.stop(within_s=0.0)
    assert stage.is_listening


def test_that_the_robot_speaks_is_forgotten_by_a_node_that_stops(world):
    tested = world.node("speech", asr__backend="none")
    robot = world.publisher(Bool, "robot_speaking")
    robot.publish(Bool(data=True))
    tested.wait_to_receive(robot_speaking=1)
    assert tested.node._stage._ears[""].stage._robot_speaks
    assert tested.deactivate()
    assert not tested.node._stage._ears[""].stage._robot_speaks


def test_who_is_who_and_the_end_of_an_utterance_are_not_dropped_and_what_is_due_does_not_pile_up(
    world, own, monkeypatch
):
    emotions = world.listen(Emotion, "emotion")
    tested = world.node("emotion", **own["emotion"], state__rate_hz=20.0)
    world.wait_for_outputs(tested, "emotion")
    utterance = world.publisher(Utterance, "utterance")
    held = Held(tested, monkeypatch)
    tested.node._tell(lambda identities: identities.link("ann", Kind.VOICE, "v1"), True)
    given = scene(1)
    for event in given.events:
        utterance.publish(utterance_message(event))
    item = next(item for item in tested.node.inputs.topics if item.topic == "utterance")
    world.wait(lambda: item.received == len(given.events), "the utterance")
    world.wait(lambda: int(tested.value("skipped") or 0) > 10, "states that are due")
    assert int(tested.value("backlog")) < 10
    held.release()
    assert tested.node._identities.of_voice("v1").person_id == "ann"
    world.wait(lambda: any(item.state == Emotion.FINAL for item in emotions), "its emotion")
    skipped = tested.value("skipped")
    assert tested.deactivate()
    assert tested.node._identities.of_voice("v1").person_id == "", "which is told anew"
    assert int(skipped) > 0
