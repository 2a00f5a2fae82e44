"""One form for every skeleton: 15 joints, z up, centred, facing +x, of one size, at a fixed rate.

What stays is posture and how it moves; where the person stands or walks to, where they face, how tall they are, and
which source saw them does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..types import NS_PER_S, SkeletonSequence, to_ns
from .anatomy import LOWER_BONES, STANDARD_M, TORSO, UPPER_BONES
from .layouts import JOINTS, get_layout

#: For each canonical joint its counterpart on the other side: mirror with `positions[:, MIRRORED] * (1, -1, 1)`.
MIRRORED: tuple[int, ...] = tuple(
    JOINTS.index(joint.replace("left", "LEFT").replace("right", "left").replace("LEFT", "right")) for joint in JOINTS
)

#: A joint that is unseen for longer than this is masked, not interpolated [s].
MAX_GAP_S = 0.3

#: A joint further than this from the pelvis of a body 1.7 m tall is a mistake of the tracker [m].
MAX_REACH_M = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class CanonicalMotion:
    """What a skeleton model sees: the last `T / rate_hz` seconds before a moment, the newest frame last.

    `positions`: float32, (T, 15, 3), in the order of `JOINTS`: metres on a body 1.7 m tall, from the pelvis, x the way
    the person faces, y to their left, z up; 0 where masked. `mask`: bool, (T, 15), True where seen. `confidence`:
    float32 in 0..1, (T, 15), the source's, interpolated as the positions are; 0 where masked.
    `dimensions`: 3, or 2 where an image gave the joints: then x is 0 and y, z span the image.
    """

    positions: np.ndarray
    mask: np.ndarray
    confidence: np.ndarray
    rate_hz: float
    dimensions: int = 3


def canonicalise(sequence: SkeletonSequence, *, rate_hz: float, window_s: float, end_ns: int) -> CanonicalMotion | None:
    """The canonical motion of the `window_s` seconds that end at `end_ns`; later frames are not looked at.

    T is always `round(window_s * rate_hz)`; the newest frame is at `end_ns`. Joints are interpolated linearly over gaps
    up to `MAX_GAP_S` and masked in longer ones. The body is centred at the pelvis, frame by frame; where the pelvis is
    not seen, below the neck or the middle of the shoulders, as far as it is seen to be elsewhere in the window, else
    as far as in a body of average build. One turn about the vertical, from shoulders and hips, and one scale, from the
    median bone, hold for the whole window. 2D input is turned by 0 or 180 degrees only.
    None where neither shoulders nor hips are seen, so that the body's heading and size cannot be told.
    Depends on stamps and values alone. Raises `SkeletonError` for an unknown layout or a wrong shape.
    """
    layout = get_layout(sequence.layout)
    layout.check_shape(sequence.positions.shape)
    inside = (sequence.stamps_ns > end_ns - to_ns(window_s)) & (sequence.stamps_ns <= end_ns)
    if not inside.any():
        return None
    positions = sequence.positions[inside].astype(np.float64)
    seen = np.isfinite(positions).all(axis=2) & (sequence.confidence[inside] > 0)
    world = np.where(seen[..., None], positions, 0.0) @ layout.to_world.T
    # A joint's confidence goes the way of its place.
    confidence = np.where(seen, sequence.confidence[inside], 0.0)[..., None]
    joints, seen = _map(np.concatenate([world, confidence], axis=2), seen, layout.canonical)
    times_s = (sequence.stamps_ns[inside] - end_ns) / NS_PER_S
    joints, mask = _resample(times_s, joints, seen, rate_hz=rate_hz, frames=max(1, round(window_s * rate_hz)))
    joints, trust = joints[..., :3], joints[..., 3]
    turn = turn_ahead(joints, mask)
    # Bones that point at the camera look short in an image: there the longest sights of each tell the size.
    scale = _scale(joints, mask, quantile=0.5 if layout.dimensions == 3 else 0.9)
    if turn is None or scale is None:
        return None
    joints, mask = centre(joints @ turn.T * scale, mask)
    mask &= np.linalg.norm(joints, axis=2) <= MAX_REACH_M
    positions = np.where(mask[..., None], joints, 0.0).astype(np.float32)
    confidence = np.where(mask, trust, 0.0).astype(np.float32)
    return CanonicalMotion(positions, mask, confidence, rate_hz, layout.dimensions) if mask.any() else None


def _map(world: np.ndarray, seen: np.ndarray, canonical: tuple[tuple[int, ...], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Source joints to canonical ones; a mean is seen only where all its joints are."""
    joints = np.zeros((len(world), len(JOINTS), world.shape[2]))
    mask = np.zeros((len(world), len(JOINTS)), bool)
    for joint, sources in enumerate(canonical):
        if sources:
            joints[:, joint] = world[:, sources].mean(axis=1)
            mask[:, joint] = seen[:, sources].all(axis=1)
    return joints, mask


