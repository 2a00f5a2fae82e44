"""Bags without ROS: what is written is read again, and a damaged bag is one sentence."""

from __future__ import annotations

import gzip
import shutil
import sqlite3
import tempfile
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mser_ros.errors import BagError
from mser_ros.messages.bag_files import is_bag, zstd
from mser_ros.messages.bag_writer import BagWriter, build_message, clear_bag, copy_with_topics
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import (
    audio_from_msg,
    audio_to_fields,
    emotion_to_fields,
    skeleton_from_msg,
    skeleton_to_fields,
    to_fields,
    utterance_from_msg,
    utterance_to_fields,
)
from mser_ros.types import (
    NS_PER_S,
    AudioChunk,
    EmotionEstimate,
    EstimateState,
    ModalityEvidence,
    SkeletonFrame,
    Transcript,
    UtteranceEvent,
    UtteranceState,
    Word,
)

DEMO = Path(__file__).parents[2] / "demo" / "demo.mcap"
T0 = 1_700_000_000 * NS_PER_S
AUDIO, SKELETON, EMOTION = (f"mser_msgs/msg/{name}" for name in ("AudioFrame", "Skeleton", "Emotion"))


def chunk(number: int = 0) -> AudioChunk:
    samples = np.full((1024, 2), number, np.int16)
    return AudioChunk(samples, 16000, T0 + number * 64_000_000, number * 1024, voice_id="v", frame_id="mic")


def skeleton(number: int = 0) -> SkeletonFrame:
    positions = np.full((16, 3), number, np.float32)
    positions[3] = np.nan
    return SkeletonFrame(T0 + number, "b", "egait16", positions, np.linspace(0, 1, 16, dtype=np.float32), "camera")


def estimate() -> EmotionEstimate:
    half = np.array([0.75, 0.25], np.float32)
    evidence = (ModalityEvidence("speech", True, 0.5, half, 1.0), ModalityEvidence("mocap", False))
    return EmotionEstimate(
        T0, EstimateState.FINAL, ("angry", "sad"), half, "angry", 0.75, evidence=evidence, transcript="naïve ☂"
    )


def make_bag(path: Path, *, storage="mcap", count: int = 10) -> Path:
    with BagWriter(path, storage=storage) as writer:
        for number in range(count):
            writer.write("/audio", AUDIO, audio_to_fields(chunk(number)), T0 + 2 * number)
            writer.write("/body", SKELETON, skeleton_to_fields(skeleton(number)), T0 + 2 * number + 1)
    return path


@pytest.fixture(params=["mcap", "sqlite3"])
def bag(request, tmp_path: Path) -> Path:
    return make_bag(tmp_path / "bag", storage=request.param)


def test_a_bag_is_read_in_time_order_as_folder_and_as_single_file(bag: Path) -> None:
    single = next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    for path in (bag, single):
        with Bag(path) as opened:
            assert opened.topics == {"/audio": AUDIO, "/body": SKELETON}
            assert opened.message_count == 20
            assert opened.start_ns == T0
            messages = list(opened.messages())
            assert [message.log_ns for message in messages] == [T0 + number for number in range(20)]
            assert [message.topic for message in messages] == ["/audio", "/body"] * 10
            heard = [audio_from_msg(message.decode()) for message in messages[::2]]
            seen = [skeleton_from_msg(message.decode()) for message in messages[1::2]]
    np.testing.assert_array_equal(heard[7].samples, chunk(7).samples)
    assert (heard[7].stamp_ns, heard[7].sample_rate) == (chunk(7).stamp_ns, 16000)
    assert (heard[7].first_sample, heard[7].voice_id, heard[7].frame_id) == (7 * 1024, "v", "mic")
    np.testing.assert_array_equal(seen[4].positions, skeleton(4).positions)
    np.testing.assert_array_equal(seen[4].confidence, skeleton(4).confidence)
    assert (seen[4].stamp_ns, seen[4].body_id, seen[4].layout) == (T0 + 4, "b", "egait16")


def test_a_choice_of_topics_is_read_alone(bag: Path) -> None:
    with Bag(bag) as opened:
        assert {message.topic for message in opened.messages(["/body"])} == {"/body"}


