"""Joint layouts as data: what the rows of a skeleton's positions are, and how they map to the canonical body.

A layout is a file of `config/skeletons`, or of a folder of a user's own, which the environment variable MSER_SKELETONS
names. Its name is the file's name without '.yaml'.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..errors import SkeletonError
from ..resources import skeletons_dir

#: The canonical joints, in the order of every canonical array.
JOINTS: tuple[str, ...] = (
    "pelvis",
    "neck",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_hip",
    "right_knee",
    "right_ankle",
)

#: Paper A's motion capture, which is no body: the layout of IEMOCAP's 63 markers of face, hands and head, in 200 bins.
MARKER_LAYOUT = "iemocap200"
MARKER_BINS, MARKERS = 200, 63

#: Metres per unit. Fractions of an image have no size: their unit is the image's height.
UNITS: Mapping[str, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048, "image": 1.0}

#: The environment variable that names a folder with layouts of a user's own.
OWN_LAYOUTS = "MSER_SKELETONS"

#: L and R that stand for left and right: at an end, or before a digit or another capital ('l_knee', 'Foot_L', 'LH1').
_ONE_LETTER = re.compile(r"^[lr](?=_)|(?<=_)[lrLR]$|^[LR](?=[A-Z]|_)")
_LETTERS = str.maketrans("lrLR", "rlRL")

_KEYS = {"description", "dimensions", "unit", "aspect", "up", "handedness", "joints", "canonical", "ahead"}


@dataclass(frozen=True, eq=False)
class Layout:
    """One joint order. `parents`: index of each joint's parent, -1 for the root. `dimensions`: 2 or 3.

    `to_world`: float64, (3, dimensions); takes a position as the source gives it to metres (2D: image heights) with z
    up, right-handed. An image's right becomes +y and its depth, x, is 0: so a person who faces the camera faces +x.
    `canonical`: for each canonical joint the joints whose mean it is, empty where the layout has none.
    `ahead`: pairs of joints of which the second is in front of the first on every body.
    """

    name: str
    description: str
    dimensions: int
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    to_world: np.ndarray
    canonical: tuple[tuple[int, ...], ...]
    ahead: tuple[tuple[int, int], ...] = ()

    @cached_property
    def weights(self) -> np.ndarray:
        """What takes the joints to the canonical ones, float64, (15, joints): means."""
        weights = np.zeros((len(JOINTS), len(self.joints)))
        for row, sources in enumerate(self.canonical):
            weights[row, list(sources)] = 1 / max(1, len(sources))
        return weights

    @cached_property
    def mapped(self) -> np.ndarray:
        """Which canonical joints the layout has, bool, (15,)."""
        return np.array([bool(sources) for sources in self.canonical])

    @cached_property
    def mirror(self) -> np.ndarray:
        """For each joint its counterpart on the other side, by its name; itself for one that has none."""
        rows = {name: row for row, name in enumerate(self.joints)}
        return np.array([rows.get(_other_side(name), row) for name, row in rows.items()])

    @property
    def unit_m(self) -> float:
        """Metres of a unit, of a layout in 3D."""
        return float(np.linalg.norm(self.to_world[2]))

    @property
    def up(self) -> str:
        """The axis of its source that is up, 'y' or '-y'."""
        at = int(np.abs(self.to_world[2]).argmax())
        return ("-" if self.to_world[2, at] < 0 else "") + "xyz"[at]

    @property
    def aspect(self) -> float:
        """Width of the image by its height, of a layout in 2D."""
        return float(self.to_world[1, 0])

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Raise `SkeletonError` unless the last two axes are (joints, dimensions)."""
        expected = (len(self.joints), self.dimensions)
        if len(shape) < 2 or shape[-2:] != expected:
            got = " x ".join(map(str, shape[-2:])) or "a single number"
            raise SkeletonError(
                f"layout '{self.name}' needs {expected[0]} joints x {expected[1]} dimensions, but the skeleton has "
                f"{got}: name the layout that its source uses"
            )


def _files(own: str) -> dict[str, Path]:
    """Of each layout its file; those in `own`, a user's folder, come before the package's."""
    folders = [skeletons_dir(), *([Path(own)] if own else [])]
    return {path.stem: path for folder in folders for path in folder.glob("*.yaml")}


def known_layouts() -> tuple[str, ...]:
    """Names of all layouts."""
    return tuple(sorted(_files(_own())))


def get_layout(name: str) -> Layout:
    """The layout of that name. Raises `SkeletonError`: an unknown name (with the known ones), a broken file."""
    return _read_once(name, _own())


def _own() -> str:
    return os.environ.get(OWN_LAYOUTS, "")


@cache
def _read_once(name: str, own: str) -> Layout:
    files = _files(own)
    if name not in files:
        which = f"unknown joint layout '{name}'" if name else "the skeleton names no joint layout"
        raise SkeletonError(
            f"{which}: use one of {', '.join(sorted(files))}, or add a file to config/skeletons or the folder that "
            f"{OWN_LAYOUTS} names"
        )
    return load_layout(files[name])


