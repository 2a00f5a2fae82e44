"""Starts the nodes: microphone → speech → emotion, camera → pose → mocap → emotion. No logic, only arguments."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.logging import get_logger
from launch_ros.actions import Node

from mser_ros.nodes.launch_arguments import (
    ARGUMENTS,
    check,
    flag_of,
    misspelt,
    node_parameters,
    nodes_to_start,
    remappings,
)


def nodes(context):
    """The nodes, each with what was given and nothing else. Raises `SettingsError` for a wrong argument."""
    given = {name: context.launch_configurations[name] for name in ARGUMENTS}
    check(given)
    for sentence in misspelt(context.argv):
        get_logger("mser_ros").warning(sentence)
    return [
        Node(
            package="mser_ros",
            executable=f"{name}_node",
            name=name,
            namespace=given["namespace"],
            parameters=node_parameters(name, given),
            remappings=remappings(given),
            arguments=["--ros-args", "--log-level", given["log_level"]],
            output="screen",
            emulate_tty=True,
            respawn=flag_of("respawn", given),
            respawn_delay=2.0,
        )
        for name in nodes_to_start(given)
    ]


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=nodes),
        ]
    )
