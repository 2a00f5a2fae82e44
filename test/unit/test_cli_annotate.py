"""`mser annotate`: recordings become tables, a picture and a bag; what cannot be used is one sentence."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from annotations import (
    AUDIO,
    DEMO,
    Annotate,
    annotator,
    conversation,
    finals_of,
    records_of,
    seconds,
    sounds_of,
    write_bag,
    write_sound,
)
from fakes_bundle import write_tiny_bundle
from full_disk import files_up_to
from mocap_poses import pose_of
from pages import parse, text_of

from mser_ros.cli import inputs
from mser_ros.cli.annotation_choices import Choices
from mser_ros.cli.archive import Row
from mser_ros.cli.main import main
from mser_ros.cli.params import as_yaml
from mser_ros.labels import LABELS
from mser_ros.messages.bag_writer import BagWriter
from mser_ros.messages.bags import Bag
from mser_ros.messages.conversions import audio_to_fields, to_fields
from mser_ros.mocap.layouts import get_layout
from mser_ros.settings import SpeechSettings
from mser_ros.stages.oddities import oddities
from mser_ros.testing import FakeTranscriber
from mser_ros.types import AudioChunk

# -- bags


def test_a_bag_for_foxglove_is_read_by_its_own_library(annotate: Annotate, tmp_path: Path, speech: np.ndarray) -> None:
    reader = pytest.importorskip("mcap_ros2.reader", reason="mcap-ros2-support is missing: call 'make setup-dev'")
    soundfile.write(tmp_path / "talk.wav", conversation(speech, 2), 16000)
    assert annotate(tmp_path / "talk.wav", "--mcap", out=tmp_path / "out") == 0
    found = list(reader.read_ros2_messages(tmp_path / "out" / "annotated" / "annotated.mcap"))
    times = [message.log_time_ns for message in found]
    assert times == sorted(times)
    by_topic: dict[str, list[Any]] = {}
    for message in found:
        assert message.schema.encoding == "ros2msg"
        by_topic.setdefault(f"{message.channel.topic} {message.schema.name}", []).append(message.ros_msg)
    sound = by_topic.pop("/sound foxglove_msgs/msg/RawAudio")
    emotions, states = by_topic.pop("/emotion mser_msgs/msg/Emotion"), by_topic.pop("/state mser_msgs/msg/EmotionState")
    assert not by_topic
    assert {(item.format, item.sample_rate, item.number_of_channels) for item in sound} == {("pcm-s16", 16000, 1)}
    heard = np.frombuffer(b"".join(bytes(item.data) for item in sound), "<i2")
    np.testing.assert_array_equal(heard, conversation(speech, 2))
    assert [item.timestamp.sec for item in sound[:2]] == [0, 0]
    assert sound[1].timestamp.nanosec == len(sound[0].data) // 2 * 10**9 // 16000
    records = records_of(tmp_path / "out")
    for emotion, record in zip(emotions, records, strict=True):
        assert dict(zip(emotion.labels, emotion.probabilities, strict=True)) == pytest.approx(
            record["probabilities"], abs=1e-5
        )
        assert [item.modality for item in emotion.evidence] == ["speech", "text", "mocap"]
    assert all(list(item.labels) == list(LABELS) and len(item.probabilities) == 4 for item in states)
    assert len(states) > 5


def test_what_is_not_told_is_not_heard_in_a_bag_either(annotate: Annotate, tmp_path: Path, speech: np.ndarray) -> None:
    soundfile.write(tmp_path / "talk.wav", speech, 16000)
    assert annotate(tmp_path / "talk.wav", "--mcap", "--no-transcripts", out=tmp_path / "out") == 0
    with Bag(tmp_path / "out" / "annotated") as made:
        assert set(made.topics) == {"/emotion", "/state"}


def test_a_topic_of_the_robot_that_has_the_name_of_ours_stays_in_the_copy(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "first", speech)
    with Bag(bag) as source, BagWriter(tmp_path / "bag") as writer:
        for message in source.messages():
            writer.write(message.topic, message.type_name, to_fields(message.decode()), message.log_ns)
        writer.write("/state", "std_msgs/msg/String", {"data": "charging"}, message.log_ns)
    assert annotate(tmp_path / "bag", out=tmp_path / "out") == 0
    assert "/state is not in the copy: the bag has another topic of that name" in capsys.readouterr().out
    with Bag(tmp_path / "out" / "annotated") as copy:
        assert [message.decode().data for message in copy.messages(["/state"])] == ["charging"]
        assert copy.topics["/emotion"] == "mser_msgs/msg/Emotion"


def test_a_bag_that_is_named_by_a_dot_has_its_name_in_the_picture(
    annotate: Annotate, two_sentences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(two_sentences)
    assert annotate(Path("."), out=tmp_path / "out") == 0
    assert f"('{two_sentences.name}', " in (tmp_path / "out" / "timeline.png").read_text()


def test_a_bag_of_sound_alone_is_annotated(annotate: Annotate, tmp_path: Path, speech: np.ndarray) -> None:
    assert annotate(write_bag(tmp_path / "bag", speech), out=tmp_path / "out") == 0
    (final,) = finals_of(tmp_path / "out")
    assert [item["available"] for item in final["evidence"]] == [True, False, False]


@pytest.mark.parametrize("counts", [True, False])
def test_audio_without_stamps_has_those_of_its_receipt(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, counts: bool
) -> None:
    for name, stamps in (("stamped", True), ("unstamped", False)):
        bag = write_bag(tmp_path / name / "bag", speech, stamps=stamps, counts=counts)
        assert annotate(bag, out=tmp_path / name / "out") == 0
    for file in ("emotions.jsonl", "emotions.csv", "timeline.png"):
        stamped, unstamped = (tmp_path / name / "out" / file for name in ("stamped", "unstamped"))
        assert unstamped.read_bytes() == stamped.read_bytes()


def test_a_bag_whose_messages_were_all_logged_at_time_0_is_read(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray
) -> None:
    """Other programs than a recorder may not fill in the log time."""
    with BagWriter(tmp_path / "bag") as writer:
        for first in range(0, len(speech), 1024):
            samples = speech[first : first + 1024, None]
            fields = audio_to_fields(AudioChunk(samples, 16_000, 10**18 + first * 62_500, first))
            writer.write("/audio", AUDIO, fields, 0)
    assert annotate(tmp_path / "bag", out=tmp_path / "out") == 0
    assert len(finals_of(tmp_path / "out")) == 1


def test_of_several_topics_one_is_to_be_chosen(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = write_bag(tmp_path / "bag", speech, topics=("/left", "/right"))
    assert annotate(bag, out=tmp_path / "out") == 1
    assert "choose one of /left, /right with --audio-topic" in capsys.readouterr().err
    assert annotate(bag, "--audio-topic", "/right", out=tmp_path / "out") == 0


def test_what_the_nodes_passed_on_is_not_taken_for_the_input(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray
) -> None:
    bag = write_bag(tmp_path / "bag", speech, topics=("/robot/audio", "/robot/voice"))
    assert annotate(bag, out=tmp_path / "out") == 0
    assert len(finals_of(tmp_path / "out")) == 1


def test_messages_that_make_no_sense_are_dropped_and_counted(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for first in range(0, len(speech), 1024):
            chunk = AudioChunk(speech[first : first + 1024, None], 16000, first * 62500 + 10**9, first)
            fields = audio_to_fields(chunk)
            writer.write("/audio", AUDIO, fields, chunk.end_ns)
            if first % 10240 == 0:
                writer.write("/audio", AUDIO, fields | {"channels": 0}, chunk.end_ns)
    assert annotate(tmp_path / "bag", out=tmp_path / "out") == 0
    assert "dropped 8 x: audio with 1024 samples in 0 channels" in capsys.readouterr().out
    assert len(finals_of(tmp_path / "out")) == 1


# -- sound files


@pytest.mark.parametrize(
    ("name", "rate", "channels"), [("a.wav", 16000, 1), ("b.wav", 8000, 2), ("c.flac", 48000, 1), ("d.ogg", 44100, 2)]
)
def test_sound_files_of_any_kind_are_annotated(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, name: str, rate: int, channels: int
) -> None:
    out = tmp_path / "out"
    assert annotate(write_sound(tmp_path / name, speech, rate=rate, channels=channels), out=out) == 0
    (final,) = finals_of(out)
    assert seconds(final["speech_start"]) == pytest.approx(0.85, abs=0.15)
    assert seconds(final["speech_end"]) == pytest.approx(4.3, abs=0.2)
    assert {path.name for path in out.iterdir()} == {"emotions.jsonl", "emotions.csv", "timeline.png"}


def test_recordings_that_were_appended_to_an_ogg_file_are_all_heard(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rate in (("one", 16000), ("other", 8000)):
        soundfile.write(tmp_path / name, speech[:: 16000 // rate], rate, format="OGG", subtype="VORBIS")
    one, other = ((tmp_path / name).read_bytes() for name in ("one", "other"))
    (tmp_path / "chain.ogg").write_bytes(one + one)
    (tmp_path / "changes.ogg").write_bytes(one + one + other)
    assert annotate(tmp_path / "chain.ogg", out=tmp_path / "out") == 0
    assert [seconds(record["speech_start"]) // 5 for record in finals_of(tmp_path / "out")] == [0.0, 1.0]
    assert "note" not in capsys.readouterr().out
    assert annotate(tmp_path / "changes.ogg", out=tmp_path / "out2") == 0
    assert len(finals_of(tmp_path / "out2")) == 2
    assert "holds 3 recordings, of which the first 2 are read" in " ".join(capsys.readouterr().out.split())
    soundfile.write(tmp_path / "both", np.stack([speech] * 2, 1), 16000, format="OGG", subtype="VORBIS")
    (tmp_path / "channels.ogg").write_bytes(one + (tmp_path / "both").read_bytes())
    assert annotate(tmp_path / "channels.ogg", out=tmp_path / "out3") == 0
    assert [seconds(record["speech_start"]) // 5 for record in finals_of(tmp_path / "out3")] == [0.0, 1.0]
    assert "note" not in capsys.readouterr().out


def test_a_pipe_is_not_waited_for(annotate: Annotate, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("pipe.wav", "pipe.mcap"):
        os.mkfifo(tmp_path / name)
        assert annotate(tmp_path / name, out=tmp_path / "out") == 1
        assert "is no file that can be read" in sentence(capsys)


def test_a_disk_that_is_full_is_one_sentence(
    annotate: Annotate,
    two_sentences: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("mser_ros.cli.annotation_work.write_csv", full)
    assert annotate(two_sentences, out=tmp_path / "out") == 1
    assert "make room, or name another folder" in sentence(capsys)


def test_a_copy_of_a_bag_for_which_there_is_no_room_leaves_the_results_and_nothing_of_itself(
    annotate: Annotate, two_sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As on a stick in FAT32 that takes files of up to 4 GB."""
    with files_up_to(200_000):
        assert annotate(two_sentences, out=tmp_path / "out") == 1
    assert "make room, or name another folder" in sentence(capsys)
    assert not (tmp_path / "out" / "annotated").exists()
    assert len(finals_of(tmp_path / "out")) == 2


