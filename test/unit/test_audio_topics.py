"""Sound from messages of other packages, by their fields; malformed ones cost themselves alone."""

from __future__ import annotations

import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace as Message
from typing import Any

import numpy as np
import pytest
import soundfile
from ogg_streams import lag, ogg, pages, speech_like
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from mser_ros.audio.stream import AudioStream, Discontinuity
from mser_ros.cli.inputs import read_bag
from mser_ros.errors import AudioError, DependencyError, MserError
from mser_ros.messages.audio_topics import AUDIO_TYPES, AudioDecoder
from mser_ros.messages.bags import Bag
from mser_ros.settings import AudioFormatSettings
from mser_ros.types import NS_PER_S, AudioChunk

DATA, DATA_STAMPED, STAMPED, TYPED, ARRAY = (
    "audio_common_msgs/msg/AudioData",
    "audio_common_msgs/msg/AudioDataStamped",
    "audio_common_msgs/msg/AudioStamped",
    "audio_common_msgs/msg/Audio",
    "std_msgs/msg/Int16MultiArray",
)
#: Two channels that differ.
SOUND = np.stack([np.arange(-800, 800), np.arange(1600) * -3], axis=1).astype(np.int16)
HEADER = Message(stamp=Message(sec=7, nanosec=500_000_000), frame_id="ear")
KINDS = ("float32", "int32", "int16", "int8", "uint8")


def raw(content: bytes) -> Message:
    return Message(data=np.frombuffer(content, np.uint8))


def typed(samples: np.ndarray, *, rate: int = 16000, channels: int = 2) -> Message:
    """mgonzs13's: an array for each type, of which one is filled."""
    arrays: dict[str, Any] = {f"{kind}_data": np.zeros(0, kind) for kind in KINDS}
    arrays[f"{samples.dtype.name}_data"] = samples.reshape(-1)
    return Message(audio_data=Message(**arrays), info=Message(format=8, channels=channels, rate=rate, chunk=512))


def array(samples: np.ndarray, *sizes: int) -> Message:
    return Message(
        data=samples.reshape(-1),
        layout=Message(dim=[Message(label="", size=size, stride=0) for size in sizes], data_offset=0),
    )


def info(coding: str = "wave", sample_format: str = "S16LE", rate: int = 44100, channels: int = 2) -> Message:
    return Message(coding_format=coding, sample_format=sample_format, sample_rate=rate, channels=channels, bitrate=0)


def one(decoder: AudioDecoder, type_name: str, message: Message) -> AudioChunk:
    (chunk,) = decoder.decode(type_name, message)
    return chunk


def test_raw_bytes_are_what_the_settings_say() -> None:
    for name, content in {
        "S16LE": SOUND.astype("<i2"),
        "S16BE": SOUND.astype(">i2"),
        "S32LE": SOUND.astype("<i4") << 16,
        "F32LE": SOUND.astype("<f4") / 32768,
        "F32BE": (SOUND / 32768).astype(">f4"),
    }.items():
        decoder = AudioDecoder(AudioFormatSettings(name, 48000, 2))
        chunk = one(decoder, DATA, raw(content.tobytes()))
        np.testing.assert_array_equal(chunk.samples, SOUND, name)
        assert (chunk.sample_rate, chunk.stamp_ns, chunk.samples.dtype) == (48000, 0, np.int16)


def test_eight_bits_are_the_upper_ones() -> None:
    for name, quiet in (("U8", 128), ("S8", 0)):
        decoder = AudioDecoder(AudioFormatSettings(name))
        chunk = one(decoder, DATA, raw(np.array([quiet, quiet + 1, quiet + 127]).astype(np.uint8).tobytes()))
        np.testing.assert_array_equal(chunk.samples[:, 0], [0, 256, 127 * 256])


def test_the_header_stamps_it() -> None:
    message = Message(header=HEADER, audio=raw(SOUND.tobytes()))
    chunk = one(AudioDecoder(AudioFormatSettings(channels=2)), DATA_STAMPED, message)
    assert (chunk.stamp_ns, chunk.frame_id) == (7_500_000_000, "ear")
    np.testing.assert_array_equal(chunk.samples, SOUND)


