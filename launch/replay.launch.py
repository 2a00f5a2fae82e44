"""Starts the nodes without a microphone on simulated time, and plays a bag into them."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.logging import get_logger
from launch.substitutions import PathJoinSubstitution, ThisLaunchFileDir

from mser_ros.nodes.launch_arguments import REPLAY_ARGUMENTS, check_replay, player_command


def check(context):
    """Stop before the nodes are started where the bag cannot be played."""
    check_replay(given_to(context))


def play(context):
    """The player; where it fails no nodes are left behind that wait for the bag."""
    return [ExecuteProcess(cmd=player_command(given_to(context)), output="screen", on_exit=on_end)]


def on_end(event, context):
    if event.returncode and not context.is_shutdown:
        why = f"'ros2 bag play' has failed with code {event.returncode}: see what it says above"
        get_logger("mser_ros").error(why)
        return [Shutdown(reason=why)]
    return None


def given_to(context):
    return {name: context.launch_configurations[name] for name in REPLAY_ARGUMENTS}


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in REPLAY_ARGUMENTS.items()
            ),
            OpaqueFunction(function=check),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PathJoinSubstitution([ThisLaunchFileDir(), "emotion.launch.py"])),
                launch_arguments={"microphone": "false", "use_sim_time": "true"}.items(),
            ),
            OpaqueFunction(function=play),
        ]
    )
