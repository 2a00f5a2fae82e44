"""Skeletons from files, for use without a robot: BVH and npz."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..errors import SkeletonError
from ..types import NS_PER_S, SkeletonSequence
from .bvh import read_bvh
from .layouts import Layout, check_confidence, get_layout, known_layouts

#: What numpy and zipfile raise for an npz that is damaged; a header that is cut is a SyntaxError of a kind.
_DAMAGE = (
    OSError, EOFError, ValueError, SyntaxError, tokenize.TokenError, NotImplementedError, OverflowError, MemoryError,
    zipfile.BadZipFile, zlib.error, RuntimeError,
)  # fmt: skip


#: How the names of motion files end.
MOTION_FILES = (".bvh", ".bvh.gz", ".npz")


def read_motion(
    path: Path, *, layout: str = "", rate_hz: float | None = None, index: int | None = None, start_ns: int = 0
) -> SkeletonSequence:
    """The skeleton of a `.bvh`, `.bvh.gz` or `.npz` file, its first frame stamped `start_ns`.

    BVH: `layout` may be left empty where a known one has the file's joint names; `rate_hz` replaces the file's own.
    npz: `joints`, shape (T, J, 2 or 3), or (N, T, J, 2 or 3) of which `index` chooses one; optional `layout` (text),
    `rate_hz`, `stamps_ns` (int64, (T,), from any zero) and `confidence` (0..1, shape of joints without the last
    axis). What is given here comes before what the file says. Joints that are not finite count as not seen.
    Raises `SkeletonError`: a file that cannot be read, a layout or rate that is not known, a wrong shape.
    """
    if not path.is_file():
        raise SkeletonError(f"there is no motion file {path}: check the path")
    if path.name.lower().endswith((".bvh", ".bvh.gz")):
        return _from_bvh(path, layout=layout, rate_hz=rate_hz, start_ns=start_ns)
    if path.suffix.lower() == ".npz":
        return _from_npz(path, layout=layout, rate_hz=rate_hz, index=index, start_ns=start_ns)
    raise SkeletonError(f"{path} is no motion file that can be read: use .bvh, .bvh.gz or .npz")


def _from_bvh(path: Path, *, layout: str, rate_hz: float | None, start_ns: int) -> SkeletonSequence:
    motion = read_bvh(path)
    chosen = get_layout(layout) if layout else _layout_of(motion.joints, path)
    if missing := [joint for joint in chosen.joints if joint not in motion.joints]:
        raise SkeletonError(
            f"{path} lacks the joint '{missing[0]}' of layout '{chosen.name}': name the layout of its own joints, "
            f"{', '.join(motion.joints)}"
        )
    positions = motion.positions[:, [motion.joints.index(joint) for joint in chosen.joints]]
    stamps_ns = _stamps(len(positions), 1 / motion.frame_s if rate_hz is None else rate_hz, path)
    return _sequence(chosen, stamps_ns + start_ns, positions, None)


def _layout_of(joints: tuple[str, ...], path: Path) -> Layout:
    """The largest known layout whose joints are all there."""
    fitting = [item for item in map(get_layout, known_layouts()) if set(item.joints) <= set(joints)]
    if not fitting:
        raise SkeletonError(
            f"no known layout has the joint names of {path}: add a file to config/skeletons with {', '.join(joints)}"
        )
    return max(fitting, key=lambda item: len(item.joints))


def _from_npz(path: Path, *, layout: str, rate_hz: float | None, index: int | None, start_ns: int) -> SkeletonSequence:
    try:
        with np.load(path, allow_pickle=False) as archive:
            data = {key: archive[key] for key in archive.files if key in _NPZ_KEYS}
    except _DAMAGE as error:
        raise SkeletonError(f"the motion file {path} cannot be read ({error}): restore it") from None
    if "joints" not in data:
        raise SkeletonError(f"{path} has no array 'joints': store positions of shape (frames, joints, 2 or 3) under it")
    positions, confidence = data["joints"], data.get("confidence")
    if positions.ndim == 4:
        if index is None or not -len(positions) <= index < len(positions):
            raise SkeletonError(f"{path} holds {len(positions)} motions: choose one by an index from 0")
        if confidence is not None and confidence.shape == positions.shape[:3]:
            confidence = confidence[index]
        positions = positions[index]
    if positions.ndim != 3 or not len(positions) or positions.dtype.kind not in "fiu":
        raise SkeletonError(
            f"'joints' of {path} must be numbers of shape (frames, joints, 2 or 3), not {data['joints'].dtype} "
            f"{data['joints'].shape}"
        )
    if confidence is not None and (confidence.shape != positions.shape[:2] or confidence.dtype.kind not in "fiub"):
        raise SkeletonError(f"'confidence' of {path} must be numbers 0 to 1 of shape {positions.shape[:2]}")
    if confidence is not None:
        confidence = confidence.astype(np.float32)
        check_confidence(confidence, str(path))
    if not layout and "layout" not in data:
        raise SkeletonError(f"{path} names no joint layout: say which of {', '.join(known_layouts())} it is")
    stamps_ns = _npz_stamps(data, len(positions), rate_hz, path)
    return _sequence(get_layout(layout or str(data["layout"])), stamps_ns + start_ns, positions, confidence)


def _npz_stamps(data: Mapping[str, np.ndarray], frames: int, rate_hz: float | None, path: Path) -> np.ndarray:
    """Stamps from 0: of the rate that is asked for, else of the file's stamps, else of its rate."""
    if rate_hz is None and "stamps_ns" in data:
        stamps_ns = data["stamps_ns"]
        if stamps_ns.shape != (frames,) or stamps_ns.dtype.kind not in "iu" or np.any(stamps_ns[1:] <= stamps_ns[:-1]):
            raise SkeletonError(f"'stamps_ns' of {path} must be whole numbers that rise, one for each frame")
        return (stamps_ns - stamps_ns[0]).astype(np.int64)
    if rate_hz is None:
        if "rate_hz" not in data:
            raise SkeletonError(f"{path} has no frame rate: give one in hertz, or store it as 'rate_hz'")
        if data["rate_hz"].shape != () or data["rate_hz"].dtype.kind not in "fiu":
            raise SkeletonError(f"'rate_hz' of {path} must be one number in hertz")
        rate_hz = float(data["rate_hz"])
    return _stamps(frames, rate_hz, path)


_NPZ_KEYS = {"joints", "confidence", "layout", "rate_hz", "stamps_ns"}


def _stamps(frames: int, rate_hz: float, path: Path) -> np.ndarray:
    if not 0 < rate_hz <= 10_000:
        raise SkeletonError(f"a frame rate of {rate_hz:g} Hz for {path}: it must lie above 0 and at most at 10000")
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
