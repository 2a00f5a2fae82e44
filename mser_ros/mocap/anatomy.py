"""What is known of every human body, and tells whether a skeleton is one: how long its bones are, where its head is and
which way its nose and toes point.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..types import SkeletonFrame
from .layouts import JOINTS, UNITS, Layout, get_layout

#: Height of the body that canonical ones are scaled to [m].
STANDARD_M = 1.7
TORSO = 0.288
#: Bones that tell the size, as shares of the body's height: D. A. Winter, Biomechanics and Motor Control of Human
#: Movement, after Drillis and Contini (1966). Shoulders and arms come first, so that a body whose legs come and go
#: keeps its size: the proportions of real trackers differ from the table's.
UPPER_BONES: Mapping[tuple[str, str], float] = {
    ("left_shoulder", "right_shoulder"): 0.259,
    ("left_shoulder", "left_elbow"): 0.186,
    ("right_shoulder", "right_elbow"): 0.186,
    ("left_elbow", "left_wrist"): 0.146,
    ("right_elbow", "right_wrist"): 0.146,
}
LOWER_BONES: Mapping[tuple[str, str], float] = {
    ("pelvis", "neck"): TORSO,
    ("left_hip", "right_hip"): 0.191,
    ("left_hip", "left_knee"): 0.245,
    ("right_hip", "right_knee"): 0.245,
    ("left_knee", "left_ankle"): 0.246,
    ("right_knee", "right_ankle"): 0.246,
}
#: Heights that a body may have [m]: E-Gait scales its walkers to one metre, and trackers guess bones.
SHORTEST_M, TALLEST_M = 0.4, 3.0
#: Heights that most people who move for a recording have [m]. In no two units is one body of such a height.
_USUAL_M = (1.2, 2.2)
#: Frames of a file by which its axes are judged; the share of a direction that makes it an axis; and how high above the
#: floor the ankles of one who stands are, as shares of the body's height.
_LOOKED_AT, _AXIS, _ON_FLOOR = 300, 0.9, (-0.05, 0.15)
#: A body whose joints are further outside than so many images is told in pixels; rows of a usual image.
_OUTSIDE, _ROWS = 5.0, 720
#: Frames over which a source's axes are judged; those before which it is not said that they are mirrored, or that
#: its bodies lie.
_MEAN, _LEAST_AHEAD, _LEAST_LYING = 30, 15, 90
#: Frames over which knees are looked at, and how far behind the middle of the leg they must be, by its length.
_LEAST_KNEES, _BENT = 60, 0.05

_BONES = [
    (np.array([[JOINTS.index(name) for name in bone] for bone in bones]), np.array([*bones.values()]))
    for bones in (UPPER_BONES, LOWER_BONES)
]
#: From a joint below to one above, the longest way that is seen.
_UPWARD = [
    (JOINTS.index(low), JOINTS.index(high))
    for high in ("head", "neck")
    for low in ("left_ankle", "right_ankle", "left_knee", "right_knee", "pelvis", "left_hip", "right_hip")
]
_PELVIS, _NECK = JOINTS.index("pelvis"), JOINTS.index("neck")
_LEGS = [tuple(JOINTS.index(f"{side}_{joint}") for joint in ("hip", "knee", "ankle")) for side in ("left", "right")]
_ACROSS = [(JOINTS.index(f"left_{pair}"), JOINTS.index(f"right_{pair}")) for pair in ("shoulder", "hip")]


def to_canonical(world: np.ndarray, seen: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The canonical joints of one frame, (15, 3), and which are seen, (15,). `world`: (J, 3), 0 where not `seen`."""
    weights = layout.weights
    return weights @ world, (weights @ ~seen == 0) & layout.mapped


