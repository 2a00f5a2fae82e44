"""Nodes as processes of their own for tests, with nodes of the test's own process beside them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ros_world import PATIENCE_S, Tested, World

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def node_command(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"mser_ros.nodes.{name}_node", "--ros-args", *arguments]


def faulty_command(name: str, fault: str, *arguments: str) -> list[str]:
    return [sys.executable, str(Path(__file__).parent / "node" / "faulty.py"), name, fault, "--ros-args", *arguments]


def run_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mser_ros.cli.main", "run", *arguments]


@contextmanager
def running(
    folder: Path, *, environment: dict[str, str] | None = None, **commands: list[str]
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Processes by name, what they print in files of that name; none is left behind. `environment`: not this one's."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            with (folder / name).open("wb") as log:
                processes[name] = subprocess.Popen(
                    command, stdout=log, stderr=log, start_new_session=True, env=environment
                )
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


def stop(processes: dict[str, subprocess.Popen[bytes]]) -> dict[str, int]:
    """End nodes by SIGINT; their exit codes."""
    for process in processes.values():
        process.send_signal(signal.SIGINT)
    return {name: process.wait(PATIENCE_S) for name, process in processes.items()}


#: No wait ends by itself: what ends an utterance is what the test does.
PATIENT = {"speech:stall_s": 30.0, "emotion:text_timeout_s": 30.0, "emotion:evidence_timeout_s": 5.0}


def given(bundle: Path) -> dict[str, object]:
    """Parameters by `node:name`."""
    return {"speech:asr.backend": "none", "emotion:bundle": str(bundle)} | PATIENT


def parameters(bundle: Path) -> list[str]:
    return [item for name, value in given(bundle).items() for item in ("-p", f"{name}:={value}")]


def companion(world: World, bundle: Path, name: str, **more: object) -> Tested:
    """A node beside those that end or have a bug; it needs no process of its own, and is there sooner without."""
    own = {key.partition(":")[2]: value for key, value in given(bundle).items() if key.startswith(f"{name}:")}
    return world.node(name, **{key.replace(".", "__"): value for key, value in own.items()} | more)