def write_motion(path: Path) -> Path:
    joints = np.repeat(pose_of("egait16")[None], 150, axis=0)
    np.savez(path, joints=joints, layout="egait16", rate_hz=30.0)
    return path


def test_bodies_of_a_wrong_size_are_one_sentence(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys
) -> None:
    """Not one for each centimetre by which they differ."""
    scale = 3.28 * (1 + 0.02 * np.sin(np.arange(150)))[:, None, None]
    np.savez(tmp_path / "a.npz", joints=pose_of("egait16")[None] * scale, layout="egait16", rate_hz=30.0)
    sound = write_sound(tmp_path / "a.wav", speech)
    assert annotate(sound, "--skeleton", str(tmp_path / "a.npz"), out=tmp_path / "out") == 0
    assert capsys.readouterr().out.count("is its unit the one that the layout says?") == 1


@pytest.mark.parametrize("name", ["talk [take].wav", "talk [dim] x.wav", "take :smile: 0:a:1.wav"])
def test_a_name_is_printed_as_it_is(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Brackets and colons are marks of a style to the library that prints."""
    content = write_sound(tmp_path / name, speech).read_bytes()
    (tmp_path / name).write_bytes(content[:-1000])
    out = tmp_path / f"[{name}" / "b]"  # [.../b] ends what never began
    assert annotate(tmp_path / name, out=out) == 0
    printed = capsys.readouterr().out
    assert f"note: {name} is cut off" in printed
    assert f"→ {out} (" in printed


def test_a_skeleton_file_goes_with_a_sound_file(annotate: Annotate, tmp_path: Path, speech: np.ndarray) -> None:
    sound, motion = write_sound(tmp_path / "a.wav", speech), write_motion(tmp_path / "a.npz")
    assert annotate(sound, "--skeleton", str(motion), out=tmp_path / "out") == 0
    (final,) = finals_of(tmp_path / "out")
    assert [item["available"] for item in final["evidence"]] == [True, False, True]


def test_the_layout_of_a_skeleton_file_that_names_none_is_told_by_an_option(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray
) -> None:
    sound = write_sound(tmp_path / "a.wav", speech)
    np.savez(tmp_path / "a.npz", joints=np.repeat(pose_of("egait16")[None], 150, axis=0), rate_hz=30.0)
    told = ("--skeleton", str(tmp_path / "a.npz"))
    assert annotate(sound, *told, out=tmp_path / "none") == 1
    assert annotate(sound, *told, "--layout", "egait16", out=tmp_path / "out") == 0
    (final,) = finals_of(tmp_path / "out")
    assert [item["available"] for item in final["evidence"]] == [True, False, True]


def test_what_is_mended_of_a_motion_file_is_a_note_of_one_line_each(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pixels; and an option that names the axis and the unit of a file."""
    sound = write_sound(tmp_path / "a.wav", speech)
    pixels = np.repeat(pose_of("coco17")[None] * (640, 480), 150, axis=0)
    np.savez(tmp_path / "a.npz", joints=pixels, layout="coco17", rate_hz=30.0)
    assert annotate(sound, "--skeleton", str(tmp_path / "a.npz"), out=tmp_path / "out") == 0
    assert capsys.readouterr().out.count("pixels") == 1
    turned = np.repeat(3.28 * pose_of("egait16")[None][..., [2, 0, 1]], 150, axis=0)
    np.savez(tmp_path / "b.npz", joints=turned, layout="egait16", rate_hz=30.0)
    told = ("--skeleton", str(tmp_path / "b.npz"), "--up", "z", "--unit", "ft")
    assert annotate(sound, *told, out=tmp_path / "told") == 0
    assert "note: " not in capsys.readouterr().out
    (final,) = finals_of(tmp_path / "told")
    assert [item["available"] for item in final["evidence"]] == [True, False, True]


# -- what cannot be used


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that was said."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mser: ")
    assert err.count("\n") == 1
    assert ": " in err.removeprefix("mser: "), "a cure follows the colon"
    return err


