"""Starting nodes: one per process for launch, or all of them in one process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from importlib import import_module

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn

from ..errors import MserError
from .base import DELIVERY_S, PerceptionNode
from .diagnostics import UNTIL_CLEARED
from .parameters import autostarts
from .spinner import Spinner, init_ros, on_signals

#: A node that is told to end does so within two seconds. It may go on loading a model for so long,
_LOADING_S = 1.5
#: or working at what it has received already for so long; its last estimates then have `DELIVERY_S` to arrive.
_ENDING_S = 0.5

#: Class of each node by its name, as `module:class` so that a process loads only what it runs.
_CLASSES = {
    "microphone": "microphone_node:MicrophoneNode",
    "speech": "speech_node:SpeechNode",
    "pose": "pose_node:PoseNode",
    "mocap": "mocap_node:MocapNode",
    "emotion": "emotion_node:EmotionNode",
}


def create_node(name: str, **arguments: object) -> PerceptionNode:
    """A node by its name, not yet configured."""
    module, class_name = _CLASSES[name].split(":")
    return getattr(import_module(f"{__package__}.{module}"), class_name)(**arguments)


def start(node: PerceptionNode) -> bool:
    """Configure and activate a node if its parameter `autostart` says so; False where that failed."""
    try:
        if not autostarts(node):
            return True
    except MserError as error:
        node.health.warn(error, lasts_s=UNTIL_CLEARED)
        return False
    for trigger, transition in ((node.trigger_configure, "configure"), (node.trigger_activate, "activate")):
        if trigger() != TransitionCallbackReturn.SUCCESS:
            if node.context.ok():
                node.get_logger().error(f"not started: correct what is said above, then start again or {transition} it")
            return False
    return True


def _tell_of_lost_parameters(node: PerceptionNode, arguments: Sequence[str]) -> None:
    """ROS takes `-p NODE:NAME:=VALUE` as said of a node in the root namespace, and can't be told of another there."""
    name, namespace = node.get_name(), node.get_namespace()
    lost = [rule for rule in arguments if rule.startswith(f"{name}:") and ":=" in rule]
    if lost and namespace != "/":
        node.get_logger().warning(
            f"{', '.join(lost)} is of a node /{name}, and does not reach {namespace}/{name}: say it without '{name}:', "
            f"or in a parameter file below {namespace}/{name}"
        )


def run_nodes(names: Sequence[str], arguments: Sequence[str] | None = None) -> int:
    """Run nodes until SIGINT or SIGTERM, then finish and publish what is open; the exit code.

    `arguments`: the command line, with `--ros-args`. The code is 1 where ROS cannot understand them, or a node was left
    in the error that a bug of ours led to.
    """
    spinner: Spinner | None = None
    is_ending, has_loaded = threading.Event(), threading.Event()

    def end() -> None:
        is_ending.set()
        if spinner is not None:
            spinner.stop()
        if not has_loaded.wait(_LOADING_S):  # no callback has run yet: there is nothing to finish
            os._exit(0)

    with on_signals((signal.SIGINT, signal.SIGTERM), end):
        given = sys.argv if arguments is None else [sys.argv[0], *arguments]
        if not init_ros(given):
            return 1
        nodes: list[PerceptionNode] = []
        try:
            spinner = Spinner()
            for name in names:
                if not is_ending.is_set():
                    nodes.append(create_node(name))
                    _tell_of_lost_parameters(nodes[-1], given)
                    spinner.add(nodes[-1])
                    start(nodes[-1])
            has_loaded.set()
            if not is_ending.is_set():
                spinner.spin()
        finally:
            has_loaded.set()
            for node in nodes:
                node.stop(within_s=_ENDING_S)
            until_s = time.monotonic() + DELIVERY_S
            if spinner is not None:
                spinner.drain(lambda: any(node.is_answering for node in nodes), until_s)
            for node in nodes:
                node.outputs.deliver(until_s)
                node.close()
            if spinner is not None:
                spinner.close()
            for node in nodes:
                node.destroy_node()
            rclpy.try_shutdown()
    return int(any(node.has_failed for node in nodes))
