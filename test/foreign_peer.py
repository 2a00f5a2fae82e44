"""The process of `foreign_messages.Peer`: does what lines of JSON on its standard input say, and answers each with one;
between the answers stand the messages that it hears."""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from importlib import import_module
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile

from mser_ros.messages.conversions import to_fields

_speaking = threading.Lock()
#: Standard output, where from now on nothing else goes: the middleware prints its own troubles there.
_answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("foreign_peer")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    threading.Thread(target=executor.spin, daemon=True).start()
    publishers: dict[str, Any] = {}
    for line in sys.stdin:
        obey(node, publishers, json.loads(line))
        tell({})


def tell(answer: dict[str, Any]) -> None:
    with _speaking:
        print(json.dumps(answer), file=_answers, flush=True)


def obey(node: Any, publishers: dict[str, Any], order: dict[str, Any]) -> None:
    topic = order["topic"]
    if order["do"] == "stop":
        node.destroy_publisher(publishers.pop(topic))
        return
    message_class = class_of(order["kind"])
    kept: bool = order["kept"]
    qos = QoSProfile(
        depth=1 if kept else 1000,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if kept else DurabilityPolicy.VOLATILE,
    )
    if order["do"] == "listen":
        node.create_subscription(message_class, topic, lambda it: tell({"topic": topic, "message": to_fields(it)}), qos)
        return
    if topic not in publishers:
        publishers[topic] = node.create_publisher(message_class, topic, qos)
    while not (kept or publishers[topic].get_subscription_count()):
        time.sleep(0.02)
    for fields in order["messages"]:
        publishers[topic].publish(filled(message_class(), fields))


def class_of(kind: str) -> type:
    package, name = kind.split("/")
    found: type = getattr(import_module(f"{package}.msg"), name)
    return found


def filled(message: Any, fields: dict[str, Any]) -> Any:
    """The message with these fields; messages in it, and arrays of them, likewise."""
    for name, value in fields.items():
        if isinstance(value, dict):
            filled(getattr(message, name), value)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            kind = re.sub(r"^sequence<|[>,\[].*$", "", message.get_fields_and_field_types()[name])
            setattr(message, name, [filled(class_of(kind)(), item) for item in value])
        else:
            setattr(message, name, value)
    return message


if __name__ == "__main__":
    main()