BAD: dict[str, tuple[Callable[[Path, np.ndarray], tuple[Path, tuple[str, ...]]], str]] = {
    "no such sound": (lambda tmp, _: (tmp / "nowhere.wav", ()), "there is no sound file"),
    "standard input": (lambda tmp, _: (Path("-"), ()), "'-' is no file that can be read: store in one what it gives"),
    "an address": (
        lambda tmp, _: (Path("https://example.com/a.wav"), ()),
        "is an address and no file: bring it here (curl -O, or ffmpeg -i), and name that file",
    ),
    "no such bag": (lambda tmp, _: (tmp / "nowhere.mcap", ()), "there is no bag"),
    "a text as sound": (lambda tmp, _: (text(tmp / "a.wav"), ()), "is text and no sound"),
    "a text as bag": (lambda tmp, _: (text(tmp / "a.mcap"), ()), "is text and no bag"),
    "a text as another bag": (lambda tmp, _: (text(tmp / "a.db3"), ()), "is text and no bag"),
    "a text of another name": (lambda tmp, _: (text(tmp / "a.txt"), ()), "is text and no sound"),
    "an empty sound": (lambda tmp, s: (write_sound(tmp / "a.wav", s[:0]), ()), "holds no audio"),
    "an empty file": (lambda tmp, _: (empty(tmp / "a.wav"), ()), "is empty: record it again"),
    "a folder that is no bag": (lambda tmp, _: (tmp, ()), "there is no recording in"),
    "a bag that just began": (
        lambda tmp, _: (truncated(tmp / "a.mcap", 2_000), ()),
        "is cut off before its first whole message",
    ),
    "silence": (lambda tmp, s: (write_sound(tmp / "a.wav", np.zeros_like(s)), ()), "is silent, -100 dB at its loudest"),
    "nobody speaks": (lambda tmp, s: (write_sound(tmp / "a.wav", s[:8000]), ()), "nobody speaks in"),
    "nobody speaks in the bag": (lambda tmp, s: (write_bag(tmp / "bag", s[:8000]), ()), "nobody speaks in"),
    "nothing in the bag makes sense": (
        lambda tmp, s: (write_bag(tmp / "bag", s, rate=500), ()),
        "can be used: audio with sample_rate 500",
    ),
    "another topic": (lambda tmp, s: (write_bag(tmp / "bag", s), ("--audio-topic", "/mic")), "has no topic /mic"),
    "a topic of another type": (
        lambda tmp, _: (DEMO, ("--audio-topic", "/skeleton_in")),
        "is of type mser_msgs/msg/Skeleton",
    ),
    "a bag of other topics": (lambda tmp, _: (foreign(tmp / "bag"), ()), "has no topic of type"),
    "a skeleton beside a bag": (lambda tmp, _: (DEMO, ("--skeleton", "a.npz")), "--skeleton goes with a sound file"),
    "no such skeleton": (
        lambda tmp, s: (write_sound(tmp / "a.wav", s), ("--skeleton", str(tmp / "nowhere.npz"))),
        "there is no motion file",
    ),
    "a sound as skeleton": (
        lambda tmp, s: (write_sound(tmp / "a.wav", s), ("--skeleton", str(tmp / "a.wav"))),
        "is no motion file",
    ),
    "a table as skeleton": (
        lambda tmp, s: (write_sound(tmp / "a.wav", s), ("--skeleton", str(text(tmp / "a.csv")))),
        "export it as .bvh, or store its positions as 'joints', of shape (frames, joints, 2 or 3), in an .npz",
    ),
    "a motion file alone": (
        lambda tmp, _: (motion(tmp / "a.npz"), ()),
        "holds motion and no sound: name it by --skeleton",
    ),
    "a motion file as text alone": (
        lambda tmp, _: (text(tmp / "walk.BVH"), ()),
        "holds motion and no sound: name it by --skeleton",
    ),
    "a picture": (
        lambda tmp, _: (picture(tmp / "a.jpg"), ()),
        "is a picture, and no sound: name a sound or a film; pictures are seen by 'mser pose'",
    ),
    "vosk without a model": (
        lambda tmp, s: (write_sound(tmp / "a.wav", s), ("--asr", "vosk")),
        "--asr vosk needs a model: name the folder of a downloaded Vosk model by --asr-model",
    ),
}


