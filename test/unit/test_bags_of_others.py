"""Bags that the library refuses as a whole, and what is readable in them: of other programs, cut off, damaged."""

from __future__ import annotations

import gzip
import re
import shutil
import sqlite3
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skeleton_messages as given
from full_disk import files_up_to
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from mser_ros.cli.inputs import bag_skeletons, read_bag
from mser_ros.cli.main import main
from mser_ros.errors import BagError, DamagedBagError, NoRoomError
from mser_ros.messages.bag_writer import BagWriter, build_message, copy_with_topics
from mser_ros.messages.bags import Bag, message_types
from mser_ros.messages.conversions import audio_from_msg, audio_to_fields
from mser_ros.settings import MocapSettings
from mser_ros.types import NS_PER_S, AudioChunk

T0 = 1_700_000_000 * NS_PER_S
AUDIO, STRING = "mser_msgs/msg/AudioFrame", "std_msgs/msg/String"
COUNT = 40
SAID = b"\0\1\0\0\2\0\0\0a\0"


def fields(number: int) -> dict[str, object]:
    samples = np.random.default_rng(number).integers(-99, 99, (1024, 1)).astype(np.int16)
    return audio_to_fields(AudioChunk(samples, 16_000, T0 + number * 64_000_000, number * 1024))


def write_mcap(
    path: Path,
    *,
    profile: str = "ros2",
    encoding: str = "ros2msg",
    message_encoding: str = "cdr",
    definition: bytes | None = None,
    beside: Callable[[Writer], None] = lambda writer: None,
    chunk_size: int = 8_000,
) -> Path:
    store = message_types()
    text = store.generate_msgdef(AUDIO, ros_version=2)[0].encode() if definition is None else definition
    with path.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.ZSTD, chunk_size=chunk_size)
        writer.start(profile=profile, library="test")
        beside(writer)
        channel = writer.register_channel("/audio", message_encoding, writer.register_schema(AUDIO, encoding, text))
        for number in range(COUNT):
            raw = bytes(store.serialize_cdr(build_message(AUDIO, fields(number)), AUDIO))
            writer.add_message(channel, T0 + number, raw, T0 + number)
        writer.finish()
    return path


def write_sqlite(folder: Path) -> Path:
    """The file of a bag."""
    with BagWriter(folder, storage="sqlite3") as writer:
        for number in range(COUNT):
            writer.write("/audio", AUDIO, fields(number), T0 + number)
    return next(folder.glob("*.db3"))


