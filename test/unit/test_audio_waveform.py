from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mser_ros.audio.sound_files import open_sound_file, read_sound_file
from mser_ros.audio.waveform import (
    StreamResampler,
    check_rate,
    clipped_share,
    deinterleave,
    level_db,
    to_float,
    to_int16,
)
from mser_ros.corpora.files import sound_duration_s
from mser_ros.errors import AudioError, DependencyError
from mser_ros.types import SAMPLE_NS
from mser_ros.types import SAMPLE_RATE as RATE


def test_a_sample_lasts_a_whole_number_of_nanoseconds() -> None:
    assert RATE * SAMPLE_NS == 1_000_000_000


@given(arrays(np.int16, st.integers(0, 50)))
def test_int16_survives_floats_unchanged(samples: np.ndarray) -> None:
    assert np.array_equal(to_int16(to_float(samples)), samples)


def test_floats_beyond_full_scale_are_clipped_not_wrapped() -> None:
    assert to_int16(np.array([1.5, -1.5, 1.0, -1.0])).tolist() == [32767, -32768, 32767, -32768]


def test_interleaved_samples_fall_into_their_channels() -> None:
    assert deinterleave(np.array([1, 10, 2, 20, 3, 30], np.int16), 2).tolist() == [[1, 10], [2, 20], [3, 30]]


@pytest.mark.parametrize(("count", "channels"), [(5, 2), (4, 0)])
def test_samples_that_do_not_fit_the_channels_are_refused(count: int, channels: int) -> None:
    with pytest.raises(AudioError, match="set 'channels'"):
        deinterleave(np.zeros(count, np.int16), channels)


def test_level_of_a_full_scale_sine_is_minus_three_decibels() -> None:
    sine = np.sin(np.linspace(0, 200 * np.pi, 100_000, endpoint=False))
    assert level_db(sine) == pytest.approx(-3.0103, abs=1e-3)
    assert level_db(sine / 10) == pytest.approx(-23.0103, abs=1e-3)


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(10)])
def test_silence_and_nothing_have_no_level(samples: np.ndarray) -> None:
    assert level_db(samples) == -math.inf


def test_clipped_samples_are_counted_at_both_ends_of_the_scale() -> None:
    assert clipped_share(to_float(np.array([32767, -32768, 0, 32766], np.int16))) == 0.5
    assert clipped_share(np.zeros(0)) == 0.0


def test_a_sound_file_is_read_at_its_own_rate_with_all_channels(tmp_path: Path) -> None:
    samples = np.arange(2000, dtype=np.int16).reshape(-1, 2)
    soundfile.write(tmp_path / "a.flac", samples, 44_100)
    chunk = read_sound_file(tmp_path / "a.flac")
    assert (chunk.sample_rate, chunk.channels, chunk.stamp_ns, chunk.first_sample) == (44_100, 2, 0, 0)
    assert np.array_equal(chunk.samples, samples)


def test_a_file_of_floats_is_scaled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5, -0.25, 1.2]), 16_000, subtype="FLOAT")
    assert read_sound_file(tmp_path / "a.wav").samples[:, 0].tolist() == [16384, -8192, 32767]


@pytest.mark.parametrize(("highest", "why"), [(np.nan, "no numbers"), (30_000.0, "floats up to 3e.04.*divide")])
def test_floats_that_are_no_sound_are_refused_as_those_of_messages_are(
    tmp_path: Path, highest: float, why: str
) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5, highest, 0]), 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=f"a.wav' holds audio .*{why}"):
        read_sound_file(tmp_path / "a.wav")


