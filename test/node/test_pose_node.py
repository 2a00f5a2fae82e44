"""The pose node with the real networks: images of every kind in, skeletons of the people in them out."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pictures import EYES, HIPS, astronaut, hopper, nobody, scene, write_film
from PIL import Image as Picture
from ros_world import T0, ReliabilityPolicy, Skeleton, World
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mser_ros.errors import ImageError
from mser_ros.messages import conversions
from mser_ros.mocap.buffer import check_frame
from mser_ros.nodes.processes import NodeProcesses
from mser_ros.settings import MocapSettings
from mser_ros.types import NS_PER_S, SkeletonFrame
from mser_ros.vision.sources import Picture as Seen

PERIOD_NS = NS_PER_S // 10
HOPPER_ALONE = scene([(hopper(), 0.6, (150, 120))])


def header(message, at: int) -> None:
    message.header.frame_id = "camera_optical_frame"
    stamp_ns = T0 + at * PERIOD_NS
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, NS_PER_S)


def raw(pixels: np.ndarray, at: int = 0, *, encoding: str = "bgr8") -> Image:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels[..., ::-1] if encoding == "bgr8" else pixels)
    message = Image(height=height, width=width, encoding=encoding, step=3 * width, data=data.tobytes())
    header(message, at)
    return message


def compressed(pixels: np.ndarray, at: int = 0) -> CompressedImage:
    stream = io.BytesIO()
    Picture.fromarray(pixels).save(stream, "JPEG", quality=90)
    message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=stream.getvalue())
    header(message, at)
    return message


@pytest.fixture
def outside(world: World) -> Iterator[World]:
    """Another process, as far as DDS knows, whose participant may know the images' topic by another type."""
    other = World()
    yield other
    other.close()


class Eye:
    """The node under test with what surrounds it."""

    def __init__(self, world: World, outside: World, model: Path, *, kind=Image, reliability=None, **parameters):
        self.world = world
        self._found: list[Skeleton] = world.listen(Skeleton, "skeleton_in")
        self._images = outside.publisher(kind, "image", linked=False, reliability=reliability)
        self.node = world.node("pose", **({"model_path": str(model)} | parameters))
        world.wait_for_outputs(self.node, "skeleton_in")

    def show(self, *images) -> None:
        """One after the other, each when the one before was looked at."""
        for image in images:
            before = self.looked
            self.world.wait(lambda: self._images.get_subscription_count() > 0, "the node at its images")
            self._images.publish(image)
            self.world.wait(lambda before=before: self.looked > before, "an image that was looked at")

    def publish(self, *images) -> None:
        for image in images:
            self._images.publish(image)

    @property
    def looked(self) -> int:
        counters = self.node.node.counters()
        return counters["images"] + counters["skipped images"] + self.node.node.health.rejected

    def found(self, count: int) -> list[SkeletonFrame]:
        self.world.wait(lambda: len(self._found) >= count, f"{count} skeletons")
        return [conversions.skeleton_from_msg(message) for message in self._found]


@pytest.mark.parametrize(
    ("kind", "make", "reliability"),
    [
        (Image, raw, ReliabilityPolicy.RELIABLE),
        (Image, raw, ReliabilityPolicy.BEST_EFFORT),
        (CompressedImage, compressed, ReliabilityPolicy.BEST_EFFORT),
    ],
)
def test_an_image_becomes_a_skeleton_with_its_stamp_and_frame(world, outside, pose_model, kind, make, reliability):
    eye = Eye(world, outside, pose_model, kind=kind, reliability=reliability, rate_hz=10.0)
    eye.show(*(make(scene([(hopper(), 0.6, (100 + 10 * at, 120))]), at) for at in range(3)))
    frames = eye.found(3)
    assert [frame.stamp_ns for frame in frames] == [T0 + at * PERIOD_NS for at in range(3)]
    assert {(frame.body_id, frame.layout, frame.frame_id) for frame in frames} == {
        ("body_1", "mediapipe33", "camera_optical_frame")
    }
    assert all(frame.confidence[EYES].min() > 0.9 > 0.2 > frame.confidence[HIPS].max() for frame in frames)
    seen = check_frame(frames[0], MocapSettings())  # as the mocap node takes it
    assert not seen.confidence[HIPS].any()
    moved = [frame.positions[EYES[0], 0] for frame in frames]
    assert moved[0] < moved[1] < moved[2]


