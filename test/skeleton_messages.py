"""A body as each kind of tracker sends it: the fields of its messages, for processes and for bags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mocap_poses import pose_of

from mser_ros.messages.conversions import ns_to_time
from mser_ros.mocap.layouts import get_layout

Fields = dict[str, Any]
NOWHERE = [0.0, 0.0, 0.0]


def body_of(layout: str, number: int) -> np.ndarray:
    """The asymmetric pose, a centimetre higher in each frame, in the layout's own unit and axes: float64, (J, D)."""
    pose = pose_of(layout).astype(np.float64)
    step = 0.01 / np.linalg.norm(get_layout(layout).to_world[2])
    return pose + step * number * get_layout(layout).to_world[2] / np.linalg.norm(get_layout(layout).to_world[2])


def header(stamp_ns: int, frame_id: str = "camera") -> Fields:
    return {"stamp": ns_to_time(stamp_ns), "frame_id": frame_id}


def point(place: Sequence[float]) -> Fields:
    return dict(zip("xyz", map(float, place), strict=True))


def marker_array(stamp_ns: int, body: np.ndarray, number: int = 0) -> Fields:
    """Azure Kinect's driver."""
    return {
        "markers": [
            {"header": header(stamp_ns), "id": 100 * number + joint, "type": 2, "pose": {"position": point(place)}}
            for joint, place in enumerate(body)
        ]
    }


def pose_array(stamp_ns: int, body: np.ndarray) -> Fields:
    return {"header": header(stamp_ns), "poses": [{"position": point(place)} for place in body]}


def objects(stamp_ns: int, body: np.ndarray, body_format: int, number: int = 0) -> Fields:
    """ZED's wrapper, which leaves confidences at 0."""
    keypoints = [{"kp": [float(value) for value in place]} for place in [*body, *[NOWHERE] * (70 - len(body))]]
    item = {
        "label": f"Body_{number}",
        "label_id": number,
        "tracking_available": True,
        "tracking_state": 1,
        "skeleton_available": True,
        "body_format": body_format,
        "skeleton_3d": {"keypoints": keypoints},
    }
    return {"header": header(stamp_ns), "objects": [item]}


def skeleton_data_array(stamp_ns: int, body: np.ndarray, number: int = 0) -> Fields:
    """Nuitrack's node."""
    names = [f"joint_{name}" for name in get_layout("nuitrack").joints]
    data = {"id": number, "joints": names, "joint_pos": [point(place) for place in body]}
    return {"header": header(stamp_ns), "skeletons": [data]}


def markers(stamp_ns: int, body: np.ndarray, layout: str) -> Fields:
    """MOCAP4ROS2, by name."""
    return {
        "header": header(stamp_ns),
        "markers": [
            {"id_type": 0, "marker_name": name, "translation": point(place)}
            for name, place in zip(get_layout(layout).joints, body, strict=True)
        ],
    }


def skeleton_2d(stamp_ns: int, body: np.ndarray, confidence: float = 0.75) -> Fields:
    """ROS4HRI."""
    points = [{"x": float(x), "y": float(y), "c": confidence} for x, y in body]
    return {"header": header(stamp_ns), "skeleton": points}


def tf_message(stamp_ns: int, body: np.ndarray, name: str) -> Fields:
    """A frame for each joint, all below the camera's."""
    return {
        "transforms": [
            {
                "header": header(stamp_ns),
                "child_frame_id": f"{joint}_{name}",
                "transform": {"translation": point(place)},
            }
            for joint, place in zip(get_layout("ros4hri_tf").joints, body, strict=True)
        ]
    }
