"""Starts the nodes without a microphone on simulated time, and plays a bag into them."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare


def generate_launch_description():
    share = FindPackageShare("mser_ros")
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                "bag", default_value=PathJoinSubstitution([share, "demo", "demo.mcap"]), description="Bag to play"
            ),
            DeclareLaunchArgument("rate", default_value="1.0", description="Speed of the replay"),
            DeclareLaunchArgument("delay", default_value="3.0", description="Seconds until the bag starts"),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(PathJoinSubstitution([share, "launch", "emotion.launch.py"])),
                launch_arguments={"microphone": "false", "use_sim_time": "true"}.items(),
            ),
            ExecuteProcess(
                cmd=[
                    *("ros2", "bag", "play", "--clock", "100", "--disable-keyboard-controls"),
                    *("--delay", LaunchConfiguration("delay"), "--rate", LaunchConfiguration("rate")),
                    LaunchConfiguration("bag"),
                ],
                output="screen",
            ),
        ]
    )
