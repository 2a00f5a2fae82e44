"""Every node as a process of its own, and all of them in one: they start, work, and end cleanly by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ros_world import PATIENCE_S, AudioFrame, Skeleton, World, audio_message, demo_values, skeleton_message

NODES = ("microphone", "speech", "mocap", "emotion")
SIGNALS = [signal.SIGINT, signal.SIGTERM]


def node_command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"mser_ros.nodes.{name}_node", "--ros-args", *arguments]


def run_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mser_ros.cli.main", "run", *arguments]


@contextmanager
def running(folder: Path, **commands: list[str]) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Processes by name, what they print in files of that name; none is left behind."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            with (folder / name).open("wb") as log:
                processes[name] = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        yield processes
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


def assert_ended_cleanly(process: subprocess.Popen[bytes], log: Path) -> None:
    code = process.wait(PATIENCE_S)
    said = log.read_text()
    assert code == 0, said
    assert "Traceback" not in said
    assert "Error" not in said


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
            assert world.diagnostics[name]["message"] == "active"
        assert world.diagnostics["/microphone"]["message"] != "active"
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
@pytest.mark.parametrize("command", [node_command("speech"), run_command("--no-microphone")], ids=["node", "run"])
def test_a_signal_ends_nodes_cleanly_while_they_are_still_starting(world: World, tmp_path, number, command):
    with running(tmp_path, speech=command) as processes:
        world.wait(lambda: "speech" in world.peer.get_node_names(), "the name of the node")
        processes["speech"].send_signal(number)
        assert_ended_cleanly(processes["speech"], tmp_path / "speech")


def test_ctrl_c_ends_all_nodes_in_one_process_even_if_it_is_pressed_twice(world: World, tiny_bundle, tmp_path):
    command = run_command("--no-microphone", "--ros-args", "-p", f"emotion:bundle:={tiny_bundle}")
    with running(tmp_path, run=command) as processes:
        world.wait(lambda: "/emotion" in world.diagnostics, "diagnostics of the last node")
        for _ in range(2):
            os.killpg(processes["run"].pid, signal.SIGINT)
        assert_ended_cleanly(processes["run"], tmp_path / "run")


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
        assert world.diagnostics["/emotion"]["message"] == "active"
        processes["run"].send_signal(signal.SIGINT)
        assert processes["run"].wait(PATIENCE_S) == 0
        assert "Traceback" not in (tmp_path / "run").read_text()