def test_the_capture_nodes_info_outweighs_the_settings() -> None:
    decoder = AudioDecoder()
    decoder.set_format(info())
    chunk = one(decoder, DATA, raw(SOUND.tobytes()))
    assert (chunk.sample_rate, chunk.channels) == (44100, 2)
    for wrong in (
        info("flac"),
        info("ogg opus"),
        info(sample_format="S24LE"),
        info(rate=1),
        Message(format=8, channels=1),
    ):
        with pytest.raises(AudioError):
            decoder.set_format(wrong)
    np.testing.assert_array_equal(one(decoder, DATA, raw(SOUND.tobytes())).samples, SOUND, "as before")


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_with_an_array_for_each_type_tells_everything(kind: str) -> None:
    scaled = {
        "float32": SOUND.astype(np.float32) / 32768,
        "int32": SOUND.astype(np.int32) << 16,
        "int16": SOUND,
        "int8": (SOUND >> 8).astype(np.int8),
        "uint8": ((SOUND >> 8) + 128).astype(np.uint8),
    }[kind]
    chunk = one(AudioDecoder(), STAMPED, Message(header=HEADER, audio=typed(scaled)))
    np.testing.assert_array_equal(chunk.samples, (SOUND >> 8) << 8 if "8" in kind else SOUND)
    assert (chunk.stamp_ns, chunk.sample_rate, chunk.frame_id) == (7_500_000_000, 16000, "ear")
    assert one(AudioDecoder(), TYPED, typed(scaled)).stamp_ns == 0


def test_an_array_of_frames_tells_its_channels() -> None:
    decoder = AudioDecoder()
    np.testing.assert_array_equal(one(decoder, ARRAY, array(SOUND, 1600, 2)).samples, SOUND)
    assert one(decoder, ARRAY, array(SOUND)).channels == 1
    shifted = array(SOUND)
    shifted.layout.data_offset = 100
    np.testing.assert_array_equal(one(decoder, ARRAY, shifted).samples[:, 0], SOUND.reshape(-1)[100:])
    assert one(AudioDecoder(AudioFormatSettings(channels=2)), ARRAY, array(SOUND)).channels == 2


@pytest.mark.parametrize("size", [97, 417, 10_000])
def test_mp3_is_decoded_as_it_comes_however_it_is_cut(tmp_path: Path, size: int) -> None:
    pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev', or pip install av")
    time_s = np.arange(32000) / 32000
    wave = np.stack([np.sin(2 * np.pi * 440 * time_s), np.sin(2 * np.pi * 660 * time_s)], axis=1) * 0.5
    soundfile.write(tmp_path / "tone.mp3", wave, 32000, format="MP3")
    content = (tmp_path / "tone.mp3").read_bytes()
    decoder = AudioDecoder(AudioFormatSettings("mp3"))
    chunks = [one(decoder, DATA, raw(content[at : at + size])) for at in range(0, len(content), size)]
    heard = np.concatenate([chunk.samples for chunk in chunks if chunk.frames])
    assert {(chunk.sample_rate, chunk.channels) for chunk in chunks if chunk.frames} == {(32000, 2)}
    assert abs(len(heard) - len(wave)) < 5000
    for channel, pitch in enumerate((440, 660)):
        spectrum = np.abs(np.fft.rfft(heard[8000:24000, channel].astype(float)))
        assert abs(spectrum.argmax() * 2 - pitch) <= 2


def test_mp3_that_is_taken_for_samples_is_found_out_in_the_midst_of_it(tmp_path: Path) -> None:
    """A source that sends a frame in each message, of which the first ones were not received."""
    frame = b"\xff\xfb\x90\x64" + bytes(414)
    decoder, samples = AudioDecoder(), SOUND.tobytes()
    for _ in range(2):
        one(decoder, DATA, raw(frame))
    for content in (frame, frame, samples):
        with pytest.raises(AudioError, match=r"these bytes are mp3 .* set audio.format"):
            one(decoder, DATA, raw(content))
    decoder.set_format(info())
    assert one(decoder, DATA, raw(samples)).frames == len(samples) // 4