def load_layout(path: Path) -> Layout:
    """Read and check one layout file. Raises `SkeletonError` that names the file and the fault."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SkeletonError(f"the joint layout {path} cannot be read: {' '.join(str(error).split())}") from None
    try:
        return _parse(path.stem, data)
    except (KeyError, TypeError, ValueError) as error:
        reason = f"'{error.args[0]}' is missing" if isinstance(error, KeyError) else str(error)
        raise SkeletonError(f"the joint layout {path} is wrong: {reason}") from None


def _parse(name: str, data: Any) -> Layout:
    if not isinstance(data, dict):
        raise ValueError("it must be a table of keys")
    if unknown := sorted(set(map(str, data)) - _KEYS):
        raise ValueError(f"unknown key '{unknown[0]}'; known ones are {', '.join(sorted(_KEYS))}")
    dimensions = data["dimensions"]
    if dimensions not in (2, 3):
        raise ValueError(f"dimensions must be 2 or 3, not {dimensions!r}")
    pairs = data["joints"]
    if not isinstance(pairs, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("each of joints must be a pair [name, parent]")
    joints = tuple(str(joint) for joint, _ in pairs)
    if len(set(joints)) != len(joints):
        raise ValueError("a joint is named twice")
    parents = tuple(-1 if parent is None else _index(joints, parent) for _, parent in pairs)
    _check_tree(joints, parents)
    mapped = data["canonical"]
    if not isinstance(mapped, dict):
        raise ValueError("canonical must be a table: of each canonical joint the joint, or the joints, that it is")
    if unknown := [joint for joint in mapped if joint not in JOINTS]:
        raise ValueError(f"'{unknown[0]}' is not a canonical joint; these are {', '.join(JOINTS)}")
    sources = {joint: value if isinstance(value, list) else [value] for joint, value in mapped.items()}
    canonical = tuple(tuple(_index(joints, source) for source in sources.get(joint, ())) for joint in JOINTS)
    used = [rows for rows in canonical if rows]
    if len(set(used)) != len(used):
        raise ValueError("two canonical joints are mapped to the same joints")
    return Layout(
        name=name,
        description=str(data["description"]),
        dimensions=dimensions,
        joints=joints,
        parents=parents,
        to_world=_to_world(data, dimensions),
        canonical=canonical,
        ahead=tuple((_index(joints, back), _index(joints, front)) for back, front in data.get("ahead") or ()),
    )


def _other_side(name: str) -> str:
    """The name of a joint with left for right: as whole words, or as a letter that stands for them."""
    for left, right in (("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")):
        if left in name or right in name:
            return name.replace(left, "\0").replace(right, left).replace("\0", right)
    return _ONE_LETTER.sub(lambda found: found[0].translate(_LETTERS), name)


def _index(joints: tuple[str, ...], joint: Any) -> int:
    name = str(joint)  # markers may have numbers for names
    if name not in joints:
        raise ValueError(f"'{name}' is not one of its joints")
    return joints.index(name)


def _check_tree(joints: tuple[str, ...], parents: tuple[int, ...]) -> None:
    if parents.count(-1) != 1:
        raise ValueError(f"exactly one joint must have no parent, not {parents.count(-1)}")
    for joint, parent in enumerate(parents):
        steps = 0
        while parent != -1:
            parent, steps = parents[parent], steps + 1
            if steps > len(parents):
                raise ValueError(f"the parents of '{joints[joint]}' go round in a circle")


def _to_world(data: Mapping[str, Any], dimensions: int) -> np.ndarray:
    unit = data["unit"]
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(UNITS)}, not {unit!r}")
    up = str(data["up"])
    axes = "xyz"[:dimensions]
    if up.lstrip("-") not in tuple(axes) or up.count("-") > 1:
        raise ValueError(f"up must be one of {', '.join(axes)}, with '-' before it for the other way, not {up!r}")
    vertical = np.zeros(dimensions)
    vertical[axes.index(up[-1])] = -1.0 if up[0] == "-" else 1.0
    if dimensions == 2:
        if up[-1] != "y":
            raise ValueError("up must be y or -y in 2D")
        aspect = float(data.get("aspect", 1.0))
        if not 0 < aspect < np.inf:
            raise ValueError(f"aspect, the width of the image by its height, must lie above 0, not {aspect:g}")
        return np.array([[0.0, 0.0], [aspect, 0.0], vertical])
    if data["handedness"] not in ("right", "left"):
        raise ValueError(f"handedness must be right or left, not {data['handedness']!r}")
    ahead = np.roll(np.abs(vertical), 1)
    left = np.cross(vertical, ahead)
    return UNITS[unit] * np.array([ahead, left if data["handedness"] == "right" else -left, vertical])


def check_confidence(confidence: np.ndarray, where: str = "") -> None:
    """Raise `SkeletonError` unless every joint's confidence lies in 0 to 1 or is undefined (NaN: not seen). `where`:
    the file that it is of."""
    known = confidence[~np.isnan(confidence)]
    if known.size and (known.min() < 0 or known.max() > 1):
        raise SkeletonError(
            f"joint confidences{where and f' of {where}'} must lie in 0 to 1, not {known.min():g} to {known.max():g}: "
            "divide by the source's highest value"
        )
