"""Skeletons from files, for use without a robot: BVH and npz."""

from __future__ import annotations

import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..errors import SkeletonError, unusable_name
from ..types import NS_PER_S, SkeletonSequence
from .anatomy import STANDARD_M, are_pixels, body_height, file_unit, file_up, to_canonical, to_fractions, turn_up
from .bvh import read_bvh
from .layouts import OWN_LAYOUTS, UNITS, Layout, check_confidence, get_layout, known_layouts

#: What numpy and zipfile raise for an npz that is damaged; a header that is cut is a SyntaxError of a kind.
_DAMAGE = (
    OSError, EOFError, ValueError, SyntaxError, tokenize.TokenError, NotImplementedError, OverflowError, MemoryError,
    zipfile.BadZipFile, zlib.error, RuntimeError,
)  # fmt: skip


#: How the names of motion files end.
MOTION_FILES = (".bvh", ".bvh.gz", ".npz")
#: What may be said of a file's axes and unit.
UPS = ("x", "y", "z", "-x", "-y", "-z")
SIZES = tuple(unit for unit in UNITS if unit != "image")


def read_motion(
    path: Path,
    *,
    layout: str = "",
    up: str = "",
    unit: str = "",
    rate_hz: float | None = None,
    index: int | None = None,
    notes: list[str] | None = None,
) -> SkeletonSequence:
    """The skeleton of a `.bvh`, `.bvh.gz` or `.npz` file, its first frame stamped 0.

    BVH, which tells neither its axes nor its unit: `layout` may be left empty where a known one has the file's joint
    names; `rate_hz` replaces the file's own; the way up and the unit are found by the body, unless `up` ('z', '-x')
    and `unit` name them; a body that has no usual unit is scaled to usual height.
    npz: `joints`, shape (T, J, 2 or 3), or (N, T, J, 2 or 3) of which `index` chooses one; optional `layout` (text),
    `rate_hz`, `stamps_ns` (int64, (T,), from any zero) and `confidence` (0..1, shape of joints without the last
    axis); points in an image are fractions of it, or pixels. What is given here comes before what the file says.
    Joints that are not finite count as not seen. `up` and `unit` are understood of them as well. `notes` takes a
    sentence for each thing that is odd about the file and was mended.
    Raises `SkeletonError`: a file that cannot be read, a layout or rate that is not known, a wrong shape.
    """
    if not path.is_file():
        raise SkeletonError(f"there is no motion file {path}: check the path")
    if fault := unusable_name(path):
        raise SkeletonError(fault)
    notes = [] if notes is None else notes
    if path.name.lower().endswith((".bvh", ".bvh.gz")):
        return _from_bvh(path, layout, up, unit, rate_hz=rate_hz, notes=notes)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, layout, up, unit, rate_hz=rate_hz, index=index, notes=notes)
    raise SkeletonError(
        f"{path} is no motion file that can be read: export it as .bvh, or store its positions as 'joints', of shape "
        "(frames, joints, 2 or 3), in an .npz (numpy.savez)"
    )


def _from_bvh(
    path: Path, layout: str, up: str, unit: str, *, rate_hz: float | None, notes: list[str]
) -> SkeletonSequence:
    motion = read_bvh(path)
    joints = motion.joints
    faults: dict[str, None] = {}
    chosen = get_layout(layout) if layout else _layout_of(joints, faults)
    if chosen is None:
        joints = _without_prefix(joints)
        chosen = _layout_of(joints, faults)
    if chosen is None:
        raise SkeletonError(
            f"no known layout has the joint names of {path}: add a file to config/skeletons, or to the folder that "
            f"{OWN_LAYOUTS} names, with {', '.join(motion.joints)}{''.join(f'; {fault}' for fault in faults)}"
        )
    notes += faults
    if missing := [joint for joint in chosen.joints if joint in _needed(chosen) and joint not in joints]:
        raise SkeletonError(
            f"{path} lacks the joint '{missing[0]}' of layout '{chosen.name}': name the layout of its own joints, "
            f"{', '.join(joints)}"
        )
    positions = np.full((len(motion.positions), len(chosen.joints), 3), np.nan, np.float32)
    rows = [row for row, joint in enumerate(chosen.joints) if joint in joints]
    columns = [joints.index(chosen.joints[row]) for row in rows]
    positions[:, rows] = motion.positions[:, columns]
    rest = np.full(positions.shape[1:], np.nan)
    rest[rows] = motion.rest[columns]
    positions = _turned(positions, up or _found_up(positions, rest, chosen, path, notes), chosen)
    positions *= np.float32(_scale(positions[0], unit, chosen, path, notes))
    stamps_ns = _stamps(len(positions), 1 / motion.frame_s if rate_hz is None else rate_hz, path)
    return _sequence(chosen, stamps_ns, positions, None)


