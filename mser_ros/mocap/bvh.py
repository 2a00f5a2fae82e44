"""BVH motion files: joint positions by forward kinematics.

The format: M. Meredith, S. Maddock, Motion Capture File Formats Explained (2001). Own code, as the one kept library
for it pins a compiled package that robots lack.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import SkeletonError

#: Of text; hours of motion [bytes].
_LARGEST = 1 << 28
_AXES = {"X": 0, "Y": 1, "Z": 2}
_CHANNELS = {f"{axis}{kind}" for axis in _AXES for kind in ("position", "rotation")}


@dataclass(frozen=True, eq=False)
class BvhMotion:
    """`positions`: float32, (T, J, 3) in the file's own unit and axes; `joints`: their names, end sites left out.
    `rest`: (J, 3), where they are when none of them is turned."""

    joints: tuple[str, ...]
    positions: np.ndarray
    rest: np.ndarray
    frame_s: float


@dataclass
class _Joint:
    name: str
    parent: int
    offset: np.ndarray = field(default_factory=lambda: np.zeros(3))
    channels: tuple[str, ...] = ()


def read_bvh(path: Path) -> BvhMotion:
    """Read `.bvh` or `.bvh.gz`. Raises `SkeletonError` that names the file and the fault."""
    try:
        with path.open("rb") as stream:
            is_packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            data = (gzip.GzipFile(fileobj=stream) if is_packed else stream).read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise SkeletonError(f"{path} holds more than {_LARGEST >> 20} MiB of text: cut it into files")
        text = _decoded(data)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise SkeletonError(f"the motion file {path} cannot be read ({error}): restore it") from None
    try:
        head, *body = re.split(r"^\s*MOTION\s*$", text, maxsplit=1, flags=re.MULTILINE | re.IGNORECASE)
        if not body:
            raise ValueError("it has no MOTION section")
        joints = _hierarchy(re.sub(r"([{}])", r" \1 ", head).split())
        frame_s, values = _motion(body[0].split(), sum(len(joint.channels) for joint in joints))
    except IndexError:
        raise SkeletonError(f"{path} is not a whole BVH file: it ends too early; restore it") from None
    except ValueError as error:
        raise SkeletonError(f"{path} is not a BVH file that can be used: {error}") from None
    return BvhMotion(tuple(joint.name for joint in joints), _positions(joints, values), _rest(joints), frame_s)


def _decoded(data: bytes) -> str:
    """Names of joints may be in any encoding; the rest is ASCII. Lines may end as on a Mac of old."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    return text.replace("\r", "\n")


def _hierarchy(words: list[str]) -> list[_Joint]:
    if words[0].upper() != "HIERARCHY":
        raise ValueError("it does not begin with HIERARCHY")
    joints: list[_Joint] = []
    open_blocks: list[int] = []  # index of the joint of each open brace, -1 for an end site
    pending: int | None = None
    at = 1
    while at < len(words):
        word = words[at]
        if word in ("ROOT", "JOINT"):
            if (word == "ROOT") == bool(joints) or (open_blocks and open_blocks[-1] == -1):
                raise ValueError(f"{word} {words[at + 1]} stands in the wrong place")
            name, at = _name(words, at + 1)
            joints.append(_Joint(name, open_blocks[-1] if open_blocks else -1))
            pending = len(joints) - 1
        elif word in ("End", "EndSite"):
            pending, at = -1, _name(words, at + 1)[1]
        elif word == "{" and pending is not None:
            open_blocks.append(pending)
            pending, at = None, at + 1
        elif word == "}" and open_blocks:
            open_blocks.pop()
            at += 1
        elif word == "OFFSET" and open_blocks:
            offset = np.array([float(value) for value in words[at + 1 : at + 4]])
            if len(offset) != 3:
                raise IndexError
            if open_blocks[-1] != -1:
                joints[open_blocks[-1]].offset = offset
            at += 4
        elif word == "CHANNELS" and open_blocks and (open_blocks[-1] != -1 or words[at + 1] == "0"):
            count = int(words[at + 1])
            channels = tuple(word[:1].upper() + word[1:].lower() for word in words[at + 2 : at + 2 + count])
            if unknown := [channel for channel in channels if channel not in _CHANNELS]:
                raise ValueError(f"unknown channel '{unknown[0]}'")
            if count:
                joints[open_blocks[-1]].channels = channels
            at += 2 + count
        else:
            raise ValueError(f"unexpected '{word}' in its hierarchy")
    if open_blocks or not joints:
        raise IndexError
    for joint in joints:
        joint.name = joint.name.rpartition(":")[2]  # exporters put a name space before it: mixamorig:Hips
    if len({joint.name for joint in joints}) != len(joints):
        raise ValueError("a joint is named twice")
    return joints


def _name(words: list[str], at: int) -> tuple[str, int]:
    """A name that may have spaces, and where the brace after it stands."""
    end = at
    while words[end] != "{":
        end += 1
    return " ".join(words[at:end]), end


def _motion(words: list[str], channels: int) -> tuple[float, np.ndarray]:
    if any("," in word for word in words[4:]):
        raise ValueError("its numbers have decimal commas; write them with points")
    if words[0] != "Frames:" or words[2:4] != ["Frame", "Time:"]:
        raise ValueError("its MOTION section lacks 'Frames:' and 'Frame Time:'")
    frames, frame_s = int(words[1]), float(words[4])
    if frames < 1 or not 0 < frame_s < 10:
        raise ValueError(f"{frames} frames of {frame_s:g} s make no motion; frame times are seconds")
    values = words[5:]
    if len(values) != frames * channels:
        raise ValueError(
            f"it speaks of {frames} frames of {channels} channels and holds {len(values) / max(channels, 1):g}; write "
            "how many there are after 'Frames:', or take another copy of it"
        )
    return frame_s, np.array(values, np.float64).reshape(frames, channels)


def _positions(joints: list[_Joint], values: np.ndarray) -> np.ndarray:
    """Down the tree: each joint turns and shifts all below it. Position channels stand for the offset."""
    frames = len(values)
    places = np.zeros((frames, len(joints), 3))
    turns = np.zeros((frames, len(joints), 3, 3))
    first = 0
    for at, joint in enumerate(joints):
        shift = np.tile(joint.offset, (frames, 1))
        turn = np.broadcast_to(np.eye(3), (frames, 3, 3))
        for channel, column in zip(joint.channels, values.T[first:], strict=False):
            if channel.endswith("position"):
                shift[:, _AXES[channel[0]]] = column
            else:
                turn = turn @ _rotation(_AXES[channel[0]], np.radians(column))
        first += len(joint.channels)
        if joint.parent < 0:
            places[:, at], turns[:, at] = shift, turn
        else:
            above = turns[:, joint.parent]
            places[:, at] = places[:, joint.parent] + np.einsum("tij,tj->ti", above, shift)
            turns[:, at] = above @ turn
    return places.astype(np.float32)


def _rest(joints: list[_Joint]) -> np.ndarray:
    places = np.zeros((len(joints), 3))
    for at, joint in enumerate(joints):
        places[at] = joint.offset + (places[joint.parent] if joint.parent >= 0 else 0)
    return places


def _rotation(axis: int, angles: np.ndarray) -> np.ndarray:
    """Rotation matrices about one axis, (T, 3, 3)."""
    out = np.zeros((len(angles), 3, 3))
    one, two = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1.0
    out[:, one, one] = out[:, two, two] = np.cos(angles)
    out[:, two, one] = np.sin(angles)
    out[:, one, two] = -out[:, two, one]
    return out