def numbers(path: Path) -> tuple[list[int], str]:
    """The numbers of the messages that are read, and the notes."""
    with Bag(path) as bag:
        found = [audio_from_msg(one.decode()).first_sample // 1024 for one in bag.messages(["/audio"])]
        return found, "; ".join(bag.notes)


def of_foxglove(writer: Writer) -> None:
    for topic, encoding in (("/log", "protobuf"), ("/state", "json")):
        schema = writer.register_schema(topic, encoding, b"\x0a\x03abc")
        writer.add_message(writer.register_channel(topic, encoding, schema), T0, b"\x08\x01", T0)
    writer.add_attachment(T0, T0, "map.bin", "application/octet-stream", bytes(5000))


def test_what_other_programs_wrote_beside_takes_nothing_from_the_messages_of_ros_2(tmp_path: Path) -> None:
    found, notes = numbers(write_mcap(tmp_path / "studio.mcap", beside=of_foxglove))
    assert found == list(range(COUNT))
    assert "1 messages of json are left out, 1 messages of protobuf are left out" in notes


@pytest.mark.parametrize("profile", ["", "mine"])
def test_a_file_that_no_recorder_wrote_is_read(tmp_path: Path, profile: str) -> None:
    found, notes = numbers(write_mcap(tmp_path / "other.mcap", profile=profile))
    assert found == list(range(COUNT))
    assert "other.mcap is not as a recorder leaves it" in notes


@pytest.mark.parametrize("encoding", ["ros2msg", "unknown"])
def test_a_definition_that_the_recorder_did_not_find_is_known_here(tmp_path: Path, encoding: str) -> None:
    assert numbers(write_mcap(tmp_path / "bag.mcap", encoding=encoding, definition=b""))[0] == list(range(COUNT))
    file = write_sqlite(tmp_path / "bag")
    with closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE message_definitions SET encoding = ?, encoded_message_definition = ''", (encoding,))
        database.commit()
    assert numbers(file)[0] == list(range(COUNT))


@pytest.mark.parametrize("text", [b"uint64 a\nLost lost\n", b"this is ( no definition", b"float32[ x"])
def test_a_definition_that_nobody_understands_costs_its_own_topic(tmp_path: Path, text: bytes) -> None:
    def other(writer: Writer) -> None:
        channel = writer.register_channel("/px4", "cdr", writer.register_schema("px4_msgs/msg/Odd", "ros2msg", text))
        writer.add_message(channel, T0, bytes(24), T0)

    file = write_mcap(tmp_path / "bag.mcap", beside=other)
    assert numbers(file)[0] == list(range(COUNT))
    assert copy_with_topics(file, tmp_path / "copy", topics={}, messages=()) == ("/px4",)


def test_of_two_things_under_one_name_the_one_of_most_messages_is_read_and_that_is_told(tmp_path: Path) -> None:
    def other(writer: Writer) -> None:
        channel = writer.register_channel("/audio", "cdr", writer.register_schema(STRING, "ros2msg", b"string data\n"))
        for number in range(3):
            writer.add_message(channel, T0 + number, SAID, T0 + number)

    found, notes = numbers(write_mcap(tmp_path / "bag.mcap", beside=other))
    assert found == list(range(COUNT))
    assert f"/audio has {COUNT} messages of {AUDIO} and 3 of {STRING}: only the former are read" in notes


def test_an_index_that_is_wrong_does_not_matter(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "bag.mcap")
    content = bytearray(file.read_bytes())
    content[-28:-20] = struct.pack("<Q", 1234)
    file.write_bytes(content)
    found, notes = numbers(file)
    assert found == list(range(COUNT))
    assert "its messages are read one by one" in notes


def test_a_chunk_that_is_damaged_costs_itself_where_the_index_is_gone(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "bag.mcap")
    content = bytearray(file.read_bytes())
    content[-28:-20] = struct.pack("<Q", 1234)
    content[len(content) // 2 : len(content) // 2 + 8] = b"\xff" * 8
    file.write_bytes(content)
    found, notes = numbers(file)
    assert COUNT - 8 <= len(found) < COUNT
    assert found == sorted(found)
    assert found[-1] == COUNT - 1, "also what comes after it"
    assert "1 parts of it are damaged" in notes


@pytest.mark.parametrize("which", [0, 3])
def test_a_chunk_whose_checksum_is_wrong_costs_itself_and_not_what_comes_after_it(tmp_path: Path, which: int) -> None:
    file = write_mcap(tmp_path / "bag.mcap")
    content = bytearray(file.read_bytes())
    places = [found.start() for found in re.finditer(rb"\x04\0\0\0zstd", content)]
    content[places[which] - 1] ^= 0xFF  # of the checksum, which stands before the name of the compression
    file.write_bytes(content)
    found = []
    with Bag(file) as bag:
        read = (found.append(audio_from_msg(one.decode()).first_sample // 1024) for one in bag.messages(["/audio"]))
        with pytest.raises(DamagedBagError, match="it is damaged"):
            list(read)
    lost = sorted(set(range(COUNT)) - set(found))
    assert found == sorted(set(found))
    assert 0 < len(lost) < COUNT / 4
    assert lost == list(range(lost[0], lost[-1] + 1))
    assert (lost[0] == 0) == (which == 0)
    assert found[-1] == COUNT - 1


def test_messages_of_ros_1_are_named(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "old.mcap", profile="ros1", encoding="ros1msg", message_encoding="ros1")
    with pytest.raises(BagError, match=r"holds messages of ROS 1: convert the bag that it was made of \(pip install"):
        Bag(file)


def test_a_file_that_is_cut_off_within_its_first_messages_is_not_said_to_be_empty(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "bag.mcap", chunk_size=1 << 20)
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BagError, match="is cut off before its first whole message"):
        Bag(file)


def test_of_a_database_that_was_cut_off_what_is_there_is_read(tmp_path: Path) -> None:
    file = write_sqlite(tmp_path / "bag")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) * 2 // 3])
    found, notes = numbers(file)
    assert COUNT // 2 < len(found) < COUNT
    assert found == list(range(len(found)))
    assert "some of its rows are damaged or cut off" in notes
    assert file.read_bytes() == content[: len(content) * 2 // 3], "it is left as it was"


def test_a_database_of_something_else_is_named(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "notes.db3")) as database:
        database.execute("CREATE TABLE notes (line TEXT)")
        database.commit()
    with pytest.raises(BagError, match=r"is a database of something else and no bag: name the \.db3 file of a bag"):
        Bag(tmp_path / "notes.db3")


@pytest.mark.parametrize("name", ["hash#1", "per%20cent", "what?", "quo'te\"", "ünï code"])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_a_bag_is_read_whatever_its_folder_is_named(tmp_path: Path, storage: str, name: str) -> None:
    plain = tmp_path / "bag"
    if storage == "mcap":
        plain.mkdir()
        write_mcap(plain / "bag.mcap")
    else:
        write_sqlite(plain)
    folder = tmp_path / name
    shutil.copytree(plain, folder)
    for path in (folder, next(path for path in folder.iterdir() if path.suffix != ".yaml")):
        assert numbers(path)[0] == list(range(COUNT))


def test_a_file_that_is_missing_between_others_is_told(tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    for number in (0, 2, 5):
        write_mcap(tmp_path / "bag" / f"run_{number}.mcap")
    assert "files between these are missing: 1, 3, 4" in numbers(tmp_path / "bag")[1]


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    files: Iterable[Path] = (write_mcap(tmp_path / "a.mcap", profile=""), write_sqlite(tmp_path / "b"))
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2] if file.suffix == ".db3" else content)
        numbers(file)
    assert not list((tmp_path / "scratch").iterdir())


def unfinished(folder: Path) -> Path:
    file = write_mcap(folder / "a.mcap")
    file.write_bytes(file.read_bytes()[:-200])
    return file


def other_writer(folder: Path) -> Path:
    return write_mcap(folder / "a.mcap", profile="")


def damaged(folder: Path) -> Path:
    """Only in the middle, so that it is found on the way."""
    file = write_mcap(folder / "a.mcap")
    content = bytearray(file.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = bytes(50)
    file.write_bytes(content)
    return file


def of_sqlite(folder: Path) -> Path:
    file = write_sqlite(folder / "bag")
    file.write_bytes(file.read_bytes()[:-8192])
    return file


def packed(folder: Path) -> Path:
    file = write_mcap(folder / "a.mcap")
    (folder / "a.mcap.gz").write_bytes(gzip.compress(file.read_bytes()))
    return folder / "a.mcap.gz"


def logged(folder: Path) -> Path:
    """With messages in SQLite's log, as the connection that would merge them ends after the copy was made."""
    file = write_sqlite(folder / "bag")
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("UPDATE messages SET timestamp = timestamp + 1")
        database.commit()
        (folder / "copy").mkdir()
        for one in file.parent.glob("*.db3*"):
            shutil.copy(one, folder / "copy")
    return folder / "copy" / file.name


@pytest.mark.parametrize("make", [unfinished, other_writer, damaged, of_sqlite, packed, logged])
@pytest.mark.parametrize("beside", [False, True])
def test_a_bag_for_whose_copy_there_is_no_room_is_refused_with_the_cure_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], Path], beside: bool
) -> None:
    """Also as a file among others, which would be left out if it could not be read for another reason."""
    (tmp_path / "scratch").mkdir()
    (tmp_path / "made").mkdir()
    file = make(tmp_path / "made")
    if beside:
        (tmp_path / "bag").mkdir()
        for one in file.parent.glob(f"{file.name}*"):
            shutil.copy(one, tmp_path / "bag" / one.name.replace(file.name, f"run_1{''.join(file.suffixes)}"))
        writes = (
            write_mcap if ".mcap" in file.suffixes else lambda path: shutil.copy(write_sqlite(tmp_path / "b"), path)
        )
        writes(tmp_path / "bag" / f"run_0{file.suffix.replace('.gz', '.mcap')}")
        file = tmp_path / "bag"
    with suppress(DamagedBagError):  # which is raised at the end of what can be read
        assert len(numbers(file)[0]) >= COUNT // 2
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    with files_up_to(20_000), pytest.raises(NoRoomError, match=r"no room in .*scratch: make room there, .* TMPDIR"):
        numbers(file)
    assert not list((tmp_path / "scratch").iterdir())