def test_a_bag_that_was_cut_off_is_annotated_as_far_as_it_goes(
    annotate: Annotate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = truncated(tmp_path / "a.mcap", DEMO.stat().st_size * 2 // 3)
    assert annotate(bag, out=tmp_path / "out") == 0
    out = capsys.readouterr().out
    assert "note: the recorder of a.mcap did not finish" in out
    assert 2 <= len((tmp_path / "out" / "emotions.csv").read_text().splitlines()) - 1 <= 5
    with Bag(tmp_path / "out" / "annotated") as copy:
        assert "/emotion" in copy.topics


def text(path: Path) -> Path:
    path.write_text("this is no recording\n" * 100)
    return path


def motion(path: Path) -> Path:
    np.savez(path, joints=pose_of("egait16")[None], layout="egait16", rate_hz=30.0)
    return path


def picture(path: Path) -> Path:
    """As a JPEG begins; the rest does not matter."""
    path.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(500))
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def truncated(path: Path, size: int) -> Path:
    path.write_bytes(DEMO.read_bytes()[:size])
    return path


def foreign(path: Path) -> Path:
    with BagWriter(path) as writer:
        writer.write("/chatter", "std_msgs/msg/String", {"data": "hello"}, 1)
    return path


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_1(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, why = BAD[case]
    source, options = make(tmp_path, speech)
    assert annotate(source, *options, out=tmp_path / "out") == 1
    assert why in sentence(capsys)
    assert not (tmp_path / "out").exists(), "no results that could be taken for some"


def test_a_place_that_cannot_be_written_is_one_sentence(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = write_sound(tmp_path / "a.wav", speech)
    for out in (sound, sound / "below"):
        assert annotate(sound, out=out) == 1
        assert "cannot be a folder, a file is in its place: name another one" in sentence(capsys)
    (tmp_path / "link").symlink_to(tmp_path / "link")
    assert annotate(sound, out=tmp_path / "link" / "below") == 1
    assert "check the path and its permissions" in sentence(capsys)


OF_BAGS = (
    ("--audio-topic", "/audio"),
    ("--skeleton-topic", "/poses"),
    ("--audio-format", "S16LE,16000,1"),
    ("--joints", "nose"),
    ("--aspect", "1.5"),
    ("--tf-pattern", "{joint}"),
)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        *((options, "a bag, and {source} is none") for options in OF_BAGS),
        (("--layout", "egait16"), "a bag or a --skeleton file"),
        (("--up", "z"), "a --skeleton file"),
        (("--unit", "ft"), "a --skeleton file"),
    ],
)
def test_an_option_that_can_have_no_effect_is_refused(
    annotate: Annotate,
    tmp_path: Path,
    speech: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, str],
    why: str,
) -> None:
    sound = write_sound(tmp_path / "a.wav", speech)
    assert annotate(sound, *options, out=tmp_path / "out") == 1
    assert sentence(capsys) == f"mser: {options[0]} goes with {why.format(source=sound)}: leave it away\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "why"),
    [(("--up", "z"), "a --skeleton file"), (("--unit", "ft"), "a --skeleton file"), (("--no-bodies",), "a film")],
)
def test_an_option_of_files_is_refused_beside_a_bag(
    annotate: Annotate, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], why: str
) -> None:
    assert annotate(DEMO, *options, out=tmp_path / "out") == 1
    assert sentence(capsys) == f"mser: {options[0]} goes with {why}: leave it away\n"
    assert not (tmp_path / "out").exists()


