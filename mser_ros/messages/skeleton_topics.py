"""Skeletons as other packages send them: a decoder for each type of message that carries bodies.

What a message is, is told by its fields, so that the same code serves rclpy's messages in the nodes and those of the
`rosbags` library offline. Nothing here imports ROS.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import SkeletonError
from ..mocap.anatomy import are_pixels
from ..mocap.layouts import Layout, get_layout
from ..settings import MocapSettings
from ..types import SkeletonFrame
from .conversions import MAX_JOINTS, MAX_NAME, skeleton_from_msg, time_to_ns
from .skeleton_frames import FrameTree

#: The type of this package's own nodes.
SKELETON = "mser_msgs/msg/Skeleton"
MARKER_ARRAY = "visualization_msgs/msg/MarkerArray"
POSE_ARRAY = "geometry_msgs/msg/PoseArray"
SKELETON_2D = "hri_msgs/msg/Skeleton2D"
OBJECTS = "zed_msgs/msg/ObjectsStamped"
OLD_OBJECTS = "zed_interfaces/msg/ObjectsStamped"
NUITRACK = "nuitrack_msgs/msg/SkeletonDataArray"
MARKERS = "mocap4r2_msgs/msg/Markers"
TF = "tf2_msgs/msg/TFMessage"

#: Azure Kinect's driver numbers its markers so: the body's number times this, and the joint's.
_BODY = 100
_DELETE = (2, 3)  # visualization_msgs/Marker: DELETE, DELETEALL
#: `body_format` of zed_msgs/Object. That of zed_interfaces up to 3.8, which has room for 34 keypoints, says in its
#: comments that 2 is BODY_34.
_ZED_FORMATS = {0: "zed18", 1: "zed34", 2: "zed38"}
_ZED_OLD_ROOM = 34
_ZED_TRACKED = 1
#: `id_type` of mocap4r2_msgs/Marker.
_BY_INDEX = 1


#: A body, or why one cannot be used.
Found = SkeletonFrame | SkeletonError


class SkeletonDecoder:
    """Turns the messages of a source into bodies, in their order.

    `settings`: what a message does not tell of itself. Raises `SkeletonError` for a layout, an order of joints or a
    pattern of frames that cannot be used.
    """

    def __init__(self, settings: MocapSettings | None = None) -> None:
        settings = settings or MocapSettings()
        self._layout = settings.layout
        self._order = self._read_order(settings.joints)
        self._aspect = settings.aspect
        self._frames = FrameTree(settings.tf_pattern, get_layout(settings.layout or "ros4hri_tf"))

    def decode(
        self, type_name: str, message: Any, body_id: str = ""
    ) -> tuple[list[SkeletonFrame], list[SkeletonError]]:
        """The bodies of a message, and a sentence for each body in it that cannot be used. `body_id`: of the topic,
        where a message has none. Nobody to be seen is no error."""
        frames: list[SkeletonFrame] = []
        faults: list[SkeletonError] = []
        try:
            for found in _DECODERS[type_name](self, message, body_id):
                if isinstance(found, SkeletonError):
                    faults.append(found)
                elif found.stamp_ns == 0:
                    faults.append(SkeletonError("a skeleton without a time: the publisher must fill header.stamp"))
                else:
                    frames.append(found)
        except SkeletonError as error:
            faults.append(error)
        return frames, faults

    def set_camera(self, camera_info: Any) -> None:
        """What a `sensor_msgs/CameraInfo` says of the image that points are fractions of. Raises `SkeletonError`."""
        width, height = int(camera_info.width), int(camera_info.height)
        if not (0 < width <= 100 * height and height <= 100 * width):
            raise SkeletonError(f"camera_info of an image of {width} x {height}: the camera must fill both")
        self._aspect = width / height

    def add_static_frames(self, message: Any) -> None:
        """Frames of a `tf2_msgs/TFMessage` that do not move: those of a body's fixed joints."""
        self._frames.add(message.transforms, is_static=True)

    def _read_order(self, text: str) -> tuple[int, ...]:
        """The row in the layout of each position that is sent; -1 for one that is no joint."""
        names = [name.strip() for name in text.split(",")] if text.strip() else []
        if not names:
            return ()
        layout = self._needed("an order of joints")
        if unknown := [name for name in names if name not in layout.joints and name != "-"]:
            raise SkeletonError(
                f"'{unknown[0]}' of the order of joints is no joint of layout '{layout.name}': use "
                f"{', '.join(layout.joints)}, or - for what is no joint"
            )
        if len({*names} - {"-"}) != len(names) - names.count("-"):
            raise SkeletonError("the order of joints names a joint twice: give each of them once")
        return tuple(layout.joints.index(name) if name != "-" else -1 for name in names)

    def _needed(self, what: str) -> Layout:
        if not self._layout:
            raise SkeletonError(f"{what} tells no joint layout: set the parameter 'layout' to that of the source")
        layout = get_layout(self._layout)
        if layout.dimensions != 3:
            raise SkeletonError(
                f"{what} is of points in space, but layout '{layout.name}' of points in an image: set 'layout' to that "
                "of the source"
            )
        return layout

    # -- a generator for each type: what it raises costs the whole message

    def _skeleton(self, message: Any, body_id: str) -> Iterator[Found]:
        yield skeleton_from_msg(message)

    def _marker_array(self, message: Any, body_id: str) -> Iterator[Found]:
        """Azure Kinect's driver: a sphere for each joint, `id` its body's number times 100 and the joint's."""
        layout = get_layout(self._layout or "azure_kinect32")
        bodies: defaultdict[int, dict[int, Any]] = defaultdict(dict)
        strange: set[int] = set()
        _check_count(message.markers, "markers")
        for marker in message.markers:
            if int(marker.action) not in _DELETE:
                body, joint = divmod(int(marker.id), _BODY)
                if 0 <= joint < len(layout.joints) and body >= 0:
                    bodies[body][joint] = marker
                else:
                    strange.add(int(marker.id))
        for body, markers in bodies.items():
            positions = _nowhere(layout)
            for joint, marker in markers.items():
                positions[joint] = _point(marker.pose.position)
            yield _frame(next(iter(markers.values())).header, str(body), layout, positions)
        if strange:
            yield SkeletonError(
                f"markers with ids such as {min(strange)}, but layout '{layout.name}' has {len(layout.joints)} joints "
                f"and an id is its body's number times {_BODY} and the joint's: set 'layout' to that of the source"
            )

    def _pose_array(self, message: Any, body_id: str) -> Iterator[Found]:
        """Studio motion capture: the joints of one body, or of several one after the other, in a fixed order."""
        layout = self._needed("a PoseArray")
        order = self._order or tuple(range(len(layout.joints)))
        count = len(message.poses)
        _check_count(message.poses, "poses")
        if count % len(order):
            raise SkeletonError(
                f"a PoseArray of {count} poses, but {len(order)} are a body of layout '{layout.name}': set 'layout' to "
                "that of the source, or list the order of its joints in 'joints'"
            )
        points = np.array([_point(pose.position) for pose in message.poses], np.float64).reshape(-1, len(order), 3)
        for body, given in enumerate(points):
            yield _frame(message.header, str(body), layout, _in_order(layout, order, given))

    def _skeleton_2d(self, message: Any, body_id: str) -> Iterator[Found]:
        """ROS4HRI: 18 points with confidences; x and y are fractions of the image's width and height."""
        layout = get_layout("hri18")
        points = np.array([(point.x, point.y, point.c) for point in message.skeleton], np.float32).reshape(-1, 3)
        positions = points[:, :2]
        if self._aspect and not are_pixels(positions[points[:, 2] > 0]):  # which are square
            # The layout has an aspect of its own; what is sent on must be right by that one.
            middle = np.float32(0.5)
            positions[:, 0] = middle + (positions[:, 0] - middle) * np.float32(self._aspect / layout.aspect)
        yield _frame(message.header, body_id, layout, positions, points[:, 2])

    def _objects(self, message: Any, body_id: str) -> Iterator[Found]:
        """ZED's wrapper: up to 70 keypoints, of which the body's format says how many there are. Up to 4.2 it knew no
        confidences of keypoints; bags of ROS 1, 18 keypoints, formats and tracks neither."""
        _check_count(message.objects, "objects")
        for item in message.objects:
            if not item.skeleton_available:
                continue
            if getattr(item, "tracking_available", True) and int(item.tracking_state) != _ZED_TRACKED:
                continue  # hidden, and where it would be only guessed, or gone
            body_format, room = int(getattr(item, "body_format", 0)), len(item.skeleton_3d.keypoints)
            if body_format == 2 and room == _ZED_OLD_ROOM:
                body_format = 1
            if body_format not in _ZED_FORMATS:
                yield SkeletonError(
                    f"a ZED body of format {body_format}: set body_tracking.body_format of the ZED node to "
                    "BODY_18, BODY_34 or BODY_38"
                )
                continue
            layout = get_layout(_ZED_FORMATS[body_format])
            count = len(layout.joints)
            if room < count:
                yield SkeletonError(f"a ZED body of {room} keypoints: {count} make a body")
                continue
            positions = np.array([point.kp for point in item.skeleton_3d.keypoints[:count]], np.float64)
            given = np.asarray(getattr(item, "skeleton_keypoint_confidence", ()), np.float32)[:count]
            # 1 to 99; the wrapper of today leaves them all at 0.
            confidence = given / np.float32(100) if given.any() else None
            body = str(int(item.label_id)) if int(item.label_id) >= 0 else ""
            yield _frame(message.header, body, layout, positions, confidence)

    def _nuitrack(self, message: Any, body_id: str) -> Iterator[Found]:
        """Nuitrack's node: names ('joint_head') and points; a joint that is not seen is at the origin."""
        layout = get_layout("nuitrack")
        _check_count(message.skeletons, "skeletons")
        for body in message.skeletons:
            if len(body.joints) != len(body.joint_pos):
                yield SkeletonError(
                    f"a Nuitrack body of {len(body.joints)} joints at {len(body.joint_pos)} places: look for the fault "
                    "in its source"
                )
                continue
            names = [str(name).removeprefix("joint_") for name in body.joints]
            points = [_point(place) for place in body.joint_pos]
            yield _named(message.header, str(int(body.id)), layout, names, points, "Nuitrack")

    def _markers(self, message: Any, body_id: str) -> Iterator[Found]:
        """MOCAP4ROS2: markers by name ('joint' or 'body:joint'), else by their place in the order of joints."""
        layout = self._needed("a message of markers")
        order = self._order or tuple(range(len(layout.joints)))
        bodies: defaultdict[str, tuple[list[str], list[Sequence[float]]]] = defaultdict(lambda: ([], []))
        _check_count(message.markers, "markers")
        for marker in message.markers:
            body, name = "", str(marker.marker_name)
            if int(marker.id_type) == _BY_INDEX or not name:
                at = int(marker.marker_index)
                row = order[at] if 0 <= at < len(order) else -1
                name = layout.joints[row] if row >= 0 else ""
            for separator in (":", "/"):
                if separator in name:
                    body, _, name = name.rpartition(separator)
                    break
            bodies[body][0].append(name)
            bodies[body][1].append(_point(marker.translation))
        for body, (names, points) in bodies.items():
            yield _named(message.header, body, layout, names, points, "MOCAP4ROS2")

    def _tf(self, message: Any, body_id: str) -> Iterator[Found]:
        """Frames by the pattern of their names: bodies that are complete now."""
        _check_count(message.transforms, "transforms")
        yield from self._frames.add(message.transforms)


