"""The arguments of the launch files: what may be given, and what the nodes get of it.

The nodes get only what was given, so that all else stays as the parameter file says. Needs neither launch nor ROS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from importlib.metadata import entry_points
from os.path import expanduser  # as a shell leaves the '~' of bag:=~/bag as it is
from pathlib import Path
from typing import Any

from ..errors import DependencyError, SettingsError
from ..resources import config_file, share_dir
from ..settings import AUTOSTART, NODES, USE_SIM_TIME
from ..settings.schema import Setting, flatten
from .parameter_file import read_parameter_file

#: As docs/topics.md lists them. Those that begin with '/' are no arguments.
TOPICS = {
    "audio": "the microphone's audio (mser_msgs/AudioFrame, or what others send)",
    "audio_info": "the format of that audio (audio_common_msgs/AudioInfo)",
    "voice": "the converted audio (mser_msgs/AudioFrame)",
    "robot_speaking": "whether the robot itself speaks (std_msgs/Bool)",
    "text": "another recogniser's words (std_msgs/String or hri_msgs/LiveSpeech), where asr.foreign is set",
    "listening": "whether people are listened to (std_msgs/Bool)",
    "utterance": "the utterances (mser_msgs/Utterance)",
    "image_topic": "the camera's images (sensor_msgs/Image or CompressedImage)",
    "camera_info_topic": "the camera's calibration (sensor_msgs/CameraInfo)",
    "skeleton_in": "the tracker's skeletons (mser_msgs/Skeleton, or what other trackers send)",
    "skeleton": "the checked skeletons (mser_msgs/Skeleton)",
    "emotion": "the emotions (mser_msgs/Emotion)",
    "state": "how each person is over time (mser_msgs/EmotionState)",
    "event": "when a condition of state.events begins and ends (mser_msgs/EmotionEvent)",
    "markers": "the labels for rviz and Foxglove (visualization_msgs/MarkerArray)",
}
#: The topics that are not called as their arguments are.
_CALLED = {"image_topic": "image", "camera_info_topic": "camera_info"}
#: The parameter that an argument sets where it is given.
SETS = {
    "device": ("microphone", "device"),
    "camera_device": ("pose", "device"),
    "bundle": ("emotion", "bundle"),
    "asr_backend": ("speech", "asr.backend"),
    "asr_model": ("speech", "asr.model_path"),
    "skeleton_layout": ("mocap", "layout"),
}
#: The parameters of nodes that an argument, true or false, turns on or off where it is given.
TURNS = {"ros4hri": (("speech", "ros4hri.enabled"), ("emotion", "ros4hri.enabled"))}
COMMON = (USE_SIM_TIME, AUTOSTART)
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")

_FILE = "; empty: as params_file says"
#: Every argument of emotion.launch.py: its default and what it is.
ARGUMENTS: Mapping[str, tuple[str, str]] = {
    "namespace": ("", "Namespace of all nodes and topics"),
    "params_file": ("", "Parameters of every node; empty: config/emotion.yaml of this package"),
    "use_sim_time": ("", f"true or false: follow /clock, as for a bag that is played with --clock{_FILE}"),
    "log_level": ("info", ", ".join(LOG_LEVELS)),
    "autostart": ("", f"true or false: configure and activate the nodes at start{_FILE}"),
    "respawn": ("false", "true or false: start a node anew two seconds after its process has ended"),
    "microphone": ("true", "true or false: run the microphone node; false: audio comes from elsewhere"),
    "device": ("", f"Number of the sound device, or a part of its name{_FILE}"),
    "camera": ("false", "true or false: run the pose node, which finds bodies in the images of image_topic"),
    "camera_device": (
        "",
        f"Camera that the pose node opens itself instead, as 0 or /dev/video0{_FILE}",
    ),
    "bundle": ("", f"Folder of the model bundle{_FILE}"),
    "asr_backend": ("", f"auto, whisper, vosk, pocketsphinx or none{_FILE}"),
    "asr_model": ("", f"Folder of the recogniser's model, which vosk needs{_FILE}"),
    "skeleton_layout": ("", f"Joint layout of skeletons that name none{_FILE}"),
    "ros4hri": ("", f"true or false: hear the voices and follow the persons of /humans (REP-155){_FILE}"),
    **{name: (_CALLED.get(name, name), f"Topic of {what}") for name, what in TOPICS.items()},
}
#: Every argument of replay.launch.py beside those.
REPLAY_ARGUMENTS: Mapping[str, tuple[str, str]] = {
    "bag": ("", "Bag to play; empty: the demo bag of this package"),
    "rate": ("1.0", "Speed of the replay"),
    "delay": ("3.0", "Seconds until the bag starts"),
}


def check(given: Mapping[str, str]) -> None:
    """Raise `SettingsError`, naming the argument, for a value that cannot be meant. `given`: all of `ARGUMENTS`."""
    flags = [name for name in (*TURNS, *(item.name for item in COMMON)) if given[name]]
    for name in ("microphone", "camera", "respawn", *flags):
        flag_of(name, given)
    if given["log_level"].rpartition(":=")[2].lower() not in LOG_LEVELS:
        raise _wrong("log_level", f"be one of {', '.join(LOG_LEVELS)}", given["log_level"])
    if not re.fullmatch(r"/?|/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", given["namespace"], re.ASCII):
        raise _wrong("namespace", "be a name such as /robot, of letters, digits, '_' and '/'", given["namespace"])
    for topic in TOPICS:
        if not re.fullmatch(r"(/|~/?)?[A-Za-z_{}][\w{}]*(/[A-Za-z_{}][\w{}]*)*", given[topic], re.ASCII):
            raise _wrong(topic, "be a topic such as /robot/audio, of letters, digits, '_' and '/'", given[topic])
    for name in ("camera_device", "image_topic"):  # the mocap node takes camera_info as well
        if given[name] != ARGUMENTS[name][0] and not flag_of("camera", given):
            raise SettingsError(f"launch argument {name} has no effect without camera:=true: give that as well")
    for name, (node, parameter) in SETS.items():
        if given[name]:
            replace(_setting(node, parameter), name=f"launch argument {name}").check(given[name])
    for name, wanted in (("bundle", "what 'mser export' wrote"), ("asr_model", "an unpacked model of the recogniser")):
        if given[name] and not Path(expanduser(given[name])).is_dir():
            raise SettingsError(f"launch argument {name}: there is no folder {given[name]}: name {wanted}")
    if given["params_file"]:
        try:
            read_parameter_file(Path(expanduser(given["params_file"])))
        except SettingsError as error:
            raise SettingsError(f"launch argument params_file: {error}") from None


def nodes_to_start(given: Mapping[str, str]) -> list[str]:
    """The nodes to start."""
    asked = {"microphone": flag_of("microphone", given), "pose": flag_of("camera", given)}
    return [name for name in NODES if asked.get(name, True)]


def node_parameters(node: str, given: Mapping[str, str]) -> list[str | dict[str, Any]]:
    """What one node gets: the parameter file, and what was given beside it."""
    values: dict[str, Any] = {item.name: flag_of(item.name, given) for item in COMMON if given[item.name]}
    values |= {name: given[argument] for argument, (its, name) in SETS.items() if its == node and given[argument]}
    for argument in filter(given.__getitem__, TURNS):
        values |= {name: flag_of(argument, given) for its, name in TURNS[argument] if its == node}
    return [expanduser(given["params_file"]) or str(config_file()), *([values] if values else [])]


def remappings(given: Mapping[str, str]) -> list[tuple[str, str]]:
    """The topics that go by another name."""
    called = {name: _CALLED.get(name, name) for name in TOPICS}
    return [(topic, given[name]) for name, topic in called.items() if given[name] != topic]


def flag_of(name: str, given: Mapping[str, str]) -> bool:
    """What an argument that is true or false says, in any of the ways in which launch writes it."""
    flags = {"true": True, "1": True, "false": False, "0": False}
    if given[name].lower() not in flags:
        raise _wrong(name, "be true or false", given[name])
    return flags[given[name].lower()]


def misspelt(command_line: Sequence[str]) -> Iterator[str]:
    """A sentence for each argument that is none, but much like one, or a topic's name: launch itself takes whatever it
    is given."""
    known = [*ARGUMENTS, *REPLAY_ARGUMENTS]
    arguments = {_CALLED.get(name, name): name for name in TOPICS}
    for name in (item.partition(":=")[0] for item in command_line):
        if name in known:
            continue
        unknown = f"launch argument {name} is not known here and has no effect"
        if argument := arguments.get(name.removeprefix("/")):
            yield f"{unknown}: it is called {argument} here"
        elif near := get_close_matches(name, known, 1, cutoff=0.8):
            yield f"{unknown}: did you mean {near[0]}?"


def check_replay(given: Mapping[str, str]) -> None:
    """Raise `SettingsError` for a wrong argument, `DependencyError` where nothing can play a bag."""
    if not has_ros2_bag():
        raise DependencyError(f"'ros2 bag' is not installed, which plays the bag: {GET_ROS2_BAG}")
    if not bag_to_play(given).exists():
        raise SettingsError(f"launch argument bag: there is no bag {given['bag']}: check the path")
    for name, low in (("rate", 1e-3), ("delay", 0.0)):
        try:
            is_good = low <= float(given[name]) < float("inf")
        except ValueError:
            is_good = False
        if not is_good:
            raise _wrong(name, f"be a number, {low:g} or more", given[name])


def player_command(given: Mapping[str, str]) -> list[str]:
    """What plays the bag."""
    # 'ros2 bag play' takes no delay of 0.
    delay = ["--delay", given["delay"]] if float(given["delay"]) > 0 else []
    options = ["--clock", "100", "--disable-keyboard-controls", *delay, "--rate", given["rate"]]
    return ["ros2", "bag", "play", *options, str(bag_to_play(given))]


def bag_to_play(given: Mapping[str, str]) -> Path:
    return Path(expanduser(given["bag"])) if given["bag"] else share_dir() / "demo" / "demo.mcap"


#: The cure where `has_ros2_bag` is false.
GET_ROS2_BAG = (
    "sudo apt install ros-$ROS_DISTRO-ros2bag ros-$ROS_DISTRO-rosbag2-storage-mcap, "
    "or replay with 'mser demo --bag BAG'"
)


def has_ros2_bag() -> bool:
    """Whether the command `ros2` has the part that plays bags."""
    return any(command.name == "bag" for command in entry_points(group="ros2cli.command"))


def _setting(node: str, name: str) -> Setting:
    return next(item for item in flatten(NODES[node]) if item.name == name)


def _wrong(name: str, wanted: str, text: str) -> SettingsError:
    return SettingsError(f"launch argument {name} must {wanted}, not '{text}'")
