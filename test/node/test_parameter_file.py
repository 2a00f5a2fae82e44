"""Parameter files are read as ROS itself reads them: compared with real nodes that are given the same file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import ros_world  # skips, and says why, where ROS is missing
from rclpy.context import Context
from rclpy.logging import LoggingSeverity

from mser_ros.errors import SettingsError
from mser_ros.nodes.parameter_file import parameters_of, read_parameter_file
from mser_ros.nodes.processes import NodeProcesses

CONTENT = """
/**:
  ros__parameters: {a: 1, b: 1e-3, c: x, d: -2E2, e: 1.5, ee: -7}
speech:
  ros__parameters: {a: 2, g: {h: 3, i.j: 4}}
/robot:
  speech:
    ros__parameters: {a: 5}
  other:
    ros__parameters: {a: 50}
/robot/speech:
  ros__parameters: {s: 6}
/**/speech:
  ros__parameters:
    c: y
    k: [1, 2]
    l: on
    m: 0x10
    n: 1.
    o: .5
    p: "1"
    q: ~/x
    r: 'no'
    t: "1e3"
    u: Nobody
/*/speech:
  ros__parameters: {z: 7}
/**:
  speech:
    ros__parameters: {v: 8}
/**/mocap:
  ros__parameters: {w: 9}
robot/a_b:
  speech: {ros__parameters: {x: 10}}
"""


SCALARS = """
44_100 1.5e2 -.5 +.5 2024-01-01 2024-13-45 12:30 010 08 0o17 0b11 0x1F -0x10 +5 1. 1e3 1e-3 1E+3 .inf -.inf .nan .NaN
+.nan inf -inf Infinity nan null ~ Null ye t y Y N yes Off TRUE tRue 0x + = 1,5 1.5.2 1e400 9223372036854775807
9223372036854775808 -9223372036854775808 99999999999999999999 "5" '' '1e3' "yes"
"""
WITH_SPACES = ["!!str 5", '!!int "5"', "!!float 5", "!mine 5", "1 2", "&name 5", ">-\n      5", "|\n      5\n"]

REFUSED = [
    "/**: {ros__parameters: {a: &name 1, b: *name}}",
    "/**: {ros__parameters: {a: [1, 2.5]}}",
    "/**: {ros__parameters: {a: [y, tr]}}",
    "/**: {ros__parameters: {a: [[1], [2]]}}",
    "/**: {ros__parameters: {a: }}",
    "/**: {ros__parameters: {'': 1}}",
    "/**: {ros__parameters: {[1]: 2}}",
    "/**: {ros__parameters: }",
    "/**: {ros__parameters: [1]}",
    "/**: 1",
    "a: [1]",
    "a: {b: 1}\n/**: {ros__parameters: {a: 1}}",
    "ros__parameters: {a: 1}",
    "'/robot[1/speech': {ros__parameters: {a: 1}}",
    "'/robot(/': {speech: {ros__parameters: {a: 1}}}",
    "'/robo.': {speech: {ros__parameters: {a: 1}}}",
    "'/rob*': {speech: {ros__parameters: {a: 1}}}",
    "/**speech: {ros__parameters: {a: 1}}",
]


def of_a_node(source: Path | Sequence[str], namespace: str) -> dict[str, Any]:
    """What a node called speech gets of a file, or of arguments."""
    arguments = ["--ros-args", "--params-file", str(source)] if isinstance(source, Path) else [*source]
    context = Context()
    try:
        ros_world.rclpy.init(context=context, args=arguments)
        node = ros_world.rclpy.create_node(
            "speech", namespace=namespace, context=context, automatically_declare_parameters_from_overrides=True
        )
        found = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
        node.destroy_node()
    finally:
        context.try_shutdown()
        ros_world.rclpy.logging.set_logger_level("", LoggingSeverity.INFO)  # arguments may set that of the process
    return {name: found[name] for name in set(found) - {"use_sim_time", "start_type_description_service"}}


def test_every_value_is_read_as_ros_reads_it(ros: None, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    named = dict(enumerate([*SCALARS.split(), *WITH_SPACES]))
    lines = "".join(f"    a{number}: {text}\n" for number, text in named.items())
    path.write_text(f"/**:\n  ros__parameters:\n{lines}    list: [1.5e2, -.5]\n")
    found, expected = of_a_node(path, "/robot"), parameters_of(read_parameter_file(path), "/robot/speech")
    assert found["list"] == expected["list"] == [150.0, -0.5]
    assert {text: repr(expected[f"a{number}"]) for number, text in named.items()} == {
        text: repr(found[f"a{number}"]) for number, text in named.items()
    }


@pytest.mark.parametrize(
    "text",
    [
        "talk \U0001f3a4.wav",
        "\x7f",
        "\x85",
        "\u2028",
        "\u2029",
        "\ufeff",
        "a\tb\nc",
        "\\ud83c \"ż\" 'x'",
        "5",
        "~",
        "",
        "a: b # c",
    ],
)
def test_a_text_comes_to_the_process_of_a_node_as_it_is(ros: None, text: str) -> None:
    processes = NodeProcesses(["speech"], parameters={"speech:text": text, "speech:yes": True, "speech:half": 0.5})
    assert of_a_node(processes._arguments, "/").items() >= {"text": text, "yes": True, "half": 0.5}.items()


@pytest.mark.parametrize("content", REFUSED)
def test_what_ros_refuses_is_a_sentence(ros: None, tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(content)
    with pytest.raises(Exception, match="parse params file"):
        of_a_node(path, "/robot")
    with pytest.raises(SettingsError, match=r"^parameter file .*mine\.yaml (is|has) no .+: "):
        read_parameter_file(path)


@pytest.mark.parametrize("namespace", ["/", "/robot", "/robot/a_b", "/other"])
def test_a_node_gets_what_is_read(ros: None, tmp_path: Path, namespace: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(CONTENT)
    found = of_a_node(path, namespace)
    expected = parameters_of(read_parameter_file(path), f"{namespace.rstrip('/')}/speech")
    assert {name: found.get(name) for name in expected} == expected
    assert set(found) == set(expected)
    assert {name: type(value) for name, value in expected.items() if not isinstance(value, list)} == {
        name: type(found[name]) for name, value in expected.items() if not isinstance(value, list)
    }