_DECODERS: Mapping[str, Callable[[SkeletonDecoder, Any, str], Iterator[Found]]] = {
    SKELETON: SkeletonDecoder._skeleton,
    SKELETON_2D: SkeletonDecoder._skeleton_2d,
    MARKER_ARRAY: SkeletonDecoder._marker_array,
    OBJECTS: SkeletonDecoder._objects,
    OLD_OBJECTS: SkeletonDecoder._objects,
    NUITRACK: SkeletonDecoder._nuitrack,
    POSE_ARRAY: SkeletonDecoder._pose_array,
    MARKERS: SkeletonDecoder._markers,
    TF: SkeletonDecoder._tf,
}
#: Types of which every topic of a bag carries bodies, and what they are is told by the messages alone.
FOUND_ALONE = (SKELETON, SKELETON_2D, OBJECTS, OLD_OBJECTS, NUITRACK)
#: Types of messages that carry bodies, this package's own first.
SKELETON_TYPES = tuple(_DECODERS)


def _check_count(items: Sequence[Any], what: str) -> None:
    if len(items) > MAX_JOINTS:
        raise SkeletonError(f"a message of {len(items)} {what}: send at most {MAX_JOINTS}")


def _point(point: Any) -> tuple[float, float, float]:
    return (point.x, point.y, point.z)


