"""BlazePose: a network that finds bodies in an image, and one that finds the joints of a body.

V. Bazarevsky et al., BlazePose: On-device Real-time Body Pose tracking (2020). The constants are those of MediaPipe's
graphs (github.com/google-ai-edge/mediapipe, mediapipe/modules/pose_detection and pose_landmark), which run the same
networks.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelError, not_installed
from ..model_store.store import ModelStore
from .regions import Region, cut, turn, whole

MODEL = "pose"
#: The files of the detector and of the landmarks: of the model store's folder, and of a `.task` of MediaPipe.
_IN_FOLDER = ("pose_detection.tflite", "pose_landmark_full.tflite")
_IN_TASK = ("pose_detector.tflite", "pose_landmarks_detector.tflite")

#: The joints of a body, and with them the points that tell where it will be in the next image.
JOINTS, _POINTS = 33, 39
_MIDDLE, _END = 33, 34
#: What the detector tells of a body, beside its box's middle: the box's size, the middle of the hips, the end of the
#: circle around the body (and the same of its upper half).
_SIZE, _HIPS, _ABOVE = 1, 2, 3
_DETECTOR_SIZE, _LANDMARK_SIZE = 224, 256
#: Anchors of the detector: the strides of its layers, each with two anchors in every cell.
_STRIDES = (8, 16, 32, 32, 32)
_LEAST_SCORE = 0.5
#: Boxes that overlap more than this (intersection over union) are of one body.
_SAME_BODY = 0.3
#: A body's region is larger than the circle around it by this.
_MARGIN = 1.25
#: Points are refined in so many cells of their heat map around them, where it is surer than this.
_KERNEL, _LEAST_HEAT = 7, 0.5


@dataclass(frozen=True, eq=False)
class Detection:
    """What may be a body. `score`: 0.5 to 1. `region`: where to look for its joints."""

    score: float
    region: Region


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The joints of one body, in the order of layout mediapipe33.

    `score`: 0.5 to 1, that there is one. `image`: float64, (33, 2), pixels; they may lie outside. `metres`: float64,
    (33, 3), from the middle of the hips, in the camera's axes: x to the right, y down, z away. `visibility`:
    (33,), 0..1, that a joint is in view. `circle`: (2, 2), its middle and its end, around the body, in pixels.
    """

    score: float
    image: np.ndarray
    metres: np.ndarray
    visibility: np.ndarray
    circle: np.ndarray

    @property
    def next_region(self) -> Region:
        """Where to look for the body in the next image."""
        return _region(*self.circle)


class PoseNetworks:
    """Both networks, loaded. Not for several threads at a time."""

    def __init__(self, path: Path | str = "", *, threads: int = 1) -> None:
        """`path`: a `.task` file of MediaPipe's pose landmarker, or a folder with the two networks; empty: that of the
        model store. Raises `ModelError` where it is missing or cannot be used, `DependencyError` without LiteRT.
        """
        detector, landmarks = _read(Path(path).expanduser() if path else ModelStore().require(MODEL))
        self._detector = _Network(detector, threads, [(2254, 12), (2254, 1)])
        self._landmarks = _Network(landmarks, threads, [(195,), (1,), (64, 64, 39), (117,)])
        self._anchors = _anchors()

    def detect(self, image: np.ndarray) -> list[Detection]:
        """What may be bodies in an image, uint8 RGB (height, width, 3), the surest first."""
        frame = whole(image)
        pixels = cut(image, frame, _DETECTOR_SIZE, extend=False) / np.float32(127.5) - np.float32(1)
        raw, scores = self._detector.run(pixels)
        found = _sigmoid(scores[:, 0])
        sure = found >= _LEAST_SCORE
        # All but the size of the box is told from the middle of the anchor.
        values = raw[sure].reshape(-1, 6, 2).astype(np.float64) / _DETECTOR_SIZE
        points = self._anchors[sure, None] + values
        points[:, _SIZE] = values[:, _SIZE]
        detections = []
        for score, merged in _suppress(found[sure], points):
            detections.append(Detection(score, _region(*frame.to_image(merged[[_HIPS, _ABOVE]]))))
        return detections

    def landmarks(self, image: np.ndarray, region: Region) -> Landmarks | None:
        """The joints of the body in a region; None where there is none."""
        pixels = cut(image, region, _LANDMARK_SIZE, extend=True) / np.float32(255)
        raw, is_body, heat, metres = self._landmarks.run(pixels)
        if not is_body[0] >= _LEAST_SCORE:
            return None
        points = raw.reshape(_POINTS, 5).astype(np.float64)
        places = region.to_image(_refine(points[:, :2] / _LANDMARK_SIZE, heat))
        return Landmarks(
            score=float(is_body[0]),
            image=places[:JOINTS],
            metres=turn(metres.reshape(_POINTS, 3)[:JOINTS], region.angle),
            visibility=_sigmoid(points[:JOINTS, 3]),
            circle=places[[_MIDDLE, _END]],
        )


