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
    # Names as MotionBuilder's HumanIK and Biovision's own files give them
    "humanik": "pelvis neck head left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist "
    "left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot",
    "biovision": "pelvis neck head left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist "
    "left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot",
    "hri18": "- neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle left_eye right_eye left_ear right_ear",
    "openpose18": "- neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
    "coco17": "- left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    # JointType of the Kinect SDK 2.0: SpineBase 0 ... FootRight 19, SpineShoulder 20, HandTipLeft 21 ... ThumbRight 24
    "kinect_v2": "pelvis - - head left_shoulder left_elbow left_wrist - right_shoulder right_elbow right_wrist - "
    "left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot neck - - - -",
    # k4abt_joint_id_t: 4 is the left clavicle, 18 the left hip, 26 the head, 30 the right eye
    "azure_kinect32": "pelvis - - neck - left_shoulder left_elbow left_wrist - - - - right_shoulder right_elbow "
    "right_wrist - - - left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot head nose "
    "left_eye left_ear right_eye right_ear",
    # sl::BODY_18_PARTS: right before left, as OpenPose
    "zed18": "nose neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
    "right_hip right_knee right_ankle left_hip left_knee left_ankle right_eye left_eye right_ear left_ear",
    # sl::BODY_34_PARTS: that of the Azure Kinect with eye and ear in turns, and two heels
    "zed34": "pelvis - - neck - left_shoulder left_elbow left_wrist - - - - right_shoulder right_elbow right_wrist "
    "- - - left_hip left_knee left_ankle left_foot right_hip right_knee right_ankle right_foot head nose "
    "left_eye left_ear right_eye right_ear left_heel right_heel",
    # sl::BODY_38_PARTS: left and right in turns from 6 on
    "zed38": "pelvis - - - neck nose left_eye right_eye left_ear right_ear - - left_shoulder right_shoulder "
    "left_elbow right_elbow left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle "
    "left_foot right_foot - - left_heel right_heel - - - - - - - -",
    # tdv::nuitrack::JointType from JOINT_HEAD on, without finger tips and feet, which it never fills
    "nuitrack": "head neck - pelvis - left_shoulder left_elbow left_wrist - - right_shoulder right_elbow right_wrist - "
    "left_hip left_knee left_ankle right_hip right_knee right_ankle",
    # MOCAP_head, then LH1 LH2 LH3 RH1 RH2 RH3 of MOCAP_hand
    "iemocap_head_hands": "head left_wrist left_wrist left_wrist right_wrist right_wrist right_wrist",
    # PoseLandmark: 7 is the left ear, 11 the left shoulder, 23 the left hip, 32 the right toes
    "mediapipe33": "nose - left_eye - - right_eye - left_ear right_ear - - left_shoulder right_shoulder left_elbow "
    "right_elbow left_wrist right_wrist - - - - - - left_hip right_hip left_knee right_knee left_ankle right_ankle "
    "left_heel right_heel left_foot right_foot",
    "ros4hri_tf": "pelvis neck head left_shoulder left_elbow left_wrist right_shoulder right_elbow right_wrist "
    "left_hip left_knee left_ankle right_hip right_knee right_ankle",
}
#: Layouts that are mapped to a part of the body only.
PARTIAL = {"iemocap_head_hands": ("head", "left_wrist", "right_wrist")}
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
    "nose": (0.2, 0.01, 1.7),
    "left_heel": (0.06, 0.1, 0.17),
    "right_heel": (-0.34, -0.12, 0.12),
    "left_foot": (0.26, 0.12, 0.16),
    "right_foot": (-0.14, -0.14, 0.11),
}


def to_source(layout: str, point: tuple[float, float, float]) -> tuple[float, ...]:
    """A point of POSE in the axes and units of a layout's source, written down from its documents."""
    ahead, left, up = point
    return {
        "canonical15": (ahead, left, up),
        "egait16": (-left, up, -ahead),  # faces -z, y up
        "bandai21": (100 * left, 100 * up, 100 * ahead),  # faces +z, y up, centimetres
        "humanik": (100 * left, 100 * up, 100 * ahead),
        "biovision": (100 * left, 100 * up, 100 * ahead),
        # A person who stands before a camera, three metres away, and looks at it has the left on the camera's right.
        "kinect_v2": (-left, up, 3 - ahead),
        "azure_kinect32": (left, 0.5 - up, 3 - ahead),
        "zed18": (3 - ahead, -left, up),
        "zed34": (3 - ahead, -left, up),
        "zed38": (3 - ahead, -left, up),
        "nuitrack": (1000 * left, 1000 * up, 3000 - 1000 * ahead),
        "mediapipe33": (left, 1 - up, -ahead),
        "iemocap_head_hands": (1000 * ahead, 1000 * left, 1000 * up),
        "ros4hri_tf": (ahead, left, up),
    }.get(layout, (0.5 + 0.2 * left / 1.3333, 0.9 - 0.2 * up))  # seen by a camera in front: left is on its right


def pose_of(layout: str) -> np.ndarray:
    """POSE as one frame of a layout, (joints, dimensions)."""
    rows = ROWS[layout].split()
    middle = (9.0, 9.0, 9.0)  # joints that no canonical joint may use stand far away
    return np.array([to_source(layout, POSE.get(row, middle)) for row in rows], np.float32)