def test_a_source_that_was_restarted_with_what_was_asked_for_is_heard(tmp_path: Path) -> None:
    decoder = AudioDecoder()
    noise = np.random.default_rng(0)
    loud = [noise.integers(0, 256, 2000, np.uint8).tobytes() for _ in range(100)]
    for content in (b"ID3" + bytes(500), *loud):
        with pytest.raises(AudioError, match="these bytes are mp3"):
            one(decoder, DATA, raw(content))
    heard = 0
    for _ in range(30):
        with suppress(AudioError):
            heard += one(decoder, DATA, raw(SOUND.tobytes())).frames
    assert heard > 0


def whole(message: Message) -> Message:
    return Message(header=HEADER, audio=message)


@pytest.mark.parametrize(
    ("type_name", "message", "parts"),
    [
        (DATA, raw(b"\0" * 5), ("5 bytes", "audio.format")),
        (DATA, Message(int16_data=[]), ("AudioStamped",)),
        (ARRAY, array(SOUND[:1, :1], 1, 2), ("1 samples in 2 channels",)),
        (ARRAY, array(SOUND, 1, 1, 3200), ("3 dimensions",)),
        (STAMPED, whole(typed(np.full((4, 2), 3e4, np.float32))), ("up to 3e+04", "divide")),
        (DATA, raw(b"fLaC" + b"\0" * 60), ("are flac", "S16LE", "capture it")),
        (DATA, raw(b"ID3" + b"\0" * 61), ("are mp3", "audio.format")),
        (DATA, raw(b"OggS" + b"\0" * 60), ("are ogg", "set audio.format (--audio-format) to ogg")),
        (STAMPED, whole(typed(SOUND, channels=0)), ("0 channels",)),
        (STAMPED, whole(typed(SOUND[:1, :1], channels=2)), ("2 channels",)),
        (STAMPED, whole(typed(SOUND, rate=0)), ("sample_rate 0",)),
        (STAMPED, whole(typed(SOUND, rate=1)), ("sample_rate 1",)),
        (STAMPED, whole(typed(SOUND, rate=10_000_000)), ("sample_rate 10000000",)),
        (STAMPED, whole(typed(np.full((4, 2), np.nan, np.float32))), ("no numbers",)),
        (STAMPED, whole(typed(np.full((4, 2), np.inf, np.float32))), ("no numbers",)),
    ],
)
def test_a_message_that_cannot_be_used_is_one_sentence(
    type_name: str, message: Message, parts: tuple[str, ...]
) -> None:
    with pytest.raises(AudioError) as caught:
        one(AudioDecoder(), type_name, message)
    assert all(part in str(caught.value) for part in parts)
    assert "\n" not in str(caught.value)


def test_samples_of_two_types_are_refused() -> None:
    message = typed(SOUND)
    message.audio_data.int8_data = np.ones(4, np.int8)
    with pytest.raises(AudioError, match="two types"):
        one(AudioDecoder(), TYPED, message)


def test_what_is_no_mp3_is_one_sentence_or_nothing_at_all() -> None:
    pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev', or pip install av")
    decoder, rng = AudioDecoder(AudioFormatSettings("mp3")), np.random.default_rng(0)
    refused = []
    for _ in range(50):
        try:
            one(decoder, DATA, raw(rng.bytes(1000)))
        except MserError as error:
            refused.append(str(error))
    assert not any("\n" in sentence for sentence in refused)