def _resample(
    times_s: np.ndarray, joints: np.ndarray, seen: np.ndarray, *, rate_hz: float, frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """Joints at `frames` moments that end at time 0. Beside a gap the nearest sight serves for half a period."""
    grid = np.arange(1 - frames, 1) / rate_hz
    out = np.zeros((frames, joints.shape[1], joints.shape[2]))
    mask = np.zeros((frames, joints.shape[1]), bool)
    for joint in range(joints.shape[1]):
        times, values = times_s[seen[:, joint]], joints[seen[:, joint], joint]
        if not len(times):
            continue
        after = np.searchsorted(times, grid)
        right, left = np.minimum(after, len(times) - 1), np.maximum(after - 1, 0)
        gap = times[right] - times[left]
        bridged = (gap > 0) & (gap <= MAX_GAP_S)
        to_left, to_right = np.abs(grid - times[left]), np.abs(grid - times[right])
        share = np.where(bridged, to_left / np.where(bridged, gap, 1.0), to_right < to_left)
        out[:, joint] = values[left] + share[:, None] * (values[right] - values[left])
        mask[:, joint] = bridged | (np.minimum(to_left, to_right) <= 0.5 / rate_hz)
    return out, mask


def turn_ahead(joints: np.ndarray, mask: np.ndarray) -> np.ndarray | None:
    """The rotation about z, (3, 3), after which the body of `joints`, (T, 15, 3), faces +x: its mean of right to left
    points to +y then. `joints @ turn.T` turns. None where neither shoulders nor hips are seen."""
    across = np.zeros(3)
    known = False
    for pair in ("shoulder", "hip"):
        left, right = JOINTS.index(f"left_{pair}"), JOINTS.index(f"right_{pair}")
        both = mask[:, left] & mask[:, right]
        across += (joints[both, left] - joints[both, right]).sum(axis=0)
        known |= bool(both.any())
    length = float(np.hypot(across[0], across[1]))
    if not known or length == 0:
        return None
    ahead_x, ahead_y = across[1] / length, -across[0] / length
    return np.array([[ahead_x, ahead_y, 0.0], [-ahead_y, ahead_x, 0.0], [0.0, 0.0, 1.0]])


def _scale(joints: np.ndarray, mask: np.ndarray, *, quantile: float) -> float | None:
    """Factor that makes the body `STANDARD_M` tall: the median over its bones; None where no bone is seen."""
    for bones in (UPPER_BONES, LOWER_BONES):
        heights = []
        for (start, end), share in bones.items():
            one, other = JOINTS.index(start), JOINTS.index(end)
            both = mask[:, one] & mask[:, other]
            if both.any():
                lengths = np.linalg.norm(joints[both, one] - joints[both, other], axis=1)
                heights.append(float(np.quantile(lengths, quantile)) / share)
        if heights and (height := float(np.median(heights))) > 0:
            return STANDARD_M / height
    return None


def centre(joints: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (T, 15, 3) relative to the pelvis; where it is not seen, to its place below what is seen of the trunk.
    With them what is left of the mask (T, 15): nothing is, of frames in which no trunk is seen."""
    pelvis = JOINTS.index("pelvis")
    origin, known = joints[:, pelvis].copy(), mask[:, pelvis].copy()
    below = np.array([0.0, 0.0, TORSO * STANDARD_M])
    for names, usual in (
        (("left_hip", "right_hip"), np.zeros(3)),
        (("neck",), below),
        (("left_shoulder", "right_shoulder"), below),
    ):
        parts = [JOINTS.index(name) for name in names]
        there = mask[:, parts].all(axis=1)
        point = joints[:, parts].mean(axis=1)
        both = there & mask[:, pelvis]
        offset = np.median(point[both] - joints[both, pelvis], axis=0) if both.any() else usual
        origin = np.where((there & ~known)[:, None], point - offset, origin)
        known |= there
    return joints - origin[:, None], mask & known[:, None]
