"""Labels for viewers: over the head that is meant, in every layout, in the colour of the class; else at their place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from mocap_poses import PARTIAL, POSE, ROWS, pose_of, to_source

from mser_ros.labels import COLOURS, LABELS, UNKNOWN
from mser_ros.messages.bags import build_message
from mser_ros.messages.markers import EmotionLabels
from mser_ros.mocap.anatomy import over_head
from mser_ros.mocap.buffer import SkeletonBuffer
from mser_ros.mocap.layouts import get_layout
from mser_ros.settings import MarkerSettings, MocapSettings
from mser_ros.testing import make_estimate
from mser_ros.types import NS_PER_S, PersonState, SkeletonFrame, to_ns

T0 = 1_700_000_000 * NS_PER_S
IN_SPACE = [name for name in ROWS if get_layout(name).dimensions == 3]


def body(layout: str = "canonical15", stamp_ns: int = T0, body_id: str = "b") -> SkeletonFrame:
    pose = pose_of(layout)
    return SkeletonFrame(stamp_ns, body_id, layout, pose, np.ones(len(pose), np.float32), "camera")


def seeing(*frames: SkeletonFrame) -> SkeletonBuffer:
    buffer = SkeletonBuffer(MocapSettings(), history_s=10.0)
    for frame in frames:
        buffer.push(frame)
    return buffer


def state(label: str = "happy", confidence: float = 0.8, person: str = "ann") -> PersonState:
    even = np.full(len(LABELS), 0.25, np.float32)
    return PersonState(T0, person, LABELS, even, label, confidence, 0, 0, T0, even, even, "u", 0.0)


def labels(**settings: object) -> EmotionLabels:
    made = EmotionLabels(MarkerSettings(**settings), 0.5)  # type: ignore[arg-type]
    made.note(make_estimate("happy", person_id="ann", body_id="b", frame_id="microphone"))
    return made


@pytest.mark.parametrize("layout", IN_SPACE)
def test_a_label_stands_over_the_head_in_the_axes_of_the_source_and_in_metres(layout: str) -> None:
    place = over_head(body(layout), 0.3)
    unit_m = get_layout(layout).unit_m
    part = "head" if "head" in (*ROWS[layout].split(), *PARTIAL.get(layout, ())) else None
    ahead, left, up = POSE[part] if part else np.mean([POSE["left_ear"], POSE["right_ear"]], axis=0)
    expected = np.array(to_source(layout, (ahead, left, up))) * unit_m
    raised = np.array(to_source(layout, (ahead, left, up + 0.3 / 1.0))) * unit_m
    assert place == pytest.approx(raised, abs=0.02)
    assert np.linalg.norm(place - expected) == pytest.approx(0.3, abs=0.02)


def test_without_a_head_a_label_stands_over_the_neck_or_over_all_that_is_seen() -> None:
    frame = body()
    rows = ROWS["canonical15"].split()
    unseen = np.ones(15, np.float32)
    unseen[rows.index("head")] = 0
    assert over_head(replace(frame, confidence=unseen), 0.0) == pytest.approx(POSE["neck"], abs=1e-6)
    unseen[rows.index("neck")] = 0
    middle = np.mean([POSE[row] for row in rows if row not in ("head", "neck")], axis=0)
    assert over_head(replace(frame, confidence=unseen), 0.0) == pytest.approx(middle, abs=1e-5)
    assert over_head(replace(frame, confidence=0 * unseen), 0.0) is None
    assert over_head(body("coco17"), 0.0) is None, "an image is no space"


def test_a_label_tells_who_feels_what_and_how_surely_in_a_message_that_viewers_know() -> None:
    (fields,) = labels().fields([state()], seeing(body()))
    message = build_message("visualization_msgs/msg/MarkerArray", {"markers": [fields]}).markers[0]
    assert (message.text, message.ns, message.header.frame_id) == ("ann\nhappy 80%", "emotion", "camera")
    assert (message.type, message.action) == (message.TEXT_VIEW_FACING, message.ADD)
    colour = message.color
    told = "#" + "".join(f"{round(255 * part):02X}" for part in (colour.r, colour.g, colour.b))
    assert told == COLOURS["happy"]
    assert (message.pose.position.x, message.pose.position.z) == pytest.approx((0.1, 2.0), abs=1e-6)
    assert message.scale.z == 0.12
    assert message.lifetime.sec + message.lifetime.nanosec / 1e9 == 1.25, "what is not renewed vanishes"


def test_the_surer_the_less_transparent_and_unknown_can_still_be_read() -> None:
    buffer, made = seeing(body()), labels()
    alphas = [
        made.fields([state(label, confidence)], buffer)[0]["color"]["a"]
        for label, confidence in ((UNKNOWN, 0.0), ("sad", 0.5), ("sad", 0.9), ("sad", 1.0))
    ]
    assert alphas == sorted(alphas)
    assert alphas[0] > 0.3
    assert alphas[-1] == 1
    assert made.fields([state(UNKNOWN, 0.0, person="")], buffer)[0]["text"] == "unknown"


def test_who_is_not_seen_in_space_stands_at_a_place_of_their_own() -> None:
    lost = seeing(body(), body(stamp_ns=T0 + to_ns(2), body_id="another"))
    for buffer in (seeing(), lost, seeing(body("coco17"))):
        (fields,) = labels(x=1.0, y=2.0, z=0.5).fields([state()], buffer)
        assert fields["header"]["frame_id"] == "microphone"
        assert fields["pose"]["position"] == {"x": 1.0, "y": 2.0, "z": 0.5}
    one, other = labels(frame_id="map").fields([state(), state(person="bob")], seeing())
    assert {item["header"]["frame_id"] for item in (one, other)} == {"map"}
    assert other["pose"]["position"]["z"] > one["pose"]["position"]["z"], "they do not cover each other"
    assert one["id"] != other["id"]


def test_who_goes_by_another_name_now_keeps_the_label_over_the_head() -> None:
    made, buffer = labels(), seeing(body())
    made.rename({"ann": "anna"}.get, {"ann"})  # type: ignore[arg-type]
    (fields,) = made.fields([state(person="anna")], buffer)
    assert fields["header"]["frame_id"] == "camera"
    assert fields["pose"]["position"]["z"] == pytest.approx(2.0, abs=1e-6)
    made.note(make_estimate("happy", person_id="bob", frame_id="elsewhere"))
    made.rename({"anna": "bob"}.get, {"anna"})  # type: ignore[arg-type]
    (fields,) = made.fields([state(person="bob")], buffer)
    assert fields["header"]["frame_id"] == "elsewhere", "what is known of that name already is newer"


def test_any_number_of_people_is_kept_in_mind_for_a_while() -> None:
    made = labels()
    for number in range(10_000):
        made.note(make_estimate("sad", person_id=f"p{number}", frame_id="microphone"))
    assert len(made._newest) < 100
