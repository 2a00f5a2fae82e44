"""One asymmetric pose, as every joint layout would deliver it."""

from __future__ import annotations

import numpy as np

# What each row is, written down a second time from the sources' own documents: a wrong mapping in a file must not be
# able to agree with its own test.
ROWS = {
    "canonical15": "pelvis neck head left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist "
    "left_hip left_knee left_ankle right_hip right_knee right_ankle",
    "egait16": "pelvis - neck head left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist "
    "left_hip left_knee left_ankle right_hip right_knee right_ankle",
    "bandai21": "pelvis - - neck head - left_shoulder left_elbow left_wrist - right_shoulder right_elbow right_wrist "
    "left_hip left_knee left_ankle - right_hip right_knee right_ankle -",
    "hri18": "- neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle left_eye right_eye left_ear right_ear",
    "openpose18": "- neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
    "coco17": "- left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    "mediapipe33": "- - left_eye - - right_eye - left_ear right_ear - - left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist - - - - - - left_hip right_hip left_knee right_knee left_ankle right_ankle "
    "- - - -",
}
# A person in metres who faces +x with z up and is different everywhere: (ahead, left, up).
POSE = {
    "pelvis": (0.0, 0.0, 1.0),
    "neck": (0.05, 0.0, 1.5),
    "head": (0.1, 0.0, 1.7),
    "left_shoulder": (0.08, 0.2, 1.5),
    "right_shoulder": (0.02, -0.2, 1.5),
    "left_elbow": (0.15, 0.3, 1.3),
    "right_elbow": (-0.1, -0.24, 1.2),
    "left_wrist": (0.4, 0.25, 1.45),
    "right_wrist": (0.05, -0.3, 0.95),
    "left_hip": (0.0, 0.1, 1.0),
    "right_hip": (0.0, -0.1, 1.0),
    "left_knee": (0.2, 0.12, 0.6),
    "right_knee": (-0.05, -0.11, 0.55),
    "left_ankle": (0.1, 0.1, 0.2),
    "right_ankle": (-0.3, -0.12, 0.15),
    "left_ear": (0.1, 0.07, 1.71),
    "right_ear": (0.1, -0.07, 1.69),
    "left_eye": (0.18, 0.03, 1.73),
    "right_eye": (0.18, -0.03, 1.73),
}


def to_source(layout: str, point: tuple[float, float, float]) -> tuple[float, ...]:
    """A point of POSE in the axes and units of a layout's source, written down from its documents."""
    ahead, left, up = point
    return {
        "canonical15": (ahead, left, up),
        "egait16": (-left, up, -ahead),  # faces -z, y up
        "bandai21": (100 * left, 100 * up, 100 * ahead),  # faces +z, y up, centimetres
        "mediapipe33": (left, -up, -ahead),  # faces the camera, z away from it
    }.get(layout, (0.5 + 0.2 * left / 1.3333, 0.9 - 0.2 * up))  # seen by a camera in front: left is on its right


def pose_of(layout: str) -> np.ndarray:
    """POSE as one frame of a layout, (joints, dimensions)."""
    rows = ROWS[layout].split()
    middle = (9.0, 9.0, 9.0)  # joints that no canonical joint may use stand far away
    return np.array([to_source(layout, POSE.get(row, middle)) for row in rows], np.float32)
