"""Every node as a process of its own, and all of them in one: they start, work, and end cleanly."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections import Counter
from contextlib import suppress

import pytest
from emotion_robot import scene
from node_processes import (
    SIGNALS,
    assert_ended_cleanly,
    faulty_command,
    node_command,
    parameters,
    run_command,
    running,
    stop,
)
from ros_world import (
    LAST,
    PATIENCE_S,
    T0,
    AudioFrame,
    Emotion,
    Skeleton,
    Utterance,
    World,
    audio_message,
    demo_values,
    skeleton_message,
    utterance_message,
)

from mser_ros.types import to_ns

NODES = ("microphone", "speech", "mocap", "emotion")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_every_node_cleanly_while_it_works(world: World, tiny_bundle, tmp_path, number):
    bundle = ["-p", f"emotion:bundle:={tiny_bundle}", "-p", "speech:asr.backend:=none"]
    commands = {name: node_command(name, *bundle, "-p", "microphone:device:=no such") for name in NODES}
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text(
        f"/**/emotion: {{ros__parameters: {{bundle: {tiny_bundle}}}}}\n"
        "/**/speech: {ros__parameters: {asr: {backend: none}}}\n"
    )
    commands["run"] = run_command(
        "--no-microphone", "--params", str(parameters), "--ros-args", "-r", "__ns:=/one", "-p", "use_sim_time:=true"
    )
    active = ["/speech", "/mocap", "/emotion", "/one/speech", "/one/mocap", "/one/emotion"]
    audio, skeletons = demo_values(until_s=8)
    with running(tmp_path, **commands) as processes:
        world.wait(
            lambda: all("backlog" in world.diagnostics.get(name, {}) for name in [*active, "/microphone"]),
            "diagnostics of every node",
        )
        for name in active:
            assert world.diagnostics[name]["state"] == "active"
        assert world.diagnostics["/microphone"]["state"] != "active"
        for namespace in ("", "/one"):
            ear = world.publisher(AudioFrame, f"{namespace}/audio")
            eye = world.publisher(Skeleton, f"{namespace}/skeleton_in")
            for chunk in audio:
                ear.publish(audio_message(chunk))
            for frame in skeletons[:100]:
                eye.publish(skeleton_message(frame))
        for process in processes.values():
            process.send_signal(number)
        for name, process in processes.items():
            assert_ended_cleanly(process, tmp_path / name)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", [node_command("speech"), run_command("--no-microphone", "--ros-args")])
def test_a_signal_ends_nodes_cleanly_while_they_are_still_starting(world: World, tmp_path, number, command):
    name = f"starting_{uuid.uuid4().hex}"  # that of an earlier test's node is seen for a while after its end
    with running(tmp_path, speech=[*command, "-r", f"speech:__node:={name}"]) as processes:
        world.wait(lambda: name in world.peer.get_node_names(), "the name of the node")
        processes["speech"].send_signal(number)
        assert_ended_cleanly(processes["speech"], tmp_path / "speech")


def test_ctrl_c_ends_all_nodes_in_one_process_even_if_it_is_pressed_twice(world: World, tiny_bundle, tmp_path):
    command = run_command("--no-microphone", "--ros-args", "-p", f"emotion:bundle:={tiny_bundle}")
    with running(tmp_path, run=command) as processes:
        world.wait(lambda: "/emotion" in world.diagnostics, "diagnostics of the last node")
        for _ in range(2):
            os.killpg(processes["run"].pid, signal.SIGINT)
        assert_ended_cleanly(processes["run"], tmp_path / "run")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_again_until_the_process_is_gone_changes_nothing(world: World, tmp_path, number):
    with running(tmp_path, mocap=node_command("mocap")) as processes:
        world.wait(lambda: "/mocap" in world.diagnostics, "diagnostics of the node")
        while processes["mocap"].poll() is None:
            processes["mocap"].send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                processes["mocap"].wait(0.001)
        assert_ended_cleanly(processes["mocap"], tmp_path / "mocap")


def test_mistakes_on_the_command_line_of_run_are_one_sentence(tmp_path):
    result = subprocess.run(run_command("--params", str(tmp_path / "none.yaml")), capture_output=True, text=True)
    assert result.returncode == 1
    assert len(result.stderr.strip().splitlines()) == 1
    assert "there is no parameter file" in result.stderr


@pytest.mark.parametrize(
    "command", [node_command("mocap", "-p", "nonsense"), run_command("--ros-args", "-p", "nonsense")]
)
def test_ros_arguments_that_are_none_are_one_sentence(command):
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1
    assert "what follows --ros-args cannot be understood" in result.stderr.splitlines()[-1]
    assert "nonsense" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_a_bad_parameter_leaves_the_other_nodes_running(world: World, tiny_bundle, tmp_path):
    arguments = ["-p", f"emotion:bundle:={tiny_bundle}", "-p", "speech:asr.backend:=siri"]
    with running(tmp_path, run=run_command("--no-microphone", "--ros-args", *arguments)) as processes:
        world.wait(lambda: {"/speech", "/mocap", "/emotion"} <= set(world.diagnostics), "diagnostics of every node")
        assert "asr.backend must be one of" in world.diagnostics["/speech"]["message"]
        assert world.diagnostics["/emotion"]["state"] == "active"
        processes["run"].send_signal(signal.SIGINT)
        assert processes["run"].wait(PATIENCE_S) == 0
        assert "Traceback" not in (tmp_path / "run").read_text()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_node_that_is_told_to_end_while_it_loads_a_large_model_does_not_load_it_first(world, tmp_path, number):
    with running(tmp_path, emotion=faulty_command("emotion", "load")) as processes:
        world.wait(lambda: "loading" in (tmp_path / "emotion").read_text(), "the loading")
        processes["emotion"].send_signal(number)
        assert_ended_cleanly(processes["emotion"], tmp_path / "emotion")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_node_that_is_told_to_end_while_it_is_far_behind_ends_soon_and_with_a_last_word_of_everything(
    world, tiny_bundle, tmp_path, number
):
    """Each estimate takes two seconds: to work off ten utterances would take more than twenty."""
    scenes = [scene(count) for count in range(10)]
    with running(tmp_path, emotion=faulty_command("emotion", "slow", *parameters(tiny_bundle))) as processes:
        emotions = world.listen(Emotion, "emotion")
        ear, words = world.publisher(AudioFrame, "voice"), world.publisher(Utterance, "utterance")
        world.wait(lambda: world.diagnostics.get("/emotion", {}).get("subscribers emotion") == "1", "the node's output")
        taken = lambda key: int(world.diagnostics["/emotion"].get(f"received {key}", 0))  # noqa: E731
        for chunk in (chunk for item in scenes for chunk in item.voice):
            ear.publish(audio_message(chunk))
        # Else utterances could be taken before their audio, and all be open at the end.
        world.wait(lambda: taken("voice") == len(scenes) * len(scenes[0].voice), "all that is heard")
        for event in (event for item in scenes for event in item.events):
            words.publish(utterance_message(event))
        world.wait(lambda: taken("utterance") == 4 * len(scenes), "all that is said")
        processes["emotion"].send_signal(number)
        told_s = time.monotonic()
        assert_ended_cleanly(processes["emotion"], tmp_path / "emotion")
        assert time.monotonic() - told_s < 10.0
        names = Counter({item.name: 1 for item in scenes})
        world.wait(lambda: Counter(item.utterance_id for item in emotions if item.state in LAST) == names, "last words")


def test_two_robots_on_one_network_keep_what_they_hear_and_see_apart(world: World, tiny_bundle, tmp_path):
    audio, skeletons = demo_values(until_s=8.5)  # of two utterances
    hears = {"/one": audio, "/two": [chunk for chunk in audio if chunk.end_ns < T0 + to_ns(5.0)]}
    utterances: dict[str, list[Utterance]] = {robot: world.listen(Utterance, f"{robot}/utterance") for robot in hears}
    emotions: dict[str, list[Emotion]] = {robot: world.listen(Emotion, f"{robot}/emotion") for robot in hears}
    passed_on: list[Skeleton] = world.listen(Skeleton, "/one/skeleton")
    settings = tmp_path / "settings.yaml"
    settings.write_text(
        f"/**/emotion: {{ros__parameters: {{bundle: {tiny_bundle}, evidence_timeout_s: 5.0}}}}\n"
        "/**/speech: {ros__parameters: {asr: {backend: none}, stall_s: 30.0}}\n"
    )
    arguments = ["--no-microphone", "--params", str(settings), "--ros-args", "-r"]
    commands = {robot.strip("/"): run_command(*arguments, f"__ns:={robot}") for robot in hears}

    def told(node: str, **counts: int) -> bool:
        values = world.diagnostics.get(node, {})
        return all(int(values.get(key.replace("__", " "), 0)) >= count for key, count in counts.items())

    with running(tmp_path, **commands) as processes:
        ears = {robot: world.publisher(AudioFrame, f"{robot}/audio") for robot in hears}
        eye = world.publisher(Skeleton, "/one/skeleton_in")
        for robot in hears:
            world.wait(
                lambda robot=robot: (
                    told(f"{robot}/speech", subscribers__voice=1, subscribers__utterance=2)
                    and told(f"{robot}/mocap", subscribers__skeleton=1 if robot == "/two" else 2)
                    and told(f"{robot}/emotion", subscribers__emotion=1)
                ),
                f"links between the nodes of {robot}",
            )
        for first in range(0, len(skeletons), 50):  # no more at a time than waits in a queue
            for frame in skeletons[first : first + 50]:
                eye.publish(skeleton_message(frame))
            seen = len(skeletons[: first + 50])
            world.wait(lambda seen=seen: len(passed_on) == seen, "the skeletons")
        world.wait(lambda: told("/one/emotion", received__skeleton=len(skeletons)), "the skeletons")
        for robot, chunks in hears.items():
            for chunk in chunks:
                ears[robot].publish(audio_message(chunk))
        for robot, count in {"/one": 2, "/two": 1}.items():
            lasts = lambda robot=robot: [item for item in emotions[robot] if item.state in LAST]  # noqa: E731
            world.wait(lambda count=count, lasts=lasts: len(lasts()) == count, f"the last emotions of {robot}")
            heard = {item.utterance_id for item in utterances[robot]}
            assert {item.utterance_id for item in emotions[robot] if item.state != Emotion.CONTINUOUS} == heard
            for message in lasts():
                available = {item.modality: item.available for item in message.evidence}
                assert available == {"speech": True, "text": False, "mocap": robot == "/one"}
        assert not [item for item in emotions["/two"] if item.state == Emotion.CONTINUOUS], "of a body it has not seen"
        assert world.diagnostics["/two/mocap"]["received skeleton_in"] == "0"
        assert stop(processes) == dict.fromkeys(processes, 0)
