"""Parameter files are read as ROS itself reads them: compared with real nodes that are given the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
import ros_world  # skips, and says why, where ROS is missing
from rclpy.context import Context

from mser_ros.nodes.parameter_file import parameters_of, read_parameter_file

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


@pytest.mark.parametrize("namespace", ["/", "/robot", "/robot/a_b", "/other"])
def test_a_node_gets_what_is_read(ros: None, tmp_path: Path, namespace: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(CONTENT)
    context = Context()
    ros_world.rclpy.init(context=context, args=["--ros-args", "--params-file", str(path)])
    try:
        node = ros_world.rclpy.create_node(
            "speech", namespace=namespace, context=context, automatically_declare_parameters_from_overrides=True
        )
        found = {name: parameter.value for name, parameter in node.get_parameters_by_prefix("").items()}
        node.destroy_node()
    finally:
        context.try_shutdown()
    expected = parameters_of(read_parameter_file(path), f"{namespace.rstrip('/')}/speech")
    assert {name: found.get(name) for name in expected} == expected
    assert set(found) - set(expected) <= {"use_sim_time", "start_type_description_service"}
    assert {name: type(value) for name, value in expected.items() if not isinstance(value, list)} == {
        name: type(found[name]) for name, value in expected.items() if not isinstance(value, list)
    }