def _needed(layout: Layout) -> set[str]:
    """Its joints but those that a rig may lack, as no canonical joint is made of them."""
    return {layout.joints[row] for rows in layout.canonical for row in rows}


def _layout_of(joints: Sequence[str], faults: dict[str, None]) -> Layout | None:
    """Of the known layouts in space whose joints are there the one that has most of them; None where none is known.
    `faults` takes what is wrong with files of layouts."""
    known: list[Layout] = []
    for name in known_layouts():
        try:
            known.append(get_layout(name))
        except SkeletonError as error:  # a user's own file, perhaps one that is not needed here
            faults[str(error)] = None
    known = [layout for layout in known if layout.dimensions == 3]
    fitting = [layout for layout in known if _needed(layout) and _needed(layout) <= set(joints)]
    return max(fitting, key=lambda layout: len({*layout.joints} & {*joints}), default=None)


def _without_prefix(joints: Sequence[str]) -> tuple[str, ...]:
    """Names without what exporters put before all of them: 'Character1_Hips', 'Bip01 Hips'."""
    ends = [found.end() for found in re.finditer(r"[ _.\-]", joints[0])]
    common = [end for end in ends if all(joint.startswith(joints[0][:end]) for joint in joints)]
    return tuple(joint[max(common, default=0) :] for joint in joints)


def _found_up(positions: np.ndarray, rest: np.ndarray, layout: Layout, path: Path, notes: list[str]) -> str:
    up = file_up(positions, rest, layout)
    if up:
        notes.append(
            f"the bodies of {path.name} stand along {up}, and layout '{layout.name}' says {layout.up}: turned; if they "
            f"lie, say so (--up {layout.up})"
        )
    return up


def _turned(positions: np.ndarray, up: str, layout: Layout) -> np.ndarray:
    """With the layout's way up in place of another."""
    if not up or layout.dimensions != 3:
        return positions
    return (positions @ turn_up(up, layout).T).astype(np.float32)


def _scale(joints: np.ndarray, told: str, layout: Layout, path: Path, notes: list[str]) -> float:
    """BVH tells no unit, and some have one of their own, as those of CMU: what it must be multiplied by to have the
    layout's; where no usual one makes it a body, to be one of usual height. `told`: what the user says it is."""
    if told:
        return UNITS[told] / layout.unit_m
    seen = np.isfinite(joints).all(axis=1)
    world = np.where(seen[:, None], joints, 0) @ layout.to_world.T
    height_m = body_height(*to_canonical(world, seen, layout))
    if not height_m:
        return 1.0
    height = height_m / layout.unit_m
    unit = file_unit(height, layout)
    if unit is None:
        notes.append(
            f"{path.name} has a unit of its own, in which its body is {height:.3g} tall: taken as one of usual height; "
            "if its unit is a usual one, name it (--unit)"
        )
        return STANDARD_M / height_m
    factor = UNITS[unit] / layout.unit_m
    if factor != 1:
        notes.append(
            f"the body of {path.name} is {height:.3g} tall, so its unit is {unit}: converted; if it is another one, "
            "name it (--unit)"
        )
    return factor