def body_height(joints: np.ndarray, mask: np.ndarray, *, quantile: float = 0.5) -> float | None:
    """How tall a body is by its bones, of one frame: None where no bone is seen. `quantile` of the bones, above the
    middle where an image shows them shortened."""
    for bones, shares in _BONES:
        both = mask[bones].all(axis=1)
        if both.any():
            ends = joints[bones[both]]
            heights = np.sort(np.sqrt(((ends[:, 0] - ends[:, 1]) ** 2).sum(axis=1)) / shares[both])
            if height := float(heights[int(quantile * (len(heights) - 1) + 0.5)]):
                return height
    return None


def are_pixels(positions: np.ndarray) -> bool:
    """Whether points in an image, (..., 2), are told in pixels and not as fractions of it. NaN: not seen."""
    known = np.abs(positions[np.isfinite(positions)])
    return bool(known.size) and float(np.median(known)) > _OUTSIDE


def to_fractions(positions: np.ndarray, layout: Layout) -> np.ndarray:
    """Pixels, (..., 2), as fractions of an image of usual size with the layout's aspect: its true size does not matter,
    as bodies are told from their size."""
    return (positions / (layout.aspect * _ROWS, _ROWS)).astype(np.float32)


def over_head(frame: SkeletonFrame, above_m: float) -> np.ndarray | None:
    """A place so far above the head, (3,) [m], in the frame and on the axes of the skeleton's source; above the neck or
    all that is seen where there is no head. None in an image. Raises `SkeletonError` for an unknown layout."""
    layout = get_layout(frame.layout)
    seen = np.flatnonzero(frame.confidence > 0)
    if layout.dimensions == 2 or not len(seen):
        return None
    for joint in ("head", "neck"):
        rows = list(layout.canonical[JOINTS.index(joint)])
        if rows and set(rows) <= set(seen):
            break
    else:
        rows = list(seen)
    up = layout.to_world[2] / layout.unit_m
    return np.asarray(frame.positions[rows].mean(axis=0) * layout.unit_m + above_m * up, np.float64)


def unit_factor(height_m: float, layout: Layout) -> float | None:
    """What positions must be multiplied by so that they have the layout's unit; None where no unit makes it a body."""
    own = layout.unit_m
    for unit_m in sorted((UNITS["m"], UNITS["cm"], UNITS["mm"]), key=lambda unit_m: unit_m != own):
        if SHORTEST_M <= height_m * unit_m / own <= TALLEST_M:
            return unit_m / own
    return None


def file_unit(height: float, layout: Layout) -> str | None:
    """The unit of a file that tells none, by the height of its body in it: the layout's own, unless another one makes
    it a person of usual height. None where no unit makes it a body."""
    for low, high, units in ((*_USUAL_M, ("m", "cm", "mm", "in", "ft")), (SHORTEST_M, TALLEST_M, ("m", "cm", "mm"))):
        for unit in sorted(units, key=lambda unit: UNITS[unit] != layout.unit_m):
            if low <= height * UNITS[unit] <= high:
                return unit
    return None