def test_a_copy_that_has_no_room_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the size of a file with a hole, which needs no room itself."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    file = write_mcap(tmp_path / "a.mcap")
    with file.open("r+b") as stream:
        stream.truncate(shutil.disk_usage(tmp_path).total + (1 << 30))
    with pytest.raises(NoRoomError, match="can only be read from a copy"):
        Bag(file)
    assert not list((tmp_path / "scratch").iterdir())


def test_nothing_is_left_of_a_bag_that_a_full_disk_did_not_take(tmp_path: Path) -> None:
    file = write_mcap(tmp_path / "a.mcap")
    with files_up_to(20_000), pytest.raises(OSError, match="large"):
        copy_with_topics(file, tmp_path / "copy", topics={}, messages=())
    assert not (tmp_path / "copy").exists()


def foreign_store(package: str) -> Typestore:
    """The types of ROS 2, and those of a folder of test/foreign."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in sorted((Path(__file__).parents[1] / "foreign" / package).glob("*/msg/*.msg")):
        types |= get_types_from_msg(path.read_text(), f"{path.parts[-3]}/msg/{path.stem}")
    store.register({name: kind for name, kind in types.items() if name not in store.fielddefs})
    return store


def write_humble(path: Path, kind: str, messages: Sequence[dict[str, Any]], store: Typestore) -> Path:
    """As the recorder of Humble does by default: SQLite, without any definition."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            "CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);"
            "INSERT INTO schema VALUES (3, 'humble');"
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,"
            " serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);"
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,"
            " data BLOB NOT NULL);"
        )
        database.execute("INSERT INTO topics VALUES (1, '/topic', ?, 'cdr', '')", (kind,))
        for number, values in enumerate(messages):
            raw = bytes(store.serialize_cdr(build_message(kind, values, store), kind))
            database.execute("INSERT INTO messages VALUES (?, 1, ?, ?)", (number, T0 + number * NS_PER_S // 30, raw))
        database.commit()
    return path


@pytest.mark.parametrize(
    ("package", "kind", "layout", "make"),
    [
        ("hri", "hri_msgs/msg/Skeleton2D", "hri18", given.skeleton_2d),
        ("skeletons", "zed_msgs/msg/ObjectsStamped", "zed34", partial(given.objects, body_format=1)),
        ("skeletons", "zed_interfaces/msg/ObjectsStamped", "zed34", partial(given.objects, body_format=1)),
        ("skeletons", "nuitrack_msgs/msg/SkeletonDataArray", "nuitrack", given.skeleton_data_array),
        ("skeletons", "mocap4r2_msgs/msg/Markers", "egait16", partial(given.markers, layout="egait16")),
    ],
)
def test_bodies_of_other_packages_are_read_from_a_bag_of_humble_that_defines_no_types(
    tmp_path: Path, package: str, kind: str, layout: str, make: Callable[..., Any]
) -> None:
    messages = [make(T0 + number, given.body_of(layout, number)) for number in range(5)]
    bag = write_humble(tmp_path / "bag.db3", kind, messages, foreign_store(package))
    frames = list(bag_skeletons(bag, "/topic", MocapSettings(layout="egait16") if layout == "egait16" else None))
    assert [frame.layout for frame in frames] == [layout] * 5
    for number, frame in enumerate(frames):
        np.testing.assert_allclose(frame.positions, given.body_of(layout, number), rtol=1e-4, atol=1e-4)
    assert copy_with_topics(bag, tmp_path / "copy", topics={}, messages=()) == ()


@pytest.mark.parametrize("package", ["zed_msgs", "zed_interfaces"])
def test_bodies_of_an_older_zed_are_read_from_a_bag_that_defines_no_types_and_defined_in_its_copy(
    tmp_path: Path, package: str
) -> None:
    """zed_msgs knew no confidences first, zed_interfaces had room for 34 keypoints, and called BODY_34 the format 2."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for path in sorted((Path(__file__).parents[1] / "foreign" / "skeletons" / package / "msg").glob("*.msg")):
        text = path.read_text().replace("float32[70] skeleton_keypoint_confidence", "")
        if package == "zed_interfaces":
            text = text.replace("[70]", "[34]")
        types |= get_types_from_msg(text, f"{package}/msg/{path.stem}")
    store.register(types)
    is_old, kind = package == "zed_interfaces", f"{package}/msg/ObjectsStamped"
    messages = [given.objects(T0 + number, given.body_of("zed34", number), 1 + is_old) for number in range(5)]
    for message in messages:
        del message["objects"][0]["skeleton_3d"]["keypoints"][34 if is_old else 70 :]
    bag = write_humble(tmp_path / "bag.db3", kind, messages, store)
    assert copy_with_topics(bag, tmp_path / "copy", topics={}, messages=()) == ()
    for path in (bag, tmp_path / "copy"):
        frames = list(bag_skeletons(path, "/topic"))
        assert [frame.layout for frame in frames] == ["zed34"] * 5
        for number, frame in enumerate(frames):
            np.testing.assert_allclose(frame.positions, given.body_of("zed34", number), rtol=1e-4, atol=1e-4)
        assert main(["doctor", str(path)]) == 0


@pytest.mark.parametrize(
    ("package", "kind"),
    [
        ("audio_drivers", "audio_common_msgs/msg/AudioData"),
        ("audio_drivers", "audio_common_msgs/msg/AudioDataStamped"),
        ("audio_mgonzs13", "audio_common_msgs/msg/AudioStamped"),
    ],
)
def test_sound_of_other_packages_is_read_from_a_bag_of_humble_that_defines_no_types(
    tmp_path: Path, package: str, kind: str
) -> None:
    sound = np.arange(-400, 400, dtype=np.int16)
    content = np.frombuffer(sound.tobytes(), np.uint8)
    values: dict[str, Any] = {
        "audio_common_msgs/msg/AudioData": {"data": content},
        "audio_common_msgs/msg/AudioDataStamped": {"audio": {"data": content}},
        "audio_common_msgs/msg/AudioStamped": {
            "audio": {"audio_data": {"int16_data": sound}, "info": {"rate": 16_000, "channels": 1}}
        },
    }[kind]
    with Bag(write_humble(tmp_path / "bag.db3", kind, [values] * 3, foreign_store(package))) as bag:
        chunks = [item.load() for item in read_bag(bag, "", "")[0]]
    assert len(chunks) == 3
    for chunk in chunks:
        assert isinstance(chunk, AudioChunk)
        np.testing.assert_array_equal(chunk.samples[:, 0], sound)


def test_a_type_that_nobody_defines_is_not_called_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(get_types_from_msg("uint8 a", "my_msgs/msg/Mine"))
    bag = write_humble(tmp_path / "bag.db3", "my_msgs/msg/Mine", [{"a": 1}], store)
    assert main(["doctor", str(bag)]) == 0
    told = capsys.readouterr().out
    assert "holds no definition of my_msgs/msg/Mine, and nothing here knows it: convert it to MCAP" in told
    assert "damaged" not in told