def test_a_bag_can_be_read_twice(bag: Path) -> None:
    with Bag(bag) as opened:
        assert len(list(opened.messages())) == len(list(opened.messages())) == 20


def test_utterances_and_emotions_come_back_as_they_were(tmp_path: Path) -> None:
    word = Word("hello", T0, T0 + 5, 0.5)
    event = UtteranceEvent(
        "u1", UtteranceState.ENDED, T0 + 9, T0, T0 + 9, Transcript("hello", None, (word,), "en", True), "v", "mic"
    )
    with BagWriter(tmp_path / "bag") as writer:
        writer.write("/utterance", "mser_msgs/msg/Utterance", utterance_to_fields(event), T0)
        writer.write("/emotion", EMOTION, emotion_to_fields(estimate()), T0 + 1)
    with Bag(tmp_path / "bag") as opened:
        first, second = (message.decode() for message in opened.messages())
    assert utterance_from_msg(first) == event
    assert to_fields(second) == emotion_to_fields(estimate())


def test_fields_that_are_not_named_are_zero_or_empty() -> None:
    fields = to_fields(build_message(EMOTION, {"label": "sad"}))
    assert fields["label"] == "sad"
    assert fields["header"] == {"stamp": {"sec": 0, "nanosec": 0}, "frame_id": ""}
    assert fields["evidence"] == fields["probabilities"] == []
    assert to_fields(build_message("sensor_msgs/msg/Imu", {}))["orientation_covariance"] == [0.0] * 9


def test_a_wrong_type_or_field_is_named() -> None:
    with pytest.raises(BagError, match="mser_msgs/msg/Mood is not known"):
        build_message("mser_msgs/msg/Mood", {})
    with pytest.raises(BagError, match="Emotion has no field 'mood'"):
        build_message(EMOTION, {"mood": 1})


def test_a_copy_holds_everything_and_the_added_topic_in_time_order(bag: Path, tmp_path: Path) -> None:
    added = [("/emotion", emotion_to_fields(estimate()), T0 + at) for at in (3, 3, 99)]
    skipped = copy_with_topics(bag, tmp_path / "out", topics={"/emotion": EMOTION}, messages=added)
    assert skipped == ()
    with Bag(bag) as source, Bag(tmp_path / "out") as copy:
        assert copy.topics == {**source.topics, "/emotion": EMOTION}
        stamps = [message.log_ns for message in copy.messages()]
        assert stamps == sorted(stamps)
        assert [item.log_ns for item in copy.messages(["/emotion"])] == [T0 + 3, T0 + 3, T0 + 99]
        for topic in source.topics:
            before, after = ([(item.log_ns, item.raw) for item in one.messages([topic])] for one in (source, copy))
            assert before == after


def test_annotating_a_copy_again_replaces_the_topic(bag: Path, tmp_path: Path) -> None:
    one = [("/emotion", emotion_to_fields(estimate()), T0)]
    copy_with_topics(bag, tmp_path / "first", topics={"/emotion": EMOTION}, messages=one * 3)
    copy_with_topics(tmp_path / "first", tmp_path / "second", topics={"/emotion": EMOTION}, messages=one)
    with Bag(tmp_path / "second") as copy:
        assert len(list(copy.messages(["/emotion"]))) == 1
        assert copy.message_count == 21


def test_the_quality_of_service_of_a_topic_is_copied(tmp_path: Path) -> None:
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
    from rosbags.rosbag2 import StoragePlugin, Writer

    from mser_ros.messages.bags import message_types

    store = message_types()
    forever = QosTime(2147483647, 4294967295)
    latched = Qos(
        QosHistory.KEEP_LAST,
        1,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL,
        forever,
        forever,
        QosLiveliness.AUTOMATIC,
        forever,
        False,
    )
    with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            "/name", "std_msgs/msg/String", typestore=store, offered_qos_profiles=[latched]
        )
        text = build_message("std_msgs/msg/String", {"data": "x"})
        writer.write(connection, T0, store.serialize_cdr(text, "std_msgs/msg/String"))
    copy_with_topics(tmp_path / "bag", tmp_path / "out", topics={"/e": EMOTION}, messages=[])
    with Bag(tmp_path / "out") as copy:
        assert copy.connections()[0].ext.offered_qos_profiles == [latched]