def file_up(positions: np.ndarray, rest: np.ndarray, layout: Layout) -> str:
    """Which way is up in a file, 'z' or '-x', where that is not what the layout says; '' where it is, or where nobody
    can tell. `positions`: (T, J, 3), NaN where a joint is not there; `rest`: (J, 3), the body when no joint is turned.

    A file whose bodies are upright by its layout is right. Where they are not, they lie, or up is another way. A rig is
    built standing: where its rest pose is upright along an axis, that is up. Rigs of some exporters are built in other
    axes than they move in, or in no pose of a person; then up is the way along which the body stands with its feet
    where a floor is, at 0: who lies has his feet there by chance.
    """
    frames = positions[:: -(-len(positions) // _LOOKED_AT)]
    joints, masks = zip(*(_joints_of(frame, layout) for frame in frames), strict=True)
    upward = np.mean([_upward(*both) for both in zip(joints, masks, strict=True)], axis=0)
    own = _vector_of(layout.up)
    if abs(upward @ own) > 0.5:
        return ""
    built, mask = _joints_of(rest, layout)
    legs = [(hip, foot) for hip, _, foot in _LEGS if mask[hip] and mask[foot]]
    if not legs or not (height := body_height(joints[0], masks[0])):
        return ""
    trunk = _direction(built[_PELVIS], built[_NECK]) if mask[_PELVIS] and mask[_NECK] else np.zeros(3)
    up = _axis_of(trunk)
    if (
        up
        and up == _axis_of(np.mean([_direction(built[foot], built[hip]) for hip, foot in legs], axis=0))
        and up != layout.up
    ):
        return up
    if not (up := _axis_of(upward)):
        return ""
    lowest = [min(float(body[foot] @ _vector_of(up)) for _, foot in legs) for body in joints]
    low, high = (share * height for share in _ON_FLOOR)
    return up if low <= np.quantile(lowest, 0.1) and np.quantile(lowest, 0.5) <= high else ""


def turn_up(up: str, layout: Layout) -> np.ndarray:
    """What takes a position with that axis up to one with the layout's, (3, 3): a turn, which mirrors nothing."""
    here, there = _vector_of(up), _vector_of(layout.up)
    at, to = int(np.abs(here).argmax()), int(np.abs(there).argmax())
    turn = np.roll(np.eye(3), to - at, axis=0)
    if here[at] != there[to]:
        half = -np.ones(3)
        half[(to + 1) % 3] = 1
        turn = half[:, None] * turn
    return turn


def _joints_of(frame: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """The canonical joints of a frame in its source's axes, (15, 3), and which are there."""
    seen = np.isfinite(frame).all(axis=1)
    return to_canonical(np.where(seen[:, None], frame, 0), seen, layout)


def _upward(joints: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The direction from below to above along a body, 0 where it is not seen."""
    return next(
        (_direction(joints[low], joints[high]) for low, high in _UPWARD if mask[low] and mask[high]), np.zeros(3)
    )


def _direction(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(end - begin))
    return (end - begin) / length if length else np.zeros(3)


def _axis_of(direction: np.ndarray) -> str:
    """The axis that a direction of length 1 or less goes along, 'z' or '-x', '' for one that goes across."""
    at = int(np.abs(direction).argmax())
    is_along = abs(direction[at]) >= _AXIS  # never for what is no number
    return ("-" if direction[at] < 0 else "") + "xyz"[at] if is_along else ""


def _vector_of(axis: str) -> np.ndarray:
    vector = np.zeros(3)
    vector["xyz".index(axis[-1])] = -1.0 if axis[0] == "-" else 1.0
    return vector


class Axes:
    """Finds out, from its bodies, whether a source in 3D has the axes that its layout says.

    A source is believed to be upside down where its bodies stand on their heads, and mirrored where nose or toes are
    behind them (`Layout.ahead`). Of bodies that lie, and of knees that bend backward where there is no nose, it is only
    said: people lie, and knees alone are too little to exchange sides by.
    """

    def __init__(self, layout: Layout) -> None:
        self.is_inverted = False
        self.is_mirrored = False
        self._layout = layout
        self._upward, self._upright = np.zeros(3), 0
        self._ahead, self._forward = 0.0, 0
        self._has_said_lying = self._has_said_knees = False

    @property
    def turn(self) -> np.ndarray:
        """What takes a place in the layout's world to where it is, (3, 3): half a turn, a mirror, or both."""
        turn = np.diag([1.0, -1.0, -1.0]) if self.is_inverted else np.eye(3)
        return turn @ np.diag([1.0, -1.0, 1.0]) if self.is_mirrored else turn

    @property
    def mend(self) -> np.ndarray:
        """The same for a position in the source's own axes, (3, 3)."""
        to_world = self._layout.to_world
        return np.linalg.inv(to_world) @ self.turn @ to_world

    def look(self, world: np.ndarray, seen: np.ndarray, joints: np.ndarray, mask: np.ndarray) -> str:
        """Take a frame in, as the layout says that it is; a sentence where that changes what is believed."""
        upward = next((joints[high] - joints[low] for low, high in _UPWARD if mask[low] and mask[high]), None)
        if upward is None or not (length := float(np.sqrt(upward @ upward))):
            return ""
        self._upright += 1
        self._upward += (upward / length - self._upward) / min(self._upright, _MEAN)
        up = float(self._upward[2])
        if (up < -0.5) != self.is_inverted and abs(up) > 0.5:
            self.is_inverted = up < 0
            if self.is_inverted:
                return (
                    f"bodies of layout '{self._layout.name}' stand on their heads: turned round; name the layout of "
                    "their source, or one whose 'up' is the other way"
                )
            return f"bodies of layout '{self._layout.name}' stand on their feet again: taken as they come"
        return self._look_ahead(world, seen, joints, mask) if abs(up) > 0.5 else self._look_for_lying()

    def _look_ahead(self, world: np.ndarray, seen: np.ndarray, joints: np.ndarray, mask: np.ndarray) -> str:
        pairs = [(back, front) for back, front in self._layout.ahead if seen[back] and seen[front]]
        across = [joints[left] - joints[right] for left, right in _ACROSS if mask[left] and mask[right]]
        if not across:
            return ""
        left = np.sum(across, axis=0)
        ahead = np.array([left[1], -left[0]])  # of left x up, in the plane of the ground
        if self.is_inverted:
            ahead = -ahead
        if not self._layout.ahead:
            return self._look_at_knees(ahead, joints, mask)
        if not pairs:
            return ""
        points = np.sum([world[front] - world[back] for back, front in pairs], axis=0)[:2]
        length = float(np.sqrt((ahead @ ahead) * (points @ points)))
        if not length:
            return ""
        self._forward += 1
        self._ahead += (float(ahead @ points) / length - self._ahead) / min(self._forward, _MEAN)
        if self._forward < _LEAST_AHEAD or abs(self._ahead) < 0.3 or (self._ahead < 0) == self.is_mirrored:
            return ""
        self.is_mirrored = self._ahead < 0
        if self.is_mirrored:
            return (
                f"bodies of layout '{self._layout.name}' have nose or toes behind them: mirrored back; name the layout "
                "of their source, or switch its mirroring off"
            )
        return f"bodies of layout '{self._layout.name}' have nose and toes before them again: taken as they come"

    def _look_at_knees(self, ahead: np.ndarray, joints: np.ndarray, mask: np.ndarray) -> str:
        """Knees bend forward. Where nothing else tells, that is too little to turn a body round by, but it is said."""
        bends = []
        for hip, knee, ankle in _LEGS:
            if mask[hip] and mask[knee] and mask[ankle]:
                bend = (joints[knee] - (joints[hip] + joints[ankle]) / 2)[:2]
                reach = float(np.sqrt((ahead @ ahead) * ((joints[hip] - joints[ankle]) ** 2).sum()))
                bends.append(float(bend @ ahead) / reach if reach else 0.0)
        if not bends:
            return ""
        self._forward += 1
        self._ahead += (sum(bends) / len(bends) - self._ahead) / min(self._forward, _LEAST_KNEES)
        if self._has_said_knees or self._forward < _LEAST_KNEES or self._ahead > -_BENT:
            return ""
        self._has_said_knees = True
        return (
            f"knees of bodies of layout '{self._layout.name}' bend backward: their source is left-handed, mirrored, or "
            "reverses depth; taken as they come: name the layout of the source, or switch its mirroring off"
        )

    def _look_for_lying(self) -> str:
        source = self._layout.to_world.T @ self._upward
        axis = int(np.abs(source).argmax())
        if self._has_said_lying or self._upright < _LEAST_LYING or np.abs(source[axis]) < 0.9 * np.linalg.norm(source):
            return ""
        self._has_said_lying = True
        name = ("-" if source[axis] < 0 else "") + "xyz"[axis]
        return (
            f"bodies of layout '{self._layout.name}' have been lying along {name} of their source since they came: if "
            f"they stand, name the layout of their source, or one whose 'up' is {name} (of a file: --up {name})"
        )
