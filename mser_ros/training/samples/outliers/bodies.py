"""Bodies that do what walking people do not: stand, sit, wave, dance, tremble; walk as puppets do; are misread.

All are canonical motion, float32 (T, 15, 3) in metres, made of a real pose where there can be one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ....mocap.canonical import MIRRORED
from ....mocap.layouts import JOINTS

Make = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
_AT = {name: index for index, name in enumerate(JOINTS)}
_UPPER = [index for name, index in _AT.items() if not name.endswith(("hip", "knee", "ankle")) and name != "pelvis"]
_THIGH_M, _SHANK_M, _ARM_M = 0.42, 0.42, 0.29


def _slow(frames: int, rate_hz: float, rng: np.random.Generator, *shape: int, period_s: float = 2.0) -> np.ndarray:
    """Smooth wandering of deviation 1, (frames, *shape)."""
    points = max(4, int(frames / rate_hz / period_s) + 4)
    known = rng.standard_normal((points, *shape))
    at = np.linspace(0, points - 1, frames)
    low = np.floor(at).astype(int).clip(0, points - 2)
    share = (1 - np.cos(np.pi * (at - low))) / 2
    share = share.reshape(-1, *[1] * len(shape))
    return known[low] * (1 - share) + known[low + 1] * share


def standing(walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """One pose that is held, with both feet down and a little sway."""
    pose = walk[rng.integers(len(walk))].copy()
    for side in ("left", "right"):
        hip = pose[_AT[f"{side}_hip"]]
        pose[_AT[f"{side}_knee"]] = hip + np.array([rng.uniform(-0.03, 0.06), 0, -_THIGH_M])
        pose[_AT[f"{side}_ankle"]] = hip + np.array([rng.uniform(-0.06, 0.03), 0, -_THIGH_M - _SHANK_M])
    motion = np.repeat(pose[None], len(walk), 0)
    motion[:, _UPPER] += 0.02 * rng.uniform(0, 1) * _slow(len(walk), rate_hz, rng, 1, 3)
    return motion


def sitting(walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Thighs level, hands on the lap or at rest; the trunk leans."""
    motion = standing(walk, rate_hz, rng)
    lean = rng.uniform(-0.2, 0.3)
    motion[:, _UPPER, 0] += lean * motion[:, _UPPER, 2]
    for side in ("left", "right"):
        hip = motion[:, _AT[f"{side}_hip"]]
        motion[:, _AT[f"{side}_knee"]] = hip + np.array([_THIGH_M, 0, rng.uniform(-0.05, 0.05)])
        motion[:, _AT[f"{side}_ankle"]] = hip + np.array([_THIGH_M + rng.uniform(-0.15, 0.1), 0, -_SHANK_M])
        if rng.random() < 0.7:
            motion[:, _AT[f"{side}_elbow"]] = motion[:, _AT[f"{side}_shoulder"]] + np.array([0.05, 0, -_ARM_M])
            motion[:, _AT[f"{side}_wrist"]] = motion[:, _AT[f"{side}_elbow"]] + np.array([0.25, 0, -0.02])
    return motion