def test_an_archive_takes_the_options_of_all_kinds_that_are_in_it(
    annotate: Annotate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And of no others."""
    monkeypatch.setattr("mser_ros.cli.annotate.annotate_all", lambda *_, **__: iter([Row("a.wav")]))
    for name in ("a.wav", "b.wav", "c.mcap"):
        (tmp_path / name).touch()
    options = ("--joints", "nose", "--aspect", "1.5", "--no-bodies")
    assert annotate(tmp_path / "a.wav", str(tmp_path / "b.wav"), *options, out=tmp_path / "out") == 1
    none = "a bag, which none of these recordings is"
    assert sentence(capsys) == f"mser: --joints and --aspect go with {none}: leave them away\n"
    assert annotate(tmp_path / "a.wav", str(tmp_path / "c.mcap"), *options, out=tmp_path / "out") == 0


def test_a_layout_that_nobody_knows_is_told_with_one_of_a_like_name(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotate(write_sound(tmp_path / "a.wav", speech), "--layout", "egait", out=tmp_path / "out") == 1
    assert "egait16" in sentence(capsys)
    assert not (tmp_path / "out").exists()


def test_the_language_is_chosen_for_the_recogniser() -> None:
    assert Choices(asr_language="pl").speech.asr.language == "pl"
    assert Choices().speech == SpeechSettings()


def test_a_recording_is_judged_by_the_parameters_of_the_robot(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray
) -> None:
    sound = write_sound(tmp_path / "a.wav", speech)
    params = tmp_path / "mine.yaml"
    params.write_text(as_yaml().replace("neutral_share: 0.25", "neutral_share: 0.9"))
    assert annotate(sound, out=tmp_path / "even") == 0
    assert annotate(sound, "--params-file", str(params), "--html", out=tmp_path / "mostly_neutral") == 0
    even, mostly = (finals_of(tmp_path / name) for name in ("even", "mostly_neutral"))
    assert len(even) == len(mostly) == 1
    assert mostly[0]["probabilities"]["neutral"] > even[0]["probabilities"]["neutral"]
    page = text_of(parse(tmp_path / "mostly_neutral" / "report.html"))
    assert "params.emotion.neutral_share" in page
    assert "params.emotion.threads" not in page, "only what differs is told"


def test_a_parameter_file_may_withhold_what_was_said_and_options_outweigh_it(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mser_ros.cli.annotation.create_transcriber", lambda *_: FakeTranscriber("glad"))
    sound = write_sound(tmp_path / "a.wav", speech)
    params = tmp_path / "mine.yaml"
    params.write_text("/**/emotion: {ros__parameters: {transcripts: false}}")
    assert annotate(sound, "--params-file", str(params), out=tmp_path / "out") == 0
    assert [record["transcript"] for record in finals_of(tmp_path / "out")] == [""]
    assert annotate(sound, "--params-file", str(params), "--transcripts", out=tmp_path / "out") == 0
    assert "glad" in finals_of(tmp_path / "out")[0]["transcript"]


def test_words_that_the_model_of_words_does_not_know_are_told_of(
    annotate: Annotate,
    tmp_path: Path,
    speech: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    polish = FakeTranscriber("się")
    polish.language = "pl"
    monkeypatch.setattr("mser_ros.cli.annotation.create_transcriber", lambda *_: polish)
    sound = write_sound(tmp_path / "a.wav", speech)
    assert annotate(sound, "--asr-language", "pl", out=tmp_path / "out") == 0
    assert (
        "note: the words of 1 utterance did not count, as the model of words knows en alone" in capsys.readouterr().out
    )
    with (tmp_path / "out" / "emotions.csv").open("rb") as stream:
        assert stream.read().startswith("\ufeffutterance_id".encode()), "Excel spoils letters else"


def test_words_that_seem_invented_are_told_of() -> None:
    assert oddities({"rejected_texts": 0}) == []
    (sentence,) = oddities({"rejected_texts": 3})
    assert sentence.startswith("3 times words were left out")
    assert "--asr-language" in sentence


def test_a_missing_bundle_is_one_sentence(
    tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = write_sound(tmp_path / "a.wav", speech)
    assert main(["annotate", str(sound), "-o", str(tmp_path / "out"), "--bundle", str(tmp_path / "nowhere")]) == 1
    assert "there is no bundle folder" in sentence(capsys)


def test_the_output_folder_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", str(DEMO)]) == 2
    assert "Missing option '-o'" in capsys.readouterr().err


def test_results_of_an_earlier_run_are_kept_where_the_new_one_fails(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray
) -> None:
    out = tmp_path / "out"
    assert annotate(write_bag(tmp_path / "bag", speech), out=out) == 0
    before = (out / "emotions.jsonl").read_text()
    assert annotate(tmp_path / "nowhere.mcap", out=out) == 1
    assert (out / "emotions.jsonl").read_text() == before
    assert (out / "annotated").is_dir()


@pytest.mark.parametrize("inside", ["", "annotated.mcap"])
def test_a_recording_is_never_overwritten_by_its_own_results(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str], inside: str
) -> None:
    bag = write_bag(tmp_path / "annotated", speech)
    assert annotate(bag / inside, out=tmp_path) == 1
    assert "name another folder with -o" in sentence(capsys)
    assert Bag(bag).message_count


def test_a_folder_that_is_no_earlier_result_is_left_alone(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    text(empty_folder(tmp_path / "out" / "annotated") / "diary.txt")
    assert annotate(write_bag(tmp_path / "bag", speech), out=tmp_path / "out") == 1
    assert "annotated exists already" in capsys.readouterr().err
    assert (tmp_path / "out" / "annotated" / "diary.txt").is_file()


def empty_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


# -- what is odd is told


def notes_of(capsys: pytest.CaptureFixture[str]) -> str:
    return " ".join(line for line in capsys.readouterr().out.splitlines() if "note:" in line or "dropped" in line)


def skeleton(number: int, stamp_ns: int, **changes: Any) -> dict[str, Any]:
    time = {"sec": stamp_ns // 10**9, "nanosec": stamp_ns % 10**9}
    positions = (pose_of("egait16") + np.float32(0.001 * number)).ravel()
    fields = {"layout": "egait16", "dimensions": 3, "positions": positions, "confidence": np.ones(16, np.float32)}
    return {"header": {"stamp": time, "frame_id": ""}, "body_id": "b"} | fields | changes


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("opposite", "samples were mixed with a channel turned round"),
        ("one dead", "samples were mixed without a channel that was silent"),
        ("overdriven", "samples lie at full scale"),
        ("unstamped", "79 blocks of audio have no stamp"),
        ("twice", "79 blocks of audio came twice"),
        ("lossy", "samples of audio are missing"),
        ("rates", "1 times rate, channels or voice changed"),
        ("other clock", "75 skeletons came, and none at the time of an utterance: stamp audio and skeletons by one"),
        ("bodiless", "75 skeletons have no joint that was seen"),
        ("two of each", "dropped 75 x: a second skeleton of body 'b' at the same time"),
    ],
)
def test_what_befell_the_data_of_a_bag_is_noted(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str], kind: str, told: str
) -> None:
    begin_ns = 1_700_000_000 * 10**9
    sides = {
        "opposite": np.stack([speech, -speech], axis=1),
        "one dead": np.stack([speech, speech * 0], axis=1),
        "overdriven": np.clip(speech.astype(int)[:, None] * 20, -32768, 32767).astype(np.int16),
    }
    samples = sides.get(kind, speech[:, None])
    messages: list[tuple[int, str, str, dict[str, Any]]] = []
    for number, first in enumerate(range(0, len(samples), 1024)):
        chunk = AudioChunk(samples[first : first + 1024], 16000, begin_ns + first * 62_500, first)
        fields, log_ns = audio_to_fields(chunk), chunk.end_ns
        if kind == "unstamped":
            fields["header"]["stamp"] = {"sec": 0, "nanosec": 0}
        if kind == "rates" and first >= 4 * 16000:
            fields["sample_rate"] = 48000
        if kind != "lossy" or number % 20:
            messages.append((log_ns, "/audio", AUDIO, fields))
        if kind == "twice":
            messages.append((log_ns + 1, "/audio", AUDIO, fields))
    for number in range(75 if kind in ("other clock", "bodiless", "two of each") else 0):
        stamp_ns = begin_ns + number * 66_666_667
        shift_ns = 3600 * 10**9 if kind == "other clock" else 0
        changes = {"confidence": np.zeros(16, np.float32)} if kind == "bodiless" else {}
        fields = skeleton(number, stamp_ns - shift_ns, **changes)
        messages += [(stamp_ns, "/skeleton_in", "mser_msgs/msg/Skeleton", fields)] * (1 + (kind == "two of each"))
    with BagWriter(tmp_path / "bag") as writer:
        for log_ns, topic, type_name, fields in sorted(messages, key=lambda message: message[0]):
            writer.write(topic, type_name, fields, log_ns)
    assert annotate(tmp_path / "bag", out=tmp_path / "out") == 0
    assert told in notes_of(capsys)


def test_nothing_is_noted_of_a_bag_that_is_as_it_should_be(
    annotate: Annotate, two_sentences: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert annotate(two_sentences, out=tmp_path / "out") == 0
    assert not notes_of(capsys)


def test_voices_that_take_turns_by_the_block_are_no_silence(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for number, first in enumerate(range(0, len(speech), 1024)):
            chunk = AudioChunk(
                speech[first : first + 1024, None], 16000, 10**18 + first * 62_500, first, f"v{number % 3}"
            )
            writer.write("/audio", AUDIO, audio_to_fields(chunk), chunk.end_ns)
    assert annotate(tmp_path / "bag", out=tmp_path / "out") == 1
    problem = capsys.readouterr().err
    assert "falls into 79 pieces, too short to hold an utterance (78 times rate, channels or voice changed" in problem
    assert "give each microphone or voice a topic of its own" in problem


@pytest.mark.parametrize("rate", [16000, 48000])
def test_clipping_is_judged_by_the_source_and_not_by_what_was_resampled(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, rate: int
) -> None:
    """Of the samples of the utterance 12 % are clipped, of which at 48 kHz resampling leaves less than 10 %."""
    voice = soxr.resample(speech.astype(np.float64), 16000, rate)
    spoken = np.abs(voice[rate : rate * 3])
    soundfile.write(tmp_path / "talk.wav", np.clip(voice / np.quantile(spoken, 0.85), -1, 1), rate)
    assert annotate(tmp_path / "talk.wav", out=tmp_path / "out") == 0
    (final,) = finals_of(tmp_path / "out")
    assert final["abstain_reason"] == "CLIPPED"


# -- long recordings


def interrupt_after(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """Ctrl-C while this piece of the recording is read."""
    whole = inputs.open_files

    def opened(*arguments: Any) -> Any:
        items, count, notes = whole(*arguments)

        def until_then() -> Any:
            for number, item in enumerate(items):
                if number == pieces:
                    raise KeyboardInterrupt
                yield item

        return until_then(), count, notes

    monkeypatch.setattr("mser_ros.cli.annotation.open_files", opened)


def told(records: list[dict[str, Any]]) -> list[Any]:
    return [(record["utterance_id"], record["speech_end"], record["label"], record["transcript"]) for record in records]


def test_what_was_interrupted_is_kept_and_gone_on_with_to_the_same_end(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    soundfile.write(tmp_path / "long.wav", conversation(speech, 4), 16000)
    assert annotate(tmp_path / "long.wav", out=tmp_path / "whole") == 0
    whole = finals_of(tmp_path / "whole")
    assert len(whole) == 4
    for pieces in (150, 330):  # in the silence after the first sentence, in the middle of the fourth
        with monkeypatch.context() as patch:
            interrupt_after(patch, pieces)
            assert annotate(tmp_path / "long.wav", "--resume", out=tmp_path / "parts") == 130
        assert "--resume goes on" in capsys.readouterr().err
        kept = finals_of(tmp_path / "parts")
        assert told(kept) == told(whole[: len(kept)])
        assert (tmp_path / "parts" / "timeline.png").is_file()
    assert annotate(tmp_path / "long.wav", "--resume", out=tmp_path / "parts") == 0
    assert told(finals_of(tmp_path / "parts")) == told(whole)
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"emotions.jsonl", "emotions.csv", "timeline.png"}


def test_a_report_is_gone_on_with_and_the_users_own_sounds_are_left_alone(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "long.wav", conversation(speech, 2), 16000)
    own = empty_folder(tmp_path / "out" / "sound") / "mine.ogg"
    own.write_text("music")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 100)
        assert annotate(tmp_path / "long.wav", "--html", out=tmp_path / "out") == 130
    report = tmp_path / "out" / "report.html"
    assert "--resume goes on" in text_of(parse(report))
    (first,) = sounds_of(report)
    assert len(list((tmp_path / "out" / "sound").iterdir())) == 2
    assert annotate(tmp_path / "long.wav", "--html", "--resume", out=tmp_path / "out") == 0
    both = sounds_of(report)
    assert len(both) == 2
    assert both[0] == first
    assert "--resume goes on" not in text_of(parse(report))
    assert [path.name for path in (tmp_path / "out" / "sound").iterdir()] == ["mine.ogg"]


def test_what_was_interrupted_while_it_was_written_down_is_not_recognised_again(
    annotate: Annotate, two_sentences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert annotate(two_sentences, "--html", out=tmp_path / "whole") == 0
    capsys.readouterr()
    out = tmp_path / "out"
    for writing in ("annotation_work.draw_timeline", "annotation.copy_with_topics", "annotation_work.write_page"):
        with monkeypatch.context() as patch:
            patch.setattr(f"mser_ros.cli.{writing}", interrupted)
            assert annotate(two_sentences, "--html", "--resume", out=out) == 130
        said = f"interrupted: the first 9 s are in {out}; the same call with --resume goes on\n"
        assert capsys.readouterr().err == said
        for work in ("push_audio", "flush"):
            monkeypatch.setattr(f"mser_ros.stages.pipeline.EmotionPipeline.{work}", not_again)
    assert annotate(two_sentences, "--html", "--resume", out=out) == 0
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    assert told(records_of(out)) == told(records_of(tmp_path / "whole"))
    assert len(sounds_of(out / "report.html")) == 2
    with Bag(out / "annotated") as copy, Bag(tmp_path / "whole" / "annotated") as whole:
        assert copy.message_count == whole.message_count


def not_again(*_: Any) -> Any:
    raise AssertionError("all was worked off")


def interrupted(*_: Any, **__: Any) -> Any:
    raise KeyboardInterrupt


def test_another_recording_is_not_gone_on_with(
    annotate: Annotate, tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "long.wav", conversation(speech, 2), 16000)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 150)
        assert annotate(tmp_path / "long.wav", out=tmp_path / "out") == 130
    soundfile.write(tmp_path / "long.wav", conversation(speech, 3), 16000)
    assert annotate(tmp_path / "long.wav", "--resume", out=tmp_path / "out") == 0
    assert len(finals_of(tmp_path / "out")) == 3


@pytest.mark.parametrize("changed", ["skeleton", "bundle"])
def test_what_was_found_by_another_skeleton_or_model_is_not_gone_on_with(
    changed: str, tmp_path: Path, speech: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = write_sound(tmp_path / "long.wav", conversation(speech, 2))
    motion, folder = tmp_path / "body.npz", tmp_path / "bundle"

    def begin(lean_m: float, temperature: float) -> Annotate:
        body = pose_of("egait16")
        body[get_layout("egait16").joints.index("head")] += lean_m
        np.savez(motion, joints=np.repeat(body[None], 180, axis=0), layout="egait16", rate_hz=15.0)
        fusion = {"kind": "log_linear", "prior": [0.25] * 4, "temperature": temperature}
        return annotator(write_tiny_bundle(folder, fusion=fusion), monkeypatch)

    annotate = begin(0.0, 1.0)
    with monkeypatch.context() as patch:
        interrupt_after(patch, 200)
        assert annotate(sound, "--skeleton", str(motion), out=tmp_path / "parts") == 130
    annotate = begin(0.2, 1.0) if changed == "skeleton" else begin(0.0, 2.0)
    for out, more in (("parts", ["--resume"]), ("alone", [])):
        assert annotate(sound, "--skeleton", str(motion), *more, out=tmp_path / out) == 0
    parts, alone = (finals_of(tmp_path / out) for out in ("parts", "alone"))
    assert [record["probabilities"] for record in parts] == [record["probabilities"] for record in alone]
