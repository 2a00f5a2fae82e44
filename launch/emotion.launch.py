"""Starts the nodes: microphone → speech → emotion, skeletons → mocap → emotion. No logic: arguments and nodes only."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

ARGUMENTS = {
    "namespace": ("", "Namespace of all nodes and topics"),
    "params_file": (
        PathJoinSubstitution([FindPackageShare("mser_ros"), "config", "emotion.yaml"]),
        "Parameters of every node",
    ),
    "use_sim_time": ("false", "Follow /clock, as for a bag that is played with --clock"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "autostart": ("true", "Configure and activate the nodes at start"),
    "microphone": ("true", "Run the microphone node; false: audio comes from elsewhere"),
    "device": ("", "Number of the sound device, or a part of its name"),
    "bundle": ("", "Folder of the model bundle; empty: the default one"),
    "asr_backend": ("auto", "auto, whisper, vosk, pocketsphinx or none"),
    "asr_model": ("", "Folder of the recogniser's model, which vosk needs"),
    "audio": ("audio", "Topic of the microphone's audio (mser_msgs/AudioFrame)"),
    "voice": ("voice", "Topic of the converted audio (mser_msgs/AudioFrame)"),
    "utterance": ("utterance", "Topic of the utterances (mser_msgs/Utterance)"),
    "skeleton_in": ("skeleton_in", "Topic of the tracker's skeletons (mser_msgs/Skeleton)"),
    "skeleton": ("skeleton", "Topic of the checked skeletons (mser_msgs/Skeleton)"),
    "emotion": ("emotion", "Topic of the emotions (mser_msgs/Emotion)"),
}
TOPICS = ("audio", "voice", "utterance", "skeleton_in", "skeleton", "emotion")


def text(argument):
    """A launch argument that stays text, even if it looks like a number."""
    return ParameterValue(LaunchConfiguration(argument), value_type=str)


def flag(argument):
    """A launch argument that is true or false."""
    return ParameterValue(LaunchConfiguration(argument), value_type=bool)


def node(name, parameters=None, **arguments):
    """One node of this package with what all of them share."""
    return Node(
        package="mser_ros",
        executable=f"{name}_node",
        name=name,
        namespace=LaunchConfiguration("namespace"),
        parameters=[
            LaunchConfiguration("params_file"),
            {"use_sim_time": flag("use_sim_time"), "autostart": flag("autostart")},
            parameters or {},
        ],
        remappings=[(topic, LaunchConfiguration(topic)) for topic in TOPICS],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
        output="screen",
        emulate_tty=True,
        **arguments,
    )


def generate_launch_description():
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, (default, description) in ARGUMENTS.items()
            ),
            node("microphone", {"device": text("device")}, condition=IfCondition(LaunchConfiguration("microphone"))),
            node("speech", {"asr.backend": text("asr_backend"), "asr.model_path": text("asr_model")}),
            node("mocap"),
            node("emotion", {"bundle": text("bundle")}),
        ]
    )
