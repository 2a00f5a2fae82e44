"""A process that sends back every message of mser_msgs that it hears: from <type>_there to <type>_back."""

from __future__ import annotations

import signal

import rclpy
from mser_msgs import msg
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.signals import SignalHandlerOptions

from mser_ros.nodes.spinner import Spinner, on_signals


def main() -> None:
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    spinner = Spinner()
    with on_signals((signal.SIGINT, signal.SIGTERM), spinner.stop):
        node = rclpy.create_node("echo")
        kept = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        kinds = [kind for kind in vars(msg).values() if isinstance(kind, type)]
        for kind in kinds:
            name = kind.__name__.lower()
            # Whoever asked may be found by this publisher later than its question.
            back = node.create_publisher(kind, f"{name}_back", kept)
            node.create_subscription(kind, f"{name}_there", back.publish, 10)
        spinner.add(node)
        spinner.spin()
        spinner.close()
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