def test_a_topic_of_a_type_nobody_knows_is_left_out_and_named(tmp_path: Path) -> None:
    """Old SQLite bags carry no definitions."""
    import sqlite3

    source = make_bag(tmp_path / "bag", storage="sqlite3")
    with sqlite3.connect(source / "bag.db3") as database:
        database.execute("UPDATE topics SET type = 'acme_msgs/msg/Secret' WHERE name = '/body'")
        database.execute("DELETE FROM message_definitions")
    text = (source / "metadata.yaml").read_text()
    (source / "metadata.yaml").write_text(text.replace("mser_msgs/msg/Skeleton", "acme_msgs/msg/Secret"))
    skipped = copy_with_topics(source, tmp_path / "out", topics={"/e": EMOTION}, messages=[])
    assert skipped == ("/body",)
    with Bag(tmp_path / "out") as copy:
        assert copy.topics == {"/audio": AUDIO}
    with Bag(source) as opened, pytest.raises(BagError):
        next(opened.messages(["/body"])).decode()


def test_a_missing_topic_or_a_wrong_type_is_refused_with_what_is_there(bag: Path) -> None:
    with Bag(bag) as opened:
        assert opened.require("/audio", AUDIO) == AUDIO
        with pytest.raises(BagError, match=r"has no topic /sound; it has /audio \(mser_msgs/msg/AudioFrame\), /body"):
            opened.require("/sound")
        with pytest.raises(BagError, match="is of type mser_msgs/msg/Skeleton, but mser_msgs/msg/AudioFrame is needed"):
            opened.require("/body", AUDIO)
        with pytest.raises(BagError, match="has no topic /sound"):
            next(opened.messages(["/sound"]))


