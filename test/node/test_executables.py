"""The executables of setup.py, as `ros2 run` and launch start them: what is missing or not known is one sentence."""

from __future__ import annotations

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES = ("microphone", "speech", "pose", "mocap", "emotion")


def executables() -> dict[str, str]:
    """Module and function of each executable, by its name."""
    tree = ast.parse((ROOT / "setup.py").read_text())
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return dict(text.split(" = ") for text in texts if " = mser_ros." in text)


def command(name: str, *arguments: str) -> list[str]:
    module, function = executables()[name].split(":")
    code = f"import sys; sys.argv[0] = {name!r}; from {module} import {function}; sys.exit({function}())"
    return [sys.executable, "-c", code, *arguments]


def without(folder: Path, *packages: str) -> dict[str, str]:
    """An environment in which these packages are not installed."""
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Guard:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {packages!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Guard())\n"
    )
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


def run(command: list[str], **environment: str) -> tuple[int, str]:
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", NODES)
def test_without_the_messages_an_executable_names_what_to_build(name: str, tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    code, said = run(command(f"{name}_node"), **without(tmp_path, "mser_msgs"))
    assert (code, said.count("\n")) == (1, 1), said
    assert said.startswith(f"{name}_node: mser_msgs")
    assert (
        "is not installed: build the interfaces with colcon as well ('colcon build --packages-up-to mser_ros'" in said
    )


def test_messages_of_another_version_are_to_be_built_again(tmp_path: Path) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    package = tmp_path / "mser_msgs" / "msg"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").write_text("class AudioFrame: pass\n")
    code, said = run(command("speech_node"), PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert (code, said.count("\n")) == (1, 1), said
    assert "cannot import name 'Utterance' from 'mser_msgs.msg'" in said
    assert "build the interfaces again with colcon" in said


@pytest.mark.parametrize("name", NODES)
def test_without_ros_an_executable_says_how_to_get_it(name: str, tmp_path: Path) -> None:
    ros = ("rclpy", "mser_msgs", "diagnostic_msgs", "rcl_interfaces", "lifecycle_msgs")
    code, said = run(command(f"{name}_node"), **without(tmp_path, *ros))
    assert (code, said.count("\n")) == (1, 1), said
    assert "is not installed: " in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--params-file", "x.yaml"],
            "mocap_node: '--params-file' is not known here: what is meant for ROS goes behind",
        ),
        (["--ros-args", "-p", "layout:=x", "--", "more"], "mocap_node: 'more' is not known here: "),
        (["--ros-args", "--parms-file", "x"], "what follows --ros-args cannot be understood: ['--parms-file', 'x']"),
        (["--ros-args", "-p", "nonsense"], "what follows --ros-args cannot be understood: "),
    ],
)
def test_an_executable_refuses_what_it_does_not_know(arguments: list[str], sentence: str) -> None:
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    code, said = run(command("mocap_node", *arguments))
    assert code == 1
    assert said.splitlines()[-1].startswith(sentence)
    assert "Traceback" not in said


@pytest.mark.parametrize("name", NODES)
def test_an_executable_runs_its_node(name: str, ros: None, tmp_path: Path) -> None:
    from ros_world import World

    world = World()
    lost = f"{name}:autostart:=true"
    options = ["--ros-args", "-r", "__ns:=/here", "-p", "autostart:=false", "-p", lost]
    process = subprocess.Popen(
        command(f"{name}_node", *options), start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        world.wait(lambda: f"/here/{name}" in world.diagnostics, "diagnostics of the node")
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
        assert process.returncode == 0
        assert f"{lost} is of a node /{name}, and does not reach /here/{name}: say it without '{name}:'" in said
    finally:
        process.kill()
        process.wait()
        world.close()


HOLDS_NODES = """
import sys, time
from mser_ros.nodes.processes import NodeProcesses
try:
    with NodeProcesses(["mocap", "speech"]) as nodes:
        print(*(process.pid for process in nodes.processes.values()), flush=True)
        while True:
            time.sleep(0.1)  # a signal that comes just before it begins is seen when it ends
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_who_is_told_to_end_leaves_no_node_behind(number: signal.Signals, code: int, ros: None) -> None:
    """At once, while the nodes are still loading: also without a traceback."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS_NODES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    nodes = [int(word) for word in process.stdout.readline().split()]
    process.send_signal(number)
    try:
        said = process.communicate(timeout=60)[0]  # ends when nobody holds the pipe any more, the nodes neither
    except subprocess.TimeoutExpired:
        for left in nodes:
            os.kill(left, signal.SIGKILL)
        raise
    assert (len(nodes), process.returncode, said) == (2, code, "")


def test_a_workspace_that_was_built_without_the_messages_says_so(tmp_path: Path) -> None:
    """What a plain 'colcon build' above this repository makes, which does not find the messages inside of it."""
    if shutil.which("colcon") is None:
        pytest.skip("colcon is missing: call 'make setup-dev'")
    pytest.importorskip("rclpy", reason="ROS 2 is missing: call 'make setup-dev', or source an installed one")
    source = tmp_path / "src" / "mser_ros"
    for name in ("config", "launch", "resource", "interfaces", "mser_ros"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("package.xml", "setup.py", "setup.cfg"):
        shutil.copy(ROOT / name, source)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    built = subprocess.run(
        ["colcon", "--log-base", "log", "build"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    installed = tmp_path / "install" / "mser_ros"
    (packages,) = installed.glob("lib/python3.*/site-packages")
    (tmp_path / "guard").mkdir()
    guarded = without(tmp_path / "guard", "mser_msgs")["PYTHONPATH"].split(os.pathsep)[0]
    code, said = run(
        [str(installed / "lib" / "mser_ros" / "speech_node")], PYTHONPATH=os.pathsep.join([guarded, str(packages)])
    )
    assert (code, said.count("\n")) == (1, 1), said
    assert "colcon build --packages-up-to mser_ros" in said
    for folder in ("train", "skeletons"):
        assert any((installed / "share" / "mser_ros" / "config" / folder).glob("*.yaml"))
