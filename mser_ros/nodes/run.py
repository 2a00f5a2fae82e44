"""Starting nodes: one per process for launch, or all of them in one process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib import import_module

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn

from ..errors import MserError
from .base import PerceptionNode
from .parameters import autostarts

#: Class of each node by its name, as `module:class` so that a process loads only what it runs.
NODES = {
    "microphone": "microphone_node:MicrophoneNode",
    "speech": "speech_node:SpeechNode",
    "mocap": "mocap_node:MocapNode",
    "emotion": "emotion_node:EmotionNode",
}


def create_node(name: str, **arguments: object) -> PerceptionNode:
    """A node by its name, not yet configured."""
    module, class_name = NODES[name].split(":")
    return getattr(import_module(f"{__package__}.{module}"), class_name)(**arguments)


def start(node: PerceptionNode) -> bool:
    """Configure and activate a node if its parameter `autostart` says so; False where that failed."""
    try:
        if not autostarts(node):
            return True
    except MserError as error:
        node.complain(error)
        return False
    for trigger, transition in ((node.trigger_configure, "configure"), (node.trigger_activate, "activate")):
        if trigger() != TransitionCallbackReturn.SUCCESS:
            if node.context.ok():
                node.get_logger().error(f"not started: correct what is said above, then start again or {transition} it")
            return False
    return True


def run_nodes(names: Sequence[str], arguments: Sequence[str] | None = None) -> int:
    """Run nodes until SIGINT or SIGTERM; the exit code. `arguments`: the command line, with `--ros-args`."""
    # rclpy ends the context at SIGINT and SIGTERM; Python's own answer to SIGINT would break into that anywhere.
    interrupts: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))
    try:
        rclpy.init(args=sys.argv if arguments is None else [sys.argv[0], *arguments])
    except RuntimeError as error:
        print(f"what follows --ros-args cannot be understood: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    nodes: list[PerceptionNode] = []
    executor: SingleThreadedExecutor | None = None
    try:
        executor = SingleThreadedExecutor()
        for name in names:
            if interrupts:
                break
            nodes.append(create_node(name))
            executor.add_node(nodes[-1])
            start(nodes[-1])
        else:
            executor.spin()
    except ExternalShutdownException:
        pass
    except Exception:
        if rclpy.ok():  # else it is one of the many things that rclpy raises when the context ends under its feet
            raise
    finally:
        for node in nodes:
            node.close()
        if executor:
            executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
        signal.signal(signal.SIGINT, before)
    return 0
