"""Messages of other packages that carry sound or bodies, as their packages define them.

SQLite bags of Humble hold no definitions at all, and a recorder without the package of a type stores an empty one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rosbags.typesys import get_types_from_msg

_NEXT = "=" * 80 + "\nMSG: "
#: By the type of the topic, and after it those that it is made of. Two packages are called audio_common_msgs: what
#: mgonzs13's calls AudioData and AudioInfo has other names here, as those of ros-drivers stand alone on their topics.
_DEFINITIONS: Mapping[str, str] = {
    "audio_common_msgs/msg/AudioDataStamped": f"""
std_msgs/Header header
audio_common_msgs/AudioData audio
{_NEXT}audio_common_msgs/AudioData
uint8[] data
""",
    "audio_common_msgs/msg/AudioInfo": """
uint8 channels
uint32 sample_rate
string sample_format
uint32 bitrate
string coding_format
""",
    "audio_common_msgs/msg/AudioStamped": f"""
std_msgs/Header header
audio_common_msgs/Audio audio
{_NEXT}audio_common_msgs/Audio
audio_common_msgs/TypedData audio_data
audio_common_msgs/TypedInfo info
{_NEXT}audio_common_msgs/TypedData
float32[] float32_data
int32[] int32_data
int16[] int16_data
int8[] int8_data
uint8[] uint8_data
{_NEXT}audio_common_msgs/TypedInfo
int32 format
int32 channels
int32 rate
int32 chunk
""",
    "hri_msgs/msg/Skeleton2D": f"""
std_msgs/Header header
hri_msgs/NormalizedPointOfInterest2D[18] skeleton
{_NEXT}hri_msgs/NormalizedPointOfInterest2D
float32 x
float32 y
float32 c
""",
    "mocap4r2_msgs/msg/Markers": f"""
std_msgs/Header header
uint32 frame_number
mocap4r2_msgs/Marker[] markers
{_NEXT}mocap4r2_msgs/Marker
int8 USE_NAME=0
int8 USE_INDEX=1
int8 USE_BOTH=2
int8 id_type
int32 marker_index
string marker_name
geometry_msgs/Point translation
""",
    "nuitrack_msgs/msg/SkeletonDataArray": f"""
std_msgs/Header header
nuitrack_msgs/SkeletonData[] skeletons
{_NEXT}nuitrack_msgs/SkeletonData
uint16 id
string[] joints
geometry_msgs/Point[] joint_pos
""",
    "zed_msgs/msg/ObjectsStamped": f"""
std_msgs/Header header
zed_msgs/Object[] objects
{_NEXT}zed_msgs/Object
string label
int16 label_id
string sublabel
float32 confidence
float32[3] position
float32[6] position_covariance
float32[3] velocity
bool tracking_available
int8 tracking_state
int8 action_state
zed_msgs/BoundingBox2Di bounding_box_2d
zed_msgs/BoundingBox3D bounding_box_3d
float32[3] dimensions_3d
bool skeleton_available
int8 body_format
zed_msgs/BoundingBox2Df head_bounding_box_2d
zed_msgs/BoundingBox3D head_bounding_box_3d
float32[3] head_position
zed_msgs/Skeleton2D skeleton_2d
zed_msgs/Skeleton3D skeleton_3d
float32[70] skeleton_keypoint_confidence
{_NEXT}zed_msgs/BoundingBox2Di
zed_msgs/Keypoint2Di[4] corners
{_NEXT}zed_msgs/BoundingBox2Df
zed_msgs/Keypoint2Df[4] corners
{_NEXT}zed_msgs/BoundingBox3D
zed_msgs/Keypoint3D[8] corners
{_NEXT}zed_msgs/Keypoint2Di
uint32[2] kp
{_NEXT}zed_msgs/Keypoint2Df
float32[2] kp
{_NEXT}zed_msgs/Keypoint3D
float32[3] kp
{_NEXT}zed_msgs/Skeleton2D
zed_msgs/Keypoint2Df[70] keypoints
{_NEXT}zed_msgs/Skeleton3D
zed_msgs/Keypoint3D[70] keypoints
""",
}


def foreign_types() -> dict[str, Any]:
    """By name, as a type store takes them."""
    found: dict[str, Any] = {}
    for name, text in _DEFINITIONS.items():
        found |= get_types_from_msg(text, name)
    return found