def gesturing(walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Stands or sits, and waves or talks with one hand or both."""
    motion = (standing if rng.random() < 0.6 else sitting)(walk, rate_hz, rng)
    time_s = np.arange(len(walk)) / rate_hz
    for side in ("left", "right") if rng.random() < 0.5 else (str(rng.choice(["left", "right"])),):
        out = 1.0 if side == "left" else -1.0
        shoulder = motion[:, _AT[f"{side}_shoulder"]]
        raised = rng.uniform(-0.8, 1.2) + 0.2 * _slow(len(walk), rate_hz, rng)
        arm = np.stack([0.4 * np.cos(raised), 0.9 * out * np.cos(raised), np.sin(raised)], 1)
        elbow = shoulder + _ARM_M * arm / np.linalg.norm(arm, axis=1, keepdims=True)
        swing = rng.uniform(0.3, 1.0) * np.sin(2 * np.pi * rng.uniform(0.5, 3) * time_s + rng.uniform(0, 6))
        hand = np.stack([0.4 + 0 * swing, out * swing, 0.9 + 0 * swing], 1)
        motion[:, _AT[f"{side}_elbow"]] = elbow
        motion[:, _AT[f"{side}_wrist"]] = elbow + 0.25 * hand / np.linalg.norm(hand, axis=1, keepdims=True)
    return motion


def dancing(walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Every joint goes its own large, smooth way."""
    period_s = rng.uniform(0.5, 2.0)
    return walk[:1] + rng.uniform(0.1, 0.3) * _slow(len(walk), rate_hz, rng, *walk.shape[1:], period_s=period_s)


def trembling(walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A tracker that has lost its way: joints jump from frame to frame."""
    return walk + rng.uniform(0.06, 0.25) * rng.standard_normal(walk.shape)


def puppet(walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A simulated walker or figure: straight limbs that swing as sines."""
    time_s = np.arange(len(walk)) / rate_hz
    phase = 2 * np.pi * rng.uniform(0.3, 1.3) * time_s + rng.uniform(0, 6)
    pose = np.zeros((len(JOINTS), 3))
    width, hips = rng.uniform(0.15, 0.25), rng.uniform(0.08, 0.16)
    trunk = rng.uniform(0.45, 0.6)
    pose[_AT["neck"]], pose[_AT["head"]] = (0, 0, trunk), (0, 0, trunk + rng.uniform(0.15, 0.3))
    motion = np.repeat(pose[None], len(walk), 0)
    legs, arms = rng.uniform(0, 0.6), rng.uniform(0, 0.8)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        leg, arm = sign * legs * np.sin(phase), -sign * arms * np.sin(phase)
        out = rng.uniform(0, 0.5)
        down = np.stack([np.sin(leg), 0 * leg, -np.cos(leg)], 1)
        hang = np.stack([np.sin(arm), sign * out + 0 * arm, -np.cos(arm)], 1)
        motion[:, _AT[f"{side}_hip"]] = (0, sign * hips, 0)
        motion[:, _AT[f"{side}_knee"]] = motion[:, _AT[f"{side}_hip"]] + _THIGH_M * down
        motion[:, _AT[f"{side}_ankle"]] = motion[:, _AT[f"{side}_hip"]] + (_THIGH_M + _SHANK_M) * down
        motion[:, _AT[f"{side}_shoulder"]] = (0, sign * width, trunk - rng.uniform(0, 0.08))
        motion[:, _AT[f"{side}_elbow"]] = motion[:, _AT[f"{side}_shoulder"]] + _ARM_M * hang
        motion[:, _AT[f"{side}_wrist"]] = motion[:, _AT[f"{side}_shoulder"]] + (_ARM_M + 0.25) * hang
    motion[:, _UPPER, 0] += rng.uniform(-0.25, 0.25) * motion[:, _UPPER, 2]
    return motion + rng.uniform(0, 0.02) * _slow(len(walk), rate_hz, rng, *pose.shape)


def misread(walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """Joints under each other's names, sides that are swapped, or another axis taken for the upward one."""
    kind = rng.integers(3)
    if kind == 0:
        return walk[:, rng.permutation(len(JOINTS))]
    if kind == 1:
        return walk[:, list(MIRRORED)]
    return walk[..., [[0, 2, 1], [2, 1, 0], [1, 2, 0]][rng.integers(3)]] * rng.choice([-1.0, 1.0], 3)


#: By kind.
BODIES: Mapping[str, Make] = {
    make.__name__: make for make in (standing, sitting, gesturing, dancing, trembling, puppet, misread)
}


def make_body(kind: str, walk: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """One of `BODIES`, made of a real walk (T, 15, 3), all joints of which are seen."""
    return BODIES[kind](walk.astype(np.float64), rate_hz, rng).astype(np.float32)
