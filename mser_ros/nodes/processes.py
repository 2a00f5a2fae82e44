"""Nodes as processes of their own, for the demonstration, the benchmark and the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from types import FrameType, TracebackType
from typing import Any, NoReturn

from ..resources import config_file

#: How long a node may take to end after SIGTERM before it is killed.
STOP_S = 10.0
#: What ends this process where nobody handles it, and without the `with` block would leave the nodes behind: a
#: service that is stopped, a terminal that is closed.
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class NodeProcesses:
    """Runs each node in a process of its own while the `with` block lasts, then ends it.

    `parameters`: by name for every node, by `node:name` for one. `environment`: added to this process's. After the
    block `exit_codes` tells how each node ended. In the main thread, SIGTERM and SIGHUP leave the block by `SystemExit`
    where they would else have ended this process alone.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        parameters: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._names = names
        self._environment = {**os.environ, **(environment or {})}
        self._arguments = ["--ros-args", "--params-file", str(config_file()), "--log-level", "warn"]
        for name, value in (parameters or {}).items():
            text = json.dumps(value) if isinstance(value, bool | int | float) else _quoted(str(value))
            self._arguments += ["-p", f"{name}:={text}"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.exit_codes: dict[str, int] = {}
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> NodeProcesses:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDINGS:
                if signal.getsignal(number) is signal.SIG_DFL:
                    self._handlers[number] = signal.signal(number, _leave)
        try:
            for name in self._names:
                command = [*self.command(name), *self._arguments]
                # In a session of its own a node does not get the terminal's Ctrl-C beside the signal that ends it.
                self.processes[name] = subprocess.Popen(command, env=self._environment, start_new_session=True)
        except BaseException:  # a signal, too
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        while self._handlers:
            signal.signal(*self._handlers.popitem())

    def command(self, name: str) -> list[str]:
        """What runs the process of this name, before the arguments for ROS."""
        return [sys.executable, "-m", f"mser_ros.nodes.{name}_node"]

    def ended(self) -> dict[str, int]:
        """Exit codes of the nodes that have ended by themselves."""
        codes = {name: process.poll() for name, process in self.processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def stop(self) -> dict[str, int]:
        """End all nodes; their exit codes."""
        for process in self.processes.values():
            if process.poll() is None:
                process.terminate()  # while a node is still loading, SIGINT would end it with a traceback
        for name, process in self.processes.items():
            try:
                self.exit_codes[name] = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                self.exit_codes[name] = process.wait()
        return self.exit_codes


def _quoted(text: str) -> str:
    """A text in quotes, as YAML: JSON has no one sign for a letter beyond U+FFFF, and leaves U+007F as it is."""
    letters = (f"\\U{ord(letter):08x}" if letter > "~" else json.dumps(letter)[1:-1] for letter in text)
    return f'"{"".join(letters)}"'


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