def test_a_calibrated_camera_tells_how_far_away_people_are(world, outside, pose_model):
    eye = Eye(world, outside, pose_model, rate_hz=10.0)
    eye.show(raw(HOPPER_ALONE, 0))
    calibration = outside.publisher(CameraInfo, "camera_info")
    for count, focal in enumerate((0.0, 2000.0), 1):  # a camera that was not calibrated says 0
        info = CameraInfo(width=640, height=480)
        info.k[0] = info.k[4] = focal
        calibration.publish(info)
        eye.node.wait_to_receive(camera_info=count)
    eye.show(raw(HOPPER_ALONE, 1))
    near, far = (frame.positions[EYES[0], 2] for frame in eye.found(2))
    assert far / near == pytest.approx(2000 / (320 / np.tan(np.radians(30))), rel=0.15)
    eye.node.wait_for(**{"field of view": 18.2})
    for count, focal in enumerate((float("inf"), 1e300, 1e-9), 3):
        info = CameraInfo(width=640, height=480)
        info.k[0] = focal
        calibration.publish(info)
        eye.node.wait_to_receive(camera_info=count)
    eye.node.wait_for_problem("camera_info of a lens that sees 180 degrees", "calibrate the camera")
    eye.show(raw(HOPPER_ALONE, 2))
    assert eye.found(3)[2].positions[EYES[0], 2] == pytest.approx(far, rel=0.05), "as before"
    eye.node.wait_for(**{"field of view": 18.2, "rejected": 3, "bugs": 0})


