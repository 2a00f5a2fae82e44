"""Several nodes of one kind in one process, which report more often than once a second, until it is killed.

nodes_together.py NODE '[["-r", "__ns:=/one"], ...]', the arguments of ROS of each.
"""

from __future__ import annotations

import json
import sys

import rclpy

from mser_ros.nodes import heartbeat
from mser_ros.nodes.run import create_node, start
from mser_ros.nodes.spinner import Spinner


def main(name: str, arguments: list[list[str]]) -> None:
    heartbeat._REPORT_S, heartbeat._BEAT_S = 0.2, 0.05
    rclpy.init(args=[])
    spinner = Spinner()
    for own in arguments:
        node = create_node(name, cli_args=["--ros-args", *own])
        spinner.add(node)
        start(node)
    spinner.spin()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
