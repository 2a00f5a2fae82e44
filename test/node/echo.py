"""A process that sends back every message of mser_msgs that it hears: from <type>_there to <type>_back."""

from __future__ import annotations

import rclpy
from mser_msgs import msg
from rclpy.executors import ExternalShutdownException


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("echo")
    kinds = [kind for kind in vars(msg).values() if isinstance(kind, type)]
    for kind in kinds:
        name = kind.__name__.lower()
        back = node.create_publisher(kind, f"{name}_back", 10)
        node.create_subscription(kind, f"{name}_there", back.publish, 10)
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