def test_files_without_sound_are_refused_in_one_sentence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "slow.wav", np.zeros(10), 1_000)
    noise = np.random.default_rng(0).integers(1, 255, 2000).astype(np.uint8).tobytes()
    soundfile.write(tmp_path / "tone.mp3", np.sin(np.arange(32_000) / 10), 16_000, format="MP3")
    for name, content in {
        "nothing.wav": b"",
        "text.wav": b"no sound at all",
        "pointer.wav": b"version https://git-lfs.github.com/spec/v1\n",
        "samples.raw": b"\0\0" + noise,
        "samples.wav": b"\0\0" + noise,
        "old.bag": b"#ROSBAG V2.0\n" + noise,
        "run.zip": b"PK\3\4" + noise,
        "run.tar": noise[:257] + b"ustar" + noise,
        "run.db3-wal": b"7\x7f\x06\x82" + noise,
        "broken.caf": b"caff" + noise,
        "tagged.mp3": b"ID3\4\0\0" + bytes((0, 61, 9, 0)) + bytes(100) + (tmp_path / "tone.mp3").read_bytes(),
    }.items():
        (tmp_path / name).write_bytes(content)
    for name, message in {
        "missing.wav": "there is no sound file",
        "empty.wav": "holds no audio",
        "nothing.wav": "is empty: record it again",
        "text.wav": "is text and no sound .it begins with 'no sound at all'.: get the file itself",
        "pointer.wav": "git lfs pull",
        "samples.raw": "no header of a sound file: if these are raw samples.*ffmpeg",
        "samples.wav": "no header of a sound file",
        "old.bag": "a bag of ROS 1: convert it",
        "run.zip": "packed: unpack it",
        "run.tar": "packed: unpack it",
        "run.db3-wal": "name the .db3 file beside it",
        "broken.caf": "cannot be read as sound",
        "tagged.mp3": "an ID3 tag behind which no sound is found, as where .* a wrong length: take another copy of it",
        "slow.wav": "sample_rate 1000: .* be converted .ffmpeg -i IN -ar 16000",
        ".": "there is no sound file '.*', it is a folder: name a sound file or film in it",
    }.items():
        with pytest.raises(AudioError, match=message) as caught:
            read_sound_file(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [0, -1, 7_999, 192_001])
def test_rates_that_no_microphone_has_are_refused(rate: int) -> None:
    with pytest.raises(AudioError, match="true rate"):
        check_rate(rate)