def test_what_is_no_bag_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="there is no bag"):
        Bag(tmp_path / "none")
    with pytest.raises(BagError, match=r"holds no \.mcap or \.db3 file: name the folder or the file of a bag"):
        Bag(tmp_path)
    for name, content, why in (
        ("a.mcap", b"", "a.mcap is empty"),
        ("b.mcap", b"<html>", "b.mcap is text and no bag .it begins with '<html>'"),
        ("c.db3", b"", "c.db3 is empty"),
        ("d.db3", b"hello\0" * 9, "d.db3 cannot be read"),
        ("e.mcap", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BagError, match=why):
            Bag(tmp_path / name)
    (tmp_path / "e.bag").write_bytes(b"#ROSBAG V2.0")
    with pytest.raises(BagError, match="is no bag of ROS 2"):
        Bag(tmp_path / "e.bag")


@pytest.mark.parametrize("named", ["RUN.{}", "run.{}.zst", "run.{}.gz", "run.other", "run.wrong"])
def test_a_bag_is_read_whatever_its_file_is_named(bag: Path, tmp_path: Path, named: str) -> None:
    """Names in capitals, of other compressions, without a known ending, and of the other format."""
    single = next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    wrong = {".mcap": ".db3", ".db3": ".mcap"}[single.suffix]
    path = tmp_path / named.format(single.suffix[1:].upper()).replace(".wrong", wrong)
    content = single.read_bytes()
    packers = {".zst": zstd.compress, ".gz": gzip.compress}
    path.write_bytes(packers.get(path.suffix, bytes)(content))
    assert is_bag(path)
    with Bag(path) as opened:
        assert opened.message_count == 20
        assert len(list(opened.messages())) == 20
        assert bool(opened.notes) == (path.suffix in (".other", wrong))


def test_the_metadata_of_a_bag_names_the_bag(bag: Path) -> None:
    with Bag(bag / "metadata.yaml") as opened:
        assert opened.message_count == 20


def test_messages_of_an_older_definition_are_read_and_what_they_lack_is_told(tmp_path: Path) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(
        get_types_from_msg("std_msgs/Header header\nuint32 sample_rate\nuint8 channels\nint16[] samples", AUDIO)
    )
    with Writer(tmp_path / "old", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection("/audio", AUDIO, typestore=store)
        header = store.types["std_msgs/msg/Header"](store.types["builtin_interfaces/msg/Time"](7, 0), "mic")
        message = store.types[AUDIO](header, 16000, 2, np.arange(8, dtype=np.int16))
        writer.write(connection, T0, store.serialize_cdr(message, AUDIO))
    with Bag(tmp_path / "old") as opened:
        (note,) = opened.notes
        assert "AudioFrame was recorded by another version of mser_msgs, without voice_id, first_sample" in note
        (found,) = [audio_from_msg(message.decode()) for message in opened.messages()]
    assert (found.stamp_ns, found.frames, found.voice_id, found.first_sample) == (7 * 10**9, 4, "", 0)


def test_bags_that_define_one_type_in_different_ways_are_read_each_by_its_own_definition(tmp_path: Path) -> None:
    name = "own_msgs/msg/Level"
    for folder, definition in (("old", "uint8 level"), ("new", "float64 level\nstring unit"), ("same", "uint8 level")):
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(definition, name))
        with Writer(tmp_path / folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            connection = writer.add_connection("/level", name, typestore=store)
            message = store.types[name](*((7,) if "unit" not in definition else (0.7, "m")))
            writer.write(connection, T0, store.serialize_cdr(message, name))
    found = {}
    for folder in ("old", "new", "same"):
        with Bag(tmp_path / folder) as opened:
            (found[folder],) = [to_fields(message.decode()) for message in opened.messages()]
    assert found == {"old": {"level": 7}, "new": {"level": 0.7, "unit": "m"}, "same": {"level": 7}}


@pytest.mark.parametrize(
    "text",
    [
        *("", "a: [", "hello", "rosbag2_bagfile_information: {version: 99}"),
        "rosbag2_bagfile_information: {relative_file_paths: 3}",
    ],
)
def test_a_damaged_metadata_file_does_no_harm(bag: Path, text: str) -> None:
    (bag / "metadata.yaml").write_text(text)
    with Bag(bag) as opened:
        assert opened.notes == ("metadata.yaml cannot be read: the files are read in the order of their numbers",)
    assert read_all(bag) == 20


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("storage_identifier: mcap", "storage_identifier: ''"),
        ("storage_identifier: sqlite3", "storage_identifier: ''"),
        ("message_count: 20", "message_count: 0"),
        ("message_count: 10", "message_count: 0"),
    ],
)
def test_what_metadata_say_of_the_content_does_not_matter(bag: Path, old: str, new: str) -> None:
    """As 'ros2 bag reindex' of Humble writes them."""
    metadata = bag / "metadata.yaml"
    metadata.write_text(metadata.read_text().replace(old, new))
    assert read_all(bag) == 20


def test_a_bag_without_messages_is_refused(tmp_path: Path) -> None:
    for storage in ("mcap", "sqlite3"):
        with BagWriter(tmp_path / storage, storage=storage):
            pass
        with pytest.raises(BagError, match="holds no messages"):
            Bag(tmp_path / storage)


def test_a_bag_that_lacks_its_file_is_refused(bag: Path) -> None:
    for path in bag.iterdir():
        if path.suffix != ".yaml":
            path.unlink()
    with pytest.raises(BagError, match=r"holds no \.mcap or \.db3 file: name the folder or the file of a bag"):
        Bag(bag)


# -- bags that a recorder did not finish, or that were carried about


def the_file(bag: Path) -> Path:
    return next(path for path in bag.iterdir() if path.suffix != ".yaml")


def split(folder: Path, storage: str, parts: int = 3) -> Path:
    """A recording in several files, `run_8`, `run_9`, `run_10` …, ten messages in each."""
    folder.mkdir()
    names = []
    for part in range(parts):
        one = folder / "one"
        with BagWriter(one, storage=storage) as writer:  # type: ignore[arg-type]
            for number in range(10 * part, 10 * part + 10):
                writer.write("/audio", AUDIO, audio_to_fields(chunk(number)), T0 + number)
        file = the_file(one)
        names.append(f"run_{8 + part}{file.suffix}")
        file.rename(folder / names[-1])
        shutil.rmtree(one)
    listed = {"rosbag2_bagfile_information": {"relative_file_paths": names}}
    (folder / "metadata.yaml").write_text(yaml.safe_dump(listed))
    return folder


