"""The labels of the emotion node, which cost nothing until somebody looks."""

from __future__ import annotations

import numpy as np
import pytest
from emotion_robot import Robot, scene
from ros_world import EmotionState

from mser_ros.mocap.anatomy import over_head

visualization = pytest.importorskip("visualization_msgs.msg", reason="visualization_msgs is missing: 'make setup-dev'")


def test_labels_are_made_only_while_somebody_looks(world, tiny_bundle):
    states = world.listen(EmotionState, "state")
    steady = {"state__rate_hz": 20.0, "state__decay_s": 3600.0, "state__least": 0.3}
    robot, item = Robot(world, tiny_bundle, use_sim_time=False, **steady), scene(1)
    robot.give(item)
    assert robot.last(item.name).label == "happy"
    world.wait(lambda: len(states) > 5, "states")
    labels = robot.node.node._state_topics.labels
    assert labels.made == 0
    arrays = world.listen(visualization.MarkerArray, "markers")
    world.wait(lambda: len(arrays) > 2, "labels")
    assert labels.made >= len(arrays)
    (marker,) = arrays[-1].markers
    assert marker.text.startswith("ann\nhappy ")
    assert marker.color.a > 0.35
    newest = item.skeletons[-1]
    place = np.array([marker.pose.position.x, marker.pose.position.y, marker.pose.position.z])
    assert place == pytest.approx(over_head(newest, 0.3), abs=1e-4)
    assert marker.header.frame_id == newest.frame_id