class _Network:
    """A TFLite network of one image and outputs of known shapes (without the batch), in this order."""

    def __init__(self, content: bytes, threads: int, shapes: list[tuple[int, ...]]) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise not_installed("ai_edge_litert") from None
        try:
            self._interpreter: Any = Interpreter(model_content=content, num_threads=threads)
            self._interpreter.allocate_tensors()
            outputs = {tuple(item["shape"][1:]): item["index"] for item in self._interpreter.get_output_details()}
            self._outputs = [outputs[shape] for shape in shapes]
            (self._input,) = (item["index"] for item in self._interpreter.get_input_details())
        except (ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                f"this is no pose network of MediaPipe ({error}): use the model 'pose' of mser models, or a .task of "
                "MediaPipe's pose landmarker"
            ) from None

    def run(self, pixels: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


def _read(path: Path) -> tuple[bytes, bytes]:
    try:
        if path.is_dir():
            return (path / _IN_FOLDER[0]).read_bytes(), (path / _IN_FOLDER[1]).read_bytes()
        with zipfile.ZipFile(path) as task:
            return task.read(_IN_TASK[0]), task.read(_IN_TASK[1])
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"the pose model {path} cannot be read ({error}): call 'mser models get {MODEL}' and leave its path away, "
            "or name a .task file of MediaPipe's pose landmarker"
        ) from None


def _anchors() -> np.ndarray:
    """The middle of each anchor, 0 to 1 from the upper left corner, (2254, 2): layers of one stride are joined."""
    rows = []
    for stride in sorted(set(_STRIDES)):
        cells = (np.arange(_DETECTOR_SIZE // stride) + 0.5) * stride / _DETECTOR_SIZE
        y, x = np.meshgrid(cells, cells, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), 2 * _STRIDES.count(stride), axis=0))
    return np.concatenate(rows)


def _suppress(scores: np.ndarray, points: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """One detection for each body: the mean of those that overlap its surest, weighted by their scores."""
    left = list(np.argsort(-scores))
    found = []
    while left:
        overlap = _overlaps(points[left[0], :2], points[left, :2])
        same = [item for item, share in zip(left, overlap, strict=True) if share > _SAME_BODY or item == left[0]]
        found.append((float(scores[left[0]]), np.average(points[same], axis=0, weights=scores[same])))
        left = [item for item in left if item not in same]
    return found


def _overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union of a box (middle, size) with others, (N, 2, 2)."""
    low = np.maximum(box[0] - box[1] / 2, others[:, 0] - others[:, 1] / 2)
    high = np.minimum(box[0] + box[1] / 2, others[:, 0] + others[:, 1] / 2)
    both = np.maximum(high - low, 0).prod(axis=1)
    return both / np.maximum(box[1].prod() + others[:, 1].prod(axis=1) - both, 1e-12)


def _refine(points: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Move each point (0 to 1) to the centre of its heat around it, where that is sure of itself."""
    refined = points.copy()
    height, width = heat.shape[:2]
    reach = _KERNEL // 2
    for index, (x, y) in enumerate(points):
        column, row = int(x * width), int(y * height)
        if not (0 <= x * width < width and 0 <= y * height < height):
            continue
        top, left = max(0, row - reach), max(0, column - reach)
        warmth = _sigmoid(heat[top : row + reach + 1, left : column + reach + 1, index])
        if warmth.max() >= _LEAST_HEAT:
            rows, columns = np.mgrid[top : top + warmth.shape[0], left : left + warmth.shape[1]]
            refined[index] = np.array([(columns * warmth).sum() / width, (rows * warmth).sum() / height]) / warmth.sum()
    return refined


def _region(middle: np.ndarray, end: np.ndarray) -> Region:
    """The square around the circle of a body: its middle lies between the hips, its end above the head."""
    x, y = end - middle
    angle = np.arctan2(y, x) + np.pi / 2
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    return Region(float(middle[0]), float(middle[1]), _MARGIN * 2 * float(np.hypot(x, y)), float(angle))


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(values.astype(np.float64), -100, 100)))