def test_several_people_are_told_apart_and_nobody_gives_nothing(world, outside, pose_model):
    eye = Eye(world, outside, pose_model, rate_hz=10.0, max_people=2)
    both = scene([(hopper(), 0.5, (30, 180)), (astronaut(), 0.55, (350, 200))])
    eye.show(raw(nobody()[0], 0), raw(both, 1), raw(both, 2, encoding="rgb8"))
    frames = eye.found(4)
    assert [(frame.stamp_ns - T0) // PERIOD_NS for frame in frames] == [1, 1, 2, 2]
    assert sorted(frame.body_id for frame in frames[:2]) == ["body_1", "body_2"]
    left = {frame.body_id for frame in frames if frame.positions[EYES[0], 0] < 0}
    assert len(left) == 1


def test_images_above_the_rate_are_skipped_and_counted(world, outside, pose_model):
    eye = Eye(world, outside, pose_model, rate_hz=5.0)
    eye.show(*(raw(HOPPER_ALONE, at) for at in range(6)))
    assert [(frame.stamp_ns - T0) // PERIOD_NS for frame in eye.found(3)] == [0, 2, 4]
    eye.node.wait_for(**{"skipped images": 3, "images": 3, "skeletons": 3, "skipped": 0})
    assert float(eye.node.value("ms per image")) > 0


def test_while_it_is_busy_only_the_newest_image_waits_and_the_others_are_counted(world, outside, pose_model):
    eye = Eye(world, outside, pose_model, rate_hz=10.0)
    node = eye.node.node
    eye.show(raw(HOPPER_ALONE, 0))
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        is_held.set()
        may_go.wait(60)

    node.submit(hold)
    world.wait(is_held.is_set, "a busy worker")
    for at in range(1, 6):
        eye.publish(raw(HOPPER_ALONE, at))
        world.wait(lambda at=at: sum(item.received for item in node.inputs.topics) > at, "images received")
    may_go.set()
    assert [(frame.stamp_ns - T0) // PERIOD_NS for frame in eye.found(2)] == [0, 5]
    eye.node.wait_for(**{"overtaken images": 4, "images": 2})


def test_what_is_no_image_of_use_costs_that_message_and_names_the_cure(world, outside, pose_model):
    eye = Eye(world, outside, pose_model, rate_hz=10.0)
    unstamped = raw(HOPPER_ALONE)
    unstamped.header.stamp.sec = unstamped.header.stamp.nanosec = 0
    depth = raw(HOPPER_ALONE, 1)
    depth.encoding = "16UC1"
    cut = raw(HOPPER_ALONE, 2)
    cut.data = cut.data[:1000]
    for wrong, sentence in (
        (unstamped, "an image without a time: its publisher must fill header.stamp"),
        (depth, "images in encoding '16UC1'"),
        (cut, "its publisher must send 480 rows of 1920"),
    ):
        eye.show(wrong)
        eye.node.wait_for_problem(sentence)
    eye.show(raw(HOPPER_ALONE, 3))
    assert eye.found(1)[0].stamp_ns == T0 + 3 * PERIOD_NS
    eye.node.wait_for(rejected=3)


def test_hundreds_of_such_images_are_counted_and_told_once_of_each_kind(world, outside, pose_model, capfd, monkeypatch):
    monkeypatch.setattr("mser_ros.nodes.diagnostics.THROTTLE_S", 3600.0)
    eye = Eye(world, outside, pose_model, rate_hz=30.0)
    unstamped, depth, cut = (Image(height=480, width=640, step=1920, encoding="rgb8") for _ in range(3))
    depth.encoding = "16UC1"
    for at in range(67):
        for image, number in ((depth, 2 * at), (cut, 2 * at + 1)):
            header(image, number)
        eye.show(unstamped, depth, cut)
    eye.show(raw(HOPPER_ALONE, 140))
    assert eye.found(1)[0].stamp_ns == T0 + 140 * PERIOD_NS
    eye.node.wait_for(rejected=201, bugs=0)
    assert eye.node.state == "active"
    warnings = [line for line in capfd.readouterr().err.splitlines() if "[WARN]" in line]
    for words in ("an image without a time", "images in encoding '16UC1'", "must send 480 rows of 1920"):
        assert sum(words in line for line in warnings) == 1, words


def test_a_bag_that_begins_again_is_looked_at_again(world, outside, pose_model):
    eye = Eye(world, outside, pose_model, rate_hz=10.0)
    eye.show(*(raw(HOPPER_ALONE, at) for at in (50, 51, 0, 1)))
    assert [(frame.stamp_ns - T0) // PERIOD_NS for frame in eye.found(4)] == [50, 51, 0, 1]


def test_without_the_model_the_node_says_how_to_get_it_and_takes_it_later(world, pose_model, tmp_path):
    eye_less = world.node("pose", model_path=str(tmp_path / "none.task"))
    assert eye_less.state == "unconfigured"
    eye_less.wait_for_problem("none.task cannot be read", "call 'mser models get pose'")
    assert eye_less.set("model_path", str(pose_model)) == ""
    assert eye_less.configure()
    assert eye_less.activate()
    assert eye_less.deactivate()
    assert eye_less.cleanup()


def test_a_camera_that_is_not_there_is_named(world, pose_model):
    tested = world.node("pose", model_path=str(pose_model), device="97")
    assert tested.state == "inactive"
    tested.wait_for_problem("the camera /dev/video97 cannot be opened", "there is")


class Unplugged:
    """A camera that gives two images and is gone, and that can be opened again at the second try."""

    opened = 0

    def __init__(self, device, now_ns, *, rate_hz):
        Unplugged.opened += 1
        if Unplugged.opened == 2:
            raise ImageError("not there")
        self.device, self._now_ns = f"/dev/video{device}".replace("/dev/video/dev", "/dev"), now_ns
        self._closed = threading.Event()

    def __iter__(self):
        for _ in range(2):
            yield Seen(self._now_ns(), HOPPER_ALONE)
            self._closed.wait(0.15)
        if Unplugged.opened > 1:
            self._closed.wait()
            return
        raise ImageError(f"the camera {self.device} is gone (unplugged): plug it in again")

    def close(self):
        self._closed.set()


def test_a_camera_that_is_unplugged_is_looked_for_until_it_is_back(world, outside, pose_model, monkeypatch):
    monkeypatch.setattr("mser_ros.nodes.pose_node.Camera", Unplugged)
    eye = Eye(world, outside, pose_model, device="0", rate_hz=10.0)
    frames = eye.found(4)
    assert {frame.body_id for frame in frames[:2]} == {"body_1"}
    eye.node.wait_for(reconnects=1)
    world.wait(lambda: eye.node.problem == "", "a node without a problem")
    assert eye.node.deactivate()


class SlowToOpen:
    """A camera that is gone at once, and takes its time to be opened again."""

    opening, may_open = threading.Event(), threading.Event()

    def __init__(self, device, now_ns, *, rate_hz):
        self.device, self._closed = device, threading.Event()
        self._is_first = not SlowToOpen.may_open.is_set() and not hasattr(SlowToOpen, "first")
        if self._is_first:
            SlowToOpen.first = self
        else:
            SlowToOpen.opening.set()
            SlowToOpen.may_open.wait(30)

    def __iter__(self):
        if self._is_first:
            raise ImageError("gone")
        self._closed.wait()
        yield from ()

    def close(self):
        self._closed.set()
        if self._is_first:  # the node stops while the next one is being opened
            SlowToOpen.may_open.set()


def test_a_node_stops_although_its_camera_is_just_found_again(world, pose_model, monkeypatch):
    monkeypatch.setattr("mser_ros.nodes.pose_node.Camera", SlowToOpen)
    tested = world.node("pose", model_path=str(pose_model), device="0")
    assert SlowToOpen.opening.wait(30)
    assert tested.deactivate()


def test_no_image_leaves_the_node(world, pose_model):
    node = world.node("pose", model_path=str(pose_model)).node
    types = {kind for _, kinds in node.get_publisher_names_and_types_by_node("pose", "/") for kind in kinds}
    assert "mser_msgs/msg/Skeleton" in types
    assert not any(kind.startswith("sensor_msgs/") for kind in types)


def test_a_film_is_played_in_place_of_a_camera_and_begins_anew(world, outside, pose_model, tmp_path):
    film = write_film(tmp_path / "a.mp4", [HOPPER_ALONE] * 5, rate_hz=10)
    begun_ns = time.time_ns()
    eye = Eye(world, outside, pose_model, file=str(film), loop=True, rate_hz=10.0)
    frames = eye.found(8)  # more than the film has
    assert {frame.frame_id for frame in frames} == {"camera"}
    stamps = [frame.stamp_ns for frame in frames]
    assert begun_ns < stamps[0] < stamps[-1] < time.time_ns()
    assert stamps == sorted(stamps)
    assert eye.node.deactivate()
    assert eye.node.activate()
    count = len(eye._found)
    eye.found(count + 1)


def test_the_node_as_a_process_of_its_own_sees(world, pose_model):
    found = world.listen(Skeleton, "skeleton_in")
    parameters = {"pose:model_path": str(pose_model), "pose:rate_hz": 10.0}
    with NodeProcesses(["pose"], parameters=parameters) as processes:
        images = world.publisher(CompressedImage, "image", linked=False)
        world.wait(lambda: images.get_subscription_count() > 0, "the node at its images")
        at = iter(range(10_000))
        message = compressed(HOPPER_ALONE)

        def is_found() -> bool:
            header(message, next(at))
            images.publish(message)
            return len(found) >= 3

        world.wait(is_found, "skeletons of the process")
        assert not processes.ended()
    assert processes.exit_codes == {"pose": 0}
    assert found[0].layout == "mediapipe33"
    assert len(found[0].positions) == 3 * len(found[0].confidence) == 99
