"""The sound of films: damaged, cut off, with holes, joined, under other names. What is there is read, at its time, and
what is not is told."""

from __future__ import annotations

import re
import struct
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from mser_ros.audio import film_sound
from mser_ros.audio.file_capture import FileCapture
from mser_ros.audio.film_sound import is_film
from mser_ros.audio.sound_files import Sound, open_sound_file
from mser_ros.corpora.files import sound_duration_s
from mser_ros.errors import AudioError
from mser_ros.settings import MicrophoneSettings

av = pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev'")
RATE, LENGTH_S, BLOCK = 16_000, 4, 1000
#: Loud in every second's first half.
_AT = np.arange(RATE * LENGTH_S)
VOICE = (9000 * np.sin(_AT * 0.2) * (_AT % RATE < RATE // 2)).astype("<i2")


def write_film(
    path: Path,
    *,
    tracks: Sequence[np.ndarray] = (VOICE,),
    form: str = "matroska",
    codec: str = "pcm_s16le",
    rate: int = RATE,
    layout: str = "mono",
    without: tuple[float, float] = (0, 0),
) -> bytes:
    """`without`: the piece of the sound that was never recorded, from and to [s]."""
    with av.open(str(path), "w", format=form) as film:
        streams = [film.add_stream(codec, rate=rate, layout=layout) for _ in tracks]
        for stream, samples in zip(streams, tracks, strict=True):
            for begin in range(0, len(samples), BLOCK):
                if without[0] <= begin / rate < without[1]:
                    continue
                block = samples[begin : begin + BLOCK]
                packed = np.repeat(block, 2) if layout == "stereo" else block
                frame = av.AudioFrame.from_ndarray(packed[None], format="s16", layout=layout)
                frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
                film.mux(stream.encode(frame))
            film.mux(stream.encode(None))
    return path.read_bytes()


def read(path: Path, size: int = 777) -> tuple[np.ndarray, Sound]:
    sound = open_sound_file(path)
    blocks = list(sound.blocks(size))
    assert all(len(block) == size for block in blocks[:-1])
    return np.concatenate(blocks), sound


def assert_in_time(samples: np.ndarray, *, but: slice = slice(0)) -> None:
    """Each second begins loud, where it should."""
    meant = VOICE.astype(np.float32) / 32768
    wrong = np.abs(samples[: len(meant), 0] - meant[: len(samples)]) > 1e-3
    wrong[but] = False
    assert not wrong.any()


def test_what_stamps_leave_out_is_silence_and_that_is_told(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", without=(1, 2.5))
    samples, sound = read(tmp_path / "a.mkv")
    assert_in_time(samples, but=slice(RATE, int(2.5 * RATE)))
    assert sound.notes == ["1.5 s of the sound of a.mkv are missing or damaged: silence stands for them"]


def test_damage_in_the_middle_costs_itself(tmp_path: Path) -> None:
    content = bytearray(write_film(tmp_path / "a.ts", form="mpegts", codec="mp2"))
    middle = len(content) // 2
    content[middle : middle + 4000] = np.random.default_rng(1).bytes(4000)
    (tmp_path / "b.ts").write_bytes(content)
    samples, sound = read(tmp_path / "b.ts")
    assert len(samples) == pytest.approx(len(read(tmp_path / "a.ts")[0]), abs=0.1 * RATE)
    last = np.abs(samples[3 * RATE : 4 * RATE, 0]).reshape(10, -1).mean(axis=1)
    assert (last[1:4] > 0.1).all(), "the last second is loud where it was"
    assert (last[6:9] < 0.02).all()
    assert len(sound.notes) == 1
    assert "missing or damaged: silence stands for them" in sound.notes[0]


def test_what_a_film_lacks_at_its_end_is_told(tmp_path: Path) -> None:
    content = write_film(tmp_path / "a.mkv")
    (tmp_path / "b.mkv").write_bytes(content[: len(content) * 5 // 8])
    samples, sound = read(tmp_path / "b.mkv")
    assert 2.3 * RATE < len(samples) < 2.7 * RATE
    assert sound.notes == ["b.mkv is cut off: 2.4 s of the 4.0 s it tells of are there"]
    assert read(tmp_path / "a.mkv")[1].notes == []


@pytest.mark.parametrize("loops", [False, True])
def test_a_film_with_nothing_in_its_sound_track_is_not_played_for_ever(tmp_path: Path, loops: bool) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w", format="matroska") as film:
        film.add_stream("aac", rate=RATE, layout="mono")
        images = film.add_stream("mpeg4", rate=25, width=64, height=64, pix_fmt="yuv420p")
        for image in (*(av.VideoFrame(64, 64, "yuv420p") for _ in range(5)), None):
            film.mux(images.encode(image))
    settings = MicrophoneSettings(file=str(tmp_path / "a.mkv"), loop=loops)
    with pytest.raises(AudioError, match=r"a\.mkv' holds no audio: record it again"):
        list(FileCapture(settings, time.time_ns))


@pytest.mark.parametrize(("rate", "layout"), [(32_000, "mono"), (16_000, "stereo")])
def test_sound_that_goes_on_in_another_form_keeps_its_pitch_and_level(tmp_path: Path, rate: int, layout: str) -> None:
    voice = np.repeat(VOICE, rate // RATE)
    first = write_film(tmp_path / "a.ts", form="mpegts", codec="mp2")
    then = write_film(tmp_path / "b.ts", tracks=(voice,), form="mpegts", codec="mp2", rate=rate, layout=layout)
    (tmp_path / "c.ts").write_bytes(first + then)
    samples, _ = read(tmp_path / "c.ts")
    assert samples.shape[1] == 1
    assert len(samples) / RATE == pytest.approx(2 * LENGTH_S, abs=0.3)
    levels = [np.sqrt(np.mean(part**2)) for part in np.array_split(samples[:, 0], 2)]
    assert levels[1] == pytest.approx(levels[0], rel=0.1)


def test_a_film_of_more_channels_than_eight_is_heard(tmp_path: Path) -> None:
    """As a recorder of many microphones writes it; a damaged stream may claim as many."""
    with av.open(str(tmp_path / "a.mkv"), "w", format="matroska") as film:
        stream = film.add_stream("pcm_s16le", rate=RATE, layout="hexadecagonal")
        given = np.column_stack([VOICE // (1 + channel) for channel in range(16)])
        frame = av.AudioFrame.from_ndarray(given.reshape(1, -1), format="s16", layout="hexadecagonal")
        frame.sample_rate = RATE
        for one in (frame, None):
            film.mux(stream.encode(one))
    samples, _ = read(tmp_path / "a.mkv")
    np.testing.assert_allclose(samples, given / 32768, atol=1e-6)


def test_other_tracks_are_told_of(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mkv", tracks=(VOICE, VOICE[::-1].copy()))
    samples, sound = read(tmp_path / "a.mkv")
    assert_in_time(samples)
    assert "2 sound tracks, of which the first is read" in sound.notes[0]


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("matroska", "pcm_s16le"),
        ("mp4", "aac"),
        ("mpegts", "mp2"),
        ("adts", "aac"),
        ("latm", "aac"),
        ("flv", "adpcm_swf"),
    ],
)
@pytest.mark.parametrize("name", ["talk.wav", "talk", "talk.mp3"])
def test_a_film_is_known_by_what_it_holds(tmp_path: Path, form: str, codec: str, name: str) -> None:
    rate = 22050 if form == "flv" else RATE
    content = write_film(tmp_path / name, form=form, codec=codec, rate=rate)
    assert is_film(content[:1000])
    samples, _ = read(tmp_path / name)
    assert np.abs(samples).max() > 0.1


@pytest.mark.parametrize(
    ("form", "codec", "rate"),
    [
        ("wav", "g722", RATE),
        ("wav", "ac3", 48_000),
        ("wav", "aac", RATE),
        ("w64", "aac", RATE),
        ("caf", "alac", RATE),
        ("wv", "wavpack", RATE),
        ("tta", "tta", RATE),
    ],
)
def test_a_codec_that_the_library_for_sound_does_not_know_is_read_by_that_for_films(
    tmp_path: Path, form: str, codec: str, rate: int
) -> None:
    tone = (9000 * np.sin(np.arange(2 * rate) * 2 * np.pi * 440 / rate)).astype("<i2")
    with av.open(str(tmp_path / "talk"), "w", format=form) as film:
        stream = film.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate = rate
        pieces = stream.codec_context.frame_size or None
        resampler = av.AudioResampler(format=stream.format, rate=rate, frame_size=pieces)
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            film.mux(stream.encode(piece))
        film.mux(stream.encode(None))
    heard, sound = read(tmp_path / "talk")
    assert (sound.sample_rate, sound.notes) == (rate, [])
    added = 2048 if codec == "aac" else 0  # before and after, which nothing in a WAV tells of
    assert len(tone) - 0.05 * rate <= len(heard) <= len(tone) + max(added, 0.05 * rate)
    spectrum = np.abs(np.fft.rfft(heard[:rate, 0]))
    assert np.argmax(spectrum) == 440


@pytest.mark.parametrize(("form", "kind"), [("adts", 0x1600), ("adts", 0x00FF), ("latm", 0x1602)])
def test_aac_in_a_wav_is_heard_whole_and_its_length_is_that_of_what_is_in_it(
    tmp_path: Path, form: str, kind: int
) -> None:
    """Whose header tells of a rate that is not the true one."""
    content = write_film(tmp_path / "a.aac", form=form, codec="aac")
    head = struct.pack("<HHIIHHH", kind, 1, RATE, 100, 1, 16, 0)
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", len(content)) + content
    (tmp_path / "a.wav").write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks)
    heard, sound = read(tmp_path / "a.wav")
    whole, _ = read(tmp_path / "a.aac")
    np.testing.assert_allclose(heard, whole, atol=1e-6)
    assert sound.notes == []
    assert sound_duration_s(tmp_path / "a.wav") == pytest.approx(LENGTH_S, abs=0.1)


def test_more_aac_without_ends_than_is_decoded_at_once_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = write_film(tmp_path / "a.wav", form="wav", codec="aac")
    monkeypatch.setattr(film_sound, "_LONGEST_AAC", len(content) // 2)
    with pytest.raises(AudioError, match="AAC in a WAV, which does not tell where its frames end"):
        read(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["talk.aac", "talk.mp3", "talk"])
def test_aac_behind_a_tag_is_not_taken_for_mp3(tmp_path: Path, name: str) -> None:
    """A picture on it makes a tag long, and where its rest is taken for MP3 there is sound for a moment."""
    content = write_film(tmp_path / "a.aac", form="adts", codec="aac")
    tag = b"ID3\x04\0\0\0\0\x20\0" + bytes(4096)
    (tmp_path / name).write_bytes(tag + content)
    heard, sound = read(tmp_path / name)
    np.testing.assert_allclose(heard, read(tmp_path / "a.aac")[0], atol=1e-6)
    assert (sound.sample_rate, sound.notes) == (RATE, [])


def test_films_that_were_appended_to_a_film_are_told_of_with_where_they_begin(tmp_path: Path) -> None:
    content = write_film(tmp_path / "a.mp4", form="mp4", codec="aac")
    (tmp_path / "b.mp4").write_bytes(content * 2)
    _, sound = read(tmp_path / "b.mp4")
    (note,) = sound.notes
    assert "holds 2 films one after the other, of which the first is read" in note
    (begin,) = map(int, re.findall(r"tail -c \+(\d+) b.mp4 > NEXT.mp4", note))
    assert (content * 2)[begin - 1 :] == content


def test_an_mp4_whose_recorder_was_stopped_is_told_by_that(tmp_path: Path) -> None:
    content = write_film(tmp_path / "a.mp4", form="mp4", codec="aac")
    (tmp_path / "b.mp4").write_bytes(content[: content.index(b"moov") - 4])
    with pytest.raises(AudioError, match="lacks the index that an MP4 ends with: its recorder was stopped"):
        open_sound_file(tmp_path / "b.mp4")
