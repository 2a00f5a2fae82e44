"""What the launch files make of their arguments, without launch: the nodes get what was given and nothing else."""

from __future__ import annotations

import re
import runpy
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from mser_ros.errors import DependencyError, SettingsError
from mser_ros.nodes import launch_arguments
from mser_ros.nodes.launch_arguments import (
    ARGUMENTS,
    REPLAY_ARGUMENTS,
    TOPICS,
    check,
    check_replay,
    misspelt,
    node_parameters,
    nodes_to_start,
    remappings,
)
from mser_ros.resources import config_file, share_dir
from mser_ros.settings import NODES
from mser_ros.settings.schema import flatten

ROOT = Path(__file__).parents[2]


def given(**arguments: str) -> dict[str, str]:
    return {name: default for name, (default, _) in ARGUMENTS.items()} | arguments


def to_replay(**arguments: str) -> dict[str, str]:
    return {name: default for name, (default, _) in REPLAY_ARGUMENTS.items()} | arguments


@pytest.mark.parametrize("node", NODES)
def test_where_nothing_is_given_nothing_outweighs_the_parameter_file(node: str) -> None:
    check(given())
    assert node_parameters(node, given()) == [str(config_file())]
    assert node_parameters(node, given(params_file="mine.yaml")) == ["mine.yaml"]
    assert remappings(given()) == []


@pytest.mark.parametrize(
    ("argument", "text", "node", "parameter", "value"),
    [
        ("device", "3", "microphone", "device", "3"),
        ("camera_device", "1", "pose", "device", "1"),
        ("bundle", str(ROOT), "emotion", "bundle", str(ROOT)),
        ("asr_backend", "none", "speech", "asr.backend", "none"),
        ("asr_model", str(ROOT), "speech", "asr.model_path", str(ROOT)),
        ("skeleton_layout", "zed38", "mocap", "layout", "zed38"),
        *(("use_sim_time", text, node, "use_sim_time", text == "true") for text in ("true", "false") for node in NODES),
        *(("autostart", text, node, "autostart", text == "True") for text in ("True", "False") for node in NODES),
    ],
)
def test_what_is_given_reaches_the_node_that_it_means(
    argument: str, text: str, node: str, parameter: str, value: Any
) -> None:
    arguments = given(camera="true", **{argument: text})
    check(arguments)
    assert node_parameters(node, arguments) == [str(config_file()), {parameter: value}]
    others = [name for name in NODES if name != node]
    if argument in ("use_sim_time", "autostart"):
        assert all(node_parameters(name, arguments)[1] == {parameter: value} for name in others)
    else:
        assert all(node_parameters(name, arguments) == [str(config_file())] for name in others)


def test_every_parameter_that_an_argument_sets_is_one() -> None:
    for node, parameter in [*launch_arguments.SETS.values(), *sum(launch_arguments.TURNS.values(), ())]:
        assert parameter in {item.name for item in flatten(NODES[node])}


@pytest.mark.parametrize(("text", "value"), [("true", True), ("0", False)])
def test_one_argument_turns_ros4hri_on_or_off_in_each_node_that_knows_it(text: str, value: bool) -> None:
    arguments = given(ros4hri=text)
    check(arguments)
    turned = [name for name in NODES if node_parameters(name, arguments)[1:] == [{"ros4hri.enabled": value}]]
    assert turned == ["speech", "emotion"]
    assert all(node_parameters(name, arguments) == [str(config_file())] for name in set(NODES) - set(turned))


