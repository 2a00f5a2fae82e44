"""Every node in a process of its own beside all of them in one (`mser run`): a part of `mser bench`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..errors import DependencyError
from ..nodes.processes import NodeProcesses
from ..nodes.spoken import measure, write_sound
from .demo import wait_for_nodes
from .tables import table

#: As the launch file starts them; who is seen is published by this process.
NODES = ("microphone", "speech", "mocap", "emotion")
#: Above this a robot looks up too late [ms].
FIRST_GOAL_MS = 300


class OneProcess(NodeProcesses):
    """All nodes in one process, which goes by the name 'run'."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(["run"], **arguments)

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "mser_ros.cli.main", name]


def compare(
    bag: Path, folder: Path, *, rounds: int, parameters: Mapping[str, object], begin: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Let a file that holds the bag's sound be spoken so often, in `folder`, to nodes in four processes and in one.

    `begin` is told what is measured now. Raises `DependencyError` where nodes do not start or nobody is understood.
    """
    path, length_s = folder / "talk.wav", write_sound(bag, folder / "talk.wav")
    given = {**parameters, "microphone:file": str(path), "microphone:loop": True}
    found = {}
    for name, nodes in (
        ("four processes", NodeProcesses(NODES, parameters=given)),
        ("one process", OneProcess(parameters=given)),
    ):
        begin(name)
        measured = measure(nodes, rounds * length_s, wait_for_nodes)
        if not (measured.hops_s and measured.finals_s and measured.firsts_s):
            raise DependencyError(f"no utterance of {bag} got a provisional and a final emotion: see 'mser doctor'")
        found[name] = measured.numbers()
    return found


def rows(found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """The lines of a table in Markdown."""

    def latency(name: str, digits: int) -> list[str]:
        return [
            ", ".join(f"p{percent} {item[f'{name}_p{percent}_ms']:.{digits}f} ms" for percent in (50, 95))
            for item in found.values()
        ]

    return table(
        ["", *found, "goal"],
        [
            ["a block of sound: from the microphone node through the speech node", *latency("hop", 1), "–"],
            ["a second of speech → first provisional emotion", *latency("first", 0), f"p95 ≤ {FIRST_GOAL_MS} ms"],
            ["end of speech, as the segmenter decides it → final emotion", *latency("final", 0), "p95 ≤ 80 ms"],
            [
                "CPU while somebody speaks and is seen",
                *(f"{item['share_of_core']:.0%} of one core" for item in found.values()),
                "–",
            ],
            [
                "memory, what they share counted once",
                *(f"{item['memory_mb']:.0f} MB" for item in found.values()),
                "–",
            ],
        ],
    )