@pytest.mark.parametrize("coding", ["ogg", "OPUS", "vorbis"])
def test_ogg_is_heard_and_stamped_by_the_messages_in_which_its_pages_begin(coding: str) -> None:
    """Ten messages a second of pages of a fifth of one: what is complete with a message began one or two before it."""
    wave = speech_like(2, 48000)
    content = ogg(wave, 48000, "OPUS", page_s=0.2)
    size = -(-len(content) // 20)
    decoder = AudioDecoder()
    decoder.set_format(info(coding, ""))
    chunks = []
    for number in range(20):
        message = raw(content[number * size : (number + 1) * size])
        stamped = Message(stamp=Message(sec=7, nanosec=number * 100_000_000), frame_id="ear")
        chunks += decoder.decode(DATA_STAMPED, Message(header=stamped, audio=message))
    assert {chunk.frame_id for chunk in chunks} == {"ear"}
    filled = [chunk for chunk in chunks if chunk.frames]
    assert len(chunks) == 20 > len(filled) > 8
    for chunk in filled:
        assert abs(chunk.stamp_ns / NS_PER_S - 7 - chunk.first_sample / 48000) < 0.15
    late, alike = lag(np.concatenate([chunk.samples[:, 0] for chunk in filled]), wave[:, 0])
    assert (late, alike > 0.96) == (0, True)


@pytest.mark.parametrize("lost", [1, 5])
def test_pages_that_are_lost_are_silence_or_end_what_is_said(lost: int) -> None:
    """Pages of a tenth of a second, of which fewer are lost than `fill_s` or more."""
    parts = pages(ogg(speech_like(2, 48000), 48000, "OPUS", page_s=0.1))
    decoder, stream = AudioDecoder(AudioFormatSettings("ogg")), AudioStream()
    items = []
    for number, part in enumerate(parts):
        if not 10 <= number < 10 + lost:
            (chunk,) = decoder.decode(DATA, raw(part))
            items += stream.push(chunk, NS_PER_S + number * 100_000_000)
    assert stream.counters.lost_samples == lost * 4800
    assert stream.counters.filled_samples == (4800 if lost == 1 else 0)
    assert [item.reason for item in items if isinstance(item, Discontinuity)] == ["audio was lost"] * (lost == 5)


def test_a_stream_that_changes_within_a_message_is_two_chunks() -> None:
    parts = [ogg(speech_like(0.5, rate), rate, "FLAC", page_s=0.1) for rate in (16000, 48000)]
    chunks = AudioDecoder(AudioFormatSettings("ogg")).decode(DATA, raw(b"".join(parts)))
    assert [(chunk.sample_rate, chunk.frames) for chunk in chunks] == [(16000, 8000), (48000, 24000)]
    mp3 = [BytesIO(), BytesIO()]
    for file, channels in zip(mp3, (1, 2), strict=True):
        soundfile.write(file, speech_like(0.5, 32000, channels), 32000, format="MP3")
    chunks = AudioDecoder(AudioFormatSettings("mp3")).decode(DATA, raw(b"".join(file.getvalue() for file in mp3)))
    assert [chunk.channels for chunk in chunks] == [1, 2]


@pytest.mark.parametrize("name", ["mp3", "ogg"])
def test_without_pyav_coded_sound_names_the_package(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    file = BytesIO()
    soundfile.write(file, SOUND, 16000, format=name.upper())
    monkeypatch.setitem(sys.modules, "av", None)
    decoder = AudioDecoder(AudioFormatSettings(name))
    for content in (file.getvalue(), file.getvalue()[-500:]):
        with pytest.raises(DependencyError, match=r"pip install 'mser_ros\[media\]' \(or av\), or capture it as wave"):
            decoder.decode(DATA, raw(content))


@pytest.mark.parametrize("type_name", AUDIO_TYPES[1:])
def test_nothing_is_nothing(type_name: str) -> None:
    empty = np.zeros((0, 2), np.int16)
    message = {
        DATA: raw(b""),
        DATA_STAMPED: whole(raw(b"")),
        TYPED: typed(empty),
        STAMPED: whole(typed(empty)),
        ARRAY: array(empty),
    }[type_name]
    assert one(AudioDecoder(), type_name, message).frames == 0


# -- in bags

INFO_TYPE = "audio_common_msgs/msg/AudioInfo"
ROS_DRIVERS = {
    "audio_common_msgs/msg/AudioData": "uint8[] data\n",
    "audio_common_msgs/msg/AudioDataStamped": "std_msgs/Header header\naudio_common_msgs/AudioData audio\n",
    INFO_TYPE: "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\nstring coding_format\n",
}
MGONZS13 = {
    "audio_common_msgs/msg/AudioData": "".join(f"{kind}[] {kind}_data\n" for kind in KINDS),
    "audio_common_msgs/msg/AudioInfo": "int32 format\nint32 channels\nint32 rate\nint32 chunk\n",
    "audio_common_msgs/msg/Audio": "audio_common_msgs/AudioData audio_data\naudio_common_msgs/AudioInfo info\n",
    "audio_common_msgs/msg/AudioStamped": "std_msgs/Header header\naudio_common_msgs/Audio audio\n",
}


def write_bag(path: Path, definitions: dict[str, str], messages: list[tuple[str, str, dict[str, Any]]]) -> Path:
    """`messages`: topic, type and fields, one each tenth of a second."""
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in definitions.items():
        store.register(get_types_from_msg(text, name))

    def build(type_name: str, fields: dict[str, Any]) -> Any:
        kinds = dict(store.fielddefs[type_name][1])
        nested = {name: kinds[name][1] for name in fields if isinstance(fields[name], dict)}
        values = {name: build(nested[name], value) if name in nested else value for name, value in fields.items()}
        return store.types[type_name](**values)

    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections: dict[str, Any] = {}
        for number, (topic, type_name, fields) in enumerate(messages):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_name, typestore=store)
            data = store.serialize_cdr(build(type_name, fields), type_name)
            writer.write(connections[topic], NS_PER_S + number * NS_PER_S // 10, data)
    return path


def header(number: int) -> dict[str, Any]:
    return {"stamp": {"sec": 1, "nanosec": number * 100_000_000}, "frame_id": "ear"}


def read(path: Path) -> list[AudioChunk]:
    with Bag(path) as opened:
        items, count, _ = read_bag(opened, "", "")
        chunks = [item.load() for item in items]
    assert len(chunks) == count
    assert all(isinstance(chunk, AudioChunk) for chunk in chunks)
    return chunks  # type: ignore[return-value]


def test_a_bag_of_ros_drivers_audio_is_read_with_its_info(tmp_path: Path) -> None:
    told = {"channels": 2, "sample_rate": 16000, "sample_format": "S16LE", "bitrate": 0, "coding_format": "wave"}
    blocks = [SOUND[at : at + 400] for at in range(0, 1600, 400)]
    bag = write_bag(
        tmp_path / "bag",
        ROS_DRIVERS,
        [("/audio_info", INFO_TYPE, told)]
        + [("/audio", DATA, {"data": np.frombuffer(block.tobytes(), np.uint8)}) for block in blocks],
    )
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in read(bag)]), SOUND)