@pytest.mark.parametrize(("text", "runs"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_the_microphone_is_a_choice(text: str, runs: bool) -> None:
    others = [name for name in NODES if name not in ("microphone", "pose")]
    assert nodes_to_start(given(microphone=text)) == ["microphone"] * runs + others


@pytest.mark.parametrize(("text", "runs"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_the_camera_is_a_choice_and_off_unless_it_is_made(text: str, runs: bool) -> None:
    assert "pose" not in nodes_to_start(given())
    assert ("pose" in nodes_to_start(given(camera=text))) is runs


@pytest.mark.parametrize("arguments", [{"camera_device": "0"}, {"image_topic": "/camera/image_raw"}])
def test_what_is_said_of_a_camera_needs_one(arguments: dict[str, str]) -> None:
    check(given(camera="true", **arguments))
    with pytest.raises(SettingsError, match=f"{next(iter(arguments))} has no effect without camera:=true"):
        check(given(**arguments))


def test_the_images_come_from_the_topic_that_is_named() -> None:
    assert remappings(given(camera="true", image_topic="/camera/image_raw")) == [("image", "/camera/image_raw")]


def test_the_calibration_needs_no_camera_of_this_package() -> None:
    """The mocap node takes it as well, for points that a tracker gives as fractions of the image."""
    check(given(camera_info_topic="/camera/camera_info"))


def test_every_topic_is_an_argument() -> None:
    table = (ROOT / "docs" / "topics.md").read_text(encoding="utf-8").split("types -->")[1]
    topics = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    renamed = {"image": "image_topic", "camera_info": "camera_info_topic"}
    assert [renamed.get(topic, topic) for topic in topics] == list(TOPICS)
    everywhere = given(**{name: f"/robot/{name}" for name in TOPICS})
    check(everywhere | {"camera": "true"})
    assert remappings(everywhere) == [(topic, f"/robot/{renamed.get(topic, topic)}") for topic in topics]


def test_only_topics_that_go_by_another_name_are_remapped() -> None:
    arguments = given(audio="/robot/mic", emotion="~/emotion")
    check(arguments)
    assert remappings(arguments) == [("audio", "/robot/mic"), ("emotion", "~/emotion")]


@pytest.mark.parametrize("namespace", ["", "/", "robot", "/robot", "/a/b_2/"])
def test_namespaces_of_ros_are_taken(namespace: str) -> None:
    check(given(namespace=namespace))


@pytest.mark.parametrize("level", ["debug", "WARN", "rcl:=debug"])
def test_log_levels_of_ros_are_taken(level: str) -> None:
    check(given(log_level=level))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"use_sim_time": "treu"}, "launch argument use_sim_time must be true or false, not 'treu'"),
        ({"autostart": "ja"}, "launch argument autostart must be true or false, not 'ja'"),
        ({"ros4hri": "on"}, "launch argument ros4hri must be true or false, not 'on'"),
        ({"respawn": ""}, "launch argument respawn must be true or false, not ''"),
        ({"respawn": "often"}, "launch argument respawn must be true or false, not 'often'"),
        ({"microphone": "off"}, "launch argument microphone must be true or false, not 'off'"),
        ({"asr_backend": "siri"}, "launch argument asr_backend must be one of auto, whisper, vosk, pocketsphinx, none"),
        ({"asr_model": "/no/model"}, "launch argument asr_model: there is no folder /no/model: name an unpacked model"),
        ({"bundle": "/no/bundle"}, "launch argument bundle: there is no folder /no/bundle: name what 'mser export'"),
        (
            {"params_file": "/no/file"},
            "launch argument params_file: there is no parameter file /no/file: name one like",
        ),
        ({"log_level": "loud"}, "launch argument log_level must be one of debug, info, warn, error, fatal, not 'loud'"),
        ({"namespace": "my robot"}, "launch argument namespace must be a name such as /robot"),
        ({"namespace": "/1st"}, "launch argument namespace must be a name such as /robot"),
        *(({topic: "a b"}, f"launch argument {topic} must be a topic such as /robot/audio") for topic in TOPICS),
        ({"audio": ""}, "launch argument audio must be a topic"),
    ],
)
def test_a_wrong_argument_is_one_sentence_that_names_it(arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check(given(**arguments))
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["a: [", "speech: 3", ""])
def test_a_parameter_file_that_is_none_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(
        SettingsError, match=r"^launch argument params_file: parameter file .*mine\.yaml (is|has) no .+: "
    ):
        check(given(params_file=str(tmp_path / "mine.yaml")))