@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]),
    cuts=st.lists(st.integers(0, 20_000), max_size=12),
    seed=st.integers(0, 99),
)
def test_resampling_does_not_depend_on_how_the_input_is_cut(rate: int, cuts: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-0.9, 0.9, 20_000).astype(np.float32)
    whole = StreamResampler(rate).push(samples, last=True)
    resampler = StreamResampler(rate)
    pieces = [resampler.push(piece) for piece in np.split(samples, sorted(cuts))]
    pieces.append(resampler.push(samples[:0], last=True))
    assert np.array_equal(np.concatenate(pieces), whole)
    assert len(whole) == pytest.approx(20_000 * RATE / rate, abs=1)


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
def test_resampling_keeps_times(rate: int) -> None:
    samples = np.zeros(rate, np.float32)
    samples[rate // 2] = 0.9
    resampled = StreamResampler(rate).push(samples, last=True)
    assert np.argmax(np.abs(resampled)) == RATE // 2


def test_resampling_keeps_a_tone_and_takes_away_what_16_khz_cannot_hold() -> None:
    time = np.arange(48_000) / 48_000
    low, high = (0.5 * np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (1_000, 12_000))
    assert level_db(to_float(StreamResampler(48_000).push(low, last=True))) == pytest.approx(-9.03, abs=0.05)
    assert level_db(to_float(StreamResampler(48_000).push(high, last=True))) < -55


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("form", ["WAV", "WAVEX"])
def test_a_wav_that_its_recorder_did_not_finish_is_read_to_its_end(tmp_path: Path, subtype: str, form: str) -> None:
    """Killed recorders leave sizes of 0, or none that are true."""
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (8_000, 2)).astype(np.float32)
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, 16_000, subtype=subtype, format=form)
    whole = read_sound_file(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    for size in (0, 0xFFFFFFFF):
        content[4:8] = content[at : at + 4] = size.to_bytes(4, "little")
        path.write_bytes(content)
        found = read_sound_file(path)
        np.testing.assert_array_equal(found.samples[:8_000], whole.samples)
        assert sound_duration_s(path) == pytest.approx(0.5, abs=0.001)
    content[4:8] = content[at : at + 4] = bytes(4)
    path.write_bytes(content[: at + 4])
    with pytest.raises(AudioError, match="holds no audio"):
        read_sound_file(path)


SIZES: dict[str, Callable[[bytearray], tuple[int, int]]] = {
    # where the size of the samples stands, and in how many bytes
    "RF64": lambda content: (content.index(b"ds64") + 16, 8),
    "AU": lambda content: (8, 4),
    "W64": lambda content: (content.index(b"data\xf3") + 16, 8),
}


@pytest.mark.parametrize("form", SIZES)
def test_other_formats_that_their_recorder_did_not_finish_are_read_to_their_end(tmp_path: Path, form: str) -> None:
    samples = np.random.default_rng(1).integers(-9000, 9000, (8_000, 2)).astype(np.int16)
    path = tmp_path / f"a.{form.lower()}"
    soundfile.write(path, samples, 16_000, format=form, subtype="PCM_16")
    assert not open_sound_file(path).notes
    content = bytearray(path.read_bytes())
    at, length = SIZES[form](content)
    content[at : at + length] = bytes(length)
    path.write_bytes(content)
    sound = open_sound_file(path)
    assert sound.notes == [f"the recorder of {path.name} did not finish: it is read to its end"]
    np.testing.assert_array_equal(read_sound_file(path).samples, samples)


def test_a_wav_whose_size_was_not_brought_up_to_date_is_read_to_its_end(tmp_path: Path) -> None:
    """A recorder that notes the size now and then was killed in between; a chunk after the samples is none of them."""
    samples = np.random.default_rng(1).integers(-9000, 9000, 8_000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    content = (tmp_path / "a.wav").read_bytes()
    at = content.index(b"data") + 4
    (tmp_path / "a.wav").write_bytes(content[:at] + struct.pack("<I", 4_000) + content[at + 4 :])
    np.testing.assert_array_equal(read_sound_file(tmp_path / "a.wav").samples[:, 0], samples)
    (tmp_path / "b.wav").write_bytes(content + b"LIST" + struct.pack("<I", 4) + b"INFO")
    sound = open_sound_file(tmp_path / "b.wav")
    assert (sound.frames, sound.notes) == (8_000, [])


@pytest.mark.parametrize("form", ["WAV", "FLAC", "MP3"])
def test_a_sound_file_that_is_cut_off_says_so(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"a.{form.lower()}"
    soundfile.write(path, np.random.default_rng(1).uniform(-0.5, 0.5, 64_000), 16_000, format=form)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    sound = open_sound_file(path)
    heard, problem = 0, ""
    try:
        for block in sound.blocks(1_000):
            heard += len(block)
    except AudioError as error:
        problem = str(error)
    assert 0.2 * 64_000 < heard < 0.95 * 64_000
    (told,) = [*sound.notes, *filter(None, [problem])]
    assert "is cut off" in told or "is damaged after" in told


# -- the sound of films


def write_film(path: Path, wave: np.ndarray | None, rate: int = 48000) -> Path:
    """A film of a grey picture, with a sound track if there is a wave, floats (frames, channels)."""
    av = pytest.importorskip("av", reason="PyAV is missing: call 'make setup-dev', or pip install av")
    with av.open(str(path), "w") as film:
        picture = film.add_stream("mpeg4", rate=10)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        track = None
        if wave is not None:
            track = film.add_stream("aac", rate=rate, layout="stereo")
        for _ in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 128, np.uint8), format="rgb24")
            film.mux(picture.encode(frame))
        film.mux(picture.encode(None))
        if track is not None and wave is not None:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave.T, np.float32), format="fltp", layout="stereo")
            frame.sample_rate = rate
            film.mux(track.encode(frame))
            film.mux(track.encode(None))
    return path


@pytest.mark.parametrize("ending", ["mp4", "mkv", "mov"])
def test_the_sound_of_a_film_is_read(tmp_path: Path, ending: str) -> None:
    time_s = np.arange(48000) / 48000
    wave = np.stack([np.sin(2 * np.pi * pitch * time_s) * 0.5 for pitch in (440, 660)], axis=1)
    chunk = read_sound_file(write_film(tmp_path / f"talk.{ending}", wave))
    assert (chunk.sample_rate, chunk.channels) == (48000, 2)
    assert abs(chunk.frames - 48000) < 5000
    for channel, pitch in enumerate((440, 660)):
        spectrum = np.abs(np.fft.rfft(chunk.samples[12000:36000, channel].astype(float)))
        assert abs(spectrum.argmax() * 2 - pitch) <= 2


def test_a_film_without_sound_and_one_that_is_none_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="has no sound track"):
        read_sound_file(write_film(tmp_path / "mute.mp4", None))
    (tmp_path / "none.mp4").write_bytes(b"nothing of the kind" * 100)
    with pytest.raises(AudioError, match="cannot be read"):
        read_sound_file(tmp_path / "none.mp4")


def test_a_film_where_its_library_is_missing_names_the_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_film(tmp_path / "mute.mp4", None)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(DependencyError, match=r"mser_ros\[media\]"):
        read_sound_file(path)
