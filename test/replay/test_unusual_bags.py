"""Bags as they should not be, and at other speeds, give the same emotions: through live nodes, as processes over DDS,
and through the pipeline alone."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soxr
from live import PART_S, ROBOT, LiveNodes, assert_same, offline, write_part_of_demo
from ros_world import DEMO, T0, Domain

from mser_ros.audio.waveform import to_int16
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_from_msg, audio_to_fields, to_fields
from mser_ros.types import NS_PER_S, AbstainReason, AudioChunk, to_ns

#: Other than by default: both ways take what they are told.
MIN_CONFIDENCE = 0.02


@pytest.fixture(scope="module")
def nodes(tiny_bundle) -> Iterator[LiveNodes]:
    """Nodes that read no words, for one bag after the other; they end well."""
    own = {"emotion:bundle": tiny_bundle, "speech:asr.backend": "none", "mocap:min_confidence": MIN_CONFIDENCE}
    with Domain() as domain_id:
        with LiveNodes(own, domain_id=domain_id) as nodes:
            yield nodes
        assert nodes.processes.exit_codes == {"speech": 0, "mocap": 0, "emotion": 0}


def write_rough_bag(path: Path) -> Path:
    """The demo bag as a bad network would bring it: audio lost, doubled, swapped and broken, skeletons likewise."""
    rng = np.random.default_rng(7)
    hole_ns = T0 + to_ns(9.0), T0 + to_ns(9.6)
    messages: list[tuple[int, str, str, dict]] = []
    with Bag(DEMO) as source:
        for message in source.messages():
            fields, log_ns = to_fields(message.decode()), message.log_ns
            if log_ns >= T0 + to_ns(PART_S):
                continue
            if message.topic == "/audio":
                if rng.random() < 0.05 or hole_ns[0] < log_ns < hole_ns[1]:
                    continue
                if rng.random() < 0.1:
                    log_ns += to_ns(0.07)  # past the next one
                if rng.random() < 0.05:
                    messages.append((log_ns + 1, message.topic, message.type_name, fields))
                if rng.random() < 0.03:
                    broken = fields | {"channels": 0}
                    messages.append((log_ns + 2, message.topic, message.type_name, broken))
            else:
                if rng.random() < 0.2:
                    continue
                # Less than the silence that ends an utterance, by more than a busy machine lets a node wait.
                log_ns += to_ns(rng.choice([0.0, 0.0, 0.05, 0.1]))
                if rng.random() < 0.05:
                    broken = fields | {"positions": fields["positions"][:-3]}
                    messages.append((log_ns + 1, message.topic, message.type_name, broken))
                if rng.random() < 0.1:
                    fields["positions"][6:12] = [float("nan")] * 6
                fields["confidence"][9:11] = [0.05] * 2  # below what the mocap node takes by default
            messages.append((log_ns, message.topic, message.type_name, fields))
    with BagWriter(path) as writer:
        for log_ns, topic, type_name, fields in sorted(messages, key=lambda item: item[:2]):
            writer.write(topic, type_name, fields, log_ns)
    return path


def test_a_bag_with_losses_and_disorder_gives_the_same_emotions_live_and_offline(nodes, tiny_bundle, tmp_path):
    bag = write_rough_bag(tmp_path / "rough")
    expected, _ = offline(bag, bundle=tiny_bundle, min_confidence=MIN_CONFIDENCE)
    assert len(expected) >= 3
    (run,) = nodes.play(bag, rate=1.0)
    assert_same(run, expected)
    run.assert_one_last_emotion_each()
    for counter in ("lost_samples", "duplicates", "discontinuities", "rejected"):
        assert int(run.diagnostics["speech"][counter]) > 0
    assert int(run.diagnostics["mocap"]["rejected"]) > 0
    assert int(run.diagnostics["emotion"]["reordered"]) > 0


def write_unstamped_bag(path: Path, *, counts: bool) -> Path:
    """Three utterances of the demo bag with audio of a source without a clock, which comes with some lateness."""
    rng = np.random.default_rng(5)
    messages: list[tuple[int, str, str, dict]] = []
    with Bag(DEMO) as source:
        for message in source.messages(["/audio", "/skeleton_in"]):
            fields, log_ns = to_fields(message.decode()), message.log_ns
            if message.topic == "/audio":
                fields["header"]["stamp"] = {"sec": 0, "nanosec": 0}
                fields["first_sample"] *= counts
                log_ns += to_ns(rng.uniform(0, 0.04))
            if message.log_ns < T0 + to_ns(PART_S):
                messages.append((log_ns, message.topic, message.type_name, fields))
    with BagWriter(path) as writer:
        for log_ns, topic, type_name, fields in sorted(messages, key=lambda item: item[:2]):
            writer.write(topic, type_name, fields, log_ns)
    return path


@pytest.mark.parametrize("counts", [True, False])
def test_a_bag_whose_audio_has_no_stamps_gives_the_same_emotions_live_and_offline(nodes, tiny_bundle, tmp_path, counts):
    bag = write_unstamped_bag(tmp_path / "unstamped", counts=counts)
    expected, _ = offline(bag, bundle=tiny_bundle, min_confidence=MIN_CONFIDENCE)
    assert len(expected) >= 3
    assert all(
        evidence.available for item in expected.values() for evidence in item.evidence if evidence.modality != "text"
    )
    (run,) = nodes.play(bag, rate=2.0)
    # Here the times are those at which the messages arrive, and no machine hands them over in no time.
    assert_same(run, expected, within_s=0.1, atol=0.05)
    run.assert_one_last_emotion_each()
    speech = run.diagnostics["speech"]
    assert int(speech["unstamped"]) == int(speech["received"]) > 200
    for counter in ("lost_samples", "filled_samples", "duplicates", "discontinuities", "rejected"):
        assert speech[counter] == "0"


def write_changing_bag(path: Path) -> Path:
    """Three utterances of the demo bag, from a source that goes over to 48 kHz in two channels, one of them turned
    round, and is overdriven from then on; in two files, and nobody wrote its metadata.yaml."""
    change = 6 * 16_000
    with Bag(DEMO) as source:
        skeletons = [
            (message.topic, message.type_name, to_fields(message.decode()), message.log_ns)
            for message in source.messages(["/skeleton_in"])
        ]
        chunks = [audio_from_msg(message.decode()) for message in source.messages(["/audio"])]
    voice = np.concatenate([chunk.samples[:, 0] for chunk in chunks])[: round(PART_S * 16_000)]
    loud = to_int16(np.clip(soxr.resample(voice[change:].astype(np.float64), 16_000, 48_000) / 600, -1, 1))
    loud = np.maximum(loud, -32_767)  # of which the negative has its place in 16 bits
    messages = [message for message in skeletons if message[3] < T0 + to_ns(PART_S)]
    begin_ns = chunks[0].stamp_ns
    for samples, rate, start_ns in (
        (voice[:change, None], 16_000, begin_ns),
        (np.stack([loud, -loud], axis=1), 48_000, begin_ns + to_ns(6)),
    ):
        for first in range(0, len(samples), rate // 20):
            block = samples[first : first + rate // 20]
            chunk = AudioChunk(block, rate, start_ns + first * NS_PER_S // rate, first)
            messages.append(("/audio", "mser_msgs/msg/AudioFrame", audio_to_fields(chunk), chunk.end_ns))
    messages.sort(key=lambda message: message[3])
    half = len(messages) // 2
    path.mkdir()
    for number, part in enumerate((messages[:half], messages[half:])):
        with BagWriter(path / "part") as writer:
            for message in part:
                writer.write(*message)
        next((path / "part").glob("*.mcap")).rename(path / f"run_{number}.mcap")
        shutil.rmtree(path / "part")
    return path


def test_a_source_that_changes_and_is_overdriven_gives_the_same_emotions_live_and_offline(nodes, tiny_bundle, tmp_path):
    bag = write_changing_bag(tmp_path / "changing")
    expected, _ = offline(bag, bundle=tiny_bundle, min_confidence=MIN_CONFIDENCE)
    assert len(expected) >= 3
    voices = [item.reason for each in expected.values() for item in each.evidence if item.modality == "speech"]
    assert AbstainReason.NONE in voices
    assert AbstainReason.CLIPPED in voices
    (run,) = nodes.play(bag, rate=4.0)
    assert_same(run, expected)
    run.assert_one_last_emotion_each()
    speech = run.diagnostics["speech"]
    assert speech["changes"] == speech["discontinuities"] == "1"
    assert int(speech["clipped_samples"]) > 10_000
    assert int(speech["inverted_samples"]) > 48_000


def write_talking_robot(path: Path) -> Path:
    """Three utterances of the demo bag, of which the second is the robot's own."""
    with Bag(write_part_of_demo(path.with_name("whole"))) as source:
        messages = [
            (message.log_ns, message.topic, message.type_name, to_fields(message.decode()))
            for message in source.messages()
        ]
    for at_s, speaks in ((4.9, True), (5.9, True), (9.0, False)):
        messages.append((T0 + to_ns(at_s), ROBOT, "std_msgs/msg/Bool", {"data": speaks}))
    with BagWriter(path) as writer:
        for log_ns, topic, type_name, fields in sorted(messages, key=lambda item: item[:2]):
            writer.write(topic, type_name, fields, log_ns)
    return path