def test_files_of_the_home_folder_may_be_named_as_such(
    ros2_bag: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    (tmp_path / "mine.yaml").write_text("/**/speech: {ros__parameters: {asr: {backend: none}}}\n")
    arguments = given(params_file="~/mine.yaml", bundle="~/model", asr_model="~/model")
    check(arguments)
    assert node_parameters("mocap", arguments) == [str(tmp_path / "mine.yaml")]
    assert node_parameters("emotion", arguments)[1] == {"bundle": "~/model"}  # the nodes know the '~' themselves
    check_replay(to_replay(bag="~/model"))
    assert launch_arguments.player_command(to_replay(bag="~/model"))[-1] == str(tmp_path / "model")


def test_an_argument_that_is_none_but_much_like_one_is_told() -> None:
    said = list(misspelt(["asr_backed:=none", "bundel:=x", "bundle:=x", "bag:=y", "color:=blue", "audio"]))
    assert said == [
        "launch argument asr_backed is not known here and has no effect: did you mean asr_backend?",
        "launch argument bundel is not known here and has no effect: did you mean bundle?",
    ]


@pytest.mark.parametrize(
    ("topic", "argument"),
    [("image", "image_topic"), ("/image", "image_topic"), ("camera_info", "camera_info_topic"), ("/state", "state")],
)
def test_a_topic_that_is_no_argument_is_told_with_what_it_is_called(topic: str, argument: str) -> None:
    said = list(misspelt([f"{topic}:=/x"]))
    assert said == [f"launch argument {topic} is not known here and has no effect: it is called {argument} here"]


@pytest.fixture
def ros2_bag(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the command ros2 could play bags."""
    entry = metadata.EntryPoint("bag", "ros2bag.command.bag:BagCommand", "ros2cli.command")
    monkeypatch.setattr(launch_arguments, "entry_points", lambda group: [entry] if group == entry.group else [])


def test_without_ros2_bag_there_is_a_sentence_instead_of_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch_arguments, "entry_points", lambda group: [])
    with pytest.raises(
        DependencyError, match=r"^'ros2 bag' is not installed.*sudo apt install .* or replay with 'mser demo"
    ):
        check_replay(to_replay())


def test_the_demo_bag_is_what_is_replayed_by_default(ros2_bag: None) -> None:
    check_replay(to_replay())
    assert launch_arguments.bag_to_play(to_replay()) == share_dir() / "demo" / "demo.mcap"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"bag": "/no/bag"}, "launch argument bag: there is no bag /no/bag: check the path"),
        ({"rate": "fast"}, "launch argument rate must be a number, 0.001 or more, not 'fast'"),
        ({"rate": "0"}, "launch argument rate must be a number, 0.001 or more, not '0'"),
        ({"delay": "-1"}, "launch argument delay must be a number, 0 or more, not '-1'"),
        ({"delay": "nan"}, "launch argument delay must be a number, 0 or more, not 'nan'"),
    ],
)
def test_a_replay_that_cannot_be_is_one_sentence(ros2_bag: None, arguments: dict[str, str], sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_replay(to_replay(**arguments))
    assert str(caught.value) == sentence


# -- the launch files themselves, on a launch that only notes what it is given


class Noted:
    """Whatever of launch is made: what it was made of."""

    def __init__(self, *values: Any, **named: Any) -> None:
        self.values, self.named = values, named

    def __getattr__(self, name: str) -> Any:
        return self.named[name]


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Noted]]:
    """The classes that stand for those of launch, by name."""
    names = {
        "launch": ["LaunchDescription"],
        "launch.actions": [
            "DeclareLaunchArgument", "ExecuteProcess", "IncludeLaunchDescription", "OpaqueFunction", "Shutdown"
        ],
        "launch.launch_description_sources": ["PythonLaunchDescriptionSource"],
        "launch.substitutions": ["PathJoinSubstitution", "ThisLaunchFileDir"],
        "launch_ros": [],
        "launch_ros.actions": ["Node"],
    }  # fmt: skip
    classes = {name: type(name, (Noted,), {}) for group in names.values() for name in group}
    for module, group in names.items():
        fake = ModuleType(module)
        for name in group:
            setattr(fake, name, classes[name])
        monkeypatch.setitem(sys.modules, module, fake)
    logging = ModuleType("launch.logging")
    logging.get_logger = lambda name: SimpleNamespace(warning=SAID.append, error=SAID.append)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "launch.logging", logging)
    SAID.clear()
    return classes


SAID: list[str] = []


def visit(name: str, *command_line: str) -> list[Noted]:
    """Everything that a launch file starts, with these arguments."""
    entities = runpy.run_path(str(ROOT / "launch" / f"{name}.launch.py"))["generate_launch_description"]().values[0]
    values = dict(item.split(":=") for item in command_line)
    for item in entities:
        if type(item).__name__ == "DeclareLaunchArgument":
            assert item.description
            values.setdefault(item.values[0], item.default_value)
    context = SimpleNamespace(launch_configurations=values, argv=command_line, is_shutdown=False)
    found: list[Noted] = []
    for item in entities:
        found += item.function(context) or [] if type(item).__name__ == "OpaqueFunction" else [item]
    return [item for item in found if type(item).__name__ != "DeclareLaunchArgument"]


def test_the_launch_file_hands_on_what_was_given(noted: dict[str, type[Noted]], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/speech: {ros__parameters: {asr: {backend: none}}}\n")
    nodes = visit("emotion", f"params_file:={mine}", "namespace:=robot", "audio:=/mic", "bundle:=/", "bundel:=/")
    assert [node.executable for node in nodes] == [f"{name}_node" for name in NODES if name != "pose"]
    assert {node.namespace for node in nodes} == {"robot"}
    assert not any(node.respawn for node in nodes)
    assert all(node.remappings == [("audio", "/mic")] for node in nodes)
    assert [node.parameters for node in nodes] == [[str(mine)], [str(mine)], [str(mine)], [str(mine), {"bundle": "/"}]]
    assert all(node.respawn is True for node in visit("emotion", "respawn:=true"))
    assert len(SAID) == 1
    assert "did you mean bundle?" in SAID[0]


def test_the_launch_file_starts_nothing_where_an_argument_is_wrong(noted: dict[str, type[Noted]]) -> None:
    with pytest.raises(SettingsError, match="launch argument asr_model"):
        visit("emotion", "asr_model:=/no/model")


def test_the_replay_starts_nothing_without_a_player(
    noted: dict[str, type[Noted]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_arguments, "entry_points", lambda group: [])
    with pytest.raises(DependencyError, match="'ros2 bag' is not installed"):
        visit("replay")


@pytest.mark.parametrize("delay", ["0", "0.0", "2.5"])
def test_the_player_is_given_no_delay_of_0_which_it_refuses(
    noted: dict[str, type[Noted]], ros2_bag: None, delay: str
) -> None:
    _, player = visit("replay", f"delay:={delay}")
    assert ("--delay" in player.cmd) is (delay == "2.5")


def test_a_player_that_fails_takes_the_nodes_with_it(noted: dict[str, type[Noted]], ros2_bag: None) -> None:
    nodes, player = visit("replay", "rate:=2")
    assert dict(nodes.launch_arguments) == {"microphone": "false", "use_sim_time": "true"}
    assert player.cmd[:3] == ["ros2", "bag", "play"]
    assert player.cmd[-3:] == ["--rate", "2", str(share_dir() / "demo" / "demo.mcap")]
    context = SimpleNamespace(is_shutdown=False)
    assert player.on_exit(SimpleNamespace(returncode=0), context) is None
    assert SAID == []
    (end,) = player.on_exit(SimpleNamespace(returncode=2), context)
    assert type(end).__name__ == "Shutdown"
    assert [end.reason] == SAID == ["'ros2 bag play' has failed with code 2: see what it says above"]
    context.is_shutdown = True
    assert player.on_exit(SimpleNamespace(returncode=-2), context) is None
