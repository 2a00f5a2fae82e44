"""The pose node: a camera's images in; skeletons of the people in them out. No image leaves it, and none is stored."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

from mser_msgs.msg import Skeleton
from sensor_msgs.msg import CameraInfo, Image

from ..errors import ImageError
from ..messages import conversions
from ..messages.images import COMPRESSED, image_from_msg
from ..settings import PoseSettings
from ..settings.schema import flatten
from ..types import NS_PER_S
from ..vision.networks import PoseNetworks
from ..vision.people import PeopleTracker, skeleton_of
from ..vision.sources import Camera, FilmPlayer, Picture
from .base import PerceptionNode
from .device_reader import DeviceReader
from .run import run_nodes
from .subscriptions import Flow

#: An image may come so much before its time, as a share of the period.
_EARLY = 0.1
#: Fields of view that a camera may have are those that the parameter may.
_FIELD_OF_VIEW = next(item for item in flatten(PoseSettings) if item.name == "field_of_view")
#: How much of what one image took counts in the mean that diagnostics show.
_NEWEST = 0.1


class PoseNode(PerceptionNode):
    """Subscribes `image` (Image or CompressedImage) and, for the field of view, `camera_info`, unless it opens a camera
    itself; publishes `skeleton_in` (Skeleton of layout mediapipe33, a message for each person, with the image's stamp
    and frame)."""

    settings: PoseSettings

    def __init__(self, **arguments: Any) -> None:
        super().__init__("pose", PoseSettings, **arguments)
        self._reader = DeviceReader(self, self._open, self._take_picture, kind="camera", gone=ImageError)
        self._lock = threading.Lock()
        self._next: tuple[int, str, Any] | None = None

    def setup(self) -> None:
        networks = PoseNetworks(self.settings.model_path, threads=self.settings.threads)
        self._tracker: PeopleTracker | None = PeopleTracker(
            networks, max_people=self.settings.max_people, rate_hz=self.settings.rate_hz
        )
        self._due_ns: int | None = None
        self._field_of_view = self.settings.field_of_view
        self._too_early = self._overtaken = self._skeletons = 0
        self._took_s = 0.0
        self._skeleton = self.outputs.open(Skeleton, "skeleton_in", depth=128)

    def connect(self) -> None:
        self._next = None
        if self.settings.device or self.settings.file:
            camera = self._reader.start(is_file=bool(self.settings.file))
            self.get_logger().info(f"looking through {camera.device}")
            return
        source = "the camera's node (or set 'device' to a camera of this machine)"
        self.subscribe(Image, "image", self._on_image, depth=1, flow=Flow.STEADY, source=source, others=(COMPRESSED,))
        driver = "the camera's node"
        self.subscribe(CameraInfo, "camera_info", self._on_info, depth=1, flow=Flow.OPTIONAL, source=driver)

    def disconnect(self) -> None:
        super().disconnect()
        self._reader.stop()

    def finish(self) -> None:
        self._next = None

    def teardown(self) -> None:
        self._tracker = None

    def counters(self) -> Mapping[str, Any]:
        done = self._tracker.counters if self._tracker else None
        looked = {"images": done.images, "searches": done.searches, "people found": done.found} if done else {}
        return looked | {
            "skeletons": self._skeletons,
            "skipped images": self._too_early,
            "overtaken images": self._overtaken,
            "ms per image": f"{1000 * self._took_s:.0f}",
            "field of view": f"{self._field_of_view:.1f}",
            "reconnects": self._reader.reconnects,
        }

    # -- in the executor, or in the camera's thread

    def _on_image(self, message: Any) -> None:
        stamp_ns = conversions.time_to_ns(message.header.stamp)
        if stamp_ns == 0:
            raise ImageError("an image without a time: its publisher must fill header.stamp")
        self._take(stamp_ns, str(message.header.frame_id)[: conversions.MAX_NAME], message)

    def _on_info(self, message: Any) -> None:
        """What a calibrated camera says of itself outweighs the parameter."""
        width, focal = float(message.width), float(message.k[0])
        if not (width > 0 and focal > 0):  # not calibrated
            return
        field_of_view = math.degrees(2 * math.atan(width / 2 / focal))
        if not _FIELD_OF_VIEW.allows(field_of_view):
            raise ImageError(
                f"camera_info of a lens that sees {field_of_view:.3g} degrees (width {width:g}, focal length {focal:g} "
                "pixels): calibrate the camera, or remap 'camera_info' to a topic that nobody publishes"
            )
        self._field_of_view = field_of_view

    def _take(self, stamp_ns: int, frame_id: str, image: Any) -> None:
        """Have an image looked at, unless it comes before its time. While the worker is busy only the newest waits."""
        period_ns = round(NS_PER_S / self.settings.rate_hz)
        if self._due_ns is not None and 0 < self._due_ns - stamp_ns <= period_ns:
            self._too_early += 1
            return
        early_ns = round(_EARLY * period_ns)
        if self._due_ns is None or not 0 <= stamp_ns - self._due_ns < period_ns:
            self._due_ns = stamp_ns - early_ns  # periods are counted anew
        self._due_ns += period_ns
        with self._lock:
            is_behind, self._next = self._next is not None, (stamp_ns, frame_id, image)
        if is_behind:
            self._overtaken += 1
        else:
            self.submit(self._look)

    # -- in the worker

    def _look(self) -> None:
        with self._lock:
            waiting, self._next = self._next, None
        if waiting is None or self._tracker is None:
            return
        stamp_ns, frame_id, image = waiting
        begun_s = time.monotonic()
        pixels = image.pixels if isinstance(image, Picture) else image_from_msg(image)
        for person in self._tracker.update(pixels, stamp_ns):
            frame = skeleton_of(person, stamp_ns, pixels, field_of_view=self._field_of_view, frame_id=frame_id)
            self._skeleton.publish(conversions.fill(Skeleton(), conversions.skeleton_to_fields(frame)))
            self._skeletons += 1
        took_s = time.monotonic() - begun_s
        self._took_s += (took_s - self._took_s) * (_NEWEST if self._took_s else 1)

    # -- a camera of this machine

    def _open(self) -> Camera | FilmPlayer:
        settings = self.settings
        if settings.file:
            return FilmPlayer(settings.file, self.now_ns, rate_hz=settings.rate_hz, loop=settings.loop)
        return Camera(settings.device, self.now_ns, rate_hz=settings.rate_hz)

    def _take_picture(self, picture: Picture) -> None:
        self._take(picture.stamp_ns, self.settings.frame_id, picture)


def main() -> int:
    return run_nodes(["pose"])


if __name__ == "__main__":
    sys.exit(main())