def _from_npz(
    path: Path,
    layout: str,
    up: str,
    unit: str,
    *,
    rate_hz: float | None,
    index: int | None,
    notes: list[str],
) -> SkeletonSequence:
    try:
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise SkeletonError(f"{path} holds one array without a name: store it as 'joints' with numpy.savez")
        with opened as archive:
            size = sum(item.file_size for item in archive.zip.infolist()) if archive.zip else 0
            if size > _LARGEST:
                raise SkeletonError(f"{path} holds {size >> 20} MiB, unpacked: cut it into files of less than an hour")
            data = {key: archive[key] for key in archive.files if key in _NPZ_KEYS}
            others = {key: _array(archive, key) for key in archive.files if key not in data}
            names = ", ".join(archive.files)
    except _DAMAGE as error:
        with path.open("rb") as stream:
            is_zip = stream.read(2) == b"PK"
        if not is_zip:
            raise SkeletonError(f"{path} is no npz file: write one with numpy.savez") from None
        if "allow_pickle" in str(error):
            raise SkeletonError(f"{path} holds Python objects, which could run code: store numbers and text") from None
        raise SkeletonError(f"the motion file {path} cannot be read ({error}): restore it") from None
    if "joints" not in data:
        raise SkeletonError(
            f"{path} has no array 'joints', it has {names or 'none'}: store positions of shape "
            "(frames, joints, 2 or 3) under it"
        )
    positions, confidence = data["joints"], data.get("confidence")
    if positions.ndim == 4:
        index = 0 if index is None and len(positions) == 1 else index
        if index is None or not -len(positions) <= index < len(positions):
            raise SkeletonError(f"{path} holds {len(positions)} motions: store one of them alone under 'joints'")
        if confidence is not None and confidence.shape == positions.shape[:3]:
            confidence = confidence[index]
        positions = positions[index]
    if positions.ndim != 3 or not len(positions) or positions.dtype.kind not in "fiu":
        raise SkeletonError(
            f"'joints' of {path} must be numbers of shape (frames, joints, 2 or 3), not {data['joints'].dtype} "
            f"{data['joints'].shape}"
        )
    if data["joints"].ndim == 3:
        _check_others(others, data, path)
    if confidence is not None and (confidence.shape != positions.shape[:2] or confidence.dtype.kind not in "fiub"):
        raise SkeletonError(f"'confidence' of {path} must be numbers 0 to 1 of shape {positions.shape[:2]}")
    if confidence is not None:
        confidence = confidence.astype(np.float32)
        check_confidence(confidence, str(path))
    if not layout and "layout" not in data:
        raise SkeletonError(f"{path} names no joint layout: say which of {', '.join(known_layouts())} it is")
    chosen = get_layout(layout or _text(data["layout"]))
    if confidence is None and positions.shape[1:] == (len(chosen.joints), chosen.dimensions + 1):
        shares = positions[..., -1].astype(np.float32)
        if np.nanmin(shares, initial=0) >= 0 and np.nanmax(shares, initial=0) <= 1:
            positions, confidence = positions[..., :-1], shares
            notes.append(
                f"'joints' of {path.name} have a column more than layout '{chosen.name}' has dimensions: taken as "
                "their confidences; store those under 'confidence'"
            )
    stamps_ns = _npz_stamps(data, len(positions), rate_hz, path)
    if chosen.dimensions == 2 and positions.shape[2] == 2 and are_pixels(positions):
        positions = to_fractions(positions, chosen)
        notes.append(
            f"the points of {path.name} are told in pixels: converted; store fractions of the image's width and height"
        )
    if chosen.dimensions == 3 and positions.shape[2] == 3:
        positions = _turned(positions, up, chosen) * (UNITS[unit] / chosen.unit_m if unit else 1)
    return _sequence(chosen, stamps_ns, positions, confidence)


def _text(array: np.ndarray) -> str:
    """A text that was stored as text or bytes, alone or as the only one of an array."""
    item = array.item() if array.size == 1 else array
    return item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)