def heard(path: Path) -> tuple[list[int], tuple[str, ...]]:
    with Bag(path) as opened:
        return [audio_from_msg(one.decode()).first_sample // 1024 for one in opened.messages()], opened.notes


def zstd_file(path: Path) -> Path:
    packed = path.with_name(f"{path.name}.zstd")
    packed.write_bytes(zstd.compress(path.read_bytes()))
    path.unlink()
    return packed


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_split_bag_is_read_in_order_with_and_without_metadata(tmp_path: Path, storage: str) -> None:
    bag = split(tmp_path / "bag", storage)
    assert heard(bag) == (list(range(30)), ())
    (bag / "metadata.yaml").unlink()
    order, notes = heard(bag)
    assert order == list(range(30)), "8, 9, 10: by number, not by name"
    assert notes == ("there is no metadata.yaml: the files are read in the order of their numbers",)
    with Bag(bag) as opened:
        assert [(item.topic, item.msgcount) for item in opened.connections()] == [("/audio", 30)]


def test_what_metadata_do_not_list_is_read_and_what_is_not_there_is_told(tmp_path: Path) -> None:
    bag = split(tmp_path / "bag", "mcap")
    listed = {"rosbag2_bagfile_information": {"relative_file_paths": ["run_8.mcap", "run_11.mcap"]}}
    (bag / "metadata.yaml").write_text(yaml.safe_dump(listed))
    shutil.copy(bag / "run_8.mcap", bag / "another.mcap")
    order, notes = heard(bag)
    assert order == list(range(30))
    assert "lists run_11.mcap, which is not there" in notes[0]
    assert "another.mcap is of another recording" in notes[1]
    assert "does not list run_9.mcap, run_10.mcap: it is read as well" in notes[2]


def test_several_recordings_in_a_folder_are_not_mixed(tmp_path: Path) -> None:
    bag = split(tmp_path / "bag", "mcap", parts=1)
    (bag / "metadata.yaml").unlink()
    shutil.copy(bag / "run_8.mcap", bag / "walk_0.mcap")
    with pytest.raises(BagError, match=r"holds several recordings: name one of run_8\.mcap, walk_0\.mcap"):
        Bag(bag)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("alone", [True, False])
def test_packed_files_are_read(tmp_path: Path, storage: str, alone: bool) -> None:
    bag = split(tmp_path / "bag", storage)
    packed = [zstd_file(path) for path in sorted(bag.iterdir()) if path.suffix != ".yaml"]
    order, notes = heard(next(path for path in packed if "run_9" in path.name) if alone else bag)
    assert (order, notes) == (list(range(10, 20)) if alone else list(range(30)), ())


def test_of_a_packed_file_that_is_cut_off_the_rest_is_read(tmp_path: Path) -> None:
    bag = split(tmp_path / "bag", "mcap")
    packed = zstd_file(bag / "run_10.mcap")
    packed.write_bytes(packed.read_bytes()[:-40])
    order, notes = heard(bag)
    assert order[:20] == list(range(20))
    assert "run_10.mcap.zstd is damaged" in notes[0]


def test_messages_that_were_compressed_one_by_one_are_read(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "bag", storage="sqlite3")
    with closing(sqlite3.connect(the_file(bag))) as database:
        for row, data in database.execute("SELECT id, data FROM messages").fetchall():
            database.execute("UPDATE messages SET data = ? WHERE id = ?", (zstd.compress(data), row))
        database.commit()
    (bag / "metadata.yaml").unlink()
    assert read_all(bag) == 20


def test_messages_in_sqlites_log_are_read(tmp_path: Path) -> None:
    bag = make_bag(tmp_path / "bag", storage="sqlite3")
    file = the_file(bag)
    dead = tmp_path / "dead"
    dead.mkdir()
    with closing(sqlite3.connect(file)) as recorder:
        recorder.execute("PRAGMA journal_mode=WAL")
        recorder.execute("PRAGMA wal_autocheckpoint=0")
        rows = recorder.execute("SELECT topic_id, timestamp, data FROM messages").fetchall()
        recorder.executemany(
            "INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)",
            [(topic, stamp + 100, data) for topic, stamp, data in rows],
        )
        recorder.commit()
        for path in (file, Path(f"{file}-wal")):
            shutil.copy(path, dead)
    before = {path.name: path.read_bytes() for path in dead.iterdir()}
    for path in (dead, dead / file.name):
        with Bag(path) as opened:
            assert len(list(opened.messages())) == opened.message_count == 40
            assert any(f"{file.name}-wal are read as well" in note for note in opened.notes)
    assert {path.name: path.read_bytes() for path in dead.iterdir()} == before, "nothing was written there"


@pytest.mark.parametrize("compress", [False, True])
def test_an_mcap_that_was_never_closed_is_read_as_far_as_it_is_whole(tmp_path: Path, compress: bool) -> None:
    random = np.random.default_rng(1)
    with BagWriter(tmp_path / "bag", compress=compress) as writer:
        for number in range(800):
            samples = random.integers(-99, 99, (1024, 1)).astype(np.int16)
            fields = audio_to_fields(AudioChunk(samples, 16000, T0, 1024 * number))
            writer.write("/audio", AUDIO, fields, T0 + number)
    file = the_file(tmp_path / "bag")
    whole = file.read_bytes()
    counts = []
    for share in (0.1, 0.2, 0.6, 0.9, 0.999):
        file.write_bytes(whole[: int(len(whole) * share)])
        order, notes = heard(file)
        assert order == list(range(len(order))), "without a gap"
        assert f"its {int(len(whole) * share)} bytes are read as far as they go" in notes[0]
        counts.append(len(order) / 800)
    assert counts == pytest.approx([0.1, 0.2, 0.6, 0.9, 1.0], abs=0.1), "also of the chunk that was just begun"


def test_a_file_that_a_power_cut_filled_with_zeros_is_read_up_to_these(tmp_path: Path) -> None:
    file = the_file(make_bag(tmp_path / "bag", count=400))
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    assert 0 < read_all(file) < 800


def test_a_damaged_or_empty_file_takes_nothing_from_the_others(tmp_path: Path) -> None:
    bag = split(tmp_path / "bag", "sqlite3")
    (bag / "run_9.db3").write_bytes(b"")
    (bag / "run_10.db3").write_bytes(b"SQLite format 3\0" + b"x" * 4096)
    order, notes = heard(bag)
    assert order == list(range(10))
    assert "run_9.db3 is empty" in notes[0]
    assert "run_10.db3 cannot be read" in notes[1]


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    bag = split(tmp_path / "bag", "mcap")
    zstd_file(bag / "run_9.mcap")
    with Bag(bag):
        assert list(place.iterdir())
    assert not list(place.iterdir())
    zstd_file(bag / "run_8.mcap").write_bytes(b"not packed at all")
    (bag / "run_10.mcap").unlink()
    with pytest.raises(BagError):
        Bag(bag / "run_8.mcap.zstd")
    assert not list(place.iterdir())


def read_all(path: Path) -> int:
    with Bag(path) as opened:
        return len([message.decode() for message in opened.messages()])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data(), storage=st.sampled_from(["mcap", "sqlite3", "demo"]), cut=st.booleans())
