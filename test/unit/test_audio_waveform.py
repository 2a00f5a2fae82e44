from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mser_ros.audio.sound_files import read_sound_file
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
    soundfile.write(tmp_path / "a.wav", np.array([0.5, -0.25, np.nan]), 16_000, subtype="FLOAT")
    assert read_sound_file(tmp_path / "a.wav").samples[:, 0].tolist() == [16384, -8192, 0]


def test_files_without_sound_are_refused_in_one_sentence(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16_000)
    soundfile.write(tmp_path / "slow.wav", np.zeros(10), 1_000)
    (tmp_path / "text.wav").write_text("no sound at all")
    for name, message in {
        "missing.wav": "there is no sound file",
        "empty.wav": "holds no audio",
        "text.wav": "cannot be read as sound",
        "slow.wav": "sample_rate 1000",
        ".": "there is no sound file",
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
