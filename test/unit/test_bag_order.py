"""Bags whose log times contradict the stamps of their messages are read in the order of the stamps; no others are."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from annotations import Annotate, finals_of, write_two_sentences
from hypothesis import HealthCheck, given, settings
from mcap.writer import CompressionType, Writer
from mocap_poses import pose_of
from odd_bags import AUDIO, KINDS, SKELETON, T0, Oddities, odd_bags

from mser_ros.cli.inputs import read_bag
from mser_ros.cli.main import main
from mser_ros.errors import BagError
from mser_ros.messages.bag_order import find_disorder
from mser_ros.messages.bag_writer import BagWriter, build_message
from mser_ros.messages.bags import Bag, message_types
from mser_ros.messages.conversions import audio_to_fields, skeleton_to_fields, to_fields
from mser_ros.types import NS_PER_S, AudioChunk, SkeletonFrame, to_ns

COUNT, BLOCK = 200, 1024
SHUFFLES = {
    "all over": np.random.default_rng(1).permutation(COUNT),
    "within seconds": np.argsort(np.arange(COUNT) + np.random.default_rng(2).uniform(0, 40, COUNT)),
    "reversed": np.arange(COUNT)[::-1],
    "in pieces of a block, by turns from both halves": np.arange(COUNT).reshape(2, -1).T.ravel(),
}


def blocks(*, is_stamped: bool = True, counts: bool = True) -> list[AudioChunk]:
    samples = np.random.default_rng(0).integers(-9000, 9000, (COUNT, BLOCK, 1)).astype(np.int16)
    return [
        AudioChunk(
            samples[number],
            16_000,
            (T0 + number * 64_000_000) * is_stamped,
            number * BLOCK * counts,
        )
        for number in range(COUNT)
    ]


def write(path: Path, chunks: Sequence[AudioChunk]) -> Path:
    """Logged in this order."""
    with BagWriter(path) as writer:
        for number, chunk in enumerate(chunks):
            writer.write("/audio", AUDIO, audio_to_fields(chunk), T0 + to_ns(0.064 * (number + 1)))
    return path


@pytest.mark.parametrize("order", SHUFFLES.values(), ids=SHUFFLES)
@pytest.mark.parametrize(("is_stamped", "counts"), [(True, True), (True, False), (False, True)])
def test_nothing_of_a_bag_is_lost_whose_log_times_are_out_of_order(
    tmp_path: Path, order: np.ndarray, is_stamped: bool, counts: bool
) -> None:
    chunks = blocks(is_stamped=is_stamped, counts=counts)
    with Bag(write(tmp_path / "bag", [chunks[number] for number in order])) as bag:
        items, count, notes = read_bag(bag, "", "")
        items = list(items)
    assert count == COUNT
    for item, chunk in zip(items, chunks, strict=True):
        np.testing.assert_array_equal(item.load().samples, chunk.samples)
    assert [item.log_ns for item in items] == [T0 + to_ns(0.064 * (number + 1)) for number in range(COUNT)]
    (note,) = notes
    witness = "stamps" if is_stamped else "count of samples"
    assert f"the log times of /audio contradict its {witness}" in note
    assert f"it is read in the order of its {witness}" in note


@pytest.mark.parametrize("name", KINDS)
def test_what_a_node_can_meet_is_left_in_the_order_of_its_arrival(tmp_path: Path, name: str) -> None:
    with Bag(KINDS[name].write(tmp_path / "bag")) as bag:
        assert find_disorder(bag, bag.topics) == []


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(odd_bags())
def test_whatever_goes_wrong_on_a_robot_is_no_disorder(oddities: Oddities) -> None:
    """Nodes are played just these bags, and must say what is said offline."""
    with tempfile.TemporaryDirectory() as folder, Bag(oddities.write(Path(folder) / "bag")) as bag:
        assert find_disorder(bag, bag.topics) == []


def test_a_bag_that_was_recorded_while_another_was_played_in_a_loop_is_no_disorder(tmp_path: Path) -> None:
    """Also where it was so short that its stamps go back again and again."""
    with Bag(write(tmp_path / "bag", blocks()[:10] * 20)) as bag:
        assert find_disorder(bag, bag.topics) == []


def test_two_sources_of_different_clocks_are_no_disorder(tmp_path: Path) -> None:
    first = [AudioChunk(one.samples, 16_000, one.stamp_ns, one.first_sample, "left") for one in blocks()[:50]]
    then = [AudioChunk(one.samples, 16_000, one.stamp_ns + 99 * NS_PER_S, one.first_sample, "right") for one in first]
    with Bag(write(tmp_path / "bag", [one for pair in zip(first, then, strict=True) for one in pair])) as bag:
        assert find_disorder(bag, bag.topics) == []


def test_several_bodies_that_share_their_stamps_are_put_in_order_beside_the_sound(tmp_path: Path) -> None:
    still = pose_of("egait16")
    frames = [
        SkeletonFrame(T0 + number * NS_PER_S // 30, body, "egait16", still, np.ones(16, np.float32))
        for number in range(60)
        for body in ("one", "two", "three")
    ]
    mixed = [frames[number] for number in np.random.default_rng(3).permutation(len(frames))]
    skeletons = ((T0 + number * NS_PER_S // 90, SKELETON, frame) for number, frame in enumerate(mixed))
    sounds = ((chunk.end_ns, AUDIO, chunk) for chunk in blocks()[:30])
    with BagWriter(tmp_path / "bag") as writer:
        for log_ns, kind, data in heapq.merge(skeletons, sounds, key=lambda item: item[0]):
            is_sound = isinstance(data, AudioChunk)
            fields = audio_to_fields(data) if is_sound else skeleton_to_fields(data)
            writer.write("/audio" if is_sound else "/skeleton", kind, fields, log_ns)
    with Bag(tmp_path / "bag") as bag:
        assert [one.topic for one in find_disorder(bag, bag.topics)] == ["/skeleton"]
        items, _, _ = read_bag(bag, "", "")
        found = [item.load() for item in items]
    seen = [one.stamp_ns for one in found if isinstance(one, SkeletonFrame)]
    assert seen == sorted(frame.stamp_ns for frame in frames)
    times = [one.end_ns if isinstance(one, AudioChunk) else one.stamp_ns for one in found]
    assert max(before - after for before, after in pairwise(times)) < NS_PER_S // 10


def test_what_is_whole_of_a_damaged_bag_is_put_in_order(tmp_path: Path) -> None:
    """Of several chunks, each with a checksum."""
    chunks, store, file = blocks(), message_types(), tmp_path / "a.mcap"
    text = store.generate_msgdef(AUDIO, ros_version=2)[0].encode()
    with file.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.ZSTD, chunk_size=20_000)
        writer.start(profile="ros2", library="test")
        channel = writer.register_channel("/audio", "cdr", writer.register_schema(AUDIO, "ros2msg", text))
        for number, at in enumerate(SHUFFLES["all over"]):
            raw = bytes(store.serialize_cdr(build_message(AUDIO, audio_to_fields(chunks[at])), AUDIO))
            writer.add_message(channel, T0 + number, raw, T0 + number)
        writer.finish()
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    file.write_bytes(content)
    whole, faults = [], []
    with Bag(file) as bag:
        for item in read_bag(bag, "", "")[0]:
            try:
                whole.append(item.load())
            except BagError as error:
                faults.append(str(error))
    assert 20 < len(whole) < COUNT
    assert [chunk.stamp_ns for chunk in whole] == sorted(chunk.stamp_ns for chunk in whole)
    assert len(faults) == 1
    assert "damaged" in faults[0]


def test_a_topic_that_is_too_large_is_left_as_it_is_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mser_ros.messages.bag_order._LARGEST", 100 * BLOCK)
    chunks = blocks()
    with Bag(write(tmp_path / "bag", chunks[::-1])) as bag:
        items, _, notes = read_bag(bag, "", "")
        assert [item.load().stamp_ns for item in items] == [chunk.stamp_ns for chunk in chunks[::-1]]
    assert "too large to be put in order here: cut the bag into pieces" in notes[0]


@pytest.mark.parametrize("is_reversed", [True, False])
def test_estimates_are_those_of_the_bag_as_it_was_recorded(
    annotate: Annotate, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_reversed: bool
) -> None:
    with Bag(write_two_sentences(tmp_path / "bag")) as bag:
        messages = [(one.topic, one.type_name, to_fields(one.decode()), one.log_ns) for one in bag.messages()]
    order = np.arange(len(messages))[::-1] if is_reversed else np.random.default_rng(4).permutation(len(messages))
    with BagWriter(tmp_path / "mixed") as writer:
        for (_, _, _, log_ns), number in zip(messages, order, strict=True):
            writer.write(*messages[number][:3], log_ns)
    assert annotate(tmp_path / "bag", out=tmp_path / "out") == 0
    capsys.readouterr()
    assert annotate(tmp_path / "mixed", out=tmp_path / "mended") == 0
    assert capsys.readouterr().out.count("note: the log times of") == 2
    right, found = finals_of(tmp_path / "out"), finals_of(tmp_path / "mended")
    for one in (*right, *found):
        one.pop("header", None)
    assert len(found) == len(right) == 2
    for one, other in zip(right, found, strict=True):
        assert (one["speech_start"], one["speech_end"]) == (other["speech_start"], other["speech_end"])
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)


def test_doctor_tells_of_it_and_a_bag_in_order_has_no_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    chunks = blocks()
    assert main(["doctor", str(write(tmp_path / "mixed", chunks[::-1]))]) == 0
    assert "the log times of /audio contradict its stamps" in " ".join(capsys.readouterr().out.split())
    assert main(["doctor", str(write(tmp_path / "bag", chunks))]) == 0
    assert "contradict" not in capsys.readouterr().out