def test_a_damaged_bag_never_gives_a_traceback(tmp_path_factory, data, storage: str, cut: bool) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    if storage == "demo":
        path = Path(shutil.copy(DEMO, folder))
    else:
        path = next(
            item for item in make_bag(folder / "bag", storage=storage, count=2).iterdir() if item.suffix != ".yaml"
        )
    raw = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    if cut:
        del raw[at:]
    else:
        length = data.draw(st.integers(1, 64))
        raw[at : at + length] = data.draw(st.binary(min_size=1, max_size=length))
    path.write_bytes(raw)
    try:
        read_all(path)
    except BagError as error:
        assert str(path) in str(error)  # noqa: PT017 (damage in an unused place does no harm)


def test_a_bag_that_exists_is_never_overwritten(bag: Path) -> None:
    with pytest.raises(BagError, match="exists already"):
        BagWriter(bag)
    assert read_all(bag) == 20


def test_what_a_killed_writer_left_is_removed_like_a_bag_and_nothing_else(bag: Path, tmp_path: Path) -> None:
    clear_bag(bag)
    assert not bag.exists()
    killed = BagWriter(bag)
    assert [file.name for file in bag.iterdir()] == [f"{bag.name}.mcap"]
    clear_bag(bag)
    BagWriter(bag)._writer.close()
    del killed
    for place in (tmp_path / "talks", tmp_path / "none"):
        if place.name == "talks":
            place.mkdir()
            (place / "talk.wav").touch()
        clear_bag(place)
    assert (tmp_path / "talks" / "talk.wav").exists()


