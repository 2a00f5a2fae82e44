"""People in a stream of images: each has an id, is followed by the joints of the image before, found when lost."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..settings import PoseSettings
from ..types import NS_PER_S, SkeletonFrame, to_ns
from .networks import Landmarks, PoseNetworks
from .regions import Region
from .smoothing import BodySmoother

LAYOUT = "mediapipe33"
#: While fewer people are seen than may be, others are looked for so often [s].
_SEARCH_S = 0.5
#: Who is found again within this time, near where they were lost, keeps their id [s]; or within so many images, where
#: few are looked at in a second.
_REMEMBERED_S, _REMEMBERED_IMAGES = 2.0, 2.5
#: Shares of a body's region, which is about 2 m wide: bodies as close as this are one; who was lost is this near.
_SAME, _NEAR = 0.1, 0.25
#: Nobody can be told in a smaller region [pixels].
_LEAST_SIDE = 16
#: A body of which no joint in the image is as sure as this is not seen.
_LEAST_VISIBLE = 0.5
#: Who is new is looked at twice, and must be as sure as this the second time. (Of 288 pieces of scikit-image's pictures
#: that show no person, MediaPipe, which looks once and asks for 0.5, takes 17 for people, and this 4.)
_CONFIRMED = 0.9


@dataclass(frozen=True, eq=False)
class Person:
    """Somebody in an image."""

    body_id: str
    landmarks: Landmarks


@dataclass
class PeopleCounters:
    """What was done since the start."""

    images: int = 0
    searches: int = 0  # images in which the detector looked for people
    found: int = 0
    lost: int = 0


class PeopleTracker:
    """Finds at most `max_people`, the surest first. Depends on images and stamps alone.

    The detector runs where nobody is followed, and every `_SEARCH_S` while there may be more people.
    """

    def __init__(self, networks: PoseNetworks, *, max_people: int = 1, rate_hz: float = PoseSettings.rate_hz) -> None:
        """`rate_hz`: of the images, about."""
        self.counters = PeopleCounters()
        self._networks = networks
        self._max_people = max_people
        self._remembered_ns = to_ns(max(_REMEMBERED_S, _REMEMBERED_IMAGES / rate_hz))
        self._people: list[Person] = []
        self._smoothers: dict[str, BodySmoother] = {}
        self._lost: dict[str, tuple[int, Region]] = {}  # when and where
        self._last_ns: int | None = None
        self._searched_ns = 0
        self._ids = 0

    def update(self, image: np.ndarray, stamp_ns: int) -> list[Person]:
        """Who is in the next image, uint8 RGB (height, width, 3), by id. An image that is much later than the last one,
        or before it, is of another scene, to which everybody is new."""
        self.counters.images += 1
        if self._last_ns is None or not 0 <= stamp_ns - self._last_ns <= self._remembered_ns:
            self._people, self._lost, self._smoothers = [], {}, {}
        self._last_ns = stamp_ns
        people = self._follow(image, stamp_ns)
        is_due = stamp_ns - self._searched_ns >= to_ns(_SEARCH_S) or stamp_ns < self._searched_ns
        if not people or (len(people) < self._max_people and is_due):
            self._searched_ns = stamp_ns
            self._search(image, stamp_ns, people)
        self._people = [self._steady(person, stamp_ns) for person in people]
        self._smoothers = {person.body_id: self._smoothers[person.body_id] for person in people}
        return sorted(self._people, key=lambda person: (len(person.body_id), person.body_id))

    def _steady(self, person: Person, stamp_ns: int) -> Person:
        smoother = self._smoothers.setdefault(person.body_id, BodySmoother())
        return Person(person.body_id, smoother.smooth(person.landmarks, stamp_ns / NS_PER_S))

    def _follow(self, image: np.ndarray, stamp_ns: int) -> list[Person]:
        moved: list[tuple[float, Person]] = []
        for before in self._people:
            landmarks = self._look(image, before.landmarks.next_region)
            if landmarks is None:
                self._lose(before, stamp_ns)
            else:
                jump = _distance(before.landmarks, landmarks)
                moved.append((jump, Person(before.body_id, landmarks)))
        kept: list[Person] = []
        for _, person in sorted(moved, key=lambda item: item[0]):
            # Where two are at one place, the one that has jumped there was lost behind the other.
            if any(_distance(person.landmarks, other.landmarks) < _SAME for other in kept):
                self._lose(next(item for item in self._people if item.body_id == person.body_id), stamp_ns)
            else:
                kept.append(person)
        return kept

    def _search(self, image: np.ndarray, stamp_ns: int, people: list[Person]) -> None:
        """The detector prefers one person to the others: who is known is covered, and it is asked again."""
        self.counters.searches += 1
        while len(people) < self._max_people:
            found = None
            for detection in self._networks.detect(_covered(image, people)):
                if found := self._meet(image, detection.region, people):
                    break
            if found is None:
                return
            self.counters.found += 1
            people.append(Person(self._name(found.next_region, stamp_ns), found))

    def _meet(self, image: np.ndarray, region: Region, people: list[Person]) -> Landmarks | None:
        """Who is in a region; None for nobody, for who is known, and for what stands on its head beside people."""
        glance = self._look(image, region)
        found = self._look(image, glance.next_region) if glance else None
        if found is None or found.score < _CONFIRMED:
            return None
        known = [person.landmarks for person in people]
        if any(_distance(found, other) < _SAME or _is_upside_down(found, other) for other in known):
            return None
        return found

    def _look(self, image: np.ndarray, region: Region) -> Landmarks | None:
        landmarks = self._networks.landmarks(image, region) if region.side >= _LEAST_SIDE else None
        if landmarks is None or not landmarks.next_region.side >= _LEAST_SIDE:
            return None
        height, width = image.shape[:2]
        inside = ((landmarks.image >= 0) & (landmarks.image < (width, height))).all(axis=1)
        return landmarks if (landmarks.visibility[inside] >= _LEAST_VISIBLE).any() else None

    def _lose(self, person: Person, stamp_ns: int) -> None:
        self.counters.lost += 1
        self._lost[person.body_id] = (stamp_ns, person.landmarks.next_region)

    def _name(self, region: Region, stamp_ns: int) -> str:
        """The id of who was lost near here, else a new one."""
        self._lost = {
            body_id: (lost_ns, place)
            for body_id, (lost_ns, place) in self._lost.items()
            if stamp_ns - lost_ns <= self._remembered_ns
        }
        near = {
            body_id: distance
            for body_id, (_, place) in self._lost.items()
            if (distance := math.dist((region.x, region.y), (place.x, place.y))) < _NEAR * max(region.side, place.side)
        }
        if near:
            body_id = min(near, key=lambda item: near[item])
            del self._lost[body_id]
            return body_id
        self._ids += 1
        return f"body_{self._ids}"


def skeleton_of(
    person: Person, stamp_ns: int, image: np.ndarray, *, field_of_view: float, frame_id: str = ""
) -> SkeletonFrame:
    """Where the joints are before the camera [m], their visibility as confidence.

    `field_of_view`: horizontal, of the image in which the person was seen [degrees].
    """
    landmarks = person.landmarks
    return SkeletonFrame(
        stamp_ns=stamp_ns,
        body_id=person.body_id,
        layout=LAYOUT,
        positions=place(landmarks, image, field_of_view=field_of_view).astype(np.float32),
        confidence=landmarks.visibility.astype(np.float32),
        frame_id=frame_id,
    )


def place(landmarks: Landmarks, image: np.ndarray, *, field_of_view: float) -> np.ndarray:
    """The joints in metres in the camera's optical frame (x right, y down, z ahead), (33, 3).

    The body is put where a pinhole camera would see it as it is seen: least squares over the joints, by visibility.
    """
    height, width = image.shape[:2]
    focal = width / 2 / math.tan(math.radians(field_of_view) / 2)
    rays = (landmarks.image - (width / 2, height / 2)) / focal
    weight = np.sqrt(landmarks.visibility + 1e-6)
    body = landmarks.metres
    # (x + X) / (z + Z) = ray of x, likewise y: linear in the place (x, y, z) of the body's middle.
    rows, wanted = np.zeros((2, len(body), 3)), np.zeros((2, len(body)))
    for axis in (0, 1):
        rows[axis, :, axis] = weight
        rows[axis, :, 2] = -weight * rays[:, axis]
        wanted[axis] = weight * (rays[:, axis] * body[:, 2] - body[:, axis])
    middle = np.linalg.lstsq(rows.reshape(-1, 3), wanted.ravel(), rcond=None)[0]
    return body + middle


def _covered(image: np.ndarray, people: list[Person]) -> np.ndarray:
    """The image with a grey box over everybody's joints."""
    if not people:
        return image
    image = image.copy()
    for person in people:
        joints = person.landmarks.image[person.landmarks.visibility >= _LEAST_VISIBLE]
        margin = _SAME * person.landmarks.next_region.side
        (left, top), (right, bottom) = joints.min(axis=0) - margin, joints.max(axis=0) + margin
        image[max(0, int(top)) : max(0, int(bottom)), max(0, int(left)) : max(0, int(right))] = 127
    return image


def _is_upside_down(one: Landmarks, other: Landmarks) -> bool:
    return math.cos(one.next_region.angle - other.next_region.angle) < 0


def _distance(one: Landmarks, other: Landmarks) -> float:
    """How far two bodies are from each other, joint by joint, as a share of the smaller one's region."""
    weight = one.visibility * other.visibility + 1e-6
    apart = np.average(np.linalg.norm(one.image - other.image, axis=1), weights=weight)
    return float(apart / min(one.next_region.side, other.next_region.side))
