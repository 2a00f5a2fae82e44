"""A tracker's skeletons as they come: checked, in the layout's units and axes, without what trackers get wrong.

Everything is decided frame by frame, from what came before and from stamps. A body that is well formed passes as it
is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from ..errors import SkeletonError
from ..settings import MocapSettings
from ..types import NS_PER_S, SkeletonFrame
from .anatomy import STANDARD_M, Axes, are_pixels, body_height, to_canonical, to_fractions, unit_factor
from .buffer import MAX_BODIES, check_frame
from .layouts import JOINTS, Layout, get_layout

#: What was seen longer ago than this says nothing of where a body, or a joint, can be now [s].
_MEMORY_S = 0.3
#: No joint is faster beside its body, on a body of standard height: a boxer's fist reaches 9 m/s (J. Walilko et al.,
#: Biomechanics of the head for Olympic boxer punches to the face, 2005). Nearer than the second length it may be noise.
_FASTEST_M_S, _NOISE_M = 15.0, 0.35
#: Sides of which no joint has moved further than this have not changed places [m].
_STILL_M = 0.1
#: So long a joint must stay where it jumped to, to be believed [s].
_BELIEF_S = 0.15
#: No body is faster than a sprinter, and none jumps less far than this without being another [m/s, m].
_SPRINT_M_S, _PERSON_M = 10.0, 0.5
#: After so long a tracker that says that left is right is believed [s].
_SIDES_S = 1.0
#: A stamp that goes back by more is a new run.
_BACK_NS = NS_PER_S
#: So many frames without any joint that is seen are said.
_BLIND = 30
_STAMPS = 32
_FAR = 1e38

_PAIRS = [(JOINTS.index(name), JOINTS.index(name.replace("left", "right"))) for name in JOINTS if name[:4] == "left"]
_LEFT, _RIGHT = (np.array(rows) for rows in zip(*_PAIRS, strict=True))


@dataclass
class StreamCounters:
    """What became of the frames.

    `converted` to the layout's unit, or from pixels, of which `unit_jumps` after one in another; `turned` upright;
    `mirrored` back; `teleports`: joints of which a jump was not believed; `swapped_sides`, `swapped_bodies`: how often
    left and right, or two bodies, changed places; `reordered`: came after a later one; `unseen`: without any joint;
    `restarts`: how often a source's clock was set back.
    """

    frames: int = 0
    converted: int = 0
    unit_jumps: int = 0
    turned: int = 0
    mirrored: int = 0
    teleports: int = 0
    swapped_sides: int = 0
    swapped_bodies: int = 0
    reordered: int = 0
    unseen: int = 0
    restarts: int = 0


@dataclass
class _Track:
    """What is known of one body. Places in the world of its layout, metres or image heights."""

    layout: Layout
    stamps: deque[int] = field(default_factory=lambda: deque(maxlen=_STAMPS))
    stamp_ns: int = -1
    height: float = 0.0
    centre: np.ndarray = field(default_factory=lambda: np.zeros(3))
    joints: np.ndarray = field(default_factory=lambda: np.zeros((15, 3)))
    mask: np.ndarray = field(default_factory=lambda: np.zeros(15, bool))
    swapped_ns: int = 0  # since when its sides are swapped
    blind: int = 0

    def __post_init__(self) -> None:
        # Of each joint: where and when it was last believed; when it was last shown; where, and since when, it is while
        # that is doubted (0: it is not).
        count = len(self.layout.joints)
        self.places, self.doubted = np.zeros((count, 3)), np.zeros((count, 3))
        self.seen_ns, self.shown_ns, self.doubted_ns = (np.zeros(count, np.int64) for _ in range(3))

    @property
    def size(self) -> float:
        """Of its lengths to those of a body of standard height."""
        return self.height / STANDARD_M


@dataclass(frozen=True)
class _Seen:
    """A frame in the layout's world: its joints, (J, 3) and (J,), the canonical ones, and the height of the body."""

    world: np.ndarray
    seen: np.ndarray
    joints: np.ndarray
    mask: np.ndarray
    height: float | None