def _nowhere(layout: Layout) -> np.ndarray:
    return np.full((len(layout.joints), layout.dimensions), np.nan)


def _in_order(layout: Layout, order: Sequence[int], given: np.ndarray) -> np.ndarray:
    positions = _nowhere(layout)
    for row, point in zip(order, given, strict=True):
        if row >= 0:
            positions[row] = point
    return positions


def _named(
    header: Any, body_id: str, layout: Layout, names: Sequence[str], points: Sequence[Sequence[float]], source: str
) -> Found:
    """The body of joints that are named; names that the layout does not know are left out, unless it knows none."""
    positions = _nowhere(layout)
    known = [(layout.joints.index(name), point) for name, point in zip(names, points, strict=True)
             if name in layout.joints]  # fmt: skip
    if len({row for row, _ in known}) != len(known):
        return SkeletonError(f"a body of {source} has a joint twice: look for the fault in its source")
    if not known:
        which = f"such as '{names[0]}'" if names else "at all"
        return SkeletonError(
            f"a body of {source} without joints of layout '{layout.name}' (it has none {which}): set 'layout', and the "
            "order of its joints in 'joints', to what the source sends"
        )
    for row, point in known:
        positions[row] = point
    return _frame(header, body_id, layout, positions)


def _frame(
    header: Any, body_id: str, layout: Layout, positions: np.ndarray, confidence: np.ndarray | None = None
) -> Found:
    """A joint that is not finite was not seen, nor were several that all lie at the origin: they were not filled."""
    if len(body_id) > MAX_NAME or len(header.frame_id) > MAX_NAME:
        return SkeletonError(f"a body whose id or frame has more than {MAX_NAME} characters: send at most so many")
    if len(positions) != len(layout.joints):
        return SkeletonError(f"a body of {len(positions)} points, but layout '{layout.name}' has {len(layout.joints)}")
    unfilled = ~positions.any(axis=1)
    seen = np.isfinite(positions).all(axis=1) & ~(unfilled if unfilled.sum() > 1 else False)
    seen &= (np.abs(positions) < np.finfo(np.float32).max).all(axis=1)
    weights = np.ones(len(positions), np.float32) if confidence is None else confidence
    return SkeletonFrame(
        stamp_ns=time_to_ns(header.stamp),
        body_id=body_id,
        layout=layout.name,
        positions=np.where(seen[:, None], positions, np.nan).astype(np.float32),
        confidence=np.where(seen, weights, 0).astype(np.float32),
        frame_id=str(header.frame_id),
    )
