"""Starting nodes: one per process for launch, or all of them in one process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

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
    node.trigger_configure()
    if not node.is_configured:
        node.get_logger().error("not started: correct what is said above, then start again or call 'configure'")
        return False
    node.trigger_activate()
    return True


def run_nodes(
    names: Sequence[str], arguments: Sequence[str] | None = None, *, ready: Callable[[], None] | None = None
) -> int:
    """Run nodes until SIGINT or SIGTERM; the exit code.

    `arguments`: the command line, with `--ros-args`. `ready` is called when every node has been started.
    """
    rclpy.init(args=sys.argv if arguments is None else [sys.argv[0], *arguments])
    nodes: list[PerceptionNode] = []
    executor = SingleThreadedExecutor()
    try:
        for name in names:
            node = create_node(name)
            nodes.append(node)
            executor.add_node(node)
            start(node)
        if ready:
            ready()
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        for node in nodes:
            node.close()
        executor.shutdown()
        for node in nodes:
            node.destroy_node()
        rclpy.try_shutdown()
    return 0
