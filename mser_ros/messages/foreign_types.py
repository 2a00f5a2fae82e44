"""Messages of other packages that carry sound or bodies, as their packages define them.

SQLite bags of Humble hold no definitions at all, and a recorder without the package of a type stores an empty one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rosbags.typesys import get_types_from_msg

_NEXT = "=" * 80 + "\nMSG: "


def _zed(package: str, keypoints: int, more: str = "") -> str:
    """Bodies of ZED's wrapper, whose package was zed_interfaces, then zed_msgs. `more`: the last field of an object."""
    return f"""
std_msgs/Header header
{package}/Object[] objects
{_NEXT}{package}/Object
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
{package}/BoundingBox2Di bounding_box_2d
{package}/BoundingBox3D bounding_box_3d
float32[3] dimensions_3d
bool skeleton_available
int8 body_format
{package}/BoundingBox2Df head_bounding_box_2d
{package}/BoundingBox3D head_bounding_box_3d
float32[3] head_position
{package}/Skeleton2D skeleton_2d
{package}/Skeleton3D skeleton_3d
{more}
{_NEXT}{package}/BoundingBox2Di
{package}/Keypoint2Di[4] corners
{_NEXT}{package}/BoundingBox2Df
{package}/Keypoint2Df[4] corners
{_NEXT}{package}/BoundingBox3D
{package}/Keypoint3D[8] corners
{_NEXT}{package}/Keypoint2Di
uint32[2] kp
{_NEXT}{package}/Keypoint2Df
float32[2] kp
{_NEXT}{package}/Keypoint3D
float32[3] kp
{_NEXT}{package}/Skeleton2D
{package}/Keypoint2Df[{keypoints}] keypoints
{_NEXT}{package}/Skeleton3D
{package}/Keypoint3D[{keypoints}] keypoints
"""


_ZED_CONFIDENCE = "float32[70] skeleton_keypoint_confidence"
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
    "zed_msgs/msg/ObjectsStamped": _zed("zed_msgs", 70, _ZED_CONFIDENCE),
    "zed_interfaces/msg/ObjectsStamped": _zed("zed_interfaces", 70),
}
#: How they were defined before, the newest first: zed_msgs up to 4.2.4; zed_interfaces up to 3.8.
_OLDER: Mapping[str, Sequence[str]] = {
    "zed_msgs/msg/ObjectsStamped": [_zed("zed_msgs", 70)],
    "zed_interfaces/msg/ObjectsStamped": [_zed("zed_interfaces", 34)],
}


def foreign_types() -> dict[str, Any]:
    """By name, as a type store takes them."""
    found: dict[str, Any] = {}
    for name, text in _DEFINITIONS.items():
        found |= get_types_from_msg(text, name)
    return found


def older_types(name: str) -> Iterator[dict[str, Any]]:
    """How a type, and those that it is made of, were defined before, as `foreign_types` gives them."""
    for text in _OLDER.get(name, ()):
        yield get_types_from_msg(text, name)
