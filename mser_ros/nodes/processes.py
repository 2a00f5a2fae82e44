"""Nodes as processes of their own, for the demonstration, the benchmark and the tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType

from ..resources import config_file

#: How long a node may take to end after SIGINT before it is killed.
STOP_S = 10.0


class NodeProcesses:
    """Runs each node in a process of its own while the `with` block lasts, then ends it by SIGINT.

    `parameters`: by name for every node, by `node:name` for one. `environment`: added to this process's. After the
    block `exit_codes` tells how each node ended.
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        parameters: Mapping[str, object] | None = None,
        environment: Mapping[str, str] | None = None,
        log_level: str = "warn",
    ) -> None:
        self._names = names
        self._environment = {**os.environ, **(environment or {})}
        self._arguments = ["--ros-args", "--params-file", str(config_file()), "--log-level", log_level]
        for name, value in (parameters or {}).items():
            text = json.dumps(value if isinstance(value, bool | int | float) else str(value))
            self._arguments += ["-p", f"{name}:={text}"]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.exit_codes: dict[str, int] = {}

    def __enter__(self) -> NodeProcesses:
        for name in self._names:
            command = [sys.executable, "-m", f"mser_ros.nodes.{name}_node", *self._arguments]
            # In a session of its own a node does not get the terminal's Ctrl-C beside the signal that ends it.
            self.processes[name] = subprocess.Popen(command, env=self._environment, start_new_session=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def ended(self) -> dict[str, int]:
        """Exit codes of the nodes that have ended by themselves."""
        codes = {name: process.poll() for name, process in self.processes.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def stop(self) -> dict[str, int]:
        """End all nodes; their exit codes."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
        for name, process in self.processes.items():
            try:
                self.exit_codes[name] = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                self.exit_codes[name] = process.wait()
        return self.exit_codes