def test_a_robot_that_speaks_itself_gives_the_same_emotions_live_and_offline(nodes, tiny_bundle, tmp_path):
    bag = write_talking_robot(tmp_path / "robot")
    expected, _ = offline(bag, bundle=tiny_bundle, min_confidence=MIN_CONFIDENCE)
    assert len(expected) == 2
    (run,) = nodes.play(bag, rate=2.0)
    assert_same(run, expected)
    run.assert_one_last_emotion_each()
    assert int(run.diagnostics["speech"]["robot_samples"]) > 4 * 16_000


def test_a_bag_at_ten_times_its_speed_gives_the_same_emotions_and_where_it_begins_again_gives_them_again(
    nodes, tiny_bundle, tmp_path
):
    bag = write_part_of_demo(tmp_path / "part")
    expected, _ = offline(bag, bundle=tiny_bundle, min_confidence=MIN_CONFIDENCE)
    assert len(expected) >= 3
    runs = nodes.play(bag, rate=10.0, rounds=2)
    assert_same(runs[0], expected)
    for run in runs:
        run.assert_one_last_emotion_each()
    assert not set(runs[0].last) & set(runs[1].last)
    for first, second in zip(runs[0].last.values(), runs[1].last.values(), strict=True):
        assert first.state == second.state
        assert (first.label, first.speech_start, first.speech_end) == (
            second.label,
            second.speech_start,
            second.speech_end,
        )
        np.testing.assert_allclose(first.probabilities, second.probabilities, atol=1e-3)