def test_an_exception_leaves_no_half_written_bag(tmp_path: Path) -> None:
    def failing():
        yield "/e", emotion_to_fields(estimate()), T0
        raise BagError("no more")

    make_bag(tmp_path / "bag")
    with pytest.raises(BagError, match="no more"):
        copy_with_topics(tmp_path / "bag", tmp_path / "out", topics={"/e": EMOTION}, messages=failing())
    assert not (tmp_path / "out").exists()


def test_only_mcap_bags_are_compressed(tmp_path: Path) -> None:
    with pytest.raises(BagError, match="only bags in MCAP"):
        BagWriter(tmp_path / "bag", storage="sqlite3", compress=True)
    assert not (tmp_path / "bag").exists()


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BagError, match="cannot be written"):
        BagWriter(tmp_path / "file" / "bag")


@pytest.fixture(scope="module")
def demo() -> list[tuple[str, int, object]]:
    """(topic, log time, message) of the demo bag."""
    with Bag(DEMO) as opened:
        assert opened.topics == {"/audio": AUDIO, "/skeleton_in": SKELETON}
        return [(message.topic, message.log_ns, message.decode()) for message in opened.messages()]


def test_the_demo_bag_is_small_and_short_and_begins_at_a_round_time(demo) -> None:
    assert DEMO.stat().st_size <= 3e6
    assert demo[-1][1] - demo[0][1] <= 35 * NS_PER_S
    assert audio_from_msg(next(item for topic, _, item in demo if topic == "/audio")).stamp_ns == T0


def test_the_audio_of_the_demo_bag_is_whole_and_holds_speech_of_several_loudnesses_between_silence(demo) -> None:
    chunks = [audio_from_msg(item) for topic, _, item in demo if topic == "/audio"]
    assert all(item.sample_rate == 16000 and item.samples.shape == (1024, 1) for item in chunks)
    assert [item.first_sample for item in chunks] == [1024 * number for number in range(len(chunks))]
    assert all(one.end_ns == other.stamp_ns for one, other in pairwise(chunks))
    level = np.array([np.sqrt(np.mean((item.samples / 32768.0) ** 2)) for item in chunks])
    assert 0 < level.min() < 0.002
    assert level.max() > 0.1
    assert np.abs(np.concatenate([item.samples for item in chunks])).max() < 32767


def test_the_body_of_the_demo_bag_has_dropped_joints_and_one_long_gap(demo) -> None:
    frames = [skeleton_from_msg(item) for topic, _, item in demo if topic == "/skeleton_in"]
    stamps = np.array([frame.stamp_ns for frame in frames])
    gaps = np.diff(stamps) / NS_PER_S
    assert (gaps > 0).all()
    assert 1.4 < gaps.max() < 1.7
    assert np.sort(gaps)[-2] < 0.1
    lost = np.array([np.isnan(frame.positions).any(axis=1) for frame in frames])
    assert 0.01 < lost.mean() < 0.2
    for frame, row in zip(frames, lost, strict=True):
        np.testing.assert_array_equal(frame.confidence == 0, row)