def _npz_stamps(data: Mapping[str, np.ndarray], frames: int, rate_hz: float | None, path: Path) -> np.ndarray:
    """Stamps from 0: of the rate that is asked for, else of the file's stamps, else of its rate."""
    told = data.get("rate_hz")
    if rate_hz is None and told is not None and (told.shape != () or told.dtype.kind not in "fiu"):
        raise SkeletonError(f"'rate_hz' of {path} must be one number in hertz")
    if rate_hz is None and "stamps_ns" in data:
        stamps_ns = data["stamps_ns"]
        if stamps_ns.shape != (frames,) or stamps_ns.dtype.kind not in "iu" or np.any(stamps_ns[1:] <= stamps_ns[:-1]):
            raise SkeletonError(f"'stamps_ns' of {path} must be whole numbers that rise, one for each frame")
        stamps_ns = (stamps_ns - stamps_ns[0]).astype(np.int64)
        if frames > 1:
            found_hz = NS_PER_S / float(np.median(np.diff(stamps_ns)))
            if found_hz > _MAX_RATE_HZ:
                raise SkeletonError(
                    f"'stamps_ns' of {path} follow each other {found_hz:.0f} times a second: store them in nanoseconds"
                )
            if told is not None and abs(float(told) / found_hz - 1) > _RATES_AGREE:
                raise SkeletonError(
                    f"{path} says {float(told):g} frames a second, its 'stamps_ns' {found_hz:.1f}: store one of both"
                )
        return stamps_ns
    if rate_hz is None:
        if told is None:
            raise SkeletonError(f"{path} has no frame rate: give one in hertz, or store it as 'rate_hz'")
        rate_hz = float(told)
    return _stamps(frames, rate_hz, path)


def _array(archive: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    """An array whose content does not matter where it cannot be read."""
    try:
        return archive[key]
    except _DAMAGE:
        return np.zeros(0)


def _check_others(others: Mapping[str, np.ndarray], data: Mapping[str, np.ndarray], path: Path) -> None:
    """Refuse arrays under other names that look like what is lacking: to leave them out would be silent."""
    shape = data["joints"].shape
    without = {"confidence", "stamps_ns"} - set(data)
    for name, array in others.items():
        numbers = array.squeeze() if array.dtype.kind in "fiu" else np.zeros(0)
        rises = numbers.shape == shape[:1] and len(numbers) > 1 and bool((np.diff(numbers) > 0).all())
        wanted = "confidence" if numbers.shape == shape[:2] else "stamps_ns" if rises else ""
        if wanted not in without:
            continue
        raise SkeletonError(
            f"{path} has an array '{name}' {array.shape} that is not known: name it '{wanted}' if it is that, else "
            "leave it out"
        )


_NPZ_KEYS = {"joints", "confidence", "layout", "rate_hz", "stamps_ns"}
_MAX_RATE_HZ = 10_000
#: Unpacked; six hours of 33 joints at 30 Hz [bytes].
_LARGEST = 1 << 29
#: How far the frame rate of a file may be from that of its stamps.
_RATES_AGREE = 0.1


def _stamps(frames: int, rate_hz: float, path: Path) -> np.ndarray:
    if not 0 < rate_hz <= _MAX_RATE_HZ:
        raise SkeletonError(
            f"a frame rate of {rate_hz:g} Hz for {path}: it must lie above 0 and at most at {_MAX_RATE_HZ}"
        )
    return np.round(np.arange(frames) * (NS_PER_S / rate_hz)).astype(np.int64)


def _sequence(
    layout: Layout, stamps_ns: np.ndarray, positions: np.ndarray, confidence: np.ndarray | None
) -> SkeletonSequence:
    layout.check_shape(positions.shape)
    seen = np.isfinite(positions).all(axis=2)
    weights = np.ones(seen.shape) if confidence is None else np.nan_to_num(confidence)
    return SkeletonSequence(
        stamps_ns=stamps_ns,
        positions=np.where(seen[..., None], positions, 0.0).astype(np.float32),
        confidence=np.where(seen, weights, 0.0).astype(np.float32),
        layout=layout.name,
    )