def test_a_bag_of_ogg_is_heard_in_the_order_of_its_messages(tmp_path: Path) -> None:
    """Each message is an item, which is empty where no page ends in it."""
    content = ogg(speech_like(1, 16000), 16000, "FLAC", page_s=0.1)
    parts = [content[at : at + 700] for at in range(0, len(content), 700)]
    told = {"channels": 1, "sample_rate": 16000, "sample_format": "", "bitrate": 0, "coding_format": "ogg"}
    bag = write_bag(
        tmp_path / "bag",
        ROS_DRIVERS,
        [("/audio_info", INFO_TYPE, told)]
        + [("/audio", DATA, {"data": np.frombuffer(part, np.uint8)}) for part in parts],
    )
    chunks = read(bag)
    assert sum(chunk.frames for chunk in chunks) == 16000
    assert any(chunk.frames == 0 for chunk in chunks)


def test_a_bag_of_the_other_package_of_that_name_is_read_too(tmp_path: Path) -> None:
    def fields(number: int, block: np.ndarray) -> dict[str, Any]:
        arrays = {f"{kind}_data": np.zeros(0, kind) for kind in KINDS} | {"int16_data": block.reshape(-1)}
        told = {"format": 8, "channels": 2, "rate": 16000, "chunk": len(block)}
        return {"header": header(number), "audio": {"audio_data": arrays, "info": told}}

    blocks = [SOUND[at : at + 400] for at in range(0, 1600, 400)]
    bag = write_bag(
        tmp_path / "bag", MGONZS13, [("/audio", STAMPED, fields(number, block)) for number, block in enumerate(blocks)]
    )
    chunks = read(bag)
    np.testing.assert_array_equal(np.concatenate([chunk.samples for chunk in chunks]), SOUND)
    assert [chunk.stamp_ns for chunk in chunks] == [NS_PER_S + number * 100_000_000 for number in range(4)]