class SkeletonStream:
    """Checks and mends the skeletons of a source one by one. `on_note` is told, in one sentence, what is odd about the
    source and was mended.

    The work on a frame does not grow with time. Not thread-safe.
    """

    def __init__(self, settings: MocapSettings, *, on_note: Callable[[str], None] = lambda sentence: None) -> None:
        self.counters = StreamCounters()
        self._settings = settings
        self._on_note = on_note
        self._axes: dict[tuple[str, str], Axes] = {}
        self._units: dict[tuple[str, str], float] = {}
        self._tracks: dict[tuple[str, str], _Track] = {}
        self._ids: dict[tuple[str, str], str] = {}  # under which id a source's id goes, where bodies were swapped

    def push(self, frame: SkeletonFrame) -> SkeletonFrame:
        """The frame as other parts expect it (`check_frame`), mended.

        Raises `SkeletonError` for one that cannot be used: as `check_frame` does, with the stamp of a frame that was
        there, or of a size that no body has in any unit.
        """
        frame = check_frame(frame, self._settings)
        layout = get_layout(frame.layout)
        key = (self._ids.get((frame.body_id, layout.name), frame.body_id), layout.name)
        track = self._tracks.get(key)
        if track and frame.stamp_ns in track.stamps:
            raise SkeletonError(
                f"a second skeleton of body '{frame.body_id}' at the same time: give each body an id of its own, and "
                "each of its frames a stamp"
            )
        self.counters.frames += 1
        if not frame.confidence.any():
            return self._blind(frame, key, layout)
        seen = frame.confidence > 0
        if layout.dimensions == 2 and are_pixels(frame.positions[seen]):
            frame = self._of_image(frame, layout)
        world = frame.positions.astype(np.float64) @ layout.to_world.T
        joints, mask = to_canonical(world, seen, layout)
        height = body_height(joints, mask, quantile=0.5 if layout.dimensions == 3 else 0.8)
        if layout.dimensions == 3:
            factor = self._factor(frame, layout, height)
            if factor != 1:
                frame = _moved(frame, frame.positions.astype(np.float64) * factor)
                world, joints, height = world * factor, joints * factor, height and height * factor
            axes = self._look(frame, layout, world, joints, mask)
            if axes.is_inverted or axes.is_mirrored:
                frame = _moved(frame, frame.positions.astype(np.float64) @ axes.mend.T)
                world, joints = world @ axes.turn.T, joints @ axes.turn.T
        return self._follow(frame, layout, _Seen(world, seen, joints, mask, height))

    # -- units and axes

    def _of_image(self, frame: SkeletonFrame, layout: Layout) -> SkeletonFrame:
        self.counters.converted += 1
        if self.counters.converted == 1:
            self._on_note(
                f"skeletons of layout '{layout.name}' are told in pixels: converted; send fractions of the image's "
                "width and height"
            )
        return _moved(frame, to_fractions(frame.positions, layout))

    def _factor(self, frame: SkeletonFrame, layout: Layout, height: float | None) -> float:
        """By what the body must be multiplied to have the layout's unit."""
        if height is None:
            return 1.0
        factor = unit_factor(height, layout)
        if factor is None:
            roughly = float(f"{height:.1g}")  # so that what is so of each frame is one sentence
            raise SkeletonError(
                f"a body some {roughly:g} m tall in layout '{layout.name}': is its unit the one that the layout says? "
                "Name the layout of the source, or scale what it sends"
            )
        source = (layout.name, frame.frame_id)
        if source not in self._units and len(self._units) >= MAX_BODIES:
            self._units.clear()
        before = self._units.setdefault(source, factor)
        self.counters.converted += factor != 1
        if before != factor:
            self.counters.unit_jumps += 1
            self._units[source] = factor
            self._on_note(
                f"the unit of the skeletons of layout '{layout.name}' changes while they come: each is converted; look "
                "for two sources on one topic"
            )
        elif self.counters.converted == 1 and factor != 1:
            self._on_note(
                f"skeletons of layout '{layout.name}' are {1 / factor:g} times as large as it says: converted; name "
                "the layout of the source, or scale what it sends"
            )
        return factor

    def _look(
        self, frame: SkeletonFrame, layout: Layout, world: np.ndarray, joints: np.ndarray, mask: np.ndarray
    ) -> Axes:
        """What is believed of the source's axes now."""
        source = (layout.name, frame.frame_id)
        axes = self._axes.get(source)
        if axes is None:
            if len(self._axes) >= MAX_BODIES:
                self._axes.clear()
            axes = self._axes[source] = Axes(layout)
        if note := axes.look(world, frame.confidence > 0, joints, mask):
            self._on_note(note)
            # Where its bodies were before is no measure of where they are now.
            for key in [key for key in self._tracks if key[1] == layout.name]:
                del self._tracks[key]
        self.counters.turned += axes.is_inverted
        self.counters.mirrored += axes.is_mirrored
        return axes

    # -- bodies, sides and joints

    def _follow(self, frame: SkeletonFrame, layout: Layout, now: _Seen) -> SkeletonFrame:
        centre = _middle(now.world[now.seen])
        track = self._track_of(frame, layout, centre)
        body_id = self._ids.get((frame.body_id, layout.name), frame.body_id)
        if body_id != frame.body_id:
            frame = replace(frame, body_id=body_id)
        elapsed_ns = frame.stamp_ns - track.stamp_ns
        if track.stamp_ns >= 0 and elapsed_ns < -_BACK_NS:
            self.counters.restarts += 1
            track = self._begin(body_id, layout)
        track.stamps.append(frame.stamp_ns)
        if elapsed_ns < 0 and track.stamp_ns >= 0:
            self.counters.reordered += 1
            return frame
        if now.height is not None:
            # Slowly, so that a frame whose bones are wrong does not change what is possible.
            track.height += (now.height - track.height) * (0.1 if track.height else 1.0)
        is_recent = track.stamp_ns >= 0 and elapsed_ns <= _MEMORY_S * NS_PER_S
        if is_recent and self._are_sides_swapped(track, now, frame.stamp_ns):
            other = layout.mirror
            frame = replace(frame, positions=frame.positions[other], confidence=frame.confidence[other])
            world, seen = now.world[other], now.seen[other]
            now = _Seen(world, seen, *to_canonical(world, seen, layout), now.height)
        doubted = self._doubted(track, now, frame.stamp_ns)
        track.joints, track.mask = now.joints, now.mask
        track.centre, track.stamp_ns = centre, frame.stamp_ns
        if doubted.any():
            self.counters.teleports += int(doubted.sum())
            frame = replace(frame, confidence=np.where(doubted, np.float32(0), frame.confidence))
        return frame

    def _track_of(self, frame: SkeletonFrame, layout: Layout, centre: np.ndarray) -> _Track:
        """The track of the body that is seen, which another one may have had until now."""
        source = (frame.body_id, layout.name)
        key = (self._ids.get(source, frame.body_id), layout.name)
        track = self._tracks.get(key)
        if track is None:
            return self._begin(key[0], layout)
        if not self._is_elsewhere(track, centre, frame.stamp_ns):
            return track
        away = float(np.linalg.norm(centre - track.centre))
        for other_key, other in self._tracks.items():
            if other is track or other.layout is not layout or other.stamp_ns == frame.stamp_ns:
                continue
            near = float(np.linalg.norm(centre - other.centre))
            if 0 <= frame.stamp_ns - other.stamp_ns <= _MEMORY_S * NS_PER_S and near < 0.3 * away:
                self.counters.swapped_bodies += 1
                self._on_note(
                    f"bodies '{key[0]}' and '{other_key[0]}' have changed their ids: each keeps the one that it had"
                )
                theirs = next((one for one, name in self._ids.items() if (name, one[1]) == other_key), other_key)
                if len(self._ids) >= MAX_BODIES:
                    self._ids.clear()
                self._ids[source], self._ids[theirs] = other_key[0], key[0]
                return other
        if source in self._ids:  # it was exchanged for a while only
            self._undo(source)
            return self._tracks.get(source) or self._begin(frame.body_id, layout)
        return track

    def _undo(self, source: tuple[str, str]) -> None:
        """This id, and those that were exchanged with it, mean again whom they say."""
        while (name := self._ids.pop(source, None)) is not None:
            source = name, source[1]

    def _is_elsewhere(self, track: _Track, centre: np.ndarray, stamp_ns: int) -> bool:
        elapsed_s = (stamp_ns - track.stamp_ns) / NS_PER_S
        if not 0 < elapsed_s <= _MEMORY_S or not track.height:
            return False
        return bool(np.linalg.norm(centre - track.centre) > track.size * max(_PERSON_M, _SPRINT_M_S * elapsed_s))

    def _are_sides_swapped(self, track: _Track, now: _Seen, stamp_ns: int) -> bool:
        """Whether the body fits what it was far better with left and right exchanged."""
        joints, mask = now.joints, now.mask
        both = mask[_LEFT] & mask[_RIGHT] & track.mask[_LEFT] & track.mask[_RIGHT]
        left, right = _LEFT[both], _RIGHT[both]
        if len(left) < 3 or not track.height or _is_within(joints[left] - track.joints[left], _STILL_M * track.size):
            track.swapped_ns = 0
            return False
        here, there = np.concatenate([left, right]), np.concatenate([right, left])
        move, cross = joints[here] - track.joints[here], joints[there] - track.joints[here]
        drift = _middle(move)
        same, swapped = (float(np.linalg.norm(way - drift, axis=1).sum()) for way in (move, cross))
        apart = float(np.linalg.norm(track.joints[left] - track.joints[right], axis=1).sum())
        if not (swapped < 0.35 * same and same > apart):
            track.swapped_ns = 0
            return False
        if not track.swapped_ns:
            track.swapped_ns = stamp_ns
            self.counters.swapped_sides += 1
        if stamp_ns - track.swapped_ns > _SIDES_S * NS_PER_S:
            track.swapped_ns = 0
            return False
        return True

    def _doubted(self, track: _Track, now: _Seen, stamp_ns: int) -> np.ndarray:
        """Joints that cannot have come from where they were. Those that stay are believed after a while."""
        world, seen = now.world, now.seen
        known = seen & (track.seen_ns > 0) & (stamp_ns - track.seen_ns <= _MEMORY_S * NS_PER_S)
        doubted = np.zeros(len(seen), bool)
        move = world - track.places
        # Most joints have not moved at all, which is cheap to see.
        if track.height and known.sum() >= 3 and not _is_within(move[known], 0.5 * _NOISE_M * track.size):
            move -= _middle(move[known])
            # Of a joint that is doubted, what it can reach does not grow: it was seen, but elsewhere.
            reach = track.size * np.maximum(_NOISE_M, _FASTEST_M_S * (stamp_ns - track.shown_ns) / NS_PER_S)
            doubted = known & (np.linalg.norm(move, axis=1) > reach)
        if doubted.any() or track.doubted_ns.any():
            # Where it jumped to before and still is, noise apart: in time that is where it is.
            stays = doubted & (track.doubted_ns > 0)
            stays &= np.linalg.norm(world - track.doubted, axis=1) <= track.size * _NOISE_M
            fresh = doubted & ~stays
            track.doubted_ns[fresh] = stamp_ns
            track.doubted_ns[~doubted] = 0
            track.doubted[doubted] = world[doubted]
            doubted &= ~(stays & (stamp_ns - track.doubted_ns >= _BELIEF_S * NS_PER_S))
        track.shown_ns[seen] = stamp_ns
        good = seen & ~doubted
        track.places[good] = world[good]
        track.seen_ns[good] = stamp_ns
        return doubted

    # -- bookkeeping

    def _begin(self, body_id: str, layout: Layout) -> _Track:
        track = self._tracks[body_id, layout.name] = _Track(layout)
        if len(self._tracks) > MAX_BODIES:
            del self._tracks[min(self._tracks, key=lambda key: self._tracks[key].stamp_ns)]
        return track

    def _blind(self, frame: SkeletonFrame, key: tuple[str, str], layout: Layout) -> SkeletonFrame:
        """Nothing of the body is seen: it passes, so that others know how far the source has come."""
        track = self._tracks.get(key) or self._begin(key[0], layout)
        track.stamps.append(frame.stamp_ns)
        track.blind += 1
        self.counters.unseen += 1
        if track.blind == _BLIND:
            track.blind = 0
            self._on_note(
                f"no joint of body '{frame.body_id}' has been seen in {_BLIND} frames: its source must send a "
                "confidence above 0 for joints that it sees, or none at all"
            )
        return replace(frame, body_id=key[0])


def _moved(frame: SkeletonFrame, positions: np.ndarray) -> SkeletonFrame:
    """The frame with its joints elsewhere; one that is thrown beyond what a float32 holds was not seen."""
    sound = (np.abs(positions) < _FAR).all(axis=1)
    return replace(
        frame,
        positions=np.where(sound[:, None], positions, 0.0).astype(np.float32),
        confidence=np.where(sound, frame.confidence, np.float32(0)),
    )


def _middle(points: np.ndarray) -> np.ndarray:
    """The median of each coordinate: `numpy.median` in a third of its time."""
    ordered, count = np.sort(points, axis=0), len(points)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2  # type: ignore[no-any-return]


def _is_within(moves: np.ndarray, reach: float) -> bool:
    """Whether none of these is longer than `reach`."""
    return bool((moves * moves).sum(axis=1).max() <= reach * reach)
