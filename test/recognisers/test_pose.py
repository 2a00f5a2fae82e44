"""The real networks on real pictures: joints where they are, nobody where nobody is, and everybody keeps an id."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pictures import ASTRONAUT, EYES, HIPS, HOPPER, SHOULDERS, astronaut, hopper, nobody, scene, write_film

from mser_ros.errors import DependencyError, ModelError
from mser_ros.mocap.layouts import get_layout
from mser_ros.settings import PoseSettings
from mser_ros.settings.schema import flatten
from mser_ros.types import NS_PER_S
from mser_ros.vision.networks import PoseNetworks
from mser_ros.vision.people import LAYOUT, PeopleTracker, Person, skeleton_of
from mser_ros.vision.sources import open_pictures


@pytest.fixture(scope="module")
def networks(pose_model: Path) -> PoseNetworks:
    return PoseNetworks(pose_model)


def off(
    person: Person, truth: dict[int, tuple[int, int]], joints=(*EYES, *SHOULDERS), *, scale: float = 1.0, corner=(0, 0)
) -> float:
    """How far joints are from where they are in truth, at most, as a share of the shoulders' width."""
    wanted = np.array([truth[joint] for joint in joints]) * scale + corner
    wide = np.linalg.norm(np.subtract(*(truth[joint] for joint in SHOULDERS))) * scale
    return float(np.linalg.norm(person.landmarks.image[list(joints)] - wanted, axis=1).max() / wide)


@pytest.mark.parametrize(("portrait", "truth"), [(hopper, HOPPER), (astronaut, ASTRONAUT)])
def test_eyes_and_shoulders_are_where_they_are(networks: PoseNetworks, portrait, truth) -> None:
    (person,) = PeopleTracker(networks).update(portrait(), 0)
    assert off(person, truth, EYES) < 0.06
    assert off(person, truth, SHOULDERS) < 0.15
    assert person.landmarks.visibility[list(truth)].min() > 0.95


def test_hips_that_are_not_in_the_picture_are_not_seen(networks: PoseNetworks) -> None:
    (person,) = PeopleTracker(networks).update(hopper(), 0)
    assert person.landmarks.visibility[HIPS].max() < 0.1
    assert person.landmarks.image[HIPS, 1].min() > 600


def test_a_body_in_metres_faces_the_camera_and_is_as_far_as_it_looks(networks: PoseNetworks) -> None:
    joints = get_layout(LAYOUT).joints
    left, right, nose = (joints.index(name) for name in ("left_shoulder", "right_shoulder", "nose"))
    away = []
    for scale in (0.8, 0.4):
        image = scene([(astronaut(), scale, (100, 480 - round(512 * scale)))])
        (person,) = PeopleTracker(networks).update(image, 0)
        frame = skeleton_of(person, 5, image, field_of_view=60)
        assert (frame.stamp_ns, frame.layout, frame.positions.shape) == (5, LAYOUT, (33, 3))
        body = frame.positions
        assert 0.25 < np.linalg.norm(body[left] - body[right]) < 0.5
        assert body[left, 0] > body[right, 0]  # her left is on the image's right
        assert body[nose, 1] < body[left, 1] - 0.1  # above the shoulders
        assert body[nose, 2] < body[[left, right], 2].mean()  # and before them: she faces the camera
        away.append(body[:, 2].mean())
    assert away[1] == pytest.approx(2 * away[0], rel=0.15)


def test_nobody_is_found_where_nobody_is(networks: PoseNetworks) -> None:
    tracker = PeopleTracker(networks, max_people=4)
    pictures = nobody()
    assert [tracker.update(image, 10 * at * NS_PER_S) for at, image in enumerate(pictures)] == [[] for _ in pictures]


