"""The executables that `ros2 run` and launch start: one sentence where ROS, messages or arguments are not right.

Nothing of ROS is imported before it is looked after, so that a workspace whose messages are not built can say so.
"""

from __future__ import annotations

import sys
from importlib import import_module

from ..errors import not_installed


def microphone() -> int:
    return run_node("microphone")


def speech() -> int:
    return run_node("speech")


def pose() -> int:
    return run_node("pose")


def mocap() -> int:
    return run_node("mocap")


def emotion() -> int:
    return run_node("emotion")


def run_node(name: str) -> int:
    """Run one node until SIGINT or SIGTERM; the exit code."""
    try:
        main = import_module(f"{__package__}.{name}_node").main
        unknown = other_arguments(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except ImportError as error:
        if error.name is None or error.name.startswith("mser_ros"):
            raise
        is_missing = isinstance(error, ModuleNotFoundError)
        problem = str(not_installed(error.name)) if is_missing else f"{error}: build the interfaces again with colcon"
    else:
        if not unknown:
            return main()
        problem = f"'{unknown[0]}' is not known here: what is meant for ROS goes behind --ros-args"
    print(f"{name}_node: {problem}", file=sys.stderr)
    return 1


def other_arguments(arguments: list[str]) -> list[str]:
    """What ROS leaves of a command line; nothing where it cannot read it, which it says itself later."""
    from rclpy.utilities import remove_ros_args

    try:
        return remove_ros_args(arguments)
    except RuntimeError:
        return []