def test_who_moves_and_comes_nearer_is_followed_and_the_detector_rests(networks: PoseNetworks) -> None:
    tracker = PeopleTracker(networks)
    for step in range(20):
        scale, corner = 0.4 + 0.015 * step, (20 + 12 * step, 230 - 8 * step)
        image = scene([(hopper(), scale, corner)])
        (person,) = tracker.update(image, step * NS_PER_S // 15)
        assert person.body_id == "body_1"
        assert off(person, HOPPER, scale=scale, corner=corner) < 0.15
    assert (tracker.counters.images, tracker.counters.searches, tracker.counters.found) == (20, 1, 1)


def test_the_joints_of_who_stands_still_are_still_although_the_camera_is_noisy(networks: PoseNetworks) -> None:
    rng, image = np.random.default_rng(0), scene([(hopper(), 0.6, (150, 120))]).astype(float)
    tracker, found = PeopleTracker(networks), []
    for step in range(20):
        noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
        (person,) = tracker.update(noisy, step * NS_PER_S // 15)
        found.append(person.landmarks)
    joints = [*EYES, *SHOULDERS]
    assert np.abs(np.diff([item.metres[joints] for item in found[5:]], axis=0)).mean() < 0.004
    assert np.ptp([item.image[joints] for item in found[5:]], axis=0).max() < 6


def test_two_people_keep_their_ids_while_one_leaves_and_comes_back(networks: PoseNetworks) -> None:
    tracker = PeopleTracker(networks, max_people=3)
    seen = []
    for step in range(30):
        people = [(hopper(), 0.5, (30 + 2 * step, 180))]
        if not 10 <= step < 18:
            people.append((astronaut(), 0.55, (350, 200)))
        found = tracker.update(scene(people), step * NS_PER_S // 10)
        seen.append({person.body_id: person.landmarks.image[0, 0] for person in found})
    hopper_id = next(name for name, x in seen[0].items() if x < 320)
    (other_id,) = set(seen[0]) - {hopper_id}
    assert all(hopper_id in people for people in seen)
    assert set(seen[14]) == {hopper_id}
    assert set(seen[-1]) == {hopper_id, other_id}
    assert seen[-1][hopper_id] < 320 < seen[-1][other_id]


def test_who_walks_before_another_does_not_take_the_others_id(networks: PoseNetworks) -> None:
    tracker = PeopleTracker(networks, max_people=2)
    walkers, counts = [], []
    for step in range(0, 40, 2):
        nose = 14 * step - 10  # of who walks through the image
        image = scene([(astronaut(), 0.5, (220, 224)), (hopper(), 0.55, (nose - 144, 150))])
        people = tracker.update(image, step * NS_PER_S // 15)
        counts.append(len(people))
        if step > 5:
            walkers.append({item.body_id for item in people if abs(item.landmarks.image[0, 0] - nose) < 20})
    assert counts[1] == 2
    assert min(counts) == 1  # while the other is hidden
    assert set.intersection(*walkers)


def test_after_a_cut_everybody_is_new(networks: PoseNetworks) -> None:
    tracker = PeopleTracker(networks)
    image = scene([(hopper(), 0.6, (200, 120))])
    names = [tracker.update(image, stamp * NS_PER_S)[0].body_id for stamp in (0, 1, 60, 61, 5)]
    assert names == ["body_1", "body_1", "body_2", "body_2", "body_3"]


def test_at_the_lowest_rate_everybody_stays_who_they_are(networks: PoseNetworks) -> None:
    rate_hz = next(item.low for item in flatten(PoseSettings) if item.name == "rate_hz")
    tracker = PeopleTracker(networks, rate_hz=rate_hz)
    image = scene([(hopper(), 0.6, (200, 120))])
    names = {tracker.update(image, round(number / rate_hz * NS_PER_S))[0].body_id for number in range(5)}
    assert names == {"body_1"}


def test_a_film_shows_the_person_at_its_own_times(networks: PoseNetworks, tmp_path: Path) -> None:
    frames = [scene([(hopper(), 0.6, (40 + 10 * step, 120))]) for step in range(12)]
    film = open_pictures([write_film(tmp_path / "a film.mp4", frames, rate_hz=12)], rate_hz=6)
    tracker, noses, stamps = PeopleTracker(networks), [], []
    for picture in film.pictures:
        (person,) = tracker.update(picture.pixels, picture.stamp_ns)
        noses.append(person.landmarks.image[0, 0])
        stamps.append(picture.stamp_ns)
    np.testing.assert_allclose(np.diff(stamps) / NS_PER_S, 1 / 6, atol=1e-3)
    np.testing.assert_allclose(np.diff(noses), 20, atol=8)
    assert film.count == len(noses) == 6


def test_a_task_file_of_mediapipe_serves_as_well(networks: PoseNetworks, pose_model: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "own.task", "w") as task:
        task.write(pose_model / "pose_detection.tflite", "pose_detector.tflite")
        task.write(pose_model / "pose_landmark_full.tflite", "pose_landmarks_detector.tflite")
    (person,) = PeopleTracker(PoseNetworks(tmp_path / "own.task")).update(hopper(), 0)
    (expected,) = PeopleTracker(networks).update(hopper(), 0)
    np.testing.assert_array_equal(person.landmarks.image, expected.landmarks.image)


def test_what_is_no_model_is_refused_with_the_cure(pose_model: Path, tmp_path: Path) -> None:
    (tmp_path / "no.task").write_text("no zip")
    with pytest.raises(ModelError, match=r"no.task cannot be read .*: call 'mser models get pose'"):
        PoseNetworks(tmp_path / "no.task")
    with zipfile.ZipFile(tmp_path / "other.task", "w") as task:
        task.write(pose_model / "pose_landmark_full.tflite", "pose_detector.tflite")
        task.write(pose_model / "pose_detection.tflite", "pose_landmarks_detector.tflite")
    with pytest.raises(ModelError, match="this is no pose network of MediaPipe"):
        PoseNetworks(tmp_path / "other.task")
    (tmp_path / "pose_detection.tflite").write_bytes(b"TFL3 and nothing else")
    (tmp_path / "pose_landmark_full.tflite").write_bytes(b"")
    with pytest.raises(ModelError, match="this is no pose network of MediaPipe"):
        PoseNetworks(tmp_path)


def test_without_the_model_or_litert_the_cure_is_named(pose_model: Path, monkeypatch) -> None:
    with pytest.raises(ModelError, match="call 'mser models get pose'"):
        PoseNetworks()
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(DependencyError, match=r"pip install 'mser_ros\[camera\]'"):
        PoseNetworks(pose_model)
